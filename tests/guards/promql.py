"""A reader of the PromQL that our rules and dashboards use: its syntax, and what it names.

No PromQL implementation is at hand here. This one knows selectors, ranges, the operators, and the functions
and aggregations listed below, and refuses everything else; it evaluates nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FUNCTIONS = {"absent": 1, "rate": 1, "histogram_quantile": 2, "time": 0}
"""By how many arguments they take."""
RANGED = {"rate"}
AGGREGATIONS = {"sum", "max", "min", "count", "avg"}
OPERATORS = {"+": 3, "-": 3, "*": 4, "/": 4, "==": 2, "!=": 2, ">": 2, "<": 2, ">=": 2, "<=": 2}
WORDS = {"and": 1, "unless": 1, "or": 0}
TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![a-z])|(?P<name>[a-zA-Z_:][\w:]*)|(?P<text>"[^"]*")
    |(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])|(?P<sign>=~|!~|==|!=|>=|<=|[-+*/><=(){},]))""",
    re.VERBOSE,
)


class NotPromQL(Exception):
    """An expression that cannot be read."""


@dataclass
class Read:
    """What an expression names: each series with the labels of its selector, and what is grouped by."""

    series: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)


def read(expression: str) -> Read:
    """Read a whole expression. Raises NotPromQL."""
    reader = _Reader(expression)
    reader.binary(0)
    if reader.rest:
        raise NotPromQL(f"{expression}: {reader.rest[0]} is one too many")
    return reader.found


class _Reader:
    def __init__(self, expression: str) -> None:
        self.expression, self.found = expression, Read()
        self.rest: list[tuple[str, str]] = []
        at = 0
        while expression[at:].strip():
            match = TOKEN.match(expression, at)
            if match is None:
                raise NotPromQL(f"{expression}: cannot read {expression[at:]!r}")
            assert match.lastgroup is not None
            self.rest.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def next(self) -> str:
        return self.rest[0][1] if self.rest else ""

    def take(self, *wanted: str, kind: str = "") -> str:
        if not self.rest or (wanted and self.next() not in wanted):
            raise NotPromQL(f"{self.expression}: {wanted or kind} expected at {self.rest[:3]}")
        found, text = self.rest.pop(0)
        if kind and found != kind:
            raise NotPromQL(f"{self.expression}: {text} is no {kind}")
        return text

    def binary(self, least: int) -> None:
        self.unit()
        while (power := (OPERATORS | WORDS).get(self.next(), -1)) >= least:
            self.take()
            self.binary(power + 1)

    def unit(self) -> bool:
        """One operand; whether it is a range."""
        if not self.rest:
            raise NotPromQL(f"{self.expression}: ends too early")
        kind, text = self.rest[0]
        if kind == "number":
            self.take()
            return False
        if text == "(":
            self.take()
            self.binary(0)
            self.take(")")
            return False
        name = self.take(kind="name")
        if name in AGGREGATIONS:
            self.aggregation()
            return False
        if name in FUNCTIONS:
            self.call(name)
            return False
        return self.selector(name)

    def aggregation(self) -> None:
        if self.next() == "by":
            self.take()
            self.found.grouped |= set(self.listed("(", ")"))
        self.take("(")
        self.binary(0)
        self.take(")")

    def call(self, name: str) -> None:
        self.take("(")
        for number in range(FUNCTIONS[name]):
            if number:
                self.take(",")
            if name in RANGED:
                if not self.unit():
                    raise NotPromQL(f"{self.expression}: {name} needs a range")
            else:
                self.binary(0)
        self.take(")")

    def selector(self, name: str) -> bool:
        labels = self.found.series.setdefault(name, set())
        if self.next() == "{":
            self.take()
            while self.next() != "}":
                labels.add(self.take(kind="name"))
                self.take("=", "!=", "=~", "!~")
                re.compile(self.take(kind="text").strip('"'))
                if self.next() != "}":
                    self.take(",")
            self.take("}")
        if self.rest and self.rest[0][0] == "range":
            self.take()
            return True
        return False

    def listed(self, begin: str, end: str) -> list[str]:
        self.take(begin)
        names = [self.take(kind="name")]
        while self.next() == ",":
            self.take()
            names.append(self.take(kind="name"))
        self.take(end)
        return names
