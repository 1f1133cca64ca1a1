"""What a sandbox starts with: keys, funds, a fault plan, and books that may begin anew."""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandbox import auth, currencies, ledger
from sandbox.call import Call
from sandbox.errors import SandboxError
from sandbox.faults import Faults
from sandbox.idempotency import Keys
from sandbox.resources import topups
from sandbox.store import FILE_NAME, Store
from sandbox.timeline import Timeline
from sandbox.wise import accounts as wise_accounts


class StartRefused(SandboxError):
    """An option of the start cannot be taken; the message says which and why."""


@dataclass(frozen=True)
class Options:
    """How a sandbox starts.

    `keys` are test keys, each of a platform of its own; `webhook_pause` is the first pause in
    seconds after a failed delivery; `plan` is a fault plan, as `PUT /_sandbox/faults` takes it;
    `funds` says what every platform, and the business profile of the Wise token, has available at
    least: currency in lower case -> minor units. With `reset` the books begin anew.
    """

    keys: Sequence[str] = (auth.DEFAULT_KEY,)
    webhook_pause: float = 0.5
    wise_token: str = wise_accounts.DEFAULT_TOKEN
    plan: Mapping[str, Any] | None = None
    funds: Mapping[str, int] = field(default_factory=dict)
    reset: bool = False


def funds_of(texts: Sequence[str]) -> dict[str, int]:
    """Return funds written as `usd:500000`, amounts in minor units.

    Raises:
        StartRefused: one is not written so.
    """
    funds = {}
    for text in texts:
        currency, _, amount = text.lower().partition(":")
        if currency not in currencies.SUPPORTED or not amount.isdecimal() or int(amount) < 1:
            raise StartRefused(
                f"--fund {text}: write currency:amount in minor units, such as usd:500000"
            )
        if int(amount) > currencies.MAXIMUM_TRANSFER:
            raise StartRefused(f"--fund {text}: at most {currencies.MAXIMUM_TRANSFER}")
        funds[currency] = int(amount)
    return funds


def plan_of(file: Path | None, seed: int | None) -> dict[str, Any] | None:
    """Return the fault plan of a file; a `seed` takes the place of the file's.

    Raises:
        StartRefused: there is no such file, it is no plan, or a seed has no plan to be for.
    """
    if file is None:
        if seed is not None:
            raise StartRefused("--seed is for a fault plan: give one with --faults FILE")
        return None
    try:
        plan = json.loads(file.read_text())
        Faults().replace(plan)
    except (OSError, ValueError, SandboxError) as problem:
        raise StartRefused(f"--faults {file}: {problem}") from None
    return plan if seed is None else {**plan, "seed": seed}


class BooksInUse(SandboxError):
    """Another sandbox is running on the same books."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"Another sandbox keeps its books in {directory}; end it, or use another.")
        self.directory = directory


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Keep other sandboxes from the books in a directory; the death of the process lets go.

    Raises:
        BooksInUse: another one holds them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BooksInUse(directory) from None
        yield


def forget(directory: Path) -> None:
    """Delete the books in a directory, and nothing else that is there."""
    for suffix in ("", "-wal", "-shm"):
        (directory / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)


def prepare(store: Store, timeline: Timeline, options: Options) -> None:
    """Admit keys and token, and bring balances up to the funds.

    Raises:
        KeyMalformed: a key is not a test key.
        TokenMalformed: the Wise token cannot be one.
    """
    now = timeline.clock.now()
    with store.transaction():
        platforms = [auth.add_key(store, key, now) for key in options.keys]
        wise = wise_accounts.add_token(store, options.wise_token, now)
        Keys(store).prune(now)
        business = next(p["id"] for p in wise["profiles"] if p["type"] == "BUSINESS")
        for currency, amount in options.funds.items():
            for platform in dict.fromkeys(platforms):
                _fund(timeline.call(platform), currency, amount)
            short = amount - wise_accounts.held(store, business, currency)
            if short > 0:
                wise_accounts.fund(store, business, currency.upper(), short, now)


def _fund(call: Call, currency: str, amount: int) -> None:
    short = amount - ledger.available(call.store, call.account, currency)
    if short > 0:
        params = {"amount": short, "currency": currency, "description": "At the start"}
        topups.create_succeeded(replace(call, params=params))
