"""docker-compose.yml as Compose reads it: anchors merged, variables filled in."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def example() -> dict[str, str]:
    """`.env.example`, as `.env` is read."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)  # type: ignore[arg-type]


def variables() -> dict[str, str | None]:
    """Every variable of the file: with its default, None if it has to be set."""
    found: dict[str, str | None] = {}
    for name, kind, default in VARIABLE.findall(COMPOSE.read_text(encoding="utf-8")):
        found[name] = default if kind == "-" else None
    return found


def filled(value: Any, env: dict[str, str]) -> Any:
    """A value with its variables replaced. Raises KeyError for one that has to be set and is not."""
    if isinstance(value, dict):
        return {key: filled(one, env) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, env) for one in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if env.get(name):
            return env[name]
        if kind != "-":
            raise KeyError(name)
        return default or ""

    return VARIABLE.sub(replace, value)


def compose(env: dict[str, str]) -> dict[str, Any]:
    """The whole file."""
    read = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    done: dict[str, Any] = filled(read, env)
    return done


@dataclass(frozen=True)
class Instruction:
    """A line of the Dockerfile."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.rest)


def dockerfile() -> list[Instruction]:
    """The Dockerfile, continued lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word, rest) for word, rest in found]
