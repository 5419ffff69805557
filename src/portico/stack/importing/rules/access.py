"""Who may come in, and how often: networks, passwords, limits, proxies in front."""

from __future__ import annotations

from typing import Final

from portico.core.model.nginx_lines import Line
from portico.core.model.site import parse_network
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    Part,
    Rules,
    no_equal,
)
from portico.stack.importing.paths import beside_nginx
from portico.stack.importing.values import whole_number

_ADDRESS_KEYS: Final = frozenset({"$binary_remote_addr", "$remote_addr"})
_SITE_KEYS: Final = frozenset({"$server_name", "$host", "$http_host"})
_STATUS_OF_NGINX: Final = 503
_STATUS_OF_OURS: Final = 429


def networks(_: Line, part: Part) -> Outcome:
    return part.decide_group("networks", lambda: _networks(part))


def _networks(part: Part) -> Outcome:
    """Nginx takes the first line that fits; here those denied come first, then those allowed."""
    rules = [(line.name, line.args[0]) for line in part.own_lines("allow", "deny")]
    ends = rules[-1][1] == "all"
    closed = ends and rules[-1][0] == "deny"
    named = rules[:-1] if ends else rules
    kinds = [kind for kind, _ in named]
    is_ordered = kinds == sorted(kinds, reverse=True)  # denied before allowed
    if not is_ordered or any(network == "all" for _, network in named):
        return no_equal("Portico takes those denied first, then those allowed")
    try:
        found = [(kind, parse_network(network)) for kind, network in named]
    except ValueError as error:
        return no_equal(f"a network {error}")
    allowed = [network for kind, network in found if kind == "allow"]
    denied = [network for kind, network in found if kind == "deny"]
    line = next(part.own_lines("allow", "deny"))
    above = part.above.table if part.above else {}
    if (above.get("allow") and not allowed and not closed) or (above.get("deny") and not denied):
        return no_equal("a route keeps those that its site allows or denies")
    if closed and not allowed:
        return part.set("deny", ["all"], line)
    if allowed and closed:
        part.set("allow", allowed, line)
    if denied:
        part.set("deny", denied, line)
    return CARRIED_OUTCOME


def password(line: Line, part: Part) -> Outcome:
    if line.args[0] == "off":
        if part.first("auth_basic") is line and part.above and part.above.argument("auth_basic"):
            return no_equal("a route cannot open what its site closes with a password")
        return DONE_OUTCOME
    return part.decide_group("password", lambda: _password(part))


def _password(part: Part) -> Outcome:
    realm, file = part.argument("auth_basic"), part.first("auth_basic_user_file")
    if file is None or "$" in file.args[0] or "$" in realm:
        return no_equal()
    table: dict[str, object] = {"file": beside_nginx(file.args[0], file)}
    if realm and realm != "restricted":
        table = {"realm": realm.replace('"', "'").replace("\\", "/"), **table}
    line = next(part.own_lines("auth_basic", "auth_basic_user_file"))
    return part.set("basic_auth", table, line)


def password_file(_: Line, part: Part) -> Outcome:
    if not part.argument("auth_basic") or part.argument("auth_basic") == "off":
        return DONE_OUTCOME  # without a realm nginx does not read it
    return part.decide_group("password", lambda: _password(part))


def satisfy(line: Line, part: Part) -> Outcome:
    return DONE_OUTCOME if line.args[0] == "all" else part.set("satisfy", line.args[0], line)


def rate(line: Line, part: Part) -> Outcome:
    if sum(1 for _ in part.own_lines("limit_req")) > 1:
        return no_equal("a place has one rate_limit here")
    words = dict(word.partition("=")[::2] for word in line.args)
    zone = part.definitions.zones.get(words.get("zone", ""))
    per = _count_by(zone.args[0]) if zone else None
    rates = [each[5:] for each in zone.args if each.startswith("rate=")] if zone else []
    if per is None or not rates or "delay" in words:
        return no_equal("Portico counts by client address or for the whole site")
    table: dict[str, object] = {"rate": rates[0]}
    if whole_number(words.get("burst", "")):
        table["burst"] = whole_number(words["burst"])
    if "nodelay" in words:
        table["nodelay"] = True
    return part.set("rate_limit", _limit_table(table, per, "limit_req_status", part), line)


def connections(line: Line, part: Part) -> Outcome:
    zone = part.definitions.zones.get(line.args[0])
    per = _count_by(zone.args[0]) if zone else None
    number = whole_number(line.args[1]) if len(line.args) > 1 else None
    if per is None or number is None or sum(1 for _ in part.own_lines("limit_conn")) > 1:
        return no_equal("Portico counts by client address or for the whole site")
    table = _limit_table({"connections": number}, per, "limit_conn_status", part)
    return part.set("connection_limit", table, line)


def _count_by(key: str) -> str | None:
    return "address" if key in _ADDRESS_KEYS else "site" if key in _SITE_KEYS else None


def _limit_table(table: dict[str, object], per: str, status: str, part: Part) -> dict[str, object]:
    if per != "address":
        table["per"] = per
    code = whole_number(part.argument(status)) or _STATUS_OF_NGINX
    return table if code == _STATUS_OF_OURS else {**table, "status": code}


def limit_status(_: Line, part: Part) -> Outcome:
    named = part.first("limit_req", "limit_conn")
    return CARRIED_OUTCOME if named else DONE_OUTCOME


def real_ip(line: Line, part: Part) -> Outcome:
    return part.decide_group("real_ip", lambda: _real_ip(line, part))


def _real_ip(line: Line, part: Part) -> Outcome:
    if part.above:
        return no_equal("it is a setting of the whole site")
    trusted = [each.args[0] for each in part.own_lines("set_real_ip_from")]
    if not trusted:
        return DONE_OUTCOME  # without a trusted network nginx changes nothing
    try:
        table: dict[str, object] = {"trust": [parse_network(each) for each in trusted]}
    except ValueError:
        return no_equal("real_ip takes addresses and networks only")
    header = part.argument("real_ip_header", "X-Real-IP")
    if header == "proxy_protocol":
        table["proxy_protocol"] = True
    elif header != "X-Forwarded-For":
        table["header"] = header
    if part.argument("real_ip_recursive", "off") != "on" and header == "X-Forwarded-For":
        table["recursive"] = False
    return part.set("real_ip", table, line)


RULES: Final[Rules] = {
    "allow": networks,
    "deny": networks,
    "auth_basic": password,
    "auth_basic_user_file": password_file,
    "satisfy": satisfy,
    "limit_req": rate,
    "limit_conn": connections,
    "limit_req_status": limit_status,
    "limit_conn_status": limit_status,
    "set_real_ip_from": real_ip,
    "real_ip_header": real_ip,
    "real_ip_recursive": real_ip,
}
