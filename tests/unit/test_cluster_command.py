"""`portico cluster` where nothing runs: who may join as whom, and what is refused."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from portico import __version__
from portico.cli.cluster.invitation import read_invitation
from portico.cli.cluster.leaving import _leave_store
from portico.core.model.joining import JoinOffer
from portico.errors import Failed, Refused
from portico.system.cluster_identity import MachineIdentity, read_identity
from portico.system.connection_errors import connection_error
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority
from portico.system.x509 import names_of
from tests.addresses import free_port
from tests.commands import run_here

HOUR = 3600.0


@dataclass
class Machines:
    folder: Path

    def run(self, machine: str, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PORTICO_HOME": str(self.home(machine).path)}
        return run_here(("cluster", *words), environ, self.folder, 60)

    def done(self, machine: str, *words: str) -> str:
        result = self.run(machine, *words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def refused(self, machine: str, *words: str) -> str:
        """What was said; nothing may have changed."""
        before = self.files
        result = self.run(machine, *words)
        assert result.returncode == 2, result.stdout
        assert self.files == before
        assert "nothing was changed" in result.stderr
        return result.stderr

    @property
    def files(self) -> dict[Path, bytes]:
        return {at: at.read_bytes() for at in self.folder.rglob("*") if at.is_file()}

    def home(self, machine: str) -> Home:
        return Home(self.folder / machine)

    def identity(self, machine: str) -> MachineIdentity:
        found = read_identity(self.home(machine))
        assert found
        return found


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    folder.chmod(0o755)
    machines = Machines(folder)
    machines.done("m1", "init", "m1")
    machines.done("m1", "invite", "m2")
    machines.done("m2", "join", "m2.invitation")
    return folder


@pytest.fixture
def machines(tmp_path: Path, joined: Path) -> Machines:
    """m1 has the authority, m2 has joined."""
    shutil.copytree(joined, tmp_path, dirs_exist_ok=True)
    return Machines(tmp_path)


def test_a_machine_joins_by_an_invitation(machines: Machines) -> None:
    one, two = machines.identity("m1"), machines.identity("m2")
    assert (two.name, two.cluster) == ("m2", one.cluster)
    assert Path(two.authority).read_bytes() == Path(one.authority).read_bytes()
    shown = json.loads(machines.done("m1", "show", "--json"))
    assert shown["invited"] == ["m1", "m2"]
    assert "m2 of cluster" in machines.done("m2", "show")


def test_all_that_has_a_key_is_for_this_user_alone(machines: Machines) -> None:
    machines.done("m1", "invite", "m3")
    with_keys = [at for at, content in machines.files.items() if b"PRIVATE KEY" in content]
    assert {at.name for at in with_keys} == {"authority.key", "machine.key", "m3.invitation"}
    assert {at.stat().st_mode & 0o777 for at in with_keys} == {0o600}


def test_an_invitation_is_used_once(machines: Machines) -> None:
    assert "it was used at" in machines.refused("m3", "join", "m2.invitation")


def test_a_machine_renews_its_certificate_by_another_invitation(machines: Machines) -> None:
    before = machines.identity("m2")
    assert "invited already" in machines.refused("m1", "invite", "m2", "--output", "renewal")
    machines.done("m1", "invite", "m2", "--output", "renewal", "--replace")
    machines.done("m2", "join", "renewal")
    after = machines.identity("m2")
    assert (after.name, after.cluster) == (before.name, before.cluster)
    assert after.certificate != before.certificate
    assert Path(before.key).exists()  # an nginx that runs has it in its configuration


def test_a_machine_that_left_is_in_no_cluster(machines: Machines) -> None:
    machines.done("m2", "leave")
    assert "in no cluster" in machines.done("m2", "show")
    assert not machines.home("m2").cluster.exists()
    assert "--force" in machines.refused("m1", "leave")
    machines.done("m1", "leave", "--force")


def test_a_machine_leaves_by_its_own_name_alone(machines: Machines) -> None:
    said = machines.refused("m2", "leave", "m1")
    assert "this machine is m2, and not m1" in said
    assert "Run `portico cluster leave` on m1" in said
    assert "remove [machines.m1] from the file of the others" in said
    machines.done("m2", "leave", "m2")
    assert not machines.home("m2").cluster.exists()


def test_the_first_machine_is_named_after_its_host(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "needs the NAME of this machine" in machines.refused("m4", "init")
    monkeypatch.setattr("socket.gethostname", lambda: "WEB_1.example.com")
    said = machines.refused("m4", "init", "--etcd", "https://127.0.0.1", "--address", "127.0.0.1")
    assert "cannot name a machine 'web_1'" in said


def test_a_name_that_no_certificate_can_have_is_refused(machines: Machines) -> None:
    for name in ("M2", "m_2", "-m2", "m" * 51, "m2\n", "a/b", "m2.example"):
        assert "cannot name a machine" in machines.refused("m1", "invite", "--", name)


def test_a_machine_is_one_machine_of_one_cluster(machines: Machines) -> None:
    machines.done("m1", "invite", "m3")
    assert "this machine is m2 of" in machines.refused("m2", "join", "m3.invitation")
    machines.done("other", "init", "m2")
    machines.done("other", "invite", "m3", "--output", "of-other")
    assert "this machine is m2 of" in machines.refused("m2", "join", "of-other")
    assert "m2 of cluster" in machines.refused("m2", "init", "m2")


def test_only_who_has_the_key_invites(machines: Machines) -> None:
    assert "cannot invite others" in machines.refused("m2", "invite", "m4")
    assert "in no cluster" in machines.refused("m3", "invite", "m4")


def test_a_file_that_is_there_is_kept(machines: Machines) -> None:
    assert "File exists" in machines.refused("m1", "invite", "m4", "--output", "m2.invitation")


def test_what_is_not_an_invitation_is_refused(machines: Machines) -> None:
    for text in ("", "[]", "{}", '{"v": 1}', '{"v": 1, "name": "m3"}', "\xff"):
        (machines.folder / "file").write_text(text, encoding="latin-1")
        assert "not an invitation" in machines.refused("m3", "join", "file"), text
    assert "No such file" in machines.refused("m3", "join", "missing")
    (machines.folder / "file").write_text('{"v": 2}')
    assert "another version" in machines.refused("m3", "join", "file")


def test_parts_of_two_invitations_are_refused(machines: Machines) -> None:
    machines.done("m1", "invite", "m3")
    machines.done("other", "init", "m1")
    machines.done("other", "invite", "m3", "--output", "of-other")
    one, other = (
        json.loads((machines.folder / each).read_text()) for each in ("m3.invitation", "of-other")
    )
    for part in ("cluster", "name", "authority", "certificate", "key"):
        value = "m4" if part == "name" else other[part]
        (machines.folder / "file").write_text(json.dumps(one | {part: value}))
        assert "damaged" in machines.refused("m3", "join", "file"), part


@pytest.mark.parametrize(("hours", "why"), [(-3, "is valid from"), (24 * 3700, "was valid until")])
def test_a_clock_that_is_far_off_is_named(machines: Machines, hours: int, why: str) -> None:
    machines.done("m1", "invite", "m3")
    with pytest.raises(Refused, match=f"{why}.*, and the clock of this machine says"):
        read_invitation(machines.folder / "m3.invitation", time.time() + hours * HOUR)


def test_a_clock_that_is_minutes_off_is_none_of_our_business(machines: Machines) -> None:
    machines.done("m1", "invite", "m3")
    assert read_invitation(machines.folder / "m3.invitation", time.time() - HOUR / 2).name == "m3"


def test_options_of_another_word_are_refused(machines: Machines) -> None:
    assert "does not accept --force" in machines.run("m1", "join", "x", "--force").stderr
    assert "or the FILE" in machines.refused("m1", "join")


def test_each_word_has_a_help_that_explains_what_it_accepts(machines: Machines) -> None:
    words = [
        line.split()[0] for line in machines.done("m1", "--help").splitlines() if line[:2] == "  "
    ]
    assert {"init", "token", "etcd", "drain"} <= {*words}
    for word in words:
        usage, _, summary, *lines = machines.done("m1", word, "--help").splitlines()
        assert usage.startswith(f"usage: portico cluster {word}"), usage
        assert summary.endswith("."), summary
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            is_head = line[:2] == "  " and line[2] != " "
            assert not is_head or re.search(r"\S {2,}\S", line) or after[:10].isspace(), (
                word,
                line,
            )


FILE = """
[edge]
http = 8080

