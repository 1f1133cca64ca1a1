"""What the sandbox's clock is still to bring: the next step of payouts, top-ups and the like.

An object has at most one step ahead of it; taking it may put down the next. `sandbox.timeline`
knows what a step does.
"""

from sandbox.store import Row, Store


def put(store: Store, due: int, kind: str, id: str) -> None:
    """Put down the next step of an object, in place of the one that it had."""
    drop(store, id)
    store.insert("agenda", due=due, kind=kind, id=id)


def drop(store: Store, id: str) -> None:
    """Forget the next step of an object."""
    store.run("DELETE FROM agenda WHERE id = ?", id)


def first(store: Store, now: int) -> Row | None:
    """Return the step that has been due for longest, if any is."""
    return store.one("SELECT * FROM agenda WHERE due <= ? ORDER BY due, seq LIMIT 1", now)
