"""The API's port: found without a race, and the same again after a restart."""

import socket
from pathlib import Path

import pytest

from payspool.instance import url_of
from payspool.serving import listen
from payspool.settings import BadSettings

HERE = "127.0.0.1"


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_of_two_that_want_the_same_port_the_second_takes_the_next_one(tmp_path: Path) -> None:
    with (
        listen(HERE, 0, tmp_path / "first") as first,
        listen(HERE, port_of(first), tmp_path / "second") as second,
    ):
        assert port_of(second) > port_of(first)
        assert (tmp_path / "first").read_text() == str(port_of(first))
        assert (tmp_path / "second").read_text() == str(port_of(second))


def test_an_api_that_is_started_again_takes_the_port_that_its_clients_know_or_none(
    tmp_path: Path,
) -> None:
    port_file = tmp_path / "port"
    with listen(HERE, 0, port_file) as listener:
        known = port_of(listener)
        with pytest.raises(BadSettings, match=f"PAYSPOOL_API_PORT: no port is free from {known}"):
            listen(HERE, 1024, port_file)
    with listen(HERE, 1024, port_file) as listener:
        assert port_of(listener) == known


def test_without_a_file_the_port_is_the_one_that_was_asked_for() -> None:
    with (
        listen(HERE, 0) as listener,
        pytest.raises(BadSettings, match="PAYSPOOL_API_PORT: no port is free"),
    ):
        listen(HERE, port_of(listener))


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_named(host: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="PAYSPOOL_API_HOST"):
        listen(host, 0, tmp_path / "port")


def test_the_search_ends_with_the_last_port(tmp_path: Path) -> None:
    with listen(HERE, 65_535, tmp_path / "one") as one:
        assert port_of(one) == 65_535
        with pytest.raises(BadSettings, match="from 65535 to 65535"):
            listen(HERE, 65_535, tmp_path / "two")


def test_an_address_with_colons_stands_in_brackets() -> None:
    assert url_of("::1", 8300) == "http://[::1]:8300"
    assert url_of(HERE, 8300) == "http://127.0.0.1:8300"
