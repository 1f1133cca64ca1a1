"""The words for what pydantic refuses: a stable reason code and a sentence for people."""

from __future__ import annotations

from typing import Final

from pydantic_core import ErrorDetails

from payspool_client.events.fields import EMAIL_HASH, NO_BLANK_AT_THE_ENDS, NO_CURRENCY

#: Codes that our own validators raise; their message is the sentence.
_OURS: Final = frozenset({"missing_field", "ambiguous_refund", "zero", "invalid_currency"})

_TYPES: Final = {
    "int_type": "must be an integer, without quotes, fraction or exponent",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def sentence_of(error: ErrorDetails) -> tuple[str, str]:
    """The reason code of a validation error, and the rest of the sentence that the field begins."""
    kind = error["type"]
    limits = error.get("ctx", {})
    if kind in _OURS:
        return kind, error["msg"]
    if kind in _TYPES:
        return "wrong_type", _TYPES[kind]
    match kind:
        case "missing":
            return "missing_field", "is needed"
        case "string_too_long":
            return "too_long", f"must have at most {limits['max_length']} characters"
        case "too_long":
            return "too_long", f"must have at most {limits['max_length']} entries"
        case "string_too_short" if limits["min_length"] == 1:
            return "empty", "must not be empty"
        case "string_too_short":
            return "too_short", f"must have at least {limits['min_length']} characters"
        case "string_pattern_mismatch" if limits["pattern"] == NO_BLANK_AT_THE_ENDS:
            return "blank", "must not begin or end with a blank"
        case "string_pattern_mismatch" if limits["pattern"] == EMAIL_HASH:
            return "invalid_value", "must be 64 lower-case hexadecimal digits, as email_hash gives"
        case "string_pattern_mismatch":
            return "invalid_currency", NO_CURRENCY
        case "literal_error":
            return "invalid_value", f"must be one of {limits['expected']}"
        case "greater_than_equal" | "greater_than":
            return _too_small(error)
        case _:
            return "invalid_value", f"is not valid ({kind})"


def _too_small(error: ErrorDetails) -> tuple[str, str]:
    is_amount = str(error["loc"][-1]).endswith("amount")
    if is_amount and error["input"] < 0:
        return "negative_amount", "must not be negative; send a refund or an adjustment instead"
    return "not_positive", "must be greater than 0"
