"""nginx's files that do the same without Portico: fixed ports in the place of discovery."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.core.config.capabilities import FIRST_VERSIONS, capability_problems
from portico.core.config.edge_rules import Machine
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.place import Build, CertificateFiles, RenderContext
from portico.core.render.cache import ROOM_FILE
from portico.core.render.generation import MAIN, render_generation
from portico.system.names import nameservers

USUAL_BUILD: Final = Build(
    "nginx",
    (1, 22, 1),
    arguments="--with-http_ssl_module --with-http_realip_module --with-http_auth_request_module "
    "--with-http_v2_module --with-stream --with-stream_ssl_module "
    "--with-stream_ssl_preread_module --with-stream_realip_module",
)
"""Stands for the one of a system that is not asked: that of Debian 12, with its modules."""
FOLDERS: Final = ("nginx/temp", "nginx/cache", "logs/nginx", "logs/sites")
"""What nginx does not make by itself."""
_STANDARD_FEATURES: Final = frozenset(
    {"hash", "ip_hash", "least_conn", "random", "cache", "limit_conn", "limit_req", "pcre_jit"}
)
_MODULES: Final = {
    # a word of its configure arguments: what it can do, as `Build.can` calls it
    "--with-http_ssl_module": ("ssl",),
    "--with-http_realip_module": ("realip",),
    "--with-http_auth_request_module": ("auth_request",),
    "--with-http_v2_module": ("http2", "grpc"),
    "--with-http_v3_module": ("http3",),
    "--with-stream": (
        "stream",
        "stream_hash",
        "stream_least_conn",
        "stream_random",
        "stream_limit_conn",
    ),
    "--with-stream_ssl_module": ("stream_ssl",),
    "--with-stream_ssl_preread_module": ("stream_preread",),
    "--with-stream_realip_module": ("stream_realip",),
}
_VERSION: Final = re.compile(r"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)")


def build_of(program: str, output: str) -> Build | None:
    """What an nginx can do, by what its `-V` prints; None if that is no nginx's."""
    found = _VERSION.search(output)
    if found is None:
        return None
    return Build(program, (int(found[1]), int(found[2]), int(found[3])), arguments=output)


def with_abilities(build: Build) -> Build:
    """With `can`, by its version and the modules that it was configured with."""
    words = build.arguments.split()
    found = {each for word, names in _MODULES.items() if word in words for each in names}
    found |= {"least_time", "sticky"} | _STANDARD_FEATURES
    can = frozenset(
        each for each in found if build.version >= FIRST_VERSIONS.get(each, build.version)
    )
    return replace(build, can=can)


def nginx_files(desired: Desired, build: Build, folder: Path, machine: Machine) -> dict[str, str]:
    """Name to text, for `nginx -c FOLDER/nginx.conf`. Raises Refused for what nginx cannot be
    given. `desired` has servers in the place of apps.
    """
    context = RenderContext(
        build=build,
        home=str(folder),
        resolver="",
        certificates={
            name: (pair_of(desired, name, folder),)
            for name, site in desired.sites.items()
            if site.https
        },
        cores=machine.cores,
        root=machine.root,
        workers="www-data" if machine.root else "",
        nameservers=nameservers(),
    )
    return render_generation(desired, context)


def pair_of(desired: Desired, site: str, folder: Path) -> CertificateFiles:
    """The operator's own, or where a copy of the one that Portico holds is put."""
    own = folder / "certificates" / site
    copied = CertificateFiles(f"{own}/fullchain.pem", f"{own}/privkey.pem")
    return desired.own_certificate(site) or copied


def unable(document: Document, desired: Desired, build: Build) -> list[str]:
    """What the file asks for and this nginx cannot do, in words."""
    alone = document.model_copy(update={"apps": {}, "upstreams": dict(desired.upstreams)})
    return [str(problem) for problem in capability_problems(alone, build)]


def with_room(files: Mapping[str, str]) -> dict[str, str]:
    """With the file by which a cache knows that the disk has room; nobody removes it here."""
    return (
        {**files, f"nginx/{ROOM_FILE}": ""} if "proxy_cache_path" in files[MAIN] else dict(files)
    )
