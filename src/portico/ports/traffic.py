"""Requests, counted from the access logs of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from portico.core.model.views import TrafficView


@dataclass(frozen=True, slots=True)
class CountedSite:
    log: str
    """Path."""
    project: str
    site: str
    """Or a stream, as `stream_site` calls it."""
    apps: Mapping[str, str]
    """By route, `""` for the site itself: the app that requests are passed to."""


CountedInstance = tuple[int, float, str, str]
"""Its port, since when it may have it (Unix time), its app and its id."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the last minute; only of those that had requests."""

    sites: Mapping[str, TrafficView]
    """Of streams too, by `stream_site`."""
    apps: Mapping[str, TrafficView]
    """By qualified name."""
    instances: Mapping[str, TrafficView]
    problem: str = ""
    """A sentence, where something is not counted or not stored."""


class Traffic(Protocol):
    async def run(self) -> str:
        """Count until this is cancelled, or returns why counting has ended by itself."""

    async def arrange(
        self, sites: Sequence[CountedSite] | None, instances: Sequence[CountedInstance]
    ) -> None:
        """What there is; None for sites that are as before."""

    @property
    def is_new(self) -> bool:
        """Whether it runs and was not told yet which sites there are."""

    async def rates(self) -> Rates:
        """Those known last: a child that does not answer is not waited for. Never raises."""

    async def metrics(self) -> str:
        """For Prometheus; empty without an answer in time."""

    async def series(self, of: Mapping[str, str]) -> Mapping[str, Any] | None:
        """As `TrafficSeriesView`, of the rows with these values; None without an answer."""
