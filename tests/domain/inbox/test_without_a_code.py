"""Conversions without a code follow the attribution that came before them."""

import pytest

from domain.db import transaction
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    SECOND,
    TIERED,
    attributed,
    code,
    conversion,
    open_shop,
    program,
    rows,
    send,
    send_one_by_one,
    standing,
)

SEND = pytest.mark.parametrize("deliver", [send, send_one_by_one], ids=["one batch", "one by one"])


@SEND
def test_a_conversion_without_a_code_follows_what_came_before_it(db: Rolled, deliver) -> None:
    open_shop(db, PERCENTAGE)
    deliver(
        db,
        conversion("o1", by=None),
        attributed("ben", at=JUNE - DAY),
        conversion("o2", by=None),
        conversion("o3", "cyd", by=None),
        conversion("o4", "cyd"),
        conversion("o5", "cyd", by=None, at=JUNE + SECOND),
    )
    assert standing(db) == {
        "o1/paid": "rejected:code_not_found",
        "ben/ADA-01": "applied",
        "o2/paid": "applied",
        "o3/paid": "rejected:code_not_found",
        "o4/paid": "applied",
        "o5/paid": "applied",
    }


@SEND
def test_a_conversion_without_a_code_follows_the_newest_attribution_before_it(
    db: Rolled, deliver
) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        for key, owner in (("second", "bea"), ("third", "cyd")):
            program(tx, acme, PERCENTAGE, key)
            code(tx, acme, f"{key.upper()}-1", owner=owner, key=key)
    deliver(
        db,
        attributed(by="ADA-01", at=JUNE),
        attributed(by="SECOND-1", at=JUNE + DAY),
        attributed(by="THIRD-1", at=JUNE + 3 * DAY),
        conversion("o1", by=None, at=JUNE + 2 * DAY),
        conversion("o2", by=None, at=JUNE - DAY),
        # The same attribution told again, but earlier: now it is the older one.
        attributed(by="SECOND-1", at=JUNE - 5 * DAY, id_="earlier"),
        conversion("o3", by=None, at=JUNE + 2 * DAY),
    )
    counted = rows(db, "SELECT transaction_id, referrer_user_id FROM trackings ORDER BY 1")
    assert counted == [("o1", "bea"), ("o2", "cyd"), ("o3", "ada")]


@SEND
def test_tiers_and_caps_count_conversions_without_a_code(db: Rolled, deliver) -> None:
    open_shop(db, TIERED, max_rewards_per_referrer=4)
    deliver(db, attributed("ben", at=JUNE - DAY), *(conversion(f"o{i}", by=None) for i in range(5)))
    assert rows(db, "SELECT seq, amount_earned FROM trackings ORDER BY seq") == [
        (1, 400),
        (2, 400),
        (3, 400),
        (4, 1_000),
    ]
    assert standing(db)["o4/paid"] == "rejected:reward_cap_reached"
