from __future__ import annotations

import pytest

from portico.core.config.capabilities import capability_problems
from portico.core.config.rules import machine_problems
from portico.core.model.place import Build
from portico.core.model.stream import StreamListen, parse_listen, stream_slug
from tests.documents import problems_of, read
from tests.rendered import wanted

APPS = """
apps.db = { command = "x" }
apps.web = { command = "x", balance = "hash $cookie_user" }
apps.worker = { command = "x", port = false }
upstreams.u.servers = ["10.0.0.1:5432"]
upstreams.secure = { servers = ["a:1"], tls = true }
sites."a.test".app = "db"
sites."plain.test" = { app = "db", https = false }
"""
BARE = Build("/opt/nginx", (1, 31, 3), can=frozenset({"resolve"}))


@pytest.mark.parametrize(
    ("key", "address", "port"),
    [
        ("5432", "", 5432),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "[::1]", 65535),
        ("*:53", "*", 53),
        ("0.0.0.0:53", "0.0.0.0", 53),
    ],
)
def test_a_key_is_a_port_or_an_address_with_one(key, address, port):
    assert parse_listen(key) == StreamListen(address, port)
    assert parse_listen(f"{key}/udp") == StreamListen(address, port, udp=True)


@pytest.mark.parametrize(
    "key",
    [
        *("", "0", "65536", "05432", "port", "localhost:5432", "::1:5432", "1.2.3:5", "-1"),
        *("5432 ", "5432;", "[::1]", "*:", ":5432", "[fe80::1%eth0]:53", "unix:/run/x"),
        *("5432-5440", "5432/tcp", "5432/sctp", "5432/UDP", "/udp"),
    ],
)
def test_any_other_key_is_refused(key):
    with pytest.raises(ValueError, match="must be a port such as"):
        parse_listen(key)


def test_an_address_has_one_spelling():
    with pytest.raises(ValueError, match=r'must be written as "\[::1\]:5432"'):
        parse_listen("[0::1]:5432")


def test_no_two_keys_have_a_name_in_common():
    keys = ["5432", "127.0.0.1:5432", "[::1]:5432", "[1::2]:5", "[1:2::]:5", "*:5432"]
    keys += [f"{key}/udp" for key in keys]
    assert len({stream_slug(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        ('app = "db"', []),
        ('upstream = "u"', []),
        ("", ["streams.1: needs app, upstream or server_names"]),
        ('app = "db"\nupstream = "u"', ["streams.1: has app and upstream; set only one"]),
        ('app = "dbs"', ['streams.1.app: there is no app "dbs" (did you mean "db"?)']),
        ('app = "worker"', ['streams.1.app: app "worker" has no port: its port is false']),
        ('upstream = "db"', ['streams.1.upstream: there is no upstream "db" (write app = "db")']),
        (
            'app = "web"',
            [
                (
                    "streams.1.balance: must be set: apps.web uses $cookie_user, which only "
                    'HTTP has (write balance = "hash $remote_addr")'
                )
            ],
        ),
        ('app = "web"\nbalance = "least_conn"', []),
        ('app = "db"\nbalance = "least_time connect inflight"', []),
        ('app = "db"\nbalance = "hash $remote_addr:$remote_port"', []),
        (
            'app = "db"\nbalance = "hash $request_uri"',
            ["streams.1.balance: nginx's stream has no variable $request_uri"],
        ),
        ('app = "db"\ntls = "a.test"', []),
        ('app = "db"\ntls = "other.org"', ['streams.1.tls: there is no site "other.org"']),
        (
            'app = "db"\ntls = "plain.test"',
            ['streams.1.tls: "plain.test" has no certificate: its https is false'],
        ),
        ('app = "db"\nssl_alpn = ["mqtt"]', ["streams.1.ssl_alpn: needs tls"]),
        ('server_names = { "b.test" = "db", "*.c.test" = "u" }', []),
        (
            'server_names = { "b.test" = "dbs" }',
            [
                (
                    'streams.1.server_names."b.test": there is no app or upstream "dbs" (did you '
                    'mean "db"?)'
                )
            ],
        ),
        (
            'server_names = { "10.0.0.1" = "db" }',
            [
                (
                    'streams.1.server_names."10.0.0.1": is an address, and clients send only '
                    "names (RFC 6066 3)"
                )
            ],
        ),
        (
            'tls = "a.test"\nserver_names = { "b.test" = "db" }',
            [
                (
                    "streams.1.server_names: cannot be combined with tls: server_names pass TLS "
                    "on, and tls ends it here"
                )
            ],
        ),
        (
            'server_names = { "b.test" = "secure" }',
            [
                (
                    'streams.1.server_names: cannot lead to upstream "secure": its tls would '
                    "encrypt the connection twice"
                )
            ],
        ),
        (
            'app = "db"\nlisten = 5432',
            ['streams.1.listen: unknown key (the port is the name of a stream: [streams."5432"])'],
        ),
    ],
)
def test_a_stream_says_where_its_connections_go(toml, problems):
    assert problems_of(f"{APPS}\n[streams.1]\n{toml}\n") == problems


@pytest.mark.parametrize(
    "line",
    [
        *("proxy_protocol = true", 'set_real_ip_from = ["::1"]', 'tls = "a.test"'),
        'server_names = { "b.test" = "db" }',
    ],
)
def test_what_is_of_tcp_is_refused_for_udp(line):
    key = line.partition(" ")[0]
    found = problems_of(f'{APPS}\n[streams."1/udp"]\napp = "db"\n{line}\n')
    assert found == [f'streams."1/udp".{key}: is for TCP']


def test_what_is_of_udp_is_refused_for_tcp():
    found = problems_of(f'{APPS}\n[streams."1"]\napp = "db"\nproxy_responses = 1\n')
    assert found == ["streams.1.proxy_responses: is for UDP"]
    found = problems_of(f'{APPS}\n[streams."1/udp"]\nupstream = "secure"\n')
    assert found == ['streams."1/udp".upstream: "secure" has tls, which is for TCP']


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        (
            'streams.5432.app = "db"\nstreams."*:5432".app = "db"',
            ['streams."*:5432": overlaps with streams.5432: both would have port 5432'],
        ),
        ('streams."127.0.0.1:1".app = "db"\nstreams."[::1]:1".app = "db"', []),
        ('streams."*:1".app = "db"\nstreams."[::]:1".app = "db"', []),
        ('streams."53".app = "db"\nstreams."53/udp".app = "db"', []),
        ('streams."8443/udp".app = "db"', []),
        (
            'edge = { https = 8443, http3 = true }\nstreams."8443/udp".app = "db"',
            ['streams."8443/udp": overlaps with edge.https: both would have port 8443'],
        ),
        (
            'streams."53/udp".app = "db"\nstreams."*:53/udp".app = "db"',
            ['streams."*:53/udp": overlaps with streams."53/udp": both would have port 53'],
        ),
        (
            'apps.p = { command = "x", port = 53 }\nstreams."53/udp".app = "p"',
            ['streams."53/udp": overlaps with apps.p.port: both would have port 53'],
        ),
        (
            'streams."[::]:1".app = "db"\nstreams."[::1]:1".app = "db"',
            ['streams."[::1]:1": overlaps with streams."[::]:1": both would have port 1'],
        ),
        (
            'streams."127.0.0.1:1".app = "db"\nstreams."0.0.0.0:1".app = "db"',
            ['streams."0.0.0.0:1": overlaps with streams."127.0.0.1:1": both would have port 1'],
        ),
        (
            'streams.8443.app = "db"',
            ["streams.8443: overlaps with edge.https: both would have port 8443"],
        ),
        (
            'apps.p = { command = "x", port = 3000, instances = 3 }\nstreams.3002.app = "p"',
            ["streams.3002: overlaps with apps.p.port: both would have port 3002"],
        ),
    ],
)
def test_no_two_have_a_port(toml, problems):
    text = f"{APPS}\n{toml}"
    found = problems_of(text) or [
        str(each) for each in machine_problems(read(text), root=False, cores=1)
    ]
    assert found == problems


