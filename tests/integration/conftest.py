from __future__ import annotations

from collections.abc import Iterator

import pytest

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
