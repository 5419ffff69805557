"""What is rendered is judged by the real nginx: accepted, and without a warning."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from portico.core.config.desired import desired_from
from portico.core.config.grpc_rules import MAX_NAME_LENGTH
from portico.core.model.desired import Desired, Listeners
from portico.core.model.document import Document
from portico.core.model.upstream import Server, Upstream
from portico.core.render.generation import render_generation
from portico.errors import Refused
from tests.edge import Edge
from tests.hostile import FIELDS, TEXTS
from tests.rendered import place_for, wanted
from tests.waiting import processor_seconds

GOLDEN = Path(__file__).parent.parent / "golden" / "nginx"
CASES = sorted(path.parent for path in GOLDEN.glob("*/portico.toml"))
INCLUDED = {
    "conf/log.conf": "map $host $mine { default 1; }",
    "conf/app.conf": "location = /mine { return 204; }",
    "conf/authority.pem": "",
}


@pytest.fixture
def edge() -> Iterator[Edge]:
    edge = Edge(nameservers=("127.0.0.1:9",), root=os.geteuid() == 0)
    yield edge
    edge.close()


def listening_here(edge: Edge, desired: Desired) -> Desired:
    """To test a file, nginx binds its addresses too."""
    return replace(desired, listeners=Listeners(edge.http, edge.https, ("127.0.0.1", "[::1]")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_reviewed_generation_is_accepted(case, edge):
    text = (case / "portico.toml").read_text().replace("/etc/portico", str(edge.project))
    for name, lines in (INCLUDED | {"more.conf": ""}).items():
        edge.file(name, lines)
    edge.install(listening_here(edge, wanted(text, folder=str(edge.project))))
    authority = (edge.folder / "certificate.pem").read_bytes()
    (edge.project / "conf/authority.pem").write_bytes(authority)
    (edge.project / "conf/revoked.pem").write_bytes(_empty_revocation_list(authority))
    assert edge.tested() == ""


def _empty_revocation_list(authority: bytes) -> bytes:
    """As PEM; nginx asks only of a request who signed it."""
    issuer, now = x509.load_pem_x509_certificate(authority).subject, datetime.now(UTC)
    listed = x509.CertificateRevocationListBuilder(issuer, now, now + timedelta(days=1))
    signed = listed.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def test_a_thousand_sites_are_accepted(edge):
    number = 1000
    name = "{n}.a-name-of-usual-length.example.com"
    sites = "".join(
        f'[sites."{name.format(n=n)}"]\napp = "web"\naliases = ["www.{name.format(n=n)}"]\n'
        for n in range(number)
    )
    desired = wanted(f'[apps.web]\ncommand = "run"\n{sites}')
    edge.install(listening_here(edge, desired))
    begun = processor_seconds()
    assert edge.tested() == ""
    assert processor_seconds() - begun < number / 100


def test_the_longest_names_are_accepted(edge):
    label = "x" * 63
    longest = f"{label}.{label}.{label}.{'y' * 61}"
    header = "X-" + "Long" * 60
    text = f"""
    [apps.{"a" * 50}]
    command = "run"
    [sites."{longest}"]
    app = "{"a" * 50}"
    headers = {{{header} = "1"}}
    request_headers = {{{header} = "1"}}
    [sites."calls.test"]
    app = "{"a" * 50}"
    grpc = true
    headers = {{{header[:MAX_NAME_LENGTH]} = "1"}}
    request_headers = {{{header[:MAX_NAME_LENGTH]} = "1"}}
    """
    edge.install(listening_here(edge, wanted(text)))
    assert edge.tested() == ""


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_hostile_text_in_every_field_is_accepted_or_was_refused(text, edge):
    """What is accepted here has stayed in its argument: nginx knows no directive beside it."""
    sites = {}
    for number, field in enumerate(FIELDS.values()):
        with suppress(ValidationError, Refused):
            document = Document.model_validate_json(json.dumps(field(text)))
            desired = desired_from(document, folder="/p", environ={}, cores=1, root=False)
            render_generation(desired, place_for(desired))
            sites |= {f"{number}.test": site for site in desired.sites.values()}
    web = {"web": Upstream(servers=(Server(address="127.0.0.1:9"),))}
    upstreams = web | {"old": web["web"]}
    edge.install(listening_here(edge, Desired(sites=sites, upstreams=upstreams)))
    assert edge.tested() == ""
