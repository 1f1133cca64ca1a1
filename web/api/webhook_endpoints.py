"""Webhook endpoints of a merchant, and the log of what was sent to them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from domain.access.service import ApiKey, actor_of
from domain.db import Tx
from domain.webhooks import deliveries as sending
from domain.webhooks import delivery_store, service, store
from web.access import allowed_to
from web.api import webhook_docs as docs
from web.api import webhook_schemas as models
from web.api.asking import Body, answered, parsed
from web.api.payouts import ID_MAX
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["webhooks"])


Reader = Annotated[ApiKey, Depends(allowed_to(docs.READ))]
Writer = Annotated[ApiKey, Depends(allowed_to(docs.WRITE))]
EndpointId = Annotated[
    int, Path(ge=1, le=ID_MAX, description="As it was answered when added.", examples=[1])
]
ToRemove = Annotated[
    int, Path(ge=1, le=ID_MAX, description="As it was answered when added.", examples=[3])
]
DeliveryId = Annotated[int, Path(ge=1, le=ID_MAX, description="As the log names it.", examples=[1])]
PATH: Final = "/v1/webhook_endpoints"


@router.get(
    PATH, summary="Webhook endpoints", response_model=models.WebhookEndpoints, responses=docs.LIST
)
def endpoints(request: Request, key: Reader) -> dict[str, Any]:
    """The endpoints of the key's merchant with what waits for each and what failed; never their secrets."""
    with bounded(services(request).context) as tx:
        return {"endpoints": [row._mapping for row in store.listing(tx, key.merchant_id)]}


@router.post(
    PATH,
    summary="Add a webhook endpoint",
    response_model=models.WebhookSecret,
    responses=docs.ADD,
    openapi_extra=docs.ADD_BODY,
)
def add(request: Request, key: Writer, body: Body) -> dict[str, Any]:
    """Send what happens to an address from now on. The secret by which it is signed is shown this once.

    Its name is looked up: an address in a private network is refused, now and at every connection.
    """
    said = parsed(models.AddRequest, body)
    context = services(request).context
    assert context.resolve is not None, "the composition root passes one in"
    with answered():
        address = service.look_up(said.url, key.mode, context.reach, context.resolve)
        with bounded(context) as tx:
            made, secret = service.add(
                tx,
                key.merchant_id,
                address,
                types=said.types,
                description=said.description,
                box=context.box,
                actor=actor_of(key),
            )
            return {"endpoint": _told(tx, key, made), "secret": secret}


@router.get(
    PATH + "/{endpoint}",
    summary="A webhook endpoint",
    response_model=models.WebhookEndpoint,
    responses=docs.SHOW,
)
def endpoint(request: Request, key: Reader, endpoint: EndpointId) -> Any:
    """An endpoint with what waits for it, what failed, and since when it fails or is disabled, and why."""
    with answered(), bounded(services(request).context) as tx:
        return _told(tx, key, endpoint)


@router.post(
    PATH + "/{endpoint}",
    summary="Change a webhook endpoint",
    response_model=models.WebhookEndpoint,
    responses=docs.CHANGE,
    openapi_extra=docs.CHANGE_BODY,
)
def change(request: Request, key: Writer, endpoint: EndpointId, body: Body) -> Any:
    """Change what an endpoint is told of, or what it is for. Its address stays: add another for that."""
    said = parsed(models.ChangeRequest, body)
    with answered(), bounded(services(request).context) as tx:
        service.change(
            tx,
            key.merchant_id,
            endpoint,
            types=said.types,
            description=said.description,
            actor=actor_of(key),
        )
        return _told(tx, key, endpoint)


@router.post(
    PATH + "/{endpoint}/roll",
    summary="Roll an endpoint's secret",
    response_model=models.WebhookSecret,
    responses=docs.ROLL,
    openapi_extra=docs.ROLL_BODY,
)
def roll(request: Request, key: Writer, endpoint: EndpointId, body: Body) -> dict[str, Any]:
    """Replace the secret. For `overlap_hours` everything is signed by both, so that nothing is refused meanwhile."""
    said = parsed(models.RollRequest, body)
    context = services(request).context
    with answered(), bounded(context) as tx:
        secret = service.roll(
            tx,
            key.merchant_id,
            endpoint,
            overlap_hours=said.overlap_hours,
            box=context.box,
            actor=actor_of(key),
        )
        return {"endpoint": _told(tx, key, endpoint), "secret": secret}


@router.post(
    PATH + "/{endpoint}/disable",
    summary="Disable a webhook endpoint",
    response_model=models.WebhookEndpoint,
    responses=docs.DISABLE,
    openapi_extra=docs.DISABLE_BODY,
)
def disable(request: Request, key: Writer, endpoint: EndpointId, body: Body) -> Any:
    """Send it nothing more. What waits for it waits; what happens meanwhile is not kept for it."""
    said = parsed(models.DisableRequest, body)
    with answered(), bounded(services(request).context) as tx:
        service.disable(tx, key.merchant_id, endpoint, reason=said.reason, actor=actor_of(key))
        return _told(tx, key, endpoint)


