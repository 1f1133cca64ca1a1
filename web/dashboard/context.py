"""What the dashboard is built from. Built by the composition root, passed down as a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

import redis
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import Tx
from domain.dead_letters.service import PutBack
from domain.merchants.service import Merchant
from domain.payouts.rules.breaker import Balance
from domain.secrets import SecretBox
from domain.webhooks.addresses import Reach, Resolve
from queues.pause import PauseLog
from queues.workforce import QuietLog
from web.dashboard.bank import BankDesk


class QueueLog(PauseLog, QuietLog, Protocol):
    """Where it is kept who paused what, and quieted whom."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who gets in, and from where.

    Attributes:
        url: Where people reach the dashboard; empty: whatever host they name. With https, cookies are
            `Secure`.
        session: How long somebody stays signed in.
        sso_header: Holds the name of who is signed in, if it comes from one of `proxies`.
        proxies: Networks of trusted proxies.
    """

    url: str = ""
    session: timedelta = timedelta(hours=12)
    sso_header: str = ""
    proxies: Sequence[IPv4Network | IPv6Network] = ()

    @property
    def secure(self) -> bool:
        """Whether browsers come over https."""
        return self.url.startswith("https://")


@dataclass(frozen=True, slots=True)
class Receivers:
    """What webhook endpoints are added by.

    Attributes:
        box: Encrypts their secrets.
        reach: How far webhooks go.
        resolve: Asks for the addresses of a name, over the network.
    """

    box: SecretBox = field(repr=False)
    reach: Reach
    resolve: Resolve


@dataclass(frozen=True, slots=True)
class DashboardContext:
    """Everything that the dashboard needs from outside.

    Attributes:
        engine: PostgreSQL, as the runtime role.
        redis: The queues' server.
        namespace: What Payspool's keys begin with there.
        queues: Queues that are shown even while nothing was ever on them.
        log: Keeps who paused and resumed queues, for one who acts.
        put_back: Puts a dead letter's message on its queue again, in the transaction that decides so.
        balance: Asks the gateway of a merchant and method for its balance, over the network; never raises.
        bank: Writes bank files and reads statements.
        receivers: By what webhook endpoints are added; None: not from this dashboard.
        expires: Books the expiry of a merchant's points, once a program of it has points that can expire.
        rate: Payouts a second, by which a run's sends are spread.
        access: See `Access`.
        statement_seconds: How long one statement of a page may take.
    """

    engine: Engine
    redis: redis.Redis = field(repr=False)
    namespace: str
    queues: Sequence[str]
    log: Callable[[Actor], QueueLog]
    put_back: Callable[[Tx], PutBack]
    balance: Callable[[int, str], Balance] | None = field(default=None, repr=False)
    bank: BankDesk | None = field(default=None, repr=False)
    receivers: Receivers | None = None
    expires: Callable[[Tx, Merchant], None] | None = None
    rate: float = 0.0
    access: Access = Access()
    statement_seconds: float = 5.0
