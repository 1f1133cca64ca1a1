"""A key is used for its own kind of merchant and at its own address only."""

import pytest

from domain.merchants.rules import key_mode
from workers.gateways.errors import KeyRefused
from workers.gateways.stripe_keys import check_key

STRIPE = "https://api.stripe.com"


@pytest.mark.parametrize(
    ("key", "url", "mode"),
    [
        ("sk_test_51H", STRIPE, "test"),
        ("rk_test_51H", STRIPE, "test"),
        ("sk_test_51H", "http://127.0.0.1:4242", "test"),
        ("sk_test_51H", "http://sandbox:4242/", "test"),
        ("sk_live_51H", STRIPE, "live"),
        ("rk_live_51H", STRIPE + ":443", "live"),
    ],
)
def test_a_key_at_its_place_is_accepted(key: str, url: str, mode: str) -> None:
    check_key(key, url, mode)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "url", "mode"),
    [
        # A test merchant must not hold a live key, nor a live merchant a test one.
        ("sk_live_51H", STRIPE, "test"),
        ("rk_live_51H", STRIPE, "test"),
        ("sk_test_51H", STRIPE, "live"),
        # A live key goes to Stripe and nowhere else.
        ("sk_live_51H", "http://127.0.0.1:4242", "live"),
        ("sk_live_51H", "http://localhost:4242", "live"),
        ("sk_live_51H", "https://api.stripe.com.example.org", "live"),
        ("sk_live_51H", "https://example.org/api.stripe.com", "live"),
        ("sk_live_51H", "https://api.stripe.com@example.org", "live"),
        ("sk_live_51H", "https://api.stripe.com:8443", "live"),
        # Never without TLS.
        ("sk_live_51H", "http://api.stripe.com", "live"),
        ("sk_test_51H", "http://api.stripe.com", "test"),
        # What is no key, and what is no address.
        ("pk_test_51H", STRIPE, "test"),
        ("sk_test_", STRIPE, "test"),
        ("", STRIPE, "test"),
        ("SK_TEST_51H", STRIPE, "test"),
        (" sk_test_51H", STRIPE, "test"),
        ("sk_test_51H", "api.stripe.com", "test"),
        ("sk_test_51H", "file:///etc/passwd", "test"),
    ],
)
def test_a_key_out_of_place_is_refused_without_being_shown(key: str, url: str, mode: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        check_key(key, url, mode)  # type: ignore[arg-type]
    secret = key.rpartition("_")[2]
    assert not secret or secret not in str(refused.value)


def test_the_sandboxs_key_does_not_go_to_stripe() -> None:
    with pytest.raises(KeyRefused, match="the sandbox's key"):
        check_key("sk_test_sandbox", STRIPE, "test")


def test_the_mode_of_a_key_is_in_its_name() -> None:
    assert [key_mode(k) for k in ("sk_test_a", "rk_live_a", "whsec_a")] == ["test", "live", None]
