"""What is taken out of a dead message of a customer who is anonymized."""

import doctest

from domain.dead_letters import rules
from domain.dead_letters.rules import without_customer


def test_the_examples_are_true() -> None:
    assert doctest.testmod(rules) == (0, 2)


def test_others_in_the_same_message_keep_all_and_what_cannot_be_read_goes() -> None:
    other = '[{"card": "C2", "customer_id": "ben", "notes": "tall"}]'
    assert without_customer(other, "ada", "C1", {"card"}) == other
    assert without_customer('[{"card": "C1", "cust', "ada", "C1", {"card"}) is None
