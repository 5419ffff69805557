"""The cache of answers: what is stored, what it is found by, and where it is on the disk.

A client never gets what was meant for another one. Whatever of a request an app sees and another
client may not have is part of the key, or the request is passed on and its answer not stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from portico.core.model.cache import Cache, CacheStatus
from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.site import RequestSettings
from portico.core.render.claims import (
    FORWARDED_HEADERS,
    IDENTITIES,
    REQUEST_CLAIMS,
    claim_variable,
    trusts,
)
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    quote,
    size,
    variable_map,
    whole_seconds,
    with_variables,
)
from portico.core.render.headers import request_headers
from portico.core.render.identity import auth_of
from portico.core.render.scope import Scope, digest
from portico.core.render.settings import Settings

FOLDER: Final = "cache"
"""Below HOME/nginx: a folder for each place of the file that has a cache."""
ROOM_FILE: Final = "room"
"""Below HOME/nginx: a file that is there while the disk has room for answers."""
USER_MARK: Final = "@"
"""Before the user of nginx's workers in a folder's name: those of one are closed to another."""
KEY_MARK: Final = " |"
"""Between what an operator sees as the key of an answer and what is added to it."""
_X_CACHE: Final = "X-Cache"
_KEYS_SIZE: Final = "10m"
"""Of memory: about 80,000 answers (nginx, proxy_cache_path)."""
_MIN_FREE: Final = "128m"
"""nginx removes answers where less is free on the disk."""
_NAMES: Final = ("unkeyed", "cookie", "login", "no_word", "not_shared", "full")
(
    UNKEYED_VARIABLE,
    COOKIE_VARIABLE,
    LOGIN_VARIABLE,
    NO_WORD_VARIABLE,
    NOT_SHARED_VARIABLE,
    FULL_VARIABLE,
) = (f"portico_cache_{name}" for name in _NAMES)
NOT_SHARED_BY_AUTH_VARIABLE: Final = f"{NOT_SHARED_VARIABLE}_auth"
"""Where another program says who asks, which an app may know of each request."""
_LOGIN_MARK: Final = "login"
_STATUSES: Final = ("200", "203", "204", "300", "301", "302", "303", "307", "308", "404", "410")
"""Stored where the app says for how long. Others say something of one request, such as 400, 413
and 429, or that the app is broken, and frameworks put Cache-Control on every answer.
"""
_CONDITIONS: Final = {
    # Headers of a request that nginx answers itself from what is stored; on others they pass.
    "If-Match": ("portico_if_match", ""),
    "If-Modified-Since": ("http_if_modified_since", "upstream_cache_last_modified"),
    "If-None-Match": ("http_if_none_match", "upstream_cache_etag"),
    "If-Range": ("http_if_range", ""),
    "If-Unmodified-Since": ("http_if_unmodified_since", ""),
    "Range": ("http_range", ""),
}

_DEFAULT_CACHE, _NO_CACHE = Cache(), Cache()
"""What `true` and `false` stand for."""


def cache_of(scope: Scope) -> Cache | None:
    """What holds in a place; gRPC and what does not pass requests on have none."""
    cache, target = scope.value(_setting), scope.target
    is_passed = (target.app or target.upstream) and not scope.value(_grpc)
    return cache if is_passed and cache is not _NO_CACHE else None


def cache_zones(
    scopes: Iterable[Scope], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """One for each place that a cache is written in and used by."""
    user = context.user(desired.edge.user)
    for scope in {each.origin(_setting).slug: each for each in scopes if cache_of(each)}.values():
        if cache := cache_of(scope):
            folder = _folder(scope, user)
            yield directive(
                "proxy_cache_path",
                f"{context.home}/nginx/{FOLDER}/{folder}",
                "levels=1:2",
                f"keys_zone={_zone(scope, user)}:{_KEYS_SIZE}",
                f"max_size={size(cache.max_size)}",
                f"inactive={whole_seconds(cache.kept)}",
                f"min_free={_MIN_FREE}",
            )


def cache_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """Nothing where no site has a cache."""
    cached = [(scope, cache) for scope in scopes if (cache := cache_of(scope))]
    if not cached:
        return
    for trusting in sorted({trusts(scope.site) for scope, _ in cached}):
        yield _unkeyed_map(trusting=trusting)
        yield _login_map(trusting=trusting)
        yield _shared_map(NOT_SHARED_VARIABLE, trusting=trusting)
    if any(auth_of(scope) for scope, _ in cached):
        yield _shared_map(NOT_SHARED_BY_AUTH_VARIABLE)
    yield variable_map("$http_cookie", COOKIE_VARIABLE, "cookie", directive('""', ""))
    yield _no_word_map()
    for statuses in dict.fromkeys(_stored_statuses(cache) for _, cache in cached):
        yield _status_map(statuses)
    for name, (sent, stored) in _CONDITIONS.items():
        to_store = r'"~^(GET|HEAD):(MISS|EXPIRED)$"'
        fresh = Raw(f"${stored}") if stored else ""
        source = '"$request_method:$upstream_cache_status"'
        yield variable_map(
            source, _condition(name), f"${sent}", directive("volatile"), directive(to_store, fresh)
        )


def room_check(scopes: Iterable[Scope], context: RenderContext) -> Iterator[Directive]:
    """In the server block. nginx writes an answer that it stores to the disk before it sends it:
    on a full one the request would end.
    """
    if any(map(cache_of, scopes)):
        yield directive("set", Raw(f"${FULL_VARIABLE}"), "")
        path = quote(f"{context.home}/nginx/{ROOM_FILE}")
        yield directive(
            "if", Raw(f"(!-f {path})"), block=(directive("set", Raw(f"${FULL_VARIABLE}"), "1"),)
        )


def cache_lines(scope: Scope, user: str, *, is_choice: bool = False) -> Iterator[Directive]:
    """In a location that passes requests on; `user` is that of nginx's workers, or empty.
    `is_choice`: a machine is chosen there, and a try may fail while all instances are well.
    """
    cache = cache_of(scope)
    if cache is None:
        return
    yield directive("proxy_cache", _zone(scope, user))
    yield directive(
        "proxy_cache_key", WithDollar(f"{with_variables(cache.key)}{_added_key(scope)}")
    )
    for status, seconds in cache.times.items():
        if seconds:
            yield directive(
                "proxy_cache_valid", *((status,) if status else ()), whole_seconds(seconds)
            )
    bypass = [with_variables(text) for text in cache.bypass]
    no_cache = [with_variables(text) for text in cache.no_cache]
    unkeyed = Raw(f"${_of(UNKEYED_VARIABLE, scope)}")
    yield directive("proxy_cache_bypass", unkeyed, *bypass)
    not_shared = NOT_SHARED_BY_AUTH_VARIABLE if auth_of(scope) else _of(NOT_SHARED_VARIABLE, scope)
    checks = [not_shared, _status_variable(_stored_statuses(cache)), FULL_VARIABLE]
    checks += [NO_WORD_VARIABLE] if _looks_at_cookies(cache) else []
    yield directive(
        "proxy_no_cache", unkeyed, *(Raw(f"${name}") for name in checks), *bypass, *no_cache
    )
    yield directive("proxy_cache_background_update", "on")
    # nginx uses an expired answer before it follows `error_page` to the next try.
    if cases := tuple(case for case in cache.stale_cases if not is_choice or case != "error"):
        yield directive("proxy_cache_use_stale", *cases)
    if cache.lock:
        yield directive("proxy_cache_lock", "on")
    if cache.min_uses > 1:
        yield directive("proxy_cache_min_uses", str(cache.min_uses))
    if cache.revalidate:
        yield directive("proxy_cache_revalidate", "on")
    # When it was generated: clients count their own max-age from there (RFC 9111 4.2.3).
    yield directive("proxy_pass_header", "Date")


def cache_settings(scope: Scope, own: Settings, prefix: str) -> Settings:
    """The settings of a location, with the headers that belong to its cache. nginx takes
    conditions and ranges off all requests of a place that has one, also off a PUT; here they pass.
    """
    cache = cache_of(scope)
    if cache is None:
        return own
    conditions = tuple((name, f"${_condition(name)}") for name in _CONDITIONS)
    added = {"request headers": request_headers(scope, prefix=prefix, extra=conditions)}
    if cache.x_cache:
        status = directive("add_header", _X_CACHE, Raw("$upstream_cache_status"), "always")
        added["headers"] = (*own["headers"], status)
        added["replaced headers"] = (
            *own["replaced headers"],
            directive("proxy_hide_header", _X_CACHE),
        )
    return {**own, **added}


def cache_names(scopes: Iterable[Scope]) -> frozenset[str]:
    """The names of the folders of a site's caches, without the user of nginx's workers."""
    return frozenset(each.origin(_setting).slug for each in scopes if cache_of(each))


def is_purged(key: bytes, wanted: Collection[str]) -> bool:
    """Whether an answer that is stored under this key is one of those. `/a` is the path with
    whatever query, `/a?b` only that one, and `/a*` all that begins so; percent-encoding counts as
    what it stands for.
    """
    own = key.partition(KEY_MARK.encode())[0]
    path = unquote_to_bytes(own.partition(b"?")[0])
    whole = unquote_to_bytes(own)
    for text in wanted:
        plain = unquote_to_bytes(text.removesuffix("*"))
        if whole.startswith(plain) if text.endswith("*") else plain in {path, whole}:
            return bool(key)
    return False


def _unkeyed_map(*, trusting: bool) -> Directive:
    """Requests with something that apps look at and the key does not have: a body, another
    method. The fields of the key are told apart by `|`, so none has one inside.
    """
    method = "$http_x_http_method$http_x_http_method_override$http_x_method_override"
    fields = [f"$content_length|$http_transfer_encoding|{method}", *_fields(trusting=trusting)]
    known = r"^0?\|\|\|"
    if trusting:  # which of the two an app believes is its own matter
        other = "$http_x_forwarded_host$http_x_forwarded_proto"
        fields.insert(1, f"${claim_variable('Forwarded')}||{other}")
        one = r"(?![^|]*host[^|]*host)(?![^|]*proto[^|]*proto)[^|,]+"
        known += rf"(\|\|[^|]*|{one}\|\|)\|"
    known += rf"[^|]*(\|[^|]*){{{len(_fields(trusting=trusting)) - 1}}}$"
    source = '"' + "|".join(fields) + '"'
    return variable_map(
        source, _variant(UNKEYED_VARIABLE, trusting=trusting), "1", directive(f'"~*{known}"', "")
    )


def _login_map(*, trusting: bool) -> Directive:
    """Whether an app may know who asks: RFC 9111 3.5, and its siblings."""
    said = (f"${claim_variable(name)}" for name in IDENTITIES) if trusting else ()
    source = '"' + "".join(("$http_authorization$ssl_client_fingerprint", *said)) + '"'
    return variable_map(
        source, _variant(LOGIN_VARIABLE, trusting=trusting), _LOGIN_MARK, directive('""', "")
    )


def _shared_map(name: str, *, trusting: bool = False) -> Directive:
    """An answer to who is known is for others only if it says so (RFC 9111 3.5)."""
    login = (
        _LOGIN_MARK
        if name == NOT_SHARED_BY_AUTH_VARIABLE
        else f"${_variant(LOGIN_VARIABLE, trusting=trusting)}"
    )
    return variable_map(
        f'"{login}|$upstream_http_cache_control"',
        _variant(name, trusting=trusting),
        "1",
        directive("volatile"),
        directive(r'"~^\|"', ""),
        directive(rf'"~*^{_LOGIN_MARK}\|(.*[, ])?(public|must-revalidate|s-maxage)\b"', ""),
    )


def _no_word_map() -> Directive:
    """A page without a word about caching, for a client with cookies, may be its own."""
    words = "$upstream_http_cache_control|$upstream_http_expires|$upstream_http_x_accel_expires"
    return variable_map(
        f'"${COOKIE_VARIABLE}|{words}"',
        NO_WORD_VARIABLE,
        "1",
        directive("volatile"),
        directive(r'"~^\|"', ""),
        directive(r'"~*^cookie\|[^|]*\b(public|max-age|s-maxage)\b"', ""),
        directive(r'"~^cookie\|[^|]*\|.*[^|]"', ""),
    )


def _status_map(statuses: str) -> Directive:
    """The last try's is the one that counts: `502 : 200`."""
    return variable_map(
        "$upstream_status",
        _status_variable(statuses),
        "1",
        directive("volatile"),
        directive(r'"~(206|304)$"', "1"),
        directive(rf'"~(^|[ ,:])({statuses})$"', ""),
    )


