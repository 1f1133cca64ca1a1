"""What is wrong with a gateway account before anything is sent."""


class GatewayError(Exception):
    """The base of this package's errors."""


class KeyRefused(GatewayError):
    """An API key must not be used for this merchant or at this address; it is not shown."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"This API key is refused: {why}")
