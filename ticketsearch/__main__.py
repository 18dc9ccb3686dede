"""``python -m ticketsearch``."""

from ticketsearch.cli import main

main()
