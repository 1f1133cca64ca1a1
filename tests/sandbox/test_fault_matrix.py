"""Every fault on every endpoint that changes something: a call repeated with its key is done once.

The transfers' own faults are acted out in test_faults.py.
"""

import pytest
import stripe

DONE = {
    "drop_before": False,
    "drop_during": True,
    "drop_after": True,
    "error_500_done": True,
    "error_500_not_done": False,
    "rate_limit": False,
    "lock_timeout": False,
    "key_in_use": False,
    "slow": True,
    "garbage": True,
}
OPTIONS = {"slow": {"ms": 1}, "rate_limit": {"retry_after": 1}}


class Calls:
    """Each endpoint as a call with a key, and how often the world shows that it was done."""

    def __init__(self, platform, client):
        self.v1 = client.v1
        self.platform = platform
        self.payee = platform.account(client)
        self.own = {"stripe_account": self.payee}
        platform.fund(10_000)
        move = {"amount": 1000, "currency": "usd", "destination": self.payee}
        self.transfer = self.v1.transfers.create(move).id
        self.pending = self._payout()
        self.paid = self._payout()
        platform.admin("POST", f"/payouts/{self.paid}", {"status": "paid"})
        self.topup = self.v1.topups.create({"amount": 500, "currency": "usd"}).id

    def _payout(self):
        return self.v1.payouts.create({"amount": 100, "currency": "usd"}, self.own).id

    def _payouts(self, **where):
        held = self.v1.payouts.list({"limit": 100}, self.own).data
        return sum(all(p[k] == v for k, v in where.items()) for p in held)

    def do(self, name, key):
        options = {"idempotency_key": key}
        own = {**self.own, **options}
        usd = {"amount": 70, "currency": "usd"}
        bank = {"external_account": "btok_us"}
        hook = {"url": "http://127.0.0.1:1/x", "enabled_events": ["nothing.at.all"]}
        card = {"amount": 900, "currency": "usd", "source": "tok_bypassPending"}
        v1 = self.v1
        return {
            "payout": lambda: v1.payouts.create(usd, own),
            "cancel": lambda: v1.payouts.cancel(self.pending, {}, own),
            "reverse": lambda: v1.payouts.reverse(self.paid, {}, own),
            "topup": lambda: v1.topups.create(usd, options),
            "topup_cancel": lambda: v1.topups.cancel(self.topup, {}, options),
            "charge": lambda: v1.charges.create(card, options),
            "take_back": lambda: v1.transfers.reversals.create(
                self.transfer, {"amount": 7}, options
            ),
            "account": lambda: v1.accounts.create({"type": "express"}, options),
            "bank": lambda: v1.accounts.external_accounts.create(self.payee, bank, options),
            "capability": lambda: v1.accounts.capabilities.update(
                self.payee, "card_payments", {"requested": True}, options
            ),
            "hook": lambda: v1.webhook_endpoints.create(hook, options),
        }[name]()

    def times(self, name):
        v1 = self.v1
        return {
            "payout": lambda: self._payouts(amount=70),
            "cancel": lambda: self._payouts(status="canceled"),
            "reverse": lambda: self._payouts(amount=-100),
            "topup": lambda: sum(t.amount == 70 for t in v1.topups.list().data),
            "topup_cancel": lambda: sum(t.status == "canceled" for t in v1.topups.list().data),
            "charge": lambda: len(v1.charges.list().data),
            "take_back": lambda: v1.transfers.retrieve(self.transfer).amount_reversed // 7,
            "account": lambda: len(v1.accounts.list().data) - 1,
            "bank": lambda: len(v1.accounts.external_accounts.list(self.payee).data) - 1,
            "capability": lambda: len(v1.accounts.capabilities.list(self.payee).data) - 1,
            "hook": lambda: len(v1.webhook_endpoints.list().data),
        }[name]()


NAMES = (
    "payout",
    "cancel",
    "reverse",
    "topup",
    "topup_cancel",
    "charge",
    "take_back",
    "account",
    "bank",
    "capability",
    "hook",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_repeated_with_its_key_is_done_once_under_every_fault(platform, client, name):
    for fault, done in DONE.items():
        calls = Calls(platform, platform.connect(_fresh_platform(platform)))
        platform.plan({"fault": fault, "key": "k/*", "nth": 1, **OPTIONS.get(fault, {})})
        key = f"k/{fault}"
        try:
            calls.do(name, key)
            assert fault == "slow"
        except stripe.StripeError:
            assert fault != "slow"
        assert calls.times(name) == int(done), fault
        if fault.startswith("error_500"):
            with pytest.raises(stripe.APIError) as caught:
                calls.do(name, key)
            assert caught.value.headers["Idempotent-Replayed"] == "true"
            assert calls.times(name) == int(done), fault
            continue
        again = calls.do(name, key)
        assert ("Idempotent-Replayed" in again.last_response.headers) is done, fault
        assert calls.times(name) == 1, fault
    assert platform.admin("GET", "/check") == {"ok": True, "violations": []}


def _fresh_platform(platform):
    """Give the test a new platform under a new key, and return the key."""
    platform.key = f"{platform.key}x"
    platform.admin("POST", "/keys", {"key": platform.key})
    return platform.key
