"""When the logs of programs have to be looked at again, and which of them fills a disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MIN_INTERVAL: Final = 0.5
MAX_INTERVAL: Final = 2.0
"""Seconds between two looks: a program may begin to write just after one."""
MIN_COMPRESSED_TIME: Final = 5.0
"""Seconds. A log that is full sooner is not compressed: that takes longer than to rotate it."""
MIN_LIMIT: Final = 4096
MIN_FLOOD_SIZE: Final = 1 << 20
"""Bytes; who has written less between two looks does not fill a disk."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a log has grown between two looks."""

    path: str
    instance: str
    bytes_written: int
    """Bytes."""
    seconds: float
    max_size: int
    keep: int

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes_written / self.seconds if self.seconds > 0 else 0.0


def bytes_written(before: int, now: int) -> int:
    """Bytes, from the sizes at two looks: a file that has become smaller was emptied meanwhile."""
    return now - before if now >= before else now


def check_interval(logs: Iterable[Growth]) -> float:
    """Seconds until the first of them has grown by its limit, if it goes on as it did."""
    times = [log.max_size / log.rate for log in logs if log.rate > 0]
    return max(MIN_INTERVAL, min([MAX_INTERVAL, *times]))


def flood_warning(log: Growth) -> str:
    """What to say of one that takes more than its limits grant before anybody can look."""
    if log.rate * MIN_INTERVAL <= log.max_size * (log.keep + 1):
        return ""
    return (
        f"{log.instance} writes to {log.path} faster than it can be rotated; it may fill the disk"
    )


def largest_writer(logs: Iterable[Growth]) -> str:
    """Who has written most; empty where nobody has written much."""
    most = max(logs, key=lambda log: log.bytes_written, default=None)
    return (
        f"{most.instance} writes most, to {most.path}"
        if most and most.bytes_written >= MIN_FLOOD_SIZE
        else ""
    )


def is_calm(log: Growth) -> bool:
    """Whether there is time to compress what it has left behind."""
    return log.rate * MIN_COMPRESSED_TIME <= log.max_size


def share_of(total: int, files: int, *, max_size: int, keep: int) -> tuple[int, int]:
    """`max_size` and `keep` of each of so many files that may take `total` bytes together."""
    share = total // max(files, 1)
    if share >= 2 * max_size:
        return max_size, min(keep, share // max_size - 1)
    return max(MIN_LIMIT, min(max_size, share // 2)), min(keep, 1)
