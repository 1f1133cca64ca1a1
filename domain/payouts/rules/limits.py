"""What a run may still pay under hard limits, and who is carried over.

Ada, Bob and Cyd are due 6.00 each, and the merchant pays at most 10.00 a day: by ascending account Ada is
paid, and Bob is not, for 4.00 are left. Cyd is due 3.00 only, and is paid.

>>> from datetime import date
>>> room = Room({"usd": Limits(max_day=1_000)}, date(2026, 6, 1))
>>> room.admit(1, "usd", Pay(1, "stripe", "acct_ada", 600)).amount
600
>>> room.admit(2, "usd", Pay(2, "stripe", "acct_bob", 600)).detail
'600 is above the 400 that are left of the 1000 of all payouts on 2026-06-01'
>>> room.admit(3, "usd", Pay(3, "stripe", "acct_cyd", 300)).amount
300
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from domain.payouts.rules.approving import Limits
from domain.payouts.rules.due import Decision, Pay, Skip


@dataclass(slots=True)
class Room:
    """What has been claimed beside the hard limits of a run's policy, in minor units.

    ``limits`` and the sums ``of_run`` and ``of_day`` are by currency, ``of_payees`` by payable account
    (which is of one payee and one currency): what they were paid, or are to be, on the run's ``day``.
    """

    limits: Mapping[str, Limits]
    day: date
    of_run: dict[str, int] = field(default_factory=dict)
    of_day: dict[str, int] = field(default_factory=dict)
    of_payees: dict[int, int] = field(default_factory=dict)

    def admit(self, account_id: int, currency: str, decision: Decision) -> Decision:
        """Let a payout be made if all of it fits under every limit, and count it; else carry it over.

        An amount is never split, and whoever comes later may still fit: call it by ascending account, so
        that a preview and each build of a run decide alike.
        """
        limits = self.limits.get(currency)
        if isinstance(decision, Skip) or limits is None:
            return decision
        for limit, used, what in self._limits(account_id, currency, limits):
            left = max(limit - used, 0)
            if decision.amount > left:
                left_of = f"{left} that are left of the {limit}" if used else f"{limit}"
                return Skip("over_limit", f"{decision.amount} is above the {left_of} of {what}")
        self._count(account_id, currency, decision)
        return decision

    def _limits(
        self, account_id: int, currency: str, limits: Limits
    ) -> Iterator[tuple[int, int, str]]:
        """Each limit that is set, what of it is used, and what it is of; the narrowest first."""
        if limits.max_payout is not None:
            yield limits.max_payout, 0, "one payout"
        if limits.max_payee_day is not None:
            yield limits.max_payee_day, self.of_payees.get(account_id, 0), f"a payee on {self.day}"
        if limits.max_run is not None:
            yield limits.max_run, self.of_run.get(currency, 0), "one run"
        if limits.max_day is not None:
            yield limits.max_day, self.of_day.get(currency, 0), f"all payouts on {self.day}"

    def _count(self, account_id: int, currency: str, pay: Pay) -> None:
        self.of_run[currency] = self.of_run.get(currency, 0) + pay.amount
        self.of_day[currency] = self.of_day.get(currency, 0) + pay.amount
        self.of_payees[account_id] = self.of_payees.get(account_id, 0) + pay.amount
