"""Every setting that cannot be used is refused by the name of its variable."""

import os
from pathlib import Path

import pytest

from domain.retention.rules import Retention
from payspool.settings import BadSettings, load

STRIPE = "https://api.stripe.com"
SANDBOX = "http://127.0.0.1:12111"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PAYSPOOL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"STRIPE_KEY": "sk_live_abc"}, "PAYSPOOL_STRIPE_KEY is a live key"),
        ({"STRIPE_KEY": "sk_live_abc", "STRIPE_URL": SANDBOX}, "PAYSPOOL_STRIPE_KEY: a live key"),
        (
            {"STRIPE_KEY": "sk_live_abc", "STRIPE_URL": "http://api.stripe.com"},
            "PAYSPOOL_STRIPE_KEY: Stripe is reached over TLS only",
        ),
        (
            {"STRIPE_KEY": "sk_test_sandbox", "STRIPE_URL": STRIPE},
            "PAYSPOOL_STRIPE_KEY: it is the sandbox's key",
        ),
        ({"STRIPE_KEY": "abc", "STRIPE_URL": STRIPE}, "PAYSPOOL_STRIPE_KEY: it is no secret"),
        ({"STRIPE_URL": "api.stripe.com"}, f"PAYSPOOL_STRIPE_URL: must be {STRIPE}"),
        ({"DATABASE_URL": "postgresql://u@h/d"}, "PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL"),
        ({"REDIS_URL": "redis://h"}, "PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL"),
        (
            {"DATABASE_URL": "mysql://u@h/d", "REDIS_URL": "redis://h"},
            "PAYSPOOL_DATABASE_URL: must be a PostgreSQL URL",
        ),
        (
            {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "http://h"},
            "PAYSPOOL_REDIS_URL: must begin with redis://",
        ),
        ({"API_PORT": "eighty"}, "PAYSPOOL_API_PORT: "),
        ({"API_PORT": "70000"}, "PAYSPOOL_API_PORT: "),
        ({"EVENT_WORKERS": "-1"}, "PAYSPOOL_EVENT_WORKERS: "),
        ({"PAYOUT_THREADS": "0"}, "PAYSPOOL_PAYOUT_THREADS: "),
        ({"SECRET_KEYS": "short"}, "PAYSPOOL_SECRET_KEYS: "),
        ({"NAMESPACE": "My Shop"}, "PAYSPOOL_NAMESPACE: "),
        ({"LOG_LEVEL": "loud"}, "PAYSPOOL_LOG_LEVEL: "),
        (
            {
                "DASHBOARD_SSO_HEADER": "X-User",
                "DASHBOARD_TRUSTED_PROXIES": "127.0.0.1",
            },
            "set PAYSPOOL_DASHBOARD_URL beside PAYSPOOL_DASHBOARD_SSO_HEADER",
        ),
        (
            {"RETENTION_EVENT_DAYS": "89"},
            "PAYSPOOL_RETENTION_EVENT_DAYS: is 0, for ever, or at least 90 days",
        ),
        (
            {"RETENTION_DEAD_LETTER_DAYS": "29"},
            "PAYSPOOL_RETENTION_DEAD_LETTER_DAYS: is 0, for ever, or at least 30 days",
        ),
        ({"RETENTION_EVENT_DAYS": "-1"}, "PAYSPOOL_RETENTION_EVENT_DAYS: "),
        ({"LOG_FORMAT": "xml"}, "PAYSPOOL_LOG_FORMAT: "),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], sentence: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(f"PAYSPOOL_{name}", value)
    with pytest.raises(BadSettings) as refused:
        load()
    assert sentence in str(refused.value)
    assert "sk_live_abc" not in str(refused.value), "a sentence never shows a key"


def test_two_wrong_settings_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYSPOOL_API_PORT", "eighty")
    monkeypatch.setenv("PAYSPOOL_LOG_LEVEL", "loud")
    with pytest.raises(BadSettings) as refused:
        load()
    assert "PAYSPOOL_API_PORT" in str(refused.value)
    assert "PAYSPOOL_LOG_LEVEL" in str(refused.value)


def test_the_usual_database_url_gets_the_driver_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYSPOOL_DATABASE_URL", "postgres://u@h/d")
    monkeypatch.setenv("PAYSPOOL_REDIS_URL", "rediss://h")
    found = load()
    assert found.database_url == "postgresql+psycopg://u@h/d"
    assert not found.embedded


def test_without_any_setting_everything_is_in_the_box() -> None:
    found = load()
    assert (found.embedded, found.sandbox, found.stripe_url) == (True, True, "")


def test_what_is_kept_at_least_so_long_or_for_ever_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAYSPOOL_RETENTION_EVENT_DAYS", "90")
    monkeypatch.setenv("PAYSPOOL_RETENTION_DEAD_LETTER_DAYS", "0")
    monkeypatch.setenv("PAYSPOOL_RETENTION_ARCHIVE", str(tmp_path))
    assert load().retention == Retention(90, 0, tmp_path)
