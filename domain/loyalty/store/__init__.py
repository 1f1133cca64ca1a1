"""All SQL of loyalty: programs, cards with their lots and history, and the expiry sweep."""
