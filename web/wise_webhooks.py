"""What Wise tells us: verified, stored, answered. Workers apply it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Request

from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.merchants import service as merchants
from domain.merchants.rules import is_key
from domain.merchants.service import Merchant
from domain.payouts import webhooks
from domain.payouts.webhooks import GatewayNotice
from domain.secrets import SecretBox
from web import wise_signature
from web.api.answers import Responses, error, example
from web.api.schemas import WebhookReceipt
from web.errors import ApiError
from web.services import services
from web.webhooks import NAME_MAX, OF_ANY_GATEWAY, read_object, webhook_body

WISE: Final = "wise"

router: Final = APIRouter(tags=["webhooks"])

_EXAMPLE: Final[dict[str, Any]] = {
    "data": {
        "resource": {"type": "transfer", "id": 50000001, "profile_id": 16000002},
        "current_state": "outgoing_payment_sent",
        "previous_state": "funds_converted",
        "occurred_at": "2026-11-20T08:00:00Z",
    },
    "subscription_id": "6b4ad2ee-6d7f-4b4a-9c5f-0f3f54b1c7d0",
    "event_type": "transfers#state-change",
    "schema_version": "2.0.0",
    "sent_at": "2026-11-20T08:00:01Z",
}
_REQUEST: Final = {
    "requestBody": {
        "required": True,
        "description": "Wise's event, at most 256 KiB, byte for byte as it was signed.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}
_RESPONSES: Final[Responses] = {
    200: example("It is stored.", WebhookReceipt, {"received": True, "duplicate": False}),
    400: error(
        "The signature or the body is wrong: `malformed_signature`, `wrong_signature`,"
        " `invalid_event`; or `invalid_http`.",
        "wrong_signature",
        "The body was not signed with the key that is known as Wise's: is it the one of this"
        " environment?",
        "X-Signature-SHA256",
    ),
    404: error(
        "`webhook_not_found`: there is no such merchant, or Wise's public key is not known for it.",
        "webhook_not_found",
        "There is no Wise webhook for 'acme': give the merchant a Wise account with Wise's public key.",
        "merchant_key",
    ),
    **OF_ANY_GATEWAY,
}


@router.post(
    "/v1/webhooks/wise/{merchant_key}",
    summary="Wise's webhook of a merchant",
    response_model=WebhookReceipt,
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
)
def receive_wise(
    request: Request,
    merchant_key: Annotated[str, Path(description="The key of the merchant.", examples=["acme"])],
    body: Annotated[bytes, Depends(webhook_body)],
    signature: Annotated[
        str,
        Header(alias="X-Signature-SHA256", description="Wise's: RSA with SHA-256, in base64."),
    ] = "",
    delivery: Annotated[
        str,
        Header(alias="X-Delivery-Id", description="The same at each try of one delivery."),
    ] = "",
    test: Annotated[
        str, Header(alias="X-Test-Notification", description="`true` for Wise's test notices.")
    ] = "",
) -> WebhookReceipt:
    """Store an event of Wise, once, after its signature proved where it comes from.

    It needs no API key: the signature under Wise's public key is the proof. Any type is stored; workers
    ignore those that mean nothing to them, and test notices.
    """
    context = services(request).context
    try:
        with transaction(context.engine) as tx:
            merchant, public_key = _public_key(tx, merchant_key, context.box)
            flaw = wise_signature.flaw(signature, body, public_key)
            if flaw is not None:
                raise ApiError(400, *flaw, field="X-Signature-SHA256")
            notice = _notice(body, delivery, test, merchant)
            stored = webhooks.receive(tx, merchant.id, WISE, notice, mode=merchant.mode)
    except Invalid as invalid:
        raise ApiError(400, "invalid_event", str(invalid), field=invalid.field) from None
    return WebhookReceipt(received=True, duplicate=stored is None)


def _public_key(tx: Tx, merchant_key: str, box: SecretBox) -> tuple[Merchant, str]:
    """The merchant, and the key that Wise signs with, as it was set. A retired merchant's account still
    answers: its payouts can come back after it retired."""
    merchant = (
        merchants.find(tx, [merchant_key]).get(merchant_key) if is_key(merchant_key) else None
    )
    if merchant is not None:
        account = merchants.gateway_account(tx, merchant.id, WISE, box=box)
        if account is not None and account.webhook_secret is not None:
            return merchant, account.webhook_secret
    message = (
        f"There is no Wise webhook for {merchant_key[:100]!r}: give the merchant a Wise account with"
        " Wise's public key."
    )
    raise ApiError(404, "webhook_not_found", message, field="merchant_key")


def _notice(body: bytes, delivery: str, test: str, merchant: Merchant) -> GatewayNotice:
    """Read a verified body. Raises Invalid where it is no event of Wise's.

    The number of the delivery is not signed: whoever has a signed body may send it under another one. It is
    then asked for twice, which changes nothing.
    """
    text, event = read_object(body)
    kind = event.get("event_type")
    longest = NAME_MAX - len("test: ")
    if not isinstance(kind, str) or not 0 < len(kind) <= longest or not kind.isprintable():
        raise Invalid("event_type", f"must be a string of 1 to {longest} printable characters")
    if not 0 < len(delivery) <= NAME_MAX:
        delivery = hashlib.sha256(body).hexdigest()
    # Wise does not say whether it is about real money: its public key does, which is one of an environment.
    live = merchant.mode == "live"
    is_test = test.lower() == "true"
    return GatewayNotice(delivery, f"test: {kind}" if is_test else kind, None, text, live)
