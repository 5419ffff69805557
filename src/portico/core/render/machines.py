"""The way of requests to other machines of the cluster, and from them.

    front     a try on an own instance failed, and no other is left: @far_N (or @farlive_N). An app
              that does not run here has no own tries: its locations pass to other machines
    far       another machine's nginx, by mutual TLS: a server that takes the certificates of the
              machines in [machines] alone, and passes to its own instances
    back      what could not be sent to an instance there comes back by X-Accel-Redirect, and goes
              to the next machine; what was sent and failed ends as at home

    chosen    `sticky` and a hash choose the machine before that (`affinity`): @machine_N (or
              @machinelive_N). What it did not get comes back, and is tried as above

A request crosses once at most: the server for other machines knows no far upstream. Nothing that a
client sends chooses the way, because the front sets all headers of the crossing; of a cookie only
the name of a machine that has the app ready is followed.

The front keeps bodies, answers and times as its site says; the other machine passes on what comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from portico.core.model.cluster import OwnMachine, machine_host
from portico.core.model.desired import Desired
from portico.core.model.names import (
    far_host,
    label_of,
    machines_host,
    streams_host,
    url_host,
)
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.affinity import (
    KEY,
    bound_variable,
    cookie_name,
    crossing_key_variable,
    key_of,
    key_variable,
    stream_way_variable,
)
from portico.core.render.bootstrap_peers import far_include, streams_include
from portico.core.render.directive import Directive, Raw, directive, milliseconds, size
from portico.core.render.passing import grpc_settings, proxy_target
from portico.core.render.retries import MACHINE_SUFFIX, has_stream, may_repeat
from portico.core.render.scope import Scope
from portico.core.render.settings import Settings

APP, WAY, REPEATED, KIND = (f"Portico-{word}" for word in ("App", "Way", "Repeated", "Kind"))
"""Headers of a crossing: the upstream; the location in front for what was not sent; `1` where no
further instance may get it once it was sent to one; and `stream` or `grpc`."""
UNSENT_STATUS: Final = "530"
"""The status of an answer that says that no instance got the request."""
CONNECT_TIMEOUT, FAIL_TIMEOUT = 1.0, "2s"
SENDER_KEEPALIVE, RECEIVER_KEEPALIVE = 4.0, "6s"
"""For how long an idle connection stays: the receiver answers for longer, also while it reloads
(`keepalive_min_timeout`), so that no request is sent on a closed connection."""
_IDLE_CONNECTIONS: Final = "16"
_RESOLVED_SERVICE: Final = ("service=http", "resolve")
_ZONE_SIZE: Final = 256 << 10
NEAR_VARIABLE, FAR_VARIABLE = "portico_near", "portico_far"
"""As `SENT_VARIABLE`: of tries on own instances of what can cross, and of those on others."""
MAX_OWN_TRIES: Final = 4
MAX_FAR_TRIES: Final = 5
"""Of one request on all machines: with the way from files to the app, the choice of the machine,
its end and the page of that, these are ten redirects."""
FAR_WAY, AWAY_WAY, MACHINE_WAY = (f"portico_{way}_way" for way in ("far", "away", "machine"))
_NO_PEER: Final = "255.255.255.255:1"
"""No connection to it leaves the machine."""
_CHOICE_CODE: Final = "420"
"""One that nginx never answers with by itself."""
QUIET_LOG: Final = "crit"
"""Of where nginx may choose this machine itself: that nothing connects there is no error."""


def is_clustered(desired: Desired, context: RenderContext) -> bool:
    machine = context.machine
    return bool(machine and desired.machine and (desired.other_machines or machine.has_store))


def can_cross(upstream: Upstream, desired: Desired, context: RenderContext) -> bool:
    """Whether another machine has what this upstream has here. Outside servers are the same from
    everywhere.
    """
    if not is_clustered(desired, context) or upstream.servers or not upstream.apps:
        return False
    return any(
        set(desired.machines_of(desired.apps[n].app)) - {desired.machine} for n in upstream.apps
    )


def is_away(upstream: Upstream, desired: Desired, context: RenderContext) -> bool:
    """Whether it is on other machines alone."""
    apps = (desired.apps[name].app for name in upstream.apps)
    return can_cross(upstream, desired, context) and not any(map(desired.is_here, apps))


def far_upstream(name: str) -> str:
    """No app or upstream of an operator is called so: their names have no dot."""
    return f"{label_of(name)}.far"


def machine_upstream(name: str) -> str:
    return f"{label_of(name)}{MACHINE_SUFFIX}"


def streams_upstream(name: str) -> str:
    """Of the machine that takes a stream: this one is a peer as the others are."""
    return f"{label_of(name)}.streams"


def crossing_key(upstream: Upstream, desired: Desired, context: RenderContext) -> str:
    """The key by which its requests are placed on machines and instances; empty under another
    method.
    """
    is_ours = is_clustered(desired, context) and upstream.apps and not upstream.servers
    return key_of(upstream.balance) if is_ours else ""


def crossing_cookie(upstream: Upstream, desired: Desired, context: RenderContext) -> str:
    """The name of the cookie that names the machine, too; empty without one."""
    return cookie_name(upstream) if can_cross(upstream, desired, context) else ""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the requests of a location are answered, apart from this machine."""

    can_cross: bool = False
    is_away: bool = False
    """As the functions of these names."""
    choice: tuple[Directive, ...] = ()
    """What the location has that chooses the machine first; nothing where that is no choice."""


