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


class RunDiffers(PayoutsError):
    """The name of a run is its key, and it was given to a run on other terms."""

    def __init__(self, name: str, run_id: int) -> None:
        self.name, self.run_id = name, run_id
        super().__init__(
            f"Run {run_id} is named {name!r} and has another time, other methods or other minimums;"
            " what was asked for stays. Give another name."
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
        super().__init__(f"Payout {payout_id} cannot be tried again: it is {why}.")


class AttemptForgotten(PayoutsError):
    """The database lost an attempt while it was sent: it failed over to a state that does not know it."""

    def __init__(self, payout_id: int, attempt_id: int, key: str, answer: str) -> None:
        self.payout_id, self.attempt_id, self.key, self.answer = payout_id, attempt_id, key, answer
        super().__init__(
            f"Payout {payout_id}: the database does not know attempt {attempt_id} any more, which was sent"
            f" as {key} ({answer}). Nothing more is sent until `payspool payouts rearm`."
        )


class DatabaseMoved(PayoutsError):
    """The database failed over while it was being compared: what was recorded meanwhile may be forgotten."""

    def __init__(self, before: str, now: str) -> None:
        self.before, self.now = before, now
        super().__init__(
            f"The database moved from {before} to {now} while it was compared; nothing is sent. Run"
            " `payspool payouts rearm` again."
        )


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


class NotReversible(PayoutsError):
    """Nothing of a payout can be taken back now, or nothing of it given up; ``code`` says why, for programs."""

    def __init__(self, payout_id: int, code: str, why: str) -> None:
        self.payout_id, self.code, self.why = payout_id, code, why
        super().__init__(f"Nothing was asked for about payout {payout_id}: {why}.")


class WrongMode(PayoutsError):
    """A gateway account tells of live events to a test merchant, or the other way round."""

    def __init__(self, method: str, event_id: str, mode: str) -> None:
        self.method, self.event_id, self.mode = method, event_id, mode
        super().__init__(
            f"{event_id} of {method} is not a {mode} event, and the merchant is in {mode} mode: nothing was"
            " kept. Give the merchant a key of its own mode (`payspool merchants stripe-key`)."
        )


class NoReturns(PayoutsError):
    """A method whose gateway has no list of what came back cannot be looked through for it."""

    def __init__(self, method: str) -> None:
        self.method = method
        super().__init__(f"Payouts by {method} have no list of what came back to look through.")


class NoEvents(PayoutsError):
    """A method whose gateway shows no events cannot be polled."""

    def __init__(self, method: str) -> None:
        self.method = method
        super().__init__(f"Payouts by {method} have no events at a gateway to look through.")
