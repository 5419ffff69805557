"""What the child knows: the table, the logs and how far each was read. Stored together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from portico.adapters.traffic.child.logs import Log, Position
from portico.core.counting.counts import Packed
from portico.core.counting.lines import LoggedSite, Owner, handshakes, parse, tally
from portico.core.counting.slowest import SlowestRequests
from portico.core.counting.table import SIZES, Row, Slots, Table
from portico.system.clock import SystemClock
from portico.system.files import write

SAVE_INTERVAL: Final = 10.0
OWNER_TIME: Final = 600.0
"""Seconds for which it is remembered whose port it was: a line may be read after its end."""
FOLD_INTERVAL: Final = 60.0


class Layout(msgspec.Struct):
    """What the daemon says there is."""

    sites: dict[str, LoggedSite] | None
    """By the path of the log; None where they are as before."""
    instances: list[tuple[int, float, str, str]]
    """Port, since when (Unix time), app and id of each."""


class StoredCounts(msgspec.Struct):
    at: float
    """Unix time."""
    newest: list[int]
    rows: list[tuple[Row, Packed, Slots]]
    positions: dict[str, list[Position]]
    owners: dict[int, list[Owner]]
    unreadable: int
    gaps: int
    handshakes: dict[str, int] = {}


class Counter:
    def __init__(self, file: Path, clock: SystemClock) -> None:
        """`file` is where all of this is stored."""
        self._file, self._clock = file, clock
        stored = _read(file)
        self._stored_at = stored.at if stored else clock.now()
        self.table = Table.load(stored.newest, stored.rows) if stored else Table(clock.now())
        self._owners: dict[int, list[Owner]] = stored.owners if stored else {}
        self._positions = stored.positions if stored else {}
        """Of logs that are not read now: of a site that is away it may come back."""
        self.unreadable = stored.unreadable if stored else 0
        self._gaps = stored.gaps if stored else 0
        self.handshakes = stored.handshakes if stored else {}
        """Of TLS, by site."""
        self.slowest = SlowestRequests()
        """Not stored: another child begins again."""
        self._sites: dict[str, LoggedSite] = {}
        self._logs: dict[str, Log] = {}
        now = clock.monotonic()
        known = (owner.instance for owners in self._owners.values() for owner in owners)
        self._seen: dict[str, float] = dict.fromkeys(known, now)
        """When each instance was listed last (monotonic)."""
        self._listed: list[str] = []
        self._newest_line = 0.0
        self._saved_at = self._folded_at = now
        self._is_changed = False
        self.unsaved = ""
        """Why the newest counts are only in memory."""
        if stored is None:  # so that the next child knows since when there is counting
            self.save()

    def arrange(self, layout: Layout) -> None:
        now = self._clock.monotonic()
        self._listed = [instance for _, _, _, instance in layout.instances]
        self._seen |= dict.fromkeys(self._listed, now)
        for port, since, app, instance in layout.instances:
            owners = self._owners.setdefault(port, [])
            if not any(owner.instance == instance for owner in owners):
                owners.append(Owner(since, app, instance))
                owners.sort(key=lambda owner: owner.since)
        if layout.sites is not None:
            self._sites = layout.sites
            for path in self._logs.keys() - layout.sites.keys():
                self._close(path)
            new = layout.sites.keys() - self._logs.keys()
            for path in new:
                self._logs[path] = Log(path, self._positions.pop(path, []), self._stored_at, now)
                self._logs[path].look(now)
            if new:  # so that the next child finds these files, however often they are rotated
                self.save()

    def read(self) -> Iterator[None]:
        """Count what is new, in steps that take some milliseconds each. Nothing may be arranged
        before the last one.
        """
        self.table.roll(self._clock.now())
        for path, log in tuple(self._logs.items()):
            for data in log.read(self._clock.monotonic()):
                self._count(data, self._sites[path])
                self._save_if_due()
                yield
        now = self._clock.monotonic()
        if now - self._folded_at > FOLD_INTERVAL:
            self._folded_at = now
            self._forget(now)
        self._save_if_due()

    def now(self) -> float:
        return self._clock.now()

    def backlog(self) -> tuple[int, float]:
        """Bytes, and seconds."""
        size = sum(log.backlog() for log in self._logs.values())
        return size, max(
            self._clock.now() - self._newest_line, 0.0
        ) if size and self._newest_line else 0.0

    @property
    def gaps(self) -> int:
        return self._gaps + sum(log.gaps for log in self._logs.values())

    def _save_if_due(self) -> None:
        if self._is_changed and self._clock.monotonic() - self._saved_at > SAVE_INTERVAL:
            self.save()

    def save(self) -> None:
        """Counts and positions in one file, so that nothing is counted twice."""
        newest, rows = self.table.dump()
        positions = {path: log.positions() for path, log in self._logs.items()}
        self._stored_at, self._saved_at = self._clock.now(), self._clock.monotonic()
        stored = StoredCounts(
            self._stored_at,
            newest,
            rows,
            {**self._positions, **positions},
            self._owners,
            self.unreadable,
            self.gaps,
            self.handshakes,
        )
        try:
            write(self._file, msgspec.msgpack.encode(stored))
        except OSError as error:
            self.unsaved = error.strerror or str(error)
        else:
            self.unsaved, self._is_changed = "", False

    def _count(self, data: bytes, site: LoggedSite) -> None:
        lines, unreadable = parse(data, of_stream=site.is_stream)
        found, without_time = tally(lines, site, self._owners)
        if not site.is_stream:
            self.slowest.add(site.site, lines, self._clock.now())
        if count := handshakes(lines):
            self.handshakes[site.site] = self.handshakes.get(site.site, 0) + count
        for row, when, counts in found:
            self.table.add(row, when, counts)
            self._newest_line = max(self._newest_line, when)
        self.unreadable += unreadable + without_time
        self._is_changed = True

    def _forget(self, now: float) -> None:
        """What ended a while ago: owners of ports, and rows of instances become those of slots."""
        self._seen |= dict.fromkeys(self._listed, now)
        self.slowest.forget(self._clock.now())
        self._seen = {name: at for name, at in self._seen.items() if now - at < OWNER_TIME}
        for port, owners in tuple(self._owners.items()):
            self._owners[port] = [owner for owner in owners if owner.instance in self._seen]
            if not self._owners[port]:
                del self._owners[port]
        sites = {site.site for site in self._sites.values()}
        self.table.fold(
            lambda name: name if name in self._seen else slot_of(name),
            lambda row: row.site not in sites,
        )

    def _close(self, path: str) -> None:
        log = self._logs.pop(path)
        self._positions[path] = log.positions()
        self._gaps += log.gaps
        log.close()


def slot_of(instance: str) -> str:
    """`web.2` of `web.2.7`, and of itself."""
    return ".".join(instance.split(".")[:2])


def _read(file: Path) -> StoredCounts | None:
    """None of a first start, and of a file that is damaged: counting begins again."""
    try:
        stored = msgspec.msgpack.decode(file.read_bytes(), type=StoredCounts)
    except (OSError, msgspec.MsgspecError):
        return None
    if any(tuple(map(len, slots)) != SIZES for _, _, slots in stored.rows):
        return None
    return stored