def crossing_of(upstream: Upstream, desired: Desired, context: RenderContext) -> Crossing:
    if not can_cross(upstream, desired, context):
        return Crossing()
    return Crossing(True, is_away(upstream, desired, context), _machine_choice(upstream))


def _machine_choice(upstream: Upstream) -> tuple[Directive, ...]:
    choice = directive("return", _CHOICE_CODE)
    if cookie := cookie_name(upstream):
        return (directive("if", Raw(f"(${bound_variable(cookie)})"), block=(choice,)),)
    return (choice,) if upstream.is_placed_by_key else ()


def stream_way(upstream: Upstream, number: int) -> str:
    """Where a stream goes for which a machine is chosen."""
    if upstream.is_placed_by_key:
        return f"@stream_{number}"
    return Raw(f'"@${{{stream_way_variable(cookie_name(upstream))}}}_{number}"')


def machine_choice_page(number: int) -> Directive:
    return directive("error_page", _CHOICE_CODE, "=", Raw(f'"@${{{MACHINE_WAY}}}_{number}"'))


def machine_name(number: int, *, live: bool = False) -> str:
    return f"@machine{'live' if live else ''}_{number}"


def far_blocks(
    name: str, upstream: Upstream, desired: Desired, context: RenderContext, *, streams: bool
) -> Iterator[Directive]:
    """`streams`: whether a body is sent to it that cannot be sent twice."""
    if not can_cross(upstream, desired, context):
        return
    servers = (_server(far_host(app)) for app in upstream.apps)
    peers = (*servers, *(far_include(app, context) for app in upstream.apps))
    yield _block(far_upstream(name), peers, context)
    own = desired.machines[desired.machine]
    if cookie := cookie_name(upstream):
        bound = (
            directive("sticky", "route", Raw(f"${bound_variable(cookie)}")),
            *(_server(far_host(app), "drain") for app in upstream.apps),
            *(far_include(app, context) for app in upstream.apps),
        )
        yield _block(
            machine_upstream(name), (*bound, directive("server", _NO_PEER, "max_fails=0")), context
        )
        if streams and is_away(upstream, desired, context):
            yield _block(streams_upstream(name), (bound[0], *peers), context)
        elif streams:
            here = directive("server", f"{url_host(own.address)}:{own.port}", "max_fails=0")
            yield _block(streams_upstream(name), (*bound, here), context)
    elif key := key_of(upstream.balance):
        by_key = directive("hash", Raw(f"${key_variable(key)}"), "consistent")
        placed = [_server(far_host(app)) for app in upstream.apps]
        if not is_away(upstream, desired, context):
            # Each request that belongs to this machine is a failure of it there.
            own_hosts = map(machines_host, upstream.apps)
            placed += [
                directive("server", host, *_RESOLVED_SERVICE, "max_fails=0") for host in own_hosts
            ]
        yield _block(machine_upstream(name), (by_key, *placed), context)
        if streams:
            taking = (_server(streams_host(app)) for app in upstream.apps)
            include = far_include if is_away(upstream, desired, context) else streams_include
            bootstrap = (include(app, context) for app in upstream.apps)
            yield _block(streams_upstream(name), (by_key, *taking, *bootstrap), context)


def _block(name: str, peers: Iterable[Directive], context: RenderContext) -> Directive:
    lines = (
        directive("zone", name, size(_ZONE_SIZE)),
        *peers,
        directive("resolver", context.resolver),
        directive("resolver_timeout", "1s"),
        directive("keepalive", _IDLE_CONNECTIONS),
        directive("keepalive_timeout", milliseconds(SENDER_KEEPALIVE)),
    )
    return directive("upstream", name, block=lines)


