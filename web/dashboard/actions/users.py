"""People who use the dashboard: add them, give them a role or a link, keep them out and let them in again."""

from domain.access import users
from domain.db import transaction
from domain.errors import Forbidden
from web.dashboard.actions.registry import Doing, action


def _other(doing: Doing, name: str) -> None:
    """Nobody locks themselves out, so that an admin is always left who was one before."""
    if name == doing.user.name:
        raise Forbidden(
            "You are this person: another admin does it, or whoever runs Payspool by `payspool users`."
        )


@action("user.add", "admin")
def add(doing: Doing, *, name: str, role: str) -> str:
    """Add a person, who signs in by links."""
    with transaction(doing.engine) as tx:
        users.add(tx, name, role, actor=doing.actor)
    return f"Added {name} as {role}. Make a sign-in link for them, and hand it over in private."


@action("user.role", "admin")
def role(doing: Doing, *, name: str, role: str) -> str:
    """Give another person a role, from their next click on."""
    _other(doing, name)
    with transaction(doing.engine) as tx:
        users.set_role(tx, name, role, actor=doing.actor)
    return f"{name} is {role}."


@action("user.disable", "admin")
def disable(doing: Doing, *, name: str) -> str:
    """Keep another person out from now on."""
    _other(doing, name)
    with transaction(doing.engine) as tx:
        ended = users.disable(tx, name, actor=doing.actor)
    return f"Disabled {name}; {ended} session{'' if ended == 1 else 's'} ended."


@action("user.enable", "admin")
def enable(doing: Doing, *, name: str) -> str:
    """Let a person in again."""
    with transaction(doing.engine) as tx:
        users.enable(tx, name, actor=doing.actor)
    return f"{name} may sign in again."


@action("user.link", "admin")
def link(doing: Doing, *, name: str) -> str:
    """Make a link by which a person signs in once; returns its path, which is a secret."""
    with transaction(doing.engine) as tx:
        return f"/link/{users.make_link(tx, name, actor=doing.actor)}"
