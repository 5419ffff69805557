"""What the API may ask of the engine. The API knows this and nothing else of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from portico.core.model.views import (
    AccountsView,
    CertificateView,
    ChangeView,
    CheckView,
    DocumentRequest,
    ExportView,
    ImportView,
    LogFileView,
    PlanView,
    RenderView,
    RenewerView,
    RevisionView,
    StandaloneRequest,
    StatusView,
    TrustView,
)


class Control(Protocol):
    """Every method raises a PorticoError for what an operator can act on.

    Those that return a ChangeView have accepted the work and go on with it; follow it by id.
    """

    async def status(self) -> StatusView: ...

    async def metrics(self) -> str:
        """The same, and the certificates, in the text format of Prometheus."""

    async def check(self, request: DocumentRequest) -> CheckView: ...

    async def plan(self, request: DocumentRequest) -> PlanView: ...

    async def render(self, request: DocumentRequest | None) -> RenderView:
        """The nginx files of a document, or of what is in force."""

    async def up(self, request: DocumentRequest, who: str) -> ChangeView:
        """Check the whole document, then apply it. ConfigError or Refused changes nothing."""

    async def down(self, who: str, *, now: bool) -> ChangeView:
        """End everything. Asked again while it is under way, it waits for nothing any more."""

    async def upgrade(self, who: str) -> ChangeView:
        """Replace the nginx that runs by today's program of it, losing no request."""

    async def start(self, app: str | None, who: str) -> ChangeView:
        """Start one app, or all (None)."""

    async def stop(self, app: str | None, who: str) -> ChangeView: ...

    async def restart(self, app: str | None, who: str) -> ChangeView: ...

    async def reload(self, app: str | None, who: str) -> ChangeView: ...

    async def scale(self, app: str, instances: int, who: str) -> ChangeView: ...

    async def delete(self, app: str, who: str) -> ChangeView: ...

    async def pause(self, site: str, who: str) -> ChangeView:
        """Answer with the maintenance page until `resume`."""

    async def resume(self, site: str, who: str) -> ChangeView: ...

    async def rollback(self, revision: int | None, who: str) -> ChangeView: ...

    def history(self) -> list[RevisionView]: ...

    def changes(self) -> list[ChangeView]: ...

    def change(self, change: str) -> ChangeView: ...

    def follow(self, change: str) -> AsyncIterator[ChangeView]:
        """The change now, and again whenever it has moved, until it has ended."""

    def logs(self, app: str | None) -> list[LogFileView]: ...

    async def certificates(self) -> list[CertificateView]: ...

    async def renew(self, name: str | None, who: str, *, force: bool, dry_run: bool) -> ChangeView:
        """Renew what is due, or what is named and forced; waits for nothing that is not. A dry
        run renews on staging, whether due or not, and changes nothing that is served.
        """

    async def issue(self, name: str, who: str) -> ChangeView:
        """Obtain the certificate of a site at once, if it has none."""

    async def issue_standalone(self, request: StandaloneRequest, who: str) -> ChangeView:
        """Obtain one that no nginx serves, if there is none that is good, and keep it."""

    async def revoke(self, name: str, who: str) -> ChangeView:
        """Revoke the certificate held, and obtain another one."""

    async def forget(self, name: str, who: str) -> ChangeView:
        """Keep a certificate no more that no site needs; its files and keys go."""

    async def account(self) -> AccountsView:
        """Our accounts at authorities. Nobody is asked."""

    async def roll_over(self, who: str) -> ChangeView:
        """Give the accounts a new key. Nothing is ordered meanwhile."""

    async def deactivate(self, issuer: str, who: str) -> ChangeView:
        """Give up the account at an authority, a directory URL, for ever."""

    async def renewers(self) -> list[RenewerView]:
        """Others on this machine who renew certificates."""

    async def take_over(self, folder: str, who: str) -> ImportView:
        """Take over what certbot keeps in a folder. Failed if nothing of it can be."""

    async def hand_over(self, folder: str, who: str) -> ExportView:
        """Write every certificate into a folder as certbot keeps it."""

    async def trust(self, *, remove: bool) -> TrustView:
        """Install the local authority's root certificate, or take it away again."""
