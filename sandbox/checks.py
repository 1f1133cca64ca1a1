"""What must hold in the sandbox's books: queries that find violations, each with its sentence."""

CHECKS: tuple[tuple[str, str], ...] = (
    (
        "SELECT currency, sum(amount) AS total FROM balances GROUP BY currency HAVING total <> 0",
        "all balances in {currency} together are {total}, not zero",
    ),
    (
        """
        WITH moved AS (
            SELECT credit AS ledger, currency, amount FROM postings
            UNION ALL SELECT debit, currency, -amount FROM postings
            UNION ALL SELECT ledger, currency, 0 FROM balances
        ), folded AS (SELECT ledger, currency, sum(amount) AS total FROM moved GROUP BY 1, 2)
        SELECT folded.ledger, folded.currency, folded.total, balances.amount AS held
        FROM folded LEFT JOIN balances USING (ledger, currency)
        WHERE balances.amount IS NOT folded.total
        """,
        "{ledger} holds {held} {currency}, its postings say {total}",
    ),
    (
        "SELECT * FROM balances WHERE amount < 0 AND ledger LIKE '%:available'",
        "{ledger} is overdrawn: {amount} {currency}",
    ),
    (
        """
        WITH lines AS (
            SELECT account || iif(settled, ':available', ':pending') AS ledger, currency, net
            FROM balance_transactions
            UNION ALL SELECT ledger, currency, 0 FROM balances WHERE ledger NOT LIKE 'world:%'
                AND ledger NOT LIKE 'wise:%'
        ), folded AS (SELECT ledger, currency, sum(net) AS total FROM lines GROUP BY 1, 2)
        SELECT folded.ledger, folded.currency, folded.total, balances.amount AS held
        FROM folded LEFT JOIN balances USING (ledger, currency)
        WHERE balances.amount IS NOT folded.total
        """,
        "{ledger} holds {held} {currency}, its balance transactions say {total}",
    ),
    (
        """
        SELECT transfers.id, count(postings.seq) AS n FROM transfers
        LEFT JOIN postings ON postings.source = transfers.id AND postings.kind = 'transfer'
            AND postings.amount = transfers.amount AND postings.currency = transfers.currency
            AND postings.debit LIKE transfers.account || ':%'
            AND postings.credit LIKE transfers.destination || ':%'
        GROUP BY transfers.id HAVING n <> 1
        """,
        "transfer {id} has {n} postings of its amount, not one",
    ),
    (
        """
        SELECT postings.source FROM postings LEFT JOIN transfers ON transfers.id = postings.source
        WHERE postings.kind = 'transfer' AND transfers.id IS NULL
        """,
        "a posting pays for {source}, which is no transfer",
    ),
    (
        """
        SELECT reversals.id, count(postings.seq) AS n FROM reversals
        JOIN transfers ON transfers.id = reversals.transfer
        LEFT JOIN postings ON postings.source = reversals.id AND postings.kind = 'reversal'
            AND postings.amount = reversals.amount AND postings.currency = reversals.currency
            AND postings.debit LIKE transfers.destination || ':%'
            AND postings.credit LIKE transfers.account || ':%'
        GROUP BY reversals.id HAVING n <> 1
        """,
        "reversal {id} has {n} postings of its amount, not one",
    ),
    (
        """
        SELECT transfers.id, transfers.amount_reversed, coalesce(sum(reversals.amount), 0) AS total
        FROM transfers LEFT JOIN reversals ON reversals.transfer = transfers.id
        GROUP BY transfers.id HAVING total <> transfers.amount_reversed
        """,
        "transfer {id} counts {amount_reversed} as reversed, its reversals say {total}",
    ),
    (
        """
        SELECT payouts.id, count(postings.seq) AS n FROM payouts
        LEFT JOIN postings ON postings.source = payouts.id
            AND postings.amount = abs(payouts.amount) AND postings.currency = payouts.currency
            AND (postings.kind = 'payout' AND payouts.amount > 0
                    AND postings.debit = payouts.account || ':available'
                OR postings.kind = 'payout_reversal' AND payouts.amount < 0
                    AND postings.credit LIKE payouts.account || ':%')
        GROUP BY payouts.id HAVING n <> 1
        """,
        "payout {id} has {n} postings of its amount, not one",
    ),
    (
        """
        SELECT payouts.id, payouts.status, sum(coalesce(postings.kind, '') = 'payout_arrival') AS came,
            sum(coalesce(postings.kind, '') = 'payout_failure') AS failed,
            sum(coalesce(postings.kind, '') = 'payout_cancel') AS canceled
        FROM payouts LEFT JOIN postings ON postings.source = payouts.id
        WHERE payouts.amount > 0 GROUP BY payouts.id
        HAVING failed <> (status = 'failed') OR canceled <> (status = 'canceled')
            OR came > 1 OR came < (status = 'paid') OR came > (status IN ('paid', 'failed'))
        """,
        "payout {id} is {status}, its postings say arrived {came}, failed {failed}, "
        "canceled {canceled} times",
    ),
    (
        """
        SELECT postings.source FROM postings LEFT JOIN payouts ON payouts.id = postings.source
        WHERE postings.kind LIKE 'payout%' AND payouts.id IS NULL
        """,
        "a posting pays out {source}, which is no payout",
    ),
    (
        """
        SELECT topups.id, topups.status, count(postings.seq) AS n FROM topups
        LEFT JOIN postings ON postings.source = topups.id AND postings.kind = 'topup'
            AND postings.amount = topups.amount AND postings.currency = topups.currency
        GROUP BY topups.id HAVING n <> (status = 'succeeded')
        """,
        "top-up {id} is {status}, and has {n} postings of its amount",
    ),
    (
        """
        WITH moved AS (
            SELECT t.id, t.stage, t.funded_at, q.source_amount, q.target_amount,
                coalesce(sum(CASE WHEN p.debit LIKE 'wise:%' THEN p.amount END), 0) AS paid,
                coalesce(sum(CASE WHEN p.credit LIKE 'wise:%' THEN p.amount END), 0) AS refunded,
                coalesce(sum(CASE WHEN p.credit = 'world:wise_recipients' THEN p.amount END), 0)
                    - coalesce(sum(CASE WHEN p.debit = 'world:wise_recipients' THEN p.amount END), 0)
                    AS received
            FROM wise_transfers AS t JOIN wise_quotes AS q ON q.id = t.quote
            LEFT JOIN postings AS p ON p.source = 'wise/transfers/' || t.id GROUP BY t.id
        )
        SELECT * FROM moved
        WHERE paid <> iif(funded_at IS NULL, 0, source_amount)
            OR refunded <> iif(stage = 7, source_amount, 0)
            OR received <> iif(stage = 3, target_amount, 0)
        """,
        "Wise transfer {id} at stage {stage}: paid {paid}, refunded {refunded}, received {received}",
    ),
    (
        """
        SELECT key, json_extract(body, '$.id') AS id FROM idempotency_keys
        WHERE status = 200 AND json_extract(body, '$.object') = 'payout'
            AND json_extract(body, '$.id') NOT IN (SELECT id FROM payouts)
        """,
        "the key {key} answers with payout {id}, which does not exist",
    ),
    (
        """
        SELECT key, json_extract(body, '$.id') AS id FROM idempotency_keys
        WHERE status = 200 AND json_extract(body, '$.object') = 'transfer'
            AND json_extract(body, '$.id') NOT IN (SELECT id FROM transfers)
        """,
        "the key {key} answers with transfer {id}, which does not exist",
    ),
    (
        """
        SELECT platform.id FROM accounts AS platform
        JOIN accounts AS owner ON owner.id = platform.platform WHERE owner.platform IS NOT NULL
        """,
        "account {id} belongs to an account that is no platform",
    ),
)
