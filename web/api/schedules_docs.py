"""What the operations on schedules take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers
from web.api import schedules_schemas as models
from web.api.answers import Responses, error, example

READ: Final = "schedules:read"
WRITE: Final = "schedules:write"

_NAME: Final = "payouts.run/acme"
_SCHEDULE: Final[dict[str, Any]] = {
    "name": _NAME,
    "actor": "payouts.run",
    "queue": "sweeps",
    "cron": "0 6 1 * *",
    "zone": "Europe/Berlin",
    "every_seconds": None,
    "catch_up": "latest",
    "next_fire_at": "2026-12-01T05:00:00Z",
    "last_fire_at": "2026-11-01T05:00:00Z",
    "last_state": "done",
    "last_error": None,
    "paused_at": None,
    "paused_by": None,
    "pause_reason": None,
}
_PAUSED: Final = {
    "paused_at": "2026-11-20T09:40:00Z",
    "paused_by": "acme/desk",
    "pause_reason": "bank holiday",
}
_NONE: Final = error(
    "`schedule_not_found`.",
    "schedule_not_found",
    "There is no schedule 'payouts.run/none'. `payspool schedule list` shows them.",
    "schedule",
)


def _errors(scope: str) -> Responses:
    return answers.reading(scope, "name: String should have at most 255 characters.", "name")


LIST: Final[Responses] = _errors(READ) | {
    200: example("They are these.", models.Schedules, {"schedules": [_SCHEDULE]})
}
RUN: Final[Responses] = _errors(WRITE) | {
    202: example(
        "It is asked for.", models.Fired, {"name": _NAME, "fire_at": "2026-11-20T09:40:00Z"}
    ),
    404: _NONE,
    409: error(
        "`already_fired`: as of this very time; `clock_held`: PostgreSQL's clock jumped, and nothing fires"
        " until a person accepts it.",
        "already_fired",
        "payouts.run/acme has fired as of 2026-11-20 09:40:00 UTC before; nothing was done.",
    ),
}
PAUSE_BODY: Final = answers.json_body(
    "Why, in 1 to 500 characters: it is shown wherever the schedule is.",
    models.PauseRequest,
    {"reason": "bank holiday"},
)
PAUSE: Final[Responses] = (
    _errors(WRITE)
    | answers.WITH_BODY
    | {200: example("It is paused.", models.Schedule, _SCHEDULE | _PAUSED), 404: _NONE}
)
RESUME: Final[Responses] = _errors(WRITE) | {
    200: example("It is not paused any more.", models.Schedule, _SCHEDULE),
    404: _NONE,
}
