"""Use cases of payouts: build a run, send it so that it cannot pay twice, settle what is unknown."""

from domain.payouts.service.abandoning import agree_abandon, propose_abandon
from domain.payouts.service.bank_files import export, leave_for_bank_file
from domain.payouts.service.bank_leg import begin_bank_attempt
from domain.payouts.service.building import (
    RunResult,
    build_run,
    finish_run,
    hand_over,
    open_run,
    run_result,
    tend_runs,
)
from domain.payouts.service.canceling import cancel
from domain.payouts.service.checking import Total, accounts_in_use, check_invariants, summary
from domain.payouts.service.claiming import Preview, PreviewLine, RunSpec, limit_day, preview
from domain.payouts.service.destinations import (
    Look,
    destinations,
    looked,
    not_alone,
    sharers,
    to_look,
)
from domain.payouts.service.explaining import Explained, explain_payout
from domain.payouts.service.following import (
    Followed,
    apply_bank_payout,
    keep_following,
    to_follow,
)
from domain.payouts.service.foreseeing import Foreseen, Funds, foresee, funds, unsent
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
from domain.payouts.service.parking import (
    bank_waits,
    resume_bank_account,
    resume_bank_funds,
    resume_parked,
    resume_payee,
)
from domain.payouts.service.payees import (
    apply_payees,
    block_payee,
    find_payee,
    put_payees,
)
from domain.payouts.service.preparing import Prepared, prepare
from domain.payouts.service.progress import Applied, apply_progress
from domain.payouts.service.recipients import check_recipient, set_recipient
from domain.payouts.service.recording import Recorded, record_outcome
from domain.payouts.service.resolving import (
    Resolution,
    begin_resolution,
    record_found,
)
from domain.payouts.service.retrying import retry
from domain.payouts.service.reversals import Booked, book_reversals, decide, release
from domain.payouts.service.reversing import (
    ReversalAsked,
    ReversalPlan,
    agree_giving_up,
    plan_reversal,
    propose_giving_up,
    request_reversal,
    reversal_died,
    sweep_reversals,
    take_up_reversals,
)
from domain.payouts.service.sending import (
    Attempt,
    FrozenPayout,
    Route,
    begin_attempt,
    begin_first_attempt,
    frozen,
    route,
    route_of_attempt,
)
from domain.payouts.service.sweeping import set_aside, settle_runs, sweep_stuck, take_up
from domain.payouts.service.taking_back import (
    ReversalCall,
    TakenBack,
    begin_reversal,
    put_off_reversal,
    record_found_reversals,
    record_reversal,
    refuse_reversal,
    route_of_reversal,
)
from domain.payouts.store.payees import PayeeUpdate

__all__ = [
    "Applied",
    "Attempt",
    "Booked",
    "Explained",
    "Followed",
    "Foreseen",
    "FrozenPayout",
    "Funds",
    "Look",
    "Notice",
    "PayeeUpdate",
    "Prepared",
    "Preview",
    "PreviewLine",
    "Recorded",
    "Resolution",
    "ReversalAsked",
    "ReversalCall",
    "ReversalPlan",
    "Route",
    "RunResult",
    "RunSpec",
    "TakenBack",
    "Total",
    "accounts_in_use",
    "agree_abandon",
    "agree_giving_up",
    "apply_account",
    "apply_bank_payout",
    "apply_money",
    "apply_payees",
    "apply_progress",
    "bank_waits",
    "begin_attempt",
    "begin_bank_attempt",
    "begin_first_attempt",
    "begin_resolution",
    "begin_reversal",
    "block_payee",
    "book_reversals",
    "build_run",
    "cancel",
    "check_invariants",
    "check_recipient",
    "decide",
    "destinations",
    "explain_payout",
    "export",
    "find_payee",
    "finish_run",
    "foresee",
    "frozen",
    "funds",
    "hand_over",
    "keep_following",
    "leave_for_bank_file",
    "limit_day",
    "looked",
    "mark_failed",
    "mark_paid",
    "not_alone",
    "notice_died",
    "open_notice",
    "open_run",
    "plan_reversal",
    "prepare",
    "preview",
    "propose_abandon",
    "propose_giving_up",
    "put_off",
    "put_off_resolution",
    "put_off_reversal",
    "put_payees",
    "record_found",
    "record_found_reversals",
    "record_outcome",
    "record_reversal",
    "refuse_reversal",
    "release",
    "request_reversal",
    "resume_bank_account",
    "resume_bank_funds",
    "resume_parked",
    "resume_payee",
    "retry",
    "reversal_died",
    "route",
    "route_of_attempt",
    "route_of_reversal",
    "run_result",
    "set_aside",
    "set_recipient",
    "settle_notice",
    "settle_runs",
    "sharers",
    "summary",
    "sweep_notices",
    "sweep_reversals",
    "sweep_stuck",
    "take_up",
    "take_up_reversals",
    "tend_runs",
    "to_follow",
    "to_look",
    "unsent",
]
