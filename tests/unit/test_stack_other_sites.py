"""Sites of Caddy with the programs behind them, imported into one table."""

from __future__ import annotations

from portico.core.config.document import read_document
from portico.stack.importing.stack_import import import_stack
from portico.stack.reading.read import read_stack


def test_servers_of_a_caddyfile_are_the_apps_that_listen_there(tmp_path):
    (tmp_path / "Caddyfile").write_text(
        "a.test {\n"
        "root * public\n"
        "reverse_proxy /api/* localhost:3000 localhost:3001 {\nlb_policy least_conn\n}\n"
        "reverse_proxy /old/* 10.0.0.1:80 10.0.0.2:80\n"
        "reverse_proxy /jobs/* localhost:4000\n"
        "file_server\n}\n"
    )
    (tmp_path / "Procfile").write_text("web: ./unused\n")
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    for port in (3000, 3001):
        (wants / f"api@{port}.service").symlink_to("../api@.service")
    unit = "[Service]\nEnvironment=PORT=%i\nExecStart=/bin/api\nRestart=always\n"
    (tmp_path / "api@.service").write_text(unit)
    paths = [tmp_path / name for name in ("Caddyfile", "api@.service", "Procfile")]
    taken = import_stack(read_stack(paths, {}), tmp_path)
    read_document(taken.table, source="portico.toml")
    api = {"command": "/bin/api", "instances": 2, "port": 3000, "balance": "least_conn"}
    api["cwd"] = "/"
    assert taken.table["apps"] == {"api": api, "web": {"command": "./unused"}}
    site = taken.table["sites"]["a.test"]
    assert site["routes"] == {
        "/api": {"app": "api"},
        "/old": {"upstream": "a-test-2"},
        "/jobs": {"upstream": "localhost-4000"},
    }
    assert site["folder"] == str(tmp_path / "public")
    assert taken.table["upstreams"]["a-test-2"] == {"servers": ["10.0.0.1:80", "10.0.0.2:80"]}


def test_a_server_that_is_a_unix_socket_is_the_app_that_listens_there_today(tmp_path):
    start = "ExecStart=/venv/bin/gunicorn --bind unix:/run/shop.sock shop.wsgi"
    (tmp_path / "shop.service").write_text(f"[Service]\n{start}\nRestart=always\n")
    (tmp_path / "site.conf").write_text(
        "upstream shop { server unix:/run/shop.sock fail_timeout=0; }\n"
        "server { listen 80; server_name a.test; location / { proxy_pass http://shop; } }\n"
    )
    paths = [tmp_path / name for name in ("site.conf", "shop.service")]
    taken = import_stack(read_stack(paths, {}), tmp_path)
    read_document(taken.table, source="portico.toml")
    assert taken.table["sites"]["a.test"]["app"] == "shop"
    assert taken.table["apps"]["shop"]["command"].endswith("--bind 127.0.0.1:$PORT shop.wsgi")
    assert "upstreams" not in taken.table