def _server(host: str, *words: str) -> Directive:
    return directive("server", host, *_RESOLVED_SERVICE, f"fail_timeout={FAIL_TIMEOUT}", *words)


def streamed_upstreams(places: Iterable[Scope], desired: Desired) -> frozenset[str]:
    """Those that get bodies which cannot be sent twice; looked for in a cluster alone."""
    if not desired.machine:
        return frozenset()
    targets = (scope.target for scope in places if has_stream(scope))
    return frozenset(name for each in targets if (name := each.app or each.upstream))


def far_name(number: int, *, live: bool = False) -> str:
    """The location from which requests cross again."""
    return f"@far{'live' if live else ''}_{number}"


def far_settings(
    scope: Scope, own: Settings, name: str, upstream: Upstream, number: int, way: str
) -> Settings:
    """For HTTP: with the headers of the crossing. `way` is the variable with the location to which
    come back those that were not sent, without its number.
    """
    return {
        **own,
        "connect": (directive("proxy_connect_timeout", milliseconds(CONNECT_TIMEOUT)),),
        "request headers": (
            *own["request headers"],
            *crossing_headers(
                "proxy",
                app=label_of(name),
                way=Raw(f'"@${{{way}}}_{number}"'),
                repeated=Raw(f"${FAR_VARIABLE}" if may_repeat(scope) else "1"),
                key=_key_header(upstream),
            ),
        ),
    }


def _key_header(upstream: Upstream) -> str:
    key = key_of(upstream.balance)
    return Raw(f"${crossing_key_variable(key)}") if key else ""


def crossing_headers(
    protocol: str,
    *,
    app: str = "",
    way: str = "",
    repeated: str = "",
    key: str = "",
    kind: str = "",
) -> Iterator[Directive]:
    """All of them, each time: what a client sends under their names goes nowhere."""
    values = {APP: app, WAY: way, REPEATED: repeated, KEY: key, KIND: kind}
    for header, value in values.items():
        yield directive(f"{protocol}_set_header", header, value or Raw('""'))


def stream_settings(own: Settings) -> Settings:
    """For a body that is passed on while it arrives: it cannot come back."""
    lines = {
        name: directive("proxy_set_header", name, value)
        for name, value in ((WAY, Raw('""')), (KIND, "stream"))
    }
    headers = own["request headers"]
    return {**own, "request headers": tuple(lines.get(_header(each), each) for each in headers)}


def _header(line: Directive) -> str:
    return line.head.split(" ")[1]


def far_passing(
    scope: Scope, name: str, upstream: Upstream, context: RenderContext, prefix: str
) -> Iterator[Directive]:
    """As `passing`, to another machine."""
    return passing_to(far_upstream(name), scope, name, upstream, context, prefix)


def passing_to(
    far: str, scope: Scope, name: str, upstream: Upstream, context: RenderContext, prefix: str
) -> Iterator[Directive]:
    """`far` is an upstream block of other machines, and perhaps of this one."""
    machine = context.machine
    if machine is None:
        return
    if scope.value(lambda handling: handling.grpc):
        yield from grpc_settings(scope, prefix, connect_timeout=CONNECT_TIMEOUT)
        key = _key_header(upstream)
        yield from crossing_headers("grpc", app=label_of(name), key=key, kind="grpc")
        yield from tls_to_machines(machine, "grpc")
        yield directive("grpc_pass", f"grpcs://{far}")
        return
    yield from tls_to_machines(machine, "proxy")
    yield directive("proxy_pass", proxy_target(f"https://{far}", prefix))


def far_question(name: str, context: RenderContext) -> Iterator[Directive]:
    """For a request of nginx's own, which needs no way back."""
    if context.machine:
        yield from crossing_headers("proxy", app=label_of(name))
        yield from tls_to_machines(context.machine, "proxy")


def tls_to_machines(machine: OwnMachine, protocol: str, name: str = "") -> Iterator[Directive]:
    """To the machine of this name, or to any: a host that begins with a dot is that of each
    (X509_check_host(3)).
    """
    yield directive(f"{protocol}_ssl_certificate", machine.certificate)
    yield directive(f"{protocol}_ssl_certificate_key", machine.key)
    yield directive(f"{protocol}_ssl_trusted_certificate", machine.authority)
    yield directive(f"{protocol}_ssl_verify", "on")
    yield directive(f"{protocol}_ssl_name", machine_host(name))
    yield directive(f"{protocol}_ssl_protocols", "TLSv1.3")
