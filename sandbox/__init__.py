"""A local Stripe that keeps its own books.

A server that speaks the part of Stripe's v1 HTTP API that pays people through Connect: it keeps
state, obeys idempotency keys, signs webhooks and injects faults on request. Its double-entry books
are a file of their own, so that "what was really paid" can be read without asking the payer: this
package therefore imports nothing else of the project.

Start it with `python -m sandbox`, read it with `sandbox.books.Books`.
"""
