"""From the text of a portico.toml to nginx's files, as the daemon does it, without one."""

from __future__ import annotations

import tomllib
from dataclasses import replace

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.cluster import OwnMachine
from portico.core.model.desired import Desired
from portico.core.model.place import Build, CertificateFiles, RenderContext
from portico.core.render.generation import render_generation
from portico.engine.inputs import Machine

ABILITIES = {
    *("grpc", "http2", "keepalive_min_timeout", "least_time"),
    *("auth_request", "pcre_jit", "realip", "request_port", "resolve", "sticky"),
}
WHEEL = Build("nginx", (1, 31, 3), "3.3.7", frozenset(ABILITIES))
FULL = replace(WHEEL, can=WHEEL.can | {"brotli", "http3", "zstd"})
"""An nginx that has the modules too that the wheel's lacks."""
END_OF_BASICS = "    proxy_set_header Connection $portico_connection;\n"
"""The last line of what has nothing of the operator's in it."""
IN_CLUSTER = OwnMachine(
    "0f8b2c1e-5d55-4b0e-9d5c-1f1d36c1a9b7",
    "m1",
    *(f"/var/lib/portico/cluster/{name}" for name in ("5f/machine.pem", "5f/machine.key")),
    "/var/lib/portico/cluster/authority.pem",
)
HOME, PROJECT = "/var/lib/portico", "/srv/project"
MACHINE = Machine(
    home="/home/portico",
    cores=2,
    root=False,
    workers="",
    secret="s",
    open_files=1024,
    resolver="127.0.0.1:5353",
    nameservers=(),
    ipv6=True,
    hosts=frozenset(),
    authorities="/etc/ssl/certs/ca-certificates.crt",
)


def wanted(text: str, *, folder: str = PROJECT, root: bool = False) -> Desired:
    document = read_document(tomllib.loads(text), source="portico.toml")
    return desired_from(document, folder=folder, environ={}, cores=2, root=root)


def place_for(desired: Desired, **differing: object) -> RenderContext:
    pairs = {
        name: (
            CertificateFiles(f"{HOME}/certificates/{name}.pem", f"{HOME}/certificates/{name}.key"),
        )
        for name, site in desired.sites.items()
        if site.https
    }
    usual = {"cores": 2, "nameservers": ("192.0.2.53", "[2001:db8::53]"), "certificates": pairs}
    build = differing.pop("build", WHEEL)
    return RenderContext(build, HOME, "127.0.0.1:5353", **(usual | differing))


def rendered(text: str, *, root: bool = False, **place: object) -> dict[str, str]:
    desired = wanted(text, root=root)
    if isinstance(machine := place.get("machine"), OwnMachine):
        desired = replace(desired, machine=machine.name)
    return render_generation(desired, place_for(desired, root=root, **place))


def nginx_conf(text: str) -> str:
    return rendered(text)["nginx.conf"]


def block(text: str, head: str) -> list[str]:
    """The lines of the only block that begins so, without their margin."""
    lines = text.splitlines()
    (start,) = [n for n, line in enumerate(lines) if line.strip() == f"{head} {{"]
    margin = lines[start].removesuffix(lines[start].lstrip())
    end = lines.index(f"{margin}}}", start)
    return [line.strip() for line in lines[start + 1 : end]]


def site_block(text: str) -> list[str]:
    """The lines of the last server, which is that of the last site."""
    lines = text.splitlines()
    start = max(n for n, line in enumerate(lines) if line == "    server {")
    return [line.strip() for line in lines[start + 1 : -2]]


APP = '[apps.web]\ncommand = "run"\n'


def site(keys: str = "", routes: str = "", name: str = "app.test") -> str:
    """A file with one app and one site for it."""
    return f'{APP}[sites."{name}"]\napp = "web"\n{keys}\n[sites."{name}".routes]\n{routes}\n'
