"""`payspool doctor`: checks each dependency and setting, and says what to do."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import httpx
import redis
import typer
from sqlalchemy import text

from domain.db import Tx, connect, transaction
from domain.installation import installation_code
from domain.merchants import store as merchants
from domain.merchants.rules import is_sandbox
from domain.payouts.service import watermark
from domain.payouts.store import watermark as store
from domain.schedules import guarding
from domain.schedules import store as schedules
from domain.webhooks import delivery_store as webhooks
from domain.webhooks import store as endpoints
from migrations import apply
from payspool import instance, settings
from payspool.cli import session
from payspool.embedded import EmbeddedError
from payspool.settings import BadSettings, Settings

TIMEOUT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 120
"""A scheduler writes its tick every half minute, unless business time is simulated."""
WAITED_SECONDS: Final = 3_600
"""A webhook that waits for longer waits for a receiver that fails, or for a courier."""
COUNTED_TO: Final = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``ok``, what was seen, and what to do if it is not well."""

    check: str
    ok: bool
    seen: str
    do: str = ""


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: payspool doctor")
def doctor(as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False) -> None:
    """Check every dependency and setting, and say what to do. Ends with 1 if anything is wrong."""
    findings = list(_findings())
    if as_json:
        session.emit_json(
            [{"check": f.check, "ok": f.ok, "seen": f.seen, "do": f.do} for f in findings]
        )
    else:
        for f in findings:
            mark = "[green]ok[/green]  " if f.ok else "[red]fails[/red]"
            session.console.print(mark, end=" ")
            session.say(f"{f.check}: {f.seen}")
            if f.do:
                session.say(f"       {f.do}")
    if not all(f.ok for f in findings):
        raise typer.Exit(1)


def _findings() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 14)
    yield Finding("Python", supported, version, "" if supported else "Use Python 3.11 to 3.14.")
    try:
        found = settings.load()
        yield Finding("Settings", True, "every PAYSPOOL_ variable can be used")
    except BadSettings as error:
        yield Finding(
            "Settings", False, str(error), "Correct the variable and run the doctor again."
        )
        return
    if found.embedded:
        yield Finding(
            "Data", True, f"embedded servers, below {instance.data_dir(found, 'up').parent}"
        )
    try:
        found = instance.resolve(found)
    except (BadSettings, EmbeddedError) as error:
        yield Finding("Servers", False, "not running", str(error))
        return
    for name, check in _CHECKS.items():
        try:
            yield check(found)
        except Exception as error:
            what = str(getattr(error, "orig", None) or error).strip().splitlines() or [repr(error)]
            yield Finding(name, False, what[0], _HINTS[name])


@contextmanager
def _reading(found: Settings) -> Iterator[Tx]:
    assert found.database_url is not None
    engine = connect(found.database_url, pool_size=1, application_name="payspool doctor")
    try:
        with transaction(engine) as tx:
            yield tx
    finally:
        engine.dispose()


def _database(found: Settings) -> Finding:
    with _reading(found) as tx:
        number = int(tx.execute(text("SHOW server_version_num")).scalar_one())
        row = tx.execute(
            text("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
        ).one()
        locks = int(tx.execute(text("SHOW max_locks_per_transaction")).scalar_one())
        revision = apply.current(tx)
        code = installation_code(tx) if revision == apply.newest() else "none"
    seen = (
        f"PostgreSQL {number // 10000}, role {row.rolname}, revision {revision or 'none'},"
        f" installation {code}"
    )
    if number < 160000:
        return Finding("PostgreSQL", False, seen, "Payspool needs PostgreSQL 16 or newer.")
    if revision != apply.newest():
        return Finding("PostgreSQL", False, seen, "Run `payspool migrate`.")
    if row.rolsuper:
        return Finding(
            "PostgreSQL",
            False,
            seen,
            "Connect as payspool_runtime: a superuser can go past the guards of the ledger.",
        )
    few = "Raise max_locks_per_transaction to 256: a batch takes one advisory lock a transaction."
    return Finding("PostgreSQL", True, seen, few if locks < 128 else "")


def _valkey(found: Settings) -> Finding:
    assert found.redis_url is not None
    with redis.Redis.from_url(
        found.redis_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=3
    ) as client:
        info = client.info()
        config = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    name = (
        f"Valkey {info['valkey_version']}"
        if "valkey_version" in info
        else f"Redis {info['redis_version']}"
    )
    seen = (
        f"{name} at {_without_password(found.redis_url)}, appendonly {config.get('appendonly')},"
        f" appendfsync {config.get('appendfsync')}"
    )
    if config.get("maxmemory-policy") != "noeviction":
        return Finding(
            "Valkey", False, seen, "Set maxmemory-policy noeviction: an evicted event is lost."
        )
    if config.get("appendonly") != "yes":
        return Finding(
            "Valkey", False, seen, "Set appendonly yes: a restart would lose what is queued."
        )
    weak = "With appendfsync always, what was published also survives a power cut."
    return Finding("Valkey", True, seen, "" if config.get("appendfsync") == "always" else weak)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":…@") if parts.password else url


