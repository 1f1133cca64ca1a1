"""Putting a payout off because its gateway's account has no moment free soon: a worker's thread that
waited for one would hold up other merchants and gateways."""

from datetime import timedelta

from domain.db import Tx
from domain.payouts.errors import NoSuchPayout
from domain.payouts.rules import Leave
from domain.payouts.rules.attempts import LOST_AFTER
from domain.payouts.service.sending import ask
from domain.payouts.store import pacing as store
from domain.payouts.store import sending as sending_store

PUT_OFF = Leave("put_off")


def put_off(tx: Tx, payout_id: int, wait: timedelta) -> Leave:
    """Ask for the send of a payout again after ``wait``. No attempt is begun, and no key is minted."""
    merchant_id = store.come_back(tx, payout_id, wait + LOST_AFTER)
    if merchant_id is not None:
        ask(tx, merchant_id, "payouts.send", {"payout_id": payout_id}, wait)
    return PUT_OFF


def put_off_look(tx: Tx, payout_id: int, wait: timedelta) -> Leave:
    """Ask again after ``wait`` how a payout stands whose money is with its gateway."""
    merchant_id = store.look_later(tx, payout_id, wait + LOST_AFTER)
    if merchant_id is not None:
        ask(tx, merchant_id, "payouts.progress", {"payout_id": payout_id}, wait)
    return PUT_OFF


def put_off_resolution(tx: Tx, attempt_id: int, wait: timedelta) -> Leave:
    """Ask again after ``wait`` what became of an attempt. Raises NoSuchPayout."""
    attempt = sending_store.attempt(tx, attempt_id)
    if attempt is None:
        raise NoSuchPayout("attempt", attempt_id)
    merchant_id = store.come_back(tx, attempt.payout_id, wait + LOST_AFTER)
    if merchant_id is not None:
        ask(tx, merchant_id, "payouts.resolve", {"attempt_id": attempt_id}, wait)
    return PUT_OFF
