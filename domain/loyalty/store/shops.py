"""All SQL of stores, staff PINs, terminal devices, and of who stood behind an event at a till."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx


def add_store(tx: Tx, merchant_id: int, key: str, name: str, zone: str) -> int | None:
    """Add a store; None if the merchant has one of this key."""
    found: int | None = tx.execute(
        text(
            "INSERT INTO stores (merchant_id, key, name, zone) VALUES (:merchant_id, :key, :name, :zone)"
            " ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id"
        ),
        {"merchant_id": merchant_id, "key": key, "name": name, "zone": zone},
    ).scalar()
    return found


def store(tx: Tx, merchant_id: int, key: str) -> Any | None:
    """A store, locked against other changes, or None."""
    return tx.execute(
        text(
            "SELECT id, key, name, zone, retired_at FROM stores"
            " WHERE merchant_id = :merchant_id AND key = :key FOR NO KEY UPDATE"
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


def rename(tx: Tx, table: str, id_: int, name: str) -> None:
    """Give a store, a PIN or a device another name. ``table`` is one of ours."""
    assert table in ("stores", "staff_pins", "terminal_devices")
    tx.execute(text(f"UPDATE {table} SET name = :name WHERE id = :id"), {"name": name, "id": id_})  # noqa: S608


def retire_store(tx: Tx, store_id: int, at: datetime | None) -> None:
    """Retire a store from ``at`` on, or (None) open it again."""
    tx.execute(
        text("UPDATE stores SET retired_at = :at WHERE id = :id"), {"at": at, "id": store_id}
    )


def set_zone(tx: Tx, store_id: int, zone: str) -> None:
    """Say in which time zone a store is."""
    tx.execute(
        text("UPDATE stores SET zone = :zone WHERE id = :id"), {"zone": zone, "id": store_id}
    )


def listing(
    tx: Tx,
    kind: str,
    merchant_id: int,
    *,
    only: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Any]:
    """A merchant's stores, PINs or devices by key, never what is secret of them: one of them (``only``), or up
    to ``limit`` behind the key ``after``. ``kind`` is one of LISTED."""
    more = "" if only is None else " AND x.key = :only"
    more += "" if after is None else " AND x.key > :after"
    return list(
        tx.execute(
            text(f"{LISTED[kind]} WHERE x.merchant_id = :m{more} ORDER BY x.key LIMIT :limit"),
            {"m": merchant_id, "limit": limit}
            | ({} if only is None else {"only": only})
            | ({} if after is None else {"after": after}),
        )
    )


LISTED: Final = {
    "store": "SELECT x.key, x.name, x.zone, x.retired_at, x.created_at FROM stores x",
    "pin": """
        SELECT x.key, s.key AS store, x.name, x.failures, x.locked_until, x.disabled_at, x.created_at
        FROM staff_pins x JOIN stores s ON s.id = x.store_id
        """,
    "device": """
        SELECT x.key, x.name, s.key AS store, x.paired_at, x.pairing_expires_at, x.revoked_at,
               x.principal_kind || ':' || x.principal_id AS principal, x.created_at
        FROM terminal_devices x JOIN stores s ON s.id = x.store_id
        """,
}


def add_pin(
    tx: Tx, merchant_id: int, store_id: int, key: str, name: str, pin_hash: str
) -> int | None:
    """Add a PIN; None if the merchant has one of this key."""
    found: int | None = tx.execute(
        text(
            "INSERT INTO staff_pins (merchant_id, store_id, key, name, pin_hash)"
            " VALUES (:merchant_id, :store_id, :key, :name, :pin_hash)"
            " ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id"
        ),
        {
            "merchant_id": merchant_id,
            "store_id": store_id,
            "key": key,
            "name": name,
            "pin_hash": pin_hash,
        },
    ).scalar()
    return found


def pin(tx: Tx, merchant_id: int, key: str) -> Any | None:
    """A PIN with its store, locked: wrong ones beside each other are counted one by one. Or None.

    ``locked``: by the real clock.
    """
    return tx.execute(
        text(
            """
            SELECT p.id, p.key, p.name, p.pin_hash, p.failures, p.disabled_at, s.key AS store,
                   coalesce(p.locked_until > clock_timestamp(), false) AS locked
            FROM staff_pins p JOIN stores s ON s.id = p.store_id
            WHERE p.merchant_id = :merchant_id AND p.key = :key FOR NO KEY UPDATE OF p
            """
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


def count_failure(tx: Tx, pin_id: int, failures: int, lock: timedelta | None) -> None:
    """Keep how many wrong PINs came in a row, and lock it for ``lock`` of real time if that is given."""
    tx.execute(
        text(
            "UPDATE staff_pins SET failures = :failures,"
            " locked_until = clock_timestamp() + CAST(:lock AS interval) WHERE id = :id"
        ),
        {"failures": failures, "lock": lock, "id": pin_id},
    )


def set_pin(tx: Tx, pin_id: int, pin_hash: str) -> None:
    """Give a PIN another secret, which is not locked."""
    tx.execute(
        text(
            "UPDATE staff_pins SET pin_hash = :pin_hash, failures = 0, locked_until = NULL"
            " WHERE id = :id"
        ),
        {"pin_hash": pin_hash, "id": pin_id},
    )


def unlock(tx: Tx, pin_id: int) -> None:
    """Forget wrong PINs."""
    tx.execute(
        text("UPDATE staff_pins SET failures = 0, locked_until = NULL WHERE id = :id"),
        {"id": pin_id},
    )


def disable_pin(tx: Tx, pin_id: int, at: datetime) -> None:
    """Disable a PIN from ``at`` on."""
    tx.execute(
        text("UPDATE staff_pins SET disabled_at = :at WHERE id = :id"), {"at": at, "id": pin_id}
    )


def add_device(tx: Tx, values: dict[str, Any]) -> int | None:
    """Add a device, paired (``token_hash``) or to be paired (``pairing_hash``, ``good_for``); None if the
    merchant has one of this key."""
    found: int | None = tx.execute(
        text(
            """
            INSERT INTO terminal_devices (merchant_id, store_id, key, name, token_hash, paired_at, pairing_hash,
                                          pairing_expires_at, principal_kind, principal_id)
            VALUES (:merchant_id, :store_id, :key, :name, CAST(:token_hash AS bytea),
                    CASE WHEN CAST(:token_hash AS bytea) IS NOT NULL THEN clock_timestamp() END,
                    CAST(:pairing_hash AS bytea),
                    CASE WHEN CAST(:pairing_hash AS bytea) IS NOT NULL
                         THEN clock_timestamp() + CAST(:good_for AS interval) END,
                    :principal_kind, :principal_id)
            ON CONFLICT (merchant_id, key) DO NOTHING RETURNING id
            """
        ),
        values,
    ).scalar()
    return found


def pair(tx: Tx, pairing_hash: bytes, token_hash: bytes) -> Any | None:
    """Pair the device whose code it is, once and while the code is good; None otherwise."""
    return tx.execute(
        text(
            """
            UPDATE terminal_devices d
            SET token_hash = :token_hash, paired_at = clock_timestamp(), pairing_hash = NULL,
                pairing_expires_at = NULL
            FROM stores s, merchants m
            WHERE d.pairing_hash = :pairing_hash AND d.pairing_expires_at > clock_timestamp()
                  AND d.revoked_at IS NULL AND s.id = d.store_id AND m.id = d.merchant_id
                  AND m.retired_at IS NULL
            RETURNING d.id, d.merchant_id, d.key, d.name, s.key AS store, m.mode, m.key AS merchant,
                      d.principal_kind, d.principal_id
            """
        ),
        {"pairing_hash": pairing_hash, "token_hash": token_hash},
    ).one_or_none()


def device_of(tx: Tx, token_hash: bytes) -> Any | None:
    """The device of a token, revoked or not; None if nobody was given it or its merchant is retired."""
    return tx.execute(
        text(
            """
            SELECT d.id, d.merchant_id, d.key, d.name, s.key AS store, d.revoked_at, d.principal_kind,
                   d.principal_id, m.key AS merchant, m.mode
            FROM terminal_devices d
            JOIN stores s ON s.id = d.store_id
            JOIN merchants m ON m.id = d.merchant_id
            WHERE d.token_hash = :token_hash AND m.retired_at IS NULL
            """
        ),
        {"token_hash": token_hash},
    ).one_or_none()


def device(tx: Tx, merchant_id: int, key: str) -> Any | None:
    """A device, locked, or None."""
    return tx.execute(
        text(
            "SELECT id, key, name, revoked_at FROM terminal_devices"
            " WHERE merchant_id = :merchant_id AND key = :key FOR NO KEY UPDATE"
        ),
        {"merchant_id": merchant_id, "key": key},
    ).one_or_none()


def revoke(tx: Tx, device_id: int, at: datetime) -> None:
    """Revoke a device from ``at`` on; a code that would pair it is worth nothing any more."""
    tx.execute(
        text(
            "UPDATE terminal_devices SET revoked_at = :at, pairing_hash = NULL,"
            " pairing_expires_at = NULL WHERE id = :id"
        ),
        {"at": at, "id": device_id},
    )


def keep_act(tx: Tx, inbox_id: int, values: dict[str, Any]) -> None:
    """Keep who stood behind an event at a till: the last one, if it comes again after a refusal."""
    tx.execute(
        text(
            """
            INSERT INTO till_acts (inbox_id, merchant_id, store_id, terminal_device_id, principal_kind,
                                   principal_id, ip_address, user_agent)
            VALUES (:inbox_id, :merchant_id, :store_id, :terminal_device_id, :principal_kind, :principal_id,
                    :ip_address, :user_agent)
            ON CONFLICT (inbox_id) DO UPDATE SET store_id = excluded.store_id,
                terminal_device_id = excluded.terminal_device_id, principal_kind = excluded.principal_kind,
                principal_id = excluded.principal_id, ip_address = excluded.ip_address,
                user_agent = excluded.user_agent
            """
        ),
        {"inbox_id": inbox_id, **values},
    )


def empty_acts(tx: Tx, inbox_ids: Sequence[int]) -> None:
    """Take personal data out of what is kept of requests about a customer's events."""
    tx.execute(
        text(
            "UPDATE till_acts SET ip_address = NULL, user_agent = NULL"
            " WHERE inbox_id = ANY(:ids) AND num_nonnulls(ip_address, user_agent) > 0"
        ),
        {"ids": list(inbox_ids)},
    )


