"""Leaderboards: a pure function of finished runs. Never imports torch."""

from ticketsearch.leaderboard.table import Group, Row, build, load_results

__all__ = ["Group", "Row", "build", "load_results"]
