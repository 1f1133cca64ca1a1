"""How values look: money, times, states, numbers. All as `Html`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from babel.core import UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal

from domain.money import is_currency, minor_digits
from web.dashboard.components.markup import Html, html, join, tag
from web.dashboard.visit import Visit

_GOOD: Final = frozenset(
    {"paid", "applied", "succeeded", "settled", "active", "done", "booked", "sent", "enough"}
    | {"enabled", "delivered"}
)
_BAD: Final = frozenset(
    {"dead", "failed", "unknown", "frozen", "open", "broken", "reversed", "rejected"}
    | {"refused", "unreached", "disabled"}
)
_WARN: Final = frozenset(
    {"waiting", "pending_approval", "parked", "paused", "held", "proposed", "queued"}
)
_INFO: Final = frozenset(
    {"sending", "running", "approved", "emitted", "submitted", "building", "in_flight"}
)


def money(visit: Visit, amount: int | None, currency: str) -> Html:
    """An amount in minor units, in the reader's language, with its currency; points as points."""
    if amount is None:
        return html(None)
    if not is_currency(currency):
        points = currency.removeprefix("points:")
        said = f"{number_text(visit, amount)} points of {points}"
        return tag("span", said, class_="num", data_sort=amount)
    digits = minor_digits(currency)
    shown = format_currency(
        Decimal(amount).scaleb(-digits),
        currency.upper(),
        locale=visit.locale,
        currency_digits=False,
        format=_pattern(digits),
    )
    return tag(
        "span", shown, class_="num", title=f"{amount} {currency} (minor units)", data_sort=amount
    )


def _pattern(digits: int) -> str:
    return "#,##0" + ("." + "0" * digits if digits else "") + " ¤¤"


def number(visit: Visit, value: int | None) -> Html:
    """A count, grouped as the reader is used to."""
    if value is None:
        return html(None)
    return tag("span", number_text(visit, value), class_="num", data_sort=value)


def number_text(visit: Visit, value: int) -> str:
    """A count as text."""
    return str(format_decimal(value, locale=visit.locale))


def when(visit: Visit, at: datetime | None) -> Html:
    """A time in the reader's zone; hovering tells UTC."""
    if at is None:
        return html(None)
    utc = at.astimezone(UTC)
    day, _, clock = when_text(visit, at).partition(" ")
    return tag(
        "time",
        join(tag("span", day), " ", tag("span", clock)),  # where there is no room, two lines
        datetime=utc.isoformat(),
        title=f"{utc:%Y-%m-%d %H:%M:%S} UTC",
    )


def when_text(visit: Visit, at: datetime) -> str:
    """A time in the reader's zone as text."""
    try:
        return str(
            format_datetime(at, "yyyy-MM-dd HH:mm:ss", tzinfo=visit.zone, locale=visit.locale)
        )
    except (UnknownLocaleError, ValueError):
        return f"{at.astimezone(visit.zone):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | timedelta | None) -> Html:
    """How long something took or waits."""
    if seconds is None:
        return html(None)
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    return tag("span", duration_text(total), class_="num", data_sort=round(total, 3))


def duration_text(total: float) -> str:
    """How long, in the two largest units.

    >>> duration_text(0.25), duration_text(75), duration_text(90000)
    ('250 ms', '1 min 15 s', '1 d 1 h')
    """
    if total < 1:
        return f"{total * 1000:.0f} ms"
    whole = int(total)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if whole >= size or parts:
            parts.append((whole // size, unit))
            whole %= size
    return " ".join(f"{value} {unit}" for value, unit in parts[:2] if value) or "0 s"


def chip(state: str | None) -> Html:
    """A state, coloured by what it asks of the reader; the word says it too."""
    if state is None:
        return html(None)
    kind = (
        "good" if state in _GOOD else "bad" if state in _BAD else "warn" if state in _WARN else ""
    )
    kind = kind or ("info" if state in _INFO else "")
    return tag("span", state.replace("_", " "), class_=f"chip {kind}".strip())


def link(text: Any, address: str, **attributes: Any) -> Html:
    """A link to a page of ours."""
    return tag("a", text, href=address, **attributes)


def payee_page(merchant: str, user: Any) -> str:
    """The address of a payee, whatever characters the shop's name of them has."""
    return f"/m/{merchant}/payees/{quote(str(user))}"


def card_page(merchant: str, number: Any) -> str:
    """The address of a card, whatever characters its number has."""
    return f"/m/{merchant}/loyalty/{quote(str(number))}"


def facts(*pairs: tuple[str, Any]) -> Html:
    """Names and values, without those that say nothing."""
    said = [
        join(tag("dt", name), tag("dd", value)) for name, value in pairs if value not in (None, "")
    ]
    return tag("dl", *said, class_="facts")


def source(value: Any) -> Html:
    """A value as JSON, exactly (integers too), readable, with a button that copies it."""
    return copied(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def copied(text: str) -> Html:
    """A text as it is, with a button that copies it."""
    copies = tag("button", "Copy", type="button", class_="plain-button copy", onclick=_COPY)
    return tag("div", copies, tag("pre", text, tabindex="0"), class_="source")


_COPY: Final = (
    "const pre=this.parentElement.querySelector('pre');"
    "const done=()=>{this.textContent='Copied'};"
    # Browsers give the clipboard to secure pages only; elsewhere the text is marked, for Ctrl+C.
    "if(navigator.clipboard){navigator.clipboard.writeText(pre.textContent).then(done)}"
    "else{getSelection().selectAllChildren(pre);this.textContent='Marked: copy it'}"
)


def sheet(*parts: Any, title: str | None = None, flush: bool = False) -> Html:
    """A panel with a title; ``flush`` for a table that fills it."""
    head = tag("h2", title) if title else Html("")
    return tag("section", head, *parts, class_="sheet flush" if flush else "sheet")


def figure(value: Any, what: str, *, address: str | None = None, kind: str = "") -> Html:
    """A number with what it counts, that leads to its page."""
    inside = join(tag("b", value), tag("span", what))
    css = f"figure {kind}".strip()
    return tag("a", inside, href=address, class_=css) if address else tag("div", inside, class_=css)


def gauge(value: float, most: float, said: str) -> Html:
    """How much of something is used: the words, and a bar below them."""
    meter = tag("meter", min=0, max=most or 1, value=round(value, 3), aria_label=said)
    return tag("span", said, meter, class_="gauge")


def some(count: int, what: str) -> str:
    """How many of something, as text.

    >>> some(1, "payout"), some(1_200, "payout")
    ('1 payout', '1,200 payouts')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"
