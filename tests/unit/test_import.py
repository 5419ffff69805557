"""A stack of other people's files as a portico.toml."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import pytest

from portico.cli.main import run
from portico.core.config.document import read_document
from portico.stack.importing.stack_import import import_stack
from portico.stack.importing.writing import text_of
from portico.stack.model import Lineage, Place, Program, Renewal, Stack
from portico.stack.reading.nginx import read_nginx
from portico.stack.reading.read import read_stack

ECOSYSTEM = """
const ignored = ['node_modules', 'data']
module.exports = {apps: [1, 2, 3, 4].map((number) => ({
  name: `server-${number}`, script: 'index.js', autorestart: true, watch: true,
  ignore_watch: ignored, max_memory_restart: '1500M', env: {port: String(2999 + number)},
}))}
"""
SITE = """\
server {
    listen 443 ssl http2;
    listen [::]:443 ssl http2;
    server_name exaple.com www.example.com;
    root /usr/share/nginx/html;
    ssl_certificate /etc/letsencrypt/live/example.com/fullchain.pem; # managed by Certbot
    ssl_certificate_key /etc/letsencrypt/live/example.com/privket.pem;
    include /etc/letsencrypt/options-ssl-nginx-absent.conf;
    ssl_dhparam /etc/letsencrypt/ssl-dhparams.pem;
}
"""
BALANCED = """\
upstream ffaso-server {
    ip_hash;
    server localhost:3000;
    server localhost:3001;
}

server {
    access_log /var/log/nginx/reverse-access.log;
    location / {
        proxy_pass http://ffaso-server;
    }
}
"""


def stack_of(folder, text, **more):
    path = folder / "site.conf"
    path.write_text(text)
    return read_nginx(path) + Stack(**more)


def table_of(folder, text, **more):
    found = import_stack(stack_of(folder, text, **more), folder)
    read_document(found.table, source="portico.toml")
    return found


def portico(folder, *argv):
    out, err = io.StringIO(), io.StringIO()
    environ = {"PORTICO_HOME": "/nowhere/at/all", "PWD": str(folder), "PATH": "/usr/bin:/bin"}
    return run(argv, environ, out, err), out.getvalue(), err.getvalue()


@pytest.fixture
def hand_made(tmp_path, monkeypatch):
    """Four programs, a site and a balancer, as people wire them by hand."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("ecosystem.config.js", ECOSYSTEM),
        ("site.conf", SITE),
        ("upstream.conf", BALANCED),
        ("crontab", "@daily certbot renew\n"),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


FILES = ("ecosystem.config.js", "site.conf", "upstream.conf", "crontab")


def test_four_files_of_a_stack_become_one_short_file(hand_made):
    code, out, _ = portico(hand_made, "import", *FILES, "-o", "portico.toml")
    assert (code, out) == (0, f"written: {hand_made}/portico.toml\n")
    text = (hand_made / "portico.toml").read_text()
    assert len(text.splitlines()) <= 25
    document = read_document(tomllib.loads(text), source="portico.toml")
    app = document.apps["server"]
    assert (app.script, app.instances, app.port, app.port_env) == ("index.js", 4, 3000, "port")
    assert str(app.balance) == "ip_hash"
    assert 'balance = "ip_hash" # upstream.conf:2' in text
    site = document.sites["exaple.com"]
    assert (site.folder, site.aliases) == ("/usr/share/nginx/html", ("www.example.com",))
    balanced = document.sites["localhost"]
    assert (balanced.app, balanced.default, balanced.https) == ("server", True, False)


def test_what_is_not_carried_over_is_listed_with_file_line_and_why(hand_made):
    _, _, err = portico(hand_made, "import", *FILES)
    lines = err.splitlines()
    assert f"{hand_made}/crontab:1: certbot renew: Portico renews certificates by itself" in err
    assert any("upstream.conf:1: " in each and "port 3002, 3003" in each for each in lines)
    assert any("upstream.conf:8: access_log" in each for each in lines)


