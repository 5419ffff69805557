"""The `upstream` block of an app, of several apps together, or of servers elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from portico.core.model.balancing import Balance, Method
from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.names import app_host, is_ip, label_of
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Server, Upstream
from portico.core.render.affinity import NETWORK, key_variable
from portico.core.render.bootstrap_peers import bootstrap_includes
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    milliseconds,
    size,
    whole_seconds,
)
from portico.core.render.machines import (
    crossing_cookie,
    crossing_key,
    far_blocks,
)
from portico.core.render.relay import is_relayed, relay_peer, relayed_upstream
from portico.core.render.retries import retry_upstream

PEERS_IN_SMALLEST_ZONE, BYTES_A_PEER = 64, 4096
KEEPALIVE_BY_DEFAULT = (1, 29, 7)
_RETRY_BALANCING = {"balance": Balance(), "sticky": False, "keepalive": 0}
"""Of `retry_upstream`: its peers are asked by turns, on new connections."""
_RETRY_FAILURE_LIMITS = {"max_fails": 0, "fail_timeout": 10.0}
"""And none is left out for having failed: here come requests when all others are."""


def upstream_blocks(
    desired: Desired, context: RenderContext, streamed: frozenset[str] = frozenset()
) -> Iterator[Directive]:
    """`streamed` are those that get bodies which cannot be sent twice."""
    desired_for_retries = _without_failure_limits(desired)
    for name, upstream in desired.upstreams.items():
        label = label_of(name)
        yield directive("upstream", label, block=_block(label, name, upstream, desired, context))
        retry_name, by_turns = retry_upstream(label), upstream.model_copy(update=_RETRY_BALANCING)
        yield directive(
            "upstream",
            retry_name,
            block=_block(retry_name, name, by_turns, desired_for_retries, context),
        )
        if name in streamed and is_relayed(upstream, desired, context):
            yield _relayed_block(name, upstream, desired, context)
        yield from far_blocks(name, upstream, desired, context, streams=name in streamed)


def _relayed_block(
    name: str, upstream: Upstream, desired: Desired, context: RenderContext
) -> Directive:
    """The same instances, and other machines behind them; `random` has no backups."""
    balance = upstream.balance if upstream.balance.has_backup else Balance()
    first = upstream.model_copy(update={"balance": balance})
    label = relayed_upstream(name)
    lines = (*_block(label, name, first, desired, context), relay_peer(name, context))
    return directive("upstream", label, block=lines)


def _without_failure_limits(desired: Desired) -> Desired:
    apps = {
        name: replace(
            app, spec=replace(app.spec, app=app.app.model_copy(update=_RETRY_FAILURE_LIMITS))
        )
        for name, app in desired.apps.items()
    }
    return replace(desired, apps=apps)


def network_map() -> Directive:
    """ip_hash's key: the first three octets of an IPv4 address, else the whole address."""
    return directive(
        "map",
        Raw("$remote_addr"),
        Raw(f"${NETWORK}"),
        block=(
            directive("default", Raw("$remote_addr")),
            directive(r'"~^(\d+\.\d+\.\d+)\.\d+$"', Raw("$1")),
        ),
    )


