"""Builds the HTTP API of a process from its settings, and finds it a port."""

import errno
import os
import socket
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from domain.db import connect
from migrations import apply
from payspool import runtime
from payspool.metrics.state import StateCollector
from payspool.metrics.work import build_registry
from payspool.runtime import QUEUES, balances, gateways_of, secret_box
from payspool.settings import BadSettings, Settings
from web.app import create_app
from web.context import ApiContext, ApiLimits, Metrics
from workers.dead_letters import put_back
from workers.pause_log import AuditedPauses
from workers.posting import resolve

PORTS_TRIED: Final = 50
PORT_MAX: Final = 65_535
BACKLOG: Final = 2_048
DASHBOARD_CONNECTIONS: Final = 4
"""Connections to PostgreSQL that the dashboard keeps; as many again in a crowd."""


def listen(
    host: str, wanted: int, port_file: Path | None = None, *, variable: str = "PAYSPOOL_API"
) -> socket.socket:
    """A socket that takes connections at the port ``wanted`` (0: any free one).

    With ``port_file`` a port that is taken is passed over, and the one that was found is written there.
    If the file is there already, this API is started again: its clients know that port, so it is that
    one or none. Whoever looked for a free port and left the listening to another process would find
    the same one as a second instance that starts at the same time.

    Raises BadSettings, naming the variables that begin with ``variable``, if there is no such port or address.
    """
    ports = range(wanted, min(wanted + PORTS_TRIED, PORT_MAX + 1)) if wanted else range(1)
    if port_file is None:
        ports = range(wanted, wanted + 1)
    elif port_file.exists():
        known = int(port_file.read_text())
        ports = range(known, known + 1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        try:
            listener = _bound(family, host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise BadSettings(
                    f"{variable}_HOST, {variable}_PORT: {host} port {port} cannot be listened on"
                    f" ({error.strerror or error})."
                ) from None
            continue
        if port_file is not None:
            _write(port_file, listener.getsockname()[1])
        return listener
    raise BadSettings(
        f"{variable}_PORT: no port is free from {ports[0]} to {ports[-1]}; choose another."
    )


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # The protocol is named: asyncio turns Nagle's delay off only on sockets that say TCP, and an answer,
    # written as head and body, would otherwise wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _write(port_file: Path, port: int) -> None:
    """So that a reader sees the whole of it or nothing."""
    part = port_file.with_name(f".{port_file.name}.{os.getpid()}")
    part.write_text(str(port))
    part.replace(port_file)


def build_app(settings: Settings) -> FastAPI:
    """The API as an ASGI application. Raises BadSettings without addresses or keys."""
    if settings.database_url is None or settings.redis_url is None:
        raise BadSettings("Set PAYSPOOL_DATABASE_URL and PAYSPOOL_REDIS_URL, or run `payspool up`.")
    limits = ApiLimits(
        rate_per_second=settings.api_rate,
        burst_seconds=settings.api_burst_seconds,
        backlog_messages=settings.api_backlog,
    )
    registry = build_registry("api")
    registry.register(
        StateCollector(
            # Of its own: requests that hold every connection are no reason to call the database away.
            connect(settings.database_url, pool_size=1, application_name="payspool metrics"),
            settings.redis_url,
            settings.namespace,
            QUEUES,
        )
    )
    engine = connect(
        settings.database_url, pool_size=limits.threads // 2, application_name="payspool api"
    )
    return create_app(
        ApiContext(
            engine=engine,
            redis_url=settings.redis_url,
            namespace=settings.namespace,
            box=secret_box(settings),
            revision=apply.newest(),
            limits=limits,
            queues=QUEUES,
            pause_log=partial(AuditedPauses, engine),
            put_back=partial(put_back, runtime.build(settings, pool_size=1, process="api")),
            balance=balances(gateways_of(settings, engine)),
            reach=runtime.reach(settings),
            resolve=resolve,
            metrics=Metrics(
                lambda: generate_latest(registry), CONTENT_TYPE_LATEST, settings.metrics_token
            ),
        )
    )


def build_dashboard(settings: Settings) -> FastAPI:
    """The operators' dashboard as an ASGI application. Raises BadSettings without addresses or keys."""
    from payspool.bank_desk import Desk
    from payspool.installing import expiry_schedule
    from web.dashboard.app import create_dashboard
    from web.dashboard.context import Access, DashboardContext, Receivers

    rt = runtime.build(settings, pool_size=DASHBOARD_CONNECTIONS, process="dashboard")
    box = secret_box(settings)
    proxies = settings.dashboard_trusted_proxies.split(",")
    return create_dashboard(
        DashboardContext(
            engine=rt.engine,
            redis=rt.redis,
            namespace=rt.namespace,
            queues=QUEUES,
            log=partial(AuditedPauses, rt.engine),
            put_back=partial(put_back, rt),
            balance=balances(gateways_of(settings, rt.engine)),
            bank=Desk(rt, box),
            receivers=Receivers(box, runtime.reach(settings), resolve),
            expires=expiry_schedule,
            rate=rt.pace.rate,
            access=Access(
                url=settings.dashboard_url,
                session=timedelta(hours=settings.dashboard_session_hours),
                sso_header=settings.dashboard_sso_header,
                proxies=[ip_network(one.strip()) for one in proxies if one.strip()],
            ),
        )
    )