_NAMED = text(
    """
    WITH named AS (
        SELECT * FROM unnest(CAST(:merchants AS bigint[]), CAST(:kinds AS text[]), CAST(:keys AS text[]))
                      AS n (merchant_id, kind, key)
    )
    SELECT 'store' AS kind, s.merchant_id, s.key, s.name, s.key AS store, s.retired_at AS ended_at
    FROM named n JOIN stores s ON (s.merchant_id, s.key) = (n.merchant_id, n.key) WHERE n.kind = 'store'
    UNION ALL
    SELECT 'store', s.merchant_id, s.key, s.name, s.key, s.retired_at
    FROM named n JOIN staff_pins p ON (p.merchant_id, p.key) = (n.merchant_id, n.key)
    JOIN stores s ON s.id = p.store_id WHERE n.kind = 'pin'
    UNION ALL
    SELECT 'pin', p.merchant_id, p.key, p.name, s.key, p.disabled_at
    FROM named n JOIN staff_pins p ON (p.merchant_id, p.key) = (n.merchant_id, n.key)
    JOIN stores s ON s.id = p.store_id WHERE n.kind = 'pin'
    UNION ALL
    SELECT 'device', d.merchant_id, d.key, d.name, s.key, d.revoked_at
    FROM named n JOIN terminal_devices d ON (d.merchant_id, d.key) = (n.merchant_id, n.key)
    JOIN stores s ON s.id = d.store_id WHERE n.kind = 'device'
    UNION ALL
    SELECT 'any_store', m.id, '', '', '', NULL FROM (SELECT DISTINCT merchant_id AS id FROM named) m
    WHERE EXISTS (SELECT FROM stores s WHERE s.merchant_id = m.id)
    UNION ALL
    SELECT 'any_pin', m.id, '', '', '', NULL FROM (SELECT DISTINCT merchant_id AS id FROM named) m
    WHERE EXISTS (SELECT FROM staff_pins p WHERE p.merchant_id = m.id)
    UNION ALL
    SELECT 'any_device', m.id, '', '', '', NULL FROM (SELECT DISTINCT merchant_id AS id FROM named) m
    WHERE EXISTS (SELECT FROM terminal_devices d WHERE d.merchant_id = m.id)
    """
)


