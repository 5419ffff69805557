"""Forward authentication: another program decides about each request. Tables `auth`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from portico.core.model.headers import PlainHeaderName
from portico.core.model.name_types import AppName
from portico.core.model.units import Duration, Kind, Table
from portico.core.model.upstream import Upstream, parse_address
from portico.core.model.value_text import value_text

ESCAPED_URI: Final = r"(?<!\$)\$(?:escaped_request_uri\b|\{escaped_request_uri\})"
"""In `sign_in`, as a regular expression."""
_URL = Kind('a URL such as "http://10.0.0.5:9091/api/verify"')
_PATH = r"/[^\x00-\x20\x7f\"\\#$]*"
_PORTS = {"http": 80, "https": 443}


def parse_auth_url(text: str) -> str:
    found = re.fullmatch(rf"https?://([^/?#@]+)({_PATH})?", text)
    try:
        address = parse_address(found[1]) if found else None
    except ValueError:
        address = None
    if address is None:
        raise ValueError(f"must be {_URL.text}, not {value_text(text)}")
    return text


class Auth(Table):
    """A program that decides about each request by its status: 2xx grants access, 401 and 403 deny
    it, and everything else is an error. Exactly one of app, upstream and url is set.
    """

    app: AppName | None = Field(None, description="Name of the app that decides.")
    upstream: AppName | None = Field(None, description="Name of the upstream that decides.")
    url: Annotated[str, AfterValidator(parse_auth_url), _URL] | None = Field(
        None, description="URL to ask elsewhere, with its path."
    )
    path: (
        Annotated[str, Field(pattern=f"^{_PATH}$"), Kind('a path such as "/oauth2/auth"')] | None
    ) = Field(None, description="Path to ask of the app or upstream; default: /.")
    request_headers: tuple[PlainHeaderName, ...] | dict[PlainHeaderName, PlainHeaderName] = Field(
        (),
        description="Headers of its response to set on requests to the site's app; as a table, "
        "each by the name for the app. What clients send in them is removed, on the whole site.",
    )
    headers: tuple[PlainHeaderName, ...] = Field(
        ("Set-Cookie",), description="Headers of its response to add to the client's."
    )
    sign_in: (
        Annotated[
            str,
            Field(pattern=r"^(https?://|/)[^\x00-\x20\x7f\"\\]*$"),
            Kind('a URL or a path, such as "/oauth2/start?rd=$escaped_request_uri"'),
        ]
        | None
    ) = Field(
        None,
        description="Where a 401 redirects the client. $escaped_request_uri is the path and query "
        "of the request; other variables are those of headers. Default: the Location of the "
        "response, if it has one.",
    )
    timeout: Duration = Field(
        10.0, ge=0.001, description="How long a response may take; then the client gets 500."
    )

    @property
    def app_headers(self) -> dict[str, str]:
        """The headers that the app gets, each with that of the response."""
        names = self.request_headers
        return dict(names) if isinstance(names, dict) else {name: name for name in names}

    @property
    def upstream_and_path(self) -> tuple[str, str]:
        """The app or upstream that decides, by its name, and the path. A URL has an upstream of
        its own, with a name that no operator can give: theirs have no dot.
        """
        if self.url is None:
            return self.app or self.upstream or "", self.path or "/"
        scheme, _, rest = self.url.partition("://")
        host, slash, path = rest.partition("/")
        plain = re.sub(r"[^a-z0-9.-]", "_", host.lower())
        return f"auth.{scheme}.{plain}", (slash or "/") + path

    @property
    def url_upstream(self) -> Upstream | None:
        """Of a URL."""
        if self.url is None:
            return None
        scheme, _, rest = self.url.partition("://")
        host = rest.partition("/")[0]
        has_port = re.search(r"[^:\]]:[0-9]+$|\]:[0-9]+$", host)
        address = host if has_port else f"{host}:{_PORTS[scheme]}"
        return Upstream.model_validate({"servers": (address,), "tls": scheme == "https"})
