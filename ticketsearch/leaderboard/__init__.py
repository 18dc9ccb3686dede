"""Leaderboards: a pure function of finished runs. Never imports torch."""

from ticketsearch.leaderboard.fidelity import Exploitation, exploitation, tau
from ticketsearch.leaderboard.merging import merged
from ticketsearch.leaderboard.running_time import (
    Curve,
    Ratio,
    RunningTime,
    ecdf,
    expected_running_time,
    first_hit,
    held,
    ratio_of_running_times,
    targets,
)
from ticketsearch.leaderboard.statistics import Paired, Summary, holm, interquartile_mean, paired, rank_intervals
from ticketsearch.leaderboard.studies import LoadedStudy, load_study
from ticketsearch.leaderboard.table import Group, Row, build
from ticketsearch.leaderboard.verdict import Comparison, Control, Verdict, compare, judge

__all__ = [
    "Comparison",
    "Control",
    "Curve",
    "Exploitation",
    "Group",
    "LoadedStudy",
    "Paired",
    "Ratio",
    "Row",
    "RunningTime",
    "Summary",
    "Verdict",
    "build",
    "compare",
    "ecdf",
    "expected_running_time",
    "exploitation",
    "first_hit",
    "held",
    "holm",
    "interquartile_mean",
    "judge",
    "load_study",
    "merged",
    "paired",
    "rank_intervals",
    "ratio_of_running_times",
    "targets",
    "tau",
]
