"""``python -m payspool``."""

from payspool.cli import main

main()
