"""One browser's page: whose it is, in which zone and language, and how it reads and acts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from anyio import CapacityLimiter, to_thread
from babel import Locale, UnknownLocaleError
from fastapi import Request
from sqlalchemy import text

from domain.access import sessions
from domain.access.sessions import User
from domain.db import Tx, transaction
from web.dashboard.context import DashboardContext

SESSION: Final = "payspool_session"
ZONE: Final = "payspool_zone"
DARK: Final = "payspool_dark"

READERS: Final = 4
"""Pages that read at once; more wait, so that no crowd of pages takes the database from workers."""

T = TypeVar("T")


class SignedOut(Exception):
    """The session is over, or the person is disabled."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks at a page.

    ``user`` is who they were when the page was made; what is done is checked again (`present`).
    """

    context: DashboardContext
    user: User
    token: str | None = field(repr=False)
    zone: ZoneInfo
    locale: Locale
    dark: str
    path: str
    query: dict[str, str]
    limiter: CapacityLimiter = field(repr=False)

    async def read(self, work: Callable[[Tx], T]) -> T:
        """What ``work`` reads in a transaction, in a thread, within bounded time. Raises SignedOut."""

        def bounded() -> T:
            with transaction(self.context.engine) as tx:
                limit = f"{int(self.context.statement_seconds * 1000)}ms"
                tx.execute(
                    text(
                        "SELECT set_config('statement_timeout', :limit, true),"
                        " set_config('transaction_read_only', 'on', true)"
                    ),
                    {"limit": limit},
                )
                present(tx, self)
                return work(tx)

        return await to_thread.run_sync(bounded, limiter=self.limiter)

    async def look(self, work: Callable[[], T]) -> T:
        """What ``work`` reads from elsewhere than SQL, in a thread."""
        return await to_thread.run_sync(work, limiter=self.limiter)

    def with_query(self, **changed: Any) -> str:
        """This page's address with other filters; None takes one out."""
        merged: dict[str, Any] = {**self.query, **changed}
        kept = {name: value for name, value in merged.items() if value not in (None, "")}
        return self.path + (f"?{urlencode(kept)}" if kept else "")

    def number(self, name: str) -> int | None:
        """A filter that is a whole number, or None."""
        return whole(self.query.get(name, ""))


def whole(said: str) -> int | None:
    """A number that a row can have, or None.

    >>> whole("7"), whole("²"), whole("-1"), whole("9" * 30)
    (7, None, None, None)
    """
    return int(said) if re.fullmatch(r"[0-9]{1,18}", said) else None


def present(tx: Tx, visit: Visit) -> User:
    """Who the visitor is now. Raises SignedOut if their session is over or they are disabled."""
    if visit.token is not None:
        user = sessions.user_of(tx, visit.token)
    else:
        user = sessions.user_named(tx, visit.user.name)
    if user is None or user.id != visit.user.id:
        raise SignedOut
    return user


def visit_of(request: Request, context: DashboardContext, limiter: CapacityLimiter) -> Visit:
    """The visit that a request begins; the gate has let it in."""
    cookies = request.cookies
    return Visit(
        context,
        user=request.scope["payspool_user"],
        token=request.scope["payspool_token"],
        zone=zone_named(cookies.get(ZONE, "")),
        locale=locale_wanted(request.headers.get("accept-language", "")),
        dark=cookies.get(DARK, "auto"),
        path=request.url.path,
        # PostgreSQL stores no NUL, so nothing has one.
        query={name: said.replace("\0", "") for name, said in request.query_params.items()},
        limiter=limiter,
    )


def zone_named(name: str) -> ZoneInfo:
    """An IANA zone by name; UTC if there is none of that name."""
    return ZoneInfo(name if name in _ZONES else "UTC")


_ZONES: Final = frozenset(available_timezones())


def locale_wanted(header: str) -> Locale:
    """The first language of an Accept-Language header that is known; English if none is."""
    for part in header.split(",")[:10]:
        tag = part.partition(";")[0].strip().replace("-", "_")
        try:
            return Locale.parse(tag)
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return Locale("en")
