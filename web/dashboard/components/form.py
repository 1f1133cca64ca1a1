"""Forms with many fields: described once, drawn, read, and with what is refused said at its field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from nicegui import ui

from domain.errors import Invalid

Kind = Literal["text", "number", "json", "choice", "flag", "time"]
NUMBER_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A field: the argument that it is, what is said above it, and how it is read.

    Attributes:
        kind: ``number`` is a whole one; ``json`` any JSON; ``time`` a UTC time or day. Empty is None.
        hint: Below it, while nothing is wrong.
        options: Of a choice; an empty one is None.
        required: Whether it may not be empty.
    """

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    options: Sequence[str] = ()
    required: bool = False


@dataclass(slots=True)
class Form:
    """The fields as they are on one page."""

    fields: Sequence[Field]
    _inputs: dict[str, Any] = field(default_factory=dict)

    def draw(self, values: Mapping[str, Any]) -> None:
        """Draw the fields with what they hold now."""
        with ui.element("div").classes("form"):
            for one in self.fields:
                self._inputs[one.name] = _drawn(one, values.get(one.name))

    def fill(self, name: str, value: Any) -> None:
        """Write a value into a field."""
        [one] = [one for one in self.fields if one.name == name]
        self._inputs[name].value = _shown(one, value)

    def read(self) -> dict[str, Any]:
        """What the fields say. Raises Invalid, naming the field."""
        for drawn in self._inputs.values():
            if hasattr(drawn, "error"):
                drawn.error = None
        return {one.name: _read(one, self._inputs[one.name].value) for one in self.fields}

    def refuse(self, error: Invalid) -> bool:
        """Say at its field what is wrong; False if no field here is meant.

        ``rule.tiers`` and ``rule`` are both said at the field ``rule``.
        """
        wanted = error.field.lower().replace("[", ".")
        for one in sorted(self.fields, key=lambda known: -len(known.name)):
            if wanted == one.name or wanted.startswith(one.name + "."):
                drawn = self._inputs[one.name]
                if not hasattr(drawn, "error"):
                    return False
                drawn.error = str(error).removeprefix(f"{one.name}: ")
                drawn.run_method("focus")
                return True
        return False


def _drawn(one: Field, value: Any) -> Any:
    shown = _shown(one, value)
    if one.kind == "flag":
        made: Any = ui.checkbox(one.label, value=bool(value)).props("dense")
    elif one.kind == "choice":
        made = ui.select(list(one.options), value=shown or one.options[0], label=one.label)
    elif one.kind == "json":
        made = ui.textarea(one.label, value=shown).props("autogrow").classes("json")
    else:
        made = ui.input(one.label, value=shown)
    if one.kind != "flag":
        made.props("outlined dense maxlength=20000")
        made.props["hint"] = one.hint
    return made


def _shown(one: Field, value: Any) -> Any:
    if value is None:
        return ""
    if one.kind == "json":
        return json.dumps(value, ensure_ascii=False, indent=1) if value != [] else ""
    if one.kind == "time":
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return value if one.kind == "flag" else str(value)


def _read(one: Field, said: Any) -> Any:
    if one.kind == "flag":
        return bool(said)
    text = str(said or "").strip()
    if not text:
        if one.required:
            raise Invalid(one.name, "is needed")
        return None
    if one.kind == "number":
        return _number(one, text)
    if one.kind == "time":
        return _time(one, text)
    if one.kind == "json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise Invalid(one.name, f"is no JSON: {error}") from None
    return text


def _number(one: Field, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and abs(int(text[:20])) <= NUMBER_MAX):
        raise Invalid(one.name, "is a whole number")
    return int(text)


def _time(one: Field, text: str) -> datetime:
    try:
        if len(text) == len("2026-12-31"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(one.name, "is a UTC time, as 2026-12-31 or 2026-12-31T23:59:59Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
