"""A site: domain names with a listener, TLS and routes. Tables `[sites."NAME"]`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from portico.core.model.auth import Auth
from portico.core.model.cache import Cache
from portico.core.model.client_certificates import ClientCertificates
from portico.core.model.headers import HeaderName, HeaderValue
from portico.core.model.issuing import IssuanceSettings
from portico.core.model.match import Match
from portico.core.model.mirror import Mirror
from portico.core.model.name_types import AppName, Domain
from portico.core.model.units import Count, Duration, Kind, NginxPath, Rate, Size, Table
from portico.core.model.value_text import value_text
from portico.core.model.wait import Wait

ErrorCode = Annotated[
    str,
    Field(pattern=r"^(3[0-9][0-9]|4[0-8][0-9]|49[0-8]|5[0-9][0-9])$"),
    Kind("a status code from 300 to 599, and not 499"),
]
RedirectTo = Annotated[
    str,
    Field(pattern=r"^(https?://|/)[^\x00-\x20\x7f\"\\]*$"),
    Kind('a URL or a path, such as "https://example.com" or "/start"'),
]
ENCODERS: Final = {"brotli": "ngx_brotli", "zstd": "zstd-nginx-module"}
"""The keys that compress answers with a module which is not nginx's own, and its name."""
_NETWORK = Kind('an address or network such as "10.0.0.0/8", "::1" or "all"')


def parse_network(text: str) -> str:
    """What nginx's `allow`, `deny` and `set_real_ip_from` take; bits that do not count are 0."""
    if text in {"all", "unix:"}:
        return text
    try:
        network = str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"must be {_NETWORK.text}, not {value_text(text)}") from None
    return network if "/" in text else network.rpartition("/")[0]


Network = Annotated[
    str,
    AfterValidator(parse_network),
    _NETWORK,
    WithJsonSchema({"type": "string", "pattern": r"^(all|unix:|[0-9a-fA-F.:]+(/[0-9]{1,3})?)$"}),
]
RouteKey = Annotated[
    str,
    Kind("a route"),  # its rules are told with those of sites
    WithJsonSchema({"type": "string", "pattern": r"^(~\*? \S.*|((=|\^~) )?/.*)$"}),
]
ErrorStatus = Annotated[int, Field(ge=300, le=599)]
LimitStatus = Annotated[int, Field(ge=400, le=599)]
Connections = Annotated[int, Field(ge=1, le=65535)]


class RateLimit(Table):
    """Request rate per client (nginx limit_req)."""

    rate: Rate = Field(description="Requests per second or minute.")
    burst: Count = Field(0, description="How many excess requests may wait.")
    nodelay: bool = Field(False, description="Pass a burst on without delay.")
    per: Literal["address", "site"] = Field(
        "address", description="Count by client address, or for the whole site."
    )
    status: LimitStatus = Field(429, description="Status code for requests over the limit.")


class ConnectionLimit(Table):
    """Connections per client (nginx limit_conn)."""

    connections: Connections = Field(
        description="Maximum number of connections, or HTTP/2 requests."
    )
    per: Literal["address", "site"] = Field(
        "address", description="Count by client address, or for the whole site."
    )
    status: LimitStatus = Field(429, description="Status code for connections over the limit.")


class BasicAuth(Table):
    """HTTP basic authentication with password hashes as written by `htpasswd`."""

    realm: Annotated[
        str, Field(pattern=r'^[^\x00-\x1f\x7f"\\$]*$'), Kind('one line of text without ", \\ or $')
    ] = Field("restricted", description="The realm that a browser shows with the password prompt.")
    users: dict[
        Annotated[
            str,
            Field(pattern=r"^[^:\s\x00-\x1f]+$"),
            Kind("the name of a user, without spaces and colons"),
        ],
        Annotated[
            str,
            Field(pattern=r"^[!-9;-~]+$"),
            Kind("a password hash as written by htpasswd", secret=True),
        ],
    ] = Field(default_factory=dict, description="User names and password hashes.")
    file: NginxPath | None = Field(None, description="An htpasswd file, instead of users.")


class RealIp(Table):
    """The client's address behind another proxy (nginx realip)."""

    trust: tuple[Network, ...] = Field(description="Networks of trusted proxies.")
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$"), Kind("the name of a header")] = (
        Field("X-Forwarded-For", description="The header with the client's address.")
    )
    recursive: bool = Field(
        True, description="Use the last address in the header that is not of a trusted proxy."
    )
    proxy_protocol: bool = Field(
        False, description="The proxy uses the PROXY protocol for this site."
    )


class Hsts(Table):
    """Tells browsers to use HTTPS only (RFC 6797)."""

    max_age: Duration = Field(31536000.0, description="How long browsers remember it.")
    include_subdomains: bool = Field(False, description="Applies to all subdomains, too.")
    preload: bool = Field(False, description="Consent to the preload lists of browsers.")


