"""The kinds of parameters: what each reads, what each refuses, by name and code."""

import pytest

from sandbox.errors import InvalidParameter
from sandbox.params import (
    Amount,
    Boolean,
    Currency,
    Hash,
    Integer,
    Many,
    Metadata,
    Range,
    Text,
    choice,
    parse,
    refused,
)


def refusal(kind, value):
    with pytest.raises(InvalidParameter) as caught:
        parse({"p": kind}, {"p": value})
    return caught.value


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (Text(), "hello", "hello"),
        (Text(unsets=True), "", None),
        (Integer(), "-5", -5),
        (Integer(), "007", 7),
        (Amount(), "1", 1),
        (Boolean(), "true", True),
        (Boolean(), "false", False),
        (choice("a", "b"), "b", "b"),
        (Currency(), "EUR", "eur"),
        (Metadata(), {"a": "1"}, {"a": "1"}),
        (Metadata(), "", None),
        (Many(of=Integer()), {"0": "1", "10": "3", "2": "2"}, [1, 2, 3]),
        (Many(), "", []),
        (Hash(spec={"a": Integer()}), {"a": "1"}, {"a": 1}),
        (Hash(spec={}), "", None),
        (Range(), "5", [("=", 5)]),
        (Range(), {"gte": "1", "lt": "9"}, [(">=", 1), ("<", 9)]),
    ],
)
def test_a_value_is_read_as_its_kind(kind, value, read):
    assert parse({"p": kind}, {"p": value}) == {"p": read}


@pytest.mark.parametrize(
    ("kind", "value", "param", "code"),
    [
        (Text(), "", "p", "parameter_invalid_empty"),
        (Text(), {"a": "b"}, "p", None),
        (Text(limit=3), "four", "p", "parameter_invalid_string"),
        (Text(pattern="[a-z]+"), "A", "p", "parameter_invalid_string"),
        (Integer(), "", "p", "parameter_invalid_integer"),
        (Integer(), "1e3", "p", "parameter_invalid_integer"),
        (Integer(), "9" * 30, "p", "parameter_invalid_integer"),
        (Integer(), "٣", "p", "parameter_invalid_integer"),
        (Integer(minimum=1), "0", "p", "parameter_invalid_integer"),
        (Integer(maximum=9), "10", "p", "parameter_invalid_integer"),
        (Amount(least=50), "49", "p", "amount_too_small"),
        (Amount(least=50), "0", "p", "parameter_invalid_integer"),
        (Amount(maximum=9), "10", "p", "amount_too_large"),
        (Boolean(), "yes", "p", None),
        (choice("a"), "b", "p", None),
        (Currency(), "xyz", "p", None),
        (Metadata(), "text", "p", None),
        (Metadata(), {"a": {"b": "c"}}, "p[a]", None),
        (Many(), "a", "p", None),
        (Many(), {"a": "b"}, "p", None),
        (Many(most=1), {"0": "a", "1": "b"}, "p", None),
        (Many(of=Integer()), {"0": "x"}, "p[0]", "parameter_invalid_integer"),
        (Hash(spec={"a": Integer()}), {"b": "1"}, "p[b]", "parameter_unknown"),
        (Hash(spec={"a": Integer().must()}), {}, "p[a]", "parameter_missing"),
        (Hash(spec={}), "text", "p", None),
        (Range(), {"over": "1"}, "p[over]", "parameter_unknown"),
        (refused("of its reason"), "x", "p", "sandbox_unsupported"),
    ],
)
def test_a_refusal_names_the_parameter_and_its_code(kind, value, param, code):
    error = refusal(kind, value)
    assert (error.status, error.param, error.code) == (400, param, code)


def test_a_refused_parameter_says_why():
    assert "of its reason" in refusal(refused("of its reason"), "x").message


def test_unknown_parameters_come_before_missing_ones():
    with pytest.raises(InvalidParameter) as caught:
        parse({"a": Text().must()}, {"b": "1"})
    assert caught.value.param == "b"
    with pytest.raises(InvalidParameter) as caught:
        parse({"a": Text().must()}, {})
    assert (caught.value.param, caught.value.code) == ("a", "parameter_missing")
