"""Affinity over machines: by the cookie of `sticky`, and by the key of `hash` and `ip_hash`.

    cookie   `portico=m2=8d1f…` names the machine, and as nginx writes it the instance there. A
             request with the cookie of another machine crosses to that one first
    key      the machine is chosen by a consistent hash, with as many points as it has instances,
             and by the same hash its nginx chooses among these

So it is the same machine wherever a request enters. One that is not there any more, or does not
take the request, is left out, and the way is that of all requests: own instances, or other
machines.

The key crosses in a header, because the other machine does not see the client's address. Of what a
client sends only names of machines in the list are followed, and a request that has crossed is not
looked at: the server for other machines knows none of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import md5
from typing import Final

from portico.core.model.balancing import Balance, Method
from portico.core.model.cluster import Machine, OwnMachine
from portico.core.model.names import url_host
from portico.core.model.upstream import Upstream
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    map_key,
    quote,
    variable_map,
)
from portico.core.render.scope import digest

NETWORK: Final = "portico_network"
"""The variable that holds what ip_hash looks at of a client's address."""
KEY: Final = "Portico-Key"
"""Header of a crossing: the key by which the machine was chosen."""
_BINARY_ADDRESS: Final = re.compile(r"\$binary_remote_addr\b|\$\{binary_remote_addr\}")
_KEY_OF_HEADER: Final = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,1998}[^\x00-\x20\x7f])?$"
"""A key that comes out of a header as it went in. Of any other the receiver makes its own."""


def cookie_name(upstream: Upstream) -> str:
    """Empty where there is none."""
    return upstream.sticky_cookie.cookie if upstream.sticky_cookie else ""


def key_of(balance: Balance) -> str:
    """In nginx's syntax; empty under another method. An address in octets would end a header."""
    match balance:
        case Balance(Method.IP_HASH):
            return f"${NETWORK}"
        case Balance(Method.HASH, (key, *_)):
            return _BINARY_ADDRESS.sub("${remote_addr}", key)
        case _:
            return ""


def key_variable(key: str) -> str:
    """Of the key as the front evaluated it."""
    return f"portico_key_{digest(key)}"


def crossing_key_variable(key: str) -> str:
    """The same as a header can have it; empty where it cannot."""
    return f"portico_crossing_key_{digest(key)}"


def bound_variable(cookie: str) -> str:
    """What nginx calls the other machine that the cookie names; empty if it names none."""
    return f"portico_bound_{digest(cookie)}"


def stream_way_variable(cookie: str) -> str:
    """`bound` where the cookie names another machine, else `stream`."""
    return f"portico_stream_way_{digest(cookie)}"


def key_maps(keys: Iterable[str], machine: OwnMachine) -> Iterator[Directive]:
    crossed = rf'"~^{re.escape(machine.host)} (.+)$"'
    source = f'"$server_name $http_{KEY.replace("-", "_").lower()}"'
    for key in dict.fromkeys(keys):
        variable = key_variable(key)
        own = quote(WithDollar(key))
        yield variable_map(source, variable, own, directive(crossed, Raw("$1")))
        fits = directive(Raw(f'"~{_KEY_OF_HEADER}"'), Raw(f"${variable}"))
        yield variable_map(f"${variable}", crossing_key_variable(key), '""', fits)


def cookie_maps(cookies: Iterable[str], others: Mapping[str, Machine]) -> Iterator[Directive]:
    machines = [directive(map_key(name), server_id(each)) for name, each in others.items()]
    for cookie in dict.fromkeys(cookies):
        named = f"portico_named_{digest(cookie)}"
        pattern = rf'"~(?:^|; *){cookie}=([a-z0-9-]+)="'
        yield variable_map("$http_cookie", named, '""', directive(pattern, Raw("$1")))
        bound = bound_variable(cookie)
        yield variable_map(f"${named}", bound, '""', *machines)
        yield variable_map(
            f"${bound}", stream_way_variable(cookie), "bound", directive('""', "stream")
        )


def server_id(machine: Machine) -> str:
    """By which nginx's `sticky` finds a peer without a `route`: MD5 of its address as text."""
    address = f"{url_host(machine.address)}:{machine.port}"
    return md5(address.encode(), usedforsecurity=False).hexdigest()
