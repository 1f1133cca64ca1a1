"""Accounts and capabilities as the API shows them.

In the sandbox a requested capability is active at once, unless the account is restricted: because
it was created with `metadata[sandbox]=restricted` and has not been through its onboarding link, or
because the admin API put it so.
"""

import json
from typing import Any

from sandbox.call import Call, Json
from sandbox.pagination import DEFAULT_LIMIT
from sandbox.resources import external_accounts
from sandbox.store import Row, Store

# What a restricted account is asked for; the sandbox takes it from nobody but the onboarding link.
_ASKED = ["individual.verification.document"]

_ACCOUNT_REASONS = {"restricted": "requirements.past_due", "closed": "rejected.other"}

_EMPTY_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_DEFAULTS: Json = {
    "business_profile": {
        "annual_revenue": None,
        "estimated_worker_count": None,
        "mcc": None,
        "minority_owned_business_designation": None,
        "monthly_estimated_revenue": None,
        "name": None,
        "product_description": None,
        "specified_commercial_transactions_act_url": None,
        "support_address": None,
        "support_email": None,
        "support_phone": None,
        "support_url": None,
        "url": None,
    },
    "business_type": None,
    "settings": {
        "bacs_debit_payments": {},
        "branding": {
            "icon": None,
            "logo": None,
            "primary_color": None,
            "secondary_color": None,
        },
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            "statement_descriptor_prefix": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": None},
        "payments": {
            "statement_descriptor": None,
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    },
    "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
}


def overlaid(base: Json, over: Json) -> Json:
    """Return `base` with the values of `over`, nested hashes likewise."""
    result = dict(base)
    for key, value in over.items():
        held = result.get(key)
        both = isinstance(held, dict) and isinstance(value, dict)
        result[key] = overlaid(result[key], value) if both else value
    return result


def _asked(account: Row) -> list[str]:
    """Return what a restricted account is asked for."""
    if account["state"] != "restricted":
        return []
    return _ASKED if account["asked"] is None else list(json.loads(account["asked"]))


def _requirements(asked: list[str], reason: str | None) -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": list(asked),
        "disabled_reason": reason,
        "errors": [],
        "eventually_due": list(asked),
        "past_due": list(asked),
        "pending_verification": [],
    }


def _nothing_later() -> Json:
    return _requirements([], None)


def status(account: Row, held: Row | None) -> str:
    """Return the status of a capability: its account's, or one of its own; `held` is its row."""
    if held is None or not held["requested"]:
        return "unrequested"
    return str(held["status"] or "active") if account["state"] == "active" else "inactive"


def payouts_enabled(store: Store, row: Row) -> bool:
    """Return whether an account may pay out: it is active, can do something, and has a bank."""
    if row["state"] != "active" or not external_accounts.of(store, row["id"]):
        return False
    able = store.one(
        "SELECT 1 FROM capabilities WHERE account = ? AND requested = 1 LIMIT 1", row["id"]
    )
    # A platform has no capabilities to request: it is there to pay.
    return able is not None or row["platform"] is None


def account(store: Store, row: Row) -> Json:
    """Return an account as the API shows it."""
    banks = external_accounts.of(store, row["id"])
    rows = store.all(
        "SELECT * FROM capabilities WHERE account = ? AND requested = 1 ORDER BY name",
        row["id"],
    )
    requested = [capability["name"] for capability in rows]
    active = row["state"] == "active"
    profile: dict[str, Any] = overlaid(_DEFAULTS, json.loads(row["profile"]))
    address = profile["business_profile"]["support_address"]
    if address is not None:
        profile["business_profile"]["support_address"] = {**_EMPTY_ADDRESS, **address}
    return {
        "id": row["id"],
        "object": "account",
        "business_profile": profile["business_profile"],
        "business_type": profile["business_type"],
        "capabilities": {capability["name"]: status(row, capability) for capability in rows},
        "charges_enabled": active and "card_payments" in requested,
        "controller": profile["controller"],
        "country": row["country"],
        "created": row["created"],
        "default_currency": row["default_currency"],
        "details_submitted": active,
        "email": row["email"],
        "external_accounts": {
            "object": "list",
            "data": [external_accounts.shape(bank) for bank in banks[:DEFAULT_LIMIT]],
            "has_more": len(banks) > DEFAULT_LIMIT,
            "total_count": len(banks),
            "url": f"/v1/accounts/{row['id']}/external_accounts",
        },
        "future_requirements": _nothing_later(),
        "groups": {"payments_pricing": None},
        "metadata": json.loads(row["metadata"]),
        "payouts_enabled": payouts_enabled(store, row),
        "requirements": _requirements(
            [*_asked(row), *([] if banks else ["external_account"])],
            _ACCOUNT_REASONS.get(row["state"]),
        ),
        "settings": profile["settings"],
        "tos_acceptance": profile["tos_acceptance"],
        "type": row["type"],
    }


def capability(account: Row, name: str, held: Row | None) -> Json:
    """Return one capability of an account; `held` is its row, if it was ever requested."""
    requested = held is not None and bool(held["requested"])
    reasons = {"restricted": "requirements.fields_needed", "closed": "rejected.other"}
    reason = reasons.get(account["state"]) if requested else None
    return {
        "id": name,
        "object": "capability",
        "account": account["id"],
        "future_requirements": _nothing_later(),
        "requested": requested,
        "requested_at": held["requested_at"] if held is not None and requested else None,
        "requirements": _requirements(_asked(account) if requested else [], reason),
        "status": status(account, held),
    }


def load(call: Call, id: str) -> Json | None:
    """Return an account of the platform, for `expand`."""
    row = call.store.one("SELECT * FROM accounts WHERE id = ?", id)
    if row is None or call.platform not in (row["id"], row["platform"]):
        return None
    return account(call.store, row)
