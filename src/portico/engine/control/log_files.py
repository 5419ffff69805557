"""Where the logs of instances and of nginx are: `portico logs`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from portico.core.config.references import names_served
from portico.core.counting.table import stream_site
from portico.core.model.views import LogFileView
from portico.core.render.access_log import access_log_path, error_log_path, stream_log_name
from portico.core.render.scope import file_name
from portico.engine.engine import Engine
from portico.ports.files import Logs


class LogFiles:
    def __init__(self, engine: Engine, logs: Logs, home: str) -> None:
        self._intent, self._observed, self._clock = engine.intent, engine.observed, engine.clock
        self._logs, self._home = logs, home

    def of_app(self, app: str) -> list[LogFileView]:
        """Those that its instances write."""
        spec = self._intent.versions.target(app)
        mine = sorted(
            (i for i in self._observed.instances.values() if i.app == app),
            key=lambda i: (i.slot, -i.spawned),  # of two in a slot the newer one
        )
        views: dict[str, LogFileView] = {}
        for i in mine:
            name, files = f"{app}.{i.slot}", self._logs.files(spec, i.slot)
            started = self._clock.now() - (self._clock.monotonic() - i.spawned)
            streams: tuple[tuple[Literal["stdout", "stderr"], str], ...] = (
                ("stdout", files.stdout),
                ("stderr", files.stderr),
            )
            for stream, path in streams:
                view = LogFileView(
                    app=app,
                    instance=name,
                    stream=stream,
                    path=path,
                    user=spec.app.user or "",
                    started=started if i.spawned else 0.0,
                    offset=self._logs.offset(path),
                )
                if views.setdefault(path, view).instance != name:  # whose lines are whose?
                    views[path] = views[path].model_copy(update={"offset": 0, "started": 0.0})
        return list(views.values())

    def of_nginx(self, apps: Collection[str] | None) -> list[LogFileView]:
        """The error log, and those of the sites and streams, or of those that pass requests to
        any of these apps.
        """
        desired, home = self._intent.desired, self._home
        names = [
            name
            for name, site in desired.sites.items()
            if site.access_log
            and (apps is None or names_served([site], desired.upstreams).intersection(apps))
        ]
        streams = [
            key
            for key, each in desired.streams.items()
            if each.stream.access_log
            and (apps is None or names_served([each.stream], desired.upstreams) & {*apps})
        ]
        error = LogFileView(app="", instance="", stream="error", path=error_log_path(home))
        return [
            error,
            *(_access_log(home, name, file_name(name)) for name in names),
            *(_access_log(home, stream_site(key), stream_log_name(key)) for key in streams),
        ]


def _access_log(home: str, site: str, file: str) -> LogFileView:
    path = access_log_path(home, file)
    return LogFileView(app="", instance="", stream="access", path=path, site=site)
