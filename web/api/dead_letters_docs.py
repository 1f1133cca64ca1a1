"""What the operations on dead letters take and answer, for `/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

from web.api import answers
from web.api import dead_letters_schemas as models
from web.api.answers import Responses, error, example
from web.api.queues_docs import QUEUE_AWAY

READ: Final = "dead_letters:read"
WRITE: Final = "dead_letters:write"

_LETTER: Final = {
    "id": 1,
    "queue": "payouts",
    "actor": "payouts.send",
    "reason": "KeyError: 'account'",
    "attempts": 12,
    "deaths": 0,
    "died_at": "2026-11-20T09:30:00Z",
    "state": "open",
    "decided_by": None,
    "decided_at": None,
    "retried_as": None,
}
_SAYS: Final = {
    "args": '{"args": [], "kwargs": {"payout_id": 7}}',
    "trace": "Traceback (most recent call last): …",
    "pruned_at": None,
}
_DECIDED: Final = {"decided_by": "acme/desk", "decided_at": "2026-11-20T09:40:00Z"}
_NONE: Final = error(
    "`dead_letter_not_found`.",
    "dead_letter_not_found",
    "There is no dead letter '9'. See `payspool dead list --state all`.",
    "dead_letter",
)


def _errors(
    scope: str, wrong: str = "letter: Input should be greater than or equal to 1."
) -> Responses:
    return answers.reading(scope, wrong, wrong.partition(":")[0])


def _deciding(**state: Any) -> Responses:
    return (
        _errors(WRITE)
        | answers.WITH_BODY
        | {
            200: example("It is decided.", models.DeadLetter, _LETTER | _DECIDED | state),
            404: _NONE,
            409: error(
                "`not_allowed`: somebody decided already, or its message is lost.",
                "not_allowed",
                "Dead letter 1 was retried by ada already.",
            ),
        }
    )


LIST: Final[Responses] = _errors(READ, "before: Input should be greater than or equal to 1.") | {
    200: example("A page.", models.DeadLetters, {"dead_letters": [_LETTER], "next": None})
}
SHOW: Final[Responses] = _errors(READ) | {
    200: example("The letter.", models.DeadLetterShown, _LETTER | _SAYS),
    404: _NONE,
}
RETRY_BODY: Final = answers.json_body(
    "Why, if you like.", models.RetryRequest, {"reason": "the fix is deployed"}
)
RETRY: Final[Responses] = _deciding(state="retried", retried_as="1f0e9d8c") | {503: QUEUE_AWAY}
DISCARD_BODY: Final = answers.json_body(
    "Why, in 1 to 500 characters.", models.DiscardRequest, {"reason": "written by a broken script"}
)
DISCARD: Final[Responses] = _deciding(state="discarded")
