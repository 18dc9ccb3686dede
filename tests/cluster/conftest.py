from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
"""A node that is gone is noticed in seconds, not in half a minute."""


class Nodes:
    """A head with a CPU, to which the driver is attached, and two more nodes with one."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": NOTICE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self.cluster.address
        self._others = [self.cluster.add_node(num_cpus=1) for _ in range(2)]

    def lose_one(self) -> None:
        """Kill a node and all that is on it."""
        self.cluster.remove_node(self._others.pop(), allow_graceful=False)

    def complete(self) -> None:
        """Put new nodes in the place of lost ones."""
        while len(self._others) < 2:
            self._others.append(self.cluster.add_node(num_cpus=1))


@pytest.fixture(scope="session")
def nodes(own_cache: Path) -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.cluster.shutdown()


@pytest.fixture
def losing(nodes: Nodes) -> Iterator[Nodes]:
    """A cluster that may lose nodes."""
    yield nodes
    nodes.complete()


def trials(record: Any) -> list[Any]:
    """What of a record does not depend on the machine."""
    return [(one.question, one.score, one.loss, one.before.thirds, one.after.thirds) for one in record]
