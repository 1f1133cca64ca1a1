"""Loyalty: cards, points, stamps, and the purchases behind them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, model_validator

from payspool_client.events.fields import (
    Amount,
    CategoryIds,
    Count,
    Currency,
    EventData,
    EventReference,
    IpAddress,
    Notes,
    OrderReference,
    PositiveAmount,
    ProgramKey,
    Reason,
    RewardDescription,
    RewardId,
    SignedCount,
    TransactionId,
    UserAgent,
    UserId,
    missing,
    one_of_them,
)


class CardEvent(EventData):
    """What every change of a card may say about where it happened and who did it."""

    card: UserId
    store_id: UserId | None = None
    staff_pin_id: UserId | None = None
    terminal_device_id: UserId | None = None
    ip_address: IpAddress | None = None
    user_agent: UserAgent | None = None
    notes: Notes | None = None


class CardCreated(CardEvent):
    """A customer enrolled; the program's welcome bonus follows."""

    type: ClassVar[str] = "loyalty.card_created"

    customer_id: UserId
    program: ProgramKey | None = None


class CardDeactivated(CardEvent):
    """The card can no longer earn or redeem; its balance stays."""

    type: ClassVar[str] = "loyalty.card_deactivated"

    customer_id: UserId | None = None
    reason: Reason | None = None


class CardReactivated(CardEvent):
    """The card can earn and redeem again."""

    type: ClassVar[str] = "loyalty.card_reactivated"

    customer_id: UserId | None = None
    reason: Reason | None = None


class BalanceEvent(CardEvent):
    """What every change of a balance may say about the purchase or reward behind it.

    `purchase_amount` is in minor units of `purchase_currency` (absent: the program's).
    """

    customer_id: UserId | None = None
    order_reference: OrderReference | None = None
    purchase_amount: Amount | None = None
    purchase_currency: Currency | None = None
    category_ids: CategoryIds | None = None
    reward_id: RewardId | None = None
    reward_description: RewardDescription | None = None
    related_event: EventReference | None = None


class PointsEarned(BalanceEvent):
    """Points for a purchase: given as they are, or computed from its amount by the program."""

    type: ClassVar[str] = "loyalty.points_earned"
    model_config = ConfigDict(json_schema_extra=one_of_them("points", "purchase_amount"))

    points: Count | None = None

    @model_validator(mode="after")
    def _points_or_purchase(self) -> PointsEarned:
        if self.points is None and self.purchase_amount is None:
            raise missing("points", "or purchase_amount is needed")
        return self


class PointsRedeemed(BalanceEvent):
    """Points were spent: that many, or what the reward costs."""

    type: ClassVar[str] = "loyalty.points_redeemed"
    model_config = ConfigDict(json_schema_extra=one_of_them("points", "reward_id"))

    points: Count | None = None

    @model_validator(mode="after")
    def _points_or_reward(self) -> PointsRedeemed:
        if self.points is None and self.reward_id is None:
            raise missing("points", "or reward_id is needed")
        return self


class PointsHeld(BalanceEvent):
    """Points are reserved for a redemption that is captured or released later: that many, or what the
    reward costs."""

    type: ClassVar[str] = "loyalty.points_held"
    model_config = ConfigDict(json_schema_extra=one_of_them("points", "reward_id"))

    points: Count | None = None

    @model_validator(mode="after")
    def _points_or_reward(self) -> PointsHeld:
        if self.points is None and self.reward_id is None:
            raise missing("points", "or reward_id is needed")
        return self


class HoldCaptured(BalanceEvent):
    """What was held is redeemed: all of it, or `points`, which releases the rest."""

    type: ClassVar[str] = "loyalty.hold_captured"

    related_event: EventReference
    points: Count | None = None


class HoldReleased(CardEvent):
    """What was held can be spent again."""

    type: ClassVar[str] = "loyalty.hold_released"

    customer_id: UserId | None = None
    related_event: EventReference


class PointsVoided(BalanceEvent):
    """Takes back an earn or a redemption, in part (points) or all that is left of it."""

    type: ClassVar[str] = "loyalty.points_voided"

    related_event: EventReference
    points: Count | None = None


class PointsAdjusted(BalanceEvent):
    """A correction by a person, up or down."""

    type: ClassVar[str] = "loyalty.points_adjusted"

    points: SignedCount
    reason: Reason


class StampEarned(BalanceEvent):
    """One stamp, or several."""

    type: ClassVar[str] = "loyalty.stamp_earned"

    stamps: Count = 1


class StampRedeemed(BalanceEvent):
    """A full stamp card was spent: the program's target, unless another number is given."""

    type: ClassVar[str] = "loyalty.stamp_redeemed"

    stamps: Count | None = None


class StampVoided(BalanceEvent):
    """Takes back stamps that were earned, in part or all that is left of them."""

    type: ClassVar[str] = "loyalty.stamp_voided"

    related_event: EventReference
    stamps: Count | None = None


class StampAdjusted(BalanceEvent):
    """A correction by a person, up or down."""

    type: ClassVar[str] = "loyalty.stamp_adjusted"

    stamps: SignedCount
    reason: Reason


class PurchaseRefunded(EventData):
    """A purchase was given back: the points that it earned go in proportion.

    `amount` is in minor units of the purchase's currency.
    """

    type: ClassVar[str] = "loyalty.purchase_refunded"

    order_reference: OrderReference
    refund_id: TransactionId
    amount: PositiveAmount
    currency: Currency | None = None
    card: UserId | None = None


class CustomerAnonymized(EventData):
    """Personal data goes, the ledger stays."""

    type: ClassVar[str] = "loyalty.customer_anonymized"

    customer_id: UserId
