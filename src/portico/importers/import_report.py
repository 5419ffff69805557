"""What an importer has to say: notes about what it could not take over, and problems."""

from __future__ import annotations

from portico.errors import ConfigError, Problem


class ImportReport:
    """Collects over a whole file; `about` says what the next ones are about."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._notes: dict[str, list[str]] = {}
        self._problems: list[Problem] = []
        self._app, self._where = "", ""

    def set_subject(self, app: str = "", where: str = "") -> None:
        """`app` as the operator calls it; `where` is its place: `apps[0]`."""
        self._app, self._where = app, where

    def note(self, text: str) -> None:
        """Apps with the same note share it."""
        apps = self._notes.setdefault(text, [])
        if self._app and self._app not in apps:
            apps.append(self._app)

    def problem(self, key: str, what: str, hint: str | None = None) -> None:
        where = ".".join(filter(None, (self._where, key)))
        self._problems.append(Problem(where, what, hint))

    def refuse_if_wrong(self) -> None:
        if self._problems:
            raise ConfigError(self._source, self._problems)

    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{', '.join(apps)}: {text}" if apps else text for text, apps in self._notes.items()
        )
