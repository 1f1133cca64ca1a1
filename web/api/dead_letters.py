"""Dead letters, for who operates the installation: looked at with what they say, retried and discarded one by one."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Final

from dramatiq.errors import ConnectionClosed
from fastapi import APIRouter, Depends, Path, Query, Request
from redis.exceptions import RedisError

from domain.access.service import ApiKey, actor_of
from domain.db import Tx
from domain.dead_letters import service, store
from domain.dead_letters.service import Decided
from domain.dead_letters.store import Filter
from domain.errors import NotFound
from queues.dead import DeadSet
from web.access import allowed_to
from web.api import dead_letters_docs as docs
from web.api import dead_letters_schemas as models
from web.api.asking import Body, answered, parsed
from web.api.payouts import ID_MAX
from web.api.queues import queue_answers
from web.database import bounded
from web.services import services

router: Final = APIRouter(tags=["queues"])

NAME: Final = r"^[A-Za-z0-9_.-]{1,255}$"
PATH: Final = "/v1/dead_letters"

Reader = Annotated[ApiKey, Depends(allowed_to(docs.READ))]
Writer = Annotated[ApiKey, Depends(allowed_to(docs.WRITE))]
LetterId = Annotated[int, Path(ge=1, le=ID_MAX, description="As the list names it.", examples=[1])]
ToDiscard = Annotated[int, Path(ge=1, le=ID_MAX, description="As the list names it.", examples=[2])]


@router.get(PATH, summary="Dead letters", response_model=models.DeadLetters, responses=docs.LIST)
def letters(
    request: Request,
    key: Reader,  # noqa: ARG001
    queue: Annotated[str | None, Query(pattern=NAME, description="Only of this queue.")] = None,
    actor: Annotated[
        str | None, Query(pattern=NAME, description="Only of this actor, as `payouts.send`.")
    ] = None,
    text: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            pattern=r"^[^\x00]*$",
            description="Only with this text in their arguments or reason, or with this Redis id.",
        ),
    ] = None,
    state: Annotated[models.State, Query(description="Only those that are so.")] = "open",
    before: Annotated[
        int | None, Query(ge=1, le=ID_MAX, description="`next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="How many on a page.")] = 50,
) -> dict[str, Any]:
    """Messages of all merchants that their queue gave up on, newest first; without what they say. A text is looked
    for among 20,000 of them a page."""
    with bounded(services(request).context) as tx:
        found = store.look(
            tx,
            Filter(queue, actor, text),
            state=state,
            before=before,
            limit=limit + 1,
            count_to=0,
        )
    page = found.rows[:limit]
    more = page[-1].id if len(found.rows) > limit else found.below
    return {"dead_letters": [row._mapping for row in page], "next": more}


@router.get(
    PATH + "/{letter}",
    summary="A dead letter",
    response_model=models.DeadLetterShown,
    responses=docs.SHOW,
)
def letter(request: Request, key: Reader, letter: LetterId) -> Any:  # noqa: ARG001
    """A letter with its arguments and where it failed: they may tell of people, of any merchant."""
    with answered(), bounded(services(request).context) as tx:
        return _shown(tx, letter)


@router.post(
    PATH + "/{letter}/retry",
    summary="Retry a dead letter",
    response_model=models.DeadLetter,
    responses=docs.RETRY,
    openapi_extra=docs.RETRY_BODY,
)
def retry(request: Request, key: Writer, letter: LetterId, body: Body) -> Any:
    """Put its message back on its queue, as it was, with nothing counted against it."""
    said = parsed(models.RetryRequest, body)
    held = services(request)
    assert held.context.put_back is not None, "the composition root passes one in"
    with answered(), queue_answers(held), bounded(held.context) as tx:
        put_back = held.context.put_back(tx)
        _told(service.retry(tx, [letter], actor_of(key), put_back, said.reason))
        return _shown(tx, letter)


@router.post(
    PATH + "/{letter}/discard",
    summary="Discard a dead letter",
    response_model=models.DeadLetter,
    responses=docs.DISCARD,
    openapi_extra=docs.DISCARD_BODY,
)
def discard(request: Request, key: Writer, letter: ToDiscard, body: Body) -> Any:
    """Decide that its message shall never run. What it says stays, for as long as retention keeps it."""
    said = parsed(models.DiscardRequest, body)
    held = services(request)
    with answered(), bounded(held.context) as tx:
        _told(decided := service.discard(tx, [letter], actor_of(key), said.reason))
        shown = _shown(tx, letter)
    # Should this fail, the sweep removes it: the decision is committed.
    with suppress(ConnectionClosed, RedisError):
        [row] = decided.letters
        DeadSet(held.redis, held.context.namespace, row.queue).remove([row.redis_message_id])
    return shown


def _shown(tx: Tx, letter_id: int) -> Any:
    row = store.find(tx, letter_id)
    if row is None:
        raise NotFound("dead letter", str(letter_id), "See `payspool dead list --state all`.")
    return row._mapping


def _told(decided: Decided) -> None:
    """Raises why a letter was refused, if it was."""
    for error in decided.refused.values():
        raise error
