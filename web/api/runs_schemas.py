"""What the operations that prepare, foresee, approve and reject runs take and answer, as models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from web.api.payouts_schemas import CancelRequest, Method, Run

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
NAME_MAX: Final = 200
CURRENCIES_MAX: Final = 200
SHOWN_MAX: Final = 100

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_MAX, pattern=r"^[A-Za-z0-9._:/-]+$")
]
Currency = Annotated[str, StringConstraints(pattern="^[a-z]{3}$")]
Minor = Annotated[int, Field(ge=0, le=2**63 - 1)]


def of_this_century(at: datetime) -> datetime:
    """A time that can be meant. Raises ValueError for one before the year 2000."""
    if at < EARLIEST:
        raise ValueError("is before the year 2000")
    return at


class Terms(BaseModel):
    """What a run is to pay."""

    model_config = ConfigDict(extra="forbid")

    methods: list[Method] = Field(default=["stripe"], min_length=1, max_length=3)
    minimums: dict[Currency, Minor] = Field(
        default={},
        max_length=CURRENCIES_MAX,
        description="The smallest payout by currency, in minor units; the merchant's policy may ask for more.",
    )


class PrepareRequest(Terms):
    """A run to be prepared."""

    name: Name | None = Field(
        default=None,
        description="Its key: the same name is the same run. Absent: `Idempotency-Key` is.",
    )
    as_of: Annotated[AwareDatetime, AfterValidator(of_this_century)] | None = Field(
        default=None, description="What was due then (business time); absent: now."
    )


class PreviewRequest(Terms):
    """A run to be foreseen: of what is due now."""

    shown: int = Field(
        default=20, ge=0, le=SHOWN_MAX, description="How many payees are shown of each reason."
    )


class ApproveRequest(BaseModel):
    """What is approved."""

    model_config = ConfigDict(extra="forbid")

    hash: str = Field(pattern="^[0-9a-f]{64}$", description="`members_hash` of what was looked at.")


class RejectRequest(CancelRequest):
    """Why a run is rejected."""


class PreparedRun(BaseModel):
    """A run that was asked for."""

    run: Run
    repeated: bool = Field(description="Whether it had been asked for before.")


class Foreseen(BaseModel):
    """What would become of a payee and currency."""

    user_id: str
    currency: str
    amount: int = Field(description="What would be paid, or what is due; in minor units.")
    carried: int = Field(description="What of it the gateway cannot carry, left to the next run.")
    reason: str = Field(description="`pay`, or why not.")
    detail: str


class Funds(BaseModel):
    """What the run needs of a gateway's balance, in minor units."""

    method: Method
    currency: str
    needed: int
    waiting: int = Field(description="What payouts need that are made and not sent yet.")
    available: int | None = Field(description="The gateway's balance; null if it is not known.")
    shortfall: int | None = Field(description="What is missing for both; null if it is not known.")
    why: str | None = Field(description="Why the balance is not known.")


class RunPreview(BaseModel):
    """What a run would do now. Nothing is written."""

    created: int = Field(description="Payouts that it would make.")
    skipped: int = Field(description="Payees and currencies that it would leave out.")
    reasons: dict[str, int] = Field(description="How many it would leave out, by reason.")
    by_currency: dict[str, dict[str, int]]
    payees: list[Foreseen] = Field(
        description="The first `shown` of each reason, by ascending account."
    )
    complete: bool = Field(
        description="False: there are more payees than a preview looks at; the sums are of the first ones."
    )
    funds: list[Funds]
