"""What a gateway tells is held as a column can keep it."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from domain.payouts.rules import told
from domain.payouts.rules.told import keepable, name_of


def test_its_examples_hold() -> None:
    result = doctest.testmod(told)
    assert result.attempted > 0
    assert result.failed == 0


@given(st.text(st.characters()) | st.text("\x00\ud800a") | st.integers() | st.lists(st.text()))
def test_any_text_can_be_kept_and_what_can_be_is_not_changed(said: object) -> None:
    kept = keepable(said)
    assert kept is not None
    assert "\x00" not in kept
    kept.encode()
    assert keepable(kept) == kept


@given(st.text("\x00\ud800atr_1", max_size=300) | st.none() | st.integers())
def test_a_name_is_kept_as_it_is_or_not_at_all(said: object) -> None:
    name = name_of(said)
    assert name in (None, said)
    assert name is None or (len(name.encode()) <= 4 * 255 and "\x00" not in name)
