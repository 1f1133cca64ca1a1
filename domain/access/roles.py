"""Roles of people, and what each is for.

>>> may("approver", "operator"), may("viewer", "operator")
(True, False)
"""

from typing import Final

ROLES: Final = ("viewer", "operator", "approver", "admin")
"""Each may do all that those before it may. A viewer looks; an operator pauses, retries, edits and stops
sending; an approver lets money go (runs, the end of a stop, second opinions); an admin also ends other
people's sessions. People are made and given roles by `payspool users` only."""


def may(role: str, needed: str) -> bool:
    """Whether a person with ``role`` may do what needs ``needed``."""
    return ROLES.index(role) >= ROLES.index(needed)
