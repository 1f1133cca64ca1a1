"""The one place where something is done from the dashboard: who asks is looked up anew, their role is
checked, and only then does the action open its transactions. A page that shows a button proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Engine

from domain.access.sessions import User
from domain.audit import service as audit
from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Forbidden, Invalid
from web.dashboard.context import DashboardContext
from web.dashboard.visit import Visit, present

REASON_CHARACTERS_MAX: Final = 500


class NotAllowed(Forbidden):
    """A person asks for what their role does not allow."""

    def __init__(self, user: User, action: str, needed: str) -> None:
        self.user, self.action, self.needed = user, action, needed
        super().__init__(
            f"{action} needs the role {needed}; you are {user.role}."
            f" Whoever runs Payspool gives it: payspool users role {user.name} {needed}."
        )


@dataclass(frozen=True, slots=True)
class Doing:
    """An action under way: by whom, and with what."""

    context: DashboardContext
    user: User

    @property
    def actor(self) -> Actor:
        """Who the audit trail names."""
        return self.user.actor

    @property
    def engine(self) -> Engine:
        """Where its transactions are opened."""
        return self.context.engine

    def audit(
        self,
        tx: Tx,
        action: str,
        *,
        merchant_id: int | None,
        subject: tuple[str, str | int],
        reason: str | None = None,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Record what was done, in the transaction that does it."""
        audit.record(
            tx,
            self.actor,
            action,
            merchant_id=merchant_id,
            subject_kind=subject[0],
            subject_id=subject[1],
            reason=reason,
            before=before,
            after=after,
        )


@dataclass(frozen=True, slots=True)
class Handed:
    """What was done, as a sentence, and what it hands over to whoever did it."""

    said: str
    thing: Any = field(repr=False)


Answer = str | Handed


@dataclass(frozen=True, slots=True)
class Action:
    """Something that people do: ``run`` returns the sentence that tells what was done, or `Handed`."""

    name: str
    role: str
    run: Callable[..., Answer]


ACTIONS: Final[dict[str, Action]] = {}


Run = TypeVar("Run", bound=Callable[..., Answer])


def action(name: str, role: str) -> Callable[[Run], Run]:
    """Record a function as the action ``name``, for people with at least ``role``."""

    def record(run: Run) -> Run:
        assert name not in ACTIONS, f"{name} is one action"
        ACTIONS[name] = Action(name, role, run)
        return run

    return record


def perform(visit: Visit, name: str, /, **arguments: Any) -> Answer:
    """Do ``name`` for a visitor; returns what was done as a sentence, or with what it hands over.

    Raises SignedOut, NotAllowed, and what the action raises: DomainError and QueuesError say what to do.
    """
    wanted = ACTIONS[name]
    with transaction(visit.context.engine) as tx:
        user = present(tx, visit)
    if not user.may(wanted.role):
        raise NotAllowed(user, name, wanted.role)
    return wanted.run(Doing(visit.context, user), **arguments)


def given(reason: str) -> str:
    """A reason that says something. Raises Invalid."""
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_CHARACTERS_MAX:
        raise Invalid("reason", f"say why, in 1 to {REASON_CHARACTERS_MAX} characters")
    return reason
