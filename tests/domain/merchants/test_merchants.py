"""Merchants, their keys, and gateway accounts that fit them."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import AlreadyExists, Invalid, NotFound
from domain.merchants import service, store
from domain.merchants.rules import check_stripe_key, is_key, is_sandbox
from domain.secrets import CannotDecrypt, SecretBox, new_key

ANN = Actor("person", "ann")
STRIPE = "https://api.stripe.com"
SANDBOX = "http://127.0.0.1:12111"
TEST_KEY, LIVE_KEY = "sk_test_51Habcdefghijklmnop", "sk_live_51Habcdefghijklmnop"
BOX = SecretBox([new_key()])


@pytest.mark.parametrize("key", ["a", "0", "acme", "acme-eu_2", "a" * 100])
def test_a_key_has_lower_case_letters_digits_and_dashes(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize(
    "key", ["", "-a", "_a", "Acme", "a b", "a.b", "é", "acme\n", "a" * 101, "a\0"]
)
def test_anything_else_is_no_key(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize("key", ["-a", "Acme", "a b", "acme\n"])
def test_the_database_refuses_such_keys_too(tx: Tx, key: str) -> None:
    with pytest.raises(IntegrityError, match="key_form"):
        tx.execute(
            text("INSERT INTO merchants (key, name, mode) VALUES (:key, 'x', 'test')"), {"key": key}
        )


def test_a_merchant_is_added_once_and_audited(tx: Tx) -> None:
    made = service.add(tx, "acme", "Acme", mode="test", actor=ANN)
    assert service.get(tx, "acme") == made
    assert (made.mode, made.retired) == ("test", False)
    with pytest.raises(AlreadyExists):
        service.add(tx, "acme", "Other", mode="live", actor=ANN)
    [entry] = tx.execute(text("SELECT * FROM audit_entries")).all()
    assert (entry.action, entry.actor_id, entry.merchant_id, entry.after) == (
        "merchant.added",
        "ann",
        made.id,
        {"name": "Acme", "mode": "test"},
    )


def test_a_merchant_that_cannot_be_is_refused(tx: Tx) -> None:
    with pytest.raises(Invalid, match="key"):
        service.add(tx, "Acme", "Acme", mode="test", actor=ANN)
    with pytest.raises(Invalid, match="mode"):
        service.add(tx, "acme", "Acme", mode="prod", actor=ANN)
    with pytest.raises(NotFound):
        service.get(tx, "nobody")


def test_merchants_are_found_by_their_keys_and_unknown_ones_left_out(tx: Tx) -> None:
    for key in ("acme", "zeta"):
        service.add(tx, key, key, mode="live", actor=ANN)
    assert set(service.find(tx, ["acme", "nobody", "zeta", "acme"])) == {"acme", "zeta"}
    assert service.find(tx, []) == {}
    assert [row.key for row in store.listing(tx)] == ["acme", "zeta"]


CASES = [
    # key, address, mode of the merchant, whether it may be
    (TEST_KEY, STRIPE, "test", True),
    (TEST_KEY, SANDBOX, "test", True),
    (TEST_KEY, "http://localhost:12111", "test", True),
    (LIVE_KEY, STRIPE, "live", True),
    (LIVE_KEY, STRIPE + "/", "live", True),
    ("rk_live_abcdefgh", STRIPE, "live", True),
    ("rk_test_abcdefgh", STRIPE, "test", True),
    (LIVE_KEY, SANDBOX, "live", False),
    (LIVE_KEY, "http://api.stripe.com", "live", False),
    (LIVE_KEY, "https://api.stripe.com.evil.example", "live", False),
    (LIVE_KEY, "https://api.stripe.com@evil.example", "live", False),
    (LIVE_KEY, "https://evil.example/?https://api.stripe.com", "live", False),
    (LIVE_KEY, "", "live", False),
    (LIVE_KEY, STRIPE, "test", False),
    (TEST_KEY, STRIPE, "live", False),
    (TEST_KEY, SANDBOX, "live", False),
    ("", STRIPE, "test", False),
    ("sk_test_", STRIPE, "test", False),
    ("pk_test_abcdefgh", STRIPE, "test", False),
    ("whsec_abc", STRIPE, "test", False),
    (" " + TEST_KEY, STRIPE, "test", False),
]


@pytest.mark.parametrize(("key", "address", "mode", "may_be"), CASES)
def test_a_key_goes_with_its_address_and_its_merchants_mode(
    tx: Tx, key: str, address: str, mode: str, may_be: bool
) -> None:
    problem = check_stripe_key(key, address, mode)
    assert (problem is None) is may_be
    assert not key or len(key) < 9 or key not in str(problem), "a refusal never shows the key"
    merchant = service.add(tx, "acme", "Acme", mode=mode, actor=ANN)

    def set_account() -> None:
        service.set_stripe_account(
            tx, merchant, api_key=key, base_url=address, webhook_secret=None, box=BOX, actor=ANN
        )

    if may_be:
        set_account()
        account = service.gateway_account(tx, merchant.id, "stripe", box=BOX)
        assert account is not None
        assert (account.api_key, account.base_url, account.mode) == (key, address, mode)
    else:
        with pytest.raises(Invalid):
            set_account()
        assert service.gateway_account(tx, merchant.id, "stripe", box=BOX) is None


@pytest.mark.parametrize(
    ("address", "sandbox"),
    [
        (SANDBOX, True),
        ("http://[::1]:5", True),
        ("http://sandbox:12111", True),
        (STRIPE, False),
        ("https://127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_a_sandbox_is_known_by_its_local_address(address: str, sandbox: bool) -> None:
    assert is_sandbox(address) is sandbox


def test_secrets_are_stored_encrypted_and_shown_by_a_hint_only(tx: Tx) -> None:
    merchant = service.add(tx, "acme", "Acme", mode="test", actor=ANN)
    service.set_stripe_account(
        tx,
        merchant,
        api_key=TEST_KEY,
        base_url=SANDBOX,
        webhook_secret="whsec_1234567890",
        box=BOX,
        actor=ANN,
    )
    account = service.gateway_account(tx, merchant.id, "stripe", box=BOX)
    assert account is not None
    assert account.webhook_secret == "whsec_1234567890"
    stored = repr(tx.execute(text("SELECT * FROM gateway_accounts")).all())
    audited = repr(tx.execute(text("SELECT * FROM audit_entries")).all())
    for secret in (TEST_KEY, "whsec_1234567890"):
        assert secret not in stored
        assert secret not in audited
    hint = tx.execute(text("SELECT api_key_hint FROM gateway_accounts")).scalar_one()
    assert hint == "sk_test_…mnop"
    with pytest.raises(CannotDecrypt):
        service.gateway_account(tx, merchant.id, "stripe", box=SecretBox([new_key()]))


def test_setting_an_account_again_replaces_it(tx: Tx) -> None:
    merchant = service.add(tx, "acme", "Acme", mode="test", actor=ANN)
    for key in (TEST_KEY, "sk_test_another_one"):
        service.set_stripe_account(
            tx, merchant, api_key=key, base_url=SANDBOX, webhook_secret=None, box=BOX, actor=ANN
        )
    account = service.gateway_account(tx, merchant.id, "stripe", box=BOX)
    assert account is not None
    assert account.api_key == "sk_test_another_one"
    assert service.gateway_account(tx, merchant.id, "wise", box=BOX) is None


def test_the_database_keeps_live_accounts_from_test_merchants(tx: Tx) -> None:
    merchant = service.add(tx, "acme", "Acme", mode="test", actor=ANN)
    with pytest.raises(IntegrityError, match="fk_gateway_accounts"):
        tx.execute(
            text(
                "INSERT INTO gateway_accounts (merchant_id, mode, method, base_url, api_key_encrypted,"
                " api_key_hint) VALUES (:id, 'live', 'stripe', 'x', 'x', 'x')"
            ),
            {"id": merchant.id},
        )


def test_after_resealing_the_old_key_is_not_needed_any_more(tx: Tx) -> None:
    old, new = new_key(), new_key()
    merchant = service.add(tx, "acme", "Acme", mode="test", actor=ANN)
    service.set_stripe_account(
        tx,
        merchant,
        api_key=TEST_KEY,
        base_url=STRIPE,
        webhook_secret="whsec_1",
        box=SecretBox([old]),
        actor=ANN,
    )
    assert service.reseal(tx, box=SecretBox([new, old]), actor=ANN) == 1
    account = service.gateway_account(tx, merchant.id, "stripe", box=SecretBox([new]))
    assert account is not None
    assert (account.api_key, account.webhook_secret) == (TEST_KEY, "whsec_1")
    with pytest.raises(CannotDecrypt):
        service.gateway_account(tx, merchant.id, "stripe", box=SecretBox([old]))
    with pytest.raises(CannotDecrypt, match="stripe key"):
        service.reseal(tx, box=SecretBox([new_key()]), actor=ANN)
    (entry,) = tx.execute(
        text("SELECT after FROM audit_entries WHERE action = 'secrets.resealed'")
    ).all()
    assert entry.after == {"accounts": 1}
