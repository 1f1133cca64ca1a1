"""Dropping connections for real: what the client sees is a TCP close or reset, not a response.

An ASGI application cannot close its connection; this protocol hands it the transport, through the
`state` that uvicorn copies into every request's scope.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

TRANSPORT = "transport"


class DroppableProtocol(H11Protocol):
    """HTTP/1.1 over a connection that the application may drop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make the transport reachable from the scope of this connection's requests."""
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


def reset(transport: Any) -> None:
    """Drop the connection with a TCP reset, as a dying host or a firewall does."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        linger_for_nothing = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing)
    transport.abort()


def close(transport: Any) -> None:
    """Close the connection in good order, after what was already written."""
    transport.close()
