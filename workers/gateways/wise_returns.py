"""What came back at Wise: its list of transfers, narrowed to the states in which the payee does not get the money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.payouts.gateway import ReturnsPage
from workers.gateways.wise_http import WiseHttp
from workers.gateways.wise_objects import CAME_BACK, as_listed

PAGE: Final = 100
"""Transfers of one page: Wise's most."""


@dataclass(frozen=True, slots=True)
class WiseReturns:
    """See ``domain.payouts.gateway.Returns``."""

    http: WiseHttp
    account: str
    profile: str

    def page(self, *, made_from: date, passed: int) -> ReturnsPage:
        """See ``Returns``. Wise's own order is newest first, and its days are inclusive."""
        query = {
            "profile": self.profile,
            "status": ",".join(CAME_BACK),
            "createdDateStart": f"{made_from:%Y-%m-%d}",
            "limit": str(PAGE),
            "offset": str(passed),
        }
        reply = self.http.call("GET", "/v1/transfers", query=query)
        if not reply.ok or not isinstance(reply.body, list):
            why = reply.outcome.message or f"status {reply.outcome.http_status}"
            return ReturnsPage("silent", why=why[:500])
        seen = (as_listed(entry, self.account) for entry in reply.body)
        return ReturnsPage(
            "told",
            tuple(one for one in seen if one is not None),
            listed=len(reply.body),
            more=len(reply.body) >= PAGE,
        )
