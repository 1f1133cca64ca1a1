"""What one application holds while it runs, and how an endpoint gets at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from payspool_client import Publisher
from web.context import ApiContext
from web.probes import Probe


@dataclass(frozen=True, slots=True)
class Services:
    """The context, and what all requests share: the publisher, the looks at dependencies and sweeps."""

    context: ApiContext
    publisher: Publisher
    probes: Sequence[Probe]
    sweeps: Probe


def services(request: Request) -> Services:
    """The services of the application that serves this request."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found
