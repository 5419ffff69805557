"""Sources of nginx: a small one that only looks like it, and that of Debian's package."""

from __future__ import annotations

import subprocess
import tarfile
from functools import cache
from pathlib import Path

import pytest

from tests.bare_debian import cache_folder

DEB_SRC = """\
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
CONFIGURE = """\
mkdir objs && printf '%s\\n' "$@" > objs/arguments
printf 'default: objs/one.o objs/two.o\\n\\tcp {program} objs/nginx\\n' > Makefile
printf 'objs/one.o:\\n\\ttouch objs/one.o\\nobjs/two.o:\\n\\ttouch objs/two.o\\n' > objs/Makefile
cat objs/Makefile >> Makefile
"""


def little_source(
    folder: Path, version: str, program: Path | str = "/bin/true", configure: str = CONFIGURE
) -> Path:
    """A checkout whose compilation is a copy of the program."""
    (folder / "src/core").mkdir(parents=True)
    (folder / "src/core/nginx.h").write_text(f'#define NGINX_VERSION      "{version}"\n')
    (folder / "auto").mkdir()
    (folder / "auto/configure").write_text(configure.replace("{program}", str(program)))
    return folder


def little_tarball(folder: Path, version: str) -> Path:
    """The same as a release has it."""
    name = f"nginx-{version}"
    tree = little_source(folder / name, version)
    (tree / "auto/configure").rename(tree / "configure")
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as tar:
        tar.add(tree, name)
    return folder / f"{name}.tar.gz"


@cache
def debians_tarball() -> Path:
    """Version 1.22.1, which Debian 12 has; kept for the next run. Skips where it cannot be had."""
    kept = cache_folder() / "nginx-source"
    kept.mkdir(parents=True, exist_ok=True)
    if not (found := list(kept.glob("nginx_*.orig.tar.gz"))):
        (kept / "parts").mkdir(exist_ok=True)
        (kept / "parts/source.sources").write_text(DEB_SRC)
        (kept / "lists/partial").mkdir(parents=True, exist_ok=True)
        options = [
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::Etc::sourceparts={kept}/parts",
            f"-oDir::State::lists={kept}/lists",
            "-oAPT::Sandbox::User=",
        ]
        for words in (["update"], ["source", "--download-only", "--tar-only", "nginx"]):
            try:
                subprocess.run(
                    ["apt-get", "-q", *options, *words],
                    cwd=kept,
                    check=True,
                    capture_output=True,
                    timeout=120,
                )
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"Debian's source of nginx is not available: {error}")
        found = list(kept.glob("nginx_*.orig.tar.gz"))
    return found[0]
