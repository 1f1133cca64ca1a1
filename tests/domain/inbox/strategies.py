"""Histories of a shop with a program of each kind, as the model reads them and as producers write them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from domain.db import transaction
from tests.domain.inbox.model import ModelCode, ModelProgram, Said, World
from tests.domain.inbox.shop import DAY, JUNE, attributed, code, event, merchant, program

PROGRAMS = {
    "a-once": ModelProgram("one_time", fixed=500, window=20, minimum=100),
    "b-again": ModelProgram("recurring", points=777, payments=3, days=15, referee=50),
    "c-share": ModelProgram("percentage", points=1_000, cap=600, referee=33, window=25),
    "d-count": ModelProgram("by_count", tiers=((2, 100), (4, 300)), most_rewards=5),
    "e-volume": ModelProgram("by_volume", tiers=((0, 100), (9_000, 555), (20_000, 1_234))),
}
RULES = {
    "a-once": {"kind": "one_time", "amount": 500},
    "b-again": {"kind": "recurring", "basis_points": 777, "max_payments": 3, "duration_days": 15},
    "c-share": {"kind": "percentage", "basis_points": 1_000, "cap": 600},
    "d-count": {
        "kind": "tiered",
        "by": "count",
        "tiers": [{"from": 2, "amount": 100}, {"from": 4, "amount": 300}],
    },
    "e-volume": {
        "kind": "tiered",
        "by": "volume",
        "tiers": [{"from": f, "basis_points": p} for f, p in PROGRAMS["e-volume"].tiers],
    },
}
CODES = {
    "ONCE-01": ModelCode("a-once", "ada"),
    "ONCE-02": ModelCode("a-once", "u1"),
    "AGAIN-1": ModelCode("b-again", "ada"),
    "SHARE-1": ModelCode("c-share", "ada", most_uses=4),
    "SHARE-2": ModelCode("c-share", "u2", until=12),
    "COUNT-1": ModelCode("d-count", "ada"),
    "VOLUME1": ModelCode("e-volume", "bea"),
    "VOLUME2": ModelCode("e-volume", "bea"),
}
USERS = ["u1", "u2", "u3"]
AMOUNTS = st.sampled_from([None, 0, 1, 99, 100, 3_333, 10_000]) | st.integers(0, 10_000)
DAYS = st.integers(0, 30)


def open_world(engine: object) -> None:
    """The merchant of the histories, with all programs and codes."""
    with transaction(engine) as tx:  # type: ignore[arg-type]
        acme = merchant(tx)
        for key, one in PROGRAMS.items():
            terms = {
                "referee_rule": {"amount": one.referee} if one.referee else None,
                "window_days": one.window,
                "min_amount": one.minimum,
                "max_rewards_per_referrer": one.most_rewards,
                "hold_days": 7,
            }
            program(tx, acme, RULES[key], key, **terms)
        for name, one in CODES.items():
            until = None if one.until is None else JUNE + one.until * DAY
            code(tx, acme, name, one.owner, one.program, max_uses=one.most_uses, expires_at=until)


def new_world() -> World:
    """The model of it, before anything happened."""
    return World(PROGRAMS, CODES)


def text_of(said: Said) -> str:
    """The event as a producer writes it."""
    at = JUNE + said.day * DAY
    if said.type == "attributed":
        assert said.code
        return attributed(said.user, said.code, at=at, id_=said.id)
    if said.type == "recorded":
        return event(
            "conversion.recorded",
            said.id,
            at,
            code=said.code,
            referred_user_id=said.user,
            transaction_id=said.order,
            amount=said.amount,
            currency=said.currency,
        )
    part = {"full": True} if said.full else {"amount": said.amount, "currency": said.currency}
    return event(
        "conversion.refunded", said.id, at, transaction_id=said.order, refund_id=said.refund, **part
    )


# What one step of a history is made of; small numbers choose, so that few of them shrink to little.
steps = st.tuples(
    st.integers(0, 11),  # what happens
    st.integers(0, 11),  # by which code
    st.integers(0, 9),  # to which order
    st.integers(0, 8),  # to whom
    AMOUNTS,
    DAYS,
    st.integers(0, 24),  # what is odd about it
)


@st.composite
def histories(draw: st.DrawFn, *, cured: bool = True) -> list[Said]:
    """Events in the order of their arrival, with copies and with other content under known ids.

    Without ``cured``, nothing comes twice that a later event could make acceptable.
    """
    codes = draw(st.lists(st.sampled_from(list(CODES)), min_size=1, max_size=3, unique=True))
    history: list[Said] = []
    length = draw(st.integers(3, 40))
    for number, step in enumerate(draw(st.lists(steps, min_size=length, max_size=length))):
        one = replace(_event(codes, number, step), id=f"e{number * 7 % 31:02}-{number}")
        history.append(one)
        if step[-1] == 1 and (cured or one.code or one.type != "recorded"):
            history.append(one)
        elif step[-1] == 2:
            history.append(replace(one, day=one.day + 1))
        elif step[-1] == 3 and history[0].code:
            history.append(history[0])
    return history


def _event(codes: list[str], number: int, step: tuple[int, ...]) -> Said:
    what, by, to, who, amount, day, odd = step
    currency = "eur" if odd == 4 else "usd"
    user = "ada" if who == 8 else USERS[who % 3]
    name = codes[by % len(codes)] if by < 9 else "NOBODYS" if by == 9 else None
    if what == 0:
        return Said("", "attributed", day, user, name or codes[0])
    if what < 8:
        # Mostly an order of its own; sometimes one that was there, or none.
        order = None if to == 0 else f"o{number - 1 if to == 1 else number}"
        return Said("", "recorded", day, user, name, order, amount, currency=currency)
    # One of the last few orders, or one that is still to come.
    order = f"o{max(0, number + (2 if to == 0 else -1 - to % 5))}"
    return Said(
        "",
        "refunded",
        day,
        order=order,
        amount=max(1, (amount or 0) // 2),
        refund=f"r{who % 2 or number}",
        full=by > 7,
        currency=currency,
    )


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[slice]:
    """A way to cut so many events into batches."""
    at = sorted(draw(st.sets(st.integers(1, max(1, length - 1)), max_size=6)))
    return [slice(a, b) for a, b in zip([0, *at], [*at, length], strict=True)]
