"""Caddyfiles: who may change the server, and what its certificates are worth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.core.model.names import is_local_name
from portico.core.model.nginx_lines import Line, walk
from portico.stack.doctor.rule import Example, Facts, Fault, place_of, rule
from portico.stack.reading.caddy_addresses import addresses_of

_SITE: Final = "shop.example.com {\n    reverse_proxy localhost:3000\n}\n"


def _example(before: str, after: str) -> Example:
    return Example({"Caddyfile": before}, {"Caddyfile": after})


def _global_lines(facts: Facts) -> Iterator[Line]:
    for block in facts.stack.caddy:
        if not block.name:
            yield from block.block or ()


def _sites(facts: Facts) -> Iterator[Line]:
    yield from (block for block in facts.stack.caddy if block.name)


@rule(
    "caddy-admin-open",
    "error",
    "Caddy's admin endpoint listens beyond this machine",
    why="It asks for no password: anyone who reaches it can replace the configuration, read keys "
    "and pass requests to any address.",
    fix="Leave `admin` out (it is localhost:2019 then), or write `admin off`.",
    example=_example(
        f"{{\n    admin 0.0.0.0:2019\n}}\n{_SITE}", f"{{\n    admin localhost:2019\n}}\n{_SITE}"
    ),
)
def admin_open(facts: Facts) -> Iterator[Fault]:
    for line in _global_lines(facts):
        if line.name == "admin" and line.args and line.args[0] != "off":
            address = line.args[0].removeprefix("tcp/")
            host = address.rpartition(":")[0].strip("[]")
            is_closed = host in {"localhost", "::1"} or host.startswith("127.")
            if not is_closed and not address.startswith(("unix/", "{")):
                yield place_of(line), f"the admin endpoint listens on {address}"


@rule(
    "caddy-internal-in-public",
    "warning",
    "`tls internal` for a public name",
    why="Caddy's own authority issues the certificate, which no browser knows: every client sees "
    "a warning.",
    fix="Leave `tls internal` out: Caddy obtains a certificate of a public authority then.",
    example=_example(
        "shop.example.com {\n    tls internal\n    reverse_proxy localhost:3000\n}\n", _SITE
    ),
)
def internal_in_public(facts: Facts) -> Iterator[Fault]:
    for site in _sites(facts):
        names = addresses_of((site.name, *site.args)).names
        public = [each for each in names if not _is_private(each)]
        for line in site.block or ():
            if (line.name, line.args) == ("tls", ("internal",)) and public:
                yield place_of(line), f"no browser knows the authority of {', '.join(public)}"


def _is_private(name: str) -> bool:
    private = re.search(r"(?:^|\.)(internal|lan|home|home\.arpa|local|corp|intranet)$", name)
    return "." not in name or bool(private) or is_local_name(name)


@rule(
    "caddy-upstream-not-verified",
    "warning",
    "`tls_insecure_skip_verify` towards an upstream",
    why="A machine on the way to the upstream can answer in its place and read everything: the "
    "connection is encrypted, but to no one in particular.",
    fix="Name the authority of the upstream with `tls_trust_pool`, or use `http://` on loopback.",
    example=_example(
        "shop.example.com {\n    reverse_proxy https://10.0.0.5 {\n        transport http {\n"
        "            tls_insecure_skip_verify\n        }\n    }\n}\n",
        _SITE,
    ),
)
def upstream_not_verified(facts: Facts) -> Iterator[Fault]:
    for site in _sites(facts):
        for line in walk(site):
            if line.name == "tls_insecure_skip_verify":
                yield place_of(line), "the certificate of the upstream is not checked"


@rule(
    "caddy-on-demand-for-all",
    "error",
    "Certificates on demand for any name",
    why="Anyone can point names at this machine and have it order certificates, until the limits "
    "of the authority stop those of your own names as well.",
    fix="Write `on_demand_tls { ask URL }` among the global options.",
    example=_example(
        "https:// {\n    tls {\n        on_demand\n    }\n    reverse_proxy localhost:3000\n}\n",
        "{\n    on_demand_tls {\n        ask http://localhost:3000/allowed\n    }\n}\n"
        "https:// {\n    tls {\n        on_demand\n    }\n    reverse_proxy localhost:3000\n}\n",
    ),
)
def on_demand_for_all(facts: Facts) -> Iterator[Fault]:
    limits = [
        inner
        for line in _global_lines(facts)
        if line.name == "on_demand_tls"
        for inner in line.block or ()
    ]
    if any(each.name in {"ask", "permission"} for each in limits):
        return
    for site in _sites(facts):
        for line in walk(site):
            if line.name == "on_demand" and not line.args:
                yield (
                    place_of(line),
                    "a certificate is ordered for every name that a client asks for",
                )


@rule(
    "caddy-staging-authority",
    "warning",
    "Certificates of an authority that is there for tests",
    why="No browser knows the staging authority of Let's Encrypt: every client sees a warning.",
    fix="Remove `acme_ca`, or `ca` in `tls`, when the tests are done.",
    example=_example(
        "{\n    acme_ca https://acme-staging-v02.api.letsencrypt.org/directory\n}\n" + _SITE, _SITE
    ),
)
def staging(facts: Facts) -> Iterator[Fault]:
    for block in facts.stack.caddy:
        for line in walk(block):
            if line.name in {"acme_ca", "ca"} and "staging" in " ".join(line.args):
                yield place_of(line), "the certificates are for tests"
