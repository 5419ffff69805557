"""How Portico's cost grows with the number of sites and of instances."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.compare import processes
from bench.compare.bench import Bench
from bench.compare.certificates import MORE, Certificates
from bench.compare.peers.portico import app
from bench.compare.results import Column, Measured, Results, Row
from bench.compare.supervisors import PorticoAlone, running
from portico.core.model.place import CertificateFiles
from portico.core.planning.reconcile import plan
from portico.core.render.generation import render_generation
from tests.addresses import free_port
from tests.rendered import HOME, place_for, wanted
from tests.stack import Stack
from tests.unit.worlds import world
from tests.waiting import eventually

INSTANCES = (10, 100, 500)
TEST_WITHIN = 120
T = TypeVar("T")
SITES, OF_INSTANCES = "sites", "instances"
SITE = '[sites."{name}"]\napp = "web"\ncertificate = "{pem}"\nkey = "{key}"\n'


def measure(bench: Bench, measured: Measured) -> None:
    certificates = Certificates(bench.folder / "growth")
    for count in bench.effort.sites:
        values = _decide(bench, count, certificates)
        if count <= bench.effort.sites_served:
            values |= _serve(count, certificates)
        measured(f"{count} {SITES}", "portico", 0, **values)
    for count in INSTANCES:
        if count <= bench.effort.many:
            _instances(bench, measured, count)


def points(results: Results, key: str) -> list[tuple[float, float]]:
    """Number of sites, and the cost."""
    found = [
        (float(case.split()[0]), value.median)
        for case in results.cases("growth")
        if case.endswith(SITES) and (value := results.range("growth", case, "portico", key))
    ]
    return sorted(found)


def _text(count: int, certificates: Certificates) -> str:
    pair = {"pem": certificates.certificate("ecdsa"), "key": certificates.key("ecdsa")}
    return app("web", 1) + "".join(SITE.format(name=_name(n), **pair) for n in range(count))


def _name(number: int) -> str:
    return MORE.format(f"s{number}")


def _decide(bench: Bench, count: int, certificates: Certificates) -> dict[str, float]:
    """What happens before anything is changed, in processor time; and `nginx -t`."""
    text = _text(count, certificates)
    text = f"[edge]\nhttp = {free_port()}\nhttps = {free_port()}\n{text}"
    desired, read = _timed(lambda: wanted(text))
    steps, planned = _timed(lambda: plan(desired, world(), generation="1"))
    assert steps
    pair = CertificateFiles(str(certificates.certificate("ecdsa")), str(certificates.key("ecdsa")))
    place = place_for(desired, certificates=dict.fromkeys(desired.sites, (pair,)))
    files, rendered = _timed(lambda: render_generation(desired, place))
    tested = _nginx_test(bench, bench.folder / f"{count}-sites", files)
    return {
        "read_s": read,
        "plan_s": planned,
        "render_s": rendered,
        "decide_s": planned + rendered,
        "test_s": tested,
    }


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    begun = time.process_time()
    result = act()
    return result, time.process_time() - begun


def _nginx_test(bench: Bench, home: Path, files: dict[str, str]) -> float:
    for folder in ("nginx/temp", "nginx/seeds", "logs/nginx", "logs/sites"):
        (home / folder).mkdir(parents=True)
    for name, text in files.items():
        (home / name).write_text(text.replace(HOME, str(home)))
    begun = time.monotonic()
    subprocess.run(
        [bench.programs.wheel, "-t", "-q", "-p", home, "-c", home / "nginx.conf"],
        check=True,
        capture_output=True,
        timeout=TEST_WITHIN,
    )
    return time.monotonic() - begun


def _serve(count: int, certificates: Certificates) -> dict[str, float]:
    """From nothing to the first answer of the last site, and with one more."""
    with Stack() as stack:
        begun = time.monotonic()
        stack.up(_text(count, certificates))
        _answers(stack, _name(count - 1), certificates)
        up = time.monotonic() - begun
        status = stack.status()
        values = {
            "up_s": up,
            "rss_mb": processes.memory(processes.alone([status["daemon"]["pid"]]))["rss_mb"],
            "nginx_mb": processes.memory(processes.family([status["nginx"]["pid"]]))["pss_mb"],
        }
        begun = time.monotonic()
        stack.up(_text(count + 1, certificates))
        _answers(stack, _name(count), certificates)
        return values | {"reload_s": time.monotonic() - begun}


def _answers(stack: Stack, name: str, certificates: Certificates) -> None:
    url = stack.url(name)
    command = ["curl", "-sf", "-o", "/dev/null", "--cacert", certificates.authority]
    command += ["--connect-to", f"::127.0.0.1:{stack.https}", url]

    def answers() -> bool:
        return subprocess.run(command, check=False, timeout=60).returncode == 0

    eventually(answers, within=TEST_WITHIN, every=0.01)


def _instances(bench: Bench, measured: Measured, count: int) -> None:
    with running(PorticoAlone, bench.programs, bench.folder) as supervisor:
        begun = time.monotonic()
        supervisor.up(count)
        up = time.monotonic() - begun
        daemon = processes.alone([supervisor.daemon()])
        measured(
            f"{count} {OF_INSTANCES}",
            "portico",
            0,
            up_s=up,
            rss_mb=processes.memory(daemon)["rss_mb"],
        )


ROW = Row(
    "growth",
    "Growth",
    "One app and 10 to 10,000 sites with HTTPS, and one site with 10 to 500 instances (10 run "
    "Node, more a program of 2 MB). Reading, planning and rendering are processor time; `nginx "
    "-t`, `up` and the `up` of one more site, which reloads nginx, are time until the site "
    "answers. All sites have the same certificate. Up to 1,000 sites are also served.",
    measure,
    (
        Column("decide_s", "plan and render, s", 3),
        Column("read_s", "read and validate, s", 3),
        Column("test_s", "`nginx -t`, s", 3),
        Column("up_s", "up to first answer, s", 2),
        Column("reload_s", "one more site, s", 2),
        Column("rss_mb", "porticod (RSS), MB", 1),
        Column("nginx_mb", "nginx (PSS), MB", 1),
    ),
)
