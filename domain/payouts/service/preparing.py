"""A run that somebody asks for by name: opened once, and built by a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.clock import business_now
from domain.db import Tx, advisory_lock
from domain.errors import Invalid
from domain.payouts.errors import RunDiffers
from domain.payouts.service.building import ask_to_finish, open_run
from domain.payouts.service.claiming import RunSpec
from domain.payouts.store import taking_up as store


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that was asked for, and whether it is this call that opened it."""

    run_id: int
    opened: bool


def prepare(
    tx: Tx,
    merchant_id: int,
    *,
    name: str,
    as_of: datetime | None,
    minimums: Mapping[str, int],
    methods: tuple[str, ...],
    actor: Actor,
) -> Prepared:
    """Open a run and ask a worker to build it. Its name is its key: a repeated call finds the run.

    ``as_of`` None: what is due at the first call (business time). Raises Invalid for a time that has not
    come, RunDiffers if the name was given to a run on other terms.
    """
    # Two first calls at once would each take a time of their own.
    key = sha256(f"payout run {merchant_id} {name}".encode()).digest()[:8]
    advisory_lock(tx, [int.from_bytes(key, "big", signed=True)])
    now = business_now(tx)
    found = store.named(tx, merchant_id, name)
    if found is not None:
        kept = (found.minimums, tuple(found.methods), found.as_of)
        if kept != (dict(minimums), methods, as_of or found.as_of):
            raise RunDiffers(name, found.id)
        return Prepared(found.id, opened=False)
    if as_of is not None and as_of > now:
        raise Invalid("as_of", f"lies in the future; it is {now:%F %T %Z}")
    spec = RunSpec(merchant_id, name, as_of or now, minimums, methods, prepared_by=actor.id)
    run_id = open_run(tx, spec)
    audit.record(
        tx,
        actor,
        "payout_run.started",
        merchant_id=merchant_id,
        subject_kind="payout_run",
        subject_id=name,
        after={"run_id": run_id, "minimums": dict(minimums), "methods": list(methods)},
    )
    ask_to_finish(tx, merchant_id, run_id)
    return Prepared(run_id, opened=True)
