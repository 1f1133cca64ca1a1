from __future__ import annotations

import time

import pytest
import stripe

from web.stripe_signature import TOLERANCE_SECONDS, flaw, sign

NOW = 1_795_167_000
BODY = b'{"id": "evt_1", "name": "Zo\xc3\xab"}'
GOOD = sign(BODY, "whsec_1", NOW)


def code(header: str, now: float = NOW) -> str | None:
    found = flaw(header, BODY, "whsec_1", now)
    return None if found is None else found[0]


def test_it_agrees_with_stripes_own_code() -> None:
    at = int(time.time())
    header = f"t={at},v1={sign(BODY, 'whsec_1', at)}"
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, "whsec_1", tolerance=300)
    assert flaw(header, BODY, "whsec_1", at) is None


@pytest.mark.parametrize(
    "header",
    [
        f"t={NOW},v1={GOOD}",
        f"t={NOW},v1={'0' * 64},v1={GOOD}",
        f"t={NOW}, v1={GOOD}, v1=short",
        f"v0=ignored,t={NOW},v1={GOOD},v2=ignored",
        f"t={NOW},v1=é,v1={GOOD}",
    ],
)
def test_one_right_v1_among_others_is_enough(header: str) -> None:
    assert code(header) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "malformed_signature"),
        ("nonsense", "malformed_signature"),
        (f"v1={GOOD}", "malformed_signature"),
        (f"t={NOW}", "malformed_signature"),
        (f"t={NOW},t={NOW},v1={GOOD}", "malformed_signature"),
        (f"t=-{NOW},v1={GOOD}", "malformed_signature"),
        (f"t={NOW}.0,v1={GOOD}", "malformed_signature"),
        (f"t=١٢٣,v1={GOOD}", "malformed_signature"),
        (f"t={'9' * 5000},v1={GOOD}", "malformed_signature"),
        (f"t={NOW},v0={GOOD}", "malformed_signature"),
        (f"t={NOW},v1=", "wrong_signature"),
        (f"t={NOW},v1={GOOD[:-1]}", "wrong_signature"),
        (f"t={NOW},v1={GOOD.upper()}", "wrong_signature"),
        (f"t={NOW + 1},v1={GOOD}", "wrong_signature"),
    ],
)
def test_a_bad_signature_is_told_by_its_kind(header: str, expected: str) -> None:
    assert code(header) == expected


def test_it_is_good_for_300_seconds_both_ways_and_no_second_longer() -> None:
    header = f"t={NOW},v1={GOOD}"
    assert TOLERANCE_SECONDS == 300
    assert code(header, NOW + 300) is None
    assert code(header, NOW - 300) is None
    assert code(header, NOW + 301) == "stale_signature"
    assert code(header, NOW - 301) == "future_signature"
