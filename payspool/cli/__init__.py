"""The command line, a module for each noun."""

import sys

import typer

from payspool.cli import running
from payspool.cli.lazily import LazyGroup

app = typer.Typer(
    cls=LazyGroup,
    help="Payspool turns conversion and loyalty events into money owed, and money owed into money paid, once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _around(context: typer.Context) -> None:
    def close() -> None:
        # Only commands that open a session import it.
        session = sys.modules.get("payspool.cli.session")
        if session is not None:
            session.close()

    context.call_on_close(close)


running.register(app)


def main() -> None:
    """Run a command; expected errors end it with one clear sentence and status 1."""
    try:
        app(prog_name="payspool")  # also where `python -m payspool` ran it
    except Exception as error:
        from payspool.cli.failing import sentence_of

        sentence = sentence_of(error)
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(1)
