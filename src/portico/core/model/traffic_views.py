"""What the API shows of requests over time, as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from portico.core.model.views import View


class TotalsView(View):
    """Requests of some time, as nginx's access logs have them. Times are in seconds."""

    requests: int
    codes: Mapping[str, int]
    """By class, `2xx`; `other` for codes that HTTP does not have."""
    bytes_in: int
    """From clients, with headers."""
    bytes_out: int
    retries: int
    """Tries of these requests after the first."""
    failed_tries: int
    """Tries that failed here, so that another one followed."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    upstream_p50_s: float | None
    upstream_p95_s: float | None
    upstream_p99_s: float | None


class MinuteView(TotalsView):
    time: int
    """When it began, Unix time."""
    bands: tuple[int, ...] = Field(
        (),
        description="Requests by response time: up to 1, 2, 4 ms and so on to 32.768 s, and more.",
    )


class RouteTrafficView(TotalsView):
    """The requests of a route in the last ten minutes."""

    route: str
    """Its path as the file has it; empty for what no route takes."""
    app: str
    """Empty for what nginx answers itself."""


class SlowPathView(View):
    """A path among the slowest requests of a site in the last hour."""

    method: str
    path: str = Field(
        description="Without query; what looks like a number or a key in it is `:id`."
    )
    slowest_s: float = Field(allow_inf_nan=False)
    at: float = Field(allow_inf_nan=False)
    """When the slowest one ended, Unix time."""
    status: int
    """Of the slowest one."""
    count: int
    """How many of the slowest requests it has."""


class TrafficSeriesView(View):
    """The requests of some rows, in sum. What is empty was not asked for."""

    project: str = ""
    machine: str = ""
    site: str = ""
    route: str = ""
    app: str = ""
    instance: str = ""
    minute: TotalsView
    ten_minutes: TotalsView
    day: TotalsView
    minutes: tuple[MinuteView, ...]
    """Of the last hour, oldest first; the last one is under way."""
    routes: tuple[RouteTrafficView, ...] = Field((), description="Only of a site.")
    slowest: tuple[SlowPathView, ...] = Field((), description="Only of a site.")
