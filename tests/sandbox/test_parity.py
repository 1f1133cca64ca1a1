"""The sandbox against the installed SDK: every call, every parameter, every field.

What the SDK can send is accepted or refused by name with a reason; what it can read is shown or
listed as absent with a reason. A newer SDK that brings something fails here until it is decided.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase as fnmatch
from typing import Any

import pytest
import stripe
from stripe import _account_capability_service as capability_service
from stripe import _account_external_account_service as external_account_service
from stripe import _account_link_service as link_service
from stripe import _account_login_link_service as login_link_service
from stripe import _account_person_service as person_service
from stripe import _account_service as account_service
from stripe import _balance_service as balance_service
from stripe import _balance_transaction_service as balance_transaction_service
from stripe import _charge_service as charge_service
from stripe import _event_service as event_service
from stripe import _payout_service as payout_service
from stripe import _topup_service as topup_service
from stripe import _transfer_reversal_service as reversal_service
from stripe import _transfer_service as transfer_service
from stripe import _webhook_endpoint_service as endpoint_service

from sandbox.api import ROUTES
from sandbox.notify import API_VERSION
from sandbox.params import Range, Refused, Spec, leaves
from sandbox.parity import ABSENT_FIELDS, UNSERVED

SERVICES = (
    account_service,
    capability_service,
    external_account_service,
    link_service,
    login_link_service,
    person_service,
    balance_service,
    balance_transaction_service,
    charge_service,
    event_service,
    payout_service,
    topup_service,
    reversal_service,
    transfer_service,
    endpoint_service,
)
RESOURCES = {
    "account": stripe.Account,
    "account_link": stripe.AccountLink,
    "balance": stripe.Balance,
    "bank_account": stripe.BankAccount,
    "balance_transaction": stripe.BalanceTransaction,
    "capability": stripe.Capability,
    "charge": stripe.Charge,
    "event": stripe.Event,
    "payout": stripe.Payout,
    "refund": stripe.Refund,
    "topup": stripe.Topup,
    "transfer": stripe.Transfer,
    "transfer_reversal": stripe.TransferReversal,
    "webhook_endpoint": stripe.WebhookEndpoint,
}


def calls_of(module: Any) -> Iterator[tuple[str, str, str | None]]:
    """Yield (method, path, name of the parameters' class) of every call of an SDK service."""
    tree = ast.parse(inspect.getsource(module))
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "_request":
                continue
            path = next(
                n.value
                for n in ast.walk(node.args[1])
                if isinstance(n, ast.Constant) and str(n.value).startswith("/v")
            )
            named = re.search(r"\b[A-Z]\w+Params\b", ast.unparse(function.args))
            yield ast.literal_eval(node.args[0]).upper(), path, named and named.group()


def anonymous(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


CALLS = sorted({call for module in SERVICES for call in calls_of(module)}, key=str)
SERVED = {(route.method, anonymous(route.path)): route for route in ROUTES}


def test_the_api_version_is_the_sdks():
    assert API_VERSION == stripe._api_version._ApiVersion.CURRENT


@pytest.mark.parametrize(("method", "path", "params"), CALLS)
def test_every_call_is_served_or_its_absence_has_a_reason(method, path, params):
    name = f"{method} {anonymous(path)}"
    served = (method, anonymous(path)) in SERVED
    assert served != (name in UNSERVED), f"{name}: serve it, or give the reason in UNSERVED"


def typed_dict(name: str) -> type:
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    found = getattr(importlib.import_module(f"stripe.params._{module}"), name)
    assert isinstance(found, type)
    return found


def parameters(cls: type, within: str = "") -> Iterator[str]:
    """Yield the names of all parameters of a TypedDict, nested ones as `a[b]`."""
    options = set(stripe.RequestOptions.__annotations__)
    for key, annotation in cls.__annotations__.items():
        if not within and key in options:
            continue
        name = f"{within}[{key}]" if within else key
        yield name
        text = getattr(annotation, "__forward_arg__", str(annotation))
        for word in re.findall(r"\w+", text):
            nested = getattr(sys.modules[cls.__module__], word, None)
            if isinstance(nested, type) and nested.__module__ == cls.__module__:
                yield from parameters(nested, name)


def taken(spec: Spec) -> Iterator[tuple[str, bool]]:
    """Yield (name, refused) of every parameter that a spec names."""
    for name, kind in leaves(spec):
        yield name, isinstance(kind, Refused)
        if isinstance(kind, Range):
            yield from ((f"{name}[{word}]", False) for word in Range.OPERATORS)


SERVED_CALLS = [c for c in CALLS if (c[0], anonymous(c[1])) in SERVED and c[2]]


@pytest.mark.parametrize(("method", "path", "params"), SERVED_CALLS)
def test_every_parameter_is_implemented_or_refused_with_a_reason(method, path, params):
    route = SERVED[method, anonymous(path)]
    names = dict(taken(route.spec))
    refused = {name for name, is_refused in names.items() if is_refused}
    theirs = set(parameters(typed_dict(params)))
    assert theirs or method == "DELETE", "the SDK's parameters were not found"
    undecided = {
        name
        for name in theirs - set(names)
        if not any(name.startswith(f"{prefix}[") for prefix in refused)
    }
    assert undecided == set()
    assert set(names) - theirs == set(), "the sandbox takes what Stripe does not"
    for name, kind in leaves(route.spec):
        if isinstance(kind, Refused):
            assert kind.reason, f"{name} is refused without a reason"


def test_the_walk_sees_nested_parameters():
    names = set(parameters(typed_dict("AccountCreateParams")))
    assert "capabilities[transfers][requested]" in names
    assert "settings[payouts][schedule][weekly_payout_days]" in names
    assert set(parameters(typed_dict("TransferListParams"))) >= {"created", "created[gte]"}


def refused_parameters() -> list[tuple[str, str, str]]:
    return [
        (route.method, route.path, name)
        for route in ROUTES
        for name, kind in leaves(route.spec)
        if isinstance(kind, Refused)
    ]


def test_a_refused_parameter_is_refused_by_its_name_over_http(raw):
    seen = {(method, path) for method, path, _ in refused_parameters()}
    for method, path in sorted(seen):
        name = next(n for m, p, n in refused_parameters() if (m, p) == (method, path))
        spec = SERVED[method, anonymous(path)].spec
        required = [k for k, kind in spec.items() if kind.required]
        query = "&".join([f"{name}=x", *(f"{k}=1" for k in required)])
        target = re.sub(r"\{\w+\}", "x", path)
        body = query.encode() if method == "POST" else None
        address = target if body else f"{target}?{query}"
        # Required parameters sent as `1` may be refused first; then the refused one goes alone.
        status, _, answer = raw(method, address, body)
        assert status == 400, answer
        assert b"sandbox_unsupported" in answer or b'"param":' in answer


def test_the_admin_api_shows_what_is_refused_and_absent(platform):
    shown = platform.admin("GET", "/endpoints")
    create = next(
        e for e in shown["endpoints"] if (e["method"], e["path"]) == ("POST", "/v1/accounts")
    )
    assert "personal data" in create["refused"]["individual"]
    assert shown["absent_fields"] == {k: dict(v) for k, v in ABSENT_FIELDS.items()}


def nested_classes(cls: type, annotation: Any) -> list[type]:
    """Return the classes nested in `cls` that an annotation names."""
    text = str(getattr(annotation, "__forward_arg__", annotation))
    own = f"{cls.__module__}.{cls.__qualname__}."
    words = re.findall(re.escape(own) + r"(\w+)", text)
    if isinstance(annotation, type) and annotation.__qualname__.startswith(cls.__qualname__ + "."):
        words.append(annotation.__name__)
    return [getattr(cls, word) for word in words]


def missing_fields(cls: type, value: dict[str, Any], within: str = "") -> Iterator[str]:
    """Yield the annotated fields that a response lacks, nested ones with dots."""
    for key, annotation in cls.__annotations__.items():
        if key.startswith("_") or key == "OBJECT_NAME":
            continue
        name = f"{within}.{key}" if within else key
        if key not in value:
            yield name
            continue
        inner = value[key]
        items = inner if isinstance(inner, list) else [inner]
        for nested in nested_classes(cls, annotation):
            for item in items:
                if isinstance(item, dict):
                    yield from missing_fields(nested, item, name)


@pytest.mark.parametrize("kind", sorted(RESOURCES))
def test_every_field_is_shown_or_its_absence_has_a_reason(kind, samples):
    absent = ABSENT_FIELDS.get(kind, {})
    assert samples[kind], "there is no sample to look at"
    missing = {name for s in samples[kind] for name in missing_fields(RESOURCES[kind], s)}
    assert {name for name in missing if not any(fnmatch(name, g) for g in absent)} == set()
    shown = {glob for glob in absent if not any(fnmatch(name, glob) for name in missing)}
    assert shown == set(), "listed as absent, yet shown in every sample"
    assert all(absent.values())


def test_the_walk_sees_nested_fields():
    fields = set(missing_fields(stripe.Account, {"settings": {"payouts": {}}}))
    assert {"id", "settings.payouts.schedule", "settings.branding"} <= fields
