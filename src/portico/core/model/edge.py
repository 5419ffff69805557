"""The edge: nginx itself, its listeners and its limits. Tables `[edge]` and `[tls]`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from portico.core.model.app import UserName
from portico.core.model.issuing import IssuanceSettings
from portico.core.model.units import FilePath, Kind, NginxPath, Port, Size, Table
from portico.core.model.value_text import value_text

MAX_PORT, IPV6 = 65535, 6
_BIND = Kind('an address such as "127.0.0.1", "[::1]" or "*"')


def parse_bind(text: str) -> str:
    """An address as nginx's `listen` takes it, an IPv6 one in brackets."""
    if text == "*":
        return text
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        raise ValueError(f"must be {_BIND.text}, not {value_text(text)}") from None
    return f"[{address}]" if ":" in text else str(address)


BindAddress = Annotated[
    str,
    AfterValidator(parse_bind),
    _BIND,
    WithJsonSchema({"type": "string", "pattern": r"^([0-9.]+|\[?[0-9a-fA-F:.]+\]?|\*)$"}),
]


_SOCKET = Kind('an IP address with a port such as "127.0.0.1:9464"')


def parse_socket(text: str) -> str:
    """An IP address with a port, `127.0.0.1:9464` or `[::1]:9464`."""
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        address = None
    if address is None or not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"must be {_SOCKET.text}, not {value_text(text)}")
    return f"[{address}]:{int(port)}" if address.version == IPV6 else f"{address}:{int(port)}"


MetricsAddress = Annotated[
    str,
    AfterValidator(parse_socket),
    _SOCKET,
    WithJsonSchema({"type": "string", "pattern": r"^([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]+$"}),
]


HealthPath = Annotated[
    str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$"), Kind('a path such as "/healthz"')
]


class Edge(Table):
    """Where nginx listens, and its limits."""

    http: Port | None = Field(
        None, description="Port of plain HTTP; default: 80 as root, 8080 otherwise."
    )
    https: Port | None = Field(
        None, description="Port of HTTPS; default: 443 as root, 8443 otherwise."
    )
    public_http: Port | None = Field(
        None,
        description="Port of plain HTTP that clients use, where another one is forwarded to it.",
    )
    public_https: Port | None = Field(
        None,
        description="Port of HTTPS that clients use, where another one is forwarded to it: in "
        "redirects and X-Forwarded-Port.",
    )
    bind: tuple[BindAddress, ...] | None = Field(
        None,
        description="Addresses to listen on; default: loopback, or all if a site has a public "
        "name.",
    )
    http3: bool = Field(
        False,
        description="Also serve HTTP/3, on the UDP port of https, and announce it (Alt-Svc), if "
        "the nginx has ngx_http_v3_module. A reload of nginx delays or ends connections of "
        "HTTP/3, not those of HTTP/2.",
    )
    health_path: HealthPath | None = Field(
        None,
        description="Path that answers 200 over plain HTTP for names that no site has, for the "
        "checks of a load balancer, which asks by IP address; 503 while the machine is drained. "
        "Default: none; /portico-health on a machine of a cluster.",
    )
    nginx: FilePath | None = Field(
        None, description="The nginx program to use; default: found automatically."
    )
    user: UserName | None = Field(
        None,
        description="User of nginx's workers, if Portico runs as root; default: portico-nginx, "
        "which is created if missing.",
    )
    workers: Annotated[int, Field(ge=1, le=512)] | Literal["auto"] = Field(
        "auto", description='nginx\'s worker processes; "auto" is one per core.'
    )
    worker_connections: Annotated[int, Field(ge=64, le=1_000_000)] = Field(
        16384,
        description="Maximum number of connections of a worker, including those to instances.",
    )
    shutdown_timeout: Annotated[int, Field(ge=1, le=86400)] = Field(
        60, description="How long an old worker may finish its connections after a reload."
    )
    access_log_format: Literal["json", "combined"] = Field(
        "json", description="One JSON object per line, or nginx's combined format."
    )
    log_max_size: Size = Field(50 << 20, ge=65536, description="Size at which a log is rotated.")
    log_keep: Annotated[int, Field(ge=0, le=1000)] = Field(
        5, description="Number of rotated logs to keep."
    )
    metrics: MetricsAddress | None = Field(
        None,
        description="Where the daemon serves /metrics for Prometheus, to all who can connect; "
        "default: only on its own socket.",
    )
    log_total_size: Size = Field(
        10 << 30,
        ge=1 << 20,
        description="What the files of all apps may take, besides total_size of each.",
    )
    include: NginxPath | tuple[NginxPath, ...] = Field(
        (), description="Your own files of nginx lines for the http block."
    )


class Tls(IssuanceSettings):
    """Settings for every site's HTTPS, and where certificates come from."""

    certificate: NginxPath | None = Field(
        None, description="PEM file used by sites without their own."
    )
    key: NginxPath | None = Field(None, description="PEM file of its private key.")