def test_json_has_the_text_the_table_and_the_gaps(hand_made):
    code, out, _ = portico(hand_made, "import", *FILES, "--json")
    found = json.loads(out)
    assert code == 0
    assert tomllib.loads(found["text"]) == found["table"]
    assert {"file", "line", "what", "why"} == set(found["gaps"][0])


def test_a_file_that_exists_is_replaced_only_on_request(hand_made):
    (hand_made / "portico.toml").write_text("# mine\n")
    code, _, err = portico(hand_made, "import", "site.conf", "-o", "portico.toml")
    assert code == 2
    assert "exists; nothing was changed; --force replaces it" in err
    assert (hand_made / "portico.toml").read_text() == "# mine\n"
    code, _, _ = portico(hand_made, "import", "site.conf", "-o", "portico.toml", "--force")
    assert code == 0
    assert "[sites" in (hand_made / "portico.toml").read_text()


def test_paths_of_a_program_are_relative_to_the_file_that_is_written(tmp_path):
    program = Program(
        "web",
        Place(str(tmp_path / "shop" / "ecosystem.config.js")),
        "pm2",
        {"script": "index.js", "env_file": ".env", "logs": {"stdout": "out.log"}, "port": 3000},
        (3000,),
    )
    table = import_stack(Stack(programs=(program,)), tmp_path).table["apps"]["web"]
    assert table == {
        "script": "index.js",
        "cwd": "shop",
        "port": 3000,
        "env_file": "shop/.env",
        "logs": {"stdout": "shop/out.log"},
    }


def programs(*ports, **table):
    return tuple(
        Program(f"web-{n}", Place("/x/p.js"), "pm2", {"script": "a.js", "port": p, **table}, (p,))
        for n, p in enumerate(ports, 1)
    )


@pytest.mark.parametrize(
    ("ports", "names"),
    [((3000, 3001), ["web"]), ((3001, 3000), ["web"]), ((3000, 4000), ["web-1", "web-2"])],
)
def test_programs_alike_on_ports_in_a_row_are_one_app(tmp_path, ports, names):
    apps = import_stack(Stack(programs=programs(*ports)), tmp_path).table["apps"]
    assert list(apps) == names


def test_parameters_of_a_server_are_those_of_the_slot_of_its_port(tmp_path):
    text = """
    upstream web { server 127.0.0.1:3000 weight=3; server 127.0.0.1:3001 backup; }
    server { server_name a.test; location / { proxy_pass http://web; } }
    """
    found = table_of(tmp_path, text, programs=programs(3000, 3001))
    app = found.table["apps"]["web"]
    assert app["slots"] == {"1": {"weight": 3}, "2": {"backup": True}}
    assert found.table["sites"]["a.test"]["app"] == "web"


def test_an_upstream_of_several_programs_and_servers_has_both(tmp_path):
    text = """
    upstream all { least_conn; server localhost:3000; server localhost:4000;
                   server 10.0.0.7:80 weight=2 max_fails=3 fail_timeout=30s; }
    server { server_name a.test; location / { proxy_pass http://all; } }
    """
    found = table_of(tmp_path, text, programs=programs(3000, 4000))
    assert found.table["upstreams"]["all"] == {
        "apps": ["web-1", "web-2"],
        "servers": [
            {"address": "10.0.0.7:80", "weight": 2, "max_fails": 3, "fail_timeout": "30s"}
        ],
        "balance": "least_conn",
    }


CERTBOT = """
server {
    listen 443 ssl; server_name a.example.com;
    ssl_certificate /etc/letsencrypt/live/a.example.com/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/a.example.com/privkey.pem;
    location / { proxy_pass http://127.0.0.1:9000; }
}
"""


def lineage(**settings):
    folder = "/etc/letsencrypt/live/a.example.com"
    return Lineage(
        "a.example.com",
        ("a.example.com",),
        Place("/etc/letsencrypt/renewal/a.example.com.conf"),
        f"{folder}/fullchain.pem",
        f"{folder}/privkey.pem",
        settings,
    )


