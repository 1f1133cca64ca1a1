"""The guards of referrals: rules, refunds and holds (see ``test_teeth``)."""

from typing import Final

from tests.guards.teeth.guard import Guard

MACHINE: Final = (
    "tests/domain/referrals/test_machine.py::test_every_sequence_ends_as_the_model_says"
)
GUARDS: Final = (
    Guard(
        "what a hold is open for stays held",
        "migrations/sql/0003/70_referrals_holds.sql",
        "IF EXISTS (SELECT FROM tracking_holds WHERE tracking_id = OLD.source_id AND outcome IS NULL) THEN",
        "IF false THEN",
        "tests/domain/referrals/test_holds.py::test_the_database_lets_nothing_go_while_a_suspicion_is_open",
    ),
    Guard(
        "what may be fraud is born held",
        "domain/referrals/service/flushing.py",
        "hold_reason=held.get(id(tracking)),",
        "hold_reason=None,",
        "tests/domain/referrals/test_holds.py::test_a_run_takes_what_was_released_and_never_what_is_held_or_rejected",
    ),
    Guard(
        "a rejection is void with all that was taken back before",
        "domain/earnings/service.py",
        "unused += [credit, *mine]",
        "unused += [credit]",
        MACHINE,
    ),
    Guard(
        "a rejection takes all that is left, so that a refund after it takes nothing",
        "domain/referrals/rejecting.py",
        "    rejecting_store.mark(tx, tracking_id)\n",
        "",
        MACHINE,
    ),
    Guard(
        "what is rejected counts for no tier and no cap",
        "domain/referrals/rejecting.py",
        "    rejecting_store.uncount(tx, row)\n",
        "",
        MACHINE,
    ),
    Guard(
        "what is rejected is no use of its code",
        "domain/referrals/rejecting.py",
        "    rejecting_store.give_use_back(tx, row.code_id)\n",
        "",
        MACHINE,
    ),
    Guard(
        "a refund takes the rounded share of all that was given back",
        "domain/referrals/rules/refunds.py",
        "target = pro_rata(earned, part=refunded, whole=total) if total else 0",
        "target = earned * refunded // total if total else 0",
        MACHINE,
    ),
    Guard(
        "a debit shares the hold of what it takes back",
        "domain/earnings/store.py",
        "                       ELSE $reversed END\n",
        "                       ELSE 'due' END\n",
        MACHINE,
    ),
    Guard(
        "a debit of what was paid is due at once",
        "domain/earnings/store.py",
        "CASE WHEN r.payout_id IS NOT NULL THEN 'due'\n                       WHEN r.voided_at",
        "CASE WHEN r.payout_id IS NOT NULL THEN 'later'\n                       WHEN r.voided_at",
        "tests/domain/referrals/test_rejecting.py::test_the_side_that_was_paid_is_taken_back_and_the_other_is_void",
    ),
    Guard(
        "a code is used no more often than it may be",
        "domain/referrals/rules/conversions.py",
        "code.uses >= code.max_uses",
        "code.uses > code.max_uses",
        MACHINE,
    ),
    Guard(
        "a referrer is rewarded no more often than the program says",
        "domain/referrals/rules/conversions.py",
        "standing.referrer_rewards >= cap",
        "standing.referrer_rewards > cap",
        MACHINE,
    ),
    Guard(
        "a tier begins at its threshold",
        "domain/referrals/rules/rewards.py",
        "if reached >= threshold:",
        "if reached > threshold:",
        MACHINE,
    ),
    Guard(
        "a refund that comes before its conversion waits for it",
        "domain/referrals/service/reversing.py",
        "if key in refused else Waiting(correlation)",
        "",
        MACHINE,
    ),
    Guard(
        "what is taken back lowers the counts of later conversions",
        "domain/referrals/service/reversing.py",
        "counts.conversions -= 1 if ends else 0",
        "pass",
        MACHINE,
    ),
    Guard(
        "what two earned who are paid to one account since is held on both sides",
        "domain/earnings/service.py",
        "valid if row.source_id == one]",
        "valid if row.source_id == one and row.payout_id is None]",
        MACHINE,
    ),
    Guard(
        "a rejection and a refund wait for one another",
        "domain/referrals/hold_store.py",
        "    lock_correlations(tx, merchant_id, [(tracking_id, transaction_id)])\n",
        "    assert tracking_id\n",
        "tests/domain/referrals/test_holds.py::test_a_refund_and_a_rejection_wait_for_one_another",
    ),
    Guard(
        "refunds and lost disputes share one target",
        "domain/referrals/rules/refunds.py",
        "return earned - taken",
        "return earned",
        "tests/domain/inbox/test_disputes.py::test_a_lost_dispute_takes_back_what_refunds_have_left",
    ),
    Guard(
        "what another system paid is settled, not owed",
        "domain/referrals/service/importing.py",
        "if tracking.explanation.get(PAID_BEFORE) is None:",
        "if tracking.explanation:",
        "tests/payspool/cli/test_import_referrals.py::test_what_was_paid_is_never_paid_again_and_what_was_not_is",
    ),
    Guard(
        "a destination that changed later holds nothing that a run has claimed",
        "domain/earnings/service.py",
        "sources = {row.source_id for row in valid if row.payout_id is None}",
        "sources = {row.source_id for row in valid}",
        "tests/workers/test_looking_again.py::test_what_a_run_has_claimed_is_left_to_it_and_a_run_looks_first",
    ),
    Guard(
        "a destination that changed is looked at until nobody decides by the one before",
        "domain/payouts/store/destinations.py",
        "OR l.settles_at <= CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)",
        "OR l.settles_at IS NOT NULL",
        "tests/workers/test_looking_again.py::test_a_conversion_that_was_decided_by_the_account_of_before_is_found_by_the_last_look",
    ),
    Guard(
        "nobody changes terms that they did not see",
        "domain/referrals/admin.py",
        "    if seen not in (None, row.version):",
        "    if False:",
        "tests/domain/referrals/test_admin.py::test_terms_that_somebody_else_changed_are_not_written_over",
    ),
    Guard(
        "a lost dispute stays lost",
        "migrations/sql/0003/70_referrals_holds.sql",
        "    OR NEW.dispute_lost < OLD.dispute_lost\n",
        "",
        "tests/domain/referrals/test_guards.py::test_what_took_all_of_a_conversion_stays_said",
    ),
    Guard(
        "a rejected conversion stays rejected",
        "migrations/sql/0003/70_referrals_holds.sql",
        "    OR NEW.rejected < OLD.rejected\n",
        "",
        "tests/domain/referrals/test_guards.py::test_what_took_all_of_a_conversion_stays_said",
    ),
)
