from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.app import App
from portico.core.model.balancing import Sticky
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.place import Build
from portico.core.model.upstream import Server, Upstream
from portico.core.render.directive import to_text
from portico.core.render.upstream_block import network_map, upstream_blocks
from tests.rendered import APP, block, nginx_conf, place_for, site


def lines(
    upstream: Upstream, apps: dict[str, App] | None = None, named: str = "web", **place: object
) -> list[str]:
    desired = Desired(
        apps={
            name: DesiredApp(name, 4, Spec("1", name, app, "/", {}))
            for name, app in (apps or {}).items()
        },
        upstreams={"web": upstream},
    )
    text = to_text(upstream_blocks(desired, place_for(desired, **place)))
    return block(text, f"upstream {named}")


def of_app(balance: str, **keys: object) -> list[str]:
    return lines(Upstream(apps=("web",), balance=balance, **keys), {"web": App(command="run")})


def outside(*servers: str, **keys: object) -> list[str]:
    return lines(Upstream(servers=tuple(Server(address=s) for s in servers), **keys))


def test_the_method_comes_first_then_the_cookie_then_the_servers():
    """A cookie that is written before the method silently does nothing."""
    words = [line.split()[0] for line in of_app("least_conn", sticky=True)]
    assert words[:4] == ["zone", "least_conn;", "sticky", "server"]


@pytest.mark.parametrize(
    ("balance", "of_an_app", "of_servers"),
    [
        ("hash $host", 'hash "$host" consistent;', 'hash "$host";'),
        ("hash $host consistent", 'hash "$host" consistent;', 'hash "$host" consistent;'),
        ("ip_hash", "hash $portico_network consistent;", "ip_hash;"),
        ("least_time header", "least_time header inflight;", "least_time header;"),
        ("random two", "random two;", "random two;"),
    ],
)
def test_a_method_is_adapted_to_peers_that_come_and_go(balance, of_an_app, of_servers):
    assert of_app(balance)[1] == of_an_app
    assert outside("10.0.0.1:80", balance=balance)[1] == of_servers


def test_where_all_have_failed_all_are_asked_by_turns_and_on_no_connection_that_was_kept():
    """`hash`, `sticky` and `least_conn` may choose a dead peer every time."""
    upstream = Upstream(
        apps=("web",), servers=(Server(address="10.0.0.1:80", backup=True),),
        balance="least_conn", sticky=True, keepalive=7,
    )  # fmt: skip
    first = lines(upstream, {"web": App(command="run")})
    again = lines(upstream, {"web": App(command="run")}, named="web.again")
    servers = [line for line in first if line.startswith(("server ", "resolver", "include"))]
    servers[0] = servers[0].replace(" fail_timeout=0s;", " max_fails=0;")
    assert again == ["zone web.again 256k;", *servers, "keepalive 0;"]


def test_round_robin_needs_no_words():
    assert of_app("round_robin")[1].startswith("server ")


def test_ip_hash_of_an_app_looks_at_three_octets_of_ipv4():
    text = to_text([network_map()])
    assert r'"~^(\d+\.\d+\.\d+)\.\d+$" $1;' in text
    assert "default $remote_addr;" in text


def test_an_apps_weight_is_left_to_discovery():
    """A weight on the line would replace all that discovery answers."""
    web = App(command="run", weight=5, backup=True, down=True)
    alone = lines(Upstream(apps=("web",)), {"web": web})
    assert alone[1] == "server web.portico.internal service=http resolve fail_timeout=0s;"
    joined = lines(Upstream(apps=("web", "b")), {"web": web, "b": App(command="run")})
    assert joined[1:3] == [
        "server web.portico.internal service=http resolve fail_timeout=0s backup down;",
        "server b.portico.internal service=http resolve fail_timeout=0s;",
    ]


def test_discovery_resolves_apps_and_name_servers_resolve_other_hosts():
    assert "resolver 127.0.0.1:5353 ipv6=off;" in of_app("round_robin")
    named = outside("old.example.com:80", "localhost:80", "10.0.0.1:80", "unix:/run/a.sock")
    assert named[1:5] == [
        "server old.example.com:80 resolve;",
        "server localhost:80;",
        "server 10.0.0.1:80;",
        "server unix:/run/a.sock;",
    ]
    assert "resolver 192.0.2.53 [2001:db8::53];" in named
    assert not [line for line in outside("10.0.0.1:80") if "resolver" in line]


def test_a_host_beside_an_app_is_resolved_when_nginx_starts():
    """An upstream has one resolver, and it is discovery."""
    both = Upstream(apps=("web",), servers=(Server(address="old.example.com:80"),))
    written = lines(both, {"web": App(command="run")})
    assert "server old.example.com:80;" in written
    assert "resolver 127.0.0.1:5353 ipv6=off;" in written


def test_without_name_servers_a_host_is_resolved_when_nginx_starts():
    upstream = Upstream(servers=(Server(address="old.example.com:80"),))
    assert lines(upstream, nameservers=())[1] == "server old.example.com:80;"


def test_idle_connections_end_before_the_app_would_end_them():
    assert of_app("round_robin", keepalive=7)[-3:] == [
        "keepalive 7;",
        "keepalive_timeout 4s;",
        "keepalive_requests 10000;",
    ]


def test_connections_are_kept_by_new_builds_unless_told_not_to():
    desired = Desired(upstreams={"web": Upstream(keepalive=0)})
    place = place_for(desired)
    assert "keepalive 0;" in to_text(upstream_blocks(desired, place))
    old = replace(place, build=Build("nginx", (1, 27, 4)))
    assert "keepalive" not in to_text(upstream_blocks(desired, old))


def test_the_cookie_has_all_its_attributes():
    cookie = Sticky(cookie="a", expires=90.5, domain="b.test", secure=False, samesite="none")
    assert of_app("round_robin", sticky=cookie)[1] == (
        "sticky cookie a expires=91s domain=b.test httponly samesite=none path=/;"
    )


def test_beside_an_app_whose_weights_are_multiplied_those_of_servers_are_too():
    web = DesiredApp("web", 4, Spec("1", "web", App(), "/", {}), scale=10)
    servers = (Server(address="10.0.0.5:80"), Server(address="10.0.0.6:80", weight=3))
    mixed = Upstream(apps=("web",), servers=servers)
    desired = Desired(apps={"web": web}, upstreams={"web": mixed})
    text = to_text(upstream_blocks(desired, place_for(desired)))
    assert "server 10.0.0.5:80 weight=10;" in text
    assert "server 10.0.0.6:80 weight=30;" in text


def test_where_connections_are_limited_nobody_else_is_asked_than_the_peers_that_are_counted():
    """The other upstream would count their connections anew."""
    limited = nginx_conf(site().replace(APP, f"{APP}max_conns = 2\n"))
    assert "proxy_pass http://web;" in block(limited, "location @again_0")


def test_idle_connections_end_soon_where_a_restart_waits_for_them():
    assert "keepalive_timeout 1s;" in block(nginx_conf(site('wait = "5s"')), "upstream web")
    assert "keepalive_timeout 4s;" in block(nginx_conf(site()), "upstream web")
