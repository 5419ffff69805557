"""Files of certificates: what they are named, what they hold, who can read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.certificate_uses import covers, uses
from portico.stack.doctor.lineage_paths import meant_file
from portico.stack.doctor.machine import FileFacts, Machine
from portico.stack.doctor.rule import Facts, Fault, nginx_example, place_of, rule

_LIVE_FOLDER: Final = "/etc/letsencrypt/live/a.example"
_DAY: Final = 86400


def _server(
    chain: str = "fullchain.pem", key: str = "privkey.pem", folder: str = _LIVE_FOLDER
) -> str:
    return (
        "server {\n    listen 443 ssl;\n    server_name a.example;\n"
        f"    ssl_certificate {folder}/{chain};\n    ssl_certificate_key {folder}/{key};\n"
        "    root /srv/a;\n}\n"
    )


_CHAIN: Final = FileFacts(public_key="1", names=("a.example",), expires=100 * _DAY, certificates=2)
_KEY: Final = FileFacts(public_key="1", mode=0o600)
_GOOD_FILES: Final = {f"{_LIVE_FOLDER}/fullchain.pem": _CHAIN, f"{_LIVE_FOLDER}/privkey.pem": _KEY}


def _machine(**differing: FileFacts) -> Machine:
    files = {f"{_LIVE_FOLDER}/{name}.pem": facts for name, facts in differing.items()}
    return Machine(files=_GOOD_FILES | files, now=0)


def _certificate_lines(facts: Facts) -> Iterator[tuple[Line, str]]:
    for _, line in facts.nginx.lines_named("ssl_certificate", "ssl_certificate_key"):
        path = " ".join(line.args)
        if "$" not in path and not path.startswith("data:"):
            yield line, path


@rule(
    "certificate-file-misspelt",
    "error",
    "A file of certbot that certbot does not write",
    why="nginx refuses to start, and at a reload it keeps the configuration that it has; after a "
    "restart of the machine nothing is served.",
    fix="certbot writes fullchain.pem, privkey.pem, chain.pem and cert.pem.",
    example=nginx_example(_server(key="privket.pem"), _server()),
)
def file_misspelt(facts: Facts) -> Iterator[Fault]:
    for line, path in _certificate_lines(facts):
        if meant := meant_file(path):
            yield (
                place_of(line),
                f"{PurePath(path).name} is not a file that certbot writes; {meant} is",
            )


@rule(
    "certificate-file-missing",
    "error",
    "A file of a certificate that does not exist",
    why="nginx refuses to start, and at a reload it keeps the configuration that it has.",
    fix="Correct the path, or obtain the certificate first.",
    example=replace(
        nginx_example(_server(), _server(), _machine(fullchain=FileFacts(exists=False))),
        fixed_machine=_machine(),
    ),
)
def file_missing(facts: Facts) -> Iterator[Fault]:
    for line, path in _certificate_lines(facts):
        found = facts.machine.file(path)
        if found and not found.exists and not meant_file(path):
            yield place_of(line), f"{path} does not exist"


@rule(
    "key-of-another-certificate",
    "error",
    "A key that is not the certificate's",
    why="nginx refuses to start (`key values mismatch`), and at a reload it keeps the "
    "configuration that it has.",
    fix="Name the key that the certificate was issued for.",
    example=replace(
        nginx_example(_server(), _server(), _machine(privkey=replace(_KEY, public_key="2"))),
        fixed_machine=_machine(),
    ),
)
def key_of_another(facts: Facts) -> Iterator[Fault]:
    for use in uses(facts):
        chain, key = facts.machine.file(use.chain), facts.machine.file(use.key)
        if not (chain and key and chain.public_key and key.public_key):
            continue
        if chain.public_key != key.public_key:
            yield use.place, f"{use.key} is not the key of {use.chain}"


@rule(
    "name-not-covered",
    "error",
    "A name that the certificate does not cover",
    why="Browsers show an error of the certificate for it, and do not offer to continue where "
    "Strict-Transport-Security was sent before.",
    fix="Obtain the certificate for all names: `certbot --expand -d NAME,NAME`.",
    example=nginx_example(
        _server().replace("server_name a", "server_name b.example a"), _server(), _machine()
    ),
)
def name_not_covered(facts: Facts) -> Iterator[Fault]:
    for use in uses(facts):
        names = _names_in(facts, use.chain)
        bad = [name for name in use.names if names and not covers(names, name)]
        if bad:
            yield use.place, f"the certificate does not cover {', '.join(bad)}"


def _names_in(facts: Facts, chain: str) -> tuple[str, ...]:
    found = facts.machine.file(chain)
    of_certbot = (each.names for each in facts.stack.lineages if each.chain == chain)
    return (found.names if found else ()) or next(of_certbot, ())


@rule(
    "certificate-without-chain",
    "warning",
    "A certificate without those between it and the root",
    why="Desktop browsers find them by themselves; curl, Java, Android and many programs refuse "
    "the connection.",
    fix="Use fullchain.pem in `ssl_certificate`.",
    example=nginx_example(_server(chain="cert.pem"), _server()),
)
def without_chain(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("ssl_certificate"):
        path = " ".join(line.args)
        found = facts.machine.file(path)
        is_leaf = PurePath(path).name == "cert.pem" and "/live/" in path
        if is_leaf or (found and found.certificates == 1 and not found.self_signed):
            yield place_of(line), f"{PurePath(path).name} has one certificate alone"


@rule(
    "certificate-from-archive",
    "error",
    "A certificate of certbot's folder `archive`",
    why="Each renewal writes a new number there: nginx serves this one until it has expired.",
    fix="Name the link in `/etc/letsencrypt/live/`.",
    example=nginx_example(
        _server("fullchain1.pem", "privkey1.pem", "/etc/letsencrypt/archive/a.example"), _server()
    ),
)
def from_archive(facts: Facts) -> Iterator[Fault]:
    for line, path in _certificate_lines(facts):
        if "/letsencrypt/archive/" in path:
            yield place_of(line), f"{PurePath(path).name} is not replaced by a renewal"


@rule(
    "certificate-expires",
    "error",
    "A certificate that has expired or is about to",
    why="Browsers refuse it from that moment on. Renewal should have replaced it 30 days before.",
    fix="Renew it by hand (`certbot renew`), and find out why nothing has.",
    example=replace(
        nginx_example(_server(), _server(), _machine(fullchain=replace(_CHAIN, expires=5 * _DAY))),
        fixed_machine=_machine(),
    ),
)
def expires(facts: Facts) -> Iterator[Fault]:
    for use in uses(facts):
        found, now = facts.machine.file(use.chain), facts.machine.now
        if found and found.expires is not None and now is not None:
            days = (found.expires - now) / _DAY
            if days < 0:
                yield use.place, f"{use.chain} expired {-days:.0f} days ago"
            elif days < 7:  # noqa: PLR2004 - certificates of six days are renewed at half of it
                yield use.place, f"{use.chain} expires in {days:.0f} days"


@rule(
    "key-readable-by-all",
    "error",
    "A private key that every user of the machine can read",
    why="Each program and each user there can copy it, and pass for the site until the "
    "certificate is revoked.",
    fix="`chmod 600` and `chown root`; obtain a new certificate with a new key if others have "
    "used the machine.",
    example=replace(
        nginx_example(_server(), _server(), _machine(privkey=replace(_KEY, mode=0o644))),
        fixed_machine=_machine(),
    ),
)
def readable_by_all(facts: Facts) -> Iterator[Fault]:
    for _, line in facts.nginx.lines_named("ssl_certificate_key", "proxy_ssl_certificate_key"):
        found = facts.machine.file(" ".join(line.args))
        if found and found.exists and found.mode & 0o004:
            yield place_of(line), f"its mode is {found.mode:04o}"


@rule(
    "snakeoil-certificate",
    "warning",
    "The example certificate of the distribution",
    why="It is signed by itself, and browsers refuse it.",
    fix="Obtain a certificate for the name.",
    example=nginx_example(
        _server("ssl-cert-snakeoil.pem", "ssl-cert-snakeoil.key", "/etc/ssl/certs"), _server()
    ),
)
def snakeoil(facts: Facts) -> Iterator[Fault]:
    for server in facts.nginx.servers:
        named = any("." in name for name in server.names)
        for line in server.inherited_lines("ssl_certificate"):
            if "snakeoil" in " ".join(line.args) and named and not server.rejects:
                yield place_of(line), f"browsers refuse it for {server.names[0]}"
