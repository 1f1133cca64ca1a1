"""What cannot be done with payouts, each condition with its data."""

from domain.errors import DomainError


class PayoutsError(DomainError):
    """The base of this subject's errors."""


class ShardChanged(PayoutsError):
    """Earnings of a shard changed between the decision and the claim; the shard is done again."""

    def __init__(self, account_ids: list[int]) -> None:
        self.account_ids = account_ids
        shown = ", ".join(map(str, account_ids[:5]))
        super().__init__(
            f"Earnings of accounts {shown} changed while they were claimed; try again."
        )


class RunChangesTooFast(PayoutsError):
    """A shard changed under every try; nothing was claimed from it."""

    def __init__(self, run_id: int, tries: int) -> None:
        self.run_id, self.tries = run_id, tries
        super().__init__(
            f"Run {run_id}: its earnings changed under {tries} tries; build it again, it resumes."
        )


class NotCancelable(PayoutsError):
    """A payout may have been paid, or is stopped; its earnings stay in it."""

    def __init__(self, payout_id: int, why: str) -> None:
        self.payout_id, self.why = payout_id, why
        super().__init__(f"Payout {payout_id} cannot be canceled: it is {why}.")


class NotRetryable(PayoutsError):
    """Only a failed payout can be tried again."""

    def __init__(self, payout_id: int, why: str) -> None:
        self.payout_id, self.why = payout_id, why
        super().__init__(f"Payout {payout_id} cannot be tried again: it is {why}, not failed.")


class NotAbandonable(PayoutsError):
    """An attempt is given up only when nothing else can tell what became of it, and by two people."""

    def __init__(self, payout_id: int, why: str) -> None:
        self.payout_id, self.why = payout_id, why
        super().__init__(f"Payout {payout_id} cannot be given up: {why}.")


class NotReleasable(PayoutsError):
    """What came back can be decided on once, and a payout let go only as a whole."""

    def __init__(self, what: str, why: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"Nothing was done about {what}: {why}.")


class NoSuchPayout(PayoutsError):
    """There is no payout, or no attempt, with this id."""

    def __init__(self, what: str, wanted: int) -> None:
        self.what, self.wanted = what, wanted
        super().__init__(f"There is no {what} {wanted}.")


class AlreadyStopped(PayoutsError):
    """A kill switch of this reach is in force."""

    def __init__(self, merchant_id: int | None, method: str | None) -> None:
        self.merchant_id, self.method = merchant_id, method
        super().__init__(
            "These payouts are stopped already; `payspool payouts stops` says by whom."
        )


class NotStopped(PayoutsError):
    """No kill switch of exactly this reach is in force."""

    def __init__(self, merchant_id: int | None, method: str | None) -> None:
        self.merchant_id, self.method = merchant_id, method
        super().__init__(
            "No stop of exactly this merchant and method is in force; `payspool payouts stops` lists them."
        )


class NotApprovable(PayoutsError):
    """A run cannot be approved or rejected by this person, now, or as it is."""

    def __init__(self, run_id: int, why: str) -> None:
        self.run_id, self.why = run_id, why
        super().__init__(f"Run {run_id} cannot be approved or rejected: {why}.")


class NoBooks(PayoutsError):
    """A method whose gateway shows no books cannot be reconciled with them."""

    def __init__(self, method: str) -> None:
        self.method = method
        super().__init__(f"Payouts by {method} have no books at a gateway to compare with.")


class NoSuchDifference(PayoutsError):
    """There is no open difference of this number."""

    def __init__(self, difference_id: int) -> None:
        self.difference_id = difference_id
        super().__init__(
            f"There is no open difference {difference_id}; `payspool payouts differences` lists them."
        )


class NotExportable(PayoutsError):
    """A run has nothing for a bank file now."""

    def __init__(self, run_id: int, why: str) -> None:
        self.run_id, self.why = run_id, why
        super().__init__(f"Run {run_id} cannot be exported: {why}.")


class NotMarkable(PayoutsError):
    """A person's word about a payout contradicts what is known of it."""

    def __init__(self, payout_id: int, why: str) -> None:
        self.payout_id, self.why = payout_id, why
        super().__init__(f"Payout {payout_id} cannot be marked: {why}.")


class BreakerNotOpen(PayoutsError):
    """There is no open breaker of this merchant and method to close."""

    def __init__(self, merchant_id: int, method: str) -> None:
        self.merchant_id, self.method = merchant_id, method
        super().__init__(
            f"No breaker of merchant {merchant_id} by {method} is open; `payspool payouts breakers` lists"
            " those that are."
        )


class NotUnfreezable(PayoutsError):
    """A stopped payout goes on only by two people who looked at it."""

    def __init__(self, payout_id: int, why: str) -> None:
        self.payout_id, self.why = payout_id, why
        super().__init__(f"Payout {payout_id} is not let go on: {why}.")
