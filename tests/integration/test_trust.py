from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import (
    SYSTEM_STORES,
    SystemStore,
    TrustStores,
    install,
    short_name,
)
from portico.system.home import Home

needs_certutil = pytest.mark.skipif(
    not shutil.which("certutil"), reason="certutil is not installed (package libnss3-tools)"
)
needs_debian = pytest.mark.skipif(
    not Path("/usr/sbin/update-ca-certificates").exists(),
    reason="update-ca-certificates is not installed (package ca-certificates)",
)
NOBODY = 65534


class At:
    def now(self):
        return time.time()


def child(tmp_path, *stores, homes=()):
    home = Home(tmp_path / "home")
    home.make()
    return CertificateChild(home, sys.executable, At(), TrustStores(stores, tuple(homes)))


def scratch_store(tmp_path):
    """The system's own program, kept away from the system by its options."""
    folders = {name: tmp_path / name for name in ("certs", "local", "etc", "hooks")}
    for folder in folders.values():
        folder.mkdir()
    conf = tmp_path / "ca-certificates.conf"
    conf.write_text("other.crt\n")
    other = ["-keyout", tmp_path / "other.key", "-out", folders["certs"] / "other.crt"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=other"]
    subprocess.run([*request, *other], check=True, capture_output=True)
    command = [
        "update-ca-certificates",
        *("--certsconf", str(conf)),
        *("--certsdir", str(folders["certs"])),
        *("--localcertsdir", str(folders["local"])),
        *("--etccertsdir", str(folders["etc"])),
        *("--hooksdir", str(folders["hooks"])),
    ]
    added, removed = tuple(command), (*command, "--fresh")
    return SystemStore("Debian", str(folders["local"]), ".crt", added, removed)


def believes(store_folder, root):
    ran = subprocess.run(
        ["openssl", "verify", "-no-CAfile", "-CApath", store_folder, root],
        capture_output=True,
        check=False,
    )
    return ran.returncode == 0


@needs_debian
def test_the_system_trusts_the_root_until_it_is_taken_away(tmp_path):
    store, etc = scratch_store(tmp_path), tmp_path / "etc"
    certificates = child(tmp_path, store)

    first = asyncio.run(certificates.trust())

    [file] = (tmp_path / "local").iterdir()
    pem = Path(first.root).read_text()
    assert first.done == (str(file),)
    assert file.name == f"portico-{short_name(pem)}.crt"
    assert oct(file.stat().st_mode & 0o777) == "0o644"
    assert believes(etc, first.root)
    assert pem in (etc / "ca-certificates.crt").read_text()
    assert asyncio.run(certificates.trust()).done == first.done

    assert asyncio.run(certificates.untrust()).done == first.done
    assert list((tmp_path / "local").iterdir()) == []
    assert not believes(etc, first.root)
    assert pem not in (etc / "ca-certificates.crt").read_text()
    assert asyncio.run(certificates.untrust()).done == ()


def test_node_is_told_the_file_that_every_user_may_read(tmp_path):
    (tmp_path / "anchors").mkdir()
    store = SystemStore("any", str(tmp_path / "anchors"), ".pem", ("true",), ("true",))

    result = asyncio.run(child(tmp_path, store).trust())

    assert f"NODE_EXTRA_CA_CERTS={result.done[0]}" in "".join(result.skipped)
    alone = asyncio.run(child(tmp_path).trust())
    assert f"NODE_EXTRA_CA_CERTS={alone.root}" in "".join(alone.skipped)
    assert "the system's store: not found; install the package" in alone.skipped[0]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program",), "no-such-program is not installed; install the package"),
        (("sh", "-c", "echo one; echo two >&2; exit 4"), "sh failed: two"),
        (("false",), "false failed: exit code 1"),
    ],
)
def test_a_store_that_cannot_be_brought_up_to_date_is_told(tmp_path, command, reason):
    (tmp_path / "anchors").mkdir()
    store = SystemStore("any", str(tmp_path / "anchors"), ".pem", command, command)

    result = asyncio.run(child(tmp_path, store).trust())

    assert result.done == ()
    assert reason in result.skipped[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_whoever_is_not_root_is_told_what_root_has_to_type(tmp_path):
    pem = Path(asyncio.run(child(tmp_path).trust()).root).read_text()
    root, anchors = tmp_path / "root.pem", tmp_path / "anchors"
    root.write_text(pem)
    anchors.mkdir()
    open_way(tmp_path)

    store = SystemStore("any", str(anchors), ".crt", ("update-ca-certificates",), ())
    os.seteuid(NOBODY)
    try:
        result = asyncio.run(install(root, TrustStores((store,))))
    finally:
        os.seteuid(0)

    name = f"portico-{short_name(pem)}.crt"
    assert result.skipped[0] == (
        f"{anchors}: only root may write there; run `sudo install -m 644 {root} {anchors}/{name} "
        "&& sudo update-ca-certificates`"
    )


def open_way(folder):
    """Let other users pass through to what is in the folder."""
    for each in (folder, *folder.parents):
        if not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)


