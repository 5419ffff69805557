"""Caddyfiles as sites."""

from __future__ import annotations

from textwrap import dedent

import pytest

from portico.core.config.document import read_document
from portico.errors import Failed
from portico.stack.reading.read import read_stack


def joined(value):
    """With an app in the place of each address, as importing has it."""
    if isinstance(value, dict):
        return "x" if set(value) == {"address"} else {k: joined(v) for k, v in value.items()}
    return [joined(each) for each in value] if isinstance(value, list) else value


def read(folder, text, environ=None, **files):
    for name, content in files.items():
        (folder / name).write_text(dedent(content))
    (folder / "Caddyfile").write_text(dedent(text))
    stack = read_stack([folder / "Caddyfile"], environ or {})
    sites = {each.name: joined(each.table) for each in stack.sites}
    read_document({"apps": {"x": {"command": "x"}}, "sites": sites}, source="Caddyfile")
    return stack


def site(folder, text, **files):
    [found] = read(folder, text, **files).sites
    return dict(found.table)


def app(address):
    return {"app": {"address": address}}


def test_a_site_is_a_proxy_of_its_first_address(tmp_path):
    text = "example.com, www.example.com {\n\treverse_proxy localhost:3000\n}\n"
    stack = read(tmp_path, text)
    [found] = stack.sites
    assert (found.name, found.place.line, stack.gaps) == ("example.com", 1, ())
    assert found.table == {"aliases": ["www.example.com"], **app("localhost:3000")}


@pytest.mark.parametrize(
    ("address", "table"),
    [
        ("http://example.com", {"https": False}),
        ("example.com:80", {"https": False}),
        ("https://example.com:443", {}),
        ("http://example.com, https://example.com", {"redirect_http": False}),
        ("EXAMPLE.com,\nb.example.com", {"aliases": ["b.example.com"]}),
    ],
)
def test_schemes_and_ports_of_addresses_are_keys(tmp_path, address, table):
    assert site(tmp_path, f"{address} {{\nreverse_proxy :3000\n}}") == {
        **table,
        **app("localhost:3000"),
    }


def test_a_site_without_a_host_answers_all_names(tmp_path):
    stack = read(tmp_path, ":8080\n\nfile_server\nroot * /srv/www\n")
    [found] = stack.sites
    assert found.name == "localhost"
    assert found.table == {"default": True, "https": False, "folder": "/srv/www"}
    assert [gap.what for gap in stack.gaps] == [":8080"]


def test_several_servers_are_an_upstream_with_its_method(tmp_path):
    text = """\
    example.com {
        reverse_proxy 10.0.0.1:80 :3001-3002 unix//run/a.sock {
            to http://10.0.0.2:81
            lb_policy cookie seat
        }
    }
    """
    [found] = read(tmp_path, text).sites
    [upstream] = found.upstreams
    assert found.table == app("example-com-1")
    assert [(each.name, *each.args) for each in upstream.block] == [
        ("server", "10.0.0.1:80"),
        ("server", "localhost:3001"),
        ("server", "localhost:3002"),
        ("server", "unix:/run/a.sock"),
        ("server", "10.0.0.2:81"),
        ("sticky", "cookie", "seat"),
    ]
    assert upstream.args == ("example-com-1",)


def test_what_a_proxy_sets_are_keys_of_its_route(tmp_path):
    text = """\
    example.com {
        reverse_proxy /ws h2c://localhost:1 {
            header_up Host {upstream_hostport}
            header_up X-Real-IP {remote_host}
            header_up X-From {http.request.remote.host}
            header_up -X-Secret
            header_down Server "a b"
            flush_interval -1
            health_uri /healthz
            transport http {
                read_timeout 5m
                dial_timeout 3s
                tls_insecure_skip_verify
            }
        }
    }
    """
    stack = read(tmp_path, text)
    assert stack.sites[0].table["routes"]["= /ws"] == {
        **app("localhost:1"),
        "grpc": True,
        "request_headers": {"X-From": "$remote_addr", "X-Secret": ""},
        "headers": {"Server": "a b"},
        "buffering": False,
        "proxy_read_timeout": "5m",
        "proxy_connect_timeout": "3s",
    }
    assert [gap.what for gap in stack.gaps] == ["health_uri /healthz", "tls_insecure_skip_verify"]


