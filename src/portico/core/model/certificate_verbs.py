"""What can be asked about certificates, accounts and the local authority: one row a verb.

As in `verbs.py`. The methods are in `engine/certificates/operations.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from portico.core.model.verb import CERTIFICATES_TIMEOUT, QUICK_TIMEOUT, Verb

if TYPE_CHECKING:
    from portico.core.model.certificate_views import (
        AccountsView,
        CertificateView,
        ExportView,
        ImportView,
        RenewerView,
    )
    from portico.core.model.views import ChangeView, TrustView

CERTIFICATES: Final[Verb[Sequence[CertificateView]]] = Verb(
    "certificates",
    "GET",
    "/v1/certificates",
    "Show the certificates from authorities and the next action for each.",
    "CertificateView",
    "list",
    seconds=QUICK_TIMEOUT,
)
RENEW: Final[Verb[ChangeView]] = Verb(
    "renew",
    "POST",
    "/v1/certificates/[{name}/]renew",
    "Renew a certificate, or every one that is due.",
    request="RenewRequest",
)
ISSUE: Final[Verb[ChangeView]] = Verb(
    "issue",
    "POST",
    "/v1/certificates/{name}/issue",
    "Obtain the certificate of a site now, if it has none.",
)
ISSUE_STANDALONE: Final[Verb[ChangeView]] = Verb(
    "issue_standalone",
    "POST",
    "/v1/certificates/issue",
    "Obtain and renew a certificate that nginx does not serve.",
    request="StandaloneRequest",
)
REVOKE: Final[Verb[ChangeView]] = Verb(
    "revoke",
    "POST",
    "/v1/certificates/{name}/revoke",
    "Obtain and serve a new certificate, and revoke the previous one.",
    request="RevokeRequest",
)
FORGET: Final[Verb[ChangeView]] = Verb(
    "forget",
    "DELETE",
    "/v1/certificates/{name}",
    "Delete a certificate that no site uses, with its keys.",
)
RENEWERS: Final[Verb[Sequence[RenewerView]]] = Verb(
    "renewers",
    "GET",
    "/v1/certificates/renewers",
    "Show other programs on this machine that renew certificates.",
    "RenewerView",
    "list",
    seconds=QUICK_TIMEOUT,
)
IMPORT: Final[Verb[ImportView]] = Verb(
    "take_over",
    "POST",
    "/v1/certificates/import",
    "Import the certificates of a certbot folder.",
    "ImportView",
    request="FolderRequest",
    seconds=CERTIFICATES_TIMEOUT,
)
EXPORT: Final[Verb[ExportView]] = Verb(
    "hand_over",
    "POST",
    "/v1/certificates/export",
    "Export every certificate into a folder for certbot.",
    "ExportView",
    request="FolderRequest",
    seconds=CERTIFICATES_TIMEOUT,
)
ACCOUNT: Final[Verb[AccountsView]] = Verb(
    "account",
    "GET",
    "/v1/account",
    "Show the accounts at authorities, as stored here.",
    "AccountsView",
    seconds=QUICK_TIMEOUT,
)
ROLL_OVER: Final[Verb[ChangeView]] = Verb(
    "roll_over",
    "POST",
    "/v1/account/rollover",
    "Give the accounts at all authorities a new key.",
)
DEACTIVATE: Final[Verb[ChangeView]] = Verb(
    "deactivate",
    "POST",
    "/v1/account/deactivate",
    "Deactivate the account at an authority permanently.",
    request="DeactivateRequest",
)
TRUST: Final[Verb[TrustView]] = Verb(
    "trust",
    "POST",
    "/v1/trust",
    "Make this machine trust the local authority.",
    "TrustView",
    request="TrustRequest",
)

CERTIFICATE_VERBS: Final[tuple[Verb[Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Verb)
)