def named(tx: Tx, wanted: Collection[tuple[int, str, str]]) -> list[Any]:
    """Stores, PINs and devices by (merchant, kind, key), and which merchants have any of a kind."""
    merchants, kinds, keys = (list(column) for column in zip(*sorted(wanted), strict=True))
    return list(tx.execute(_NAMED, {"merchants": merchants, "kinds": kinds, "keys": keys}))


def acts_and_cases(tx: Tx, inbox_ids: Sequence[int]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Who stood behind events that came from a till, and velocity cases about events, each by inbox id.

    One statement for both, as every batch asks and few have any. Who decides a case holds the lock of its
    event's inbox row.
    """
    rows = tx.execute(
        text(
            """
            SELECT e.inbox_id, a.inbox_id IS NOT NULL AS at_till, a.store_id, a.terminal_device_id,
                   a.principal_kind, a.principal_id, a.ip_address, a.user_agent,
                   v.id AS case_id, v.action AS case_action, v.outcome AS case_outcome
            FROM unnest(CAST(:ids AS bigint[])) AS e (inbox_id)
            LEFT JOIN till_acts a ON a.inbox_id = e.inbox_id
            LEFT JOIN loyalty_velocity_cases v ON v.inbox_id = e.inbox_id
            WHERE a.inbox_id IS NOT NULL OR v.inbox_id IS NOT NULL
            """
        ),
        {"ids": list(inbox_ids)},
    ).all()
    acts = {row.inbox_id: row for row in rows if row.at_till}
    return acts, {row.inbox_id: row for row in rows if row.case_id is not None}


def mode_of_code(tx: Tx, pairing_hash: bytes) -> str | None:
    """Test or live, by the merchant of the device that a code pairs; None if there is none."""
    mode: str | None = tx.execute(
        text(
            "SELECT m.mode FROM terminal_devices d JOIN merchants m ON m.id = d.merchant_id"
            " WHERE d.pairing_hash = :pairing_hash"
        ),
        {"pairing_hash": pairing_hash},
    ).scalar()
    return mode
