"""Responses against Stripe's own OpenAPI description, where that file lies beside the project."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

DESCRIPTION = Path(__file__).parents[3] / "shared" / "stripe" / "openapi-subset.json"

# Fields that the installed SDK reads and that description (October 2025) does not have (yet).
NEWER_FIELDS = {
    "account": {"groups"},
    "balance": {"refund_and_dispute_prefunding"},
    "balance_transaction": {"balance_type"},
    "charge": {"source"},  # older than that description, not newer: the SDK still reads it
    "payout": {"application_fee", "application_fee_amount", "payout_method", "trace_id"},
    "topup": {"initiated_by", "payment_method"},
}

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.is_file(), reason="Stripe's OpenAPI description is not beside the project"
)


def rewritten(node: Any) -> Any:
    """Turn OpenAPI 3.0's `nullable` into what a JSON Schema validator understands."""
    if isinstance(node, list):
        return [rewritten(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: rewritten(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True:
        if isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        else:
            schema = {"anyOf": [schema, {"type": "null"}]}
    return schema


@pytest.fixture(scope="module")
def validators() -> Any:
    document = rewritten(json.loads(DESCRIPTION.read_text()))

    def validator(name: str) -> jsonschema.Draft202012Validator:
        root = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return jsonschema.Draft202012Validator(root)

    return validator


KINDS = (
    "account",
    "account_link",
    "balance",
    "balance_transaction",
    "bank_account",
    "capability",
    "charge",
    "event",
    "payout",
    "refund",
    "topup",
    "transfer",
    "transfer_reversal",
    "webhook_endpoint",
)


def complaints(validator: Any, value: Any) -> list[str]:
    return [f"{e.json_path}: {e.message[:120]}" for e in validator.iter_errors(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_as_stripe_describes_them(kind, samples, validators):
    for sample in samples[kind]:
        assert complaints(validators(kind), sample) == []


@pytest.mark.parametrize("kind", KINDS)
def test_objects_show_nothing_that_stripe_does_not_describe(kind, samples, validators):
    described = json.loads(DESCRIPTION.read_text())["components"]["schemas"][kind]["properties"]
    for sample in samples[kind]:
        unknown = set(sample) - set(described) - NEWER_FIELDS.get(kind, set())
        assert unknown == set()


def test_events_carry_objects_as_stripe_describes_them(samples, validators):
    for event in samples["event"]:
        carried = event["data"]["object"]
        if carried["object"] in KINDS:
            assert complaints(validators(carried["object"]), carried) == []


def test_refusals_are_as_stripe_describes_them(raw, validators):
    for path in ("/v1/transfers/tr_unknown", "/v1/transfers?limit=0", "/v1/nothing"):
        status, _, body = raw("GET", path)
        assert status in (400, 404)
        assert complaints(validators("error"), json.loads(body)) == []


def test_the_validation_would_notice_a_wrong_field(samples, validators):
    broken = {**samples["transfer"][0], "amount": "ten"}
    assert complaints(validators("transfer"), broken)
