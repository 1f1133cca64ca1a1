"""What the demo leaves for a person: a second shop, after the first one's story, of which not all goes well.

Everything is made by the pipeline itself, from events, a fault of the sandbox, an account that Stripe restricts and a
message that nobody can read: a payout that failed, one whose answer was lost and that was paid once, a run that
waits for approval, a reward that is held, a dead letter. The first shop's amounts stay as they are.
"""

import json
import time
from typing import Final

from sqlalchemy import text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import NotFound
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from domain.payouts import service as payouts
from domain.payouts.store import policies, taking_up
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.secrets import SecretBox
from payspool.demo.story import CURRENCY, END
from payspool.sandbox_client import DEFAULT_KEY, SandboxClient
from payspool_client import (
    ConversionAttributed,
    ConversionRecorded,
    Event,
    EventData,
    PayeeUpdated,
    Publisher,
    email_hash,
)
from queues.inspect import is_idle
from queues.keys import QueueKeys
from workers.context import Runtime

MERCHANT: Final = "encore"
SOURCE: Final = "encore-shop"
PROGRAM: Final = "friends"
ACTOR: Final = Actor("command", "demo")
REFERRERS: Final = ("ada", "ben", "cleo", "dan", "eve")
RESTRICTED: Final = "eve"
"""Whose account Stripe does not let receive transfers: her payout fails."""
PAID_RUN, WAITING_RUN = "july", "august"
SALE: Final = 120_00
"""Cents of a sale; a referrer earns a tenth of it."""
TWIN: Final = email_hash("cleo@example.com")
STRAY: Final = "a-receipt-to-print"
WAIT_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.02


class NotThere(Exception):
    """Something that the pipeline was to make did not come in time; the message says what."""


def play(rt: Runtime, redis_url: str, box: SecretBox, stripe_url: str) -> None:
    """Make what a person is to look at. Again, it changes nothing that is there. Raises NotThere."""
    with SandboxClient(stripe_url) as sandbox:
        known = sandbox.accounts(MERCHANT)
        accounts = {
            who: known.get(who) or sandbox.new_account(MERCHANT, who, restricted=who == RESTRICTED)
            for who in REFERRERS
        }
        with transaction(rt.engine) as tx:
            merchant = _installed(tx, box, stripe_url)
        with Publisher(redis_url, namespace=rt.namespace) as publisher:
            publisher.publish_many([*_payees(accounts), *_sales(PAID_RUN)])
            _until_applied(rt)
            # The answer to one transfer is lost on the way: it is asked for again under its key, and paid once.
            lost = {"method": "POST", "path": "/v1/transfers", "fault": "drop_after", "times": 1}
            sandbox.plan_faults([lost])
            _run(rt, merchant, PAID_RUN)
            sandbox.plan_faults([])
            with transaction(rt.engine) as tx:
                if taking_up.named(tx, merchant.id, WAITING_RUN) is None:
                    policies.put(tx, merchant.id, "always", approval_hours=72)
            publisher.publish_many([*_sales(WAITING_RUN), *_twin()])
            _until_applied(rt)
        _run(rt, merchant, WAITING_RUN)
        _stray(rt)


def _installed(tx: Tx, box: SecretBox, stripe_url: str) -> Merchant:
    """The shop with its program and codes, made now or by an earlier demo."""
    try:
        return merchants.get(tx, MERCHANT)
    except NotFound:
        merchant = merchants.add(tx, MERCHANT, "Encore Records", mode="test", actor=ACTOR)
    merchants.set_stripe_account(
        tx,
        merchant,
        api_key=DEFAULT_KEY,
        base_url=stripe_url,
        webhook_secret=None,
        box=box,
        actor=ACTOR,
    )
    terms = Terms({"kind": "percentage", "basis_points": 1_000}, CURRENCY)
    admin.create_program(tx, merchant.id, PROGRAM, "Friends", terms, actor=ACTOR)
    codes = [NewCode(who, _code(who)) for who in REFERRERS]
    admin.create_codes(tx, merchant.id, PROGRAM, codes, actor=ACTOR)
    return merchant


def _code(who: str) -> str:
    return f"ENCORE-{who.upper()}"


