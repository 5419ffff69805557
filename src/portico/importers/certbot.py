"""A certbot folder (`/etc/letsencrypt`): what it holds, and how each certificate is renewed there.

renewal/<name>.conf   where its files are, and with what it was obtained
live/<name>/*.pem     links to the newest of archive/<name>/
accounts/<host>/<path of the directory>/<id>/{private_key,regr}.json
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from portico.errors import Failed, NotFound
from portico.importers.certbot_conf import Section, read_conf
from portico.system.text import read_text

DEFAULT: Final = Path("/etc/letsencrypt")
_SERVER: Final = "https://acme-v02.api.letsencrypt.org/directory"
_SHELL: Final = ("/bin/sh", "-c")  # what certbot runs its hooks with
_HTTP_PLUGINS: Final = frozenset({"standalone", "webroot", "nginx", "apache"})
_CURVES: Final = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}
_SIZES: Final = {"2048": "rsa2048", "4096": "rsa4096"}


@dataclass(frozen=True, slots=True)
class CertbotAccount:
    key: str
    """JSON Web Key."""
    url: str
    email: str


@dataclass(frozen=True, slots=True)
class CertbotLineage:
    name: str
    conf: Path
    chain: Path
    key: Path
    archive: tuple[tuple[Path, Path], ...]
    """Chain and key of every certificate that certbot has kept, this one too."""
    server: str
    """Directory URL."""
    account: CertbotAccount | None
    settings: Mapping[str, object]
    """As in our table `[sites."NAME".tls]`."""
    notes: tuple[str, ...]
    """What is not taken over, and what to do about it."""
    params: Section
    """What certbot renews it with, as it is written there."""


@dataclass(frozen=True, slots=True)
class CertbotFolder:
    lineages: tuple[CertbotLineage, ...]
    troubles: tuple[str, ...]
    """What could not be read; the rest can."""


def read_folder(folder: Path) -> CertbotFolder:
    """Raises NotFound when it is no folder of certbot, Failed when it cannot be read."""
    lineages, troubles = [], []
    for conf in _confs(folder):
        try:
            lineages.append(read_lineage(folder, conf))
        except Failed as failed:
            troubles.append(str(failed))
    return CertbotFolder(tuple(lineages), tuple(troubles))


def read_lineage(folder: Path, conf: Path) -> CertbotLineage:
    """What one renewal file says, in its folder of certbot. Raises Failed."""
    try:
        return _lineage(folder, conf)
    except (OSError, ValueError) as error:
        raise Failed(f"cannot read {conf}: {error}") from error


def _confs(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in (folder / "renewal").iterdir() if each.suffix == ".conf")
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} is not a certbot folder: it has no folder renewal") from None
    except OSError as error:
        raise Failed(
            f"cannot read {error.filename}: {error.strerror}; nothing was changed"
        ) from error


def _lineage(folder: Path, conf: Path) -> CertbotLineage:
    sections = read_conf(read_text(conf))
    top, params = sections[""], sections.get("renewalparams", {})
    files, without_links = _files(folder, conf.stem, top)
    server = params.get("server", _SERVER)
    account = _account(folder, server, params.get("account", ""))
    notes: list[str] = []
    if without_links:
        notes.append(
            f"{folder} was copied without its symbolic links, so certbot cannot use it; copy it "
            "with `cp -a` or `rsync -a` if you need it for certbot"
        )
    settings: dict[str, object] = {"issuer": server}
    if account and account.email:
        settings["email"] = account.email
    settings |= _key(params, notes)
    for ours, theirs in (("profile", "required_profile"), ("profile", "preferred_profile")):
        if params.get(theirs, "None") != "None":
            settings.setdefault(ours, params[theirs])
    if params.get("preferred_chain", "None") != "None":
        settings["preferred_chain"] = params["preferred_chain"]
    settings |= _challenge(params, notes)
    settings |= _hooks(folder, params, notes)
    if params.get("autorenew", "True") == "False":
        notes.append("certbot does not renew it: autorenew = False")
    return CertbotLineage(
        conf.stem,
        conf,
        *files,
        tuple(_archived_pairs(_archive(folder, conf.stem, top))),
        server,
        account,
        settings,
        tuple(notes),
        params,
    )


def _files(folder: Path, name: str, top: Section) -> tuple[tuple[Path, Path], bool]:
    """Chain and key, and whether the folder was copied without its symbolic links: then they are
    the newest ones of the archive. A folder that was moved has paths of the place it comes from.
    """
    live = folder / "live" / name
    chain, key = (
        next((each for each in (own, live / f"{kind}.pem") if each.exists()), own)
        for kind in ("fullchain", "privkey")
        for own in [Path(top.get(kind, live / f"{kind}.pem"))]
    )
    kept = list(_archived_pairs(_archive(folder, name, top)))
    if kept and not (chain.exists() and key.exists()):
        newest = max(kept, key=lambda pair: int(re.sub(r"\D", "", pair[0].stem) or 0))
        return newest, True
    return (chain, key), chain.exists() and not chain.is_symlink()


def _archive(folder: Path, name: str, top: Section) -> Path:
    usual = folder / "archive" / name
    own = Path(top.get("archive_dir", usual))
    return own if own.exists() else usual


def _archived_pairs(archive: Path) -> Iterator[tuple[Path, Path]]:
    for chain in sorted(archive.glob("fullchain*.pem")):
        key = chain.with_name(chain.name.replace("fullchain", "privkey"))
        if key.exists():
            yield chain, key


def _account(folder: Path, server: str, number: str) -> CertbotAccount | None:
    url = urlsplit(server)
    place = folder / "accounts" / url.netloc / url.path.strip("/")
    try:
        chosen = place / number if number else next(place.iterdir())
        registration = json.loads(read_text(chosen / "regr.json"))
        contacts = (registration.get("body") or {}).get("contact") or ()
        return CertbotAccount(
            read_text(chosen / "private_key.json"),
            str(registration.get("uri", "")),
            next((str(each).removeprefix("mailto:") for each in contacts), ""),
        )
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, StopIteration, Failed):
        return None


def _key(params: Section, notes: list[str]) -> dict[str, object]:
    if params.get("reuse_key") == "True":
        notes.append("reuse_key is not imported: every certificate gets a new key")
    kind = params.get("key_type", "rsa")  # as certbot reads a file that does not say
    known, chosen = (
        (_SIZES, params.get("rsa_key_size", "2048"))
        if kind == "rsa"
        else (_CURVES, params.get("elliptic_curve", "secp256r1"))
    )
    if chosen in known:
        return {"key_type": known[chosen]}
    notes.append(f"keys of {kind} {chosen} are not supported: it gets ecdsa-p256")
    return {}


def _challenge(params: Section, notes: list[str]) -> dict[str, object]:
    how = params.get("authenticator", "")
    if how in _HTTP_PLUGINS:
        return {"challenge": "http-01"}
    if how == "manual" and "dns" in params.get("pref_challs", "") and "manual_auth_hook" in params:
        dns: dict[str, object] = {
            "provider": "command",
            "auth": [*_SHELL, params["manual_auth_hook"]],
        }
        if cleanup := params.get("manual_cleanup_hook"):
            dns["cleanup"] = [*_SHELL, cleanup]
        return {"challenge": "dns-01", "dns": dns}
    if how.startswith("dns-"):
        return {"challenge": "dns-01", "dns": _provider(how.removeprefix("dns-"), params, notes)}
    notes.append(f"its challenge ({how or 'unknown'}) is not imported: it uses http-01")
    return {"challenge": "http-01"}


def _provider(name: str, params: Section, notes: list[str]) -> dict[str, object]:
    credentials = params.get(f"dns_{name.replace('-', '_')}_credentials", "")
    if name != "rfc2136":
        notes.append(
            f"the credentials of {name} in {credentials or 'its environment'} have other names "
            "in dns-lexicon; write them to a file of NAME=value lines, and set it in tls.dns"
        )
        return {"provider": f"lexicon:{name}"}
    dns: dict[str, object] = {"provider": "rfc2136"}
    try:
        credentials_file = read_conf(read_text(Path(credentials)))[""]
    except (ValueError, Failed):
        credentials_file = {}
    if server := credentials_file.get("dns_rfc2136_server"):
        dns["server"] = f"{server}:{credentials_file.get('dns_rfc2136_port', '53')}"
    if key_name := credentials_file.get("dns_rfc2136_name"):
        dns["key_name"] = key_name
    if algorithm := credentials_file.get("dns_rfc2136_algorithm"):
        dns["algorithm"] = algorithm.lower()
    notes.append(
        f"the secret in {credentials} is not copied; write it to a separate file and set "
        "secret_file in tls.dns to its path"
    )
    return dns


def _hooks(folder: Path, params: Section, notes: list[str]) -> dict[str, object]:
    for kind in ("pre", "post"):
        hooks = [*_programs(folder / "renewal-hooks" / kind)]
        if hook := params.get(f"{kind}_hook"):
            hooks.append(hook)
        notes.extend(
            f"the {kind} hook {each} is not imported: no program is stopped for a renewal"
            for each in hooks
        )
    deploy = [*_programs(folder / "renewal-hooks" / "deploy")]
    if (hook := params.get("renew_hook")) and hook not in deploy:
        deploy.append(hook)
    commands = [[*_SHELL, each] for each in deploy]
    match commands:
        case []:
            return {}
        case [one]:
            return {"deploy_hook": one}
        case several:
            return {"deploy_hook": several}


def _programs(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        for each in sorted(folder.iterdir()):
            if each.is_file() and each.stat().st_mode & 0o111 and not each.name.endswith("~"):
                yield str(each)
