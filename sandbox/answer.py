"""A response, before it is sent."""

from dataclasses import dataclass, field


@dataclass
class Answer:
    """A status, a body and the headers beside those that every answer has."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
