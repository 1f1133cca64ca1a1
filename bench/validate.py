"""How long the API takes to say whether a code can be used, at a steady rate, beside an answer that needs nothing.

Requests go out one by one on a fixed timetable, over connections that stay open. The latency of one runs from
the moment that the timetable names (so that a slow one before it counts) to the last byte of its answer. In
each round the same timetable asks `/healthz` of the same process: what HTTP and the machine take alone.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from bench.events import MERCHANT
from bench.figures import Figure, figure
from bench.options import Options
from bench.site import BenchFailed, Database, Site
from domain.access import service as access
from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.referrals import bulk

CLIENTS: Final = 8
"""Connections; each asks every eighth time."""
LEAD_SECONDS: Final = 0.2
WARM: Final = 50
"""Untimed requests first."""
_CLERK: Final = Actor("command", "bench")

Check = Callable[[int, bytes], bool]
"""(number of a request, its answer) → whether that is right."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """The API of a run, a key for it, and the codes to ask about."""

    port: int
    key: str
    codes: list[str]

    def path(self, number: int) -> str:
        """Of a code: good ones all over the table, every tenth one in lower case and unknown."""
        code = self.codes[number * 7919 % len(self.codes)]
        typed = f"{code.lower()}x" if number % 10 == 9 else code
        return f"/v1/codes/{quote(typed)}/validate?referred_user_id=user-{number}"

    def right(self, number: int, answer: bytes) -> bool:
        """Whether the answer says what is so."""
        return bool(json.loads(answer)["valid"] is (number % 10 != 9))


def measure(site: Site, options: Options) -> Iterator[Figure]:
    """The median and the 99th percentile of each, the medians of the rounds."""
    asked: dict[str, list[list[float]]] = {"validate": [], "healthz": []}
    wrong = 0
    with site.database() as database:
        options.say(f"validate: making {options.codes:,} codes")
        key, codes = _furnish(database, options.codes)
        port_file = site.folder / "api.port"
        port_file.unlink(missing_ok=True)
        command = ["payspool", "api", "--port", "0", "--port-file", str(port_file)]
        rate = {"PAYSPOOL_API_RATE": "1000000"}
        with site.processes([command], database, rate) as group:
            group.wait_until(port_file.exists, "the API serves")
            desk = _Desk(int(port_file.read_text()), key, codes)
            group.wait_until(lambda: _answers(desk.port), "the API answers")
            for number in range(options.rounds):
                options.say(f"validate, round {number + 1} of {options.rounds}")
                for name, path, right in (
                    ("validate", desk.path, desk.right),
                    ("healthz", lambda _n: "/healthz", lambda _n, answer: b"alive" in answer),
                ):
                    _steady(desk, WARM, options.check_rate, path, right)
                    count = options.check_rate * options.seconds
                    times, bad = _steady(desk, count, options.check_rate, path, right)
                    asked[name].append(sorted(times))
                    wrong += bad
    for part, place in (("p50", 50), ("p99", 99)):
        values, peers = (
            [1000 * times[len(times) * place // 100] for times in asked[name]]
            for name in ("validate", "healthz")
        )
        against = f"/healthz at the same {options.check_rate:,}/s"
        yield figure(
            f"validate.{part}", "ms", values, exact=not wrong, against=against, peers=peers
        )


def _furnish(database: Database, count: int) -> tuple[str, list[str]]:
    """A key, and ``count`` codes that expire in a year and have uses left."""
    codes: list[str] = []
    with transaction(database.engine) as tx:
        merchant = merchants.get(tx, MERCHANT)
        bulk.create(
            tx,
            merchant.id,
            "friends",
            (f"many-{i}" for i in range(count)),
            actor=_CLERK,
            max_uses=100,
            expires_at=datetime.now(UTC) + timedelta(days=365),
            made=lambda rows: codes.extend(code for _, code in rows),
        )
        return access.create(tx, merchant, "till", ["referrals:read"], actor=_CLERK), codes


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _steady(
    desk: _Desk, count: int, rate: int, path: Callable[[int], str], right: Check
) -> tuple[list[float], int]:
    """Seconds that each of ``count`` requests took, and how many were answered wrongly."""
    began = time.monotonic() + LEAD_SECONDS
    took, wrong, errors = [0.0] * count, [0] * CLIENTS, list[BaseException]()

    def ask(client: int) -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=60)
            for number in range(client, count, CLIENTS):
                due = began + number / rate
                if (early := due - time.monotonic()) > 0:
                    time.sleep(early)
                headers = {"Authorization": f"Bearer {desk.key}"}
                connection.request("GET", path(number), headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                took[number] = time.monotonic() - due
                wrong[client] += answer.status != 200 or not right(number, body)
            connection.close()
        except BaseException as error:  # told by the main thread
            errors.append(error)

    asking = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    if errors:
        raise BenchFailed(f"asking failed: {errors[0]!r}")
    return took, sum(wrong)