[apps.web]
command = "run"

[sites."app.test"]
app = "web"

[machines.m1]
address = "10.0.0.1"
[machines.m2]
address = "10.0.0.2"
[machines.m3]
address = "10.0.0.3"
"""


def test_keepalived_moves_an_address_to_a_machine_that_answers(machines: Machines) -> None:
    (machines.folder / "portico.toml").write_text(FILE)
    text = machines.done("m2", "keepalived", "10.0.0.100/24", "--interface", "ens3")
    lines = [line.strip() for line in text.splitlines()]
    peers = lines[lines.index("unicast_peer {") + 1 : lines.index("virtual_ipaddress {") - 1]
    assert peers == ["10.0.0.1", "10.0.0.3"]
    assert "http://127.0.0.1:8080/portico-health" in text
    assert {"priority 199", "10.0.0.100/24 dev ens3", "unicast_src_ip 10.0.0.2"} <= set(lines)


def test_the_check_of_keepalived_asks_where_nginx_listens_on_this_machine(
    machines: Machines,
) -> None:
    without_ports, _, of_machines = FILE.partition("[machines.m1]")
    (machines.folder / "portico.toml").write_text(without_ports.replace("http = 8080", ""))
    edge = f'[edge]\nbind = ["10.0.0.100", "10.0.0.2"]\nhttp = 81\n[machines.m1]{of_machines}'
    machines.home("m2").edge_file.write_text(edge)
    text = machines.done("m2", "keepalived", "10.0.0.100/24", "--interface", "ens3")
    assert "http://10.0.0.2:81/portico-health" in text


def test_a_machine_that_is_alone_has_none_to_move_an_address_to(machines: Machines) -> None:
    file, _, others = FILE.partition("[machines.m1]")
    alone = others.partition("[machines.")[0]
    (machines.folder / "portico.toml").write_text(f"{file}[machines.m1]{alone}")
    assert "the only machine" in machines.run("m1", "keepalived", "10.0.0.100/24").stderr


def test_an_address_that_machines_cannot_have_is_refused(machines: Machines) -> None:
    (machines.folder / "portico.toml").write_text(FILE)
    for address in ("fd00::1/64", "10.0.0.1/24 {", "10.0.0.1%x", "a.test"):
        assert "must be an IPv4 address" in machines.run("m2", "keepalived", address).stderr
    wrong = machines.run("m2", "keepalived", "10.0.0.100/24", "--interface", "eth0 }")
    assert "--interface must be" in wrong.stderr


def test_etcd_gets_a_folder_for_each_member_by_the_authority_of_the_cluster_to_be(
    machines: Machines,
) -> None:
    machines.done("m4", "etcd", "e1=10.0.0.1", "e2=fd00::2")
    folder = machines.folder / "etcd"
    two = (folder / "e2/etcd.env").read_text()
    assert "ETCD_INITIAL_CLUSTER=e1=https://10.0.0.1:2380,e2=https://[fd00::2]:2380\n" in two
    assert "ETCD_LISTEN_CLIENT_URLS=https://[fd00::2]:2379,https://127.0.0.1:2379\n" in two
    authority = x509.load_pem_x509_certificate((folder / "e1/authority.pem").read_bytes())
    leaf = x509.load_pem_x509_certificate((folder / "e2/member.pem").read_bytes())
    leaf.verify_directly_issued_by(authority)
    assert names_of(leaf) == {"fd00::2", "127.0.0.1"}
    assert not common_names(leaf)
    assert {at.stat().st_mode & 0o777 for at in folder.rglob("*") if at.is_file()} == {0o600}

    assert "exists; nothing was changed" in machines.refused("m4", "etcd", "e1=10.0.0.1")
    machines.done("m4", "etcd", "e3=10.0.0.3", "--output", "again")
    again = (machines.folder / "again/e3/authority.pem").read_bytes()
    assert again == (folder / "e1/authority.pem").read_bytes()
    assert "is for a cluster with a store, or one" in machines.refused("m1", "etcd", "e=10.0.0.1")


def common_names(leaf: x509.Certificate) -> list[x509.NameAttribute]:
    return leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("e1", "as NAME=ADDRESS"),
        ("e1=10.0.0.1 e1=10.0.0.2", "as NAME=ADDRESS"),
        ("e1=10.0.0.1 e2=10.0.0.1", "two members have the same address"),
        ("E1=10.0.0.1", "cannot name a machine"),
        ("e1=localhost", "must be an IP address"),
    ],
)
def test_members_of_etcd_that_cannot_be_are_refused(
    machines: Machines, words: str, why: str
) -> None:
    assert why in machines.refused("m4", "etcd", *words.split())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            "--etcd http://10.0.0.1:2379 --address 10.0.0.1",
            "not encrypted and not on this machine",
        ),
        ("--etcd 10.0.0.1 --address 10.0.0.1", "must be written as https://HOST:PORT"),
        (
            "--etcd https://127.0.0.1",
            "it reaches 127.0.0.1 by 127.0.0.1; nothing was changed. Set",
        ),
        ("--etcd https://10.0.0.1 --address 192.0.2.1", "this machine cannot use --address"),
        (
            "--etcd https://127.0.0.1,https://10.0.0.1 --address 127.0.0.1",
            "10.0.0.1 cannot reach a loopback address of this machine; nothing was changed",
        ),
        ("--etcd https://10.0.0.1 --address fe80::1%lo", "that other machines can reach"),
        ("--address 10.0.0.1", "without --etcd"),
        ("--password-file none", "without --etcd"),
        ("--etcd https://10.0.0.1 --address 10.0.0.1 --password-file none", "needs --user"),
        ("--etcd https://10.0.0.1 --address m1.example", "must be an IP address"),
        ("--etcd https://10.0.0.1 --address 10.0.0.1 --port 0", "--port must be from"),
        ("--etcd https://10.0.0.1 --address 10.0.0.1 --labels A", "cannot name a machine"),
        ("--etcd https://10.0.0.1 --address 10.0.0.1 --user root", "--password-file"),
        ("--etcd https://10.0.0.1 --address 10.0.0.1 --etcd-ca none", "cannot read none"),
        (
            "--etcd https://10.0.0.1 --address 10.0.0.1 --etcd-ca m1/cluster/authority.key",
            "cannot use m1/cluster/authority.key as the certificate of",
        ),
        (
            "--etcd https://10.0.0.1 --address 10.0.0.1 --user root --password-file none",
            "cannot read none",
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(machines: Machines, words: str, why: str) -> None:
    assert why in machines.refused("m4", "init", "m4", *words.split())


@pytest.mark.parametrize("word", ["check", "drain", "undrain", "accept", "restore"])
def test_a_machine_that_is_alone_says_so_though_no_daemon_runs(
    machines: Machines, word: str
) -> None:
    said = machines.refused("m4", word)
    assert "this machine is in no cluster" in said
    assert "`portico cluster init" in said


def test_a_machine_that_cannot_be_reached_is_said_without_numbers(machines: Machines) -> None:
    token, where = f"{'a' * 8}.{'b' * 32}.{'c' * 64}", f"127.0.0.1:{free_port()}"
    said = machines.run("m4", "join", where, "--token", token).stderr
    assert f"cannot join at {where}: Connection refused; nothing was changed" in said


@dataclass
class JoiningMember:
    """A machine of a cluster that offers to join, and answers so when it is asked to."""

    status: int
    error: str

    def __post_init__(self) -> None:
        self.authority = MachineAuthority.create("6a1c", time.time())

    @property
    def token(self) -> str:
        fingerprint = self.authority.root.fingerprint(hashes.SHA256()).hex()
        return f"{'a' * 8}.{'b' * 32}.{fingerprint}"

    @contextmanager
    def serving(self, folder: Path) -> Iterator[str]:
        """Where it can be asked."""
        offer = JoinOffer(
            cluster="6a1c",
            authority=self.authority.root.public_bytes(Encoding.DER),
            version=__version__,
            now=time.time(),
        )
        answers = {
            "GET": (200, msgspec.json.encode(offer)),
            "POST": (self.status, msgspec.json.encode({"error": self.error})),
        }

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if self.parse_request():
                    self.rfile.read(int(self.headers["Content-Length"] or 0))
                    status, body = answers[self.command]
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        pair, file = self.authority.sign("m1", "m1.test", time.time()), folder / "member.pem"
        file.write_bytes(pair.certificate + pair.key)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(file)
        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "{} did not confirm that this machine has joined: its answer cannot be read ("),
        (409, "cannot join at {}: as it says; nothing was changed"),
        (500, "{} did not confirm that this machine has joined: as it says; it may be in the"),
        (502, "{} did not confirm that this machine has joined: as it says; it may be in the"),
        (504, "{} did not confirm that this machine has joined: as it says; it may be in the"),
    ],
)
def test_a_machine_that_may_have_joined_is_not_said_to_be_unchanged(
    tmp_path: Path, status: int, said: str
) -> None:
    member, environ = JoiningMember(status, "as it says"), {"PORTICO_HOME": str(tmp_path / "m3")}
    with member.serving(tmp_path) as where:
        words = ("cluster", "join", where, "m3", "--token", member.token, "--address", "127.0.0.1")
        result = run_here(words, environ, tmp_path, 60)
    assert said.format(where) in result.stderr
    assert ("nothing was changed" in result.stderr) is (status == 409)
    assert not (tmp_path / "m3" / "cluster").exists()


def test_no_machine_joins_with_the_loopback_address_by_which_it_reaches_another_one(
    tmp_path: Path,
) -> None:
    member, environ = JoiningMember(500, "was asked"), {"PORTICO_HOME": str(tmp_path / "m3")}
    with member.serving(tmp_path) as where:
        words = ("cluster", "join", where, "m3", "--token", member.token)
        result = run_here(words, environ, tmp_path, 60)
        words = ("cluster", "join", "192.0.2.1:1", "m3", "--token", member.token)
        set_so = run_here((*words, "--address", "127.0.0.1"), environ, tmp_path, 60)
    assert "it reaches 127.0.0.1 by 127.0.0.1; nothing was changed. Set it by" in result.stderr
    assert "192.0.2.1 cannot reach a loopback address of this machine; noth" in set_so.stderr
    assert not (tmp_path / "m3" / "cluster").exists()


def test_a_machine_whose_store_did_not_confirm_that_it_left_is_changed_nowhere_else() -> None:
    def ask(_: object) -> None:
        raise Failed("the store of the cluster did not confirm the change")

    session = SimpleNamespace(client=lambda: SimpleNamespace(ask=ask))
    with pytest.raises(Refused, match=r"did not confirm .*; nothing was changed on this machine"):
        _leave_store(session, SimpleNamespace(name="m2"), force=False)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(111, "Connect call failed ('10.0.0.1', 2379)"), "Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "it does not answer in time"),
        (http.client.RemoteDisconnected("Remote end closed"), "Remote end closed"),
    ],
)
def test_a_connection_that_fails_is_said_without_numbers(error: OSError, text: str) -> None:
    assert connection_error(error) == text


def test_what_cannot_be_joined_with_is_refused(machines: Machines) -> None:
    token = f"{'a' * 8}.{'b' * 32}.{'c' * 64}"
    for words, why in (
        (("10.0.0.1:8445", "--token", "x"), "not a whole token"),
        (("10.0.0.1:x", "--token", token), "is written as 10.0.0.1:8445"),
        (("10.0.0.1/join", "--token", token), "is written as 10.0.0.1:8445"),
        (("127.0.0.1:8445", "M3", "--token", token), "cannot name a machine"),
        (("127.0.0.1:8445", "m3", "m4", "--token", token), "accepts one name"),
    ):
        assert why in machines.refused("m4", "join", *words)
    assert "accepts one NAME" in machines.refused("m1", "invite", "m3", "m4")
    assert "in no cluster with a store" in machines.refused("m1", "token")
    assert "in no cluster with a store" in machines.refused("m1", "remove", "m2")
    assert "needs no NAME, or --replace" in machines.refused("m1", "token", "m3")
    assert "in no cluster with a store" in machines.refused("m1", "upgrade")
    assert "in no cluster with a store" in machines.refused("m1", "etcd", "m3", "--remove")
