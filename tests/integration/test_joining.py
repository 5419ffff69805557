"""Machines join a cluster with a store by a token: the real nginx, etcd and network."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from portico import __version__
from portico.cli.cluster import joining_by_token
from portico.core.model import joining
from portico.system.cluster_identity import MachineIdentity, read_identity
from portico.system.cluster_store import read_store
from portico.system.home import Home
from tests import clock_ahead, newer
from tests import etcd as harness
from tests.cluster import SITE, Machine, Machines, needs_root
from tests.commands import run_here
from tests.etcd import configured_member
from tests.stack import PROGRAMS
from tests.waiting import eventually

pytestmark = [
    needs_root,
    pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED),
]
APPS = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1

[sites."{SITE}"]
app = "web"
"""
PASSWORD = "of the operator"
ETCD = "https://10.0.0.1:2379"
STEADY = {"rate": 40.0, "connections": 4, "seconds": 300.0, "timeout": 8.0, "posts": 0.3}


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Machines, subprocess.Popen[bytes]]]:
    """m1 has created the cluster; its etcd is on the same machine, with TLS."""
    with ExitStack() as stack:
        machines = stack.enter_context(Machines("m1", "m2", "m3", "m4", "m5", joined=False))
        one = machines["m1"]
        for machine in machines:
            machine.write_edge()
        one.done("cluster", "etcd", "m1=10.0.0.1")
        member = stack.enter_context(
            configured_member(one.folder / "etcd/m1", one.root / "data", one.network.words)
        )
        eventually(lambda: ctl(one, "user", "add", f"root:{PASSWORD}"))
        (one.folder / "password").write_text(PASSWORD)
        assert "Run `etcdctl auth enable`" in created(one).stderr
        assert ctl(one, "user", "grant-role", "root", "root")
        assert ctl(one, "auth", "enable")
        assert created(one).returncode == 0
        yield machines, member


@pytest.fixture
def machines(started: tuple[Machines, subprocess.Popen[bytes]]) -> Machines:
    return started[0]


def created(one: Machine) -> subprocess.CompletedProcess[str]:
    user = ("--user", "root", "--password-file", str(one.folder / "password"))
    return one.portico("cluster", "init", "m1", "--etcd", ETCD, *user)


