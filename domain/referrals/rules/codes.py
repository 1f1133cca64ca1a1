"""How codes are made, and how a typing error is caught.

>>> code = make_code(iter(range(100)))
>>> code, has_good_check(code), has_good_check("REF-234569")
('REF-23456J', True, False)
"""

import secrets
from collections.abc import Iterator
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters; without 0, O, 1 and I, which people mix up."""
PREFIX: Final = "REF-"
RANDOM_CHARACTERS: Final = 5
"""32^5 = 33 million codes of the default form; longer where a merchant has many."""


def make_code(draws: Iterator[int] | None = None, *, length: int = RANDOM_CHARACTERS) -> str:
    """A code ``REF-`` + ``length`` characters + a check character. ``draws`` replaces the random source."""
    body = "".join(
        ALPHABET[next(draws) % 32] if draws else secrets.choice(ALPHABET) for _ in range(length)
    )
    return PREFIX + body + check_character(body)


def check_character(body: str) -> str:
    """Luhn mod N (N = 32) over ``body``: catches one wrong character and most swaps of neighbours."""
    total, factor = 0, 2
    for character in reversed(body):
        product = ALPHABET.index(character) * factor
        total += product // 32 + product % 32
        factor = 3 - factor
    return ALPHABET[-total % 32]


def has_good_check(code: str) -> bool:
    """Whether a code of our own form carries the right check character."""
    body = code.removeprefix(PREFIX)
    return (
        code.startswith(PREFIX)
        and len(body) > 1
        and all(character in ALPHABET for character in body)
        and check_character(body[:-1]) == body[-1]
    )


def not_there(code: str) -> str:
    """What is said of an unknown code: one of our own making tells itself whether it was mistyped."""
    mistyped = code.startswith(PREFIX) and not has_good_check(code)
    return f"there is no code {code}" + (
        "; its check character does not fit, as after a typing error" if mistyped else ""
    )
