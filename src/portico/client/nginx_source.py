"""The source of nginx that an operator has: a release's tarball, or a checkout."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portico.core.model.nginx_source import CONFIGURE, HEADER, version_in
from portico.core.model.place import MIN_NGINX
from portico.errors import Failed, Refused
from portico.system.commands import run_tool
from portico.system.ownership import writer
from portico.system.rights import other_writer

MAX_SIZE: Final = 100 << 20
"""Bytes of a tarball; nginx's have 1.3 MB."""
TOOL_TIMEOUT: Final = 60.0
_IGNORED_FILES: Final = shutil.ignore_patterns(".git", ".hg", "objs")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an operator gives to check a tarball by."""

    sha256: str | None = None
    signature: Path | None = None
    keyring: Path | None = None
    """Public keys, as nginx.org publishes them; default: the keyring of this user's gpg."""


@dataclass(frozen=True, slots=True)
class Source:
    path: Path
    version: str
    content: bytes | None
    """Of a tarball, as it was checked; None for a folder."""

    def unpack(self, target: Path) -> None:
        """Put its files into a folder that is not there yet."""
        if self.content is None:
            copy_tree(self.path, target)
            return
        target.mkdir(mode=0o700)
        tarball = target.with_name("source.tar")
        tarball.write_bytes(self.content)
        options = ("--strip-components=1", "--no-same-owner", "--no-same-permissions")
        command = ("tar", "-xf", str(tarball), "-C", str(target), *options)
        done = run_tool(command, {"PATH": os.defpath}, seconds=TOOL_TIMEOUT)
        if done.returncode:
            raise Failed(f"cannot unpack {self.path}: {done.stderr.strip()}")


def read_source(path: Path, evidence: Evidence, environ: Mapping[str, str]) -> Source:
    """Check it, as far as it can be without running any of it. Refused where it does not serve."""
    if path.is_dir():
        if evidence != Evidence():
            raise Refused(
                f"{path} is a folder, which has no checksum or signature; give the tarball of a "
                "release, or check the tag with `git verify-tag`"
            )
        content, header = None, _header_of_folder(path)
        assert_own_tree(path)
    else:
        content = _content(path)
        is_checked = _check(path, content, evidence, environ)
        header = _header_of_tarball(path, content)
        if not is_checked and (who := other_writer(path)):
            raise Refused(
                f"cannot build {path}: {who} can change it, and the build runs as root; give "
                "--sha256 or --signature, or move it to a folder of root"
            )
    version = version_in(header)
    if version is None:
        raise Refused(f"cannot build {path}: its {HEADER} does not define a version")
    text, oldest = ".".join(map(str, version)), ".".join(map(str, MIN_NGINX))
    if version < MIN_NGINX:
        raise Refused(
            f"cannot build {path}: it is nginx {text}, and Portico needs {oldest} or later "
            "(instances are found by `resolve`). Nothing was changed"
        )
    return Source(path, text, content)


def assert_own_tree(path: Path) -> None:
    """Refused where this process is root and another user could change what it is to run."""
    if os.geteuid() != 0:
        return
    if who := other_writer(path) or next(filter(None, map(_writer, path.rglob("*"))), ""):
        raise Refused(
            f"cannot build {path}: {who} can change files in it, and the build runs as root; "
            "make a copy that root owns, with `cp -r` in a folder of root"
        )


def _writer(path: Path) -> str:
    """Of what lies in a folder that is root's alone."""
    return other_writer(path) if path.is_symlink() else writer(path.lstat())


def copy_tree(path: Path, target: Path) -> None:
    try:
        shutil.copytree(path, target, symlinks=True, ignore=_IGNORED_FILES)
    except (OSError, shutil.Error) as error:
        raise Failed(f"cannot copy {path}: {error}") from None


def _header_of_folder(path: Path) -> str:
    if not any((path / each).is_file() for each in CONFIGURE):
        raise Refused(f"cannot build {path}: it has no {' or '.join(CONFIGURE)}")
    try:
        return (path / HEADER).read_text(errors="replace")
    except OSError:
        raise Refused(f"cannot build {path}: it has no {HEADER}, so it is not nginx") from None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_SIZE:
        raise Refused(f"cannot build {path}: it is larger than {MAX_SIZE >> 20} MB")
    return content


def _header_of_tarball(path: Path, content: bytes) -> str:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                if member.isfile() and member.name.partition("/")[2] == HEADER:
                    file = tar.extractfile(member)
                    return file.read(MAX_SIZE).decode(errors="replace") if file else ""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Refused(f"cannot build {path}: it is not a tarball: {error}") from None
    raise Refused(f"cannot build {path}: it has no {HEADER}, so it is not nginx")


def _check(path: Path, content: bytes, evidence: Evidence, environ: Mapping[str, str]) -> bool:
    """Whether there was anything to check it by. Refused where it is another one."""
    if evidence.keyring and not evidence.signature:
        raise Refused("--keyring needs a --signature to check")
    if evidence.sha256 is not None:
        found = hashlib.sha256(content).hexdigest()
        if found != evidence.sha256.lower():
            raise Refused(
                f"cannot build {path}: its SHA-256 is {found}, not {evidence.sha256}. Nothing was "
                "changed"
            )
    if evidence.signature:
        _check_signature(path, content, evidence.signature, evidence.keyring, environ)
    return evidence.sha256 is not None or evidence.signature is not None


def _check_signature(
    path: Path, content: bytes, signature: Path, keyring: Path | None, environ: Mapping[str, str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="portico-gpg-") as folder:
        tarball = Path(folder) / "source.tar"
        tarball.write_bytes(content)
        gpg = ["gpg", "--batch", "--no-tty"]
        if keyring:
            gpg += ["--homedir", folder, "--trust-model", "always"]
            done = run_tool([*gpg, "--import", str(keyring)], environ, seconds=TOOL_TIMEOUT)
            if done.returncode:
                raise Refused(f"cannot read the keys in {keyring}: {done.stderr.strip()}")
        command = [*gpg, "--verify", str(signature), str(tarball)]
        done = run_tool(command, environ, seconds=TOOL_TIMEOUT)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["gpg gave no reason"]
        raise Refused(
            f"cannot build {path}: {signature} is not a valid signature of it: {why[0]}. Nothing "
            "was changed"
        )
