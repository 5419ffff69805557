"""What nginx asks in a subrequest before it answers: another program whether the client has access
(`auth_request`), and a copy for another app (`mirror`). Both name a location of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.part import (
    DONE_OUTCOME,
    Outcome,
    OutcomeKind,
    Part,
    no_equal,
)
from portico.stack.importing.rules.proxying import is_ours
from portico.stack.importing.targets import Target, Targets, parse_target
from portico.stack.importing.values import duration, header_value, is_on

_SET_BY_AUTH: Final = {
    "content-length": "",
    "x-original-uri": "$request_uri",
    "x-original-method": "$request_method",
    "x-forwarded-uri": "$request_uri",
    "x-forwarded-method": "$request_method",
}
"""Headers of the question that Portico sets to the same."""
_ORIGINAL_URL: Final = {f"$scheme://{name}$request_uri" for name in ("$host", "$http_host")}
_IRRELEVANT_DIRECTIVES: Final = frozenset(
    {
        *("internal", "access_log", "log_not_found", "proxy_http_version", "proxy_buffering"),
        *("proxy_buffer_size", "proxy_buffers", "proxy_busy_buffers_size"),
        *("proxy_connect_timeout", "proxy_send_timeout", "proxy_request_buffering"),
    }
)
_RESPONSE: Final = "$upstream_http_"
_ONE_ANSWER: Final = no_equal("nginx asks there what no table of Portico asks")


def subrequests(
    part: Part, named: Mapping[str, Line], targets: Targets, asked: dict[int, Line]
) -> Iterator[tuple[Line, Outcome]]:
    """The lines of a level that say it together. `named` are the server's named locations; the
    locations that a table stands for are added to `asked`.
    """
    locations = (part.above or part).locations
    if line := next(part.own_lines("auth_request"), None):
        yield from _auth(line, part, _location(line, locations), named, targets, asked)
    if line := next(part.own_lines("mirror"), None):
        outcome = _mirror(line, part, _location(line, locations), targets, asked)
        yield from ((each, outcome) for each in part.own_lines("mirror", "mirror_request_body"))


def _location(line: Line, locations: Sequence[Line]) -> Line | None:
    path = line.args[0] if line.args else ""
    exact = (each for each in locations if each.args in {("=", path), (path,), (f"={path}",)})
    return next(exact, None)


def _auth(
    line: Line,
    part: Part,
    location: Line | None,
    named: Mapping[str, Line],
    targets: Targets,
    asked: dict[int, Line],
) -> Iterator[tuple[Line, Outcome]]:
    if line.args == ("off",):
        is_open = part.above is not None and part.above.first("auth_request") is not None
        yield line, part.set("auth", False, line) if is_open else DONE_OUTCOME
        return
    table = _question(location, part, targets)
    copies = dict(_copies(part))
    settings = list(part.own_lines("auth_request_set"))
    if location is None or table is None or len(copies) < len(settings):
        yield line, _ONE_ANSWER
        return
    carried: list[Line] = [line, *settings]
    requests, answers = {}, []
    for each in part.own_lines("proxy_set_header"):
        if len(each.args) > 1 and each.args[1] in copies:
            requests[each.args[0]] = copies[each.args[1]]
            carried.append(each)
    for each in part.own_lines("add_header"):
        if len(each.args) > 1 and copies.get(each.args[1], "").lower() == each.args[0].lower():
            answers.append(each.args[0])
            carried.append(each)
    if requests:
        is_same = all(name.lower() == own.lower() for name, own in requests.items())
        table["request_headers"] = list(requests) if is_same else requests
    if answers != ["Set-Cookie"]:
        table["headers"] = answers
    if page := _sign_in(part, named, table):
        carried.append(page)
        asked[id(named[page.args[-1]])] = named[page.args[-1]]
    asked[id(location)] = location
    outcome = part.set("auth", table, line)
    yield from ((each, outcome) for each in carried)


def _copies(part: Part) -> Iterator[tuple[str, str]]:
    """Variables that hold a header of the response, with its name."""
    for line in part.own_lines("auth_request_set"):
        if len(line.args) > 1 and line.args[1].startswith(_RESPONSE):
            words = line.args[1].removeprefix(_RESPONSE).split("_")
            yield line.args[0], "-".join(word.capitalize() for word in words)


def _question(location: Line | None, part: Part, targets: Targets) -> dict[str, object] | None:
    """Who is asked, and the path; None where the location does more than that."""
    table: dict[str, object] = {}
    variables = {each.args[0] for each in part.own_lines("auth_request_set") if each.args}
    for line in _lines(location, part):
        match line.name, line.args:
            case "proxy_set_header", (_, value) if value in variables:
                pass  # of its server, and still empty
            case "proxy_pass", (url,) if found := _target(url, line, targets):
                target, path = found
                asked = path or (location.args[-1].lstrip("=") if location else "")
                table[target.kind] = target.name
                if asked != "/":
                    table["path"] = asked
            case "proxy_set_header", (name, value) if _is_asked_with(name, value, part):
                pass
            case "proxy_read_timeout", (text,) if duration(text):
                table["timeout"] = duration(text)
            case "proxy_pass_request_body", ("off",):
                pass
            case name, _ if name in _IRRELEVANT_DIRECTIVES:
                pass
            case _:
                return None
    return table if "app" in table or "upstream" in table else None


def _lines(location: Line | None, part: Part) -> tuple[Line, ...]:
    """With the headers that it inherits."""
    own = tuple(location.block or ()) if location else ()
    if any(each.name == "proxy_set_header" for each in own):
        return own
    return (*own, *(part.above or part).own_lines("proxy_set_header"))


def _target(url: str, line: Line, targets: Targets) -> tuple[Target, str] | None:
    """None for HTTPS, whose certificate is checked in another way, and for a variable."""
    found = parse_target(url)
    if found is None or found[0] != "http":
        return None
    target = targets.of_host(found[1], line)
    return (target, found[2]) if target else None


def _is_asked_with(name: str, value: str, part: Part) -> bool:
    if name.lower() == "x-original-url":
        return value in _ORIGINAL_URL
    return _SET_BY_AUTH.get(name.lower()) == value or is_ours(name, value, part)


def _sign_in(part: Part, named: Mapping[str, Line], table: dict[str, object]) -> Line | None:
    """`error_page 401 = @name`, where that location only redirects."""
    for line in part.own_lines("error_page"):
        location = named.get(line.args[-1]) if line.args[:2] == ("401", "=") else None
        match [(each.name, each.args) for each in location.block or ()] if location else []:
            case [("return", ("302", url))] if header_value(url) and "$" not in url[:1]:
                table["sign_in"] = url
                return line
            case _:
                pass
    return None


def _mirror(
    line: Line,
    part: Part,
    location: Line | None,
    targets: Targets,
    asked: dict[int, Line],
) -> Outcome:
    if line.args == ("off",):
        is_open = part.above is not None and part.above.first("mirror") is not None
        return part.set("mirror", False, line) if is_open else DONE_OUTCOME
    table = _copy(location, part, targets)
    if location is None or table is None or len(list(part.own_lines("mirror"))) > 1:
        return no_equal("Portico copies a request to one app, with its path")
    with_body = part.argument("mirror_request_body", "on")
    if not is_on(with_body):
        table["request_body"] = False
    part.set("mirror", table, line)
    asked[id(location)] = location
    why = "" if "timeout" in table else "a copy ends after one second here; see timeout of mirror"
    return Outcome(OutcomeKind.CARRIED, why)


def _copy(location: Line | None, part: Part, targets: Targets) -> dict[str, object] | None:
    table: dict[str, object] = {}
    for line in _lines(location, part):
        match line.name, line.args:
            case "proxy_pass", (url,) if url.endswith("$request_uri") and (
                found := _target(url.removesuffix("$request_uri"), line, targets)
            ):
                table[found[0].kind] = found[0].name
            case "proxy_set_header", (name, value) if is_ours(name, value, part):
                pass
            case "proxy_read_timeout", (text,) if duration(text):
                table["timeout"] = duration(text)
            case name, _ if name in _IRRELEVANT_DIRECTIVES:
                pass
            case _:
                return None
    return table if table.keys() - {"timeout"} else None
