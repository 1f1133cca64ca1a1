"""Metadata as Stripe changes it, and what an update event says was there before."""

from sandbox.call import Json
from sandbox.errors import InvalidParameter
from sandbox.params import MAX_METADATA_KEYS


def fresh(sent: dict[str, str] | None) -> dict[str, str]:
    """Return the metadata of a new object; empty values set nothing."""
    return {key: value for key, value in (sent or {}).items() if value}


def merged(held: dict[str, str], params: Json) -> dict[str, str]:
    """Return the metadata after an update: keys are added, replaced, or unset by an empty value.

    An empty value for the whole of `metadata` unsets every key; leaving it out changes nothing.

    Raises:
        InvalidParameter: the object would have over 50 keys.
    """
    if "metadata" not in params:
        return held
    sent = params["metadata"]
    if sent is None:
        return {}
    result = {key: value for key, value in {**held, **sent}.items() if value}
    if len(result) > MAX_METADATA_KEYS:
        message = f"metadata can have up to {MAX_METADATA_KEYS} keys, it would have {len(result)}."
        raise InvalidParameter(message, "metadata")
    return result


def changed(before: Json, after: Json) -> Json:
    """Return `previous_attributes`: the former values of what differs, nested hashes likewise.

    A key that was not there before reads None.
    """
    previous: Json = {}
    for key, value in after.items():
        former = before.get(key)
        if former == value:
            continue
        if isinstance(former, dict) and isinstance(value, dict):
            previous[key] = {
                inner: former.get(inner)
                for inner in {**former, **value}
                if former.get(inner) != value.get(inner)
            }
        else:
            previous[key] = former
    return previous
