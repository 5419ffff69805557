"""The cache of an app's answers. Table `[sites."NAME".cache]`, or of a route."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from portico.core.model.units import Duration, Kind, Size, Table

CacheStatus = Annotated[
    str,
    Field(pattern=r"^(any|20[0-57-9]|2[1-9][0-9]|30[0-35-9]|3[1-9][0-9]|[45][0-9][0-9])$"),
    Kind('a status code such as "200", or "any"; 206 and 304 are never stored'),
]
"""An answer that is a part, or says that another one is current, is nobody else's answer."""
KeyText = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]+$"), Kind("text with variables such as $request_uri")
]
Condition = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]*\$[^\x00-\x1f\x7f]+$"),
    Kind("a variable such as $cookie_session"),
]
StaleCase = Literal[
    "error",
    "timeout",
    "invalid_header",
    "updating",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
]
USUAL_STALE_CASES: Final[tuple[StaleCase, ...]] = (
    *("error", "timeout", "invalid_header", "updating"),
    *("http_500", "http_502", "http_503", "http_504"),
)
DEFAULT_INACTIVE: Final = 600.0  # seconds, as in nginx


class Cache(Table):
    """Keep answers of the app (nginx proxy_cache). Only GET and HEAD."""

    max_size: Size = Field(
        1 << 30,
        ge=1 << 20,
        description="Size on disk; the least recently used answers are removed.",
    )
    valid: Duration | dict[CacheStatus, Annotated[Duration, Field(ge=1)]] = Field(
        default_factory=dict,
        description="How long answers are valid if the app does not say so: those with status "
        '200, 301 and 302, or a table such as `{200 = "10m", 404 = "1m"}`. Errors are stored only '
        "if they are in it. Default: only what the app allows is stored, by Cache-Control, "
        "Expires or X-Accel-Expires.",
    )
    inactive: Duration | None = Field(
        None,
        ge=1,
        description="How long an answer that no client requests is kept; default: 10m, or the "
        "longest time in valid if that is longer.",
    )
    key: KeyText = Field(
        "$request_uri",
        description="What of a request identifies its answer, next to scheme, host, port, the "
        "headers of trusted proxies, and whether it has credentials.",
    )
    use_stale: bool | tuple[StaleCase, ...] = Field(
        False,
        description="When an expired answer is used, and updated in the background: true, or "
        "nginx's conditions such as `updating` and `http_503`. Default: as the app says "
        "(stale-while-revalidate, stale-if-error).",
    )
    lock: bool = Field(
        False, description="Let only one request at a time ask the app for an answer to store."
    )
    min_uses: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1, description="After how many requests an answer is stored."
    )
    revalidate: bool = Field(
        True,
        description="Ask the app for an expired answer with If-None-Match and If-Modified-Since.",
    )
    bypass: tuple[Condition, ...] = Field(
        (),
        description="Requests are passed to the app, and its answers not stored, if one of these "
        "is not empty and not 0: `$cookie_session`, `$http_x_preview`, `$arg_nocache`.",
    )
    no_cache: tuple[Condition, ...] = Field(
        (),
        description="Answers are not stored if one of these is not empty and not 0: "
        "`$upstream_http_x_private`.",
    )
    ignore_cookies: bool = Field(
        False,
        description="Also use `valid` for requests with cookies; only where every client gets "
        "the same.",
    )
    x_cache: bool = Field(
        False, description="Tell clients in X-Cache: HIT, MISS, BYPASS, EXPIRED, STALE, UPDATING."
    )

    @property
    def times(self) -> dict[str, float]:
        """`valid` by status; the empty one stands for nginx's own three."""
        return dict(self.valid) if isinstance(self.valid, dict) else {"": self.valid}

    @property
    def stale_cases(self) -> tuple[StaleCase, ...]:
        if isinstance(self.use_stale, bool):
            return USUAL_STALE_CASES if self.use_stale else ()
        return self.use_stale

    @property
    def kept(self) -> float:
        """Seconds that an answer is kept without being requested."""
        if self.inactive is not None:
            return self.inactive
        return max((DEFAULT_INACTIVE, *self.times.values()))
