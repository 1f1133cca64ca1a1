"""An engine for tests that need one connection only: nothing of what they commit outlives them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from domain.db import Tx


class Rolled:
    """``transaction(rolled)`` is a savepoint of the test's transaction, as good as a commit within it."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx

    def begin(self) -> AbstractContextManager[Tx]:
        """What ``domain.db.transaction`` calls."""
        return self._savepoint(keep=True)

    def scratch(self) -> AbstractContextManager[Tx]:
        """A part of the test that is undone at its end: an example of a property."""
        return self._savepoint(keep=False)

    @contextmanager
    def _savepoint(self, *, keep: bool) -> Iterator[Tx]:
        point = self.tx.begin_nested()
        try:
            yield self.tx
        except BaseException:
            point.rollback()
            raise
        if keep:
            point.commit()
        else:
            point.rollback()
