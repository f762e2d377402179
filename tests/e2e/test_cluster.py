"""Two nodes behind the shipped balancer: each part is killed under load, and nothing is lost, doubled or unchecked."""

from __future__ import annotations

from pathlib import Path

from cluster_lib.check import play
from cluster_lib.world import Cluster


def test_every_part_may_die(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        told = list(play(cluster, people=2, calm=0.5, short=True))
    assert told[-1].endswith("in all)"), told
    assert len(told) >= 9, told
