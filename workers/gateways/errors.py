"""What is wrong with a gateway account before anything is sent."""

from domain.errors import DomainError


class GatewayError(DomainError):
    """The base of this package's errors."""


class KeyRefused(GatewayError):
    """An API key must not be used for this merchant or at this address; it is not shown."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"This API key is refused: {why}")


class GatewaySilent(GatewayError):
    """A gateway did not tell whose key it is; nothing was changed, and nothing is sent."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(
            f"{address} did not say which account the key belongs to: {why}. Try again when it answers."
        )
