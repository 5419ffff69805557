"""Requests, counted from the access logs of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from portico.core.model.traffic import CountedInstance, CountedSite, Rates


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
