"""Writes a folder that certbot understands, with the certificates that are held here.

Every one is marked `autorenew = False` there: two that renew the same names get in each other's
way. Whoever goes back to certbot takes that line out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from portico.core.model.certificate import Certificate
from portico.core.model.names import folder_name
from portico.importers.certbot_writing import leave_alone, without_certbot
from portico.system import files

KINDS: Final = ("cert", "chain", "fullchain", "privkey")
_CERTBOT_VERSION: Final = "5.8.0"  # certbot warns of folders of a newer one
_CURVES: Final = {"ecdsa-p256": "secp256r1", "ecdsa-p384": "secp384r1"}
_SIZES: Final = {"rsa2048": "2048", "rsa4096": "4096"}


def export(folder: Path, certificates: Sequence[Certificate]) -> list[str]:
    """Returns the names that certbot has for them. What the folder holds already stays; a
    certificate of the same name becomes the newest one there. Raises OSError.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with without_certbot(folder):
        return [_export(folder, certificate) for certificate in certificates]


def _export(folder: Path, certificate: Certificate) -> str:
    name = folder_name(certificate.lineage)
    archive, live, renewal = (folder / each for each in ("archive", "live", "renewal"))
    for place in (folder, archive, live, renewal, archive / name, live / name):
        place.mkdir(mode=0o700 if place in {archive, live} else 0o755, parents=True, exist_ok=True)
    contents = {
        kind: source.read_bytes()
        for kind, source in zip(KINDS, _sources(certificate), strict=True)
    }
    if not _is_there(live / name, contents):
        number = _next_number(archive / name)
        for kind, content in contents.items():
            mode = 0o600 if kind == "privkey" else 0o644
            files.write_new(archive / name / f"{kind}{number}.pem", content, mode)
        for kind in KINDS:
            files.link(live / name / f"{kind}.pem", f"../../archive/{name}/{kind}{number}.pem")
    conf = renewal / f"{name}.conf"
    if conf.exists():
        leave_alone(conf)
    else:  # certbot knows of it only from now on
        files.write(conf, _conf(folder.absolute(), name, certificate), 0o644)
    return name


def _is_there(live: Path, contents: Mapping[str, bytes]) -> bool:
    try:
        return all((live / f"{k}.pem").read_bytes() == data for k, data in contents.items())
    except OSError:
        return False


def _next_number(archive: Path) -> int:
    """After all that are there, those that somebody who was interrupted has left too."""
    found = (re.search(r"([0-9]+)$", each.stem) for each in archive.glob("*.pem"))
    return max((int(each[1]) for each in found if each), default=0) + 1


def _sources(certificate: Certificate) -> tuple[Path, Path, Path, Path]:
    """In the order of KINDS."""
    files = certificate.files
    return (
        Path(certificate.cert),
        Path(certificate.chain),
        Path(files.certificate),
        Path(files.key),
    )


def _conf(folder: Path, name: str, certificate: Certificate) -> str:
    lines = [
        f"version = {_CERTBOT_VERSION}",
        f"archive_dir = {folder}/archive/{name}",
        *(f"{kind} = {folder}/live/{name}/{kind}.pem" for kind in KINDS),
        "",
        "[renewalparams]",
        "autorenew = False",
        "authenticator = standalone",
    ]
    if certificate.issuer:
        lines.append(f"server = {certificate.issuer}")
    if certificate.profile:
        lines.append(f"preferred_profile = {certificate.profile}")
    if curve := _CURVES.get(certificate.key_type or ""):
        lines += ["key_type = ecdsa", f"elliptic_curve = {curve}"]
    elif size := _SIZES.get(certificate.key_type or ""):
        lines += ["key_type = rsa", f"rsa_key_size = {size}"]
    return "\n".join([*lines, ""])
