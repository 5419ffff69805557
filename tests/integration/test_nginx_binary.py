"""Which nginx is taken, what it is found able to do, and how it is quoted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portico.adapters.nginx.binary import Binaries
from portico.adapters.nginx.error_lines import explain
from portico.adapters.nginx.features import ALL_DIRECTIVES, OPTIONAL_FEATURES, named_in
from portico.errors import Refused
from portico.system.programs import Child, Program, start_here
from tests.little_nginx import BINARY
from tests.nginx_lab import PORTS


def old_nginx(folder: Path) -> Path:
    """A program that says of itself what nginx 1.22 says."""
    program = folder / "nginx"
    program.write_text(
        "#!/bin/sh\n"
        "[ $1 = -V ] && { echo nginx version: nginx/1.22.1; exit; }\n"
        "conf=$3/nginx.conf\n"
        "line=$(grep -nE 'resolve|least_time|sticky|http2 on|keepalive_min' $conf | head -1)\n"
        '[ -z "$line" ] && exit 0\n'
        'echo "nginx: [emerg] unknown directive in $conf:${line%%:*}"\n'
        "exit 1\n"
    )
    program.chmod(0o755)
    return program


def nginx_with_a_folder_of_modules(folder: Path) -> Path:
    """A program that compresses with brotli only where it loads a module that fits it."""
    program = folder / "nginx"
    program.write_text(
        "#!/bin/sh\n"
        f'[ $1 = -V ] && {{ echo nginx version: nginx/1.31.3; echo "configure arguments: '
        f'--prefix=/x --modules-path={folder}/modules --with-compat"; exit; }}\n'
        "conf=$3/nginx.conf\n"
        "file=$(sed -n 's/^load_module \"\\(.*\\)\";/\\1/p' $conf)\n"
        'if [ -z "$file" ]; then line=$(grep -n "brotli on" $conf)\n'
        'elif ! grep -q "fits" $file; then line=$(grep -n load_module $conf); fi\n'
        '[ -z "$line" ] && exit 0\n'
        'echo "nginx: [emerg] it does not fit in $conf:${line%%:*}"\n'
        "exit 1\n"
    )
    program.chmod(0o755)
    (folder / "modules").mkdir()
    return program


def test_a_module_in_nginxs_folder_counts_if_nginx_can_load_it(tmp_path):
    program, binaries = str(nginx_with_a_folder_of_modules(tmp_path)), Binaries()
    file = tmp_path / "modules" / "ngx_http_brotli_filter_module.so"

    async def modules() -> dict[str, str]:
        build = await binaries.inspect(program)
        assert ("brotli" in build.can) == ("brotli" in build.modules)
        assert "zstd" in build.can, "which is built in"
        return dict(build.modules)

    async def story():
        assert await modules() == {}
        new = tmp_path / "new"
        new.write_text("fits")
        new.rename(file)
        assert await modules() == {"brotli": str(file)}
        new.write_text("of another version")
        new.rename(file)
        assert await modules() == {}

    asyncio.run(story())


def test_no_module_is_loaded_that_others_can_change(tmp_path):
    program = str(nginx_with_a_folder_of_modules(tmp_path))
    file = tmp_path / "modules" / "ngx_http_brotli_filter_module.so"
    file.write_text("fits")
    file.chmod(0o666)
    assert asyncio.run(Binaries().inspect(program)).modules == {}


def test_the_wheels_nginx_is_taken_and_looked_at():
    async def story():
        build = await Binaries(search="/nowhere").find(None)

        assert build.program == BINARY
        assert build.version >= (1, 31, 3)
        assert build.openssl.startswith("OpenSSL 3")
        assert build.bundled
        assert {"resolve", "least_time", "sticky", "http2", "grpc", "realip"} <= build.can
        assert {"stream_preread", "keepalive_min_timeout", "ssl_reject_handshake"} <= build.can
        of_streams = {"stream", "stream_hash", "stream_least_conn", "stream_least_time"}
        of_streams |= {"stream_limit_conn", "stream_random", "stream_realip", "stream_ssl"}
        assert of_streams <= build.can
        assert not {"http3", "brotli", "stub_status", "X25519MLKEM768"} & build.can

    asyncio.run(story())


def test_what_the_file_of_an_nginx_does_not_name_takes_no_run_to_find_out():
    runs: list[str] = []

    def counted(program: Program, *streams: int) -> Child:
        runs.append(program.words[1])
        return start_here(program, *streams)

    asyncio.run(Binaries("/nowhere", counted).find(None))
    assert runs == ["-V", "-t", "-t"]  # the second without a key exchange that OpenSSL lacks


@pytest.mark.parametrize(
    ("file", "lacking"),
    [
        (b"packed", set()),
        (b"worker_processes\0", OPTIONAL_FEATURES),
        (b"worker_processes\0http3\0", OPTIONAL_FEATURES - {"http3"}),
        (b"worker_processes\0brotli\0http3_hq\0", OPTIONAL_FEATURES),
        (b"worker_processes\0brotli\0brotli_comp_level\0", OPTIONAL_FEATURES - {"brotli"}),
    ],
)
def test_only_what_a_file_could_have_no_directive_for_is_left_out(file, lacking):
    assert ALL_DIRECTIVES - named_in(file) == lacking


def test_an_nginx_that_is_too_old_is_refused_if_named_and_passed_over_if_not(tmp_path):
    async def story():
        old = old_nginx(tmp_path)
        with pytest.raises(Refused, match=r"1\.22\.1.* lacks keepalive_min_timeout, resolve;"):
            await Binaries().find(str(old))

        assert (await Binaries(search=str(tmp_path)).find(None)).program == BINARY

    asyncio.run(story())


@pytest.mark.parametrize(
    ("named", "words"),
    [("/nowhere/nginx", "no such program"), ("/bin/true", "does not report an nginx version")],
)
def test_what_is_no_nginx_is_refused(named, words):
    with pytest.raises(Refused, match=words):
        asyncio.run(Binaries().find(named))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)\n",
            (
                "only root may listen on port 80: run "
                "`sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80`, or "
                "set other ports in [edge] http and https, or [streams]"
            ),
        ),
        (
            "nginx: [emerg] bind() to 192.0.2.1:8080 failed (99: Address not available)\n",
            "192.0.2.1 is not an address of this machine; see [edge] bind",
        ),
        (
            (
                "2026/11/22 11:04:35 [notice] 7#7: reconfiguring\n"
                '2026/11/22 11:04:35 [emerg] 7#7: unknown directive "x" in /home/own.conf:5\n'
            ),
            'unknown directive "x" (/home/own.conf, line 5)',
        ),
        (
            (
                '2026/11/22 11:04:35 [emerg] 7#7: no "events" section in configuration\n'
                "nginx: configuration file /h/nginx/generations/7/nginx.conf test failed\n"
            ),
            'no "events" section in configuration',
        ),
        ("Illegal instruction\n", "Illegal instruction"),
        ("", "nginx gave no reason"),
    ],
)
def test_nginx_is_quoted_without_its_noise(said, told):
    assert asyncio.run(explain(said, Path("/h/nginx"), PORTS)) == told
