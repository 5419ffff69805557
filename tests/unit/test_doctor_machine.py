"""What `portico doctor` sees of the machine, and what it makes of any text."""

from __future__ import annotations

import os
import socket
from base64 import encodebytes
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.core.model.nginx_lines import Line
from portico.stack.doctor.diagnose import RULES, diagnose
from portico.stack.doctor.gathering import gather
from portico.stack.doctor.machine import Machine
from portico.stack.doctor.other_checkers import GIXY, NGINX_LINT
from portico.stack.doctor.rule import Facts
from portico.stack.doctor.tree import Nginx
from portico.stack.model import Place, Program, Renewal, Stack
from tests.examples import examples

ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere/at/all"}


def pair(folder, *names, days=90):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
    )
    (folder / "chain.pem").write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(written)
    (folder / "key.pem").chmod(0o600)


def codes(folder, text):
    path = folder / "site.conf"
    path.write_text(text)
    found = diagnose(gather([path], ENVIRON, live=True))
    return {each.rule.code for each in found if each.rule.severity == "error"}


def site(folder, names="a.example", chain="chain.pem", key="key.pem"):
    return (
        f"server {{\n listen 443 ssl;\n server_name {names};\n ssl_certificate {folder}/{chain};\n"
        f" ssl_certificate_key {folder}/{key};\n root /srv;\n}}\n"
    )


def test_files_of_certificates_are_compared_with_what_is_there(tmp_path):
    pair(tmp_path, "a.example", "*.b.example")
    other = tmp_path / "other"
    other.mkdir()
    pair(other, "a.example", days=-1)
    assert codes(tmp_path, site(tmp_path, "a.example www.b.example")) == set()
    assert codes(tmp_path, site(tmp_path, "c.example")) == {"name-not-covered"}
    assert codes(tmp_path, site(tmp_path, key="missing.pem")) == {"certificate-file-missing"}
    assert codes(tmp_path, site(tmp_path, key="other/key.pem")) == {"key-of-another-certificate"}
    assert codes(tmp_path, site(other)) == {"certificate-expires"}
    (tmp_path / "key.pem").chmod(0o644)
    assert codes(tmp_path, site(tmp_path)) == {"key-readable-by-all"}
    (tmp_path / "chain.pem").write_text("nothing of this kind")
    assert codes(tmp_path, site(tmp_path)) == {"key-readable-by-all"}


def test_the_size_of_diffie_hellman_parameters_is_read(tmp_path):
    prime = ((1 << 1023) | 1).to_bytes(129, "big")  # as DER has it, with a zero before the sign
    integer = b"\x02\x81\x81" + prime
    sequence = integer + b"\x02\x01\x02"
    der = b"\x30\x81" + bytes([len(sequence)]) + sequence
    pem = b"-----BEGIN DH PARAMETERS-----\n%s-----END DH PARAMETERS-----\n" % encodebytes(der)
    (tmp_path / "dh.pem").write_bytes(pem)
    path = tmp_path / "site.conf"
    path.write_text(f"server {{\n listen 80;\n ssl_dhparam {tmp_path}/dh.pem;\n}}\n")
    facts = gather([path], ENVIRON, live=True)
    assert facts.machine.files[f"{tmp_path}/dh.pem"].key_bits == 1024
    assert "weak-dh-parameters" in {each.rule.code for each in diagnose(facts)}


def test_a_server_on_which_nothing_listens_is_found(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen: no other can take the port
        used, free = one.getsockname()[1], bound.getsockname()[1]
        upstream = f"upstream app {{\n server 127.0.0.1:{used};\n server 127.0.0.1:{free};\n}}\n"
        path = tmp_path / "site.conf"
        path.write_text(upstream)
        facts = gather([path], ENVIRON, live=True)
    found = [each for each in diagnose(facts) if each.rule.code == "peer-without-process"]
    assert [each.place.line for each in found] == [3]
    assert facts.machine.listening[used].beyond_loopback is False
    assert facts.machine.memory > 0
    assert facts.machine.cores == len(os.sched_getaffinity(0))


def test_files_that_are_not_of_this_machine_are_not_compared_with_it(tmp_path):
    path = tmp_path / "site.conf"
    path.write_text(site("/etc/letsencrypt/live/a.example", chain="fullchain.pem"))
    assert gather([path], ENVIRON).machine == Machine()


def test_a_file_that_is_named_and_included_is_examined_once(tmp_path):
    (tmp_path / "site.conf").write_text("server { listen 80; server_name a; root /srv; }\n")
    (tmp_path / "nginx.conf").write_text("events {}\nhttp {\n include site.conf;\n}\n")
    names = [tmp_path / "site.conf", tmp_path / "nginx.conf"]
    for order in (names, names[::-1]):
        facts = gather(order, ENVIRON)
        assert len(facts.nginx.servers) == 1
        assert "name-of-two-servers" not in {each.rule.code for each in diagnose(facts)}


@pytest.mark.parametrize("codes", [GIXY, NGINX_LINT])
def test_what_other_checkers_find_is_found_by_rules_that_exist(codes):
    assert {each for ours in codes.values() for each in ours} <= {each.code for each in RULES}


WORDS = st.sampled_from(
    ["", "on", "off", "$uri", "$1", "~", "=", "/", "80", "443", "ssl", "http://app", "app", "_",
     "a.example", "unix:/x", "[::1]:80", "(", "^(a+)+$", "60", "1", "0", "{", "x=y", "\n", "é"]
)  # fmt: skip
DIRECTIVES = st.sampled_from(
    ["server", "upstream", "location", "if", "map", "geo", "http", "events", "listen", "include",
     "server_name", "proxy_pass", "proxy_set_header", "add_header", "return", "rewrite", "alias",
     "root", "keepalive", "ip_hash", "hash", "sticky", "ssl_certificate", "ssl_certificate_key",
     "ssl_protocols", "ssl_stapling", "access_log", "error_log", "set", "allow", "deny",
     "worker_connections", "keepalive_timeout", "resolver", "try_files", "~^(.*)$", "default"]
)  # fmt: skip
LINES = st.recursive(
    st.builds(Line, DIRECTIVES, st.lists(WORDS, max_size=4).map(tuple), st.just("f"), st.just(1)),
    lambda inner: st.builds(
        Line,
        DIRECTIVES,
        st.lists(WORDS, max_size=3).map(tuple),
        st.just("f"),
        st.just(1),
        st.lists(inner, max_size=5).map(tuple),
    ),
    max_leaves=20,
)


@settings(examples(60), suppress_health_check=list(HealthCheck))
@given(st.lists(LINES, max_size=5), st.text(max_size=40), st.booleans())
def test_no_rule_fails_on_lines_that_nginx_would_refuse(lines, text, live):
    place = Place("f", 1)
    table = {"script": text, "env": {"PORT": text}, "max_memory": text, "instances": text}
    stack = Stack(
        nginx=tuple(lines),
        programs=(Program("a", place, "pm2", table), Program("b", place, "pm2", table)),
        renewals=(Renewal(place, f"certbot renew {text}"),),
    )
    machine = Machine(listening={}, memory=1, cores=2, rotated=(), now=0) if live else Machine()
    facts = Facts(stack, Nginx(stack.nginx), machine)
    assert all(each.what for each in diagnose(replace(facts)))
