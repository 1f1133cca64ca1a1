"""The endpoints of the sandbox, gathered: what the application serves and what `expand` can fill in.

A new resource is a module under `sandbox/resources` with `ROUTES` and, if others expand into it, a
loader; both are named here and nowhere else.
"""

import re
from collections.abc import Mapping

from sandbox.call import Json, Route
from sandbox.errors import ApiError
from sandbox.expand import Expander
from sandbox.params import parse
from sandbox.resources import (
    account_links,
    account_objects,
    accounts,
    balance,
    balance_transactions,
    capabilities,
    charges,
    events,
    external_accounts,
    payouts,
    reversals,
    topups,
    transfer_objects,
    transfers,
    webhook_endpoints,
)

ROUTES: tuple[Route, ...] = (
    *accounts.ROUTES,
    *capabilities.ROUTES,
    *account_links.ROUTES,
    *external_accounts.ROUTES,
    *transfers.ROUTES,
    *reversals.ROUTES,
    *payouts.ROUTES,
    *balance.ROUTES,
    *balance_transactions.ROUTES,
    *topups.ROUTES,
    *charges.ROUTES,
    *events.ROUTES,
    *webhook_endpoints.ROUTES,
)

EXPANDER = Expander(
    expandable={
        "balance_transaction": balance_transactions.EXPANDABLE,
        "bank_account": external_accounts.EXPANDABLE,
        "capability": capabilities.EXPANDABLE,
        "charge": charges.EXPANDABLE,
        "payout": payouts.EXPANDABLE,
        "refund": charges.REFUND_EXPANDABLE,
        "topup": topups.EXPANDABLE,
        "transfer": transfers.EXPANDABLE,
        "transfer_reversal": reversals.EXPANDABLE,
    },
    loaders={
        "account": account_objects.load,
        "balance_transaction": balance_transactions.load,
        "bank_account": external_accounts.load,
        "charge": charges.load,
        "payout": payouts.load,
        "refund": charges.load_refund,
        "refunds": charges.load_refunds,
        "topup": topups.load,
        "transfer": transfer_objects.load_transfer,
        "transfer_reversal": transfer_objects.load_reversal,
    },
)


class RouteUnknown(ApiError):
    """No endpoint of the sandbox has this method and address."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(
            404,
            f"Unrecognized request URL ({method}: {path}). The sandbox serves a part of the API; "
            "GET /_sandbox/endpoints lists it.",
        )


class Router:
    """Finds the endpoint of a request: fixed paths by look-up, paths with ids by pattern."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._fixed: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Route]] = []
        for route in routes:
            if "{" not in route.path:
                self._fixed[route.method, route.path] = route
                continue
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            self._patterns.append((route.method, re.compile(pattern), route))

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Return the endpoint and the ids in its address.

        Raises:
            RouteUnknown: there is none.
        """
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        for verb, pattern, route in self._patterns:
            if verb == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        raise RouteUnknown(method, path)


def validated(route: Route, raw: Json) -> Json:
    """Return the parameters of a request to an endpoint, checked as far as they alone can be.

    Raises:
        InvalidParameter: a parameter is unknown, missing, malformed or refused.
    """
    params = parse(route.spec, raw)
    EXPANDER.check(params.get("expand", ()), route.returns, lists=route.lists)
    if route.check is not None:
        route.check(params)
    return params
