"""Rules of forward authentication: who is asked, and where clients sign in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path
from portico.core.config.references import app_named, upstream_named
from portico.core.model.auth import ESCAPED_URI, Auth
from portico.core.model.names import is_ip
from portico.core.model.site import RequestSettings, Site
from portico.core.model.variables import unknown_variables

_TARGET_KEYS = ("app", "upstream", "url")


def auth_findings(draft: Draft, path: Path, auth: Auth) -> Iterator[Finding]:
    named = [key for key in _TARGET_KEYS if getattr(auth, key) is not None]
    if len(named) > 1:
        yield Finding(path, f"has {' and '.join(named)}; set only one")
    if not named and not draft.may_be_set(path, *_TARGET_KEYS):
        yield Finding(path, "needs app, upstream or url")
    if auth.app is not None:
        yield from app_named(draft, (*path, "app"), auth.app)
    if auth.upstream is not None:
        yield from upstream_named(draft, (*path, "upstream"), auth.upstream)
    if auth.url is not None and auth.path is not None:
        yield Finding(
            (*path, "path"), "cannot be combined with url; write it at the end of the URL"
        )
    if (own := auth.url_upstream) and own.tls and is_ip(own.servers[0].address.rpartition(":")[0]):
        what = "has an address, which no certificate is verified for"
        yield Finding((*path, "url"), what, "write an upstream with tls = true and tls_name")
    for name in unknown_variables(re.sub(ESCAPED_URI, "", auth.sign_in or "")):
        what = f'has "${name}", an unknown variable'
        yield Finding((*path, "sign_in"), what, 'write "$$" for a dollar sign')


def sign_in_loop(site: Site, handling: RequestSettings) -> bool:
    """Whether the path that clients are redirected to, on the same site, is not open to them."""
    auth = handling.auth
    if not auth or not auth.sign_in or not auth.sign_in.startswith("/"):
        return False
    path = re.split("[?$]", auth.sign_in)[0]
    takes = [key for key in site.routes if _takes(key, path)]
    if any(key.startswith("~") for key in takes):
        return False
    key = max(takes, key=lambda key: (key.startswith("="), len(key)), default=None)
    route = site.routes[key] if key else None
    if isinstance(route, tuple):
        return False
    own = route.auth if route is not None and not isinstance(route, str) else None
    return bool(site.auth if own is None else own)


def _takes(key: str, path: str) -> bool:
    """Whether a route may take a path; of a regex this is not known."""
    if key.startswith("~"):
        return True
    if key.startswith("="):
        return path == key.removeprefix("=").strip()
    prefix = key.removeprefix("^~").strip().rstrip("/")
    return f"{path}/".startswith(f"{prefix}/")