@pytest.mark.parametrize(
    ("edge", "key", "addresses"),
    [
        ("", "5432", ("127.0.0.1", "[::1]")),
        ("", "*:5432", ("*",)),
        ("", "10.0.0.1:5432", ("10.0.0.1",)),
        ('edge.bind = ["10.0.0.1"]', "5432", ("10.0.0.1",)),
        ('edge.bind = ["10.0.0.1"]', "[::1]:5432", ("[::1]",)),
    ],
)
def test_nothing_listens_beyond_loopback_unless_asked(edge, key, addresses):
    """A public name of a site opens the ports of sites alone."""
    site = 'sites."www.example.com".app = "db"'
    desired = wanted(f'{APPS}\n{edge}\n{site}\nstreams."{key}".app = "db"')
    assert desired.streams[key].addresses == addresses


@pytest.mark.parametrize(
    ("toml", "module"),
    [
        ('app = "db"', "ngx_stream_core_module"),
        ('app = "db"\nbalance = "least_conn"', "ngx_stream_upstream_least_conn_module"),
        ('app = "db"\nbalance = "least_time connect"', "ngx_stream_upstream_least_time_module"),
        ('app = "db"\nbalance = "random"', "ngx_stream_upstream_random_module"),
        ('app = "db"\nbalance = "hash $remote_addr"', "ngx_stream_upstream_hash_module"),
        ('upstream = "secure"', "ngx_stream_ssl_module"),
        ('app = "db"\ntls = "a.test"', "ngx_stream_ssl_module"),
        ('server_names = { "b.test" = "db" }', "ngx_stream_ssl_preread_module"),
        ('app = "db"\nset_real_ip_from = ["::1"]', "ngx_stream_realip_module"),
        ('app = "db"\nconnection_limit = 5', "ngx_stream_limit_conn_module"),
    ],
)
def test_a_module_that_nginx_lacks_is_named(toml, module):
    found = capability_problems(read(f"{APPS}\n[streams.1]\n{toml}\n"), BARE)
    [problem] = [str(each) for each in found if module in str(each)]
    assert problem.startswith("streams.1")
    assert "was built without it" in problem
