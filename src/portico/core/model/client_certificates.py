"""Certificates that clients show (mutual TLS). Table `client_certificates` of a site."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from portico.core.model.units import NginxPath, Table


class ClientCertificates(Table):
    """Certificates that clients have to show, or may (nginx ssl_verify_client). Apps get what
    nginx found in X-Client-Verify (SUCCESS or NONE), X-Client-Subject, X-Client-Fingerprint
    (SHA-1) and X-Client-Cert (PEM, URL-encoded), which no client can set.
    """

    authority: NginxPath = Field(
        description="PEM file of the authorities that sign them (nginx ssl_client_certificate)."
    )
    verify: Literal["on", "optional"] = Field(
        "on",
        description="on: a client needs one; optional: only where a route requires it. One that "
        "is not valid is always refused with 400.",
    )
    depth: Annotated[int, Field(ge=0, le=10)] = Field(
        1, description="How many authorities may stand between (nginx ssl_verify_depth)."
    )
    crl: NginxPath | None = Field(
        None, description="PEM file of revoked certificates (nginx ssl_crl)."
    )