def _stored_statuses(cache: Cache) -> str:
    """As a regular expression."""
    said: list[CacheStatus] = [status for status in cache.times if status]
    if "any" in said:
        return "[2-5][0-9][0-9]"
    return "|".join((*_STATUSES, *sorted({*said} - {*_STATUSES})))


def _added_key(scope: Scope) -> str:
    """What a key has beside the operator's part; the same number of fields for all of a site."""
    cache = cache_of(scope)
    cookie = f"${COOKIE_VARIABLE}" if cache and _looks_at_cookies(cache) else ""
    login = _LOGIN_MARK if auth_of(scope) else f"${_of(LOGIN_VARIABLE, scope)}"
    fields = _fields(trusting=trusts(scope.site))
    # Of several routes with one path, each has answers of its own.
    chosen = (f"route {scope.index}",) if scope.is_chosen else ()
    return "|".join((KEY_MARK[:-1], login, cookie, "$scheme", *fields, *chosen))


def _fields(*, trusting: bool) -> list[str]:
    said = (
        (f"${claim_variable(name)}" for name in (*FORWARDED_HEADERS, *REQUEST_CLAIMS))
        if trusting
        else ()
    )
    return ["$host$portico_port", *said]


def _looks_at_cookies(cache: Cache) -> bool:
    return any(cache.times.values()) and not cache.ignore_cookies


def _of(name: str, scope: Scope) -> str:
    return _variant(name, trusting=trusts(scope.site))


def _variant(name: str, *, trusting: bool) -> str:
    return f"{name}_said" if trusting else name


def _status_variable(statuses: str) -> str:
    return f"portico_cache_status_{digest(statuses)}"


def _condition(header: str) -> str:
    return f"portico_cache_{header.lower().replace('-', '_')}"


def _folder(scope: Scope, user: str) -> str:
    return scope.origin(_setting).slug + (USER_MARK + user.partition(" ")[0] if user else "")


def _zone(scope: Scope, user: str) -> str:
    """With the folder's name in its own: nginx refuses to reload when the folder of a zone has
    changed.
    """
    return f"cache-{_folder(scope, user)}"


def _setting(handling: RequestSettings) -> Cache | None:
    match handling.cache:
        case True:
            return _DEFAULT_CACHE
        case False:
            return _NO_CACHE
        case table:
            return table


def _grpc(handling: RequestSettings) -> bool | None:
    return handling.grpc
