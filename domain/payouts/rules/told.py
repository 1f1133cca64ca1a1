"""What a gateway tells, as our columns can keep it: an answer is recorded, whatever it says.

JSON can spell characters that no text of PostgreSQL's holds. An answer with one would be refused where it is
recorded, again and again, while money may have moved.

>>> keepable("a\\x00b"), keepable("half \\ud800"), keepable({"code": 1}), keepable(None)
('a\ufffdb', 'half ?', "{'code': 1}", None)
>>> name_of("tr_1"), name_of("tr_\\x00"), name_of("x" * 256), name_of(7)
('tr_1', None, None, None)
"""

from typing import Any, Final

MAX_NAME: Final = 255
"""Longest name of what a gateway made (as the columns)."""


def keepable(told: Any) -> str | None:
    """A gateway's text with what cannot be kept replaced; what should be text and is not, as text."""
    if told is None:
        return None
    text = told if isinstance(told, str) else str(told)
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def name_of(told: Any) -> str | None:
    """A gateway's name of what it made; None if it is none that can be kept, which names nothing."""
    if not isinstance(told, str) or not 1 <= len(told) <= MAX_NAME or not told.isprintable():
        return None
    return told
