"""The way of requests to other machines of the cluster, and from them.

    front     a try on an own instance failed, and no other is left: @far_N (or @farlive_N). An app
              that does not run here has no own tries: its locations pass to other machines
    far       another machine's nginx, by mutual TLS: a server that takes the certificates of the
              machines in [machines] alone, and passes to its own instances
    back      what could not be sent to an instance there comes back by X-Accel-Redirect, and goes
              to the next machine; what was sent and failed ends as at home

A request crosses once at most: the server for other machines knows no far upstream. Nothing that a
client sends chooses the way, because the front sets all headers of the crossing.

The front keeps bodies, answers and times as its site says; the other machine passes on what comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.core.model.cluster import OwnMachine, machine_host
from portico.core.model.desired import Desired
from portico.core.model.names import far_host, label_of
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.render.bootstrap_peers import far_include
from portico.core.render.directive import Directive, Raw, d, milliseconds, size
from portico.core.render.passing import grpc_settings, proxy_target
from portico.core.render.retries import (
    may_repeat,
)
from portico.core.render.scope import Scope
from portico.core.render.settings import Settings

APP, WAY, REPEATED, KIND = (f"Portico-{word}" for word in ("App", "Way", "Repeated", "Kind"))
"""Headers of a crossing: the upstream; the location in front for what was not sent; `1` where no
further instance may get it once it was sent to one; and `stream` or `grpc`."""
UNSENT: Final = "530"
"""The status of an answer that says that no instance got the request."""
CONNECT_TIMEOUT, FAIL_TIMEOUT = 1.0, "2s"
SENDER_KEEPALIVE, RECEIVER_KEEPALIVE = 4.0, "6s"
"""For how long an idle connection stays: the receiver answers for longer, also while it reloads
(`keepalive_min_timeout`), so that no request meets a closed door."""
_IDLE_CONNECTIONS: Final = "16"
_ZONE_SIZE: Final = 256 << 10
NEAR, FAR = "portico_near", "portico_far"
"""As `SENT`: of tries on own instances of what can cross, and of those on other machines."""
MAX_OWN_TRIES: Final = 4
FAR_WAY, AWAY_WAY = "portico_far_way", "portico_away_way"


def is_clustered(desired: Desired, context: RenderContext) -> bool:
    machine = context.machine
    return bool(machine and desired.machine and (desired.others or machine.has_store))


def can_cross(upstream: Upstream, desired: Desired, context: RenderContext) -> bool:
    """Whether another machine has what this upstream has here. Outside servers are the same from
    everywhere.
    """
    if not is_clustered(desired, context) or upstream.servers or not upstream.apps:
        return False
    return any(set(desired.placed(desired.apps[n].app)) - {desired.machine} for n in upstream.apps)


def is_away(upstream: Upstream, desired: Desired, context: RenderContext) -> bool:
    """Whether it is on other machines alone."""
    apps = (desired.apps[name].app for name in upstream.apps)
    return can_cross(upstream, desired, context) and not any(map(desired.is_here, apps))


def far_upstream(name: str) -> str:
    """No app or upstream of an operator is called so: their names have no dot."""
    return f"{label_of(name)}.far"


def far_block(
    name: str, upstream: Upstream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    if not can_cross(upstream, desired, context):
        return
    lines = (
        d("zone", far_upstream(name), size(_ZONE_SIZE)),
        *(_far_server(app) for app in upstream.apps),
        *(far_include(app, context) for app in upstream.apps),
        d("resolver", context.resolver),
        d("resolver_timeout", "1s"),
        d("keepalive", _IDLE_CONNECTIONS),
        d("keepalive_timeout", milliseconds(SENDER_KEEPALIVE)),
    )
    yield d("upstream", far_upstream(name), block=lines)


def _far_server(app: str) -> Directive:
    return d("server", far_host(app), "service=http", "resolve", f"fail_timeout={FAIL_TIMEOUT}")


def far_name(number: int, *, live: bool = False) -> str:
    """The location from which requests cross again."""
    return f"@far{'live' if live else ''}_{number}"


def far_settings(scope: Scope, own: Settings, name: str, number: int, way: str) -> Settings:
    """For HTTP: with the headers of the crossing. `way` is the variable with the location to which
    come back those that were not sent, without its number.
    """
    return {
        **own,
        "connect": (d("proxy_connect_timeout", milliseconds(CONNECT_TIMEOUT)),),
        "request headers": (
            *own["request headers"],
            d("proxy_set_header", APP, label_of(name)),
            d("proxy_set_header", WAY, Raw(f'"@${{{way}}}_{number}"')),
            d("proxy_set_header", REPEATED, Raw(f"${FAR}" if may_repeat(scope) else "1")),
            d("proxy_set_header", KIND, Raw('""')),
        ),
    }


def stream_settings(own: Settings) -> Settings:
    """For a body that is passed on while it arrives: it cannot come back."""
    headers = (*own["request headers"][:-1], d("proxy_set_header", KIND, "stream"))
    return {**own, "request headers": headers}


def far_passing(
    scope: Scope, name: str, _: Upstream, context: RenderContext, prefix: str
) -> Iterator[Directive]:
    """As `passing`, to another machine."""
    machine, far = context.machine, far_upstream(name)
    if machine is None:
        return
    if scope.value(lambda handling: handling.grpc):
        yield from grpc_settings(scope, prefix, connect_timeout=CONNECT_TIMEOUT)
        yield d("grpc_set_header", APP, label_of(name))
        yield d("grpc_set_header", WAY, Raw('""'))
        yield d("grpc_set_header", REPEATED, Raw('""'))
        yield d("grpc_set_header", KIND, "grpc")
        yield from tls_to_machines(machine, "grpc")
        yield d("grpc_pass", f"grpcs://{far}")
        return
    yield from tls_to_machines(machine, "proxy")
    yield d("proxy_pass", proxy_target(f"https://{far}", prefix))


def far_question(name: str, context: RenderContext) -> Iterator[Directive]:
    """For a request of nginx's own, which needs no way back."""
    if context.machine:
        yield d("proxy_set_header", APP, label_of(name))
        for header in (WAY, REPEATED, KIND):
            yield d("proxy_set_header", header, Raw('""'))
        yield from tls_to_machines(context.machine, "proxy")


def tls_to_machines(machine: OwnMachine, protocol: str, name: str = "") -> Iterator[Directive]:
    """To the machine of this name, or to any: a host that begins with a dot is that of each
    (X509_check_host(3)).
    """
    yield d(f"{protocol}_ssl_certificate", machine.certificate)
    yield d(f"{protocol}_ssl_certificate_key", machine.key)
    yield d(f"{protocol}_ssl_trusted_certificate", machine.authority)
    yield d(f"{protocol}_ssl_verify", "on")
    yield d(f"{protocol}_ssl_name", machine_host(name))
    yield d(f"{protocol}_ssl_protocols", "TLSv1.3")
