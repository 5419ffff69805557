"""The edge: nginx itself, its listeners and its limits. Tables `[edge]` and `[tls]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from portico.core.model.app import Port
from portico.core.model.units import Size, Table

BindAddress = Annotated[str, Field(pattern=r"^([0-9.]+|\[[0-9a-fA-F:]+\]|\*)$")]


class Edge(Table):
    """nginx and its listeners. Table `[edge]`."""

    http: Port | None = Field(None, description="Port of plain HTTP; 80 as root, 8080 otherwise.")
    https: Port | None = Field(None, description="Port of HTTPS; 443 as root, 8443 otherwise.")
    bind: tuple[BindAddress, ...] | None = Field(
        None, description="Addresses to listen on; loopback alone unless a site has a public name."
    )
    nginx: str | None = Field(
        None, description="The nginx program to use; found by itself if unset."
    )
    user: str | None = Field(None, description="User of nginx's workers, where Portico is root.")
    workers: Annotated[int, Field(ge=1, le=512)] | Literal["auto"] = "auto"
    worker_connections: int = Field(16384, ge=64)
    shutdown_timeout: Annotated[int, Field(ge=1)] = Field(
        60, description="Seconds an old worker may finish what it has after a reload."
    )
    access_log_format: Literal["json", "combined"] = "json"
    log_max_size: Size = Field(50 << 20, ge=65536)
    log_keep: int = Field(5, ge=0, le=1000)
    include: str | tuple[str, ...] = Field(
        (), description="Your own files of nginx lines for the http block."
    )


class Tls(Table):
    """What holds for every site's HTTPS. Table `[tls]`."""

    certificate: str | None = Field(None, description="PEM file used by sites without their own.")
    key: str | None = None
