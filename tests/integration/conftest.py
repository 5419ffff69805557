from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.neighbours import Neighbour, make_neighbour
from tests.stack import Stack


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A whole Portico; the test fails too if `portico down` leaves anything running."""
    stack = Stack()
    try:
        yield stack
    finally:
        left = stack.close()
    assert left == []


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    """Another user of this machine, with nothing of ours."""
    neighbour = make_neighbour()
    try:
        yield neighbour
    finally:
        neighbour.close()
