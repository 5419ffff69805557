"""The daemon's API as methods. Fast to import: no pydantic, no HTTP library.

Answers are JSON, read by attribute as `core.model.views` names them; only type checkers import
those models here. The daemon has validated what it sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import quote

from portico.client import wire
from portico.errors import (
    ConfigError,
    Failed,
    NotFound,
    PorticoError,
    Problem,
    Refused,
    Unreachable,
)

if TYPE_CHECKING:
    from portico.core.model.views import (
        AccountsView,
        CertificateView,
        ChangeView,
        CheckView,
        ErrorView,
        ExportView,
        ImportView,
        LogFileView,
        PlanView,
        RenderView,
        RenewerView,
        RevisionView,
        StatusView,
        TrustView,
        VersionView,
    )

SOON: Final = 30.0  # seconds for what the daemon knows
LATER: Final = 180.0  # seconds for what it must work out first: reading and testing a whole file
AT_LENGTH: Final = 1800.0
"""Seconds for what takes a while for each of thousands of certificates."""
SILENCE: Final = 60.0  # a followed change may say nothing for so long before the daemon is asked
_ERRORS: Final = 400
_NOT_FOUND = 404

Action = Literal["start", "stop", "restart", "reload"]


@dataclass(frozen=True, slots=True)
class Document:
    """A file for the daemon to look at or to apply: views.DocumentRequest."""

    source: str
    folder: str
    table: Mapping[str, object]
    environ: Mapping[str, str]


class Answer(dict[str, Any]):
    """A JSON object whose members are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise Failed(f"the daemon is of another version: it says no {name!r}") from None


