"""Rewards of the catalogue for a card: which it can redeem now, and what is missing for the others.

>>> from domain.loyalty.rules.programs import Program, Reward
>>> program = Program(id=1, merchant_id=1, key="beans", zone="UTC", currency="eur", earn_points=1,
...     earn_per_amount=100, kind="hybrid", stamp_target=10, stamp_reward="A coffee",
...     rewards=(Reward("mug", "A mug", points=300), Reward("cash5", "5 EUR", points=500, cash=500)))
>>> for offer in offers(program, spendable=320, stamps=8):
...     offer.reward_id, offer.available, offer.missing_points, offer.missing_stamps, offer.why
('mug', True, 0, 0, None)
('cash5', False, 180, 0, 'insufficient_points')
(None, False, 0, 2, 'insufficient_stamps')
"""

from dataclasses import dataclass

from domain.loyalty.rules.programs import Program, Reward, inactive


@dataclass(frozen=True, slots=True)
class Offer:
    """A reward and what a card lacks for it. ``reward_id`` None is the full card of stamps.

    ``cash`` is in minor units of ``currency``, which is there with it. ``why``, where it is not available, is the
    reason that a redemption would be refused with.
    """

    reward_id: str | None
    description: str
    points: int | None
    stamps: int | None
    cash: int | None
    currency: str | None
    missing_points: int
    missing_stamps: int
    why: str | None

    @property
    def available(self) -> bool:
        """Whether a redemption that names it now would be taken."""
        return self.why is None


def offers(
    program: Program,
    *,
    spendable: int,
    stamps: int,
    active: bool = True,
    customer_known: bool = True,
) -> list[Offer]:
    """All rewards of ``program``, in its order, for a card with ``spendable`` points and ``stamps``."""
    rewards: list[tuple[str | None, Reward]] = [(reward.id, reward) for reward in program.rewards]
    if program.stamp_target is not None:
        full = Reward("", program.stamp_reward or "", stamps=program.stamp_target)
        rewards.append((None, full))
    refusal = inactive(program)
    never = "card_inactive" if not active else refusal.reason if refusal else None
    found = []
    for reward_id, reward in rewards:
        points = max((reward.points or 0) - spendable, 0)
        lacking = max((reward.stamps or 0) - stamps, 0)
        why = never or _why(program, reward, points, lacking, customer_known)
        currency = program.currency if reward.cash is not None else None
        found.append(
            Offer(
                reward_id,
                reward.description,
                reward.points,
                reward.stamps,
                reward.cash,
                currency,
                points,
                lacking,
                why,
            )
        )
    return found


def _why(
    program: Program, reward: Reward, points: int, stamps: int, customer_known: bool
) -> str | None:
    lacks = program.lacks("points" if reward.points is not None else "stamps")
    if lacks is not None:
        return lacks.reason
    if reward.cash is not None and not customer_known:
        return "customer_unknown"
    if reward.points is not None and reward.points < program.min_redemption:
        return "below_min_redemption"
    if points:
        return "insufficient_points"
    return "insufficient_stamps" if stamps else None
