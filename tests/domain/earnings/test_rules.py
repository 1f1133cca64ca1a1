"""What an earning is in the ledger."""

import doctest

from domain.earnings import rules


def test_the_examples_in_the_rules_are_true() -> None:
    failed, tried = doctest.testmod(rules)
    assert tried
    assert not failed
