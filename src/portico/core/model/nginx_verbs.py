"""What can be asked of the daemon about the program nginx, as in `verbs.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from portico.core.model.verb import Verb

if TYPE_CHECKING:
    from portico.core.model.nginx_views import NginxBuildsView
    from portico.core.model.views import ChangeView, VersionView

NGINX: Final[Verb[NginxBuildsView]] = Verb(
    "nginx",
    "GET",
    "/v1/nginx",
    "Show the nginx in use, what it can do, and the others of this machine.",
    "NginxBuildsView",
)
USE_NGINX: Final[Verb[ChangeView]] = Verb(
    "use_nginx",
    "POST",
    "/v1/nginx/use",
    "Select the nginx to use, and switch to it without losing a request.",
    request="NginxUseRequest",
)
INHERIT: Final[Verb[VersionView]] = Verb(
    "inherit",
    "POST",
    "/v1/nginx/inherit",
    "Serve the next configuration on the listening sockets of another nginx.",
    "VersionView",
    request="NginxInheritRequest",
)

NGINX_VERBS: Final[tuple[Verb[Any], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Verb)
)
