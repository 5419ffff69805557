from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.neighbours import Neighbour, make_neighbour
from tests.network import Network
from tests.stack import Stack

STACK, SLOW = 8, 30
"""About so many times longer than others a test takes with a whole stack, or marked so."""
FIRST = (
    "test_shared_changes",
    "test_shared_store",
    "test_deploys_interrupted",
    "test_dashboard_browser",
    "test_cluster",
    "test_upgrades",
    "test_switch",
    "test_bare_debian",
    "test_hostile_neighbours",
    "test_liveness",
    "test_acme_interrupted",
    "test_scheduled_runs",
    "test_site_passing",
    "test_crossing",
    "test_joining",
    "test_cluster_certificates",
    "test_endings",
    "test_certs_standalone",
    "test_repeated_requests",
    "test_bundle",
    "test_certificates_of_all_kinds",
    "test_full_disk",
    "test_affinity",
    "test_guides",
    "test_slow_start",
    "test_certificates_of_names",
    "test_cluster_neighbours",
    "test_cluster_seen",
    "test_etcd",
    "test_worn_instances",
    "test_cluster_crossing",
    "test_chaos",
    "test_clone",
    "test_deaths",
    "test_detached_programs",
    "test_projects",
)
"""Files that take longest on a quiet machine. The others follow by the weights of their tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that none is begun when all others are through."""
    weights = Counter[Path]()
    for item in items:
        weights[item.path] += _weight(item)
    here = {file.stem for file in Path(__file__).parent.glob("test_*.py")}
    assert here.issuperset(FIRST), f"no files any more: {set(FIRST) - here}"
    first = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda each: (first.get(each.path.stem, len(FIRST)), -weights[each.path]))


def _weight(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return SLOW
    return STACK if "stack" in getattr(item, "fixturenames", ()) else 1


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A whole Portico; the test fails too if `portico down` leaves anything running."""
    with Stack() as stack:
        yield stack


@pytest.fixture
def network() -> Iterator[Network | None]:
    """Of a test's own, for fixed ports: whoever has run the README's first command has 80 and 443
    of the machine. Without root's rights there is none.
    """
    if os.geteuid() != 0:
        yield None
        return
    with closing(Network()) as network, network.entered():
        yield network


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    """Another user of this machine, with nothing of ours."""
    neighbour = make_neighbour()
    try:
        yield neighbour
    finally:
        neighbour.close()