def profile(home, folder):
    place = home / folder
    place.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", f"sql:{place}", "--empty-password"], check=True)
    return place


def trusted(place, name):
    """Whether NSS itself takes the certificate for an authority of servers (usage L)."""
    ran = subprocess.run(
        ["certutil", "-V", "-d", f"sql:{place}", "-u", "L", "-n", name],
        capture_output=True,
        check=False,
    )
    return ran.returncode == 0


@needs_certutil
def test_firefox_and_chromium_trust_the_root_until_it_is_taken_away(tmp_path):
    person = tmp_path / "person"
    places = [
        profile(person, ".pki/nssdb"),
        profile(person, ".mozilla/firefox/abc.default"),
        profile(person, "snap/firefox/common/.mozilla/firefox/def.default"),
        profile(person, ".var/app/org.mozilla.firefox/.mozilla/firefox/ghi.default"),
    ]
    certificates = child(tmp_path, homes=[person])

    first = asyncio.run(certificates.trust())

    name = f"Portico local authority {short_name(Path(first.root).read_text())}"
    assert sorted(first.done) == sorted(map(str, places))
    assert all(trusted(place, name) for place in places)
    assert asyncio.run(certificates.trust()).done == first.done

    assert asyncio.run(certificates.untrust()).done == first.done
    assert not any(trusted(place, name) for place in places)
    assert asyncio.run(certificates.untrust()).done == ()


@needs_certutil
@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_root_leaves_the_files_of_a_person_with_that_person(tmp_path):
    person = tmp_path / "person"
    place = profile(person, ".pki/nssdb")
    for file in (person, *person.rglob("*")):
        os.chown(file, NOBODY, NOBODY)
    open_way(tmp_path)

    result = asyncio.run(child(tmp_path, homes=[person]).trust())

    assert result.done == (str(place),)
    assert {file.stat().st_uid for file in place.iterdir()} == {NOBODY}


@needs_certutil
def test_a_damaged_profile_is_told_and_the_others_are_done(tmp_path):
    person = tmp_path / "person"
    good = profile(person, ".pki/nssdb")
    bad = person / ".mozilla/firefox/bad.default"
    bad.mkdir(parents=True)
    (bad / "cert9.db").write_bytes(b"no database" * 500)

    result = asyncio.run(child(tmp_path, homes=[person]).trust())

    assert result.done == (str(good),)
    assert any(line.startswith(f"{bad}: certutil: ") for line in result.skipped)


def test_people_without_browsers_are_told_so(tmp_path):
    result = asyncio.run(child(tmp_path, homes=[tmp_path, tmp_path / "nobody-lives-here"]).trust())
    assert any("no Firefox or Chromium profile found" in line for line in result.skipped)


def test_without_certutil_its_package_is_named(tmp_path, monkeypatch):
    (tmp_path / ".pki/nssdb").mkdir(parents=True)
    (tmp_path / ".pki/nssdb/cert9.db").touch()
    monkeypatch.setenv("PATH", str(tmp_path))

    result = asyncio.run(child(tmp_path, homes=[tmp_path]).trust())

    assert any("certutil is not installed; install libnss3" in line for line in result.skipped)


def test_without_an_authority_there_is_nothing_to_take_away(tmp_path):
    result = asyncio.run(child(tmp_path).untrust())
    assert result.skipped == ("everywhere: no local authority exists yet",)


def test_the_places_are_the_systems_and_those_of_who_asks():
    own = pwd.getpwuid(os.geteuid()).pw_dir
    assert TrustStores.find({"HOME": "/home/ana"}) == TrustStores(
        SYSTEM_STORES, (Path("/home/ana"),)
    )
    assert TrustStores.find({}) == TrustStores(SYSTEM_STORES, (Path(own),))
    if os.geteuid() == 0:
        daemon = pwd.getpwnam("daemon")
        asked = {"HOME": "/root", "SUDO_UID": str(daemon.pw_uid)}
        assert TrustStores.find(asked).homes == (Path("/root"), Path(daemon.pw_dir))
        assert TrustStores.find(asked | {"SUDO_UID": "4294967000"}).homes == (Path("/root"),)
        assert TrustStores.find(asked | {"SUDO_UID": "x"}).homes == (Path("/root"),)
