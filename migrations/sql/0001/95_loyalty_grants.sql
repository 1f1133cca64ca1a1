-- Nothing of a card's history is deleted. Runs after the general grants (90_roles.sql).
REVOKE DELETE ON loyalty_programs, loyalty_program_versions, cards, loyalty_transactions, point_lots,
    lot_allocations, point_debts, debt_repayments, lot_restorations, loyalty_refunds FROM payspool_runtime;
