"""Valkey: its configuration, and how to tell that it serves."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from payspool.embedded.folders import make_server_folder
from payspool.embedded.guarding import Rank
from payspool.embedded.server import Server, Setup

SOCKET_NAME = "valkey.sock"
MAX_CLIENTS = 2000
PROBE_TIMEOUT_S = 1.0
LOADING = b"-LOADING"

# `appendfsync always` and `noeviction`: an acknowledged message is on the disk, and when memory ends
# a producer gets an error instead of somebody's message being dropped. `aof-load-truncated`: the
# half-written last command of a crash is cut off, it was never acknowledged.
TEMPLATE = """\
# Written at every start of Payspool; your own settings go into valkey.local.conf beside this file.
port {port}
bind 127.0.0.1
protected-mode yes
unixsocket {socket}
unixsocketperm 700
dir {dir}
daemonize no
supervised no
logfile ""
loglevel notice
databases 16
maxclients {max_clients}
maxmemory {maxmemory}
maxmemory-policy noeviction
save ""
appendonly yes
appendfsync {fsync}
aof-load-truncated yes
no-appendfsync-on-rewrite no
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
{password}include {local}
"""


class Valkey(Server):
    """The Valkey in the box."""

    name = "valkey"
    title = "Valkey"
    rank = Rank.VALKEY
    stop_steps = ((signal.SIGTERM, 6.0),)

    def __init__(self, setup: Setup, port: int | None, maxmemory_bytes: int) -> None:
        super().__init__(setup, port)
        self.maxmemory_bytes = maxmemory_bytes
        self._last_answer = b""

    @property
    def socket_path(self) -> Path:
        return self.run_dir / SOCKET_NAME

    def url(self) -> str:
        """For redis-py, over the socket."""
        login = f":{self.password}@" if self.password else ""
        return f"unix://{login}{quote(str(self.socket_path))}"

    def tcp_url(self) -> str | None:
        """For redis-py, over TCP, if a port was asked for."""
        if self.port is None:
            return None
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        make_server_folder(self.data, self.account)
        local = self.places.conf / "valkey.local.conf"
        if not local.exists():
            local.write_text("# Settings here win over those in valkey.conf.\n")
        self.account.share_for_reading(local, 0o600)
        text = TEMPLATE.format(
            port=self.port or 0,
            socket=_quoted(self.socket_path),
            dir=_quoted(self.data),
            max_clients=MAX_CLIENTS,
            maxmemory=self.maxmemory_bytes,
            fsync="always" if self.durable else "everysec",
            password=f"requirepass {self.password}\n" if self.password else "",
            local=_quoted(local),
        )
        conf = self.places.conf / "valkey.conf"
        conf.touch(mode=0o600)
        conf.write_text(text)
        self.account.share_for_reading(conf, 0o600)

    def command(self) -> list[str | Path]:
        return [self.binaries.valkey_server, self.places.conf / "valkey.conf"]

    def answers(self) -> bool:
        self._last_answer = self._ping()
        # NOAUTH is an answer of a server that is ready and wants its password first.
        return self._last_answer.startswith((b"+PONG", b"-NOAUTH"))

    def is_recovering(self) -> bool:
        return self._last_answer.startswith(LOADING)

    def _ping(self) -> bytes:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
            client.settimeout(PROBE_TIMEOUT_S)
            try:
                client.connect(os.fspath(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(256)
            except OSError:
                return b""


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