@router.post(
    PATH + "/{endpoint}/enable",
    summary="Enable a webhook endpoint",
    response_model=models.WebhookEndpoint,
    responses=docs.ENABLE,
)
def enable(request: Request, key: Writer, endpoint: EndpointId) -> Any:
    """Send it what waits for it, at once, and what happens from now on."""
    with answered(), bounded(services(request).context) as tx:
        service.enable(tx, key.merchant_id, endpoint, actor=actor_of(key))
        return _told(tx, key, endpoint)


@router.post(
    PATH + "/{endpoint}/remove",
    summary="Remove a webhook endpoint",
    response_model=models.WebhookEndpointRemoved,
    responses=docs.REMOVE,
)
def remove(request: Request, key: Writer, endpoint: ToRemove) -> dict[str, Any]:
    """Remove it for good. What is on its way to it is canceled; its log stays for as long as it goes back."""
    with answered(), bounded(services(request).context) as tx:
        canceled = service.remove(tx, key.merchant_id, endpoint, actor=actor_of(key))
    return {"id": endpoint, "canceled": canceled}


@router.post(
    PATH + "/{endpoint}/test",
    status_code=202,
    summary="Try a webhook endpoint",
    response_model=models.WebhookDelivery,
    responses=docs.TEST,
)
def test(request: Request, key: Writer, endpoint: EndpointId) -> dict[str, Any]:
    """Send it a `webhook.test`, whatever it is told of. The log tells what became of it."""
    with answered(), bounded(services(request).context) as tx:
        made = sending.test(tx, key.merchant_id, endpoint, actor=actor_of(key))
        return _delivery(sending.get(tx, key.merchant_id, made))


@router.post(
    PATH + "/{endpoint}/resend",
    status_code=202,
    summary="Send again what failed",
    response_model=models.WebhooksResent,
    responses=docs.RESEND_FAILED,
    openapi_extra=docs.RESEND_BODY,
)
def resend_failed(
    request: Request, key: Writer, endpoint: EndpointId, body: Body
) -> dict[str, Any]:
    """Send again all that failed at an endpoint since a time, under the ids that the events had."""
    said = parsed(models.ResendRequest, body)
    with answered(), bounded(services(request).context) as tx:
        count = sending.resend_failed(
            tx, key.merchant_id, endpoint, said.failed_since, actor=actor_of(key)
        )
    return {"deliveries": count}


@router.get(
    "/v1/webhook_deliveries",
    summary="The log of webhooks",
    response_model=models.WebhookDeliveries,
    responses=docs.DELIVERIES,
)
def log(
    request: Request,
    key: Reader,
    endpoint: Annotated[
        int | None, Query(ge=1, le=ID_MAX, description="Only of this endpoint.")
    ] = None,
    state: Annotated[models.State | None, Query(description="Only those that are so.")] = None,
    type: Annotated[
        str | None,
        Query(pattern=r"^[a-z_.]{1,100}$", description="Only of this type, as `payout.paid`."),
    ] = None,
    before: Annotated[
        int | None, Query(ge=1, le=ID_MAX, description="`next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="How many on a page.")] = 50,
) -> dict[str, Any]:
    """What was sent to the merchant's endpoints and what became of it, newest first, for 30 days."""
    with bounded(services(request).context) as tx:
        found = delivery_store.listing(
            tx,
            key.merchant_id,
            endpoint_id=endpoint,
            state=state,
            type_=type,
            before=before,
            limit=limit + 1,
        )
    page = found[:limit]
    return {
        "deliveries": [_delivery(row) for row in page],
        "next": page[-1].id if len(found) > limit else None,
    }


@router.get(
    "/v1/webhook_deliveries/{delivery}",
    summary="A delivery",
    response_model=models.WebhookDeliveryShown,
    responses=docs.DELIVERY,
)
def delivery(request: Request, key: Reader, delivery: DeliveryId) -> dict[str, Any]:
    """A delivery with the event as it is sent, and each attempt with what was answered."""
    with answered(), bounded(services(request).context) as tx:
        row = sending.get(tx, key.merchant_id, delivery)
        body = sending.body_of(tx, row.merchant_id, row.merchant, row.mode, row)
        tried = delivery_store.attempts(tx, delivery)
    return {
        "delivery": _delivery(row),
        "body": json.loads(body),
        "attempts": [{**one._mapping, "at": one.sent_at, "failure": one.error} for one in tried],
    }


@router.post(
    "/v1/webhook_deliveries/{delivery}/resend",
    status_code=202,
    summary="Send a delivery again",
    response_model=models.WebhookDelivery,
    responses=docs.RESEND,
)
def resend(request: Request, key: Writer, delivery: DeliveryId) -> dict[str, Any]:
    """Send it again, under the id that the event had, with a new round of attempts. One that is still on its
    way stays so."""
    with answered(), bounded(services(request).context) as tx:
        sending.resend(tx, key.merchant_id, delivery, actor=actor_of(key))
        return _delivery(sending.get(tx, key.merchant_id, delivery))


def _told(tx: Tx, key: ApiKey, endpoint_id: int) -> Any:
    return service.get(tx, key.merchant_id, endpoint_id)._mapping


def _delivery(row: Any) -> dict[str, Any]:
    return {
        **row._mapping,
        "endpoint": row.endpoint_id,
        "event": row.uid,
        "failure": row.error,
        "next_at": row.due_at if row.state == "pending" else None,
        "happened_at": row.event_at,
    }
