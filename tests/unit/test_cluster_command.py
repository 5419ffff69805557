"""`portico cluster` where nothing runs: who may join as whom, and what is refused."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from portico.cli.cluster.invitation import read_invitation
from portico.errors import Refused
from portico.system.cluster_identity import MachineIdentity, read_identity
from portico.system.home import Home
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


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    """m1 has the authority, m2 has joined."""
    tmp_path.chmod(0o755)
    machines = Machines(tmp_path)
    machines.done("m1", "init", "m1")
    machines.done("m1", "invite", "m2")
    machines.done("m2", "join", "m2.invitation")
    return machines


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
    assert "needs the FILE" in machines.refused("m1", "join")


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


def test_an_address_that_machines_cannot_have_is_refused(machines: Machines) -> None:
    (machines.folder / "portico.toml").write_text(FILE)
    for address in ("fd00::1/64", "10.0.0.1/24 {", "10.0.0.1%x", "a.test"):
        assert "must be an IPv4 address" in machines.run("m2", "keepalived", address).stderr
    wrong = machines.run("m2", "keepalived", "10.0.0.100/24", "--interface", "eth0 }")
    assert "--interface must be" in wrong.stderr
