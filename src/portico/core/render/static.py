"""Folders of static files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.site import Folder
from portico.core.render.directive import Directive, Raw, WithDollar, directive, quote
from portico.core.render.headers import sets_header
from portico.core.render.mime import ASSET_ENDINGS
from portico.core.render.scope import INTERNAL_PREFIX, Scope, digest

HIDDEN_VARIABLE = "portico_hidden"
_NO_FILE: Final = "portico_no_file"
"""What a path begins with that no file answers: one that is hidden, or another method than GET."""
_TWIN, _ENCODING = "portico_twin", "portico_encoding"
_ENCODED_SUFFIXES: Final = {"br": "br", "zst": "zstd", "gz": "gzip"}
"""Endings of compressed files, by size, and their names in Content-Encoding (RFC 9110 8.4.1)."""
MATCH_PREFIX: Final = f"{INTERNAL_PREFIX}/match"
"""What the paths of a folder begin with inside nginx where other routes have its path too."""
_DIRECTORY, _SENT_PATH = "portico_directory", "portico_directory_path"
NO_FILE: Final = f"{INTERNAL_PREFIX}/none"
"""A path at which no file is served."""
_ASSET: Final = rf'"~*\.({ASSET_ENDINGS})$"'
_HASHED_NAME: Final = (
    r'"~[.-]((?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}'
    r'|(?=[\w-]*[0-9])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{8})(\.\w+){1,2}$"'
)
"""Names as bundlers write them: `main.8f3a2b1c.js`, `index-BfQ3k2Xz.css`."""


def hidden_map() -> Directive:
    """Names that begin with a dot (`.git`, `.env`) are not served, but for RFC 8615's. What stands
    before the path of a chosen folder is nginx's own.
    """
    return directive(
        "map",
        Raw("$uri"),
        Raw(f"${HIDDEN_VARIABLE}"),
        block=(
            directive("default", ""),
            directive(
                rf'"~(?s)^(?>(?:{re.escape(MATCH_PREFIX)}/[0-9a-f]+(?=/))?).*/\.(?!well-known(?:/|$))"',
                "1",
            ),
        ),
    )


def static_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """How long files are kept, which compressed ones a client takes, and what a program in the
    browser answers for what is no file.
    """
    folders = [(scope, folder) for scope in scopes if (folder := folder_of(scope))]
    if any(_has_twins(scope) for scope, _ in folders):
        yield from _twin_maps()
    if any(target_name(scope) for scope, _ in folders):
        other = directive("default", NO_FILE), directive(r'"~^(GET|HEAD):$"', "")
        source = Raw(f'"$request_method:${HIDDEN_VARIABLE}"')
        yield directive("map", source, Raw(f"${_NO_FILE}"), block=other)
    cached = (folder for _, folder in folders if _is_cached(folder))
    for folder in {_cache_variable(folder): folder for folder in cached}.values():
        yield _cache_map(folder)
    for scope, folder in folders:
        for first in (folder.index, f"/{folder.index}") if folder.spa else ():
            lines = (directive("default", first), directive(_ASSET, NO_FILE))
            yield directive(
                "map", Raw("$uri"), Raw(f"${_index_variable(scope, first)}"), block=lines
            )


def directory_maps() -> tuple[Directive, ...]:
    """For `directory_redirect`; the path that is sent to begins with one slash."""
    return (
        directive(
            "map",
            Raw("$uri"),
            Raw(f"${_DIRECTORY}"),
            block=(directive("default", Raw("$request_filename")), directive('"~/$"', "")),
        ),
        directive(
            "map",
            Raw("$request_uri"),
            Raw(f"${_SENT_PATH}"),
            block=(
                directive("default", "/"),
                directive(quote(WithDollar(r"~^[/\\]+([^?#]*)")), Raw("/$1")),
            ),
        ),
    )


def directory_redirect() -> Directive:
    """Nginx's own has the path inside nginx."""
    to = Raw(f'"${_SENT_PATH}/$is_args$args"')
    return directive("if", Raw(f"(-d ${_DIRECTORY})"), block=(directive("return", "301", to),))


def folder_of(scope: Scope) -> Folder | None:
    """What a place serves files from."""
    folder = scope.target.folder
    return Folder(path=folder) if isinstance(folder, str) else folder


def target_name(scope: Scope) -> str | None:
    """The app or upstream that requests of a place are passed to."""
    return scope.target.app or scope.target.upstream


def cache_header(scope: Scope) -> Iterator[Directive]:
    """An operator's own Cache-Control goes before ours."""
    folder = folder_of(scope)
    if folder and _is_cached(folder) and not sets_header(scope, "cache-control"):
        yield directive("add_header", "Cache-Control", Raw(f"${_cache_variable(folder)}"))


def vary_header(scope: Scope) -> Iterator[Directive]:
    """Caches keep the answers for clients that take a compressed file apart."""
    if folder_of(scope) and _has_twins(scope) and not sets_header(scope, "vary"):
        yield directive("add_header", "Vary", "Accept-Encoding")


