"""Where a site answers, as one types it into a browser."""

from __future__ import annotations

from portico.core.model.desired import Listeners
from portico.core.model.names import url_host
from portico.core.model.site import Site

HTTP_PORT, HTTPS_PORT = 80, 443


def site_urls(name: str, site: Site, listeners: Listeners) -> tuple[str, ...]:
    """One for every name of the site: https where it has that."""
    urls: list[str] = []
    for domain in (name, *site.aliases):
        host = url_host(domain)
        if site.https:
            urls.append(f"https://{host}{port_suffix(listeners.client_https, HTTPS_PORT)}/")
        else:
            urls.append(f"http://{host}{port_suffix(listeners.client_http, HTTP_PORT)}/")
    return tuple(urls)


def port_suffix(port: int, usual: int) -> str:
    """`:8443`, or nothing where it is the usual one."""
    return "" if port == usual else f":{port}"
