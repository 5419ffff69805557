"""Requests that are counted from the access logs: those that clients sent, whatever happens."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import which

import psutil
import pytest

from portico.api.metrics_listener import MAX_CONNECTIONS
from tests.addresses import free_port
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, kill

SITE = "app.localhost"
ROTATED = {"log_max_size": 1 << 16, "log_keep": 50}
CHILD = "portico.adapters.traffic.child.main"


def file_of(*routes: str) -> str:
    return f"""
[apps.web]
command = ["{sys.executable}", "{PROGRAMS / "echo.py"}"]
instances = 2
health = "/healthz"
[sites."{SITE}"]
app = "web"
[sites."{SITE}".routes]
"/api" = "web"
{"".join(f'"{route}" = "web"' for route in routes)}
"""


def logs_of(stack: Stack) -> list[Path]:
    """The access log: all files that rotations have left."""
    return [*(stack.home / "logs/sites").glob(f"{SITE}.access.log*")]


def lines_of(stack: Stack) -> list[dict]:
    return [json.loads(line) for log in logs_of(stack) for line in log.read_text().splitlines()]


def day(stack: Stack, **of: str) -> dict:
    """As soon as there is a program that counts: it is started again after its death."""
    query = "&".join(f"{name}={value}" for name, value in of.items())
    return eventually(lambda: stack.api(f"/v1/traffic?{query}").get("day"))


def both_answer(stack: Stack, path: str = "/") -> bool:
    """Whether some requests have reached both instances: rates are of the last minute."""
    return len({stack.get(SITE, path).json["pid"] for _ in range(4)}) == 2


def child_of(stack: Stack, before: int = 0) -> int:
    """The process that counts; not that of a daemon before, which may still store."""

    def found() -> int:
        for process in stack.processes():
            with suppress(psutil.NoSuchProcess):
                if process.pid != before and CHILD in process.cmdline():
                    return process.pid
        return 0

    return eventually(found)


@pytest.fixture(scope="module")
def metrics() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def stack(metrics: str):
    with Stack() as stack:
        stack.up(file_of(), metrics=metrics, **ROTATED)
        yield stack


@pytest.mark.slow
def test_the_counts_are_those_of_the_clients_over_rotations_reloads_rollouts_and_kills(
    stack: Stack, metrics: str
):
    with stack.load(SITE, "/api/x", rate=80, connections=8) as load:
        counting = child_of(stack)
        stack.kill_daemon()
        stack.up(file_of("/more"), metrics=metrics, **ROTATED)
        kill(child_of(stack, counting))
        stack.done("reload", "web")
        eventually(lambda: len(logs_of(stack)) > 1, every=0.5)
        report = load.stop()
    assert report.lost == 0
    sent = report.requests
    for kept in ("", "?x", "?status=500"):
        for _ in range(10):
            stack.get(SITE, f"/api{kept}")
    eventually(lambda: day(stack, route="/api")["requests"] >= sent + 30)
    found = day(stack, route="/api")
    assert found["codes"]["5xx"] == 10
    assert found["codes"]["2xx"] == sent + 20
    assert found == day(stack, route="/api", app="web", site=SITE)
    shown = stack.api(f"/v1/traffic?site={SITE}")
    (route,) = [each for each in shown["routes"] if each["route"] == "/api"]
    assert (route["requests"], route["app"]) == (sent + 30, "web")
    assert sum(sum(each["bands"]) for each in shown["minutes"]) >= sent + 30
    assert {"/api/x", "/api"} & {each["path"] for each in shown["slowest"]}
    # A rotation between the look at the folder and that at a file hides one file.
    eventually(
        lambda: sum(line["route"] == "/api" for line in lines_of(stack)) == sent + 30,
        every=0.5,
    )
    assert eventually(lambda: stack.status()["troubles"] == [])


def test_an_instance_and_a_site_have_rates_in_status_and_a_program_gets_trace_and_request_id(
    stack: Stack,
):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = stack.get(SITE, "/").json["headers"]
    kept = stack.get(SITE, "/", traceparent=trace).json["headers"]
    bad = stack.get(SITE, "/", traceparent=trace.replace("0af", "xyz")).json["headers"]
    made, kept, bad = ({k.lower(): v for k, v in each.items()} for each in (made, kept, bad))
    assert re.fullmatch(f"00-{made['x-request-id']}-[0-9a-f]{{16}}-01", made["traceparent"])
    assert kept["traceparent"] == trace
    assert bad["traceparent"].startswith(f"00-{bad['x-request-id']}-")
    eventually(
        lambda: both_answer(stack) and all(i["traffic"] for i in stack.instances("web")), every=0.5
    )
    logged = (kept["x-request-id"], trace)
    eventually(lambda: logged in [(x["request_id"], x["traceparent"]) for x in lines_of(stack)])
    shown = stack.done("status").stdout
    assert "req/s" in shown
    assert "5xx" in shown


def test_metrics_are_served_where_the_file_says_and_promtool_finds_nothing_wrong(
    stack: Stack, metrics: str
):
    counted = 'portico_http_requests_total{project="project",site="app.localhost",route="/api"'
    assert both_answer(stack, "/api/x")
    eventually(lambda: counted in fetched(metrics).read().decode())
    answer = fetched(metrics)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(metrics, "/v1/status")
    mute = [socket.create_connection(metrics.split(":")) for _ in range(3)]
    for each in mute:
        each.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert fetched(metrics).status == 200
    for each in mute:
        each.close()
    if which("promtool") is not None:
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.skipif(which("prometheus") is None, reason="Prometheus is not installed")
def test_scrapers_that_never_read_are_few_and_hold_up_no_one(stack: Stack, metrics: str):
    host, port = metrics.split(":")
    wanted = f"GET /metrics HTTP/1.1\r\nHost: {metrics}\r\n\r\n".encode() * 50
    with ExitStack() as open_ones:
        for _ in range(MAX_CONNECTIONS):
            scraper = socket.socket()
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least there is
            open_ones.enter_context(scraper)
            scraper.connect((host, int(port)))
            scraper.sendall(wanted)
        with pytest.raises(OSError):
            fetched(metrics)
        assert stack.api("/v1/status")["apps"]
        assert stack.get(SITE, "/").status == 200
    assert eventually(lambda: is_scraped(metrics))


def test_the_real_prometheus_scrapes_a_running_portico(stack: Stack, metrics: str, tmp_path: Path):
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: portico\n    honor_labels: true\n"
        f"    static_configs: [{{targets: ['{metrics}']}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    words = (
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    query = "/api/v1/query?query=sum+by+(instance)(portico_http_requests_total{code='2xx'})"
    with subprocess.Popen(["prometheus", *words], stderr=subprocess.DEVNULL) as prometheus:

        def instances() -> set[str]:
            with suppress(OSError):
                answer = json.load(fetched(address, query.replace("'", "%22")))
                return {each["metric"].get("instance") for each in answer["data"]["result"]}
            return set()

        try:
            eventually(lambda: both_answer(stack) and {"web.1", "web.2"} <= instances(), every=0.5)
        finally:
            prometheus.terminate()


def fetched(address: str, path: str = "/metrics"):
    return urllib.request.urlopen(f"http://{address}{path}", timeout=30)


def is_scraped(address: str) -> bool:
    with suppress(OSError), fetched(address) as answer:
        return answer.status == 200
    return False
