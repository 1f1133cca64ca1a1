"""All SQL of payouts: runs, sending, payees, and the checks over all of them."""
