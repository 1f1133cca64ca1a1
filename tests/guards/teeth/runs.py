"""The guards of what is to be paid: runs, their limits and approvals (see ``test_teeth``)."""

from typing import Final

from tests.guards.teeth.guard import Guard

TABLES: Final = "migrations/sql/0001/00_tables.sql"
RUNS: Final = "migrations/sql/0002/10_runs.sql"
BANK: Final = "migrations/sql/0003/50_bank_files.sql"
LIMITS: Final = "migrations/sql/0003/20_limits.sql"
LIMITED: Final = "tests/domain/payouts/test_limits.py"
OVER: Final = (
    f"{LIMITED}::test_the_database_refuses_a_payout_above_a_limit_whatever_the_code_decides"
)
GUARDS: Final = (
    Guard(
        "one live attempt of a payout and leg",
        TABLES,
        "CREATE UNIQUE INDEX uq_payout_attempts_live",
        "CREATE INDEX uq_payout_attempts_live",
        "tests/domain/payouts/test_guards.py::test_attempts_are_numbered_without_gaps_and_one_alone_is_live",
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
        "the kill switch is read before any later send",
        "domain/payouts/service/sending.py",
        '    if stop is not None:\n        keep(tx, payout, stop.sentence, WHILE_STOPPED)\n        return Leave("stopped")\n',
        "",
        "tests/domain/payouts/test_stopping.py::test_an_attempt_that_was_turned_away_waits_under_its_key",
    ),
    Guard(
        "what was stopped goes on by two people",
        "migrations/sql/0003/41_unfreezing.sql",
        "IF NEW.frozen_reason IS NOT NULL OR NOT FOUND THEN",
        "IF NEW.frozen_reason IS NOT NULL THEN",
        "tests/domain/payouts/test_unfreezing.py::test_the_database_refuses_it_to_one_person_and_without_an_agreement_of_its_own",
    ),
    Guard(
        "what the gateway's books show as paid is let go on by nobody who has not explained it",
        "migrations/sql/0003/41_unfreezing.sql",
        "    IF transfer IS NOT NULL THEN",
        "    IF false THEN",
        "tests/workers/payouts/test_rearming.py::test_two_people_do_not_let_go_on_what_the_gateways_books_show_as_paid",
    ),
    Guard(
        "what was stopped after a failover goes on once the books were read again",
        "migrations/sql/0003/41_unfreezing.sql",
        "AND r.created_at > coalesce(p.frozen_at, '-infinity'))",
        "OR true)",
        "tests/workers/payouts/test_rearming.py::test_books_that_were_read_before_it_was_stopped_say_nothing",
    ),
    Guard(
        "what was sent and forgotten is recorded again before sending goes on",
        "workers/rearming.py",
        "        if one.fate is not Fate.KNOWN:\n",
        "        if False:\n",
        "tests/workers/payouts/test_rearming.py::test_what_was_sent_after_a_backup_is_recorded_again_and_all_is_paid_once",
    ),
    Guard(
        "a payee who was paid for a payout that was forgotten is not paid again",
        "workers/rearming.py",
        "        if one.keeps_payee:\n",
        "        if False:\n",
        "tests/workers/payouts/test_rearming.py::test_a_run_that_was_forgotten_is_not_paid_again_and_a_person_settles_it",
    ),
    Guard(
        "who was paid for a payout that was forgotten is unblocked once that is explained",
        "domain/payouts/service/payees.py",
        "    if transfer is not None:\n",
        "    if False:\n",
        "tests/workers/payouts/test_rearming.py::test_a_run_that_was_forgotten_is_not_paid_again_and_a_person_settles_it",
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
        "no payout is above its limit",
        LIMITS,
        "IF made_of.largest > (made_of.limits ->> 'max_payout')::bigint THEN",
        "IF false THEN",
        OVER,
    ),
    Guard(
        "no run is above its limit",
        LIMITS,
        "IF used > (made_of.limits ->> 'max_run')::bigint THEN",
        "IF false THEN",
        OVER,
    ),
    Guard(
        "no payee is above the limit of a day",
        LIMITS,
        "> (made_of.limits ->> 'max_payee_day')::bigint",
        "> 9223372036854775807",
        OVER,
    ),
    Guard(
        "no merchant is above the limit of a day",
        LIMITS,
        "IF used > (made_of.limits ->> 'max_day')::bigint THEN",
        "IF false THEN",
        OVER,
    ),
    Guard(
        "a run claims no more than its limits leave",
        "domain/payouts/service/claiming.py",
        "        decision = room.admit(due.account_id, account.currency, decision)\n",
        "",
        f"{LIMITED}::test_whoever_does_not_fit_is_carried_over_whole_and_told_which_limit_and_what_was_left",
    ),
    Guard(
        "runs that are built at once see what each other claimed of the day",
        "domain/payouts/service/claiming.py",
        "        limits.lock(tx, run.merchant_id, daily)\n",
        "        pass\n",
        f"{LIMITED}::test_a_builder_waits_for_what_another_run_claims_of_the_day",
    ),
    Guard(
        "what is counted for a day's limits counts for the day on which its run was opened",
        LIMITS,
        "WHEN (OLD.limit_day <> NEW.limit_day)",
        "WHEN (false)",
        f"{LIMITED}::test_what_is_counted_and_its_day_cannot_be_moved_by_whoever_runs_payspool",
    ),
    Guard(
        "what is canceled gives its use of the limits back",
        "domain/payouts/service/canceling.py",
        "    limits.give_back(tx, [payout.id])\n",
        "",
        f"{LIMITED}::test_what_is_canceled_gives_its_use_back_and_what_is_paid_or_failed_does_not",
    ),
    Guard(
        "a run that is canceled gives its use of the limits back",
        "domain/payouts/service/canceling.py",
        "    limits.give_back(tx, ids)\n",
        "",
        "tests/domain/payouts/test_rejecting.py::test_the_rows_are_those_of_canceling_each_payout_alone",
    ),
    Guard(
        "what was paid outside is said by two people",
        BANK,
        "        IF NOT FOUND THEN\n            RAISE EXCEPTION 'payout %: two people",
        "        IF false THEN\n            RAISE EXCEPTION 'payout %: two people",
        "tests/domain/payouts/test_outside.py::test_the_database_refuses_it_to_one_person_and_any_other_attempt_meanwhile",
    ),
    Guard(
        "nothing is canceled while a person says that it was paid outside",
        BANK,
        "    IF EXISTS (SELECT FROM outside_payments WHERE payout_id = NEW.id\n",
        "    IF false AND EXISTS (SELECT FROM outside_payments WHERE payout_id = NEW.id\n",
        "tests/domain/payouts/test_outside.py::test_the_database_cancels_nothing_that_a_person_says_was_paid_outside",
    ),
    Guard(
        "what a statement shows as paid and is failed here goes into no other file",
        "domain/payouts/service/statements.py",
        "        bank_leg.freeze(tx, row.payout_id, paid_earlier(row.n))\n",
        "        pass\n",
        "tests/payspool/test_statement_import.py::test_what_the_bank_paid_though_failed_is_not_paid_again_and_two_people_say_so",
    ),
    Guard(
        "what a statement showed as paid is remembered until another attempt has failed",
        "domain/payouts/service/marking.py",
        "        bank_leg.freeze(tx, payout.id, paid_earlier(earlier))\n",
        "        pass\n",
        "tests/payspool/test_statement_import.py::test_what_was_shown_as_paid_while_another_attempt_was_out_is_not_paid_once_more",
    ),
    Guard(
        "several small adjustments of one person are a large one",
        "migrations/sql/0003/13_adjusting.sql",
        "    IF used + abs(NEW.amount) > NEW.adjustment_limit THEN",
        "    IF false THEN",
        "tests/domain/payouts/test_adjusting.py::test_the_database_counts_them_whatever_the_code_decides",
    ),
    Guard(
        "a statement pays the exact amount alone",
        "domain/payouts/rules/statements.py",
        "    if entry.amount != amount:",
        "    if entry.amount < amount:",
        "tests/payspool/test_statement_import.py::test_what_is_not_exactly_ours_is_named_and_does_nothing",
    ),
    Guard(
        "a sum for a batch pays it whole or not at all",
        "domain/payouts/rules/statements.py",
        "    if entry.count != len(known):",
        "    if entry.count < 0:",
        "tests/payspool/test_statement_import.py::test_what_is_not_exactly_ours_is_named_and_does_nothing",
    ),
)
