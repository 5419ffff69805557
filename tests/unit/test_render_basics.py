from __future__ import annotations

import pytest

from tests.rendered import APP, nginx_conf, rendered, site


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
