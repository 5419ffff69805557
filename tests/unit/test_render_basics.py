from __future__ import annotations

import re
from dataclasses import replace

import pytest

from portico.core.render.generation import render_generation
from tests.rendered import APP, IN_CLUSTER, nginx_conf, place_for, rendered, site, wanted


def test_workers_are_as_many_as_cores_unless_the_file_says_so():
    assert nginx_conf(APP).startswith("worker_processes 2;\n")
    assert nginx_conf(f"[edge]\nworkers = 7\n{APP}").startswith("worker_processes 7;\n")


def test_only_root_may_choose_the_user_of_workers():
    text = f'[edge]\nuser = "www-data"\n{APP}'
    assert rendered(text, root=True)["nginx.conf"].startswith("user www-data;\n")
    assert "www-data" not in rendered(text)["nginx.conf"]


def test_workers_of_root_have_the_user_of_the_place_where_the_file_names_none():
    place = {"root": True, "workers": "nobody nogroup"}
    assert rendered(APP, **place)["nginx.conf"].startswith("user nobody nogroup;\n")
    named = rendered(f'[edge]\nuser = "www-data"\n{APP}', **place)["nginx.conf"]
    assert named.startswith("user www-data;\n")


def test_everything_that_nginx_writes_lies_in_its_home():
    main = nginx_conf(site())
    written = ("pid ", "error_log ", "access_log ", "temp_path ")
    paths = [line.split()[1].rstrip(";") for line in main.splitlines() if _any(written, line)]
    assert len(paths) == 2 + 5 + 3
    assert {path for path in paths if not path.startswith("/var/lib/portico/")} == {"off"}


def _any(parts: tuple[str, ...], line: str) -> bool:
    return any(part in line.strip() for part in parts if not line.strip().startswith("log_format"))


def test_connections_are_never_more_than_files_may_be_open():
    main = nginx_conf(f"[edge]\nworker_connections = 100000\n{APP}")
    assert "worker_connections 65536;" in main
    assert "worker_rlimit_nofile 65536;" in main


@pytest.mark.parametrize(("length", "bucket"), [(20, 128), (100, 256), (230, 512)])
def test_hash_buckets_take_the_longest_name(length, bucket):
    name = ".".join(["x" * 60] * 4)[-length:]
    main = nginx_conf(site(f'request_headers = {{X-{"a" * (length - 2)} = "1"}}', name=name))
    assert f"server_names_hash_bucket_size {bucket};" in main
    assert f"proxy_headers_hash_bucket_size {bucket};" in main


def test_hash_tables_grow_with_the_number_of_names():
    text = APP + "".join(f'[sites."s{n}.test"]\napp = "web"\n' for n in range(1000))
    assert "server_names_hash_max_size 4096;" in nginx_conf(text)


ROOM_IN_USUAL_BUCKET = 64
"""nginx's own size of the buckets of a map, where the file has none."""


def table_size(text: str, table: str) -> int:
    """Bytes of a bucket."""
    found = re.search(rf"^ *{table}_hash_bucket_size (\d+);$", text, re.MULTILINE)
    return int(found[1]) if found else ROOM_IN_USUAL_BUCKET


def needed(key: str) -> int:
    """Bytes of a bucket that has it alone (NGX_HASH_ELT_SIZE in ngx_hash.c, and a pointer)."""
    return 8 + (len(key) + 2 + 7) // 8 * 8 + 8


def keys_of_maps(text: str) -> list[str]:
    """Those that nginx looks up in a table: all but `default` and regular expressions."""
    bodies = re.findall(r"^    map [^\n]+ {\n(.*?)^    }$", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for body in bodies for line in body.splitlines()]
    found = [re.match(r'("(?:[^"\\]|\\.)*"|\S+) ', line) for line in lines]
    keys = [each[1].strip('"') for each in found if each]
    return [key for key in keys if key != "default" and not key.startswith("~")]


@pytest.mark.parametrize("has_store", [False, True])
@pytest.mark.parametrize("length", [1, 5, 33, 50])
@pytest.mark.parametrize("long", ["machine", "app", "host", "path", "sent", "taken"])
def test_a_long_name_fits_into_its_table(long, length, has_store):
    names = dict.fromkeys(("machine", "app", "host", "path", "sent", "taken"), "x")
    names[long] = "x" * (length if long in {"machine", "app", "host"} else 4 * length)
    text = f"""
[edge]
health_path = "/{names["path"]}"
[apps.{names["app"]}]
command = "run"
sticky = true
[sites."{names["host"]}.test"]
app = "{names["app"]}"
default = true
real_ip = {{ trust = ["127.0.0.1"] }}
headers = {{ X-{names["sent"]} = "1" }}
request_headers = {{ X-{names["taken"]} = "1" }}
[machines.m1]
address = "10.0.0.1"
[machines.{names["machine"]}]
address = "10.0.0.2"
"""
    desired = replace(wanted(text), machine="m1")
    desired = replace(desired, serials=dict.fromkeys(desired.machines, "5F" * 20))
    context = place_for(desired, machine=replace(IN_CLUSTER, has_store=has_store), thumbprint="t")
    conf = render_generation(desired, context)["nginx.conf"]
    keys = keys_of_maps(conf)
    assert {names["machine"], names["app"], f"|/{names['path']}"} < {*keys}
    assert max(map(needed, keys)) <= table_size(conf, "map")
    hosts = re.findall(r"^ +server_name (\S+);$", conf, re.MULTILINE)
    assert max(map(needed, hosts)) <= table_size(conf, "server_names")
    headers = re.findall(r"^ +proxy_(?:set|hide)_header ([^ ;]+)", conf, re.MULTILINE)
    assert max(map(needed, headers)) <= table_size(conf, "proxy_headers")
