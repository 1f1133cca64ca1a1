"""Sends one request to an endpoint of somebody else's choosing, and trusts nothing about it.

The address is looked up here and vetted, and that very address is connected to: a name that leads elsewhere
a moment later leads nowhere. Redirects are answers like others. All of it ends within its time, however
slowly the other side speaks.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from domain.webhooks import addresses, rules
from domain.webhooks.addresses import Reach, Resolve, Target
from domain.webhooks.deliveries import Answer

READ_MAX: Final = 4096
"""Bytes of an answer's body that are read."""


def resolve(host: str) -> list[str]:
    """The addresses of a name by this machine's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts within ``seconds``, connection included; ``resolve`` is asked for the addresses of names."""

    reach: Reach
    resolve: Resolve = resolve
    seconds: float = rules.SECONDS
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, url: str, mode: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What came of it. Never raises: whatever goes wrong is an answer without a status."""
        started = time.monotonic()

        def since() -> int:
            return round((time.monotonic() - started) * 1000)

        target = addresses.parse(url)
        if isinstance(target, str):
            return Answer(None, since(), f"the address {target}")
        allowed = addresses.vetted(target, mode, self.reach, self.resolve)
        if isinstance(allowed, str):
            return Answer(None, since(), allowed)
        connection = _Pinned(target, allowed, self.seconds, self.tls)
        alarm = threading.Timer(self.seconds, connection.give_up)
        alarm.daemon = True
        alarm.start()
        try:
            connection.request("POST", target.path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            text = answer.read(READ_MAX)
        except Exception as error:
            late = connection.given_up or isinstance(error, TimeoutError)
            return Answer(None, since(), self._late() if late else _sentence(error))
        finally:
            alarm.cancel()
            connection.close()
        if connection.given_up:
            # What was read may be cut off where the time was over: it is no answer.
            return Answer(None, since(), self._late())
        return Answer(
            answer.status,
            since(),
            response=_readable(text),
            retry_after=answer.getheader("retry-after"),
        )

    def _late(self) -> str:
        return f"no answer within {self.seconds:g} s"


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that are known to be allowed, in the name of their host."""

    def __init__(
        self, target: Target, allowed: tuple[str, ...], seconds: float, tls: ssl.SSLContext
    ) -> None:
        super().__init__(target.host, target.port, timeout=seconds)
        # What `Host` says of the port: nothing where it is the scheme's own.
        self.default_port = 443 if target.scheme == "https" else 80
        self._allowed = allowed
        self._tls = tls if target.scheme == "https" else None
        self._lock = threading.Lock()
        self._raw: socket.socket | None = None
        self.given_up = False

    def connect(self) -> None:
        """Connect to the first of the addresses that takes it, within the time that is left."""
        deadline = time.monotonic() + float(self.timeout or 0)
        failed: OSError | None = None
        for address in self._allowed:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                made = socket.create_connection((address, self.port), left)
                break
            except OSError as error:
                failed = error
        else:
            assert failed is not None
            raise failed
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            self._found(made)
            return
        # The handshake comes after: meanwhile the alarm has to know whom to wake.
        wrapped = self._tls.wrap_socket(
            made, server_hostname=self.host, do_handshake_on_connect=False
        )
        self._found(wrapped)
        wrapped.do_handshake()

    def _found(self, made: socket.socket) -> None:
        self.sock = made
        with self._lock:
            self._raw = made
            if self.given_up:
                raise TimeoutError

    def give_up(self) -> None:
        """Wake whoever reads or writes: the time is over. Called by another thread."""
        with self._lock:
            self.given_up = True
            if self._raw is not None:
                # The socket's own: of a TLS connection it would take the state from under its reader.
                with suppress(OSError):
                    socket.socket.shutdown(self._raw, socket.SHUT_RDWR)


def _sentence(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:300] if said else type(error).__name__


def _readable(text: bytes) -> str:
    shown = text.decode("utf-8", "replace")[: rules.RESPONSE_SHOWN]
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in shown)
