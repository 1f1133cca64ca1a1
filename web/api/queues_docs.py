"""What the operations on queues take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Final

from web.api import answers, queues_schemas
from web.api.answers import Responses, error, example, retried

QUEUE_AWAY: Final = retried(
    error(
        "`queue_unavailable`: Valkey is away; `database_unavailable`, `busy`, `crowded`, `stopping`.",
        "queue_unavailable",
        "The queues' server cannot serve now. Repeating the request is safe.",
    )
)
_PAUSED: Final = {
    "by": "acme/desk",
    "at": "2026-11-20T09:40:00Z",
    "reason": "the bank is on the phone",
}


def _errors(scope: str) -> Responses:
    wrong = "queue: String should match pattern '^[A-Za-z0-9_.-]{1,100}$'."
    return answers.reading(scope, wrong, "queue") | {503: QUEUE_AWAY}


LIST: Final[Responses] = _errors("queues:read") | {
    200: example(
        "The queues.",
        queues_schemas.Queues,
        {
            "queues": [
                {
                    "queue": "payouts",
                    "ready": 12,
                    "in_flight": 0,
                    "orphans": 0,
                    "later": 3,
                    "dead": 1,
                    "oldest_seconds": 41.5,
                    "paused": _PAUSED,
                }
            ]
        },
    )
}
WORKERS: Final[Responses] = _errors("queues:read") | {
    200: example(
        "The worker processes.",
        queues_schemas.Workers,
        {
            "workers": [
                {
                    "name": "3f2a9c1e-7d44-4b0e-9a51-0f5f6f1f2b7c",
                    "host": "worker-1",
                    "pid": 71,
                    "queues": ["events"],
                    "threads": 1,
                    "started_at": "2026-11-20T08:00:00Z",
                    "memory_bytes": 110100480,
                    "heard_seconds": 1.2,
                    "current": [
                        {
                            "queue": "events",
                            "actor": "events.ingest",
                            "messages": 500,
                            "seconds": 0.06,
                        }
                    ],
                    "quiet": None,
                }
            ]
        },
    )
}
PAUSE_BODY: Final = answers.json_body(
    "Why, in 1 to 500 characters: it is shown wherever the queue is.",
    queues_schemas.PauseRequest,
    {"reason": "the bank is on the phone"},
)
PAUSE: Final[Responses] = (
    _errors("queues:write")
    | answers.WITH_BODY
    | {
        200: example("It is paused.", queues_schemas.Pause, _PAUSED),
        404: error(
            "`queue_not_found`.",
            "queue_not_found",
            "There is no queue 'payout'. GET /v1/queues lists them.",
            "queue",
        ),
        409: error(
            "`already_paused`: the pause that is there stays.",
            "already_paused",
            "payouts was paused by ada at 2026-11-20 09:40:00 UTC already: the bank is on the phone",
        ),
    }
)
RESUME: Final[Responses] = _errors("queues:write") | {
    200: example("It is resumed; so it was paused.", queues_schemas.Pause, _PAUSED),
    409: error("`not_paused`.", "not_paused", "The queue 'payouts' is not paused."),
}
