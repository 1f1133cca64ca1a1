"""Whether a database may have forgotten attempts: it is compared with what is kept outside of it.

Before an attempt's key is used, the attempt's number and the server that it was committed on are kept
outside. What a failover or a restore forgets is missed by one of the two: the server is another one, or
an attempt that is known outside is unknown inside.

>>> here = "3f2a91c04be7/7712501918071824230/1/16402"
>>> why_forgetful(here=here, own=here, mark=Mark(here, (41, 42)), missing=())
>>> why_forgetful(here=here, own=here, mark=Mark(here, (41, 42)), missing=(42,))
'the database does not know attempt 42, which was sent: it is older than it was'
>>> promoted = "3f2a91c04be7/7712501918071824230/2/16402"
>>> why_forgetful(here=promoted, own=here, mark=None, missing=())
'the database is on another timeline than it was (1, now 2): a standby was promoted, or a backup restored'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KEPT_ATTEMPTS: Final = 64
"""Newest attempts that are kept outside. Transactions end in another order than their numbers, so that
the highest number alone would not miss one that ended last: more than senders work at a time."""

BEHIND: Final = "behind_its_watermark"
"""Why a send is left: what is kept outside has to be looked at again, and sending may have to stop."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What is kept outside of the database: where it was, and its newest attempts, ascending."""

    server: str
    attempts: tuple[int, ...]


def why_forgetful(
    *, here: str, own: str | None, mark: Mark | None, missing: Sequence[int]
) -> str | None:
    """Why the database may have forgotten attempts; None if it has not, as far as can be seen.

    ``here`` is the server that it is on now, ``own`` the one it says it was on when it last sent (None:
    it never did), ``mark`` what is kept outside (None: nothing is), and ``missing`` the attempts of the
    mark that it does not know.
    """
    for known in (own, None if mark is None else mark.server):
        if known is not None and known != here:
            return _other_server(known, here)
    if missing:
        return f"the database does not know attempt {max(missing)}, which was sent: it is older than it was"
    return None


def _other_server(was: str, now: str) -> str:
    parts = [*zip(was.split("/"), now.split("/"), strict=False)]
    words = ("of another installation", "on another server", "on another timeline", "another one")
    causes = (
        "two installations share one Valkey and namespace",
        "a copy or a restored backup, or PostgreSQL was upgraded",
        "a standby was promoted, or a backup restored",
        "a copy, or a restored backup",
    )
    for (before, after), word, cause in zip(parts, words, causes, strict=False):
        if before != after:
            return f"the database is {word} than it was ({before}, now {after}): {cause}"
    return f"the database is another one than it was ({was}, now {now})"