class Maintenance(Table):
    """Answer 503 with a page instead of passing requests on."""

    on: bool = Field(True, description="Serve it now; if false, only with `portico pause`.")
    page: NginxPath | None = Field(None, description="HTML file to serve.")
    retry_after: Duration = Field(120.0, description="When clients may retry (Retry-After).")
    allow: tuple[Network, ...] = Field((), description="Networks that can still reach the site.")


class Redirect(Table):
    """Redirect the client."""

    to: RedirectTo = Field(
        description="URL or path; with keep_path the request's path and query are added. In a "
        "route by regex `$1` to `$9` and `$name` are what it captures of the path, as the client "
        "sent it; `$$` is a dollar sign."
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        308, description="301 and 308 are permanent; 307 and 308 keep the method."
    )
    keep_path: bool = Field(False, description="Add the request's path and query.")
    keep_query: bool = Field(False, description="Add the request's query.")


class Folder(Table):
    """A folder of static files. A compressed one next to a file (`a.js.br`, `a.js.zst`, `a.js.gz`)
    is served to clients that accept it.
    """

    path: NginxPath = Field(description="The folder, relative to the file's.")
    index: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$"), Kind("the name of a file")] = Field(
        "index.html", description="The index file of a folder."
    )
    spa: bool = Field(
        False,
        description="Serve the index for every path that is not a file; a missing script, image "
        "or other file is 404.",
    )
    clean_urls: bool = Field(False, description="Serve `about.html` for `/about`.")
    listing: bool = Field(False, description="List the files of a folder without an index.")
    expires: Duration | None = Field(
        None,
        description="How long browsers may cache a file. With it, or with spa, they ask again for "
        "each HTML page, and keep a file with a hash in its name.",
    )


class RequestSettings(Table):
    """How requests are treated; of a site, or of one route only."""

    client_max_body_size: Size | None = Field(
        None, description="Maximum request body; 0: no limit. Default: 1m, no limit for gRPC."
    )
    proxy_connect_timeout: Duration | None = Field(
        None, ge=0.001, description="Timeout for connecting to an instance; default: 5s."
    )
    proxy_read_timeout: Duration | None = Field(
        None, ge=0.001, description="Timeout between two reads; default: 60s."
    )
    proxy_send_timeout: Duration | None = Field(
        None, ge=0.001, description="Timeout between two writes; default: 60s."
    )
    websocket: bool | None = Field(None, description="Pass protocol upgrades on; default: true.")
    websocket_timeout: Duration | None = Field(
        None,
        ge=0.001,
        description="How long a WebSocket or a stream of events may be silent; default: 1h, or "
        "proxy_read_timeout if that is longer.",
    )
    grpc: bool | None = Field(
        None,
        description="Use gRPC to the app. Names of headers and request_headers may then have 46 "
        "characters.",
    )
    buffering: bool | None = Field(
        None,
        description="false: pass all responses on as they arrive. Not needed for requests that "
        "accept text/event-stream or lines of JSON, nor for responses with X-Accel-Buffering: no.",
    )
    request_buffering: bool | None = Field(
        None, description="false: pass uploads on as they arrive."
    )
    retries: Annotated[int, Field(ge=0, le=3)] | None = Field(
        None,
        description="How often a GET, HEAD or OPTIONS that was sent and got no answer is "
        "repeated; default: 1. Other requests are never repeated.",
    )
    wait: Duration | Wait | None = Field(
        None,
        description="How long requests are held while no instance can take them, instead of "
        '502: "5s", or a table. Not for gRPC, nor for the body of a POST with request_buffering = '
        "false.",
    )
    proxy_intercept_errors: bool | tuple[ErrorStatus, ...] | None = Field(
        None,
        description="Which errors of the app are answered with the site's error_pages: true for "
        "all statuses that have a page, or a list of them; if set, a 502 or 504 of the app never "
        "keeps the app's page. Not for gRPC, WebSockets and streams of events; default: false.",
    )
    gzip: bool | None = Field(None, description="Compress text; default: true.")
    brotli: bool | None = Field(
        None,
        description="Compress text with Brotli for clients that accept it, if the nginx has the "
        "module ngx_brotli; otherwise `check` and `up` say so, and gzip is used. Default: false.",
    )
    zstd: bool | None = Field(
        None,
        description="Compress text with Zstandard for clients that accept it, if the nginx has "
        "the module zstd-nginx-module; otherwise as with brotli. Default: false.",
    )
    cache: bool | Cache | None = Field(
        None,
        description="Keep the app's answers and answer from them; true, or a table. Default: no "
        "cache.",
    )
    headers: dict[HeaderName, HeaderValue] | None = Field(
        None,
        description="Headers to set on every response, instead of the app's; an empty value "
        "removes one. Values may have variables such as $host; $$ is a dollar sign.",
    )
    request_headers: dict[HeaderName, HeaderValue] | None = Field(
        None,
        description="Headers to set on requests to the app; an empty value removes one. Values "
        "may have variables such as $remote_addr; $$ is a dollar sign.",
    )
    rate_limit: Rate | RateLimit | None = Field(
        None, description='Request rate per client: "10r/s", or a table.'
    )
    connection_limit: Connections | ConnectionLimit | None = Field(
        None, description="Connections per client: a number, or a table."
    )
    basic_auth: BasicAuth | None = Field(None, description="Require a user name and password.")
    auth: Literal[False] | Auth | None = Field(
        None,
        description="Let another program decide about each request (nginx auth_request); false: "
        "not for this route.",
    )
    mirror: Literal[False] | Mirror | None = Field(
        None, description="Send a copy of requests to another app (nginx mirror)."
    )
    satisfy: Literal["all", "any"] | None = Field(
        None,
        description="Whether all of allow and deny, basic_auth and auth must grant access, or any "
        "one of them; default: all.",
    )
    allow: tuple[Network, ...] = Field(
        (), description="Networks that have access; all others are denied."
    )
    deny: tuple[Network, ...] = Field((), description="Networks that are denied.")

    @property
    def held(self) -> Wait | None:
        """`wait` as a table."""
        return Wait(timeout=self.wait) if isinstance(self.wait, float) else self.wait


