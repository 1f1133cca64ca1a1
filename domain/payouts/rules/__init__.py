"""What payouts decide, from values to values: who is paid how much, and what an answer means.

Ada earned 12.00 and had 2.00 taken back; the smallest payout is 5.00. She is paid 10.00:

>>> ready = PayeeView(payee_id=1, method="stripe", destination="acct_ada", blocked_reason=None)
>>> ada = Group(account_id=9, user_id="ada", currency="usd", amount=1_000, members=2)
>>> decide(ada, ready, minimum=500, methods=("stripe",))
Pay(payee_id=1, method='stripe', destination='acct_ada', amount=1000, carried=0)

Without the 12.00 she would owe 2.00: nothing is paid, and the debt is carried over to the next run.

>>> owing = Group(account_id=9, user_id="ada", currency="usd", amount=-200, members=1)
>>> decide(owing, ready, minimum=500, methods=("stripe",)).reason
'negative_balance'

The gateway's answers. A refusal that it names is a failure, and may be tried again under a new key.
Silence is never a failure: the money may have moved, so the same key is asked again, and nobody is
paid twice.

>>> poor = GatewayOutcome("response", http_status=400, code="balance_insufficient")
>>> classify(poor, replaying_unknown=False).value
'definite_failure'
>>> classify(GatewayOutcome("timeout"), replaying_unknown=False).value
'unknown'

While an answer is unknown, the same refusal proves nothing unless the gateway says that it is what
it answered the first time:

>>> classify(poor, replaying_unknown=True).value
'unknown'
>>> from dataclasses import replace
>>> classify(replace(poor, replayed=True), replaying_unknown=True).value
'definite_failure'
"""

from domain.payouts.rules.attempts import (
    LEASE,
    MAX_TRIES,
    ONE_TRY,
    REPLAY_WINDOW,
    Leave,
    LiveAttempt,
    Step,
    attempt_key,
    backoff,
    is_forgotten,
    may_replay,
    next_step,
    params_hash,
    transfer_group,
)
from domain.payouts.rules.due import (
    EMPTY_RUN_HASH,
    Decision,
    Group,
    Pay,
    PayeeView,
    Skip,
    decide,
    extend_run_hash,
    members_digest,
    members_hash,
)
from domain.payouts.rules.outcomes import GatewayOutcome, Verdict, classify
from domain.payouts.rules.states import (
    ATTEMPT,
    PAYOUT,
    RUN,
    Table,
    can,
    mermaid,
)

__all__ = [
    "ATTEMPT",
    "EMPTY_RUN_HASH",
    "LEASE",
    "MAX_TRIES",
    "ONE_TRY",
    "PAYOUT",
    "REPLAY_WINDOW",
    "RUN",
    "Decision",
    "GatewayOutcome",
    "Group",
    "Leave",
    "LiveAttempt",
    "Pay",
    "PayeeView",
    "Skip",
    "Step",
    "Table",
    "Verdict",
    "attempt_key",
    "backoff",
    "can",
    "classify",
    "decide",
    "extend_run_hash",
    "is_forgotten",
    "may_replay",
    "members_digest",
    "members_hash",
    "mermaid",
    "next_step",
    "params_hash",
    "transfer_group",
]
