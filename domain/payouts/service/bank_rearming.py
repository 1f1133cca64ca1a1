"""After a failover: payouts to banks that were made and forgotten are found on the connected accounts.

The books of the platform show transfers alone. What a connected account shows is compared payout by payout:
an attempt that plainly follows is recorded again, and what became of it is asked for; anything else stops
its payout for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.installation import installation_code
from domain.payouts.gateway import Found, Gateway, Order, PaysBanks
from domain.payouts.rules import GatewayOutcome, params_hash
from domain.payouts.rules.bank_leg import BANK
from domain.payouts.rules.rearming import (
    AFTER_FAILOVER,
    BankStanding,
    Fate,
    MadeTransfer,
    bank_fate_of,
)
from domain.payouts.service.rearming import Account, Matched
from domain.payouts.service.recording import settle_success
from domain.payouts.service.sending import IMMEDIATELY, ask
from domain.payouts.store import bank_leg as bank_store
from domain.payouts.store import differences
from domain.payouts.store import rearming as store
from domain.payouts.store import sending as sending_store
from domain.payouts.store.sending import PayoutMove

EXPLAINED: Final = (Fate.KNOWN, "a person has explained it")


@dataclass(frozen=True, slots=True)
class ToCompare:
    """A payout whose connected account may show what was forgotten."""

    payout_id: int
    account: str


def to_compare(tx: Tx, account: Account) -> list[ToCompare]:
    """Payouts whose money is or was on a connected account, by account: whatever a bank attempt of theirs
    may follow, and those of which the bank may still give something back."""
    return [
        ToCompare(row.id, row.destination)
        for row in store.on_connected_accounts(tx, account.merchant_id, account.method)
    ]


def match(tx: Tx, payout_id: int, shown: Sequence[Found]) -> list[Matched]:
    """What would be done about the payouts to a bank that an account shows of a payout; nothing is done."""
    standing, explained = _standing(tx, payout_id), _explained(tx, payout_id, shown)
    return [
        Matched(
            _made(payout_id, one),
            *(
                EXPLAINED
                if one.external_id in explained
                else bank_fate_of(_made(payout_id, one), standing)
            ),
        )
        for one in _of_payout(standing, shown)
    ]


def apply(
    tx: Tx,
    account: Account,
    payout_id: int,
    shown: Sequence[Found],
    gateway: Gateway,
    *,
    actor: Actor,
) -> list[Matched]:
    """Do about them what is to be done, under the payout's lock; repeating it changes nothing.

    Whatever stops the payout is a difference as well: until a person has explained it, nobody lets the payout
    go on.
    """
    sending_store.lock_payout(tx, payout_id)
    explained = _explained(tx, payout_id, shown)
    done = []
    for one in _of_payout(_standing(tx, payout_id), shown):
        made = _made(payout_id, one)
        known = one.external_id in explained
        fate, why = EXPLAINED if known else bank_fate_of(made, _standing(tx, payout_id))
        done.append(Matched(made, fate, why))
        payout = sending_store.lock_payout(tx, payout_id)
        if fate is Fate.FREEZE:
            differences.raise_bank(
                tx,
                payout_id,
                platform=gateway.account,
                external_id=made.external_id,
                amount=made.amount,
                attempt_id=None,
            )
        if fate is Fate.KNOWN or (fate is Fate.FREEZE and payout.frozen_reason is not None):
            continue
        if fate is Fate.FREEZE:
            bank_store.freeze(tx, payout_id, f"{AFTER_FAILOVER}{why}")
        else:
            _record_again(tx, payout_id, made, gateway)
        audit.record(
            tx,
            actor,
            f"payout.rearmed_{fate.name.lower()}",
            merchant_id=account.merchant_id,
            subject_kind="payout",
            subject_id=payout_id,
            reason=why,
            before={"state": payout.state},
            after={"external_id": made.external_id, "attempt_key": made.key},
        )
    return done


def _explained(tx: Tx, payout_id: int, shown: Sequence[Found]) -> set[str]:
    """Those about which a person has resolved the difference."""
    merchant_id = sending_store.route(tx, payout_id).merchant_id
    return store.explained(tx, merchant_id, [one.external_id for one in shown])


def _of_payout(standing: BankStanding, shown: Sequence[Found]) -> list[Found]:
    """What the payout's own attempts made, in the order of their numbers."""
    ours = [one for one in shown if standing.number(one.key) is not None]
    return sorted(ours, key=lambda one: standing.number(one.key) or 0)


def _made(payout_id: int, found: Found) -> MadeTransfer:
    return MadeTransfer(
        found.external_id,
        payout_id,
        found.key,
        found.amount,
        found.reversed_amount,
        found.currency,
        found.destination,
    )


def _standing(tx: Tx, payout_id: int) -> BankStanding:
    row = store.bank_standing(tx, payout_id)
    return BankStanding(
        installation_code(tx),
        row.id,
        row.state,
        row.frozen_reason is not None,
        row.amount - row.reversed_amount,
        row.currency,
        row.destination,
        dict(row.known or {}),
        row.last_n,
        row.live,
    )


def _record_again(tx: Tx, payout_id: int, made: MadeTransfer, gateway: Gateway) -> None:
    """The attempt as it must have been: it is not sent, for it was made. What the bank did is asked for."""
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    assert made.key is not None, "its key follows from the payout's attempts"
    payout = sending_store.lock_payout(tx, payout_id)
    params = gateway.bank.params(
        Order(
            installation=installation_code(tx),
            payout_id=payout_id,
            merchant_id=payout.merchant_id,
            key=made.key,
            amount=made.amount,
            currency=payout.currency,
            destination=payout.destination,
        )
    )
    state = "sending" if payout.state == "returned" else payout.state
    sending_store.move_payout(tx, payout_id, PayoutMove(payout.state, state, tried=1))
    minted = sending_store.insert_attempt(
        tx,
        merchant_id=payout.merchant_id,
        payout_id=payout_id,
        leg=BANK,
        n=int(made.key.rsplit("/", 1)[1]),
        key=made.key,
        params=params,
        params_hash=params_hash(params),
        api_version=gateway.api_version,
        platform_account=gateway.account,
        lease=None,
    )
    outcome = GatewayOutcome("response", external_id=made.external_id, message="found by rearm")
    payout = sending_store.lock_payout(tx, payout_id)
    settle_success(tx, payout, sending_store.attempt(tx, minted.id), outcome)
    ask(tx, payout.merchant_id, "payouts.follow", {"attempt_id": minted.id}, IMMEDIATELY)
