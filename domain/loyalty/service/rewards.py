"""What a redemption costs: what it says, or what the catalogue says of its reward."""

from typing import Any

from domain.loyalty.rules import Program, Refusal
from domain.loyalty.rules.programs import Reward


def cost_of(program: Program, data: Any) -> tuple[int, Reward | None] | Refusal:
    """Points that a redemption or a hold asks for, and the entry of the catalogue that it names, if any."""
    reward = program.reward(data.reward_id) if data.reward_id is not None else None
    points: int | None = data.points
    if reward is not None:
        if reward.points is None:
            return Refusal("reward_not_for_points", f"reward {reward.id} is for stamps")
        if points is not None and points != reward.points:
            return Refusal(
                "reward_cost_changed", f"reward {reward.id} costs {reward.points} points"
            )
        points = reward.points
    if points is None:
        if program.rewards:
            return Refusal("reward_unknown", f"the catalogue has no reward {data.reward_id}")
        return Refusal("missing_points", "a redemption needs `points`: what the reward costs")
    return points, reward
