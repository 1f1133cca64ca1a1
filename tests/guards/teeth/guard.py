"""A row of the table of guards (see ``test_teeth``)."""

from typing import NamedTuple


class Guard(NamedTuple):
    """A guard, how it is taken away, and the test that tells."""

    name: str
    file: str
    held: str
    gone: str
    told_by: str
