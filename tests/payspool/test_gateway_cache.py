"""A gateway is kept for a few seconds, for each merchant and method, and a refusal is not."""

import pytest

from domain.errors import NotFound
from payspool.gateway_cache import KEPT_SECONDS, kept
from tests.domain.payouts.house import PAPER, PaperGateway


def test_a_gateway_is_read_anew_after_five_seconds_and_a_refusal_at_once() -> None:
    now, asked = [0.0], []

    def find(merchant_id: int, method: str) -> PaperGateway:
        asked.append((merchant_id, method))
        if len(asked) == 1:
            raise NotFound("gateway account", "acme")
        return PAPER

    gateways = kept(find, lambda: now[0])
    with pytest.raises(NotFound):
        gateways(1, "stripe")
    for second in (0.0, 1.0, KEPT_SECONDS - 0.001):
        now[0] = second
        assert gateways(1, "stripe") is PAPER
    assert gateways(2, "stripe") is PAPER
    assert asked == [(1, "stripe"), (1, "stripe"), (2, "stripe")]
    now[0] = KEPT_SECONDS
    gateways(1, "stripe")
    assert asked[-1] == (1, "stripe")
    assert len(asked) == 4
