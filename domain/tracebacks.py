"""Tracebacks as they may be logged and stored: without the rows that PostgreSQL quotes in its errors."""

import re
import traceback
from collections.abc import Iterator
from typing import Final

_QUOTED: Final = ("message_detail", "context", "internal_query")
"""Parts of an error report that hold data: the row that failed ("Failing row contains …", "Key (…)=(…)"),
the line of a COPY or the values of a call, and a statement that a function put together."""

_LABELLED: Final = re.compile(r"^[ |+]*(?:DETAIL|CONTEXT|QUERY): .*\n?", re.MULTILINE)
"""The same where only the text is left of a report, as in another exception's message."""


def format_traceback(error: BaseException) -> str:
    """The traceback of ``error`` and of all that led to it, without what its rows hold.

    PostgreSQL's main message, its hint, the statement without its parameters and our own messages stay.
    """
    text = "".join(traceback.format_exception(error))
    for quoted in sorted({part for one in _chain(error) for part in _parts(one)}, key=len)[::-1]:
        # In a group of exceptions each line is indented.
        lines = map(re.escape, quoted.split("\n"))
        text = re.sub(r"\n[ |]*".join(lines), "", text)
    return _LABELLED.sub("", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from or holds, each once."""
    seen: set[int] = set()
    ahead: list[object] = [error]
    while ahead:
        one = ahead.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        ahead += [one.__cause__, one.__context__, getattr(one, "orig", None)]
        if isinstance(one, BaseExceptionGroup):
            ahead += one.exceptions


def _parts(error: BaseException) -> Iterator[str]:
    diagnosis = getattr(error, "diag", None)
    for name in _QUOTED:
        part = getattr(diagnosis, name, None)
        if isinstance(part, str) and part.strip():
            yield part
