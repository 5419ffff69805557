"""Folders of static files."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.model.site import Folder
from portico.core.render.directive import Directive, Raw, d, whole_seconds
from portico.core.render.scope import Scope

HIDDEN = "portico_hidden"


def hidden_map() -> Directive:
    """Names that begin with a dot (`.git`, `.env`) are not served, but for RFC 8615's."""
    return d(
        "map",
        Raw("$uri"),
        Raw(f"${HIDDEN}"),
        block=(d("default", ""), d(r'"~/\.(?!well-known(?:/|$))"', "1")),
    )


def static_files(scope: Scope, folder: Folder, prefix: str) -> Iterator[Directive]:
    """Files of a location. `prefix` is what the location's path ends in a slash with, `/static/`,
    and stands for the folder itself; without it, paths are looked up from the site's root.

    No open_file_cache: for as long as it holds a file, nginx would go on serving the old one
    after a deploy, or an end of the new one cut off at the old one's length.
    """
    path = scope.path(folder.path).rstrip("/")
    yield d("if", Raw(f"(${HIDDEN})"), block=(d("return", "404"),))
    yield d("alias", f"{path}/") if prefix else d("root", path or "/")
    yield d("index", folder.index)
    if folder.spa:
        first = folder.index if prefix else f"/{folder.index}"
        yield d("try_files", Raw("$uri"), Raw(f"$uri/{folder.index}"), first, "=404")
    if folder.listing:
        yield d("autoindex", "on")
    if folder.expires is not None:
        yield d("expires", whole_seconds(folder.expires))