def test_a_certificate_of_certbot_is_obtained_as_certbot_did(tmp_path):
    settings = {"issuer": "https://acme-v02.api.letsencrypt.org/directory", "email": "a@b.example"}
    found = table_of(tmp_path, CERTBOT, lineages=(lineage(**settings),))
    assert found.table["tls"] == {"email": "a@b.example"}
    assert "certificate" not in found.table["sites"]["a.example.com"]


def test_another_certificate_is_used_as_it_is(tmp_path):
    text = CERTBOT.replace("/etc/letsencrypt/live", str(tmp_path))
    site = table_of(tmp_path, text).table["sites"]["a.example.com"]
    assert site["certificate"] == "a.example.com/fullchain.pem"
    assert site["key"] == "a.example.com/privkey.pem"


def test_renewals_are_listed():
    renewal = Renewal(Place("/etc/crontab", 3), "certbot renew")
    [gap] = import_stack(Stack(renewals=(renewal,)), Path("/srv")).gaps
    assert (gap.place.line, gap.what) == (3, "certbot renew")


def test_the_text_of_a_table_is_what_the_table_says(tmp_path):
    text = r"""
    server { server_name "a.test" b.test; root /srv/a;
      location ~ "^/x{2}/(.*)$" { return 301 /y/$1; }
      location /q { add_header X-Quote "say \"hi\" \\ there"; proxy_pass http://10.0.0.1; }
    }
    """
    found = table_of(tmp_path, text)
    written = text_of(found.table, found.sources, ("a\nb.conf",))
    assert tomllib.loads(written) == json.loads(json.dumps(found.table))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("site.conf", b"server {", "line 1: unexpected end of file"),
        ("site.conf", b"\x7fELF\0\0", "it is not a text file"),
        ("ecosystem.config.js", b"throw new Error('no disk')", "no disk"),
        ("ecosystem.config.js", b"module.exports = 5", "exports"),
        ("picture.png", b"\x89PNG", "is not of a kind that Portico reads"),
        ("missing.conf", None, "No such file or directory"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_one_message_and_nothing_is_written(
    tmp_path, monkeypatch, name, content, why
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = portico(tmp_path, "import", name, "-o", "portico.toml")
    assert code in {1, 2}
    assert out == ""
    assert why in err
    assert not (tmp_path / "portico.toml").exists()


def test_a_folder_that_cannot_be_written_to_is_one_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.conf").write_text("server { server_name a.test; root /srv; }")
    code, _, err = portico(tmp_path, "import", "site.conf", "-o", "nowhere/portico.toml")
    assert (code, "nowhere is not a folder" in err) == (2, True)


def test_without_files_nothing_is_imported(tmp_path):
    code, _, err = portico(tmp_path, "import")
    assert code == 2
    assert "use --live" in err


def test_what_check_would_refuse_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loop = "server { server_name a.test; location = /x { return 301 /x; } root /srv; }"
    (tmp_path / "site.conf").write_text(loop)
    code, _, err = portico(tmp_path, "import", "site.conf")
    assert code == 0
    assert "problem: check refuses" in err


def test_a_program_at_a_unix_socket_is_found(tmp_path):
    program = Program(
        "api",
        Place("/etc/systemd/system/api.service"),
        "systemd",
        {"command": "gunicorn api:app --bind 127.0.0.1:$PORT"},
        sockets=("/run/api.sock",),
    )
    text = """
    upstream api { server unix:/run/api.sock fail_timeout=0; }
    server { server_name a.test; location / { proxy_pass http://api; } }
    """
    found = table_of(tmp_path, text, programs=(program,))
    assert found.table["sites"]["a.test"]["app"] == "api"


def site_of(folder, lines):
    found = table_of(folder, f"server {{ server_name a.test; {lines} }}")
    return found, found.table["sites"]["a.test"], "".join(found.files.values())


PASS = "proxy_pass http://10.0.0.1;"


def test_an_internal_folder_is_not_open_to_clients(tmp_path):
    lines = f"location / {{ {PASS} }} location /private/ {{ internal; alias /srv/private/; }}"
    _, site, _ = site_of(tmp_path, lines)
    assert site["routes"] == {"/private/": {"folder": "/srv/private", "internal": True}}


def test_an_internal_location_that_passes_requests_on_stays_with_nginx(tmp_path):
    lines = f"location / {{ {PASS} }} location /auth {{ internal; {PASS} }}"
    _, site, kept = site_of(tmp_path, lines)
    assert "routes" not in site
    assert "internal;" in kept


@pytest.mark.parametrize(
    ("server", "location"),
    [
        ("deny 10.1.1.1;", "allow 10.2.2.2; deny all;"),
        ("allow 10.1.1.1; deny all;", "deny 10.3.3.3;"),
    ],
)
def test_a_route_that_would_keep_networks_of_its_site_stays_with_nginx(tmp_path, server, location):
    lines = f"{server} location / {{ {PASS} }} location /x {{ {location} {PASS} }}"
    _, site, kept = site_of(tmp_path, lines)
    assert "routes" not in site
    assert location.split(";")[0] in kept


def test_a_kept_location_has_the_root_of_its_server(tmp_path):
    lines = "root /srv/a; location / {} location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }"
    _, site, kept = site_of(tmp_path, lines)
    assert site["folder"] == "/srv/a"
    assert "root /srv/a;" in kept


def test_a_header_that_portico_sets_is_not_sent_twice(tmp_path):
    lines = f"location / {{ {PASS} proxy_set_header Host $backend_host; }}"
    found, site, kept = site_of(tmp_path, lines)
    assert kept == ""
    assert "request_headers" not in site
    assert any("sets this one itself" in gap.why for gap in found.gaps)


def test_a_server_elsewhere_gets_the_name_by_which_it_is_known(tmp_path):
    lines = "location / { proxy_pass http://api.example.org; proxy_set_header Host $proxy_host; }"
    _, site, _ = site_of(tmp_path, lines)
    assert site["request_headers"] == {"Host": "api.example.org"}


def test_an_upstream_with_https_is_verified_as_nginx_was_told_to(tmp_path):
    verified = (
        "proxy_ssl_verify on; proxy_ssl_trusted_certificate /etc/ca.pem; proxy_ssl_name b.test;"
    )
    lines = f"""
    location / {{ proxy_pass https://10.0.0.1; }}
    location /v {{ proxy_pass https://10.0.0.2; {verified} }}
    """
    found, _, _ = site_of(tmp_path, lines)
    assert list(found.table["upstreams"].values()) == [
        {"servers": ["10.0.0.1:443"], "tls": True, "tls_verify": False},
        {"servers": ["10.0.0.2:443"], "tls": True, "tls_name": "b.test", "tls_ca": "/etc/ca.pem"},
    ]


def test_lines_of_a_wildcard_site_are_in_a_file_without_a_star(tmp_path):
    lines = f"location / {{ {PASS} }} location = /x {{ return 200; }}"
    found = table_of(tmp_path, f"server {{ server_name *.a.test; {lines} }}")
    assert found.files
    assert all("*" not in name for name in found.files)


def test_files_of_sites_next_to_a_main_file_are_as_if_included_there(tmp_path):
    (tmp_path / "nginx.conf").write_text("user www; events {} http { gzip on; }")
    (tmp_path / "a.conf").write_text(
        "limit_req_zone $binary_remote_addr zone=a:1m rate=5r/s;"
        "server { server_name a.test; root /srv; limit_req zone=a; limit_req_status 429; }"
    )
    stack = read_stack([tmp_path / "nginx.conf", tmp_path / "a.conf"], {})
    site = import_stack(stack, tmp_path).table["sites"]["a.test"]
    assert site["rate_limit"] == {"rate": "5r/s"}
