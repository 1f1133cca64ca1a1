"""Form encoding with nested keys, as Stripe's v1 API reads it.

`metadata[a]=b`, `capabilities[transfers][requested]=true`, `expand[]=x` and `expand[0]=x` become
nested dictionaries; lists stay dictionaries with numeric keys until a parameter's kind says that
it wants a list.
"""

from typing import Any
from urllib.parse import parse_qsl

from sandbox.errors import ApiError

MAX_BYTES = 1_000_000
MAX_PARAMETERS = 1000
MAX_DEPTH = 8

Raw = dict[str, Any]


def _segments(key: str) -> list[str]:
    head, bracket, rest = key.partition("[")
    if not bracket:
        return [key]
    if not head or not rest.endswith("]"):
        raise ApiError(400, f"Invalid parameter name: {key}", param=key)
    return [head, *rest[:-1].split("][")]


def _put(target: Raw, key: str, value: str) -> None:
    segments = _segments(key)
    if len(segments) > MAX_DEPTH:
        raise ApiError(400, f"Parameter nested too deeply: {key}", param=key)
    for segment in segments[:-1]:
        nested = target.setdefault(segment or str(len(target)), {})
        if not isinstance(nested, dict):
            raise ApiError(400, f"Parameter is both a value and a hash: {key}", param=key)
        target = nested
    last = segments[-1] or str(len(target))
    if isinstance(target.get(last), dict):
        raise ApiError(400, f"Parameter is both a value and a hash: {key}", param=key)
    target[last] = value


def decode(*encoded: bytes) -> Raw:
    """Decode query strings and bodies into one nested dictionary; the later value wins.

    Raises:
        ApiError: too long, too many, not UTF-8, or a name is malformed.
    """
    if sum(len(part) for part in encoded) > MAX_BYTES:
        raise ApiError(413, f"The parameters are longer than {MAX_BYTES} bytes.")
    result: Raw = {}
    for part in encoded:
        if not part:
            continue
        try:
            pairs = parse_qsl(
                part.decode("utf-8"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_PARAMETERS,
            )
        except UnicodeDecodeError:
            raise ApiError(400, "Parameters must be UTF-8.") from None
        except ValueError:
            raise ApiError(400, f"More than {MAX_PARAMETERS} parameters were sent.") from None
        for key, value in pairs:
            _put(result, key, value)
    return result
