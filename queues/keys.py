"""The names of what lies in Redis. `scripts/*.lua` spell the same names.

With the namespace and the queue in front, as Dramatiq has it: ``<ns>:<queue>`` (list of ids),
``.msgs`` (hash), ``.XQ`` and ``.XQ.msgs`` (dead letters). Ours beside them: ``.owners`` (set of
those that may hold messages), ``.in_flight.<owner>`` (sorted set of ids by place in the queue),
``.tries`` (hash: how often a message failed or its worker died), ``.deaths`` (hash: how often its
worker died), ``.later`` (sorted set of ids by when their backoff ends), ``.XQ.errors`` (hash: why)
and ``.XQ.counts`` (hash: attempts and deaths). Once per namespace: ``<ns>:heartbeats`` (sorted
set), ``<ns>:grace``, ``<ns>:queues`` (set of names), ``<ns>:paused`` (hash: who, when and why, by
queue), ``<ns>:apart`` (hash: from which queue an owner holds, or waits to hold, suspects),
``<ns>:workers`` (hash: what each owner says of itself), ``<ns>:quiet`` (hash: which owners take
nothing more: by whom, when and why), ``<ns>:bucket.<name>`` (hash: the next free moment of a rate),
``<ns>:mark`` (hash: the database's server and when it sent last), ``<ns>:mark.attempts``
and ``<ns>:mark.accounts`` (sorted sets: its newest attempts, and when each account was used last).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue."""

    namespace: str
    queue: str

    @property
    def list(self) -> str:
        return f"{self.namespace}:{self.queue}"

    @property
    def messages(self) -> str:
        return f"{self.list}.msgs"

    @property
    def owners(self) -> str:
        return f"{self.list}.owners"

    @property
    def tries(self) -> str:
        return f"{self.list}.tries"

    @property
    def deaths(self) -> str:
        return f"{self.list}.deaths"

    @property
    def later(self) -> str:
        return f"{self.list}.later"

    @property
    def dead(self) -> str:
        return f"{self.list}.XQ"

    @property
    def dead_messages(self) -> str:
        return f"{self.list}.XQ.msgs"

    @property
    def dead_errors(self) -> str:
        return f"{self.list}.XQ.errors"

    @property
    def dead_counts(self) -> str:
        return f"{self.list}.XQ.counts"

    def in_flight(self, owner: str) -> str:
        return f"{self.list}.in_flight.{owner}"


def heartbeats(namespace: str) -> str:
    """Owners by when they were last heard of (server time, ms)."""
    return f"{namespace}:heartbeats"


def grace(namespace: str) -> str:
    """Until when nobody is judged (server time, ms)."""
    return f"{namespace}:grace"


def queues(namespace: str) -> str:
    """The names of all queues that anyone ever took messages from."""
    return f"{namespace}:queues"


def paused(namespace: str) -> str:
    """The paused queues: who paused each, when and why."""
    return f"{namespace}:paused"


def apart(namespace: str) -> str:
    """From which queue each owner holds suspects and nothing else, or waits to."""
    return f"{namespace}:apart"


def workers(namespace: str) -> str:
    """What each owner said of itself with its last heartbeat."""
    return f"{namespace}:workers"


def quiet(namespace: str) -> str:
    """The owners that take nothing more: who told each, when and why."""
    return f"{namespace}:quiet"


def bucket(namespace: str, name: str) -> str:
    """The next free moment of a shared rate."""
    return f"{namespace}:bucket.{name}"


def mark(namespace: str) -> str:
    """The server that the database last sent from, and when."""
    return f"{namespace}:mark"


def marked_attempts(namespace: str) -> str:
    """The newest attempts of the database."""
    return f"{namespace}:mark.attempts"


def marked_accounts(namespace: str) -> str:
    """The accounts through which attempts went, by when each was used last (server time, ms)."""
    return f"{namespace}:mark.accounts"
