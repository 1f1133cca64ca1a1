"""Random histories end as an independent model says, however they are cut into batches."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.domain.inbox.model import Said
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import broken, rows, scalar, send, send_one_by_one, standing
from tests.domain.inbox.strategies import cuts, histories, new_world, open_world, text_of

once_for_all = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@settings(once_for_all, max_examples=200)
@given(history=histories(), data=st.data())
def test_every_history_ends_as_the_model_says(
    db: Rolled, history: list[Said], data: st.DataObject
) -> None:
    model = new_world()
    with db.scratch():
        open_world(db)
        for part in data.draw(cuts(len(history))):
            send(db, *map(text_of, history[part]))
            model.batch(history[part])
        assert standing(db) == model.status
        assert stored_trackings(db) == model.trackings()
        assert stored_balances(db) == model.balances()
        assert scalar(db, "SELECT count(*) FROM inbox_conflicts") == len(model.conflicts)
        assert broken(db.tx) == []


@settings(once_for_all, max_examples=40)
@given(history=histories(cured=False), data=st.data())
def test_where_batches_begin_and_end_changes_nothing(
    db: Rolled, history: list[Said], data: st.DataObject
) -> None:
    texts = list(map(text_of, history))
    with db.scratch():
        open_world(db)
        send_one_by_one(db, *texts)
        one_by_one = everything(db)
    for parts in ([slice(0, len(texts))], data.draw(cuts(len(texts)))):
        with db.scratch():
            open_world(db)
            for part in parts:
                send(db, *texts[part])
            assert everything(db) == one_by_one


def stored_trackings(db: Rolled) -> set[tuple[Any, ...]]:
    return set(
        rows(
            db,
            """
            SELECT i.event_id, t.referrer_user_id, t.referred_user_id, t.amount_earned,
                   t.referee_amount_earned, t.refunded_amount, t.fully_refunded, t.reversed_amount,
                   t.referee_reversed_amount
            FROM trackings t JOIN inbox_events i ON i.id = t.inbox_id
            """,
        )
    )


def stored_balances(db: Rolled) -> dict[str, int]:
    return dict(
        rows(
            db, "SELECT owner, balance FROM ledger_accounts WHERE kind = 'payable' AND balance <> 0"
        )
    )


EVERYTHING = {
    "events": "SELECT event_id, type, occurred_at, status, reason, detail, correlation FROM inbox_events",
    "conflicts": "SELECT event_id, c.data::text FROM inbox_conflicts c JOIN inbox_events i ON i.id = inbox_id",
    "trackings": """
        SELECT i.event_id, t.referrer_user_id, t.referred_user_id, c.code, t.program_version, t.transaction_id,
               t.transaction_amount, t.amount_earned, t.referee_amount_earned, t.currency, t.converted_at,
               t.seq, t.explanation::text, t.refunded_amount, t.fully_refunded, t.reversed_amount,
               t.referee_reversed_amount
        FROM trackings t JOIN inbox_events i ON i.id = t.inbox_id JOIN codes c ON c.id = t.code_id
    """,
    "reversals": """
        SELECT i.event_id, r.kind, r.external_id, r.amount, r.reversed, r.referee_reversed, r.occurred_at
        FROM tracking_reversals r JOIN inbox_events i ON i.id = r.inbox_id
    """,
    "earnings": """
        SELECT e.user_id, e.currency, e.amount, e.kind, coalesce(t.transaction_id, r.external_id),
               e.available_at, o.kind, o.amount
        FROM earnings e
        LEFT JOIN trackings t ON e.source_kind = 'tracking' AND t.id = e.source_id
        LEFT JOIN tracking_reversals r ON e.source_kind = 'tracking_reversal' AND r.id = e.source_id
        LEFT JOIN earnings o ON o.id = e.reverses_id
    """,
    "transfers": """
        SELECT t.amount, t.currency, t.kind, t.source_kind, t.occurred_at, d.kind, d.owner, c.kind, c.owner
        FROM ledger_transfers t
        JOIN ledger_accounts d ON d.id = t.debit_account_id
        JOIN ledger_accounts c ON c.id = t.credit_account_id
    """,
    "accounts": "SELECT kind, owner, currency, balance FROM ledger_accounts",
    "codes": "SELECT code, uses FROM codes",
    "attributions": """
        SELECT p.key, a.referred_user_id, c.code, a.attributed_at, a.rewarded, a.first_rewarded_at
        FROM attributions a JOIN programs p ON p.id = a.program_id JOIN codes c ON c.id = a.code_id
    """,
    "referrers": """
        SELECT p.key, s.user_id, s.last_seq, s.conversions, s.volume, s.rewards
        FROM referrer_states s JOIN programs p ON p.id = s.program_id WHERE s.last_seq > 0
    """,
}


def everything(db: Rolled) -> dict[str, list[str]]:
    """All that was stored, without the ids that the database drew."""
    return {name: sorted(map(repr, rows(db, query))) for name, query in EVERYTHING.items()}
