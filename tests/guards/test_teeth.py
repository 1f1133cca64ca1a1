"""Each guard against paying twice, and against paying what nobody approved, is taken away in a copy of
the checkout: then the named test fails. A guard that could go unnoticed would be no guard.

A row names the guard, the file that holds it, the text that is replaced there and by what, and the test
that has to fail. In the checkout itself the same test passes, as every run of the suite shows.

`make teeth` takes all of them away, one after the other; the suite does so with the first TEETH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

pytestmark = pytest.mark.slow

CHECKOUT: Final = Path(__file__).parents[2]
SECONDS: Final = 300
TEETH: Final = int(os.environ.get("TEETH", "3"))
COPIED: Final = (
    "payspool",
    "domain",
    "queues",
    "workers",
    "web",
    "sandbox",
    "clients",
    "migrations",
    "tests",
    "pyproject.toml",
)


class Guard(NamedTuple):
    """A guard, how it is taken away, and the test that tells."""

    name: str
    file: str
    held: str
    gone: str
    told_by: str


TABLES: Final = "migrations/sql/0001/00_tables.sql"
RUNS: Final = "migrations/sql/0002/10_runs.sql"
GUARDS: Final = (
    Guard(
        "one live attempt of a payout and leg",
        TABLES,
        "CREATE UNIQUE INDEX uq_payout_attempts_live",
        "CREATE INDEX uq_payout_attempts_live",
        "tests/domain/payouts/test_guards.py::test_attempts_are_numbered_without_gaps_and_one_alone_is_live",
    ),
    Guard(
        "an unknown attempt is asked about under its own key",
        "domain/payouts/service/sending.py",
        "        row.idempotency_key,\n        row.params,",
        "        row.idempotency_key + '/again',\n        row.params,",
        "tests/workers/payouts/test_payouts.py::test_after_any_fault_that_passes_a_payout_is_paid_once",
    ),
    Guard(
        "no key is sent again once the gateway may have forgotten it",
        "domain/payouts/rules/attempts.py",
        "return timedelta(0) <= now - sent_at < REPLAY_WINDOW",
        "return True",
        "tests/workers/payouts/test_payouts.py::test_after_a_day_the_key_is_forgotten_and_a_payout_is_looked_up_not_sent",
    ),
    Guard(
        "what was frozen never changes",
        "migrations/sql/0001/30_payouts.sql",
        "OR OLD.amount <> NEW.amount OR OLD.members",
        "OR OLD.members",
        "tests/domain/payouts/test_guards.py::test_what_was_frozen_never_changes",
    ),
    Guard(
        "earnings leave a payout only when it is given up",
        "migrations/sql/0001/25_earnings.sql",
        "IF NEW.payout_id IS NOT NULL OR NOT coalesce(released, false) THEN",
        "IF NEW.payout_id IS NOT NULL THEN",
        "tests/domain/payouts/test_guards.py::test_earnings_leave_a_reversed_payout_only_in_full_and_confirmed",
    ),
    Guard(
        "a payout whose message was lost is asked for again",
        "domain/payouts/service/sweeping.py",
        "    outbox.emit(tx, [_message(row) for row in rows])\n",
        "",
        "tests/domain/payouts/test_sending.py::test_a_message_that_was_lost_is_sent_again_by_the_sweep",
    ),
    Guard(
        "a webhook is stored once",
        "domain/payouts/webhook_store.py",
        "ON CONFLICT (merchant_id, method, event_id) DO NOTHING RETURNING id",
        "RETURNING id",
        "tests/web/test_webhooks.py",
    ),
    Guard(
        "a payout is asked for in the transaction that hands it over",
        "domain/payouts/service/building.py",
        "    if ids:\n        outbox.emit(",
        "    if ids:\n        (lambda *_: None)(",
        "tests/workers/payouts/test_payouts.py::test_a_run_is_built_sent_paid_and_settled",
    ),
    Guard(
        "the kill switch is read before a first send",
        "domain/payouts/store/straight.py",
        "AND NOT EXISTS (SELECT FROM payout_stops s WHERE $in_force)",
        "",
        "tests/domain/payouts/test_straight.py::test_both_roads_begin_or_leave_alike",
    ),
    Guard(
        "the kill switch is read before any later send",
        "domain/payouts/service/sending.py",
        '    if stop is not None:\n        _keep(tx, payout, stop.sentence, WHILE_STOPPED)\n        return Leave("stopped")\n',
        "",
        "tests/domain/payouts/test_stopping.py::test_an_attempt_that_was_turned_away_waits_under_its_key",
    ),
    Guard(
        "what was stopped goes on by two people",
        "migrations/sql/0002/20_sending.sql",
        "IF NEW.frozen_reason IS NOT NULL OR NOT FOUND THEN",
        "IF NEW.frozen_reason IS NOT NULL THEN",
        "tests/domain/payouts/test_unfreezing.py::test_the_database_refuses_it_to_one_person_and_without_an_agreement_of_its_own",
    ),
    Guard(
        "one refusal for want of money is enough",
        "domain/payouts/store/straight.py",
        "AND NOT EXISTS (SELECT FROM payout_shortfalls f WHERE $short)",
        "",
        "tests/workers/payouts/test_shortfalls.py::test_after_one_refusal_the_others_wait_without_an_attempt",
    ),
    Guard(
        "nobody approves what they prepared",
        RUNS,
        "IF NEW.prepared_by IS NULL OR NEW.approved_by = NEW.prepared_by THEN",
        "IF NEW.prepared_by IS NULL THEN",
        "tests/domain/payouts/test_approving.py::test_who_prepared_a_run_and_nobody_cannot_approve_it",
    ),
    Guard(
        "an approval is of the run's hash",
        RUNS,
        "(approved_by IS NOT NULL AND approved_hash = members_hash) IS TRUE",
        "approved_by IS NOT NULL",
        "tests/domain/payouts/test_approving.py::test_an_approval_is_of_the_hash_that_was_seen",
    ),
    Guard(
        "an approval is in time",
        RUNS,
        "NEW.approval_expires_at <= clock_timestamp()",
        "false",
        "tests/domain/payouts/test_approving.py::test_an_approval_comes_too_late_and_the_sweep_gives_the_earnings_back",
    ),
    Guard(
        "what is approved is what was frozen",
        "domain/payouts/service/approving.py",
        "    _check_members(tx, run)\n",
        "",
        "tests/domain/payouts/test_approving.py::test_a_run_whose_rows_are_not_those_that_were_frozen_is_not_approved",
    ),
    Guard(
        "a webhook asks for its work in the transaction that stores it",
        "domain/payouts/webhooks.py",
        "        outbox.emit(tx, [apply_message(stored, merchant_id)])\n",
        "        pass\n",
        "tests/workers/notices/test_notices.py::test_money_that_arrives_sends_what_waited_for_it",
    ),
    Guard(
        "what a webhook says is asked again before it counts",
        "workers/notices.py",
        "service.apply_money(tx, notice, told & available)",
        "service.apply_money(tx, notice, told)",
        "tests/workers/notices/test_notices.py::test_money_that_is_gone_again_sends_nothing",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("teeth")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, made / name, ignore=ignored)
        else:
            shutil.copy(source, made / name)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("guard", GUARDS[:TEETH], ids=lambda guard: guard.name)
def test_without_it_a_test_fails(guard: Guard, copy: Path) -> None:
    file = copy / guard.file
    text = file.read_text(encoding="utf-8")
    assert text.count(guard.held) == 1, f"{guard.file} holds what is taken away, once"
    file.write_text(text.replace(guard.held, guard.gone), encoding="utf-8")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.told_by],
            cwd=copy,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        file.write_text(text, encoding="utf-8")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, f"nothing failed without it:\n{said[-3000:]}"
    assert "FAILED " in said, said[-3000:]


def _environment() -> dict[str, str]:
    """Ours, without what the outer run of pytest says of itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}
