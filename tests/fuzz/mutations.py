"""What could come instead of an event: noise, and events that were bent, cut or blown up."""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any, Final

from hypothesis import Phase, settings
from hypothesis import strategies as st

from tests.clients.events.valid import VALID

INPUTS: Final = int(os.environ.get("FUZZ_INPUTS", "10000"))
"""Bad inputs of a run, all modules together; `make fuzz` takes more."""
seeds: Final = st.integers(0, 2**64 - 1)


def campaign(share: float, batch: int) -> settings:
    """So many batches as make this share of `INPUTS`. Alike at every `make test`, new at every `make fuzz`."""
    return settings(
        max_examples=max(1, int(INPUTS * share / batch)),
        derandomize="FUZZ_INPUTS" not in os.environ,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # a smaller seed is no simpler input
    )


_PIECES: Final = [
    "", " ", "\0", "\\u0000", "\ud800", "\\ud800", "\u202e", "👟", "'", '"', "\\", "{", "}", "[", "]", ":", ",",
    "null", "NaN", "-Infinity", "1e999", "9" * 400, "-0", "0x1", "--", ";", "%s", "$1", "{}", "\x7f", "\x1b[2J",
    "DROP TABLE inbox_events", "../../etc", "\ufeff", "\r\n", "\n", "\t", "true", "1.0", "é", "\u0130",
]  # fmt: skip


_TIMES: Final = [
    *["2026-06-01T12:00:00Z"] * 6, "2026-06-01T12:00:00.5+02:00", "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00", "2024-02-29T23:59:60Z", "1997-01-01T00:00:00-12:00",
]  # fmt: skip


def value(dice: Random, depth: int = 0) -> Any:
    """Any JSON value, odd ones mostly."""
    kind = dice.randrange(9 if depth < 4 else 7)
    if kind == 0:
        return dice.choice([None, True, False])
    if kind == 1:
        return dice.choice(
            [
                0,
                -1,
                1,
                2**53,
                -(2**53),
                2**63,
                2**31,
                10**30,
                10**400,
                2**53 - 1,
                dice.getrandbits(60),
            ]
        )
    if kind == 2:
        return dice.choice([0.0, -0.0, 1.5, 5.0, 1e300, 5e-324, dice.random()])
    if kind == 3:
        return dice.choice(_PIECES) * dice.choice([1, 1, 2, 20])
    if kind == 4:
        return "".join(dice.choice(_PIECES) for _ in range(dice.randrange(6)))
    if kind == 5:
        return dice.choice(
            ["x" * dice.choice([5, 6, 20, 21, 100, 101, 255, 256, 500, 70_000]), "eur"]
        )
    if kind == 6:
        return dice.choice(["eur", "EUR", "zzz", "won", "stripe", "2026-02-30T00:00:00Z", "u-1"])
    inner = [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind == 7:
        return inner
    return {str(dice.choice([*_PIECES, "id", "source"])): one for one in inner}


def document(dice: Random) -> dict[str, Any]:
    """An event with a few fields of the envelope or of its data bent, gone or added."""
    kind = dice.choice(list(VALID))
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"odd-{dice.getrandbits(24):x}",
        "source": "fuzz",
        "merchant": dice.choice(["acme"] * 8 + ["nobody", "ACME"]),
        "type": kind,
        "time": dice.choice(_TIMES),
        "data": dict(VALID[kind]),
    }
    for _ in range(dice.randrange(4)):
        inside = event.get("data")
        target = inside if isinstance(inside, dict) and dice.random() < 0.6 else event
        name = dice.choice([*target, "amount", "currency", "note", "code"])
        if dice.random() < 0.2:
            target.pop(name, None)
        else:
            target[name] = value(dice)
    return event


def bent(dice: Random, raw: bytes) -> bytes:
    """A text with bytes changed, cut out, put in or doubled."""
    for _ in range(dice.randrange(1, 4)):
        at, end = sorted(dice.randrange(len(raw) + 1) for _ in range(2))
        how = dice.randrange(5)
        if how == 0:
            raw = raw[:at] + dice.randbytes(dice.randrange(1, 4)) + raw[at:]
        elif how == 1:
            raw = raw[:at] + raw[min(end, at + 20) :]
        elif how == 2:
            raw = raw[:at] + raw[at:end] + raw[at:]
        elif how == 3:
            piece = dice.choice(_PIECES).encode("utf-8", "surrogatepass")
            raw = raw[:at] + piece + raw[at:]
        else:
            raw = raw[:at]
    return raw


def text(dice: Random) -> str:
    """The text of something that is no event, mostly; as it comes out of a queue message."""
    how = dice.randrange(10)
    if how < 5:
        return json.dumps(document(dice), ensure_ascii=dice.random() < 0.5)
    raw = json.dumps(document(dice)).encode("utf-8", "surrogatepass")
    if how < 8:
        raw = bent(dice, raw)
    elif how == 8:
        raw = dice.randbytes(dice.randrange(60))
    else:
        raw = (b"[" * 60_000, b'{"a":' * 9_000, b"9" * 6_000, b"", b'"' * 70_000)[dice.randrange(5)]
    return raw.decode("utf-8", dice.choice(["replace", "surrogateescape"]))
