"""What the operations on webhook endpoints and their log take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Final

from web.api import answers
from web.api import webhook_schemas as models
from web.api.answers import Responses, error, example, json_body

_ENDPOINT: Final = {
    "id": 1,
    "url": "https://shop.example.com/hooks",
    "description": "the shop's books",
    "types": ["payout.paid", "payout.failed"],
    "state": "enabled",
    "pending": 0,
    "failed": 0,
    "failures": 0,
    "failing_since": None,
    "disabled_at": None,
    "disabled_by": None,
    "disabled_reason": None,
    "old_secret_until": None,
    "created_at": "2026-11-20T09:30:00Z",
}
_DISABLED: Final = _ENDPOINT | {
    "state": "disabled",
    "disabled_at": "2026-11-20T09:40:00Z",
    "disabled_by": "acme/desk",
    "disabled_reason": "moving to another host",
}
_SHOWN_ONCE: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_DELIVERY: Final = {
    "id": 1,
    "endpoint": 1,
    "event": "evt_5f2b1c0e9a7d4e3f8b6a2c1d0e9f8a7b",
    "type": "payout.paid",
    "state": "failed",
    "tries": 10,
    "status": 500,
    "failure": "answered 500",
    "next_at": None,
    "happened_at": "2026-11-20T09:30:00Z",
    "settled_at": "2026-11-23T13:40:00Z",
}
_WAITING: Final = _DELIVERY | {
    "state": "pending",
    "tries": 0,
    "status": None,
    "failure": None,
    "next_at": "2026-11-24T08:00:00Z",
    "settled_at": None,
}
_BODY: Final = {
    "id": "evt_5f2b1c0e9a7d4e3f8b6a2c1d0e9f8a7b",
    "type": "payout.paid",
    "created": "2026-11-20T09:30:00.000000Z",
    "merchant": "acme",
    "mode": "live",
    "data": {"payout": 7, "currency": "usd", "amount": 2500},
}
_ATTEMPT: Final = {
    "at": "2026-11-20T09:30:00Z",
    "outcome": "refused",
    "status": 500,
    "milliseconds": 120,
    "failure": None,
    "response": "no disk left",
}

_NO_ENDPOINT: Final = error(
    "`webhook_endpoint_not_found`: it is another merchant's, was removed, or never was.",
    "webhook_endpoint_not_found",
    "There is no webhook endpoint '9'. `payspool webhooks list` shows them.",
    "webhook_endpoint",
)
_NO_DELIVERY: Final = error(
    "`webhook_delivery_not_found`: it is another merchant's, is older than the log, or never was.",
    "webhook_delivery_not_found",
    "There is no webhook delivery '9'.",
    "webhook_delivery",
)
_IS_DISABLED: Final = error(
    "`not_allowed`: the endpoint is disabled.",
    "not_allowed",
    "Endpoint 1 is disabled; enable it first.",
)


def _errors(
    scope: str, wrong: str = "endpoint: Input should be greater than or equal to 1."
) -> Responses:
    return answers.reading(scope, wrong, wrong.partition(":")[0])


READ: Final = "webhooks:read"
WRITE: Final = "webhooks:write"

LIST: Final[Responses] = _errors(READ) | {
    200: example("They are these.", models.WebhookEndpoints, {"endpoints": [_ENDPOINT]})
}
ADD_BODY: Final = json_body(
    "Where to, and what of.",
    models.AddRequest,
    {
        "url": "https://shop.example.com/hooks",
        "types": ["payout.paid", "payout.failed"],
        "description": "the shop's books",
    },
)
ADD: Final[Responses] = (
    _errors(WRITE, "url: 10.0.0.1 is no public address")
    | answers.WITH_BODY
    | {
        200: example(
            "It is added. The secret is not shown again.",
            models.WebhookSecret,
            {"endpoint": _ENDPOINT, "secret": _SHOWN_ONCE},
        ),
        409: error(
            "`not_allowed`: there are twenty.",
            "not_allowed",
            "A merchant may have 20 webhook endpoints; remove one first.",
        ),
    }
)
SHOW: Final[Responses] = _errors(READ) | {
    200: example("It is this.", models.WebhookEndpoint, _ENDPOINT),
    404: _NO_ENDPOINT,
}
CHANGE_BODY: Final = json_body(
    "What is to be changed; what is absent stays.",
    models.ChangeRequest,
    {"types": ["payout.paid", "payout.failed", "run.waiting"]},
)
CHANGE: Final[Responses] = (
    _errors(WRITE)
    | answers.WITH_BODY
    | {200: example("It is so from now on.", models.WebhookEndpoint, _ENDPOINT), 404: _NO_ENDPOINT}
)
ROLL_BODY: Final = json_body(
    "How long the old secret signs too: 0 to 168 hours.", models.RollRequest, {"overlap_hours": 24}
)
ROLL: Final[Responses] = (
    _errors(WRITE)
    | answers.WITH_BODY
    | {
        200: example(
            "The new secret, which is not shown again.",
            models.WebhookSecret,
            {
                "endpoint": _ENDPOINT | {"old_secret_until": "2026-11-21T09:30:00Z"},
                "secret": _SHOWN_ONCE,
            },
        ),
        404: _NO_ENDPOINT,
    }
)
DISABLE_BODY: Final = json_body(
    "Why: it is shown wherever the endpoint is.",
    models.DisableRequest,
    {"reason": "moving to another host"},
)
DISABLE: Final[Responses] = (
    _errors(WRITE)
    | answers.WITH_BODY
    | {
        200: example("It is disabled, by this or before.", models.WebhookEndpoint, _DISABLED),
        404: _NO_ENDPOINT,
    }
)
ENABLE: Final[Responses] = _errors(WRITE) | {
    200: example("It is enabled, by this or before.", models.WebhookEndpoint, _ENDPOINT),
    404: _NO_ENDPOINT,
}
REMOVE: Final[Responses] = _errors(WRITE) | {
    200: example("It is removed.", models.WebhookEndpointRemoved, {"id": 3, "canceled": 0}),
    404: _NO_ENDPOINT,
}
TEST: Final[Responses] = _errors(WRITE) | {
    202: example(
        "It is on its way; the log tells what it came to.",
        models.WebhookDelivery,
        _WAITING | {"type": "webhook.test"},
    ),
    404: _NO_ENDPOINT,
    409: _IS_DISABLED,
}
RESEND_BODY: Final = json_body(
    "Since when.", models.ResendRequest, {"failed_since": "2026-11-20T00:00:00Z"}
)
RESEND_FAILED: Final[Responses] = (
    _errors(WRITE)
    | answers.WITH_BODY
    | {
        202: example("They are on their way again.", models.WebhooksResent, {"deliveries": 17}),
        404: _NO_ENDPOINT,
        409: _IS_DISABLED,
    }
)
DELIVERIES: Final[Responses] = _errors(
    READ, "limit: Input should be less than or equal to 200."
) | {200: example("A page.", models.WebhookDeliveries, {"deliveries": [_DELIVERY], "next": None})}
DELIVERY: Final[Responses] = _errors(
    READ, "delivery: Input should be greater than or equal to 1."
) | {
    200: example(
        "It is this.",
        models.WebhookDeliveryShown,
        {"delivery": _DELIVERY, "body": _BODY, "attempts": [_ATTEMPT]},
    ),
    404: _NO_DELIVERY,
}
RESEND: Final[Responses] = _errors(
    WRITE, "delivery: Input should be greater than or equal to 1."
) | {
    202: example("It is on its way again, or was still.", models.WebhookDelivery, _WAITING),
    404: _NO_DELIVERY,
    409: _IS_DISABLED,
}
