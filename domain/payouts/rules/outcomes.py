"""What a gateway's answer means: the whole outcome table, as one function of values."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from domain.payouts.rules.told import keepable, name_of

Kind = Literal["response", "timeout", "reset", "not_sent", "unreadable"]
"""How a try ended: an answer; a time-out; a connection lost; a connection that was never made, so that
nothing was sent; or a success whose body is not the object that was asked for."""

BUSINESS_CODES: Final = frozenset(
    {
        "account_invalid",
        "amount_too_small",
        "balance_insufficient",
        "bank_account_unusable",
        # Of our Wise gateway: a transfer that Wise would not pay for, and that was canceled for it.
        "funding_refused",
        # What Stripe answers while the destination's `transfers` capability is not active.
        "insufficient_capabilities_for_transfer",
        "payouts_limit_exceeded",
        "payouts_not_allowed",
        # What our Wise gateway says where Wise refused a quote or a transfer: none was made.
        "quote_refused",
        "resource_missing",
        "transfer_canceled",
        "transfer_refused",
        "transfers_not_allowed",
        # Of a reversal. Stripe gives these refusals no code; `workers/gateways/stripe_reversals.py` names them.
        "reversal_refused",
        "reversal_too_large",
        "transfer_already_reversed",
    }
)
"""Refusals that say why no money moved. Any other code proves nothing."""

BUSINESS_STATUSES: Final = frozenset({400, 402, 403, 404, 422})

KEY_CODES: Final = frozenset(
    {
        None,
        "api_key_expired",
        "livemode_mismatch",
        "platform_api_key_expired",
        "secret_key_required",
        "testmode_charges_only",
    }
)
"""Codes of a 403 that is about our API key (a restricted key lacks a permission: Stripe gives none)."""


@dataclass(frozen=True, slots=True)
class GatewayOutcome:
    """What was seen of one call, without any object of a gateway's library.

    ``external_id`` is the gateway's id of what it made; ``replayed`` is Stripe's header
    ``Idempotent-Replayed``; ``retry_after`` is in seconds; ``tries`` counts same-key tries.

    Three are for gateways that pay in several calls. ``began``: something exists there under the key
    already, so that a refusal of a later call settles nothing. ``refused``: the gateway showed that nothing
    was paid, and that nothing ever can be under this key. ``arrived`` False: it took the money, and will
    say later that it is with the payee.

    ``called`` False: there was no time left for the (next) call, so that this says nothing of the gateway.

    Text is held as our columns can keep it, and a name that they cannot names nothing.
    """

    kind: Kind
    http_status: int | None = None
    error_type: str | None = None
    code: str | None = None
    message: str | None = None
    external_id: str | None = None
    replayed: bool = False
    request_id: str | None = None
    retry_after: float | None = None
    tries: int = 1
    began: bool = False
    refused: bool = False
    arrived: bool = True
    called: bool = True

    def __post_init__(self) -> None:
        for name in ("error_type", "code", "message", "request_id"):
            object.__setattr__(self, name, keepable(getattr(self, name)))
        object.__setattr__(self, "external_id", name_of(self.external_id))

    @property
    def note(self) -> dict[str, Any]:
        """What the history of an attempt keeps of it: what is known, and no text of the gateway's."""
        seen = {
            "kind": self.kind,
            "status": self.http_status,
            "code": self.code,
            "request_id": self.request_id,
            "tries": self.tries,
        }
        return {name: value for name, value in seen.items() if value is not None}

    @property
    def turned_away(self) -> bool:
        """Whether nothing was executed and no key was stored, so that the same key may go again.

        A limiter stands in front of the key store; a connection that was never made carried nothing.
        """
        if self.kind == "not_sent":
            return True
        return self.kind == "response" and (
            self.http_status == 429 or (self.code == "lock_timeout" and self.http_status == 400)
        )

    @property
    def key_refused(self) -> bool:
        """Whether the gateway does not accept our API key for this call."""
        return self.kind == "response" and (
            self.http_status == 401 or (self.http_status == 403 and self.code in KEY_CODES)
        )


class Verdict(Enum):
    """What follows from an outcome."""

    SUCCEEDED = "succeeded"
    DEFINITE_FAILURE = "definite_failure"
    RETRY_SAME_KEY = "retry_same_key"
    OPEN_BREAKER = "open_breaker"
    UNKNOWN = "unknown"
    FREEZE = "freeze"


def classify(outcome: GatewayOutcome, *, replaying_unknown: bool) -> Verdict:
    """Decide what an outcome means; total, and ``UNKNOWN`` for whatever is not named here.

    ``replaying_unknown``: an earlier try under this key may have been executed. Then only a success,
    or a refusal that the gateway marks as its first answer, settles anything.
    """
    replaying_unknown = replaying_unknown or outcome.began
    if outcome.kind == "not_sent":
        return Verdict.UNKNOWN if replaying_unknown else Verdict.RETRY_SAME_KEY
    if outcome.kind != "response" or outcome.http_status is None:
        return Verdict.UNKNOWN
    status = outcome.http_status
    if outcome.refused and outcome.code in BUSINESS_CODES:
        return Verdict.DEFINITE_FAILURE
    if 200 <= status < 300:
        return Verdict.SUCCEEDED if outcome.external_id else Verdict.UNKNOWN
    if status in (400, 409) and outcome.error_type == "idempotency_error":
        # Our own bug: a key was reused with other parameters. No later answer can be trusted.
        return Verdict.FREEZE
    if outcome.turned_away:
        return Verdict.UNKNOWN if replaying_unknown else Verdict.RETRY_SAME_KEY
    if status in BUSINESS_STATUSES and outcome.code in BUSINESS_CODES:
        settled = outcome.replayed or not replaying_unknown
        return Verdict.DEFINITE_FAILURE if settled else Verdict.UNKNOWN
    if outcome.key_refused:
        return Verdict.UNKNOWN if replaying_unknown else Verdict.OPEN_BREAKER
    return Verdict.UNKNOWN
