"""Use cases of deliveries: claim what is due, book what came of it, send again, forget."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx
from domain.errors import Forbidden, NotFound
from domain.secrets import SecretBox
from domain.webhooks import delivery_store as store
from domain.webhooks import rules, service
from domain.webhooks import store as endpoints

COURIER: Final = Actor("worker", "courier")
RESENT_AT_ONCE: Final = 10_000
"""Failed deliveries that one call sends again at most."""
PRUNED_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent once: whither, and signed by which secrets (in memory only)."""

    delivery_id: int
    claim: int
    tries: int
    endpoint_id: int
    merchant_id: int
    mode: str
    url: str
    uid: str
    type: str
    secrets: tuple[str, ...]
    body: bytes
    timestamp: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of sending. ``status`` is None where none came; then ``error`` says why."""

    status: int | None
    milliseconds: int
    error: str | None = None
    response: str | None = None
    retry_after: str | None = None

    @property
    def outcome(self) -> str:
        """delivered, refused (another status), or unreached."""
        if self.status is None:
            return "unreached"
        return "delivered" if 200 <= self.status < 300 else "refused"


def due(tx: Tx, limit: int) -> list[int]:
    """Endpoints for which something is due, longest first."""
    return store.endpoints_due(tx, limit)


def claim(tx: Tx, endpoint_id: int, *, box: SecretBox) -> Parcel | None:
    """Take the next delivery of an endpoint, for LEASE_SECONDS; None if nothing is due or enough is in flight.

    Raises CannotDecrypt. The endpoint is locked meanwhile: its bound holds across all couriers.
    """
    endpoint = store.lock_endpoint(tx, endpoint_id)
    if endpoint is None or endpoint.in_flight >= (1 if endpoint.failures else rules.PER_ENDPOINT):
        return None
    sealed = [endpoint.secret_encrypted, endpoint.old_secret_encrypted]
    secrets = tuple(box.decrypt(one, "webhook secret") for one in sealed if one is not None)
    row = store.claim(tx, endpoint_id, rules.LEASE_SECONDS)
    if row is None:
        return None
    return Parcel(
        delivery_id=row.id,
        claim=row.claim,
        tries=row.tries,
        endpoint_id=endpoint_id,
        merchant_id=endpoint.merchant_id,
        mode=endpoint.mode,
        url=endpoint.url,
        uid=row.uid,
        type=row.type,
        secrets=secrets,
        body=body_of(tx, endpoint.merchant_id, endpoint.merchant, endpoint.mode, row),
        timestamp=int(row.now.timestamp()),
        sent_at=row.now,
    )


def body_of(tx: Tx, merchant_id: int, merchant: str, mode: str, event: Any) -> bytes:
    """An event as it is sent. Whose card it is about is looked up now: it is kept in one place only."""
    data = dict(event.data)
    if "card" in data:
        data["customer_id"] = store.customer_of(tx, merchant_id, data["card"])
    created = event.event_at if hasattr(event, "event_at") else event.created_at
    return rules.body_of(
        uid=event.uid, type_=event.type, created=created, merchant=merchant, mode=mode, data=data
    )


def book(
    tx: Tx,
    parcel: Parcel,
    answer: Answer,
    *,
    jitter: float,
    delays: Sequence[float] = rules.DELAYS,
) -> str:
    """Book what came of an attempt; returns delivered, retried, failed, or late (another process has it by now).

    An endpoint that says 410 Gone, or has failed for DISABLED_AFTER_DAYS, is disabled with the reason.
    """
    endpoint = endpoints.find(tx, parcel.merchant_id, parcel.endpoint_id, lock=True)
    store.log_attempt(
        tx,
        parcel.delivery_id,
        outcome=answer.outcome,
        status=answer.status,
        milliseconds=answer.milliseconds,
        error=answer.error,
        response=answer.response,
        sent_at=parcel.sent_at,
    )
    if answer.outcome == "delivered":
        endpoints.succeeded(tx, parcel.endpoint_id)
        ended = store.settle(tx, parcel.delivery_id, parcel.claim, "delivered", answer.status, None)
        return "delivered" if ended else "late"
    error = answer.error or f"answered {answer.status}"
    if endpoint is not None and endpoint.state == "enabled":
        _mind(tx, parcel, endpoint, answer)
    asked = (
        rules.retry_after(answer.retry_after, parcel.sent_at)
        if answer.status in (429, 503)
        else None
    )
    delay = rules.delay_after(parcel.tries, jitter, asked, delays)
    if delay is None:
        ended = store.settle(tx, parcel.delivery_id, parcel.claim, "failed", answer.status, error)
        return "failed" if ended else "late"
    put_off = store.put_off(tx, parcel.delivery_id, parcel.claim, delay, answer.status, error)
    return "retried" if put_off else "late"


def _mind(tx: Tx, parcel: Parcel, endpoint: Any, answer: Answer) -> None:
    """Keep that the endpoint failed, and disable it where that is the end of it."""
    days = endpoints.failed(tx, endpoint.id, rules.quiet_seconds(endpoint.failures + 1))
    reason = None
    if answer.status == 410:
        reason = "It answered 410 Gone: the receiver wants no more."
    elif days >= rules.DISABLED_AFTER_DAYS:
        reason = (
            f"Every attempt failed for {rules.DISABLED_AFTER_DAYS} days; the last:"
            f" {answer.error or f'it answered {answer.status}'}."
        )
    if reason is None:
        return
    endpoints.stop(tx, endpoint.id, "disabled", COURIER.id, reason)
    audit.record(
        tx,
        COURIER,
        "webhook_endpoint.disabled",
        merchant_id=parcel.merchant_id,
        subject_kind="webhook_endpoint",
        subject_id=endpoint.id,
        reason=reason,
    )


def test(tx: Tx, merchant_id: int, endpoint_id: int, *, actor: Actor) -> int:
    """Send an endpoint an event that tells nothing; returns the delivery's id. Raises NotFound, Forbidden."""
    endpoint = service.get(tx, merchant_id, endpoint_id)
    if endpoint.state != "enabled":
        raise Forbidden(f"Endpoint {endpoint_id} is disabled; enable it first.")
    made = store.insert_for(tx, endpoint_id, merchant_id, rules.TEST, {"endpoint": endpoint_id})
    store.wake(tx)
    audit.record(
        tx,
        actor,
        "webhook_endpoint.tested",
        merchant_id=merchant_id,
        subject_kind="webhook_endpoint",
        subject_id=endpoint_id,
        after={"delivery": made},
    )
    return made


