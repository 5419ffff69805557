"""What `portico top` shows of a status: rows that can be filtered and sorted. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from portico.cli.formatting import duration, size, time_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portico.core.model.machine_views import MachineAppView, MachineInstanceView, MachineView
    from portico.core.model.views import AppView, InstanceView, StatusView, TrafficView

    AnyInstance = InstanceView | MachineInstanceView

SAMPLES: Final = 30
"""Rates of requests that are kept of a row for its graph."""
BARS: Final = " ▁▂▃▄▅▆▇█"
ABSENT: Final = "-"

Number = float | None


@dataclass(frozen=True, slots=True)
class Row:
    """An instance, or an app that has none."""

    project: str
    app: str
    instance: AnyInstance | None
    state: str
    of_machine: str = ""
    """Name of another machine; empty for this one."""

    @property
    def key(self) -> str:
        name = self.instance.id if self.instance else self.app
        return f"{self.machine}/{self.project}/{name}"

    @property
    def label(self) -> str:
        """Of the instance in its project, or of the app."""
        name = self.instance.id if self.instance else self.app
        return name.removeprefix(f"{self.project}/")

    @property
    def machine(self) -> str:
        return self.of_machine or (self.instance.machine if self.instance else "")

    @property
    def name(self) -> str:
        """Of the app, as every command takes it."""
        return f"{self.project}/{self.app}" if self.project else self.app

    @property
    def subject(self) -> str:
        """Of the instance, as the verb `output` takes it, or of the app."""
        return f"{self.name}.{self.instance.slot}" if self.instance else self.name

    @property
    def traffic(self) -> TrafficView | None:
        return self.instance.traffic if self.instance else None


@dataclass(frozen=True, slots=True)
class Column:
    head: str
    text: Callable[[Row], str]
    value: Callable[[Row], str | Number]
    """What it is sorted by. None stands last."""
    descends: bool = False
    """The largest comes first, unless the order is reversed."""


def _of_instance(value: Callable[[AnyInstance], Number]) -> Callable[[Row], Number]:
    return lambda row: value(row.instance) if row.instance else None


def _of_traffic(value: Callable[[TrafficView], Number]) -> Callable[[Row], Number]:
    return lambda row: value(row.traffic) if row.traffic else None


def _number(head: str, value: Callable[[Row], Number], text: Callable[[float], str]) -> Column:
    def cell(row: Row) -> str:
        number = value(row)
        return ABSENT if number is None else text(number)

    return Column(head, cell, value, descends=True)


def _name(head: str, text: Callable[[Row], str]) -> Column:
    return Column(head, text, text)


COLUMNS: Final = (
    _name("machine", lambda row: row.machine),
    _name("project", lambda row: row.project),
    _name("instance", lambda row: row.label),
    _name("state", lambda row: row.state),
    _number("cpu", _of_instance(lambda i: i.cpu_percent), lambda percent: f"{percent:.1f}%"),
    _number("memory", _of_instance(lambda i: i.memory_bytes), size),
    _number("req/s", _of_traffic(lambda t: t.requests_s), lambda rate: f"{rate:.1f}"),
    _number("p50", _of_traffic(lambda t: t.p50_s), time_text),
    _number("p95", _of_traffic(lambda t: t.p95_s), time_text),
    _number("p99", _of_traffic(lambda t: t.p99_s), time_text),
    _number("5xx", _of_traffic(lambda t: t.errors), lambda count: f"{count:.0f}"),
    _number("restarts", _of_instance(lambda i: i.restarts), lambda count: f"{count:.0f}"),
    _number("uptime", _of_instance(lambda i: i.uptime_s if i.pid else None), duration),
    _number("pid", _of_instance(lambda i: i.pid), lambda pid: f"{pid:.0f}"),
    _number("port", _of_instance(lambda i: i.port or None), lambda port: f"{port:.0f}"),
)
"""What matters most is first: a narrow terminal shows as many as fit."""
HEADS: Final = tuple(column.head for column in COLUMNS)
FIRST_COLUMN: Final = HEADS.index("instance")


def first_column(status: StatusView) -> int:
    """Machines are shown in a cluster, and projects where there are several."""
    if any(i.machine for app in status.apps for i in app.instances):
        return HEADS.index("machine")
    return HEADS.index("project") if len(status.projects) > 1 else FIRST_COLUMN


@dataclass(slots=True)
class Order:
    """The column by which rows are sorted."""

    column: int = FIRST_COLUMN
    is_reversed: bool = False

    def move(self, by: int, first: int = 0) -> None:
        """To the next column, or the one before; those before `first` are not shown."""
        count = len(COLUMNS) - first
        self.column = first + (self.column - first + by) % count

    def apply(self, rows: Iterable[Row]) -> list[Row]:
        """Sorted; rows without a value last, and equal ones in the order that they came in."""
        column, known, absent = COLUMNS[self.column], list[Row](), list[Row]()
        for row in rows:
            (absent if column.value(row) is None else known).append(row)
        known.sort(key=_sort_key(column), reverse=column.descends != self.is_reversed)
        return known + absent


def _sort_key(column: Column) -> Callable[[Row], tuple[float, str]]:
    def key(row: Row) -> tuple[float, str]:
        value = column.value(row)
        return (0.0, value) if isinstance(value, str) else (value or 0.0, "")

    return key


@dataclass(slots=True)
class Graphs:
    """The rates of requests that a row had lately, as a line of bars."""

    _rates: dict[str, deque[float]] = field(default_factory=dict)

    def add(self, rows: Iterable[Row]) -> None:
        """One sample of each row; the rows that are not among them are forgotten."""
        before, self._rates = self._rates, {}
        for row in rows:
            rates = before.get(row.key) or deque(maxlen=SAMPLES)
            rates.append(row.traffic.requests_s if row.traffic else 0.0)
            self._rates[row.key] = rates

    def of(self, row: Row) -> str:
        return bars(self._rates.get(row.key, ()))


def bars(values: Iterable[float]) -> str:
    """A bar a value, the highest as high as can be; blank where it is 0."""
    numbers = list(values)
    most = max(numbers, default=0.0)
    last = len(BARS) - 1
    return "".join(
        BARS[min(last, max(1, round(last * each / most)))] if each > 0 else BARS[0]
        for each in numbers
    )


def rows_of(status: StatusView, machines: Sequence[MachineView] = ()) -> Iterator[Row]:
    for app in status.apps:
        yield from _rows(app)
    for machine in machines:
        for each in machine.status.apps if machine.status else ():
            if each.instances:
                yield from _rows(each, machine.name)


def _rows(app: AppView | MachineAppView, machine: str = "") -> Iterator[Row]:
    if not app.instances:
        yield Row(app.project, app.name, None, app.state or ABSENT, machine)
    for instance in app.instances:
        yield Row(app.project, app.name, instance, instance.state or ABSENT, machine)


def matches(row: Row, words: str) -> bool:
    """Whether each of the words is part of its machine, project, app, instance or state."""
    text = f"{row.key} {row.app} {row.state}".lower()
    return all(word in text for word in words.lower().split())
