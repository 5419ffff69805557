"""Streams: connections of TCP that nginx passes on to apps and servers."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import newer
from tests.addresses import free_port
from tests.lines import Datagrams, Lines, LinesLoad
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

PROGRAM = f"python3 {PROGRAMS / 'lines.py'}"
CHECK = "exec 3<>/dev/udp/127.0.0.1/$PORT && echo x >&3 && read -t 4 -n 1 <&3"
UDP_APP = f"""
[apps.dns]
command = "{PROGRAM}"
instances = 2
drain_timeout = 60
env = {{ UDP = "1" }}
health = {{ command = ["bash", "-c", "{CHECK}"] }}
"""
APP = f'[apps.db]\ncommand = "{PROGRAM}"\ninstances = 2\ndrain_timeout = 60\n'


class Streams(Stack):
    """A stack with one stream to an app, and no site."""

    def __init__(self) -> None:
        super().__init__()
        self.nginx = newer.nginx(self.root / "nginx")
        self.port, self.udp, self.udp_sessions = free_port(), free_port(), free_port()

    def write(self, text: str, **edge: object) -> Path:
        return super().write(text, nginx=str(self.nginx), **edge)

    def stream(self, keys: str = 'app = "db"', rest: str = "") -> str:
        udp = (
            f'[streams."{self.udp}/udp"]\napp = "dns"\nproxy_responses = 1\n'
            f'[streams."{self.udp_sessions}/udp"]\napp = "dns"\nproxy_timeout = "1500ms"\n'
        )
        return f'{APP}{UDP_APP}{udp}{rest}\n[streams."{self.port}"]\n{keys}\n'


@pytest.fixture(scope="module")
def stack() -> Iterator[Streams]:
    with Streams() as stack:
        stack.up(stack.stream())
        yield stack


def _pids(stack: Streams) -> set[int]:
    """Of the instances that ten connections reach."""
    found = set()
    for _ in range(10):
        with Lines(stack.port) as lines:
            found.add(lines.pid)
    return found


def _instances(stack: Streams, app: str = "db") -> set[int]:
    return {i["pid"] for i in stack.instances(app)}


def test_connections_are_counted_for_the_stream_and_the_instance(stack: Streams):
    key = f"stream {stack.port}"

    def counted(**of: str) -> int | None:
        answer = stack.api(f"/v1/traffic?{urlencode(of)}")
        return answer["day"]["requests"] if "day" in answer else None  # nothing has counted yet

    eventually(lambda: counted(site=key) is not None)
    before = counted(site=key) or 0
    _pids(stack)
    assert eventually(lambda: counted(site=key) == before + 10)
    assert counted(site=key, app="db") == before + 10
    assert eventually(lambda: stack.status()["streams"][-1]["traffic"])
    metrics = stack.done("metrics").stdout
    assert f'stream="{stack.port}",app="db",instance="db.1",code="2xx"' in metrics
    assert "portico_nginx_workers 0" not in metrics


def test_a_file_without_a_site_listens_at_its_streams_alone(stack):
    assert _pids(stack) == _instances(stack)
    for port in (stack.http, stack.https):
        with pytest.raises(ConnectionRefusedError):
            Lines(port)


def test_status_and_up_say_where_a_stream_is(stack):
    address = f"127.0.0.1:{stack.port}"
    stream = stack.status()["streams"][-1]
    assert (stream["name"], stream["to"]) == (str(stack.port), "app db")
    assert stream["addresses"][0] == address
    assert address in stack.done("status").stdout
    assert address in stack.done("up").stdout


def test_a_deploy_loses_no_connection_and_new_ones_reach_the_new_instances(stack):
    """Held ones continue on the old instances, each until it ends."""
    old = _instances(stack)
    with ExitStack() as stays:
        held = [stays.enter_context(Lines(stack.port)) for _ in range(20)]
        with LinesLoad(stack.port) as load:
            stack.done("reload", "db")
            new = eventually(lambda: not old & (pids := _instances(stack)) and pids)
            assert [each.echo("on") for each in held] == [f"{each.pid} on" for each in held]
            before = sum(load.pids.values())
            eventually(lambda: sum(load.pids.values()) > before + 50)
        assert load.lost == []
        assert {each.pid for each in held} == old
        assert _pids(stack) == new
        assert all(map(_lives, old))
    eventually(lambda: not any(map(_lives, old)))


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def test_a_deploy_loses_no_datagram_and_a_client_stays_with_its_instance(stack):
    """As long as it sends something within proxy_timeout; then the old instance is stopped."""
    old = _instances(stack, "dns")
    with closing(Datagrams(stack.udp_sessions)) as held:
        first = held.pid()
        assert first in old
        with LinesLoad(stack.udp, udp=True) as load:
            deploy = threading.Thread(target=stack.portico, args=("reload", "dns"))
            deploy.start()
            while deploy.is_alive():
                assert held.pid() == first
                deploy.join(0.2)
            before = sum(load.pids.values())
            eventually(lambda: held.pid() == first and sum(load.pids.values()) > before + 50)
        assert load.lost == []
        new = _instances(stack, "dns")
        assert not old & new
        assert set(load.pids) & new
        with closing(Datagrams(stack.udp_sessions)) as other:
            assert other.pid() in new
        assert held.pid() == first
    eventually(lambda: not any(map(_lives, old)))


@pytest.mark.parametrize("udp", [False, True])
def test_a_port_is_free_for_the_other_protocol(stack, udp):
    """Of what the file has there is a stream of TCP, and two of UDP."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if not udp:
            other.listen()
        port = other.getsockname()[1]
        taken, free = (f"{port}/udp", f"{port}") if udp else (f"{port}", f"{port}/udp")
        for key, is_refused in ((taken, True), (free, False)):
            stack.write(stack.stream(rest=f'[streams."{key}"]\napp = "dns"\n'))
            result = stack.portico("check")
            found = f"port {port} is held by pid {os.getpid()}" in result.stderr
            assert found is is_refused, result.stderr


