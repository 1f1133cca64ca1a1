"""The figures to reach, measured beside a peer or a limit on the same servers: ``make bench``."""
