"""What the API shows and takes of certificates, accounts and other renewers, as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from portico.core.model.certificate import KeyType
from portico.core.model.issuing import Email, Issuer
from portico.core.model.name_types import Domain
from portico.core.model.revocation import Reason
from portico.core.model.views import View


class LimitView(View):
    """How much of a rate limit of an authority is used."""

    limit: str
    of: str
    used: int
    most: int
    free_at: float
    """When the next request is possible, Unix time."""


class CertificateView(View):
    """A certificate and its next action."""

    name: str
    names: tuple[str, ...]
    issuer: str = ""
    """Directory URL of the authority that issued it; empty while there is none."""
    source: str = ""
    """Your own file that it comes from; empty for one of an authority."""
    serial: str = ""
    not_before: float | None = None
    not_after: float | None = None
    served: bool = False
    """Every listener has been seen to serve it."""
    served_since: float | None = None
    wanted: bool = True
    """A site of the file in force, or a standalone request, needs it."""
    folder: str = ""
    """Folder for other programs, in certbot's layout."""
    next: str
    """`nothing`, `ask_ari`, `issue` or `deploy`."""
    next_at: float | None = None
    why: str
    error: str = ""
    """The last error, while it is not resolved."""
    given_until: float | None = None
    """Expiry of the certificate that nginx uses, which may be the previous one."""
    warning: str = ""
    """Why an operator should act before it expires."""
    ledger: tuple[LimitView, ...] = ()


class RenewRequest(View):
    force: bool = Field(False, description="Also if it is not due.")
    dry_run: bool = Field(False, description="Use staging; nothing that is served changes.")


class RevokeRequest(View):
    reason: Reason = Field("superseded", description="Why (RFC 5280 5.3.1), in certbot's words.")
    force: bool = Field(
        False, description="Also if no other certificate can be obtained and served first."
    )


class StandaloneRequest(View):
    """A certificate for other programs, which nginx does not serve."""

    names: tuple[Domain, ...] = Field(min_length=1, description="The first one is its name.")
    issuer: Issuer | None = Field(None, description="As in the file.")
    email: Email | None = Field(None, description="As in the file.")
    ca_bundle: str | None = Field(None, description="As in the file; an absolute path.")
    key_type: KeyType | None = Field(None, description="As in the file.")
    preflight: bool = Field(True, description="As in the file.")
    http_port: int = Field(
        80, ge=1, le=65535, description="Port to answer on; the authority connects to port 80."
    )
    deploy_hook: tuple[str, ...] = Field((), description="As in the file.")
    force: bool = Field(False, description="Renew it also if it is not due.")


class AccountView(View):
    """At one authority."""

    directory: str
    url: str = ""
    """Empty while there is no account."""
    contact: tuple[str, ...] = ()
    """As in the file."""
    deactivated: bool = False
    wanted: bool = Field(description="Whether certificates may be requested from this authority.")


class AccountsView(View):
    """The accounts at authorities, which share one key."""

    thumbprint: str
    """Of the key. RFC 7638."""
    halfway: bool = Field(
        False, description="The key is being replaced, and that has not finished."
    )
    accounts: tuple[AccountView, ...]


class DeactivateRequest(View):
    issuer: Issuer = Field(description="As in the file.")


class FolderRequest(View):
    folder: str = Field(description="Absolute path.")


class ImportedLineageView(View):
    """A certificate that was imported from certbot."""

    name: str
    names: tuple[str, ...]
    settings: Mapping[str, object] = Field(
        description='What the file in force does not have yet in `[sites."NAME".tls]`.'
    )
    notes: tuple[str, ...] = ()
    next: str
    """As in CertificateView; `nothing` where the file in force has no site for it."""
    why: str


class RenewerView(View):
    """Another program on this machine that renews certificates."""

    where: str
    what: str
    remedy: str


class ImportView(View):
    """The result of importing a certbot folder."""

    taken: tuple[ImportedLineageView, ...]
    skipped: tuple[str, ...] = Field(
        description="What certbot keeps renewing, each with the reason."
    )
    notes: tuple[str, ...] = ()
    account: str = Field("", description="URL of the account that was imported.")
    renewers: tuple[RenewerView, ...] = ()


class ExportView(View):
    """The result of an export for certbot."""

    folder: str
    names: Mapping[str, str] = Field(description="certbot's name for each certificate.")
