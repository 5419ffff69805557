"""Folders of static files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.place import Build
from portico.core.model.site import Folder
from portico.core.render.directive import Directive, Raw, d
from portico.core.render.headers import sets_header
from portico.core.render.mime import ASSET_ENDINGS
from portico.core.render.scope import INTERNAL_PREFIX, Scope, digest

HIDDEN = "portico_hidden"
NOWHERE: Final = f"{INTERNAL_PREFIX}/none"
"""A path at which no file is served."""
_ASSET: Final = rf'"~*\.({ASSET_ENDINGS})$"'
_HASHED: Final = (
    r'"~[.-]((?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}'
    r'|(?=[\w-]*[0-9])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{8})(\.\w+){1,2}$"'
)
"""Names as bundlers write them: `main.8f3a2b1c.js`, `index-BfQ3k2Xz.css`."""


def hidden_map() -> Directive:
    """Names that begin with a dot (`.git`, `.env`) are not served, but for RFC 8615's."""
    return d(
        "map",
        Raw("$uri"),
        Raw(f"${HIDDEN}"),
        block=(d("default", ""), d(r'"~/\.(?!well-known(?:/|$))"', "1")),
    )


def static_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """How long files are kept, and what a program in the browser answers for what is no file."""
    folders = [(scope, folder) for scope in scopes if (folder := folder_of(scope))]
    cached = (folder for _, folder in folders if _is_cached(folder))
    for folder in {_cache_variable(folder): folder for folder in cached}.values():
        yield _cache_map(folder)
    for scope, folder in folders:
        for first in (folder.index, f"/{folder.index}") if folder.spa else ():
            lines = (d("default", first), d(_ASSET, NOWHERE))
            yield d("map", Raw("$uri"), Raw(f"${_index_variable(scope, first)}"), block=lines)


def folder_of(scope: Scope) -> Folder | None:
    """What a place serves files from."""
    folder = scope.target.folder
    return Folder(path=folder) if isinstance(folder, str) else folder


def cache_header(scope: Scope) -> Iterator[Directive]:
    """An operator's own Cache-Control goes before ours."""
    folder = folder_of(scope)
    if folder and _is_cached(folder) and not sets_header(scope, "cache-control"):
        yield d("add_header", "Cache-Control", Raw(f"${_cache_variable(folder)}"))


def static_files(scope: Scope, folder: Folder, prefix: str, build: Build) -> Iterator[Directive]:
    """Files of a location. `prefix` is what the location's path ends in a slash with, `/static/`,
    and stands for the folder itself; without it, paths are looked up from the site's root.

    No open_file_cache: for as long as it holds a file, nginx would go on serving the old one
    after a deploy, or an end of the new one cut off at the old one's length.
    """
    path = scope.path(folder.path).rstrip("/")
    yield d("if", Raw(f"(${HIDDEN})"), block=(d("return", "404"),))
    yield d("alias", f"{path}/") if prefix else d("root", path or "/")
    yield d("index", folder.index)
    yield d("charset", "utf-8")
    if "gzip_static" in build.can and scope.value(lambda handling: handling.gzip) is not False:
        yield d("gzip_static", "on")
    yield from _try_files(scope, folder, prefix)
    if folder.listing:
        yield d("autoindex", "on")


def _try_files(scope: Scope, folder: Folder, prefix: str) -> Iterator[Directive]:
    pages = (Raw("$uri.html"),) if folder.clean_urls else ()
    if folder.spa:
        first = folder.index if prefix else f"/{folder.index}"
        index = Raw(f"${_index_variable(scope, first)}")
        yield d("try_files", Raw("$uri"), *pages, Raw(f"$uri/{folder.index}"), index, "=404")
    elif pages:
        yield d("try_files", Raw("$uri"), *pages, Raw("$uri/"), "=404")


def _is_cached(folder: Folder) -> bool:
    return folder.spa or folder.expires is not None


def _cache_map(folder: Folder) -> Directive:
    """A page is asked for again each time, because it names the files; and a file whose name has
    a hash of its content never changes.
    """
    age = "" if folder.expires is None else f"max-age={math.ceil(folder.expires)}"
    return d(
        "map",
        Raw('"$sent_http_content_type|$uri"'),
        Raw(f"${_cache_variable(folder)}"),
        block=(
            d("default", age),
            d('"~^text/html"', "no-cache"),
            d(_HASHED, "public, max-age=31536000, immutable"),
        ),
    )


def _cache_variable(folder: Folder) -> str:
    return f"portico_cache_{'' if folder.expires is None else math.ceil(folder.expires)}"


def _index_variable(scope: Scope, first: str) -> str:
    """Below an alias, nginx looks the name up from the folder."""
    place = "root" if first.startswith("/") else "alias"
    return f"portico_index_{place}_{digest(scope.slug)}"
