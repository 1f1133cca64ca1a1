"""Whose token it is: the profile that pays, as Wise says it; and recipients, made at Wise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Invalid
from domain.merchants.rules import Mode, check_wise_token
from workers.gateways.errors import GatewaySilent, KeyRefused
from workers.gateways.wise_http import Reply, WiseHttp

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 10.0
"""Longest wait for a connection and for the answer: a person waits for it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A person or a business behind a token, and the user whose token it is."""

    id: str
    type: str
    user: str

    @property
    def account(self) -> str:
        """What an attempt goes through: the profile that pays, and the user who asks.

        The name of a transfer is one user's own, as far as Wise says: under another user's token of the
        same profile it could be made again.
        """
        return f"{self.id}/{self.user}"


class RecipientRefused(Invalid):
    """Wise does not take a recipient; the message is its own, and names fields, not their values."""

    def __init__(self, why: str) -> None:
        super().__init__("recipient", f"Wise refuses it: {why}")


def paying_profile(token: str, base_url: str, *, mode: Mode, wanted: str | None = None) -> Profile:
    """The profile ``wanted``, or the one business profile of a token: ``GET /v1/me`` and ``/v2/profiles``.

    Raises KeyRefused if Wise does not take the token or it is not for this merchant or address, Invalid if
    it has no such profile, or several that it could be, and GatewaySilent if nobody answered.
    """
    with _opened(token, base_url, mode) as http:
        me = http.call("GET", "/v1/me")
        _check(me, base_url)
        reply = http.call("GET", "/v2/profiles")
        _check(reply, base_url)
    try:
        user = str(int(me.body["id"]))
        profiles = [
            Profile(str(int(one["id"])), str(one["type"]).upper(), user) for one in reply.body
        ]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise GatewaySilent(base_url, "the answer is no list of profiles") from None
    if wanted is None:
        found = [one for one in profiles if one.type == "BUSINESS"]
    else:
        found = [one for one in profiles if one.id == wanted]
    if len(found) != 1:
        known = ", ".join(f"{one.id} ({one.type.lower()})" for one in profiles) or "none"
        raise Invalid("profile", f"name the one that pays; the token has {known}")
    return found[0]


def make_recipient(
    token: str, base_url: str, *, mode: Mode, profile: str, body: Mapping[str, Any]
) -> str:
    """Make a recipient at Wise, and return its number. Not in a transaction: it is a call.

    Wise makes another one each time; one that is never paid does no harm. Raises KeyRefused,
    RecipientRefused and GatewaySilent.
    """
    with _opened(token, base_url, mode) as http:
        reply = http.call("POST", "/v1/accounts", body={**body, "profile": int(profile)})
    if reply.made_nothing:
        raise RecipientRefused("; ".join([*reply.fields, *reply.said])[:200])
    _check(reply, base_url)
    made = reply.body.get("id") if isinstance(reply.body, dict) else None
    if isinstance(made, bool) or not isinstance(made, int):
        raise GatewaySilent(base_url, "the answer is no recipient")
    return str(made)


@contextmanager
def _opened(token: str, base_url: str, mode: Mode) -> Iterator[WiseHttp]:
    problem = check_wise_token(token, base_url, mode)
    if problem is not None:
        raise KeyRefused(f"{problem}.")
    http = WiseHttp(token, base_url, CONNECT_SECONDS, READ_SECONDS)
    try:
        yield http
    finally:
        http.close()


def _check(reply: Reply, base_url: str) -> None:
    why = str(reply.outcome.message or f"status {reply.outcome.http_status}").rstrip(".")
    if reply.outcome.kind == "response" and reply.outcome.http_status in (401, 403):
        raise KeyRefused(f"{base_url} does not accept it ({why}).")
    if not reply.ok:
        raise GatewaySilent(base_url, why)