def _payees(accounts: dict[str, str]) -> list[Event]:
    return [
        _event(f"payee-{who}", PayeeUpdated(user_id=who, method="stripe", account=account))
        for who, account in accounts.items()
    ]


def _sales(month: str) -> list[Event]:
    return [
        _event(
            f"{month}-{n}",
            ConversionRecorded(
                code=_code(who),
                referred_user_id=f"fan-of-{who}",
                transaction_id=f"encore-{month}-{n}",
                amount=SALE * n,
                currency=CURRENCY,
            ),
        )
        for n, who in enumerate(REFERRERS, start=1)
    ]


def _twin() -> list[Event]:
    """Somebody who refers a friend with the very address of their own: the reward is held."""
    came = ConversionAttributed(
        code=_code("dan"), referred_user_id="cleo", referred_email_hash=TWIN
    )
    bought = ConversionRecorded(
        code=_code("cleo"),
        referred_user_id="cleos-twin",
        transaction_id="encore-twin",
        amount=SALE,
        currency=CURRENCY,
        referred_email_hash=TWIN,
    )
    return [_event("came-cleo", came), _event("sale-twin", bought)]


def _event(event_id: str, data: EventData) -> Event:
    return Event.of(data, merchant=MERCHANT, source=SOURCE, id=event_id, time=END)


def _run(rt: Runtime, merchant: Merchant, name: str) -> None:
    """Have a worker build a run, and wait until it is sent, or waits for a person."""
    with transaction(rt.engine) as tx:
        run_id = payouts.prepare(
            tx,
            merchant.id,
            name=name,
            as_of=None,
            minimums={},
            methods=("stripe",),
            actor=ACTOR,
        ).run_id
    _until(rt, f"its payout run {name}", _AT_REST, {"run_id": run_id})


_AT_REST: Final = """
    SELECT r.frozen_at IS NOT NULL AND (r.state = 'pending_approval' OR NOT EXISTS (
               SELECT FROM payouts p
               WHERE p.run_id = r.id AND p.state IN ('draft', 'approved', 'sending', 'unknown')))
    FROM payout_runs r WHERE r.id = :run_id
"""


def _stray(rt: Runtime) -> None:
    """Some other program's message comes onto a queue of ours: no worker can read it, so it dies."""
    there = "SELECT EXISTS (SELECT FROM dead_letters WHERE redis_message_id = :id)"
    with transaction(rt.engine) as tx:
        if tx.execute(text(there), {"id": STRAY}).scalar():
            return
    keys = QueueKeys(rt.namespace, "sweeps")
    said = {"task": "receipts.print", "args": ["encore-july-1"], "copies": 2}
    pipeline = rt.redis.pipeline(transaction=True)
    pipeline.hset(keys.messages, STRAY, json.dumps(said))
    pipeline.rpush(keys.list, STRAY)
    pipeline.execute()
    _until(rt, "its dead letter", there, {"id": STRAY})


def _until_applied(rt: Runtime) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_idle(rt.redis, rt.namespace, ["events"]):
        if time.monotonic() > deadline:
            raise NotThere(f"The events of {MERCHANT} were not applied in {WAIT_SECONDS:.0f} s.")
        time.sleep(LOOK_SECONDS)


def _until(rt: Runtime, what: str, statement: str, values: dict[str, int | str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with transaction(rt.engine) as tx:
            if tx.execute(text(statement), values).scalar():
                return
        if time.monotonic() > deadline:
            raise NotThere(f"{MERCHANT}: {what} did not come in {WAIT_SECONDS:.0f} s.")
        time.sleep(LOOK_SECONDS)


LOOK_AT: Final = (
    ("", "what needs a person: a failed payout, a run, a hold, a dead letter"),
    (f"m/{MERCHANT}/runs", f"the run {WAITING_RUN} waits for you: look who is paid, then approve it"),
    (f"m/{MERCHANT}/payouts?state=failed", "Stripe refused one account: retry it, or cancel it"),
    (f"m/{MERCHANT}/holds", "cleo referred somebody with her own address: release or reject"),
    ("dead", "another program's message, with why it died"),
    ("m/cdnow/loyalty", "the points that expire in the next weeks"),
)  # fmt: skip
"""Pages that are worth a look after the story, and what is there."""
