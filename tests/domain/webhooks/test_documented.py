"""What the documentation says of webhooks is so."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhooks import rules
from domain.webhooks.rules import DELAYS, TYPES, delay_after, headers_of, new_secret
from payspool_client import BadWebhook, verify_webhook

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = (ROOT / "docs" / "reference" / "webhooks.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "receive-webhooks.md").read_text(encoding="utf-8")
SECRET = new_secret(bytes(range(32)))
NOW = 1_800_000_000


def test_the_reference_shows_every_type_with_its_example_and_no_other() -> None:
    shown = re.findall(r"^## (\S+)\n\n(.+)\n\n```json\n(.+)\n```$", REFERENCE, re.MULTILINE)
    assert {name: (about, json.loads(example)) for name, about, example in shown} == {
        name: (one.about, dict(one.example)) for name, one in TYPES.items()
    }
    assert set(re.findall(r"^## (\S+)", REFERENCE, re.MULTILINE)) == {*TYPES, rules.TEST}


def received() -> Any:
    """The function that the how-to shows."""
    [code] = re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["receive"]


def message(body: bytes | None = None, secrets: tuple[str, ...] = (SECRET,), at: int = NOW) -> Any:
    body = body or json.dumps({"id": "evt_1", "type": "payout.paid", "data": {}}).encode()
    return body, headers_of(secrets, "evt_1", at, body)


def test_the_receiver_of_the_how_to_believes_each_event_once_and_no_forged_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {"user_id": "ada", "amount": 5, "currency": "usd"}
    body = json.dumps({"id": "evt_1", "type": "payout.paid", "data": data}).encode()
    _, headers = message(body, at=int(time.time()))
    done: set[str] = set()
    receive = received()
    assert [receive(body, headers, SECRET, done) for _ in range(2)] == [200, 200]
    assert capsys.readouterr().out == "ada got 5 usd\n"
    assert receive(body + b" ", headers, SECRET, done) == 400


def test_the_waits_of_the_how_to_are_those_of_the_schedule() -> None:
    said = re.search(r"tried again after (.+?), each a fifth", HOW_TO.replace("\n", " "))
    assert said is not None
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)", said[1])]
    assert tuple(waits) == DELAYS
    assert 3 * 86_400 < sum(DELAYS) < 3.5 * 86_400
    assert delay_after(len(DELAYS) + 1, 0.5) is None
    assert delay_after(2, 0.0) == 0.8 * 300
    assert delay_after(2, 1.0) == pytest.approx(1.2 * 300)


def test_a_signature_is_believed_in_its_time_alone() -> None:
    body, headers = message()
    for moved in (-300, 0, 300):
        assert verify_webhook(body, headers, SECRET, now=NOW + moved)["id"] == "evt_1"
    for moved, why in ((301, "too old"), (-301, "from the future")):
        with pytest.raises(BadWebhook, match=why):
            verify_webhook(body, headers, SECRET, now=NOW + moved)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "evt_2"}, "no signature"),
        ({"webhook-timestamp": str(NOW + 1)}, "no signature"),
        ({"webhook-timestamp": "soon"}, "no Unix time"),
        ({"webhook-timestamp": "9" * 400}, "no Unix time"),
        ({"webhook-signature": "v1,AAAA"}, "no signature"),
        ({"webhook-signature": "v2,\u00e9"}, "no signature"),
        ({"webhook-signature": ""}, "no webhook-signature"),
    ],
)
def test_what_was_changed_is_not_believed(change: dict[str, str], why: str) -> None:
    body, headers = message()
    with pytest.raises(BadWebhook, match=why):
        verify_webhook(body, headers | change, SECRET, now=NOW)


def test_another_secret_believes_nothing_and_what_is_no_secret_says_so() -> None:
    other = new_secret(bytes(32))
    body, headers = message()
    with pytest.raises(BadWebhook, match="no signature"):
        verify_webhook(body, headers, other, now=NOW)
    both = message(secrets=(other, SECRET))[1]
    assert verify_webhook(body, both, SECRET, now=NOW) == verify_webhook(body, both, other, now=NOW)
    for bad in ("", "whsec_", "whsec_###", "sk_test_1", SECRET.removeprefix("whsec_")):
        with pytest.raises(ValueError, match="whsec_"):
            verify_webhook(body, headers, bad, now=NOW)


def test_a_body_that_is_no_event_is_not_believed_though_it_is_signed() -> None:
    for body in (b"{", b"[]", b"\xff", b'{"id": "evt_2"}'):
        with pytest.raises(BadWebhook, match="its body"):
            verify_webhook(*message(body), SECRET, now=NOW)


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=20), st.text(max_size=40)))
def test_no_request_is_worse_than_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(BadWebhook):
        verify_webhook(body, headers, SECRET, now=NOW)
