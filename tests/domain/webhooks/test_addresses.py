"""Webhooks go to public addresses over TLS, and into this installation's own network never."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhooks.addresses import Reach, Target, parse, vetted

NAMES = {
    "shop.example.com": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "inside.example.com": ["10.0.0.7"],
    "both.example.com": ["93.184.215.14", "192.168.1.1"],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "2130706433": ["127.0.0.1"],
    "0": ["0.0.0.0"],
}
PUBLIC = Reach()
BESIDE_SANDBOX = Reach(loopback=True)


def resolve(host: str) -> Sequence[str]:
    if host in NAMES:
        return NAMES[host]
    if host[0].isdigit() or ":" in host:
        return [host]
    raise OSError


def said(url: str, mode: str = "live", reach: Reach = PUBLIC) -> str | None:
    target = parse(url)
    found = target if isinstance(target, str) else vetted(target, mode, reach, resolve)
    return found if isinstance(found, str) else None


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.8.9.10/",
        "https://0.0.0.0/",
        "https://0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:7f00:1::]/",
        "https://inside.example.com/",
        "https://both.example.com/",
        "https://mapped.example.com/",
        "https://localhost/",
        "https://2130706433/",
    ],
)
def test_an_address_of_a_network_of_ones_own_is_refused(url: str) -> None:
    for mode in ("live", "test"):
        assert "no public address" in (said(url, mode) or "")
    assert "no public address" in (said(url, "live", BESIDE_SANDBOX) or "")


def test_public_addresses_are_sent_to_over_tls_alone() -> None:
    assert said("https://shop.example.com/hooks?a=1") is None
    assert said("https://93.184.215.14:8443/") is None
    for mode in ("live", "test"):
        assert "not encrypted" in (said("http://shop.example.com/", mode, BESIDE_SANDBOX) or "")


def test_beside_the_sandbox_a_test_merchant_has_its_receiver_on_this_machine() -> None:
    for url in ("http://127.0.0.1:9/", "https://localhost:9/", "http://[::1]:9/"):
        assert said(url, "test", BESIDE_SANDBOX) is None
        assert said(url, "live", BESIDE_SANDBOX) is not None
        assert said(url, "test") is not None
    assert said("http://192.168.0.1/", "test", BESIDE_SANDBOX) is not None


def test_a_network_that_the_settings_name_is_sent_to_over_tls() -> None:
    ours = Reach((ip_network("10.0.0.0/24"),))
    assert said("https://inside.example.com/", "live", ours) is None
    assert said("https://10.0.1.7/", "live", ours) is not None
    assert "not encrypted" in (said("http://inside.example.com/", "live", ours) or "")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("shop.example.com/hooks", "no address"),
        ("ftp://shop.example.com/", "no address"),
        ("https:///hooks", "no address"),
        ("https://shop.example.com:99999/", "no address"),
        ("https://shop.example.com:0/", "port 0"),
        ("https://user:pw@shop.example.com/", "no user"),
        ("https://shop.example.com/#part", "no fragment"),
        ("https://shop.example.com/a b", "printable ASCII"),
        ("https://shop.example.com/\r\nx: y", "printable ASCII"),
        ("https://shop.example.com\\@10.0.0.1/", "printable ASCII"),
        ("https://b\u00fccher.example/", "printable ASCII"),
        ("https://shop.example.com/" + "a" * 476, "500 characters"),
        ("https://nowhere.example.com/", "has no address"),
    ],
)
def test_what_is_no_address_is_refused_with_its_reason(url: str, why: str) -> None:
    assert why in (said(url) or "")


def test_the_longest_address_is_taken() -> None:
    assert said("https://shop.example.com/" + "a" * 475) is None


@given(st.ip_addresses())
def test_only_global_addresses_are_ever_let_through(address: object) -> None:
    if Reach().refuses(str(address), "live") is None:
        assert ip_address(str(address)).is_global


@given(st.text(max_size=60))
def test_no_text_is_more_than_an_address_or_a_reason(text: str) -> None:
    found = parse(text)
    assert isinstance(found, str | Target)