class Target(Table):
    """Where requests go: one of these is set, or a folder with an app or an upstream."""

    app: AppName | None = Field(None, description="Name of the app that answers.")
    upstream: AppName | None = Field(None, description="Name of the upstream that answers.")
    folder: NginxPath | Folder | None = Field(
        None,
        description="Folder of static files, or a table. With app or upstream: a file that exists "
        "answers GET and HEAD, and the app everything else.",
    )
    redirect: RedirectTo | Redirect | None = Field(
        None, description="URL or path to send the client to, or a table."
    )


class Route(RequestSettings, Target):
    """One path of a site. Its key is that of nginx's `location`: `/prefix`, `= /exact`,
    `~ regex`, `~* regex` (any case), or `^~ /prefix`, which goes before every regex. A prefix
    takes whole names: `/admin` takes `/admin` and `/admin/x`, not `/adminx`.
    """

    require_client_certificate: bool = Field(
        False,
        description="Require a client certificate where the site's are optional; without one the "
        "client gets 403.",
    )
    match: Match | None = Field(
        None,
        description="What a request must have; others go to the next route of the path's list, or "
        "as if there was none to where the site's requests go.",
    )
    internal: bool = Field(
        False,
        description="Serve the folder only where an app of the site sends a request to by "
        "X-Accel-Redirect; a client gets 404.",
    )
    strip_prefix: bool = Field(
        False,
        description="Remove the route's path before passing a request on; the rest is passed byte "
        "for byte.",
    )


class Site(RequestSettings, Target):
    """Domain names and where their requests go. The table's name is the first domain."""

    aliases: tuple[Domain, ...] = Field((), description="Further names of the same site.")
    routes: dict[RouteKey, Route | str | tuple[Route, ...]] = Field(
        default_factory=dict,
        description="Paths, each with a table, the name of an app or upstream, or a list of "
        "tables of which the first one takes a request whose match fits.",
    )
    certificate: NginxPath | None = Field(
        None, description="PEM file of your own certificate with its chain."
    )
    key: NginxPath | None = Field(None, description="PEM file of its private key.")
    client_certificates: ClientCertificates | None = Field(
        None, description="Certificates that clients have to show, or may."
    )
    tls: IssuanceSettings | None = Field(
        None, description="Settings of this site's certificate that differ from `[tls]`."
    )
    https: bool = Field(True, description="false: serve plain HTTP only.")
    redirect_http: bool = Field(True, description="Redirect http to https.")
    default: bool = Field(False, description="Also answer names that no site has.")
    hsts: bool | Hsts = Field(
        False, description="Tell browsers to use HTTPS only; true (one year), or a table."
    )
    real_ip: RealIp | None = Field(
        None, description="Trust a proxy in front for the client's address."
    )
    maintenance: bool | Maintenance = Field(
        False, description="Answer 503 instead of passing requests on; true, or a table."
    )
    error_pages: dict[ErrorCode, NginxPath] = Field(
        default_factory=dict,
        description="Status codes and their HTML files, for errors of nginx; for those of apps "
        "see proxy_intercept_errors.",
    )
    access_log: bool = Field(True, description="false: no access log for this site.")
    include: NginxPath | tuple[NginxPath, ...] = Field(
        (), description="Your own files of nginx lines for this site's server block."
    )

    def handlings(self) -> Iterator[Site | Route]:
        """The site, and those of its routes that are tables."""
        yield self
        yield from (route for _, route in self.placed_routes() if isinstance(route, Route))

    def placed_routes(self) -> Iterator[tuple[tuple[str, *tuple[int, ...]], Route | str]]:
        """Every route, with its key, and its index if it is one of a list."""
        for key, routes in self.routes.items():
            if isinstance(routes, tuple):
                for index, route in enumerate(routes):
                    yield (key, index), route
            else:
                yield (key,), routes
