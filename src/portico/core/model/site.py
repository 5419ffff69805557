"""A site: domain names with a listener, TLS and routes. Tables `[sites."NAME"]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from portico.core.model.names import AppName, Domain
from portico.core.model.units import Duration, Rate, Size, Table

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Network = Annotated[str, Field(pattern=r"^(all|unix:|[0-9a-fA-F.:]+(/\d{1,3})?)$")]
ErrorCode = Annotated[str, Field(pattern=r"^[3-5]\d\d$")]


class RateLimit(Table):
    """nginx limit_req: how many requests one client may send."""

    rate: Rate
    burst: int = Field(0, ge=0)
    nodelay: bool = False
    per: Literal["address", "site"] = "address"
    status: int = Field(429, ge=400, le=599)


class ConnectionLimit(Table):
    """nginx limit_conn: how many connections one client may hold."""

    connections: int = Field(ge=1)
    per: Literal["address", "site"] = "address"
    status: int = Field(429, ge=400, le=599)


class BasicAuth(Table):
    """HTTP basic authentication; passwords are hashes as `htpasswd` writes them."""

    realm: str = Field("restricted", pattern=r'^[^\x00-\x1f\x7f"\\$]*$')
    users: dict[
        Annotated[str, Field(pattern=r"^[^:\s\x00-\x1f]+$")],
        Annotated[str, Field(pattern=r"^[!-9;-~]+$")],
    ] = Field(default_factory=dict, description="Name to password hash.")
    file: str | None = Field(None, description="An htpasswd file, instead of users.")


class RealIp(Table):
    """The client's address when another proxy stands in front (nginx realip)."""

    trust: tuple[Network, ...] = Field(description="Networks of the proxies to believe.")
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "X-Forwarded-For"
    recursive: bool = True
    proxy_protocol: bool = Field(
        False, description="The proxy speaks the PROXY protocol to this site."
    )


class Hsts(Table):
    max_age: Duration = 31536000.0
    include_subdomains: bool = False
    preload: bool = False


class Maintenance(Table):
    """Answer 503 with a page instead of passing requests on."""

    page: str | None = Field(None, description="HTML file to answer with.")
    retry_after: Duration = 120.0
    allow: tuple[Network, ...] = Field((), description="Networks that still reach the site.")


class Redirect(Table):
    to: Annotated[str, Field(pattern=r"^(https?://|/)[^\x00-\x20\x7f\"\\]*$")] = Field(
        description="URL or path; with keep_path the request's path and query are added."
    )
    status: Literal[301, 302, 303, 307, 308] = 308
    keep_path: bool = False


class Folder(Table):
    """A folder of static files."""

    path: str
    index: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "index.html"
    spa: bool = Field(False, description="Answer the index for every path that is no file.")
    listing: bool = Field(False, description="Show the files of a folder without an index.")
    expires: Duration | None = Field(None, description="How long browsers may keep a file.")


class Handling(Table):
    """How requests are treated; of a site, or of one route only."""

    client_max_body_size: Size | None = Field(
        None, description="Largest request body; 0 is no limit. 1m if unset."
    )
    proxy_connect_timeout: Duration | None = Field(None, description="5s if unset.")
    proxy_read_timeout: Duration | None = Field(
        None, description="Between two reads; 60s if unset."
    )
    proxy_send_timeout: Duration | None = Field(
        None, description="Between two writes; 60s if unset."
    )
    websocket: bool | None = Field(None, description="Pass protocol upgrades on; true if unset.")
    grpc: bool | None = Field(None, description="Speak gRPC to the app.")
    buffering: bool | None = Field(
        None, description="false passes every answer on byte by byte, for streams."
    )
    request_buffering: bool | None = Field(
        None, description="false passes uploads on while they arrive."
    )
    gzip: bool | None = Field(None, description="Compress text; true if unset.")
    headers: dict[HeaderName, HeaderValue] | None = Field(
        None, description="Headers added to every answer."
    )
    request_headers: dict[HeaderName, HeaderValue] | None = Field(
        None, description="Headers set on requests to the app; an empty value removes one."
    )
    rate_limit: Rate | RateLimit | None = None
    connection_limit: Annotated[int, Field(ge=1)] | ConnectionLimit | None = None
    basic_auth: BasicAuth | None = None
    allow: tuple[Network, ...] = Field(
        (), description="Networks that may enter; all others may not."
    )
    deny: tuple[Network, ...] = Field((), description="Networks that may not enter.")


class Target(Table):
    """Where requests go: exactly one of these is set."""

    app: AppName | None = None
    upstream: AppName | None = None
    folder: str | Folder | None = None
    redirect: str | Redirect | None = None


class Route(Handling, Target):
    """One path of a site. Its key is nginx's: `/api`, `= /exact`, `~ regex`."""

    strip_prefix: bool = Field(False, description="Take the route's path off before passing on.")


class Site(Handling, Target):
    """Domain names and where their requests go. The table's name is the first domain."""

    aliases: tuple[Domain, ...] = Field((), description="Further names of the same site.")
    routes: dict[str, Route | str] = Field(
        default_factory=dict, description="Path to a table, or to the name of an app or upstream."
    )
    certificate: str | None = Field(
        None, description="PEM file of your own certificate with its chain."
    )
    key: str | None = Field(None, description="PEM file of its private key.")
    https: bool = Field(True, description="false serves plain HTTP only.")
    redirect_http: bool = Field(True, description="Answer http with a redirect to https.")
    default: bool = Field(False, description="Also answer names that no site has.")
    hsts: bool | Hsts = False
    real_ip: RealIp | None = None
    maintenance: bool | Maintenance = False
    error_pages: dict[ErrorCode, str] = Field(
        default_factory=dict, description="Status code to HTML file."
    )
    access_log: bool = True
    include: str | tuple[str, ...] = Field(
        (), description="Your own files of nginx lines for this site's server block."
    )
