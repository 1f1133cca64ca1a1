"""At each connection it is seen again where it leads, and whether that is who it says."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain.webhooks.addresses import Reach
from payspool.runtime import reach
from payspool.settings import Settings
from tests.workers.hooks.world import World
from workers.posting import Poster

OURS = Reach((ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))


def behind(world: World, url: str, mode: str = "live") -> int:
    """An endpoint that came into the table before its name led there."""
    world.run("UPDATE merchants SET mode = :mode", mode=mode)
    world.run(
        """
        INSERT INTO webhook_endpoints (merchant_id, url, types, secret_encrypted)
        SELECT id, :url, '{*}', :secret FROM merchants
        """,
        url=url,
        secret=world.box.encrypt("whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"),
    )
    world.earn(5)
    [made] = world.rows("SELECT id FROM webhook_endpoints")
    return int(made.id)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "127.0.0.1 is no public address"),
        ("localhost", "is no public address"),
        ("2130706433", "2130706433 leads to 127.0.0.1: 127.0.0.1 is no public address"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_live_merchant_reaches_nothing_on_this_machine(
    world: World, receiver: Any, host: str, why: str, scheme: str
) -> None:
    shop = receiver()
    port = shop.url.split(":")[2]
    endpoint = behind(world, f"{scheme}://{host}:{port}")
    assert world.deliver(endpoint) == "retried"
    assert shop.got == []
    assert why in world.attempts()[0].error


def test_the_metadata_service_is_never_asked(world: World) -> None:
    endpoint = behind(world, "https://169.254.169.254/latest/meta-data", "test")
    assert world.deliver(endpoint) == "retried"
    [tried] = world.attempts()
    assert (tried.outcome, tried.error) == ("unreached", "169.254.169.254 is no public address")


def test_the_settings_alone_open_a_network_of_ones_own() -> None:
    private, live = "10.1.2.3", "https://api.stripe.com"
    opened = Settings(webhook_networks="10.1.0.0/16, 127.0.0.1", stripe_url=live)
    assert reach(opened).refuses(private, "live") is None
    assert reach(opened).refuses("127.0.0.1", "live") is None
    assert reach(opened).refuses("10.2.0.1", "live") is not None
    shut = Settings(webhook_networks="", stripe_url=live)
    assert reach(shut).refuses(private, "live") is not None
    assert reach(shut).refuses("127.0.0.1", "test") is not None
    assert reach(Settings(stripe_url="")).refuses("127.0.0.1", "test") is None


@pytest.fixture
def sure(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext, list[str]]]:
    """A receiver with a certificate for `localhost`, who trusts it, and the paths that it was asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(f"{self.headers['host']}{self.path}")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None: ...

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port, ssl.create_default_context(cafile=str(file)), asked
    server.shutdown()
    server.server_close()


def test_over_tls_the_vetted_address_is_spoken_to_in_the_name_of_its_host(
    world: World, sure: Any
) -> None:
    port, trusting, asked = sure
    endpoint = behind(world, f"https://localhost:{port}/hooks?a=1")
    stranger = Poster(OURS, seconds=2.0)
    assert world.deliver(endpoint, poster=stranger) == "retried"
    assert "its certificate is not trusted" in world.attempts()[0].error
    world.run("UPDATE webhook_deliveries SET due_at = clock_timestamp()")
    friend = Poster(OURS, seconds=2.0, tls=trusting)
    assert world.deliver(endpoint, poster=friend) == "delivered"
    assert asked == [f"localhost:{port}/hooks?a=1"]


def test_a_certificate_of_another_name_is_not_trusted(world: World, sure: Any) -> None:
    port, trusting, asked = sure
    endpoint = behind(world, f"https://127.0.0.1:{port}/")
    assert world.deliver(endpoint, poster=Poster(OURS, seconds=2.0, tls=trusting)) == "retried"
    assert "its certificate is not trusted" in world.attempts()[0].error
    assert asked == []


def test_a_handshake_that_never_ends_is_ended(world: World) -> None:

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = behind(world, f"https://localhost:{silent.getsockname()[1]}/")
        started = dt.datetime.now(dt.UTC)
        assert world.deliver(endpoint, poster=Poster(OURS, seconds=0.5)) == "retried"
        assert (dt.datetime.now(dt.UTC) - started).total_seconds() < 2
    assert world.attempts()[0].error == "no answer within 0.5 s"
