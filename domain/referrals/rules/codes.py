"""How codes are made, and how a typing error is caught.

>>> code = make_code(iter(range(100)))
>>> code, has_good_check(code), has_good_check("REF-234569")
('REF-23456J', True, False)
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters; without 0, O, 1 and I, which people mix up."""
_LETTERS: Final = bytes(ord(ALPHABET[byte % 32]) for byte in range(256))
_SUMS: Final = tuple(
    bytes(factor * (byte % 32) // 32 + factor * (byte % 32) % 32 for byte in range(256))
    for factor in (1, 2)
)
"""What a byte adds to the sum of the check character, by its factor: see ``check_character``."""
PREFIX: Final = "REF-"
RANDOM_CHARACTERS: Final = 5
"""32^5 = 33 million codes of the default form; longer where a merchant has many."""


def make_code(draws: Iterator[int] | None = None, *, length: int = RANDOM_CHARACTERS) -> str:
    """A code ``REF-`` + ``length`` characters + a check character. ``draws`` replaces the random source."""
    body = "".join(
        ALPHABET[next(draws) % 32] if draws else secrets.choice(ALPHABET) for _ in range(length)
    )
    return PREFIX + body + check_character(body)


def make_codes(number: int, *, length: int, random: Callable[[int], bytes]) -> list[str]:
    """``number`` codes of that length, drawn at once from ``random`` bytes. Two may be equal.

    >>> make_codes(2, length=5, random=lambda n: bytes(range(n)))
    ['REF-23456J', 'REF-789ABA']
    """
    drawn = random(number * length)
    # 256 is a multiple of 32: the lowest five bits of a random byte are as good as any draw.
    bodies = drawn.translate(_LETTERS).decode("ascii")
    sums = [drawn[at::length].translate(_SUMS[(length - at) % 2]) for at in range(length)]
    checks = (ALPHABET[-sum(column) % 32] for column in zip(*sums, strict=True))
    return [
        PREFIX + bodies[at : at + length] + check
        for at, check in zip(range(0, number * length, length), checks, strict=True)
    ]


def canonical(code: str) -> str:
    """A code as it was typed, in the form of ours if it is one: upper case, without blanks around it.

    >>> canonical(" ref-23456j "), canonical("Summer-26")
    ('REF-23456J', 'Summer-26')
    """
    stripped = code.strip()
    return stripped.upper() if has_good_check(stripped.upper()) else stripped


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
