"""What programs and clients send or write: notices, logs, nginx's words, requests of the API."""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.logs.files import LAST_BYTES, last_lines
from portico.adapters.nginx import binary
from portico.adapters.nginx.error_lines import MAX_KEPT_LINES, LogTail, error_lines
from portico.adapters.processes.notices import MAX_STATUS_LENGTH, UnixNotices, parse
from portico.api.app import Api, Request
from portico.api.connection import Connection
from portico.core.model.event import Requester
from portico.core.planning.environment import NoticePaths
from portico.system.proc import program_name, stat
from tests.examples import examples

NGINX = [
    b"2026/11/28 03:30:35 [emerg] 1234#1234: host not found\n",
    b"2026/11/28 03:30:35 [alert] 12#12: worker died\n",
    b"2026/11/28 03:30:35 [error] 1234#1234: *99 connect() failed\n",
    b"nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)\n",
    b"nginx: [emerg] bind() to 0.0.0.0:99999999999999999999 failed (98: x)\n",
    b"2026/11/28 03:30:35 [emerg] " + b"9" * 5000 + b"#1: x\n",
    b"[emerg]\n",
]


@given(st.binary(max_size=300) | st.builds(b"STATUS=%b\nREADY=1".__mod__, st.binary(max_size=300)))
def test_a_notice_of_any_bytes_says_a_short_plain_line_or_nothing(said):
    _, status = parse(said)
    assert status is None or (len(status) <= MAX_STATUS_LENGTH and status.isprintable())


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_sent_with_notices_are_closed_and_connections_bounded(tmp_path):
    paths = NoticePaths(*(str(tmp_path / name) for name in ("notify", "send", "preload")))

    async def scenario():
        notices = UnixNotices()
        await notices.open(paths, lambda _: None)
        before = open_files()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            null = os.open("/dev/null", os.O_RDONLY)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 200))
            for _ in range(20):
                sender.sendmsg([b"\xff\0FDSTORE=1"], [rights], 0, paths.notify)
                await asyncio.sleep(0)
            os.close(null)
        await asyncio.sleep(0.05)
        after = open_files()
        held = [await asyncio.open_unix_connection(paths.send) for _ in range(300)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in held]
        ended = asyncio.as_completed(ends, timeout=20)
        for _ in range(300 - 256):  # these at least are refused
            await next(ended)
        notices.close()
        for _, writer in held:
            writer.close()
        await asyncio.wait(ends)
        return after - before

    assert asyncio.run(scenario()) <= 0


@examples(30)
@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 300))
def test_the_last_lines_of_any_bytes_are_text(tmp_path_factory, content, count, since):
    log = tmp_path_factory.mktemp("logs") / "out.log"
    log.write_bytes(content)
    lines = last_lines(str(log), count or 1, since)
    assert len(lines) <= (count or 1)
    assert all(isinstance(line, str) for line in lines)


def test_of_a_log_without_ends_of_lines_little_is_read(tmp_path):
    log = tmp_path / "out.log"
    with log.open("wb") as file:
        file.truncate(1 << 33)
    assert sum(map(len, last_lines(str(log), 10))) <= LAST_BYTES
    assert last_lines(str(tmp_path / "gone.log"), 10) == []
    assert last_lines(str(tmp_path), 10) == []


@examples(50)
@given(st.lists(st.sampled_from(NGINX) | st.binary(max_size=40), max_size=6).map(b"".join))
def test_any_words_of_nginx_are_complaints_or_passed_over(tmp_path_factory, said):
    for each in error_lines(said.decode(errors="replace")):
        assert each.is_fatal in {True, False}
        assert each.is_taken_port in {True, False}
    log = tmp_path_factory.mktemp("nginx") / "error.log"
    tail = LogTail(log)
    log.write_bytes(said + b"\n")
    assert len(tail.error_lines()) <= MAX_KEPT_LINES


def test_a_grave_complaint_is_seen_behind_many_megabytes_and_each_byte_is_read_once(tmp_path):
    log = tmp_path / "error.log"
    log.write_bytes(b"before\n")
    tail = LogTail(log)
    with log.open("ab") as file:
        file.write(NGINX[2] * ((8 << 20) // len(NGINX[2])) + NGINX[0])
    for _ in range(10):
        found = tail.error_lines()
    assert [each.text for each in found] == ["host not found"]
    begun = time.process_time()
    for _ in range(200):
        tail.error_lines()
    assert time.process_time() - begun < 1.0


def test_a_log_that_shrinks_or_vanishes_meanwhile_spoils_nothing(tmp_path):
    log = tmp_path / "error.log"
    log.write_bytes(NGINX[2] * 100)
    tail = LogTail(log)
    log.write_bytes(NGINX[0])
    assert [each.level for each in tail.error_lines()] == ["emerg"]
    log.unlink()
    assert [each.level for each in tail.error_lines()] == ["emerg"]


@given(
    st.text(max_size=60)
    | st.builds("x in /a/nginx.conf:{}".format, st.integers() | st.just("9" * 5000))
)
def test_any_output_of_a_test_blames_a_feature_or_none(text):
    assert binary._lacking_feature(text, ["", "grpc", "stream"]) in {None, "grpc", "stream"}  # noqa: SLF001


@pytest.mark.parametrize("name", [b"a) S 1 (b", b"a\nb\x1b[2J", b"\xff\xfe", b")", b""])
def test_a_process_of_any_name_is_seen(name):
    named, says_named = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with open("/proc/self/comm", "wb") as file:  # noqa: PTH123 - in a child that must not wait
                file.write(name)
            os.write(says_named, b"1")
            time.sleep(60)
        finally:
            os._exit(0)
    try:
        os.close(says_named)
        assert os.read(named, 1) == b"1"
        assert stat(child).parent == os.getpid()
        assert not stat(child).ended
        assert "\n" not in program_name(child)
    finally:
        os.close(named)
        os.kill(child, 9)
        os.waitpid(child, 0)


bodies = st.binary(max_size=60) | st.sampled_from(
    [b"[" * 100_000, b'{"source": 5}', b'{"table": {"a": ' + b'{"a":' * 5000, b"\xff", b"null"]
)
paths = st.sampled_from(["/v1/up", "/v1/check", "/v1/status", "/v1/apps/a/scale", "/%ff/\0", "//"])


@examples(40)
@given(st.sampled_from(["GET", "POST", "DELETE", "X"]), paths, bodies)
def test_a_request_of_any_bytes_is_answered_in_words(method, path, body):
    request = Request(method, path, Requester("root", 0, 1), body)
    answer = asyncio.run(Api(SimpleNamespace()).answer(request))
    assert 400 <= answer.status < 600
    assert json.loads(answer.body)["error"]


class Sent(bytearray):
    """The other end of a connection."""

    write = bytearray.extend

    async def drain(self):
        pass


requests = st.sampled_from(
    [b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /v1/up HTTP/1.1\r\n"]
)


@examples(80)
@given(st.lists(requests | st.binary(max_size=80), min_size=1, max_size=4))
def test_a_connection_of_any_bytes_is_answered_with_http_or_ends(parts):
    async def talk():
        reader, sent = asyncio.StreamReader(), Sent()
        reader.feed_data(b"".join(parts))
        reader.feed_eof()
        api = Api(SimpleNamespace())
        await Connection(reader, sent, Requester("root", 0, 1), api.answer, api.requests).serve()
        return bytes(sent)

    sent = asyncio.run(talk())
    assert sent == b"" or sent.startswith(b"HTTP/1.1 ")
