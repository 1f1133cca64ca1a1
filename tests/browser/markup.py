"""Events of every type, each text that a producer controls being markup that would run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from payspool_client import EVENT_TYPES
from tests.domain.inbox import shop

IMAGE = "<img src=x onerror=owned()>"
UNBROKEN = "<img/src='x'/onerror=owned()>"
"""The same without a blank: what a card's number may be."""
SHORT = "<svg onload=owned()>"
"""As long as the shortest text that may be given."""
LINK = "javascript:owned()"


def _markup(name: str) -> str:
    # A number of more than 50 characters, or with a blank, would be no card, and no page would show it.
    return f"{name}'\">" + (
        UNBROKEN if name == "card" else f"{IMAGE}</pre><script>owned()</script>"
    )


KINDS: dict[str, Callable[[str], str]] = {
    "markup": _markup,
    "link": lambda name: f"{LINK}//{name}",
}
NO_TEXT = {"currency", "purchase_currency", "referred_email_hash"}
"""Texts of which a pattern leaves nothing to choose."""


def value(kind: str, name: str, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """What stands in a field: markup wherever a text may be anything; None for what is no text."""
    for said in schema.get("anyOf", [schema]):
        one = defs[said["$ref"].rsplit("/", 1)[1]] if "$ref" in said else said
        if one.get("type") == "object":
            return {
                key: value(kind, key, of, defs) for key, of in one.get("properties", {}).items()
            }
        if one.get("type") == "array":
            return [value(kind, name, one["items"], defs)]
        if one.get("type") == "string":
            if "enum" in one or name in NO_TEXT:
                return one.get("enum", [None])[0]
            made = KINDS[kind](name)
            return made if len(made) <= one.get("maxLength", 10**6) else SHORT
    return None


def _number(name: str) -> Any:
    return {"full": True, "purchase_amount": 1_000, "amount": 1_000}.get(name, 1)


def events(kind: str) -> Iterator[tuple[str, str]]:
    """(type, text) of one event of each type. Names of the same card, user and order fit together."""
    for at, (type_, model) in enumerate(EVENT_TYPES.items()):
        schema = model.model_json_schema()
        data: dict[str, Any] = {}
        for name, of in schema["properties"].items():
            made = value(kind, name, of, schema.get("$defs", {}))
            needed = name in schema.get("required", ())
            if made is not None:
                data[name] = made
            elif needed or name in ("points", "stamps"):
                data[name] = _number(name)
        if type_ == "conversion.refunded":
            data["full"] = True
        if type_ == "conversion.recorded":
            data |= {"code": "EVIL-01", "amount": 10_000, "currency": "usd"}
        if "program" in data:
            data["program"] = "club"
        if type_ == "loyalty.points_earned":
            data |= {"points": 100}
        text = shop.event(type_, KINDS[kind](f"{at}"), to="mallory", source=KINDS[kind]("source"))
        yield type_, json.dumps(json.loads(text) | {"data": data})


def misfits(kind: str) -> list[str]:
    """What cannot be an event, and says so with markup: no such type, no such merchant, no event at all."""
    made = KINDS[kind]
    return [
        shop.event(made("type"), made("no type"), to="mallory", note=made("note")),
        shop.event("payee.updated", made("nobody's"), to=made("merchant"), user_id="ada"),
        shop.event(
            "conversion.recorded", made("no code"), to="mallory", code=SHORT, referred_user_id="ben"
        ),
        f'{{"id": "{made("broken")}',
    ]
