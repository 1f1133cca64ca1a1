"""Secrets for commands: never on the command line, which every user of the machine can list."""

import os
import sys
from typing import Final

import typer

from domain.errors import Invalid

STDIN: Final = "-"
ENV: Final = "env:"
HELP: Final = "- for the prompt or standard input, or env:NAME; never the secret itself"


def read_secret(option: str, given: str, label: str) -> str:
    """The secret that ``given`` points at: ``-`` (a hidden prompt, or a line of standard input), or
    ``env:NAME``. Raises Invalid for a secret itself, and for a source that is empty."""
    if given == STDIN:
        if sys.stdin.isatty():
            found = str(typer.prompt(label, hide_input=True, err=True))
        else:
            found = sys.stdin.readline()
    elif given.startswith(ENV):
        found = os.environ.get(given.removeprefix(ENV), "")
    else:
        raise Invalid(
            option,
            f"a secret on the command line is seen by everyone who lists processes; give {HELP}",
        )
    if not found.strip():
        raise Invalid(option, f"{given} holds nothing")
    return found.strip()
