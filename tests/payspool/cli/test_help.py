"""Every command's help has an example that the command itself would take."""

import shlex
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from payspool.cli import app


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    def walk(
        path: tuple[str, ...], command: click.Command
    ) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        inside = getattr(command, "commands", None)
        if inside is not None:
            for name, inner in inside.items():
                yield from walk((*path, name), inner)
        else:
            yield path, command

    yield from walk((), typer.main.get_command(app))


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda v: "-".join(v) if isinstance(v, tuple) else ""
)
def test_the_help_has_an_example_with_options_that_exist(
    path: tuple[str, ...], command: click.Command
) -> None:
    said = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "300"})
    assert said.exit_code == 0
    assert "Example: " in said.output
    assert f"payspool {' '.join(path)}" in said.output
    assert command.epilog is not None
    words = shlex.split(
        command.epilog.split(f"payspool {' '.join(path)}")[1].split("   (")[0].rstrip(")")
    )
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