def static_files(
    scope: Scope, folder: Folder, prefix: str, twins: str, passed: str = ""
) -> Iterator[Directive]:
    """Files of a location. `prefix` is what the location's path ends in a slash with, `/static/`,
    and stands for the folder itself; without it, paths are looked up from the site's root.
    `twins` is the path of `twin_location`; `passed` the location of what no file answers.

    No open_file_cache: for as long as it holds a file, nginx would go on serving the old one
    after a deploy, or an end of the new one cut off at the old one's length.
    """
    path = scope.path(folder.path).rstrip("/")
    if not passed:
        yield directive("if", Raw(f"(${HIDDEN_VARIABLE})"), block=(directive("return", "404"),))
    yield directive("alias", f"{path}/") if prefix else directive("root", path or "/")
    yield directive("index", folder.index)
    yield _charset(scope)
    if _has_twins(scope):
        yield directive("gzip_vary", "off")
        for ending, encoding in _ENCODED_SUFFIXES.items():
            lines = (
                directive("set", Raw(f"${_TWIN}"), Raw(f'"$request_filename.{ending}"')),
                directive("set", Raw(f"${_ENCODING}"), encoding),
                directive("rewrite", Raw("^"), Raw(f"{twins}$uri"), "last"),
            )
            is_file = Raw(f'(-f "$request_filename${_twin_variable(ending)}")')
            yield directive("if", is_file, block=lines)
    yield from _try_files(scope, folder, prefix, passed)
    if folder.listing:
        yield directive("autoindex", "on")


def twin_location(scope: Scope, path: str, settings: Iterable[Directive]) -> Iterator[Directive]:
    """Where a compressed file is served in place of another: `path` and then that one's, whose
    ending is that of its type. What is in an `alias` of a regex is the whole name of the file.
    """
    if folder_of(scope) and _has_twins(scope):
        lines = (
            directive("internal"),
            *settings,
            directive("add_header", "Content-Encoding", Raw(f"${_ENCODING}_sent")),
            _charset(scope),
            directive("alias", Raw(f"${_TWIN}")),
        )
        inner = directive("location", Raw("~"), Raw("^"), block=lines)
        yield directive("location", Raw("^~"), f"{path}/", block=(inner,))


def _twin_maps() -> Iterator[Directive]:
    """RFC 9110 12.5.3: a client that gives an encoding the weight 0 does not take it."""
    source = Raw(f'"${HIDDEN_VARIABLE}|$uri|$request_method|$http_accept_encoding"')
    for ending, encoding in _ENCODED_SUFFIXES.items():
        taken = rf"{encoding}\s*(?!;\s*q\s*=\s*0(\.0*)?\s*(,|$))([;,]|$)"
        request = rf'"~*^\|.*[^/]\|(GET|HEAD)\|(.*,)?\s*{taken}"'
        lines = (
            directive("volatile"),
            directive("default", NO_FILE),
            directive(request, f".{ending}"),
        )
        yield directive("map", source, Raw(f"${_twin_variable(ending)}"), block=lines)
    sent = directive("default", Raw(f"${_ENCODING}")), directive("304", "")
    yield directive("map", Raw("$status"), Raw(f"${_ENCODING}_sent"), block=sent)


def _charset(scope: Scope) -> Directive:
    """Where an app has sent a request to, the type is the app's."""
    is_internal = scope.route and scope.route.internal
    return directive("charset", "off" if is_internal else "utf-8")


def _has_twins(scope: Scope) -> bool:
    return scope.value(lambda handling: handling.gzip) is not False


def _twin_variable(ending: str) -> str:
    return f"portico_takes_{ending}"


def _try_files(scope: Scope, folder: Folder, prefix: str, passed: str) -> Iterator[Directive]:
    pages = ("$uri.html",) if folder.clean_urls else ()
    if passed:  # the index of a folder is at its path with a slash, where its links are right
        files = ("$uri", *pages, f"${{uri}}{folder.index}")
        yield directive("try_files", *(Raw(f"${_NO_FILE}{file}") for file in files), passed)
    elif folder.spa:
        first = folder.index if prefix else f"/{folder.index}"
        index = Raw(f"${_index_variable(scope, first)}")
        yield directive(
            "try_files", Raw("$uri"), *map(Raw, pages), Raw(f"$uri/{folder.index}"), index, "=404"
        )
    elif pages:
        yield directive("try_files", Raw("$uri"), *map(Raw, pages), Raw("$uri/"), "=404")


def _is_cached(folder: Folder) -> bool:
    return folder.spa or folder.expires is not None


def _cache_map(folder: Folder) -> Directive:
    """A page is asked for again each time, because it names the files; and a file whose name has
    a hash of its content never changes.
    """
    age = "" if folder.expires is None else f"max-age={math.ceil(folder.expires)}"
    return directive(
        "map",
        Raw('"$sent_http_content_type|$uri"'),
        Raw(f"${_cache_variable(folder)}"),
        block=(
            directive("default", age),
            directive('"~^text/html"', "no-cache"),
            directive(_HASHED_NAME, "public, max-age=31536000, immutable"),
        ),
    )


def _cache_variable(folder: Folder) -> str:
    return f"portico_cache_{'' if folder.expires is None else math.ceil(folder.expires)}"


def _index_variable(scope: Scope, first: str) -> str:
    """Below an alias, nginx looks the name up from the folder."""
    place = "root" if first.startswith("/") else "alias"
    return f"portico_index_{place}_{digest(scope.slug)}"
