"""What gateways tell us: verified, stored, answered. Workers apply it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
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
from web import stripe_signature
from web.api import answers
from web.api.answers import Responses, error, example
from web.api.schemas import WebhookReceipt
from web.body import read_body
from web.errors import ApiError
from web.services import services

STRIPE: Final = "stripe"
#: As the columns of `gateway_events`.
NAME_MAX: Final = 255

router: Final = APIRouter(tags=["webhooks"])


async def webhook_body(request: Request) -> bytes:
    """The body of a webhook, of limited size, read within its time."""
    limits = services(request).context.limits
    return await read_body(
        request,
        limit=limits.webhook_body_bytes,
        seconds=limits.body_seconds,
        advice="No event of a gateway is that large.",
    )


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "evt_1Example",
    "object": "event",
    "type": "account.updated",
    "account": "acct_1Payee",
    "created": 1795167000,
    "livemode": False,
    "data": {"object": {"id": "acct_1Payee", "object": "account", "payouts_enabled": True}},
}
_REQUEST: Final = {
    "requestBody": {
        "required": True,
        "description": "Stripe's event, at most 256 KiB, byte for byte as it was signed.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}
OF_ANY_GATEWAY: Final[Responses] = {
    408: answers.TOO_SLOW,
    413: error(
        "`body_too_large`.",
        "body_too_large",
        "The body may have at most 256 KiB (262144 bytes). No event of a gateway is that large.",
    ),
    415: error(
        "`unsupported_encoding`: it is compressed.",
        "unsupported_encoding",
        "Send the body without Content-Encoding: gzip is not supported.",
        "Content-Encoding",
    ),
    500: answers.BUG,
    503: answers.DATABASE_AWAY,
}
"""What the webhook of any gateway may answer, whoever signs."""

_RESPONSES: Final[Responses] = {
    200: example("It is stored.", WebhookReceipt, {"received": True, "duplicate": False}),
    400: error(
        "The signature or the body is wrong: `malformed_signature`, `wrong_signature`,"
        " `stale_signature`, `future_signature`, `invalid_event`; or `invalid_http`.",
        "stale_signature",
        "It was signed more than 300 seconds ago.",
        "Stripe-Signature",
    ),
    404: error(
        "`webhook_not_found`: there is no such merchant, or no webhook secret for it.",
        "webhook_not_found",
        "There is no Stripe webhook for 'acme': add the merchant, and give its Stripe account a"
        " webhook secret.",
        "merchant_key",
    ),
    **OF_ANY_GATEWAY,
}


@router.post(
    "/v1/webhooks/stripe/{merchant_key}",
    summary="Stripe's webhook of a merchant",
    response_model=WebhookReceipt,
    responses=_RESPONSES,
    openapi_extra=_REQUEST,
)
def receive_stripe(
    request: Request,
    merchant_key: Annotated[str, Path(description="The key of the merchant.", examples=["acme"])],
    body: Annotated[bytes, Depends(webhook_body)],
    signature: Annotated[
        str,
        Header(alias="Stripe-Signature", description="Stripe's: t=<seconds>,v1=<signature>."),
    ] = "",
) -> WebhookReceipt:
    """Store an event of Stripe, once, after its signature proved where it comes from.

    It needs no API key: the signature under the merchant's webhook secret is the proof. Any type is
    stored; workers ignore those that mean nothing to them, and events of the other mode (a live
    Connect endpoint is sent test events too).
    """
    context = services(request).context
    try:
        with transaction(context.engine) as tx:
            merchant, secrets = _webhook_secrets(tx, merchant_key, context.box)
            flaw = _flaw(signature, body, secrets)
            if flaw is not None:
                raise ApiError(400, *flaw, field="Stripe-Signature")
            stored = webhooks.receive(tx, merchant.id, STRIPE, _notice(body), mode=merchant.mode)
    except Invalid as invalid:
        raise ApiError(400, "invalid_event", str(invalid), field=invalid.field) from None
    return WebhookReceipt(received=True, duplicate=stored is None)


def _flaw(signature: str, body: bytes, secrets: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a signature under every valid secret: of its own endpoint, of the Connect
    endpoint, and of those that are rolled. None if it is good under one of them."""
    now = time.time()
    found = [stripe_signature.flaw(signature, body, secret, now) for secret in secrets]
    if None in found:
        return None
    # One that matches but is too old tells more than those that do not match.
    flaws = [one for one in found if one is not None]
    return next((one for one in flaws if one[0] != "wrong_signature"), flaws[0])


def _webhook_secrets(tx: Tx, merchant_key: str, box: SecretBox) -> tuple[Merchant, tuple[str, ...]]:
    """The merchant and its valid webhook secrets. A retired merchant's account still answers: its
    payouts can fail or be returned after it retired."""
    merchant = (
        merchants.find(tx, [merchant_key]).get(merchant_key) if is_key(merchant_key) else None
    )
    if merchant is not None:
        account = merchants.gateway_account(tx, merchant.id, STRIPE, box=box)
        if account is not None and account.webhook_secrets:
            return merchant, account.webhook_secrets
    message = (
        f"There is no Stripe webhook for {merchant_key[:100]!r}: add the merchant, and give its"
        " Stripe account a webhook secret."
    )
    raise ApiError(404, "webhook_not_found", message, field="merchant_key")


def _notice(body: bytes) -> GatewayNotice:
    """Read a verified body. Raises Invalid where it is no Stripe event."""
    text, event = read_object(body)
    account = event.get("account")
    if account is not None:
        account = _name(event, "account")
    return GatewayNotice(
        _name(event, "id"), _name(event, "type"), account, text, event.get("livemode") is True
    )


def read_object(body: bytes) -> tuple[str, dict[str, Any]]:
    """A body as text, and the JSON object that it is. Raises Invalid."""
    try:
        text = body.decode()
        event = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Invalid("body", "send one JSON object in UTF-8") from None
    if not isinstance(event, dict):
        raise Invalid("body", "send one JSON object in UTF-8")
    return text, event


def _name(event: dict[str, Any], field: str) -> str:
    value = event.get(field)
    # Half of a surrogate pair, which JSON can spell, is in no encoding: the database would not be reached.
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX or not value.isprintable():
        raise Invalid(field, f"must be a string of 1 to {NAME_MAX} printable characters")
    return value


def _refuse_constant(constant: str) -> float:
    raise ValueError(constant)
