"""Types of files by their endings, and those that are worth compressing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.render.directive import Directive, directive
from portico.core.render.scope import Scope

_TYPES = {
    "text/html": "html htm shtml",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "text/plain": "txt log ini conf",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/xml": "xml xsl xsd",
    "text/calendar": "ics",
    "text/vtt": "vtt",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/jpeg": "jpg jpeg",
    "image/png": "png",
    "image/svg+xml": "svg svgz",
    "image/tiff": "tif tiff",
    "image/webp": "webp",
    "image/x-icon": "ico",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "application/atom+xml": "atom",
    "application/gzip": "gz tgz",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/pdf": "pdf",
    "application/rss+xml": "rss",
    "application/wasm": "wasm",
    "application/xhtml+xml": "xhtml",
    "application/zip": "zip",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "video/mp2t": "ts",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpg mpeg",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "application/vnd.apple.mpegurl": "m3u8",
}
ASSET_ENDINGS = "|".join(
    ending
    for kind, endings in _TYPES.items()
    if kind not in {"text/html", "application/xhtml+xml"}
    for ending in endings.split()
)
"""Endings of what is a file, and no path of a program that lives in the browser."""
_COMPRESSED_TYPES = (  # text/html always is
    "text/css text/javascript text/plain text/markdown text/csv text/xml text/calendar text/vtt "
    "application/javascript application/json application/ld+json application/manifest+json "
    "application/xml application/xhtml+xml application/atom+xml application/rss+xml "
    "application/graphql-response+json application/problem+json application/wasm "
    "image/svg+xml image/x-icon font/otf font/ttf"
)

_LEVELS: Final = {"brotli": "4", "zstd": "3"}
"""Against gzip's 4, brotli takes half as much processor time again, and zstd half of it."""
_MIN_LENGTH: Final = "1024"


def mime_types() -> tuple[Directive, ...]:
    return (
        directive(
            "types", block=(directive(name, *endings.split()) for name, endings in _TYPES.items())
        ),
        directive("default_type", "application/octet-stream"),
        directive(
            "charset_types",
            *(kind for kind in _TYPES if kind.startswith("text/") and kind != "text/html"),
        ),
    )


def compression() -> tuple[Directive, ...]:
    return (
        directive("gzip_types", *_COMPRESSED_TYPES.split()),
        directive("gzip_comp_level", "4"),
        directive("gzip_min_length", _MIN_LENGTH),
        directive("gzip_proxied", "any"),
        directive("gzip_vary", "on"),
    )


def encoder_basics(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """For the modules that a site uses and this nginx has."""
    used = {
        name
        for scope in scopes
        for name in scope.encoders
        if getattr(scope.request_settings, name)
    }
    for name in sorted(used):
        yield directive(f"{name}_types", *_COMPRESSED_TYPES.split())
        yield directive(f"{name}_comp_level", _LEVELS[name])
        yield directive(f"{name}_min_length", _MIN_LENGTH)
