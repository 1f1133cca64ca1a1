"""What the sandbox refuses, in the shape of Stripe's error bodies.

Every refusal is an `ApiError`: an HTTP status and the fields of Stripe's `error` hash. The classes
below name the conditions; messages say what to do, in the sandbox's own words.
"""

from collections.abc import Mapping
from typing import Any

_DOCUMENTATION = "https://docs.stripe.com/error-codes/"


class SandboxError(Exception):
    """The base of everything that this package raises on purpose."""


class BooksViolated(SandboxError):
    """A movement of money would have broken the books; it was refused and rolled back."""


class ApiError(SandboxError):
    """A refusal that the caller sees as Stripe's error body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})

    def body(self, request_id: str, now: int) -> dict[str, Any]:
        """Return the JSON body; absent fields are left out, as Stripe does."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = _DOCUMENTATION + self.code.replace("_", "-")
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={now}"
        return {"error": {**error, **self.fields}}


class InvalidParameter(ApiError):
    """A parameter was refused before execution began, so no key remembers it."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(400, message, code=code, param=param)


class ParameterUnknown(InvalidParameter):
    """The API has no such parameter."""

    def __init__(self, param: str) -> None:
        super().__init__(f"Received unknown parameter: {param}", param, "parameter_unknown")


class ParameterMissing(InvalidParameter):
    """A required parameter was not sent."""

    def __init__(self, param: str) -> None:
        super().__init__(f"Missing required param: {param}.", param, "parameter_missing")


class ParameterUnsupported(InvalidParameter):
    """Stripe has the parameter; the sandbox says why it does not act on it."""

    def __init__(self, param: str, reason: str) -> None:
        super().__init__(
            f"The sandbox does not implement `{param}`: {reason}.", param, "sandbox_unsupported"
        )


class ResourceMissing(ApiError):
    """An id names nothing that the caller can see: 404 in an address, 400 in a parameter."""

    def __init__(self, kind: str, id: str, param: str, *, status: int = 404) -> None:
        super().__init__(status, f"No such {kind}: '{id}'", code="resource_missing", param=param)
        self.kind = kind
        self.id = id


class AccountInvalid(ApiError):
    """The key has no access to that account: unknown, another platform's, revoked or closed."""

    def __init__(self, account: str, param: str | None = None) -> None:
        super().__init__(
            403,
            f"The provided key does not have access to account '{account}' (or that account does "
            "not exist). Application access may have been revoked.",
            code="account_invalid",
            param=param,
        )
        self.account = account


class Unauthorized(ApiError):
    """No key, a malformed one, or one that the sandbox does not know."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(
            401, message, code=code, headers={"WWW-Authenticate": 'Basic realm="Stripe"'}
        )


class BalanceInsufficient(ApiError):
    """The available balance does not cover the amount (minor units)."""

    def __init__(self, account: str, available: int, amount: int, currency: str) -> None:
        super().__init__(
            400,
            f"Insufficient funds in {account}: {available} {currency} available in minor units, "
            f"{amount} needed. Add funds with a top-up, or POST /_sandbox/fund.",
            code="balance_insufficient",
        )
        self.available = available
        self.amount = amount
        self.currency = currency
