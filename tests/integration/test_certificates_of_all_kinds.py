"""Every kind of certificate that a file can ask for, by one daemon, through the nginx that serves.

The authority refuses every second nonce, and lets a proof count for later orders. What the load on
another site loses meanwhile is counted; some certificates are renewed at once.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.addresses import free_port, own_address
from tests.certbot_folder import certbot
from tests.fakes import acme_proxy, name_server, pebble
from tests.fakes.acme_proxy import AcmeProxy
from tests.fakes.name_server import KEY_NAME, SECRET, NameServers
from tests.fakes.pebble import EAB_KEY, Pebble
from tests.load import Report
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

pytestmark = [
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: name servers listen at port 53"),
    pytest.mark.slow,
]

__all__ = ["certbot"]

RENEWED = ("list.example.com", "chain.example.com", "*.wild.example.com")
BY_HAND = "hand.example.com"
NAME_SERVER = own_address()
VISITED = f"""
[apps.web]
command = "python3 {PROGRAMS / "echo.py"}"
instances = 2

[sites."app.localhost"]
app = "web"
"""
FILE = """
[tls]
issuer = "{usual.directory}"
ca_bundle = "roots.pem"
preflight = false
resolvers = ["{resolver}"]
eab = [{{ kid = "{kid}", hmac_key_file = "eab.key", issuer = "{bound.directory}" }}]

[sites."both.example.com"]
app = "web"
tls.key_type = ["ecdsa-p256", "rsa2048"]

[sites."list.example.com"]
app = "web"
tls.issuer = ["{nobody}", "{usual.directory}"]

[sites."bound.example.com"]
app = "web"
tls.issuer = "{bound.directory}"

[sites."203.0.113.7"]
app = "web"
tls.issuer = "{bound.directory}"

[sites."chain.example.com"]
app = "web"
tls.issuer = "{proxy.directory}"
tls.profile = "tlsserver"
tls.preferred_chain = "{chain}"

[sites."*.wild.example.com"]
aliases = ["wild.example.com"]
app = "web"

[apps.files]
command = "python3 -m http.server $PORT --bind 127.0.0.1 --directory www"

[sites."files.example.com"]
app = "files"

[sites."hand.example.com"]
app = "web"
tls.challenge = "manual"

[sites."*.wild.example.com".tls.dns]
provider = "command"
auth = ["{python}", "update", "add"]
cleanup = ["{python}", "update", "delete"]
"""
UPDATE = """
import os, socket, struct, sys
import dns.tsigkeyring, dns.update  # dns.query would take as long again to import

keys = dns.tsigkeyring.from_text({{"{name}": "{secret}"}})
update = dns.update.Update("example.com", keyring=keys)
record = f"_acme-challenge.{{os.environ['CERTBOT_DOMAIN']}}.", "TXT"
text = os.environ["CERTBOT_VALIDATION"]
if sys.argv[1] == "add":
    update.add(record[0], 0, record[1], text)
else:
    update.delete(*record, text)
sent = update.to_wire()
with socket.create_connection(("{server}", 53), 60) as connection:
    connection.sendall(struct.pack("!H", len(sent)) + sent)
    length, number, flags = struct.unpack("!HHH", connection.recv(6, socket.MSG_WAITALL))
