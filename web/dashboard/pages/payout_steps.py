"""The steps that are safe for a payout as it stands, as buttons: what would be refused is not offered.

`STEPS` is all of them: when a step is offered, which button it is, and what is asked before it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nicegui import ui

from domain import clock
from domain.db import Tx
from domain.payouts.rules.attempts import is_forgotten
from domain.payouts.rules.bank_leg import TRANSFER
from domain.payouts.rules.outside import problem
from domain.payouts.rules.reversing import LIVE, Reversible, to_take_back
from domain.payouts.service import Explained
from domain.payouts.store import outside
from web.dashboard.components.live import Question, allowed, asking, button
from web.dashboard.components.markup import join
from web.dashboard.components.show import money
from web.dashboard.visit import Visit

UNSETTLED: Final = ("created", "sending", "unknown")
"""States of an attempt that may pay the payout."""
CANCELED_FROM: Final = ("draft", "approved", "failed")
"""States in which giving a payout up can be offered; whether it may be, the service decides."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides, beside the payout's page, which steps can be safe.

    Attributes:
        said: An open proposal that it was paid outside, or None.
        asked: Whether the gateway still remembers the key of the last attempt, and is asked by itself.
        reversal_asked: The same of the last request to take it back.
    """

    said: Any
    asked: bool
    reversal_asked: bool


def standing_of(tx: Tx, told: Explained) -> Standing:
    """Read what `offer` needs."""
    now = clock.real_now(tx)

    def remembered(rows: list[Any]) -> bool:
        sent_at = rows[-1].sent_at if rows else None
        return sent_at is not None and not is_forgotten(sent_at, now)

    said = outside.proposal(tx, told.payout.id)
    return Standing(said, remembered(told.attempts), remembered(told.reversals))


@dataclass(frozen=True, slots=True)
class Case:
    """A payout before somebody who looks at it."""

    visit: Visit
    told: Explained
    standing: Standing

    @property
    def payout(self) -> Any:
        """The payout."""
        return self.told.payout

    @property
    def attempt(self) -> Any:
        """Its last attempt, or None."""
        return self.told.attempts[-1] if self.told.attempts else None

    @property
    def reversal(self) -> Any:
        """The last request to take it back, or None."""
        return self.told.reversals[-1] if self.told.reversals else None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped in doubt: then nothing else is offered."""
        return self.payout.frozen_reason is not None

    @property
    def said(self) -> Any:
        """The open proposal that it was paid outside, which leaves nothing else; None of one that is frozen."""
        return None if self.frozen else self.standing.said

    @property
    def plain(self) -> bool:
        """Whether nobody said anything of it that comes first."""
        return not self.frozen and self.standing.said is None

    @property
    def lost(self) -> Any:
        """Its last attempt, if the gateway has forgotten the key and nobody can tell what became of it."""
        last = self.attempt
        open_ = self.plain and last is not None and last.state == "unknown"
        return last if open_ and not self.standing.asked else None

    @property
    def lost_reversal(self) -> Any:
        """The same of the last request to take it back."""
        last = self.reversal
        open_ = self.plain and last is not None and last.state == "unknown"
        return last if open_ and not self.standing.reversal_asked else None

    @property
    def may_be_outside(self) -> bool:
        """Whether somebody may say that it was paid outside."""
        last = self.attempt
        live = last.state if last is not None and last.state in UNSETTLED else None
        payout = self.payout
        refused = problem(payout.status, None, live, payout.external_transaction_id)
        return self.plain and refused is None

    @property
    def may_be_taken_back(self) -> bool:
        """Whether the gateway can take something of it back."""
        payout, asked = self.payout, self.reversal
        legs = {one.leg for one in self.told.attempts if one.state in (*UNSETTLED, "succeeded")}
        it = Reversible(
            payout.status,
            payout.method,
            payout.amount,
            payout.reversed_amount,
            payout.external_transaction_id,
            None,
            asked is not None and asked.state in LIVE,
            waits_there=legs == {TRANSFER},
        )
        return self.plain and isinstance(to_take_back(it, None), int)

    def other(self, name: str | None) -> bool:
        """Whether ``name`` is somebody, and not who looks."""
        return name not in (None, self.visit.user.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One button.

    Attributes:
        action: What it does.
        button: What is on it; ``kind`` is its colour.
        when: Whether it can be safe.
        title, says, confirm: Of the question; ``{id}`` is the payout's.
        reason, optional, entry, optional_entry: What is asked for, as in `Question`.
        said, entered: As which arguments of the action the reason and the entry are passed on.
        more: Further arguments.
    """

    action: str
    button: str
    when: Callable[[Case], bool]
    title: str
    says: Callable[[Case], Sequence[Any]]
    confirm: str
    kind: str = "calm"
    reason: str | None = None
    optional: str | None = None
    entry: str | None = None
    optional_entry: Callable[[Case], str] | None = None
    said: str = "reason"
    entered: str = "entry"
    more: Callable[[Case], dict[str, Any]] = lambda _: {}

    def question(self, case: Case) -> Question:
        """What is asked before it is taken."""
        payout = case.payout
        named = join(
            f"Payout {payout.id}: ",
            money(case.visit, payout.amount, payout.currency),
            f" to {payout.user_id}.",
        )
        return Question(
            self.title.format(id=payout.id),
            (named, *self.says(case)),
            reason=self.reason,
            optional=self.optional,
            entry=self.entry,
            optional_entry=self.optional_entry(case) if self.optional_entry else None,
            confirm=self.confirm,
            kind="danger",
        )


def offer(
    visit: Visit, merchant_id: int, told: Explained, standing: Standing, refresh: Any
) -> None:
    """Show a button for each step that can be safe now.

    Whether a step may be taken is decided by the service, when it is taken.
    """
    case = Case(visit, told, standing)
    with ui.element("div").classes("row"):
        for step in STEPS:
            if not allowed(visit, step.action) or not step.when(case):
                continue
            click = asking(
                visit,
                step.action,
                step.question(case),
                refresh,
                said=step.said,
                entered=step.entered,
                merchant_id=merchant_id,
                payout_id=told.payout.id,
                **step.more(case),
            )
            button(step.button, click, step.kind)


def _left(case: Case) -> Any:
    payout = case.payout
    return money(case.visit, payout.amount - payout.reversed_amount, payout.currency)


_LOOK: Final = "What you looked at, and saw"
_BANK: Final = "Only when the bank's own statement shows that it "

STEPS: Final = (
    Step(
        "payout.propose_unfreeze",
        "Let go on…",
        lambda c: c.frozen,
        "Propose to let this payout go on?",
        lambda c: (f"It was stopped: {c.payout.frozen_reason}", "Another person has to agree."),
        "Propose it",
        reason="What you compared, and saw",
    ),
    Step(
        "payout.agree_unfreeze",
        "Agree to go on…",
        lambda c: c.frozen,
        "Agree to let this payout go on?",
        lambda c: (
            f"It was stopped: {c.payout.frozen_reason}",
            "Only if another person proposed it, and you looked yourself.",
        ),
        "Agree",
        kind="danger",
    ),
    Step(
        "payout.agree_outside",
        "Agree that it was paid…",
        lambda c: c.said is not None and c.other(c.said.proposed_by),
        "Agree that it was paid outside?",
        lambda c: (
            f"{c.said.proposed_by} says so, as {c.said.reference}: {c.said.evidence}",
            "It is paid then, for good. Look yourself first.",
        ),
        "Agree",
        kind="danger",
    ),
    Step(
        "payout.withdraw_outside",
        "Not paid outside…",
        lambda c: c.said is not None,
        "Take back what was said?",
        lambda _: ("It goes on as it was: an approved payout is sent.",),
        "Take it back",
        reason="Why",
    ),
    Step(
        "payout.retry",
        "Retry…",
        lambda c: c.plain and c.payout.status == "failed",
        "Retry payout {id}?",
        lambda _: (
            "It is sent again under a new attempt. Do not retry one that was paid by hand.",
        ),
        "Send it again",
        kind="go",
        optional="Why (optional)",
    ),
    Step(
        "payout.cancel",
        "Cancel…",
        lambda c: c.plain and c.payout.status in CANCELED_FROM,
        "Cancel payout {id}?",
        lambda _: (
            "Its earnings can be claimed by the next run. Not for one that was paid outside of"
            " Payspool: the next run would pay it a second time.",
        ),
        "Cancel the payout",
        reason="Why",
    ),
    Step(
        "payout.release",
        "Pay again…",
        lambda c: c.plain and c.payout.status == "reversed",
        "Let the earnings of payout {id} go?",
        lambda _: ("All of it came back. The next run can pay its earnings again.",),
        "Let them go",
        reason="Why",
    ),
    Step(
        "payout.mark_paid",
        "Mark paid…",
        lambda c: c.plain and c.payout.status == "in_transit" and c.payout.method == "manual",
        "Mark payout {id} paid?",
        lambda _: (f"{_BANK}was paid.",),
        "It was paid",
        reason="The bank's reference",
        said="reference",
    ),
    Step(
        "payout.mark_failed",
        "Mark failed…",
        lambda c: c.plain and c.payout.status == "in_transit" and c.payout.method == "manual",
        "Mark payout {id} failed?",
        lambda _: (f"{_BANK}was refused.",),
        "The bank refused it",
        reason="What the bank said",
    ),
    Step(
        "payout.propose_abandon",
        "Give up…",
        lambda c: c.lost is not None and c.lost.abandon_proposed_by is None,
        "Propose to give this attempt up?",
        lambda _: (
            "Only when the gateway's own pages show no transfer for it. Another person has to agree.",
        ),
        "Propose it",
        reason=_LOOK,
    ),
    Step(
        "payout.agree_abandon",
        "Agree to give up…",
        lambda c: c.lost is not None and c.other(c.lost.abandon_proposed_by),
        "Agree to give this attempt up?",
        lambda c: (
            f"{c.lost.abandon_proposed_by} proposed it. Look at the gateway yourself first.",
        ),
        "Agree",
        kind="danger",
    ),
    Step(
        "payout.propose_outside",
        "Paid outside…",
        lambda c: c.may_be_outside,
        "Say that it was paid outside of Payspool?",
        lambda _: (
            "By hand at the bank, in cash, in the gateway's own pages. Nothing is sent for it from"
            " now on, and another person has to agree.",
        ),
        "Say it",
        entry="What the payment is called there",
        reason=_LOOK,
        said="evidence",
        entered="reference",
    ),
    Step(
        "payout.propose_give_up_reversal",
        "Give up the reversal…",
        lambda c: c.lost_reversal is not None and c.lost_reversal.abandon_proposed_by is None,
        "Propose to give this reversal up?",
        lambda _: ("Only when the gateway's own pages show no reversal of that transfer.",),
        "Propose it",
        reason=_LOOK,
    ),
    Step(
        "payout.agree_give_up_reversal",
        "Agree to give up the reversal…",
        lambda c: c.lost_reversal is not None and c.other(c.lost_reversal.abandon_proposed_by),
        "Agree to give this reversal up?",
        lambda c: (
            f"{c.lost_reversal.abandon_proposed_by} proposed it. Look at the gateway yourself first.",
        ),
        "Agree",
        kind="danger",
    ),
    Step(
        "payout.reverse",
        "Reverse…",
        lambda c: c.may_be_taken_back,
        "Have the gateway take payout {id} back?",
        lambda c: (
            join(_left(c), " of it can be taken back. The payee loses it, if it is still there."),
            "What came back waits for a decision under Ledger: owed again, or kept.",
        ),
        "Take it back",
        optional_entry=lambda c: (
            f"How much in {c.payout.currency.upper()} minor units; empty for all of it"
        ),
        reason="Why",
        entered="amount",
        more=lambda c: {"came_back": c.payout.reversed_amount},
    ),
)
"""All steps, in the order in which their buttons stand."""
