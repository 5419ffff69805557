from __future__ import annotations

import pytest

from portico.core.config.capabilities import capability_problems
from portico.core.config.rules import machine_problems
from portico.core.model.place import Build
from portico.core.model.stream import parse_listen, stream_slug
from tests.documents import problems_of, read
from tests.rendered import wanted

APPS = """
apps.db = { command = "x" }
apps.web = { command = "x", balance = "hash $cookie_user" }
apps.worker = { command = "x", port = false }
upstreams.u.servers = ["10.0.0.1:5432"]
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
    listen = parse_listen(key)
    assert (listen.address, listen.port) == (address, port)


@pytest.mark.parametrize(
    "key",
    [
        *("", "0", "65536", "05432", "port", "localhost:5432", "::1:5432", "1.2.3:5", "-1"),
        *("5432 ", "5432;", "[::1]", "*:", ":5432", "[fe80::1%eth0]:53", "unix:/run/x"),
        *("5432-5440", "5432/tcp", "5432/sctp"),
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
    assert len({stream_slug(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        ('app = "db"', []),
        ('upstream = "u"', []),
        ("", ["streams.1: needs app or upstream"]),
        ('app = "db"\nupstream = "u"', ["streams.1: has app and upstream; set only one"]),
        ('app = "dbs"', ['streams.1.app: there is no app "dbs" (did you mean "db"?)']),
        ('app = "worker"', ['streams.1.app: app "worker" has no port: its port is false']),
        ('upstream = "db"', ['streams.1.upstream: there is no upstream "db" (write app = "db")']),
        (
            'app = "web"',
            [
                (
                    "streams.1.balance: must be set: that of apps.web has $cookie_user, which is "
                    'of HTTP (write balance = "hash $remote_addr")'
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
        (
            'app = "db"\nlisten = 5432',
            ['streams.1.listen: unknown key (the port is the name of a stream: [streams."5432"])'],
        ),
    ],
)
def test_a_stream_says_where_its_connections_go(toml, problems):
    assert problems_of(f"{APPS}\n[streams.1]\n{toml}\n") == problems


@pytest.mark.parametrize(
    ("toml", "problems"),
    [
        (
            'streams.5432.app = "db"\nstreams."*:5432".app = "db"',
            ['streams."*:5432": overlaps with streams.5432: both would have port 5432'],
        ),
        ('streams."127.0.0.1:1".app = "db"\nstreams."[::1]:1".app = "db"', []),
        ('streams."*:1".app = "db"\nstreams."[::]:1".app = "db"', []),
        (
            'streams."[::]:1".app = "db"\nstreams."[::1]:1".app = "db"',
            ['streams."[::1]:1": overlaps with streams."[::]:1": both would have port 1'],
        ),
        (
            'streams."127.0.0.1:1".app = "db"\nstreams."0.0.0.0:1".app = "db"',
            ['streams."0.0.0.0:1": overlaps with streams."127.0.0.1:1": both would have port 1'],
        ),
        (
            'streams.8443.app = "db"\nsites."a.test".app = "db"',
            ["streams.8443: overlaps with edge.https: both would have port 8443"],
        ),
        ('streams.8443.app = "db"', []),
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
        ('upstream = "tls"', "ngx_stream_ssl_module"),
    ],
)
def test_a_module_that_nginx_lacks_is_named(toml, module):
    tls = 'upstreams.tls = { servers = ["a:1"], tls = true }'
    found = capability_problems(read(f"{APPS}{tls}\n[streams.1]\n{toml}\n"), BARE)
    assert any(module in str(each) for each in found)
    assert "was built without it" in str(found[-1])
