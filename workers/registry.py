"""What an actor module records: name, queue and options. Nothing here touches a server.

``payspool.runtime`` binds every recorded actor to a broker and to the process's Runtime. (A bare
``@dramatiq.actor`` would silently make a broker on localhost.)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

Function = Callable[..., None]


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """A recorded actor: ``function(rt, *args, **kwargs)`` runs messages of ``name`` on ``queue``."""

    name: str
    queue: str
    function: Function
    options: dict[str, Any] = field(default_factory=dict)


ACTORS: Final[dict[str, ActorSpec]] = {}
"""Every recorded actor by name; filled when ``workers.actors`` is imported."""


def actor(name: str, *, queue: str, **options: Any) -> Callable[[Function], Function]:
    """Record a function as the actor ``subject.verb`` on a queue, with Dramatiq's actor options."""

    def record(function: Function) -> Function:
        assert name not in ACTORS, f"two actors are named {name}"
        ACTORS[name] = ActorSpec(name, queue, function, options)
        return function

    return record
