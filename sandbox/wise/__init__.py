"""A local Wise beside the local Stripe: recipients, quotes, transfers and their funding.

It is served under `/wise` of the same port, keeps its money in the same double-entry books (ledger
accounts `wise:<profile>:available`), lives by the same clock and suffers the same fault plans. What
it knows of Wise is from the public reference at docs.wise.com, put in its own words.
"""
