-- A conversion whose reward was paid before Payspool is paid, though none of our payouts has it.
CREATE OR REPLACE VIEW tracking_details AS
SELECT t.*, e.id AS earning_id, e.available_at, e.payout_id,
       CASE
           WHEN e.id IS NULL AND t.amount_earned > 0 THEN 'pending'
           WHEN t.amount_earned > 0 AND t.reversed_amount = t.amount_earned THEN 'reversed'
           WHEN e.voided_at IS NOT NULL THEN 'reversed'
           WHEN p.state = 'paid' OR t.explanation ? 'paid_before' THEN 'paid'
           WHEN p.state IN ('reversed', 'returned') THEN 'reversed'
           WHEN e.held_at IS NOT NULL THEN 'held'
           WHEN p.state = 'failed' THEN 'failed'
           WHEN p.id IS NOT NULL THEN 'processing'
           ELSE 'pending'
       END AS payout_status
FROM trackings t
LEFT JOIN earnings e ON e.source_kind = 'tracking' AND e.source_id = t.id AND e.kind = 'reward'
LEFT JOIN payouts p ON p.id = e.payout_id;