def test_blocks_and_matchers_are_routes(tmp_path):
    text = """\
    example.com {
        @posts {
            method POST
            path /form/*
            header X-A 1
        }
        @not not path /x
        handle_path /api/* {
            reverse_proxy :3000
        }
        handle /static* {
            root * /srv
            file_server browse
        }
        reverse_proxy @posts :3001
        reverse_proxy @not :3003
        header /*.js Cache-Control max-age=60
        handle {
            reverse_proxy :3002
        }
    }
    """
    stack = read(tmp_path, text)
    assert stack.sites[0].table == {
        **app("localhost:3002"),
        "routes": {
            "/api": {"strip_prefix": True, **app("localhost:3000")},
            "/static": {"folder": {"path": "/srv/static", "listing": True}},
            "/form": [
                {"match": {"method": ["POST"], "header": {"X-A": "1"}}, **app("localhost:3001")}
            ],
            "~* \\.js$": {"headers": {"Cache-Control": "max-age=60"}},
        },
    }
    assert [(gap.place.line, gap.what) for gap in stack.gaps] == [(16, "reverse_proxy @not :3003")]


@pytest.mark.parametrize(
    ("lines", "table"),
    [
        ("root * /a\nfile_server", {"folder": "/a"}),
        ("root /a\nfile_server browse", {"folder": {"path": "/a", "listing": True}}),
        (
            "root * /a\ntry_files {path} /index.html\nfile_server",
            {"folder": {"path": "/a", "spa": True}},
        ),
        (
            "file_server {\nroot /a\n}\ntry_files {path} {path}.html\nroot * /b",
            {"folder": {"path": "/a", "clean_urls": True}},
        ),
        (
            "redir https://b.test{uri} permanent",
            {"redirect": {"to": "https://b.test", "status": 301, "keep_path": True}},
        ),
        ("redir * https://b.test 308", {"redirect": {"to": "https://b.test", "status": 308}}),
        ("tls a@b.test\nreverse_proxy :1", {**app("localhost:1"), "tls": {"email": "a@b.test"}}),
        ("tls internal\nreverse_proxy :1", {**app("localhost:1"), "tls": {"issuer": "local"}}),
        (
            "tls /a.pem /a.key\nreverse_proxy :1",
            {**app("localhost:1"), "certificate": "/a.pem", "key": "/a.key"},
        ),
        (
            "basic_auth {\nann $2a$04$abc\n}\nreverse_proxy :1",
            {**app("localhost:1"), "basic_auth": {"users": {"ann": "$2a$04$abc"}}},
        ),
        (
            "request_body {\nmax_size 10MB\n}\nreverse_proxy :1",
            {**app("localhost:1"), "client_max_body_size": "10m"},
        ),
        (
            'header {\n-Server\nX-A "{host} $1"\n}\nreverse_proxy :1',
            {**app("localhost:1"), "headers": {"Server": "", "X-A": "$host $$1"}},
        ),
        (
            "respond /a/* 403\nreverse_proxy :1",
            {**app("localhost:1"), "routes": {"/a": {"deny": ["all"]}}},
        ),
        ("encode gzip\nlog\nreverse_proxy :1", app("localhost:1")),
    ],
)
def test_directives_are_keys(tmp_path, lines, table):
    stack = read(tmp_path, f"a.test {{\n{lines}\n}}\n")
    assert stack.sites[0].table == table
    assert stack.gaps == ()


@pytest.mark.parametrize(
    "line",
    [
        "respond /health 200",
        "rewrite * /a",
        "php_fastcgi unix//run/php.sock",
        "redir https://{host}.b.test",
        "reverse_proxy https://b.test",
        "reverse_proxy {$NOWHERE}",
        "header ?X-A 1",
        "basic_auth bcrypt",
        "log {\noutput stdout\n}",
        "tls {\ndns cloudflare x\n}",
        "encode zstd",
        "handle_errors {\nrespond 1\n}",
        "import nowhere",
        "nonsense a b",
        "file_server",
    ],
)
def test_what_has_no_equal_is_listed_with_its_line(tmp_path, line):
    stack = read(tmp_path, f"a.test {{\nreverse_proxy :1\n{line}\n}}\n")
    [gap] = stack.gaps
    assert gap.place.line in {3, 4}
    assert gap.why


def test_a_site_does_not_become_open_where_its_passwords_are_not_taken(tmp_path):
    lines = "basic_auth /a/* {\nann plain\n}\nforward_auth /b/* :9000 {\nuri /verify\n}\n"
    stack = read(tmp_path, f"a.test {{\nreverse_proxy :1\n{lines}}}\n")
    denied = {"deny": ["all"]}
    assert stack.sites[0].table["routes"] == {"/a": denied, "/b": denied}
    assert [gap.why for gap in stack.gaps] == [
        "access is denied until basic_auth is set",
        "access is denied until auth is set",
    ]