def _stripe(found: Settings) -> Finding:
    if not is_sandbox(found.stripe_url):
        return Finding("Stripe", True, f"{found.stripe_url} (real money for live merchants)")
    answer = httpx.get(f"{found.stripe_url}/_sandbox", timeout=TIMEOUT_SECONDS, trust_env=False)
    answer.raise_for_status()
    return Finding("Stripe", True, f"the sandbox at {found.stripe_url}; no money is moved")


def _secrets(found: Settings) -> Finding:
    if found.fernet_keys:
        return Finding(
            "Secrets", True, f"{session.count(len(found.fernet_keys), 'key')} for secrets at rest"
        )
    return Finding(
        "Secrets", False, "PAYSPOOL_SECRET_KEYS is empty", "Make one with `payspool keys secret`."
    )


def _merchants(found: Settings) -> Finding:
    with _reading(found) as tx:
        rows = merchants.listing(tx)
    without = [row.key for row in rows if not row.methods]
    hint = f"{without[0]} has no gateway account: its payouts wait." if without else ""
    if not rows:
        hint = "Add one with `payspool merchants add acme`."
    return Finding("Merchants", True, f"{len(rows)}", hint)


def _scheduler(found: Settings) -> Finding:
    with _reading(found) as tx:
        hold, row = guarding.present_hold(tx), schedules.clock_row(tx)
    if hold is not None:
        return Finding("Scheduler", False, "everything is held", hold.sentence)
    if row.ticked_at is None:
        return Finding("Scheduler", True, "has not run yet", "Start it with `payspool up`.")
    ago = round((row.now - row.ticked_at).total_seconds())
    late = "Is one running? `payspool scheduler`, or `payspool up`." if ago > SILENT_SECONDS else ""
    return Finding("Scheduler", True, f"last seen {session.count(max(ago, 0), 'second')} ago", late)


def _sending(found: Settings) -> Finding:
    with _reading(found) as tx:
        stop, here, own = watermark.in_force(tx), store.here(tx), store.own(tx)
    if stop is not None:
        return Finding(
            "Sending", False, stop.sentence, "See docs/how-to/after-a-failover.md: nothing is lost."
        )
    if own is not None and own != here:
        moved = f"the database is at {here}, and last sent from {own}"
        return Finding("Sending", False, moved, "Run `payspool payouts rearm`.")
    return Finding("Sending", True, f"from {here}")


_COURIERS: Final = text(
    """
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'payspool courier')
    """
)


def _courier(found: Settings) -> Finding:
    with _reading(found) as tx:
        of_merchants = endpoints.listing(tx, None)
        standing = webhooks.standing(tx, COUNTED_TO)
        runs = bool(tx.execute(_COURIERS).scalar_one())
    if not of_merchants:
        return Finding("Courier", True, "no webhook endpoint: there is nobody to tell")
    waits = session.count(standing.pending, "webhook") + (
        " or more wait" if standing.pending >= COUNTED_TO else " waiting"
    )
    seen = f"{'running' if runs else 'none is connected'}, {waits}"
    if not runs:
        start = "Start one: `payspool courier`, or `payspool up`. What happens is kept until then."
        return Finding("Courier", standing.pending == 0, seen, start)
    if standing.disabled:
        given_up = session.count(standing.disabled, "endpoint")
        hint = f"{given_up} given up after failing for days: `payspool webhooks list` says which."
        return Finding("Courier", True, seen, hint)
    late = standing.oldest_seconds > WAITED_SECONDS
    hint = "The oldest has waited over an hour: `payspool webhooks list` says whose receiver fails."
    return Finding("Courier", True, seen, hint if late else "")


_CHECKS: Final[dict[str, Callable[[Settings], Finding]]] = {
    "PostgreSQL": _database,
    "Valkey": _valkey,
    "Stripe": _stripe,
    "Secrets": _secrets,
    "Merchants": _merchants,
    "Scheduler": _scheduler,
    "Sending": _sending,
    "Courier": _courier,
}
_HINTS: Final = {
    "PostgreSQL": "Is the server up, and does PAYSPOOL_DATABASE_URL name it and its user?",
    "Valkey": "Is the server up, and does PAYSPOOL_REDIS_URL name it?",
    "Stripe": "Is the sandbox running (`payspool up`, or `payspool sandbox`)?",
    "Secrets": "",
    "Merchants": "Run `payspool migrate` first.",
    "Scheduler": "Run `payspool migrate` first.",
    "Courier": "Run `payspool migrate` first.",
    "Sending": "Run `payspool migrate`; its role has to be allowed to execute pg_control_system().",
}
