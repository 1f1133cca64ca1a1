"""The characters of SEPA payments, and how a name is written in them.

>>> to_latin("Søren Müller & Ça"), to_latin("Łukasz Weiß"), to_latin("Ада")
('Soren Muller + Ca', 'Lukasz Weiss', None)
"""

import unicodedata
from string import ascii_letters, digits
from typing import Final

ALLOWED: Final = frozenset(ascii_letters + digits + "/-?:().,'+ ")
"""What every bank takes (EPC implementation guidelines for credit transfers)."""

_WRITTEN: Final = {
    **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O"},
    **{"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH"},
    **{"ħ": "h", "Ħ": "H", "ı": "i", "ŧ": "t", "Ŧ": "T", "ŋ": "n", "Ŋ": "N"},
    **{"&": "+", "_": "-", "–": "-", "—": "-", "~": "-", "=": "-", "\\": "/", "|": "/"},
    **{"’": "'", "‘": "'", "´": "'", "`": "'", "“": "'", "”": "'", '"': "'"},
    **{"[": "(", "{": "(", "]": ")", "}": ")", ";": ",", "!": ".", "#": ".", "*": "."},
    **{"@": "(at)", "\u00a0": " "},
}


def to_latin(text: str) -> str | None:
    """``text`` in ALLOWED characters: accents go, a few letters and signs are written as others.

    None where a character has no such form, as of another script: a name is never left with holes.
    """
    written = []
    for char in text:
        for part in _WRITTEN.get(char) or _without_accents(char):
            if part not in ALLOWED:
                return None
            written.append(part)
    made = " ".join("".join(written).split())
    return made if any(char.isalnum() for char in made) else None


def _without_accents(char: str) -> str:
    if char in ALLOWED:
        return char
    parts = unicodedata.normalize("NFKD", char)
    return "".join(part for part in parts if not unicodedata.combining(part)) or char
