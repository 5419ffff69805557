"""Every row, in the order of the table."""

from __future__ import annotations

from typing import Final

from bench.chaos_rows import by_hand, clocks, daemons, disks, instances, many, nginx, rollouts
from bench.chaos_rows.outcome import Row

ROWS: Final[tuple[Row, ...]] = (
    *rollouts.ROWS,
    *instances.ROWS,
    *many.ROWS,
    *daemons.ROWS,
    *nginx.ROWS,
    *disks.ROWS,
    *clocks.ROWS,
    *by_hand.ROWS,
)
