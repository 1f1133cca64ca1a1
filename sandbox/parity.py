"""What of Stripe's calls and objects the sandbox does not have, and why.

The tests hold these tables against the installed SDK: a call is served or named here; a field is in
every response or named here, and never in both. Parameters that are refused stand in the endpoints'
own specs. `GET /_sandbox/endpoints` shows all of it.
"""

from collections.abc import Mapping

_NOT_ASKED = "shown when the account was created or updated with it, as Stripe does"
_ONLY_CARD = "all funds of the sandbox are of source type card"
_PRODUCT = "it belongs to a product of Stripe's that the sandbox does not have"
_NO_PEOPLE = "the sandbox verifies nobody and keeps no personal data"
_NO_CARDS = "charges only fund balances here: no card, risk or receipt is modelled"
_EXPANDED = "shown when it is expanded, as Stripe does"

# Kind of object -> field, nested with dots, as a glob -> why it is absent from all or from some.
ABSENT_FIELDS: Mapping[str, Mapping[str, str]] = {
    "account": {
        "capabilities.*": "only requested capabilities are shown, as Stripe does",
        "company": _NO_PEOPLE,
        "deleted": "shown in the answer to the deletion only",
        "individual": _NO_PEOPLE,
        "settings.bacs_debit_payments.*": _NOT_ASKED,
        "settings.card_issuing": _PRODUCT,
        "settings.payouts.schedule.*": _NOT_ASKED,
        "settings.paypay_payments": _PRODUCT,
        "settings.sepa_debit_payments.creditor_id": _NOT_ASKED,
        "settings.treasury": _PRODUCT,
        "tos_acceptance.service_agreement": _NOT_ASKED,
    },
    "bank_account": {
        "customer": "bank accounts here belong to accounts",
        "deleted": "shown in the answer to the deletion only",
    },
    "balance": {
        "*source_types.bank_account": _ONLY_CARD,
        "*source_types.fpx": _ONLY_CARD,
        "connect_reserved": "shown for platforms only, as Stripe does",
        "connect_reserved.source_types": "reserves are not divided by source, as Stripe's",
        "instant_available": "there are no debit cards to pay out to at once",
        "issuing": _PRODUCT,
    },
    "charge": {
        "authorization_code": _NO_CARDS,
        "fraud_details.*": _NO_CARDS,
        "level3": _NO_CARDS,
        "presentment_details": _NO_CARDS,
        "radar_options.session": _NO_CARDS,
        "refunds": _EXPANDED,
        "transfer": "shown for destination charges, which are refused",
    },
    "event": {
        "account": "shown for events of connected accounts only, as Stripe does",
        "context": "shown for accounts of an organization; platforms here belong to none",
        "data.previous_attributes": "shown for updates only, as Stripe does",
    },
    "refund": {
        "customer": _NO_CARDS,
        "customer_account": _NO_CARDS,
        "description": "shown for refunds without a charge only",
        "destination_details": _NO_CARDS,
        "failure_balance_transaction": "refunds here never fail",
        "failure_reason": "refunds here never fail",
        "instructions_email": _NO_CARDS,
        "next_action": _NO_CARDS,
        "payment_method": _NO_CARDS,
        "pending_reason": "refunds here are never pending",
        "presentment_details": _NO_CARDS,
    },
    "topup": {"payment_method_options": "top-ups come from the platform's own bank account"},
    "webhook_endpoint": {
        "deleted": "shown in the answer to the deletion only",
        "secret": "shown once, when the endpoint is created, as Stripe does",
    },
}

_AT_ONCE = "charges are captured when they are answered"

# Calls of the SDK's services for these objects that have no endpoint here, and why.
UNSERVED: Mapping[str, str] = {
    "POST /v1/accounts/{}/reject": "the admin API closes accounts: POST /_sandbox/accounts/{id}",
    "POST /v1/accounts/{}/unreject": "the admin API opens accounts: POST /_sandbox/accounts/{id}",
    "POST /v1/accounts/{}/login_links": "there is no dashboard to log in to",
    "GET /v1/accounts/{}/persons": _NO_PEOPLE,
    "POST /v1/accounts/{}/persons": _NO_PEOPLE,
    "GET /v1/accounts/{}/persons/{}": _NO_PEOPLE,
    "POST /v1/accounts/{}/persons/{}": _NO_PEOPLE,
    "DELETE /v1/accounts/{}/persons/{}": _NO_PEOPLE,
    "POST /v1/charges/{}/capture": _AT_ONCE,
    "GET /v1/charges/search": "charges only fund balances here; list them instead",
}