def ctl(one: Machine, *command: str) -> str:
    """What etcdctl says with the certificate of the member, if it is done."""
    pki = one.folder / "etcd/m1"
    pair = ("--cert", pki / "member.pem", "--key", pki / "member.key")
    tls = ("--cacert", pki / "authority.pem", *pair)
    result = subprocess.run(
        [*one.network.words, "etcdctl", "--endpoints", ETCD, *tls, *command],
        check=False,
        env=harness.ENVIRON,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return result.stdout if result.returncode == 0 else ""


def users(one: Machine) -> set[str]:
    """Of the machines, in etcd."""
    names = ctl(one, "user", "list", "--user", f"root:{PASSWORD}").split()
    return {name for name in names if name.count(".") == len(("cluster", "machine", "serial"))}


def keys_of(one: Machine, name: str) -> list[str]:
    """Those of a machine in etcd."""
    found = ctl(one, "get", "/portico/", "--prefix", "--keys-only", "--user", f"root:{PASSWORD}")
    return [key for key in found.split() if name in key.split("/")]


def user_of(machine: Machine) -> str:
    store = read_store(Home(machine.home))
    assert store
    assert store.password != PASSWORD
    return store.user


def token(machine: Machine, *words: str) -> str:
    return json.loads(machine.done("cluster", "token", "--json", *words).stdout)["token"]


def refused(machine: Machine, *words: str, verb: str = "join") -> str:
    """What was said; it is in no cluster then."""
    result = machine.portico("cluster", verb, *words)
    assert result.returncode in {1, 2}, result.stdout
    assert result.stderr.count("nothing was changed") == 1
    assert not Home(machine.home).cluster.exists()
    return result.stderr


def identity(machine: Machine) -> MachineIdentity:
    found = read_identity(Home(machine.home))
    assert found
    return found


def reach_each_other(*machines: Machine) -> bool:
    """Whether each knows all others, and they answer it."""
    names = {each.name for each in machines}
    return all(
        {each["name"] for each in machine.status()["neighbours"] if each["reached"]}
        == names - {machine.name}
        for machine in machines
    )


def answer_to(its: MachineIdentity | None, machine: Machine, path: str = "/near.json") -> int:
    """The status that a machine's nginx answers to another one, or to a stranger."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if its:
        tls.load_cert_chain(its.certificate, its.key)
    with machine.network.entered():
        connection = http.client.HTTPSConnection(machine.address, 8445, timeout=60, context=tls)
        connection.connect()
    try:
        connection.request("GET", path, headers={"Portico-App": "web"} if its is None else {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_machines_join_by_a_token_are_replaced_removed_and_leave(
    machines: Machines,
) -> None:
    one, two, three, *_ = machines
    at_one, at_two = "10.0.0.1:8445", "10.0.0.2:8445"
    first = token(one)  # from now on nginx of m1 takes questions
    assert answer_to(None, one) == answer_to(None, one, "/") == 403
    other = first[:-4] + ("0000" if first[-4:] != "0000" else "1111")
    assert "the token is of another cluster" in refused(two, at_one, "--token", other)
    one.kill_daemon()
    assert "daemon of that machine does not run" in refused(two, at_one, "--token", first)
    one.status()
    assert "not valid here" in refused(three, at_one, "--token", "f" * 8 + first[8:])

    refuses_another_way_or_time(machines, at_one, "--token", first)
    assert not keys_of(one, "m2")
    assert users(one) == {user_of(one)}
    two.done("cluster", "join", at_one, "--token", first, "m2")
    assert identity(two).cluster == identity(one).cluster
    assert "was used by m2" in refused(three, at_one, "m3", "--token", first)
    second = token(two)  # any machine can sign
    assert "a machine m2 already" in refused(three, at_two, "m2", "--token", second)
    (one.folder / "portico.toml").write_text(APPS)
    one.done("up")
    with machines.load("m1", **STEADY) as load:
        with later_portico(three):  # another version joins
            three.done("cluster", "join", at_two, "m3", "--token", second)
        third = identity(three)
        eventually(lambda: answer_to(third, one) == answer_to(third, two) == 200)
        assert "the daemon of m3 runs" in one.portico("cluster", "remove", "m3").stderr
        one.done("cluster", "remove", "m3", "--force")
        eventually(lambda: answer_to(third, one) == answer_to(third, two) == 403)
        eventually(lambda: not keys_of(one, "m3"))
        eventually(lambda: reach_each_other(one, two))
        assert users(one) == {user_of(one), user_of(two)}

        before = identity(two)
        two.done("cluster", "join", at_one, "--token", token(one, "--replace", "m2"), "m2")
        assert identity(two).certificate != before.certificate
        eventually(lambda: answer_to(before, one) == 403)
        assert users(one) == {user_of(one), user_of(two)}
        eventually(lambda: reach_each_other(one, two))
        assert "portico down --all" in two.portico("cluster", "leave").stderr
        two.done("down", "--all")
        two.done("cluster", "leave")
        assert not Home(two.home).cluster.exists()
        eventually(lambda: one.status()["neighbours"] == [])
        assert users(one) == {user_of(one)}
        report = load.stop()
    assert (report.lost, report.answers) == (0, report.answers)


def refuses_another_way_or_time(machines: Machines, *given: str) -> None:
    """The questions of each machine are counted by nginx, so each is that of another one."""
    one, _, three, four, five = machines
    with patch.object(joining_by_token, "__version__", newer.LATER):
        with patch.object(joining, "SCHEMA", 20):
            versions = f"version {__version__}, and here {newer.LATER}: install the same version"
            assert versions in refused(four, *given)
        with clock_ahead.clock_ahead():
            assert "set the one that is wrong" in refused(three, *given)
            one.kill_daemon()
            own, one.program = one.program, clock_ahead.__name__
            one.status()
            assert "the token was valid until" in refused(five, *given)
    one.kill_daemon()
    one.program = own
    one.status()


@contextmanager
def later_portico(machine: Machine) -> Iterator[None]:
    """Its Portico is another one of a later version, for a while."""
    own = machine.environ
    machine.environ = own | newer.portico_in(machine.root / "later")
    try:
        yield
    finally:
        machine.environ = own


def test_etcd_gets_another_member_continues_without_it_and_is_wiped(started) -> None:
    """What docs/cluster-operations.md says to do, by m1 alone; etcd has users."""
    machines, first = started
    one, two, *_ = machines
    adds = ("cluster", "etcd", "m2=10.0.0.2")
    folder, words = one.folder / "etcd", one.network.words
    with ExitStack() as stack:
        assert "takes part already: portico cluster etcd m2=10.0.0.2" in one.done(*adds).stdout
        second = stack.enter_context(
            configured_member(folder / "m2", one.root / "data2", two.network.words)
        )
        # Before that the command writes another certificate into the folder that m2 reads.
        asked = ("member", "list", "--user", f"root:{PASSWORD}")
        eventually(lambda: " started, m2," in ctl(one, *asked))
        eventually(lambda: "is a member of etcd" in one.portico(*adds).stdout)
        eventually(lambda: endpoints(one) == [ETCD, "https://10.0.0.2:2379"])
        found = one.portico("cluster", "check")
        assert found.stdout.count(" leader") == found.stdout.count(" healthy") == 1
        stop(second)
        eventually(lambda: "it has no leader" in one.portico("cluster", "check").stdout)

        stop(first)
        alone = configured_member(
            folder / "m1", one.root / "data", words, ETCD_FORCE_NEW_CLUSTER="true"
        )
        alone = stack.enter_context(alone)
        eventually(lambda: one.portico(*adds, "--remove").returncode == 0)
        eventually(lambda: endpoints(one) == [ETCD])
        stop(alone)

        stack.enter_context(configured_member(folder / "m1", one.root / "wiped", words))
        restore = ("cluster", "restore", "--yes")
        eventually(lambda: "authentication is off" in one.portico(*restore).stderr)
        assert ctl(one, "user", "add", f"root:{PASSWORD}")
        assert ctl(one, "user", "grant-role", "root", "root")
        assert ctl(one, "auth", "enable")
        assert users(one) == {user_of(one)}
        eventually(lambda: one.portico("cluster", "token").returncode == 0)


def test_all_who_join_use_an_etcd_of_another_authority(machines: Machines, tmp_path: Path) -> None:
    *_, four, five = machines
    folder, wrong = tmp_path / "etcd/e1", machines["m1"].folder / "etcd/m1/authority.pem"
    ca, at = str(folder / "authority.pem"), "https://10.0.0.4:2379"
    environ = {"PORTICO_HOME": str(tmp_path / "another")}
    assert run_here(("cluster", "etcd", "e1=10.0.0.4"), environ, tmp_path, 60).returncode == 0
    place = ("--address", four.address, "--etcd", at)
    init = ("cluster", "init", "m4", *place, "--etcd-ca")
    any_client = {"ETCD_CLIENT_CERT_AUTH": "false", "ETCD_TRUSTED_CA_FILE": ""}
    with configured_member(folder, tmp_path / "data", four.network.words, **any_client):
        said = eventually(lambda: of_certificate(four.portico(*init, str(wrong)).stderr))
        assert "unable to get local issuer certificate (--etcd-ca of" in said
        assert "nothing was changed" in said
        assert not Home(four.home).cluster.exists()
        four.done(*init, ca)
        other = refused(five, "m5", "--etcd", at, "--etcd-ca", ca, verb="init")
        assert f"etcd has the data of cluster {identity(four).cluster}; " in other
        plain = refused(five, "m5", "--etcd", "http://10.0.0.4:2379", verb="init")
        assert "is not encrypted and not on this machine" in plain
        five.done("cluster", "join", "10.0.0.4:8445", "m5", "--token", token(four))
        eventually(lambda: four.sees(2) and five.sees(2))


def of_certificate(said: str) -> str:
    """What was said, if etcd has answered."""
    return said if "its certificate is not valid" in said else ""


def endpoints(machine: Machine) -> list[str]:
    """At which it reaches etcd, by its file."""
    store = read_store(Home(machine.home))
    assert store
    return [*store.endpoints]


def stop(member: subprocess.Popen[bytes]) -> None:
    member.kill()
    member.wait()
