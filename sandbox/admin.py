"""The admin API, `/_sandbox/…`: JSON in, JSON out, no key; for tests and demonstrations.

It listens where the API does, so the sandbox belongs on a loopback address. Refusals are
`{"error": {"message": …}}` with 400 or 404.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from sandbox import auth, fees, idempotency, notify, webhooks
from sandbox.answer import Answer
from sandbox.api import ROUTES, validated
from sandbox.books import Books
from sandbox.call import Call, Json, Route
from sandbox.clock import Clock
from sandbox.errors import SandboxError
from sandbox.faults import Faults
from sandbox.injection import drain
from sandbox.params import Refused, leaves
from sandbox.parity import ABSENT_FIELDS, UNSERVED
from sandbox.resources import accounts, balance, payout_states, topups, webhook_endpoints
from sandbox.store import Store, dump
from sandbox.timeline import Timeline
from sandbox.wise import admin as wise_admin

# As Stripe offers it: an old secret may sign for up to a day.
_SECRET_ROLL_SECONDS = _LONGEST_ROLL_SECONDS = 24 * 3600
_LOGGED_TRIES = 1000
# Later moments cannot be written as a date.
_LAST_MOMENT = 253_370_764_799

Action = Callable[[Json, Mapping[str, str]], Json]


class Refusal(SandboxError):
    """The admin API cannot do what was asked; the message says why."""


def _field(body: Json, name: str, kind: type, default: Any = None) -> Any:
    value = body.get(name, default)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise Refusal(f"`{name}` must be a {'number' if kind is int else 'text'}")
    return value


def _names(body: Json, name: str) -> list[str] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(f"`{name}` must be a list of texts")
    return value


class Admin:
    """What operators of the sandbox may do that no caller of Stripe can."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        faults: Faults,
        timeline: Timeline,
        keys: idempotency.Keys,
    ) -> None:
        self.store = store
        self.clock = clock
        self.faults = faults
        self.timeline = timeline
        self.keys = keys
        table = (*self._general(), *self._objects(), *wise_admin.actions(timeline, _field))
        self._actions = tuple(
            (method, re.compile("/_sandbox" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), action)
            for method, path, action in table
        )

    def _general(self) -> Iterator[tuple[str, str, Action]]:
        """Yield what concerns the whole sandbox, or a platform of it."""
        yield "GET", "/?", lambda _body, _path: self._status()
        yield "GET", "/endpoints", lambda _body, _path: self._endpoints()
        yield "GET", "/faults", lambda _body, _path: self.faults.report()
        yield "PUT", "/faults", lambda body, _path: self._plan_anew(body)
        yield "DELETE", "/faults", lambda _body, _path: self._plan_nothing()
        yield "GET", "/clock", lambda _body, _path: self._time()
        yield "POST", "/clock", lambda body, _path: self._move_clock(body)
        yield "POST", "/fund", lambda body, _path: self._fund(body)
        yield "POST", "/drain", lambda body, _path: self._drain(body)
        yield "POST", "/fees", lambda body, _path: self._set_fee(body)
        yield "POST", "/keys", lambda body, _path: self._add_key(body)
        yield "DELETE", "/keys", lambda body, _path: self._remove_key(body)
        yield "GET", "/check", lambda _body, _path: self._check()
        yield "GET", "/deliveries", lambda _body, _path: self._log()

    def _objects(self) -> Iterator[tuple[str, str, Action]]:
        """Yield what concerns one object, named in the address."""
        yield "POST", "/accounts/{id}", lambda body, path: self._set_state(body, path["id"])
        yield (
            "POST",
            "/accounts/{id}/capabilities/{name}",
            lambda body, path: self._set_capability(body, path["id"], path["name"]),
        )
        yield "POST", "/payouts/{id}", lambda body, path: self._move_payout(body, path["id"])
        yield "POST", "/topups/{id}", lambda body, path: self._move_topup(body, path["id"])
        yield "GET", "/events/{id}/deliveries", lambda _body, path: self._deliveries(path["id"])
        yield (
            "POST",
            "/webhook_endpoints/{id}/roll",
            lambda body, path: self._roll_secret(body, path["id"]),
        )

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Serve one request of the admin API."""
        onboarding = re.fullmatch(r"/_sandbox/onboarding/(\w+)", path)
        if onboarding and method == "GET":
            return self._onboard(onboarding.group(1))
        try:
            given = json.loads(body) if body else {}
            if not isinstance(given, dict):
                raise Refusal("the body must be a JSON object")
            for verb, pattern, action in self._actions:
                if verb == method and (match := pattern.fullmatch(path)):
                    return _json(200, action(given, match.groupdict()))
            return _json(404, {"error": {"message": f"no {method} {path} in the admin API"}})
        except (SandboxError, ValueError, RecursionError, OverflowError) as problem:
            return _json(400, {"error": {"message": str(problem)}})

    def _call(self, platform: str, account: str | None = None, params: Json | None = None) -> Call:
        own = self.timeline.call(platform)
        return replace(own, account=account or platform, params=params or {})

    def _platforms(self) -> list[str]:
        rows = self.store.all("SELECT id FROM accounts WHERE platform IS NULL ORDER BY seq")
        return [row["id"] for row in rows]

    def _platform(self, body: Json) -> str:
        """Return the platform that is meant: named, of a key, or the only one."""
        key, named = _field(body, "key", str), _field(body, "platform", str)
        if key is not None:
            return auth.platform_of(self.store, {"authorization": f"Bearer {key}"})
        known = self._platforms()
        if named is None and len(known) == 1:
            return known[0]
        if named not in known:
            raise Refusal(f"say which platform: `platform` is one of {', '.join(known)}, or `key`")
        return str(named)

    def _status(self) -> Json:
        return {
            "object": "sandbox",
            "api_version": notify.API_VERSION,
            "now": self.clock.now(),
            "books": str(self.store.path.resolve()),
            "platforms": [
                {"id": id, "balance": balance.shape(self._call(id), id)["available"]}
                for id in self._platforms()
            ],
        }

    def _endpoints(self) -> Json:
        def refusals(route: Route) -> Json:
            every = leaves(route.spec)
            return {name: kind.reason for name, kind in every if isinstance(kind, Refused)}

        return {
            "endpoints": [
                {"method": route.method, "path": route.path, "refused": refusals(route)}
                for route in ROUTES
            ],
            "wise": wise_admin.endpoints(),
            "unserved": UNSERVED,
            "absent_fields": ABSENT_FIELDS,
        }

    def _plan_anew(self, body: Json) -> Json:
        self.faults.replace(body)
        return self.faults.report()

    def _plan_nothing(self) -> Json:
        self.faults.clear()
        return self.faults.report()

    def _time(self) -> Json:
        return {"now": self.clock.now(), "offset_seconds": self.clock.offset}

    def _move_clock(self, body: Json) -> Json:
        advance, moment = _field(body, "advance_seconds", int), _field(body, "now", int)
        if (advance is None) == (moment is None):
            raise Refusal("send `advance_seconds` or `now`, a number of seconds")
        moment = self.clock.now() + advance if moment is None else moment
        if moment > _LAST_MOMENT:
            raise Refusal(f"the clock goes up to {_LAST_MOMENT}, the end of the year 9998")
        self.clock.move_to(moment)
        with self.store.transaction():
            self.store.set_meta("clock_offset", str(self.clock.offset))
            self.keys.prune(self.clock.now())
        self.timeline.advance()
        self.timeline.notifier.wake()
        return self._time()

    def _fund(self, body: Json) -> Json:
        amount = _field(body, "amount", int)
        raw = {"amount": str(amount), "currency": str(body.get("currency", ""))}
        call = self._call(self._platform(body))
        route = next(r for r in topups.ROUTES if r.handler is topups.create)
        call.params = validated(route, raw)
        with self.store.transaction():
            topup = topups.create_succeeded(call)
        return {"topup": topup["id"], "available": self._available(call)}

    def _drain(self, body: Json) -> Json:
        currency = str(body.get("currency", "")).lower()
        call = self._call(self._platform(body), _field(body, "account", str))
        with self.store.transaction():
            taken = drain(call, currency, _field(body, "amount", int))
        return {"taken": taken, "available": self._available(call)}

    def _available(self, call: Call) -> Json:
        amounts = balance.shape(call, call.account)["available"]
        return {entry["currency"]: entry["amount"] for entry in amounts}

    def _set_fee(self, body: Json) -> Json:
        platform = self._platform(body)
        points, fixed = (_field(body, name, int, 0) for name in ("basis_points", "fixed"))
        with self.store.transaction():
            fees.set_for_charges(self.store, platform, points, fixed)
        return {"platform": platform, "basis_points": points, "fixed": fixed}

    def _add_key(self, body: Json) -> Json:
        key, named = _field(body, "key", str, ""), _field(body, "platform", str)
        if named is not None and named not in self._platforms():
            raise Refusal(f"no platform {named}")
        with self.store.transaction():
            return {"platform": auth.add_key(self.store, key, self.clock.now(), named)}

    def _remove_key(self, body: Json) -> Json:
        with self.store.transaction():
            return {"removed": auth.remove_key(self.store, _field(body, "key", str, ""))}

    def _set_state(self, body: Json, account: str) -> Json:
        id, state = account, str(body.get("state", ""))
        row = self.store.one("SELECT platform FROM accounts WHERE id = ?", id)
        if row is None:
            raise Refusal(f"no account {id}")
        with self.store.transaction():
            call = self._call(row["platform"] or id)
            changed = accounts.set_state(call, id, state, _names(body, "currently_due"))
        return {"id": id, "state": state, "capabilities": changed["capabilities"]}

    def _set_capability(self, body: Json, account: str, name: str) -> Json:
        row = self.store.one("SELECT platform FROM accounts WHERE id = ?", account)
        if row is None:
            raise Refusal(f"no account {account}")
        with self.store.transaction():
            call = self._call(row["platform"] or account)
            status = str(body.get("status", ""))
            return accounts.set_capability_status(call, account, name, status)

    def _move_payout(self, body: Json, id: str) -> Json:
        status, code = str(body.get("status", "")), _field(body, "failure_code", str)
        with self.store.transaction():
            return payout_states.set_status(self._call(""), id, status, code)

    def _move_topup(self, body: Json, id: str) -> Json:
        status, code = str(body.get("status", "")), _field(body, "failure_code", str)
        if status not in ("succeeded", "failed"):
            raise Refusal("`status` is succeeded or failed")
        with self.store.transaction():
            return topups.set_status(self._call(""), id, status, code)

    def _deliveries(self, event: str) -> Json:
        return {"deliveries": webhooks.deliveries(self.store, event)}

    def _log(self) -> Json:
        return {"tries": webhooks.log(self.store, _LOGGED_TRIES)}

    def _roll_secret(self, body: Json, id: str) -> Json:
        seconds = _field(body, "expires_in", int, _SECRET_ROLL_SECONDS)
        if not 0 <= seconds <= _LONGEST_ROLL_SECONDS:
            raise Refusal(f"`expires_in` is from 0 to {_LONGEST_ROLL_SECONDS} seconds")
        with self.store.transaction():
            return webhook_endpoints.roll(self.store, id, self.clock.now(), seconds)

    def _check(self) -> Json:
        with Books(self.store.path) as books:
            violations = books.check()
        return {"ok": not violations, "violations": violations}

    def _onboard(self, token: str) -> Answer:
        """Complete the onboarding of an account link's account and send the visitor on."""
        link = self.store.one("SELECT * FROM account_links WHERE token = ?", token)
        if link is None:
            return _json(404, {"error": {"message": "no such onboarding link"}})
        if link["used"] or link["expires_at"] <= self.clock.now():
            return _redirect(link["refresh_url"], "this link was used or has expired")
        row = self.store.one("SELECT * FROM accounts WHERE id = ?", link["account"])
        with self.store.transaction():
            self.store.run("UPDATE account_links SET used = 1 WHERE token = ?", token)
            if row is not None and row["state"] == "restricted":
                accounts.set_state(self._call(row["platform"] or row["id"]), row["id"], "active")
        return _redirect(link["return_url"], "onboarding is complete")


def _json(status: int, body: Json) -> Answer:
    return Answer(status, dump(body).encode())


def _redirect(url: str | None, message: str) -> Answer:
    if url is None:
        return _json(200, {"message": message})
    answer = _json(303, {"message": message})
    answer.headers["Location"] = quote(url, safe=":/?#[]@!$&'()*+,;=%~")
    return answer