def get(tx: Tx, merchant_id: int, delivery_id: int) -> Any:
    """A delivery with its event and endpoint. Raises NotFound."""
    found = store.find(tx, merchant_id, delivery_id)
    if found is None:
        raise NotFound("webhook delivery", str(delivery_id))
    return found


def resend(tx: Tx, merchant_id: int, delivery_id: int, *, actor: Actor) -> bool:
    """Send a settled delivery again, under the id that it had, with a new round of attempts.

    False if it is still on its way. Raises NotFound, and Forbidden for an endpoint that is not enabled.
    """
    found = store.find(tx, merchant_id, delivery_id, lock=True)
    if found is None:
        raise NotFound("webhook delivery", str(delivery_id))
    _sendable(tx, merchant_id, found.endpoint_id)
    if not store.again(tx, delivery_id):
        return False
    store.wake(tx)
    audit.record(
        tx,
        actor,
        "webhook_delivery.resent",
        merchant_id=merchant_id,
        subject_kind="webhook_delivery",
        subject_id=delivery_id,
    )
    return True


def resend_failed(
    tx: Tx, merchant_id: int, endpoint_id: int, since: datetime, *, actor: Actor
) -> int:
    """Send again what failed at an endpoint since a time, oldest first; returns how many, at most
    RESENT_AT_ONCE: call it again until it says 0. Raises NotFound, Forbidden."""
    _sendable(tx, merchant_id, endpoint_id)
    count = store.failed_again(tx, endpoint_id, since, RESENT_AT_ONCE)
    if count:
        store.wake(tx)
        audit.record(
            tx,
            actor,
            "webhook_endpoint.resent",
            merchant_id=merchant_id,
            subject_kind="webhook_endpoint",
            subject_id=endpoint_id,
            after={"since": since.isoformat(), "deliveries": count},
        )
    return count


def forget(tx: Tx, merchant_id: int, card: str | None) -> None:
    """Empty what the log keeps of a card whose customer is anonymized; events name nobody (``body_of``)."""
    if card is not None:
        store.forget(tx, merchant_id, card)


def prune(tx: Tx) -> int:
    """Remove some of what is older than KEPT_DAYS; returns how many events, 0 when it is done."""
    return store.prune(tx, rules.KEPT_DAYS, PRUNED_AT_ONCE)


def _sendable(tx: Tx, merchant_id: int, endpoint_id: int) -> None:
    if service.get(tx, merchant_id, endpoint_id).state != "enabled":
        raise Forbidden(f"Endpoint {endpoint_id} is disabled; enable it first.")
