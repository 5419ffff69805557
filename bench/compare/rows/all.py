"""Every row, the most important ones first: a run that is cut short has these."""

from __future__ import annotations

from typing import Final

from bench.compare.results import Row
from bench.compare.rows import (
    control,
    deploys,
    endurance,
    growth,
    handshakes,
    keepalive,
    slow,
    websockets,
)

ROWS: Final[tuple[Row, ...]] = (
    keepalive.ROW,
    deploys.ROW,
    control.ROW,
    handshakes.ROW,
    slow.ROW,
    growth.ROW,
    websockets.ROW,
    endurance.ROW,
)