def test_a_hash_that_takes_seconds_at_each_request_is_listed(tmp_path):
    lines = "basic_auth {\nann $2a$14$abc\n}\n"
    stack = read(tmp_path, f"a.test {{\nreverse_proxy :1\n{lines}}}\n")
    assert stack.sites[0].table["basic_auth"] == {"users": {"ann": "$2a$14$abc"}}
    assert "nginx computes a hash for every request" in stack.gaps[0].why


def test_global_options_hold_for_all_sites(tmp_path):
    text = "{\nemail a@b.test\nadmin off\nauto_https disable_redirects\nservers {\n}\n}\n"
    stack = read(tmp_path, f"{text}a.test {{\nreverse_proxy :1\n}}\n")
    assert stack.sites[0].table == {
        "redirect_http": False,
        **app("localhost:1"),
        "tls": {"email": "a@b.test"},
    }
    assert [gap.place.line for gap in stack.gaps] == [5]


def test_snippets_and_files_are_read_where_they_are_imported(tmp_path):
    text = """\
    (common) {
        header X-Site {args[0]}
        import proxy.caddy 3000
    }
    a.test {
        import common "of a"
    }
    import more/*
    """
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b").write_text("b.test {\n\timport ../proxy.caddy 3001\n}\n")
    stack = read(tmp_path, text, **{"proxy.caddy": "reverse_proxy localhost:{args.0}\n"})
    assert [dict(each.table) for each in stack.sites] == [
        {"headers": {"X-Site": "of a"}, **app("localhost:3000")},
        app("localhost:3001"),
    ]
    assert stack.sites[1].place.file == str(tmp_path / "more/b")
    assert len(stack.files) == 3


def test_variables_quotes_heredocs_and_comments_are_read_as_caddy_does(tmp_path):
    text = """\
    # comment
    {$DOMAIN:a.test} { # comment
        reverse_proxy {$BACKEND} \\
            b.test#1:80
        header X-A "a \\"b\\" {
    #c" # comment
        header X-B `a "b"`
        header X-C <<END
            one
            END
        header X-D {$NOWHERE:d}
    }
    """
    [found] = read(tmp_path, text, {"BACKEND": "10.0.0.1:1"}).sites
    assert found.name == "a.test"
    assert [each.args[0] for each in found.upstreams[0].block] == ["10.0.0.1:1", "b.test#1:80"]
    assert found.table["headers"] == {"X-B": 'a "b"', "X-C": "one", "X-D": "d"}


def test_a_block_that_only_redirects_to_https_is_what_portico_does_anyway(tmp_path):
    text = "http://a.test {\nredir https://{host}{uri}\n}\na.test {\nreverse_proxy :1\n}\n"
    stack = read(tmp_path, text)
    assert [dict(each.table) for each in stack.sites] == [app("localhost:1")]
    again = read(tmp_path, f"{text}a.test {{\nreverse_proxy :2\n}}\n")
    assert [gap.place.line for gap in again.gaps] == [7]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a.test {\nreverse_proxy :1\n", "line 1: { is never closed"),
        (b"a.test {\n}\n}\n", "line 3: unexpected }"),
        (b'a.test {\nheader X "a\n}\n', "line 2: a quote is not closed"),
        (b"a.test {\nrespond <<END\n}\n", "line 2: the text until END has no end"),
        (b"a.test {\0}\n", "it is not a text file"),
        (b"# \xff\n", "line 1 is not UTF-8 text"),
        (b"import Caddyfile\n", "imports itself"),
        (b"(a) {\nimport a\n}\nb.test {\nimport a\n}\n", "imports itself"),
        (b"a {\n" * 100, "nested too deeply"),
    ],
)
def test_a_file_that_caddy_refuses_is_refused_in_words(tmp_path, content, why):
    (tmp_path / "Caddyfile").write_bytes(content)
    with pytest.raises(Failed, match=why):
        read_stack([tmp_path / "Caddyfile"], {})


def test_files_that_import_each_other_are_refused(tmp_path):
    (tmp_path / "b").write_text("import Caddyfile\nimport Caddyfile\n")
    (tmp_path / "Caddyfile").write_text("import b\nimport b\n")
    with pytest.raises(Failed, match="imports itself"):
        read_stack([tmp_path / "Caddyfile"], {})


def test_an_empty_file_is_a_stack_of_nothing(tmp_path):
    assert read(tmp_path, "# nothing\n").sites == ()
