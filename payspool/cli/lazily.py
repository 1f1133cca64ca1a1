"""Commands that are imported when somebody names them: one command should not wait for all others."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

NOUNS: Final[Mapping[str, str]] = {
    "doctor": "doctor",
    "merchants": "merchants",
    "keys": "keys",
    "programs": "programs",
    "codes": "codes",
    "holds": "holds",
    "import": "importing",
    "earnings": "earnings",
    "payees": "payees",
    "events": "events",
    "payouts": "payouts",
    "loyalty": "loyalty",
    "cards": "card_desk",
    "webhooks": "webhooks",
    "queue": "queue",
    "dead": "dead",
    "schedule": "schedule",
    "retention": "retention",
    "clock": "clock",
    "users": "users",
}
"""A command's first word, and the module of ``payspool.cli`` that has it as ``app``."""
ALONE: Final = ("doctor",)
"""Those that are a command and not a noun with verbs."""


class _Commands(UserDict[str, Any]):
    """Click commands by name; a noun's is made when it is first asked for."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if found is None:
            app: typer.Typer = import_module(f"payspool.cli.{NOUNS[name]}").app
            make: Any = typer.main.get_command if name in ALONE else typer.main.get_group
            found = self.data[name] = make(app)
            found.name = name
        return found


class LazyGroup(TyperGroup):
    """The first words of the command line, in their order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands({**self.commands, **dict.fromkeys(NOUNS)})

    def list_commands(self, _context: Any) -> list[str]:
        """The names alone: nothing is imported for them."""
        return list(self.commands)
