"""Use cases of payouts: build a run, send it so that it cannot pay twice, settle what is unknown."""

from domain.payouts.service.abandoning import agree_abandon, propose_abandon
from domain.payouts.service.bank_files import export, leave_for_bank_file
from domain.payouts.service.building import RunResult, build_run, hand_over, run_result, tend_runs
from domain.payouts.service.checking import Total, accounts_in_use, check_invariants, summary
from domain.payouts.service.claiming import Preview, PreviewLine, RunSpec, preview
from domain.payouts.service.explaining import Explained, explain_payout
from domain.payouts.service.marking import mark_failed, mark_paid
from domain.payouts.service.notices import (
    Notice,
    apply_account,
    apply_money,
    notice_died,
    open_notice,
    settle_notice,
    sweep_notices,
)
from domain.payouts.service.pacing import put_off, put_off_resolution
from domain.payouts.service.parking import resume_parked, resume_payee
from domain.payouts.service.payees import apply_payees, block_payee, find_payee, put_payees
from domain.payouts.service.recipients import set_recipient
from domain.payouts.service.recording import Recorded, record_outcome
from domain.payouts.service.resolving import (
    Resolution,
    begin_resolution,
    record_found,
)
from domain.payouts.service.retrying import retry
from domain.payouts.service.reversals import Booked, book_reversals, decide, release
from domain.payouts.service.sending import (
    Attempt,
    FrozenPayout,
    Route,
    begin_attempt,
    begin_first_attempt,
    cancel,
    frozen,
    route,
    route_of_attempt,
)
from domain.payouts.service.sweeping import set_aside, settle_runs, sweep_stuck, take_up
from domain.payouts.store.payees import PayeeUpdate

__all__ = [
    "Attempt",
    "Booked",
    "Explained",
    "FrozenPayout",
    "Notice",
    "PayeeUpdate",
    "Preview",
    "PreviewLine",
    "Recorded",
    "Resolution",
    "Route",
    "RunResult",
    "RunSpec",
    "Total",
    "accounts_in_use",
    "agree_abandon",
    "apply_account",
    "apply_money",
    "apply_payees",
    "begin_attempt",
    "begin_first_attempt",
    "begin_resolution",
    "block_payee",
    "book_reversals",
    "build_run",
    "cancel",
    "check_invariants",
    "decide",
    "explain_payout",
    "export",
    "find_payee",
    "frozen",
    "hand_over",
    "leave_for_bank_file",
    "mark_failed",
    "mark_paid",
    "notice_died",
    "open_notice",
    "preview",
    "propose_abandon",
    "put_off",
    "put_off_resolution",
    "put_payees",
    "record_found",
    "record_outcome",
    "release",
    "resume_parked",
    "resume_payee",
    "retry",
    "route",
    "route_of_attempt",
    "run_result",
    "set_aside",
    "set_recipient",
    "settle_notice",
    "settle_runs",
    "summary",
    "sweep_notices",
    "sweep_stuck",
    "take_up",
    "tend_runs",
]
