"""The endpoints of the API, a module per resource.

Each module declares its `ROUTES` and a `shape` that turns a row into the object that Stripe shows.
A new resource is a new module named in `sandbox.api`.
"""