class Client:
    """Raises what the daemon raised, as the same PorticoError, or Unreachable."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def answers(self) -> bool:
        """Whether a daemon listens. Unreachable where that is another user's."""
        return wire.reachable(self._socket)

    def version(self) -> VersionView:
        return cast("VersionView", self._ask("GET", "/v1/version"))

    def status(self) -> StatusView:
        return cast("StatusView", self._ask("GET", "/v1/status"))

    def metrics(self) -> str:
        """As Prometheus reads it."""
        return self._asked("GET", "/v1/metrics").decode()

    def history(self) -> list[RevisionView]:
        return cast("list[RevisionView]", self._ask("GET", "/v1/history"))

    def changes(self) -> list[ChangeView]:
        return cast("list[ChangeView]", self._ask("GET", "/v1/changes"))

    def change(self, change: str) -> ChangeView:
        return cast("ChangeView", self._ask("GET", f"/v1/changes/{quote(change, safe='')}"))

    def logs(self, app: str | None) -> list[LogFileView]:
        query = f"?app={quote(app, safe='')}" if app else ""
        return cast("list[LogFileView]", self._ask("GET", f"/v1/logs{query}"))

    def check(self, document: Document) -> CheckView:
        return cast("CheckView", self._ask("POST", "/v1/check", asdict(document), LATER))

    def plan(self, document: Document) -> PlanView:
        return cast("PlanView", self._ask("POST", "/v1/plan", asdict(document), LATER))

    def render(self, document: Document | None) -> RenderView:
        body = {"document": asdict(document) if document else None}
        return cast("RenderView", self._ask("POST", "/v1/render", body, LATER))

    def trust(self, *, remove: bool) -> TrustView:
        return cast("TrustView", self._ask("POST", "/v1/trust", {"remove": remove}, LATER))

    def up(self, document: Document) -> ChangeView:
        return self._change("POST", "/v1/up", asdict(document))

    def down(self, *, now: bool) -> ChangeView:
        return self._change("POST", "/v1/down", {"now": now})

    def upgrade(self) -> ChangeView:
        """Of nginx; `client.upgrading` replaces the daemon."""
        return self._change("POST", "/v1/upgrade")

    def act(self, action: Action, app: str | None) -> ChangeView:
        """Do it to one app, or to all (None)."""
        return self._change("POST", f"/v1/apps/{_part(app) if app else ''}{action}")

    def scale(self, app: str, instances: int) -> ChangeView:
        return self._change("POST", f"/v1/apps/{_part(app)}scale", {"instances": instances})

    def delete(self, app: str) -> ChangeView:
        return self._change("DELETE", f"/v1/apps/{quote(app, safe='')}")

    def certificates(self) -> list[CertificateView]:
        return cast("list[CertificateView]", self._ask("GET", "/v1/certificates"))

    def renew(self, name: str | None, *, force: bool, dry_run: bool = False) -> ChangeView:
        target = f"/v1/certificates/{_part(name) if name else ''}renew"
        return self._change("POST", target, {"force": force, "dry_run": dry_run})

    def issue(self, name: str) -> ChangeView:
        return self._change("POST", f"/v1/certificates/{_part(name)}issue")

    def issue_standalone(self, request: Mapping[str, object]) -> ChangeView:
        """views.StandaloneRequest."""
        return self._change("POST", "/v1/certificates/issue", request)

    def revoke(self, name: str) -> ChangeView:
        return self._change("POST", f"/v1/certificates/{_part(name)}revoke")

    def forget(self, certificate: str) -> ChangeView:
        return self._change("DELETE", f"/v1/certificates/{quote(certificate, safe='')}")

    def account(self) -> AccountsView:
        return cast("AccountsView", self._ask("GET", "/v1/account"))

    def roll_over(self) -> ChangeView:
        return self._change("POST", "/v1/account/rollover")

    def deactivate(self, issuer: str) -> ChangeView:
        return self._change("POST", "/v1/account/deactivate", {"issuer": issuer})

    def renewers(self) -> list[RenewerView]:
        return cast("list[RenewerView]", self._ask("GET", "/v1/certificates/renewers"))

    def take_over(self, folder: str) -> ImportView:
        """Of certbot."""
        target, body = "/v1/certificates/import", {"folder": folder}
        return cast("ImportView", self._ask("POST", target, body, AT_LENGTH))

    def hand_over(self, folder: str) -> ExportView:
        """To certbot."""
        target, body = "/v1/certificates/export", {"folder": folder}
        return cast("ExportView", self._ask("POST", target, body, AT_LENGTH))

    def pause(self, site: str) -> ChangeView:
        return self._change("POST", f"/v1/sites/{_part(site)}pause")

    def resume(self, site: str) -> ChangeView:
        return self._change("POST", f"/v1/sites/{_part(site)}resume")

    def rollback(self, revision: int | None) -> ChangeView:
        return self._change("POST", "/v1/rollback", {"revision": revision})

    def follow(self, change: str, idle: Callable[[], None] = lambda: None) -> Iterator[ChangeView]:
        """The change now, and again whenever it has moved; the last one has ended.

        `idle` is called every `wire.TICK` seconds while nothing moves.
        """
        target = f"/v1/changes/{_part(change)}follow"
        watch = _Watch(self, idle)
        try:
            for line in wire.stream(self._socket, target, watch, seconds=SOON):
                watch.heard()
                view = cast("ChangeView", _read(line))
                yield view
                if view.state != "doing":
                    return
        except wire.NotOk as error:
            raise _error(error.status, error.body) from None
        raise Unreachable(f"the daemon left before change {change} had ended")

    def _change(self, method: str, target: str, body: object = None) -> ChangeView:
        return cast("ChangeView", self._ask(method, target, body, LATER))

    def _ask(self, method: str, target: str, body: object = None, seconds: float = SOON) -> object:
        return _read(self._asked(method, target, body, seconds))

    def _asked(
        self, method: str, target: str, body: object = None, seconds: float = SOON
    ) -> bytes:
        # TOML has dates, and JSON has none: the daemon then says which key must be what
        raw = b"" if body is None else json.dumps(body, default=str).encode()
        status, answer = wire.ask(self._socket, method, target, raw, seconds=seconds)
        if status >= _ERRORS:
            raise _error(status, answer)
        return answer


class _Watch:
    """Called while a stream is silent; makes sure that the daemon still lives."""

    def __init__(self, client: Client, idle: Callable[[], None]) -> None:
        self._client, self._idle, self._ticks = client, idle, 0

    def __call__(self) -> None:
        self._idle()
        self._ticks += 1
        if self._ticks * wire.TICK >= SILENCE:
            self._client.version()
            self.heard()

    def heard(self) -> None:
        self._ticks = 0


def _part(name: str) -> str:
    return quote(name, safe="") + "/"


def _read(raw: bytes) -> object:
    try:
        return json.loads(raw, object_hook=Answer)
    except ValueError:
        raise Failed(f"the daemon's answer is no JSON: {raw[:80]!r}") from None


def _error(status: int, raw: bytes) -> PorticoError:
    """The error that the daemon raised, as it was."""
    view = cast("ErrorView", _read(raw))
    if view.source:
        problems = [Problem(each.where, each.what, each.hint) for each in view.problems]
        return ConfigError(view.source, problems)
    if view.exit_code == Refused.exit_code:
        return NotFound(view.error) if status == _NOT_FOUND else Refused(view.error)
    return Failed(view.error)
