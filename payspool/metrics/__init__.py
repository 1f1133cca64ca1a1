"""Metrics for Prometheus: each process counts its own work, the API tells the state of queues and rows.

``work`` is what processes count, ``state`` what is read at a scrape, ``listener`` serves the former at
a port of its own; the API serves both at ``/metrics``. docs/reference/metrics.md lists every name.
"""
