"""What is counted of requests, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