sys.exit(flags & 15)  # RFC 2136 2.2
"""


@dataclass(frozen=True)
class Machine:
    stack: Stack
    usual: Pebble
    bound: Pebble
    proxy: AcmeProxy
    """Before the usual one, which has no profiles."""
    names: NameServers
    chain: str
    first: dict[str, x509.Certificate] = field(default_factory=dict)
    """Those that were obtained before the ones that are served now, by name."""
    reports: list[Report] = field(default_factory=list)

    def certificates(self) -> dict[str, dict]:
        return {view["name"]: view for view in self.stack.api("/v1/certificates")}

    def unserved(self) -> set[str]:
        return {name for name, view in self.certificates().items() if not view["served"]}

    def leaf(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.live(name) / "cert.pem").read_bytes())

    def live(self, name: str) -> Path:
        return self.stack.home / "certificates/live" / name.replace("*", "_")

    def served(self, name: str, ciphers: str | None = None) -> x509.Certificate:
        """What a client gets that knows these ciphers of TLS 1.2 alone, or all there are."""
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if ciphers:
            tls.maximum_version = ssl.TLSVersion.TLSv1_2
            tls.set_ciphers(ciphers)
        with (
            socket.create_connection(("127.0.0.1", self.stack.https), 60) as plain,
            tls.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Iterator[Machine]:
    names = name_server.serving("example.com", addresses=(NAME_SERVER,), port=53)
    usual = pebble.running(
        tmp_path_factory.mktemp("usual"),
        dns=f"{NAME_SERVER}:53",
        environ={
            "PEBBLE_ALTERNATE_ROOTS": "1",
            "PEBBLE_WFE_NONCEREJECT": "50",
            "PEBBLE_AUTHZREUSE": "100",
        },
    )
    bound = pebble.running(
        tmp_path_factory.mktemp("bound"),
        environ={"PEBBLE_VA_ALWAYS_VALID": "1"},  # nobody can ask 203.0.113.7
        externalAccountBindingRequired=True,
        externalAccountMACKeys=dict([EAB_KEY]),
    )
    with (
        names as names,
        usual as usual,
        bound as bound,
        acme_proxy.before(usual) as proxy,
        Stack() as stack,
    ):
        proxy.profiles = {"tlsserver": "45 days"}
        stack.http, stack.https = usual.http, usual.tls
        machine = Machine(stack, usual, bound, proxy, names, _alternative(usual))
        _start(machine)
        yield machine


def _start(machine: Machine) -> None:
    folder, stack = machine.stack.folder, machine.stack
    roots = machine.usual.root.read_bytes() + machine.bound.root.read_bytes()
    (folder / "roots.pem").write_bytes(roots)
    (folder / "eab.key").write_text(EAB_KEY[1])
    (folder / "www").mkdir()
    update = folder / "update.py"
    update.write_text(UPDATE.format(name=KEY_NAME, secret=SECRET, server=NAME_SERVER))
    text = FILE.format(
        usual=machine.usual,
        bound=machine.bound,
        proxy=machine.proxy.server,
        nobody=f"https://127.0.0.1:{free_port()}/dir",
        resolver=machine.names.resolver,
        kid=EAB_KEY[0],
        chain=machine.chain,
        python=sys.executable,
    ).replace('"update"', f'"{update}"')
    stack.up(VISITED, bind=["127.0.0.1"], workers=2)
    with stack.load("app.localhost", "/?sleep=0.02", rate=30, posts=0.2) as load:
        stack.up(VISITED + text, bind=["127.0.0.1"], workers=2)
        eventually(lambda: machine.unserved() == {BY_HAND}, within=240, every=0.5)
        machine.first.update({name: machine.leaf(name) for name in _others(machine)})
        for name in RENEWED:
            stack.done("certs", "renew", name, "--force")
        machine.reports.append(load.stop())


def _others(machine: Machine) -> dict[str, dict]:
    return {name: view for name, view in machine.certificates().items() if name != BY_HAND}


def _alternative(authority: Pebble) -> str:
    """The name of the root above its other chain."""
    root = x509.load_pem_x509_certificate(authority.managed("/roots/1"))
    return root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def test_nobody_who_visits_a_site_meanwhile_loses_anything(machine):
    (report,) = machine.reports
    assert report.failed == {}, report.first_failures
    assert report.requests > 100


def test_what_is_renewed_lies_where_the_one_before_lay(machine):
    views = _others(machine)
    assert len(views) == len(machine.first) == 8
    assert all(view["served"] for view in views.values())
    for name, before in machine.first.items():
        now = machine.leaf(name)
        assert views[name]["serial"].lstrip("0") == f"{now.serial_number:x}"
        assert (now != before) is (name in RENEWED)


def test_each_client_gets_the_kind_of_key_that_it_can_check(machine):
    for ciphers, kind in (
        ("aECDSA", ec.EllipticCurvePublicKey),
        ("aRSA", rsa.RSAPublicKey),
        (None, ec.EllipticCurvePublicKey),
    ):
        served = machine.served("both.example.com", ciphers)
        assert isinstance(served.public_key(), kind)
        name = "both.example.com" + "+rsa" * (kind is rsa.RSAPublicKey)
        assert served == machine.leaf(name)
        assert machine.certificates()[name]["issuer"] == machine.usual.directory


def test_where_the_first_issuer_is_not_there_the_next_one_is_asked(machine):
    view = machine.certificates()["list.example.com"]
    assert view["issuer"] == machine.usual.directory
    assert machine.served("list.example.com") == machine.leaf("list.example.com")


def test_who_wants_to_know_its_customers_is_told_and_nobody_else(machine):
    assert machine.certificates()["bound.example.com"]["issuer"] == machine.bound.directory
    assert machine.served("bound.example.com") == machine.leaf("bound.example.com")


def test_an_address_has_a_certificate_of_an_authority_too(machine):
    leaf = machine.served("203.0.113.7")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["203.0.113.7"]
    assert leaf == machine.leaf("203.0.113.7")


def test_a_wildcard_and_its_apex_are_proven_by_the_operators_own_program(machine):
    for name in ("any.wild.example.com", "wild.example.com"):
        assert machine.served(name) == machine.leaf("*.wild.example.com")
    # Once: the renewal's order found them proven.
    kinds = [update[0] for update in machine.names.updates]
    assert kinds.count("+") == kinds.count("-") == 2
    assert machine.names.txt("_acme-challenge.wild.example.com") == set()


def test_a_renewal_keeps_its_profile_and_its_chain(machine):
    file = machine.live("chain.example.com") / "chain.pem"
    chain = x509.load_pem_x509_certificates(file.read_bytes())
    # An order whose nonce was refused is seen twice here.
    assert len(machine.proxy.orders) >= 2
    assert {order["profile"] for order in machine.proxy.orders} == {"tlsserver"}
    assert machine.chain in chain[-1].issuer.rfc4514_string()


def test_another_client_behind_the_program_of_a_site_gets_a_certificate_too(
    machine, certbot, tmp_path
):
    """By its own token, where the site has just been answered for by ours."""
    usual, folder = machine.usual, machine.stack.folder
    ports = {"httpPort": usual.http, "tlsPort": usual.tls}
    with pebble.running(tmp_path / "theirs", dns=f"{NAME_SERVER}:53", **ports) as theirs:
        said = certbot(
            folder / "certbot",
            *("certonly", "--webroot", "-w", str(folder / "www"), "--non-interactive"),
            *("--agree-tos", "--email", "ops@example.com", "--server", theirs.directory),
            *("-d", "files.example.com"),
            environ={"REQUESTS_CA_BUNDLE": str(theirs.root)},
        )
    assert "Successfully received certificate" in said, said
    assert machine.served("files.example.com") == machine.leaf("files.example.com"), "not theirs"
    assert list((machine.stack.home / "nginx/tokens").iterdir()) == []


def test_a_person_is_told_what_to_publish_and_the_order_goes_on_when_it_is_there(machine):
    told = eventually(lambda: machine.certificates()[BY_HAND]["error"])
    assert f"`portico certs renew {BY_HAND} --force` to continue this order" in told
    where, value = re.search(r"publish (\S+) TXT ([\w-]+);", told).groups()
    early = machine.stack.portico("certs", "renew", BY_HAND, "--force")
    assert early.returncode != 0
    assert f"{where} TXT {value}" in early.stdout + early.stderr, "the same as before"

    machine.names.records[where, "TXT"] = [f'"{value}"']
    machine.stack.done("certs", "renew", BY_HAND, "--force")

    assert machine.certificates()[BY_HAND]["served"]
    assert machine.served(BY_HAND) == machine.leaf(BY_HAND)
