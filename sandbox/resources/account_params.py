"""The parameters of accounts: what Stripe takes, what the sandbox keeps, what it refuses and why.

Personal data and documents are refused: the sandbox verifies nobody, and test books are no place for
them. Of bank details it keeps the last four digits. What remains is kept and shown back as Stripe does.
"""

from sandbox.params import (
    EXPAND,
    Boolean,
    Choice,
    Currency,
    Hash,
    Integer,
    Many,
    Metadata,
    Spec,
    Text,
    choice,
    refused,
)
from sandbox.resources.external_accounts import IN_ACCOUNT

_CAPABILITIES = """
acss_debit_payments affirm_payments afterpay_clearpay_payments alma_payments amazon_pay_payments
app_distribution au_becs_debit_payments bacs_debit_payments bancontact_payments
bank_transfer_payments billie_payments bizum_payments blik_payments blik_recurring_payments
boleto_payments card_issuing card_payments cartes_bancaires_payments cashapp_payments
crypto_payments eps_payments fpx_payments gb_bank_transfer_payments giropay_payments
grabpay_payments ideal_payments india_international_payments jcb_payments
jp_bank_transfer_payments kakao_pay_payments klarna_payments konbini_payments kr_card_payments
legacy_payments link_payments mb_way_payments mobilepay_payments multibanco_payments
mx_bank_transfer_payments naver_pay_payments nz_bank_account_becs_debit_payments oxxo_payments
p24_payments pay_by_bank_payments payco_payments paynow_payments paypay_payments payto_payments
pix_payments promptpay_payments revolut_pay_payments samsung_pay_payments satispay_payments
scalapay_payments sepa_bank_transfer_payments sepa_debit_payments sequra_payments
sofort_payments sunbit_payments swish_payments tax_reporting_us_1099_k
tax_reporting_us_1099_misc transfers treasury twint_payments upi_payments
us_bank_account_ach_payments us_bank_transfer_payments wero_payments zip_payments
"""
CAPABILITIES = tuple(_CAPABILITIES.split())

_NO_PERSONAL_DATA = refused("it verifies nobody and keeps no personal data")
_NO_FILES = refused("it takes no files")
_OTHER_PRODUCT = refused("it belongs to a product of Stripe's that the sandbox does not have")

_URL = Text(unsets=True)
_MONTHLY = {"amount": Integer(minimum=0).must(), "currency": Currency().must()}
_ANNUAL = {**_MONTHLY, "fiscal_year_end": Text(pattern=r"\d{4}-\d{2}-\d{2}").must()}
_ADDRESS = {
    **dict.fromkeys(("city", "line1", "line2", "postal_code", "state"), Text(unsets=True)),
    "country": Text(pattern="[A-Z]{2}"),
}
BUSINESS_PROFILE: Spec = {
    "annual_revenue": Hash(spec=_ANNUAL),
    "estimated_worker_count": Integer(minimum=0),
    "mcc": Text(pattern=r"\d{4}"),
    "minority_owned_business_designation": Many(
        of=choice(
            "lgbtqi_owned_business",
            "minority_owned_business",
            "none_of_these_apply",
            "prefer_not_to_answer",
            "women_owned_business",
        )
    ),
    "monthly_estimated_revenue": Hash(spec=_MONTHLY),
    "name": Text(unsets=True),
    "product_description": Text(limit=40_000, unsets=True),
    "specified_commercial_transactions_act_url": _URL,
    "support_address": Hash(spec=_ADDRESS),
    "support_email": Text(unsets=True),
    "support_phone": Text(unsets=True),
    "support_url": _URL,
    "url": _URL,
}

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
_DESCRIPTOR = Text(limit=22, unsets=True)
_SCHEDULE: Spec = {
    "delay_days": Text(pattern=r"minimum|\d{1,2}"),
    "interval": choice("daily", "manual", "monthly", "weekly"),
    "monthly_anchor": Integer(minimum=1, maximum=31),
    "monthly_payout_days": Many(of=Integer(minimum=1, maximum=31), most=31),
    "weekly_anchor": choice(*_WEEKDAYS, "saturday", "sunday"),
    "weekly_payout_days": Many(of=Choice(words=_WEEKDAYS), most=5),
}
_INVOICES: Spec = {"hosted_payment_method_save": choice("always", "never", "offer")}
SETTINGS: Spec = {
    "bacs_debit_payments": Hash(spec={"display_name": Text()}),
    "branding": Hash(
        spec={
            "icon": _NO_FILES,
            "logo": _NO_FILES,
            "primary_color": Text(pattern="#[0-9A-Fa-f]{6}", unsets=True),
            "secondary_color": Text(pattern="#[0-9A-Fa-f]{6}", unsets=True),
        }
    ),
    "card_issuing": _OTHER_PRODUCT,
    "card_payments": Hash(
        spec={
            "decline_on": Hash(spec={"avs_failure": Boolean(), "cvc_failure": Boolean()}),
            "statement_descriptor_prefix": _DESCRIPTOR,
            "statement_descriptor_prefix_kana": _DESCRIPTOR,
            "statement_descriptor_prefix_kanji": _DESCRIPTOR,
        }
    ),
    "invoices": Hash(spec=_INVOICES),
    "payments": Hash(
        spec={
            "statement_descriptor": _DESCRIPTOR,
            "statement_descriptor_kana": _DESCRIPTOR,
            "statement_descriptor_kanji": _DESCRIPTOR,
        }
    ),
    "payouts": Hash(
        spec={
            "debit_negative_balances": Boolean(),
            "schedule": Hash(spec=_SCHEDULE),
            "statement_descriptor": _DESCRIPTOR,
        }
    ),
    "paypay_payments": _OTHER_PRODUCT,
    "sepa_debit_payments": Hash(spec={"creditor_id": Text()}),
    "treasury": _OTHER_PRODUCT,
}

CONTROLLER: Spec = {
    "fees": Hash(spec={"payer": choice("account", "application")}),
    "losses": Hash(spec={"payments": choice("application", "stripe")}),
    "requirement_collection": choice("application", "stripe"),
    "stripe_dashboard": Hash(spec={"type": choice("express", "full", "none")}),
}

_SHARED: Spec = {
    "account_token": _NO_PERSONAL_DATA,
    "business_profile": Hash(spec=BUSINESS_PROFILE),
    "business_type": choice("company", "government_entity", "individual", "non_profit"),
    "capabilities": Hash(spec=dict.fromkeys(CAPABILITIES, Hash(spec={"requested": Boolean()}))),
    "company": _NO_PERSONAL_DATA,
    "default_currency": Currency(),
    "documents": _NO_FILES,
    "email": Text(unsets=True, pattern=r"[^@\s]+@[^@\s]+"),
    "expand": EXPAND,
    "external_account": IN_ACCOUNT,
    "groups": _OTHER_PRODUCT,
    "individual": _NO_PERSONAL_DATA,
    "metadata": Metadata(),
    "settings": Hash(spec=SETTINGS),
    "tos_acceptance": Hash(
        spec={
            "date": Integer(minimum=0),
            "ip": Text(),
            "service_agreement": choice("full", "recipient"),
            "user_agent": Text(),
        }
    ),
}
CREATE: Spec = {
    **_SHARED,
    "controller": Hash(spec=CONTROLLER),
    "country": Text(pattern="[A-Z]{2}"),
    "type": choice("custom", "express", "standard"),
}
UPDATE: Spec = {
    **_SHARED,
    "settings": Hash(
        spec={
            **SETTINGS,
            "invoices": Hash(spec={**_INVOICES, "default_account_tax_ids": _OTHER_PRODUCT}),
        }
    ),
}
