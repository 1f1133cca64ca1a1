"""Secrets at rest, and keys that come and go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.secrets import CannotDecrypt, SecretBox, new_key

OLD, NEW = new_key(), new_key()


@given(st.text())
def test_what_is_encrypted_comes_back(secret: str) -> None:
    box = SecretBox([NEW])
    assert box.decrypt(box.encrypt(secret), "key") == secret


def test_the_token_shows_nothing_of_the_secret_and_is_another_each_time() -> None:
    box = SecretBox([NEW])
    one, other = box.encrypt("sk_test_abc"), box.encrypt("sk_test_abc")
    assert one != other
    assert b"sk_test" not in one


def test_after_a_rotation_old_tokens_open_and_new_ones_are_under_the_new_key() -> None:
    token = SecretBox([OLD]).encrypt("secret")
    both = SecretBox([NEW, OLD])
    assert both.decrypt(token, "key") == "secret"
    assert SecretBox([NEW]).decrypt(both.encrypt("secret"), "key") == "secret"
    with pytest.raises(CannotDecrypt):
        SecretBox([OLD]).decrypt(both.encrypt("secret"), "key")


def test_a_token_under_a_key_that_is_gone_says_what_to_do() -> None:
    token = SecretBox([OLD]).encrypt("secret")
    with pytest.raises(CannotDecrypt, match=r"stripe key.*PAYSPOOL_SECRET_KEYS") as raised:
        SecretBox([NEW]).decrypt(token, "stripe key")
    assert raised.value.what == "stripe key"


@pytest.mark.parametrize("change", [lambda t: t[:-1] + b"A", lambda t: b"", lambda t: b"x" + t])
def test_a_token_that_was_tampered_with_does_not_open(change) -> None:
    token = SecretBox([NEW]).encrypt("secret")
    with pytest.raises(CannotDecrypt):
        SecretBox([NEW]).decrypt(change(token), "key")


def test_a_token_is_read_as_the_database_gives_it() -> None:
    box = SecretBox([NEW])
    assert box.decrypt(memoryview(box.encrypt("secret")), "key") == "secret"  # type: ignore[arg-type]
