"""Each action of the dashboard with the least role that may do it, and arguments that name nothing.

Written out here, apart from what the actions say themselves: an action without a row fails
`test_actions.py`, and so does one whose role was changed on one side only. Whoever may do it is told that
nothing of the kind exists, or what is wrong with what they said; nobody's data changes.
"""

from __future__ import annotations

from typing import Any

from domain.dead_letters.store import Filter
from domain.inbox.service import Selection
from domain.merchants.service import Merchant
from web.dashboard.bank import StatementForm

NOTHING = 10**12
"""The number of no row."""
_PAYOUT: dict[str, Any] = {"merchant_id": 1, "payout_id": NOTHING}
_WHY: dict[str, Any] = {"reason": "an attempt"}
_NOBODY = Merchant(NOTHING, "nobody", "Nobody", "test", retired=False)
_PROGRAM: dict[str, Any] = {"merchant_id": 1, "key": "none"}
_EURO: dict[str, Any] = {"currency": "eur"}
_TERMS: dict[str, Any] = _EURO | {"rule": "no object"}
_FILE: dict[str, Any] = {"merchant_id": 1, "run_id": NOTHING, "format": "none", "on": None}
_STATEMENT: dict[str, Any] = {"merchant_id": NOTHING, "content": b"", "form": StatementForm()}

_ENDPOINT: dict[str, Any] = {"merchant_id": 1, "endpoint_id": NOTHING}

ATTEMPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "adjustment.agree": ("approver", {"merchant_id": 1, "number": NOTHING}),
    "adjustment.reject": ("approver", {"merchant_id": 1, "number": NOTHING}),
    "bank.export_file": ("operator", _FILE),
    "bank.import_statement": ("approver", _STATEMENT),
    "bank.preview_file": ("operator", _FILE),
    "bank.preview_statement": ("operator", _STATEMENT),
    "dead.discard": ("operator", {"ids": [NOTHING], **_WHY}),
    "dead.discard_all": ("operator", {"wanted": Filter(queue="none"), "upto": 0, **_WHY}),
    "dead.retry": ("operator", {"ids": []}),
    "dead.retry_all": ("operator", {"wanted": Filter(queue="none"), "upto": 0}),
    "difference.resolve": ("operator", {"merchant_id": 1, "difference_id": NOTHING, **_WHY}),
    "event.edit": ("operator", {"number": NOTHING, "data": "{}", **_WHY}),
    "event.retry": ("operator", {"numbers": [NOTHING]}),
    "event.retry_all": ("operator", {"selection": Selection(merchant_id=NOTHING)}),
    "hold.reject": ("approver", {"merchant_id": 1, "hold_id": NOTHING, **_WHY}),
    "hold.release": ("approver", {"merchant_id": 1, "hold_id": NOTHING, **_WHY}),
    "loyalty_program.change": ("approver", {"merchant": _NOBODY, "key": "none", "seen": 1, "terms": {}}),
    "loyalty_program.create": ("approver", {"merchant": _NOBODY, "key": "", "name": "", "zone": "UTC", "terms": _EURO}),
    "loyalty_program.end": ("approver", _PROGRAM),
    "loyalty_program.pause": ("operator", _PROGRAM),
    "loyalty_program.resume": ("approver", _PROGRAM),
    "payee.block": ("operator", {"merchant_id": 1, "user_id": "nobody at all", **_WHY}),
    "payee.unblock": ("approver", {"merchant_id": 1, "user_id": "nobody at all"}),
    "payout.agree_abandon": ("approver", _PAYOUT),
    "payout.agree_give_up_reversal": ("approver", _PAYOUT),
    "payout.agree_outside": ("approver", _PAYOUT),
    "payout.agree_unfreeze": ("approver", _PAYOUT),
    "payout.cancel": ("operator", _PAYOUT | _WHY),
    "payout.mark_failed": ("approver", _PAYOUT | _WHY),
    "payout.mark_paid": ("approver", _PAYOUT | {"reference": "none"}),
    "payout.propose_abandon": ("operator", _PAYOUT | _WHY),
    "payout.propose_give_up_reversal": ("operator", _PAYOUT | _WHY),
    "payout.propose_outside": ("operator", _PAYOUT | {"reference": "none", "evidence": "none"}),
    "payout.propose_unfreeze": ("operator", _PAYOUT | _WHY),
    "payout.release": ("approver", _PAYOUT | _WHY),
    "payout.retry": ("operator", _PAYOUT),
    "payout.reverse": ("approver", _PAYOUT | {"amount": "", "came_back": 0, **_WHY}),
    "payout.withdraw_outside": ("approver", _PAYOUT | _WHY),
    "payouts.resume": ("approver", {"merchant": "nobody", "method": None}),
    "payouts.stop": ("operator", {"merchant": "nobody", "method": None, **_WHY}),
    "program.change": ("approver", _PROGRAM | {"seen": 1, "terms": _TERMS}),
    "program.create": ("approver", _PROGRAM | {"name": "None", "terms": _TERMS}),
    "program.end": ("approver", _PROGRAM),
    "program.pause": ("operator", _PROGRAM),
    "program.resume": ("approver", _PROGRAM),
    "queue.pause": ("operator", {"queue": "none", **_WHY}),
    "queue.resume": ("operator", {"queue": "none"}),
    "reversal.decide": ("approver", {"merchant_id": 1, "reversal_id": NOTHING, "owed": True, **_WHY}),
    "run.approve": ("approver", {"merchant_id": 1, "run_id": NOTHING, "seen": "00"}),
    "run.reject": ("approver", {"merchant_id": 1, "run_id": NOTHING, **_WHY}),
    "run.start": ("operator", {"merchant_id": 1, "name": "x", "minimums": {}, "methods": ()}),
    "schedule.pause": ("operator", {"name": "none", **_WHY}),
    "schedule.resume": ("operator", {"name": "none"}),
    "schedule.run_now": ("operator", {"name": "none"}),
    "user.add": ("admin", {"name": "", "role": "viewer"}),
    "user.disable": ("admin", {"name": "nobody"}),
    "user.enable": ("admin", {"name": "nobody"}),
    "user.link": ("admin", {"name": "nobody"}),
    "user.role": ("admin", {"name": "nobody", "role": "viewer"}),
    "velocity.reject": ("approver", {"merchant_id": 1, "case_id": NOTHING, **_WHY}),
    "velocity.release": ("approver", {"merchant_id": 1, "case_id": NOTHING, **_WHY}),
    "webhook.add": ("approver", {"merchant": _NOBODY, "url": "nowhere", "types": [], "description": ""}),
    "webhook.change": ("approver", _ENDPOINT | {"types": [], "description": ""}),
    "webhook.disable": ("operator", _ENDPOINT | _WHY),
    "webhook.enable": ("operator", _ENDPOINT),
    "webhook.remove": ("approver", _ENDPOINT),
    "webhook.resend": ("operator", {"merchant_id": 1, "delivery_id": NOTHING}),
    "webhook.resend_failed": ("operator", _ENDPOINT | {"since": "2026-06-01"}),
    "webhook.roll": ("approver", _ENDPOINT | {"hours": "1"}),
    "webhook.test": ("operator", _ENDPOINT),
    "worker.quiet": ("operator", {"worker": "none", **_WHY}),
    "worker.wake": ("operator", {"worker": "none"}),
}  # fmt: skip
