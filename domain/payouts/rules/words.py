"""What people have to say for what they do: it is kept with it, and others decide by it.

>>> said("reason", "  wrong amounts ", "say why")
'wrong amounts'
"""

from typing import Final

from domain.errors import Invalid

MAX_WORDS: Final = 500
"""Longest reason, evidence or note (as the columns)."""
MAX_REFERENCE: Final = 255
"""Longest reference of a bank or a gateway (as the columns)."""


def said(field: str, given: str, ask: str) -> str:
    """What was given, without blanks around it. Raises Invalid, which asks for it: ``say why``."""
    words = given.strip()
    if not 1 <= len(words) <= MAX_WORDS or "\0" in words:
        raise Invalid(field, f"{ask}, in 1 to {MAX_WORDS} characters")
    return words


def line(field: str, given: str, longest: int = MAX_WORDS) -> str:
    """The same of what stands in one line with other things, as a reference. Raises Invalid."""
    words = given.strip()
    if not 1 <= len(words) <= longest or not words.isprintable():
        raise Invalid(field, f"is 1 to {longest} printable characters")
    return words
