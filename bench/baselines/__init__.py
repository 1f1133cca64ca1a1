"""The peers and limits: the shortest code that makes the same final rows."""