def test_another_nginx_takes_the_streams_over(stack):
    newer.nginx(stack.nginx, later=True)
    with Lines(stack.port) as held, LinesLoad(stack.port) as load:
        assert "1.31.9" in stack.done("upgrade").stdout
        assert held.echo("on") == f"{held.pid} on"
        before = sum(load.pids.values())
        eventually(lambda: sum(load.pids.values()) > before + 50)
    assert stack.status()["nginx"]["version"] == "1.31.9"
    assert load.lost == []
    with closing(Datagrams(stack.udp)) as client:
        assert client.pid() in _instances(stack, "dns")


def test_a_change_of_a_stream_loses_no_connection(stack):
    with Lines(stack.port) as held, LinesLoad(stack.port) as load:
        stack.up(stack.stream('app = "db"\nbalance = "least_conn"'))
        assert held.echo("on") == f"{held.pid} on"
    assert load.lost == []


def test_a_new_stream_answers_as_soon_as_up_has_ended(stack):
    port = free_port()
    stack.up(stack.stream(rest=f'[streams."127.0.0.1:{port}"]\napp = "db"\n'))
    with Lines(port) as lines:
        assert lines.pid in _instances(stack)


def test_connections_are_logged(stack):
    log = stack.home / "logs" / "sites" / f"_stream_{stack.port}.access.log"
    line = json.loads(eventually(lambda: log.exists() and log.read_text().splitlines())[-1])
    assert (line["protocol"], line["status"], line["remote_addr"]) == ("TCP", 200, "127.0.0.1")
    assert line["bytes_received"] in {0, 2, 3}


def test_a_port_that_is_held_is_said_before_anything_changes(stack):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stack.write(stack.stream(rest=f'[streams."{port}"]\napp = "db"\n'))
        result = stack.portico("up")
    assert f"port {port} is held by pid {os.getpid()}" in result.stderr
    assert str(port) not in [each["name"] for each in stack.status()["streams"]]


def test_a_stream_that_leaves_the_file_is_closed(stack):
    stack.up(f"{APP}[sites.'app.localhost']\nmaintenance = true\n")
    with pytest.raises(ConnectionRefusedError):
        Lines(stack.port)