def _block(
    label: str, name: str, upstream: Upstream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    yield zone_line(label, upstream, desired)
    # The order is not free: sticky written before the method silently does nothing.
    if key := crossing_key(upstream, desired, context):
        yield directive("hash", Raw(f"${key_variable(key)}"), "consistent")
    else:
        yield from _method(upstream)
    names_machine = crossing_cookie(upstream, desired, context)
    yield from _sticky(upstream, desired.machine if names_machine else "")
    yield from peer_lines(name, upstream, desired, context)
    is_waited_for = any(desired.apps[app].wait for app in upstream.apps)
    yield from _keepalive(upstream, context, seconds=1 if is_waited_for else 4)


def zone_line(name: str, upstream: Upstream, desired: Desired) -> Directive:
    apps = [desired.apps[app] for app in upstream.apps]
    return directive("zone", name, _zone_size(apps, upstream.servers))


def peer_lines(
    name: str, upstream: Upstream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """The peers, and who knows where they are: the same in nginx's http and in its stream."""
    apps = [desired.apps[app] for app in upstream.apps]
    is_shared = len(apps) + len(upstream.servers) > 1
    for app in apps:
        yield _app_server(app, is_shared=is_shared)
    yield from bootstrap_includes(name, upstream, desired, context)
    if upstream.check:
        yield _checked_servers(name, upstream.servers[0])
    else:
        scale = max((a.scale for a in apps), default=1)
        for server in upstream.servers:
            is_resolved = not apps and _is_resolved(server, context)
            yield _server(server, is_resolved=is_resolved, scale=scale)
    yield from _resolver(upstream, context)


def _zone_size(apps: list[DesiredApp], servers: tuple[Server, ...]) -> str:
    """Room for the peers and for those that are just being replaced.

    In powers of two, so that hardly any change of the number of instances is a reload.
    """
    peers, room = sum(app.instances for app in apps) + len(servers), PEERS_IN_SMALLEST_ZONE
    while room < peers:
        room *= 2
    return size(room * BYTES_A_PEER)


def _method(upstream: Upstream) -> Iterator[Directive]:
    match upstream.balance:
        case Balance(Method.IP_HASH) if upstream.is_discovered:
            yield directive("hash", Raw(f"${NETWORK}"), "consistent")
        case balance:
            yield from method_line(balance, of_apps=upstream.is_discovered)


def method_line(balance: Balance, *, of_apps: bool) -> Iterator[Directive]:
    """Peers of an app come and go, so that its hashes are consistent ones, which move nobody
    else, and least_time counts what is under way: a fresh peer's time is 0 until it answers.
    """
    words = balance.words
    match balance:
        case Balance(Method.ROUND_ROBIN):
            return
        case Balance(Method.HASH):
            consistent = ("consistent",) if of_apps or "consistent" in words else ()
            yield directive("hash", WithDollar(words[0]), *consistent)
        case Balance(Method.LEAST_TIME) if of_apps and "inflight" not in words:
            yield directive("least_time", *words, "inflight")
        case Balance(method):
            yield directive(method, *words)


def _sticky(upstream: Upstream, machine: str) -> Iterator[Directive]:
    """The name of the machine is a part of the cookie's name for nginx, which writes `=` and the
    instance after it, and knows no instance in the cookie of another machine.
    """
    cookie = upstream.sticky_cookie
    if cookie is None:
        return
    words = [f"{cookie.cookie}={machine}" if machine else cookie.cookie]
    words += [f"expires={whole_seconds(cookie.expires)}"] if cookie.expires is not None else []
    words += [f"domain={cookie.domain}"] if cookie.domain else []
    words += ["httponly"] if cookie.httponly else []
    words += ["secure"] if cookie.secure else []
    words += [f"samesite={cookie.samesite}"] if cookie.samesite else []
    words += [f"path={cookie.path}"] if cookie.path else []
    yield directive("sticky", "cookie", *words)


def _app_server(wanted: DesiredApp, *, is_shared: bool) -> Directive:
    """Weights are in discovery's answers; one on this line would replace all of those.

    An app that is alone cannot be its own backup, and its `down` too is discovery's matter.
    """
    app = wanted.app
    return directive(
        "server",
        app_host(wanted.name),
        "service=http",
        "resolve",
        *_limits(app.max_conns, app.max_fails, app.fail_timeout),
        *(("backup",) if is_shared and app.backup else ()),
        *(("down",) if is_shared and app.down else ()),
    )


def _checked_servers(upstream: str, first: Server) -> Directive:
    """Those that pass their check. Weights and backups are in discovery's answers."""
    limits = _limits(first.max_conns, first.max_fails, first.fail_timeout)
    return directive("server", app_host(upstream), "service=http", "resolve", *limits)


def _server(server: Server, *, is_resolved: bool, scale: int) -> Directive:
    weight = server.weight * scale
    return directive(
        "server",
        server.address,
        *(("resolve",) if is_resolved else ()),
        *((f"weight={weight}",) if weight != 1 else ()),
        *_limits(server.max_conns, server.max_fails, server.fail_timeout),
        *(("backup",) if server.backup else ()),
        *(("down",) if server.down else ()),
    )


def _limits(max_conns: int, max_fails: int, fail_timeout: float) -> Iterator[str]:
    """Left out where they are what nginx takes anyway."""
    if max_conns:
        yield f"max_conns={max_conns}"
    if max_fails != 1:
        yield f"max_fails={max_fails}"
    if whole_seconds(fail_timeout) != "10s":
        yield f"fail_timeout={whole_seconds(fail_timeout)}"


def _resolver(upstream: Upstream, context: RenderContext) -> Iterator[Directive]:
    """An upstream has one resolver, and apps need discovery's: an outside server beside them
    is resolved by the system when nginx starts.

    No `valid`: it would replace the TTL of both answers, which is 0 where instances are
    listed and long where a slot's name has its address. nginx waits for `resolver_timeout`
    between two questions that were not answered.
    """
    if upstream.is_discovered:
        yield directive("resolver", context.resolver, *(() if upstream.check else ("ipv6=off",)))
        yield directive("resolver_timeout", "1s")
    elif any(_is_resolved(server, context) for server in upstream.servers):
        yield directive("resolver", *context.nameservers)
        yield directive("resolver_timeout", "5s")


def _is_resolved(server: Server, context: RenderContext) -> bool:
    host = server.address.rpartition(":")[0]
    is_name = host != "unix" and not is_ip(host)
    return is_name and host not in context.hosts and bool(context.nameservers)


def _keepalive(upstream: Upstream, context: RenderContext, *, seconds: int) -> Iterator[Directive]:
    """`seconds` for which an idle connection stays open. They are below the 5 s after which Node
    and uvicorn close it, so that no request is sent on a closed one; and fewer where requests are
    held at a restart until these connections have ended.
    """
    if not upstream.keepalive:
        if context.build.version >= KEEPALIVE_BY_DEFAULT:
            yield directive("keepalive", "0")
        return
    yield directive("keepalive", str(upstream.keepalive))
    yield directive("keepalive_timeout", milliseconds(seconds))
    yield directive("keepalive_requests", "10000")
