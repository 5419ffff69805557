"""What becomes of each key of a file in Kubernetes, as decision 0035 has it.

A key is exported, or lost with a note, or refused: who uses the program would notice its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from portico.core.model.app import App
from portico.core.model.document import Document
from portico.core.model.site import Maintenance, Site
from portico.core.model.units import Table

# Any: a key of any table
_IsUsed = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Rule:
    text: str
    """Of a note what happens, of a refused key what to do."""
    is_used: _IsUsed | None = None
    """Of the table; default: the key is set, to another value than its default."""


@dataclass(frozen=True, slots=True)
class KeyTable:
    exported: Collection[str]
    noted: Mapping[str, Rule] = field(default_factory=dict)
    refused: Mapping[str, Rule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusedKey:
    place: str
    key: str
    advice: str

    @property
    def name(self) -> str:
        """By which it is left out on purpose."""
        return self.key.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.place}: {self.key} ({self.advice})"


def _keys(text: str) -> list[str]:
    return text.split()


def _in_controller(what: str, is_used: _IsUsed | None = None) -> Rule:
    return Rule(f"set {what} in the controller", is_used)


def _is_off(key: str) -> _IsUsed:
    return lambda table: getattr(table, key) is False


def _is_in_maintenance(site: Site) -> bool:
    table = site.maintenance
    return table.on if isinstance(table, Maintenance) else table


_NO_EFFECT: Final = Rule("has no effect")
_PORT: Final = Rule("has no effect: the program must listen on $PORT")
_ALIKE: Final = Rule("has no effect: pods are alike")
_OWN_APP: Final = Rule("pods are alike: make it an app of its own, or leave it out")
APP: Final = KeyTable(
    _keys(
        "command script args interpreter interpreter_args env env_file stdin instances total port "
        "port_env health autostart schedule timeout ready_timeout after_ready_timeout batch "
        "replace_order drain_timeout stop_timeout weight"
    ),
    {
        "cwd": Rule("is the image's (WORKDIR)"),
        "inherit_env": Rule("has no effect: pods have the variables of the file alone"),
        "user": Rule("is set in the image (USER)"),
        "group": Rule("is set in the image (USER)"),
        "on": Rule("has no effect: set a nodeSelector"),
        "machines": _ALIKE,
        "find_port": _PORT,
        "port_fallback": _PORT,
        "instance_env": _ALIKE,
        "pm_id": _ALIKE,
        "autorestart": Rule(
            "is true in a Deployment",
            lambda app: not (app.autorestart or app.runs_once or app.schedule),
        ),
        **dict.fromkeys(("backoff", "backoff_limit", "max_restarts", "min_uptime"), _NO_EFFECT),
        "max_memory": Rule("ends the container where Portico starts its successor first"),
        **dict.fromkeys(("max_age", "restart_schedule"), _NO_EFFECT),
        **dict.fromkeys(("watch", "ignore_watch", "watch_delay"), _NO_EFFECT),
        "stop_signal": Rule("is set in the image (STOPSIGNAL)"),
        "logs": Rule("has no effect: logs are those of the cluster"),
        **dict.fromkeys(("slow_start", "max_fails", "fail_timeout", "keepalive"), _NO_EFFECT),
    },
    {
        "after": Rule("run what it names before each rollout, and end the rollout where it fails"),
        "stop_exit_codes": Rule("set autorestart = false, and it becomes a Job"),
        "tz": Rule("set it: a CronJob runs by the clock of the cluster, which is UTC as a rule"),
        "wait_ready": Rule("set health, to a check that fails until the program is ready"),
        "balance": _in_controller("what requests a pod gets", lambda app: app.balance.is_keyed),
        "sticky": _in_controller("affinity"),
        "max_conns": _in_controller("the limit"),
        "backup": _OWN_APP,
        "down": _OWN_APP,
        "slots": _OWN_APP,
    },
)
CHECK: Final = KeyTable(
    _keys("path host headers command grpc interval timeout rise fall grace restart"),
    {"method": Rule("is GET")},
    dict.fromkeys(
        ("status", "body"), Rule("name a path that answers 200 to 399 only where all is well")
    ),
)
HANDLING: Final = KeyTable(
    _keys(
        "app upstream redirect strip_prefix match aliases routes certificate key tls https default"
    ),
    {
        **dict.fromkeys(
            ("gzip", "brotli", "zstd"),
            Rule("has no effect: answers are sent as the app sends them"),
        ),
        "mirror": Rule("has no effect: no copies are sent", attrgetter("mirror")),
        "access_log": Rule("has no effect: logs are those of the cluster"),
        "proxy_connect_timeout": _NO_EFFECT,
    },
    {
        "folder": Rule("serve the files by an app"),
        "internal": Rule("serve the files by an app"),
        **dict.fromkeys(
            _keys(
                "client_max_body_size proxy_read_timeout proxy_send_timeout websocket_timeout "
                "retries wait error_pages "
                "hsts real_ip rate_limit connection_limit basic_auth satisfy allow deny "
                "client_certificates require_client_certificate redirect_http"
            ),
            _in_controller("it"),
        ),
        **{
            key: _in_controller("it", attrgetter(key))
            for key in _keys("grpc proxy_intercept_errors headers request_headers cache auth")
        },
        **{
            key: _in_controller("it", _is_off(key))
            for key in _keys("websocket buffering request_buffering")
        },
        "maintenance": Rule("export the file without it", _is_in_maintenance),
        "include": Rule("set what these lines do in the controller"),
    },
)
"""Of sites and routes. What has an equivalent in some kind of routing is refused in the others."""
UPSTREAM: Final = KeyTable(
    ("apps",),
    {"keepalive": _NO_EFFECT},
    {
        **dict.fromkeys(
            ("servers", "health", "tls", "tls_name", "tls_verify", "tls_ca"),
            Rule("add a Service and EndpointSlices for other servers"),
        ),
        "balance": _in_controller("what requests a pod gets", lambda each: each.balance.is_keyed),
        "sticky": _in_controller("affinity"),
    },
)
ISSUING: Final = KeyTable(
    _keys("issuer email key_type certificate key"),
    {
        **dict.fromkeys(
            ("challenge", "dns", "ca_bundle", "eab", "profile", "preferred_chain"),
            Rule("must be added to the Issuer or Certificate"),
        ),
        **dict.fromkeys(
            ("staging", "resolvers", "preflight", "limits", "files", "deploy_hook"), _NO_EFFECT
        ),
    },
)
EDGE: Final = KeyTable(
    (),
    dict.fromkeys(
        _keys(
            "http https public_http public_https bind http3 health_path nginx user workers "
            "worker_connections shutdown_timeout access_log_format log_max_size log_keep metrics "
            "log_total_size"
        ),
        Rule("is that of the controller"),
    ),
    {"include": Rule("set what these lines do in the controller")},
)
DOCUMENT: Final = KeyTable(
    _keys("project apps upstreams sites tls edge ecosystem"),
    {
        "notify": Rule("has no effect"),
        "machines": Rule("has no effect: replicas are the instances of one machine, or total"),
    },
    {"streams": Rule("add a Service of type LoadBalancer or NodePort")},
)
REFUSED_KEYS: Final = frozenset[str]().union(
    *(table.refused for table in (APP, CHECK, HANDLING, UPSTREAM, EDGE, DOCUMENT)),
    {"app", "redirect", "routes", "upstream"},
)
"""All that may be left out on purpose."""


def notes(document: Document) -> Iterator[str]:
    """What is lost of a file, and is not refused. By key, with all places that have it."""
    places: dict[tuple[str, str], list[str]] = {}
    for place, table, keys in _tables(document):
        for key, rule in keys.noted.items():
            if _is_used(table, key, rule):
                found = places.setdefault((key, rule.text), [])
                found += [place] if place not in found else []
    for (key, text), found in places.items():
        yield f"{', '.join(found)}: {key} {text}"


def refused_keys(document: Document, exported: Collection[str]) -> Iterator[RefusedKey]:
    """Each once. `exported`: what the kind of routing has an equivalent for."""
    found = (
        RefusedKey(place, key, rule.text)
        for place, table, keys in _tables(document)
        for key, rule in keys.refused.items()
        if not (keys is HANDLING and key in exported) and _needs(document, table, key, rule)
    )
    yield from dict.fromkeys(found)  # routes have the place of their site


def _needs(document: Document, table: Table, key: str, rule: Rule) -> bool:
    if isinstance(table, App) and key == "after":
        return any(name in document.apps and document.apps[name].runs_once for name in table.after)
    if isinstance(table, App) and key == "tz":
        return bool(table.schedule) and not table.tz
    return _is_used(table, key, rule)


def _tables(document: Document) -> Iterator[tuple[str, Table, KeyTable]]:
    """Each with its place."""
    for name, app in document.apps.items():
        yield name, app, APP
        yield f"{name}: health", app.check, CHECK
    for name, site in document.sites.items():
        for handling in site.handlings():
            yield name, handling, HANDLING
        if site.tls:
            yield f"{name}: tls", site.tls, ISSUING
    for name, upstream in document.upstreams.items():
        yield f"[upstreams.{name}]", upstream, UPSTREAM
    yield "[tls]", document.tls, ISSUING
    yield "[edge]", document.edge, EDGE
    yield "the file", document, DOCUMENT


def _is_used(table: Table, key: str, rule: Rule) -> bool:
    if key not in table.model_fields_set:
        return False
    if rule.is_used:
        return bool(rule.is_used(table))
    value, known = getattr(table, key), type(table).model_fields[key]
    return value is not None and value != known.get_default(call_default_factory=True)
