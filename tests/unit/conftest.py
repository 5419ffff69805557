from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.simulation import Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        yield machine
