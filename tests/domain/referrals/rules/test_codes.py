"""Codes, and the typing errors that their check character catches."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.referrals.rules.codes import (
    ALPHABET,
    PREFIX,
    check_character,
    has_good_check,
    make_code,
)

bodies = st.text(ALPHABET, min_size=1, max_size=12)


def test_the_alphabet_has_no_characters_that_people_mix_up() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("0O1I") & set(ALPHABET)


@given(st.integers(1, 12))
def test_a_made_code_has_its_prefix_its_length_and_a_good_check(length: int) -> None:
    made = make_code(length=length)
    assert made.startswith(PREFIX)
    assert len(made) == len(PREFIX) + length + 1
    assert set(made.removeprefix(PREFIX)) <= set(ALPHABET)
    assert has_good_check(made)


def test_a_default_code_fits_the_contract() -> None:
    assert 6 <= len(make_code()) <= 20


@given(bodies)
def test_every_single_wrong_character_is_caught(body: str) -> None:
    good = body + check_character(body)
    for place, right in enumerate(good):
        for wrong in ALPHABET:
            if wrong != right:
                typed = good[:place] + wrong + good[place + 1 :]
                assert not has_good_check(PREFIX + typed), (good, typed)


def test_nearly_every_swap_of_neighbours_is_caught() -> None:
    missed = []
    for a in ALPHABET:
        for b in ALPHABET:
            good = a + b + check_character(a + b)
            if a != b and has_good_check(PREFIX + b + a + good[2]):
                missed.append(a + b)
    assert missed == ["2Z", "Z2"], "as with Luhn: only the first and the last of the alphabet"


@pytest.mark.parametrize(
    "code", ["", "REF-", "REF-2", "ref-23456J", "REF_ABC123", "23456J", "REF-23456j", "REF-2345 6J"]
)
def test_what_is_not_of_our_own_form_has_no_good_check(code: str) -> None:
    assert not has_good_check(code)


def test_codes_are_drawn_from_all_of_the_alphabet() -> None:
    draws = count()
    bodies = [make_code(draws, length=4).removeprefix(PREFIX)[:-1] for _ in range(8)]
    assert "".join(bodies) == ALPHABET
