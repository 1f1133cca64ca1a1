"""Card numbers: what is accepted from producers, and what is made where they give none."""

import re
from typing import Final

NUMBER_MAX: Final = 50
"""Longest card number, as the column."""
SERIAL_DIGITS: Final = 12
"""Digits before the check digit of a generated number; longer serials grow beyond it."""

_FORM = re.compile(rf"[!-~]{{1,{NUMBER_MAX}}}")


def is_card_number(number: str) -> bool:
    """Whether ``number`` can name a card: 1 to 50 visible ASCII characters without blanks.

    Check digits of other systems differ, so a number that is given is not recomputed.
    """
    return _FORM.fullmatch(number) is not None


def luhn_digit(digits: str) -> str:
    """The check digit that completes ``digits`` (ISO/IEC 7812-1, annex B).

    >>> luhn_digit("7992739871")
    '3'
    """
    doubled = (int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits)))
    return str(-sum(sum(divmod(d, 10)) for d in doubled) % 10)


def card_number(serial: int) -> str:
    """The number of a card made here: its serial, padded, and a check digit.

    >>> card_number(42)
    '0000000000422'
    """
    digits = f"{serial:0{SERIAL_DIGITS}d}"
    return digits + luhn_digit(digits)
