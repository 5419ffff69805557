"""Certificates of authorities on disk: complete, checked, switched at once, never lost."""

from __future__ import annotations

import asyncio
import stat
import subprocess
from pathlib import Path

import pytest

from portico.adapters.lineages.disk import DiskLineages
from portico.core.model.certificate import Provenance
from portico.errors import Failed
from portico.system.home import Home
from tests.fakes.clock import FakeClock
from tests.issuing import IssuingHere
from tests.signing import Signer, rsa_key

NOW = 1_800_000_000.0
DAY = 86400.0
ABOUT = Provenance("https://ca.test/directory", "shortlived")
NAMES = ("a.test", "www.a.test")
PEMS = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")


@pytest.fixture(scope="module")
def signer():
    return Signer()


@pytest.fixture
def disk(tmp_path):
    """A daemon's view of the folder; called again, that of the next daemon."""
    home = Home(tmp_path / "home")
    home.make()
    clock = FakeClock(NOW)

    def begin():
        child = IssuingHere(home, clock)
        lineages = DiskLineages(home, child, clock)
        lineages.troubles = asyncio.run(lineages.load())
        return lineages

    return begin


def store(lineages, signed, folder, *, names=NAMES, about=ABOUT, name="a.test"):
    key = signed.key_file(folder)
    return asyncio.run(lineages.store(name, names, signed.chain, key, about))


def switch(lineages, generation, name="a.test"):
    return asyncio.run(lineages.switch(name, generation))


def test_what_is_stored_is_held_with_all_that_it_says(disk, signer, tmp_path):
    lineages = disk()
    signed = signer.sign(*NAMES, at=NOW - 3600, days=6)
    found = store(lineages, signed, tmp_path)
    assert (found.generation, found.names, found.key_type) == (1, NAMES, "ecdsa-p256")
    assert (found.issuer, found.profile, found.stored) == (*_of(ABOUT), NOW)
    assert (found.not_before, found.lifetime) == (NOW - 3600, 6 * DAY)
    assert found.ari_id.count(".") == 1
    assert int(found.serial, 16) > 0
    assert Path(found.files.certificate).read_text() == signed.chain
    assert Path(found.cert).read_text() + Path(found.chain).read_text() == signed.chain
    assert Path(found.files.key).read_text() == signed.key
    assert stat.S_IMODE(Path(found.files.key).stat().st_mode) == 0o600
    assert (lineages.held("a.test"), lineages.current("a.test")) == (found, None)
    assert disk().held("a.test") == found


def _of(about):
    return about.issuer, about.profile


def test_the_same_certificate_stored_twice_is_one_generation(disk, signer, tmp_path):
    lineages = disk()
    signed = signer.sign(*NAMES, at=NOW)
    assert store(lineages, signed, tmp_path) == store(lineages, signed, tmp_path)
    assert [each.name for each in _lineage(lineages).iterdir()] == ["1"]


def test_other_programs_see_all_four_files_change_at_once(disk, signer, tmp_path):
    lineages = disk()
    first = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
    switch(lineages, first.generation)
    live = Path(lineages.folder("a.test"))
    assert {name: str((live / name).readlink()) for name in PEMS} == {
        name: f"../../lineages/a.test/current/{name}" for name in PEMS
    }
    links = {name: (live / name).lstat().st_ino for name in PEMS}
    second = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
    assert _served(live) == first.serial, "a certificate is not shown before it is switched to"
    switch(lineages, second.generation)
    assert _served(live) == second.serial
    assert {name: (live / name).lstat().st_ino for name in PEMS} == links
    assert disk().current("a.test") == second


def test_the_one_before_is_kept_and_put_back(disk, signer, tmp_path):
    lineages = disk()
    kept = []
    for _ in range(3):
        kept.append(store(lineages, signer.sign(*NAMES, at=NOW), tmp_path))
        switch(lineages, kept[-1].generation)
    assert sorted(each.name for each in _lineage(lineages).iterdir() if each.name.isdigit()) == [
        "2",
        "3",
    ]
    lineages = disk()
    assert asyncio.run(lineages.put_back("a.test")) == kept[1]
    assert (lineages.current("a.test"), lineages.held("a.test")) == (kept[1], kept[2])
    assert _served(Path(lineages.folder("a.test"))) == kept[1].serial
    assert asyncio.run(lineages.put_back("a.test")) is None
    assert switch(disk(), 3) == kept[2]
    asyncio.run(lineages.withdraw("a.test"))
    assert (lineages.current("a.test"), disk().current("a.test")) == (None, None)
    assert switch(disk(), 3) == kept[2]


def test_a_generation_number_is_never_given_twice(disk, signer, tmp_path):
    lineages = disk()
    for number in (1, 2):
        store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
        switch(lineages, number)
    (_lineage(lineages) / "2" / "privkey.pem").write_text("spoilt")
    lineages = disk()
    assert lineages.held("a.test").generation == 1
    assert store(lineages, signer.sign(*NAMES, at=NOW), tmp_path).generation == 3


@pytest.mark.parametrize(
    ("names", "change", "said"),
    [
        (NAMES, {"key": True}, "does not match the certificate"),
        (("a.test", "b.test"), {}, "does not cover b.test"),
        (("a.test",), {}, "also has www.a.test"),
        (NAMES, {"at": NOW - 100 * DAY}, "expired"),
        (NAMES, {"at": NOW + DAY}, "is not valid before"),
        (NAMES, {"chain": "strange"}, "did not sign certificate 1"),
        (NAMES, {"chain": "none"}, "no certificate in PEM format"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(disk, signer, tmp_path, names, change, said):
    lineages = disk()
    good = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
    signed = signer.sign(*NAMES, at=change.get("at", NOW))
    other = Signer("Other").sign(*NAMES, at=NOW)
    pem = "-----BEGIN CERTIFICATE-----"
    chain = {
        "strange": pem + signed.chain.split(pem)[1] + pem + other.chain.split(pem)[2],
        "none": "nothing",
    }.get(change.get("chain"), signed.chain)
    key = (other if change.get("key") else signed).key_file(tmp_path)
    with pytest.raises(Failed, match=said) as told:
        asyncio.run(lineages.store("a.test", names, chain, key, ABOUT))
    assert str(told.value).endswith("; the existing one is unchanged")
    assert lineages.held("a.test") == good
    assert [each.name for each in _lineage(lineages).iterdir()] == ["1"]


def test_an_authority_whose_clock_is_a_little_ahead_is_believed(disk, signer, tmp_path):
    assert store(disk(), signer.sign(*NAMES, at=NOW + 200), tmp_path).not_before == NOW + 200


def test_staging_never_takes_the_place_of_what_is_trusted(disk, signer, tmp_path):
    lineages = disk()
    staging = Provenance("https://staging.test/directory", staging=True)
    first = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path, about=staging)
    assert first.staging
    store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
    with pytest.raises(Failed, match="it is a staging certificate"):
        store(lineages, signer.sign(*NAMES, at=NOW), tmp_path, about=staging)


@pytest.mark.parametrize("file", [*PEMS, "meta.json"])
def test_a_damaged_generation_is_left_out_and_the_one_before_it_serves(
    disk, signer, tmp_path, file
):
    lineages = disk()
    certificates = [store(lineages, signer.sign(*NAMES, at=NOW), tmp_path) for _ in range(2)]
    for each in certificates:
        switch(lineages, each.generation)
    (_lineage(lineages) / "2" / file).write_text("")
    lineages = disk()
    assert "generation 2 was skipped" in lineages.troubles["a.test"]
    assert lineages.held("a.test") == lineages.current("a.test") == certificates[0]
    assert _served(Path(lineages.folder("a.test"))) == certificates[0].serial


@pytest.mark.parametrize("file", PEMS)
@pytest.mark.parametrize("is_lost", [True, False])
def test_what_was_lost_or_changed_while_a_daemon_runs_is_seen_when_it_looks_again(
    disk, signer, tmp_path, file, is_lost
):
    lineages = disk()
    for _ in range(2):
        found = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
        switch(lineages, found.generation)
    damaged = Path(found.files.key).with_name(file)
    damaged.unlink() if is_lost else damaged.write_text("changed")
    assert lineages.current("a.test") == found
    assert file in asyncio.run(lineages.load())["a.test"]
    assert lineages.held("a.test").generation == lineages.current("a.test").generation == 1
    for _ in range(2):
        switch(lineages, store(lineages, signer.sign(*NAMES, at=NOW), tmp_path).generation)
    assert asyncio.run(lineages.load()) == {}, "what was damaged is removed with the old ones"


def test_rights_that_are_too_wide_are_repaired(disk, signer, tmp_path):
    lineages = disk()
    key = Path(store(lineages, signer.sign(*NAMES, at=NOW), tmp_path).files.key)
    key.chmod(0o644)
    key.parent.parent.chmod(0o755)
    lineages = disk()
    assert lineages.troubles == {}
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.parent.stat().st_mode) == 0o700


def test_what_a_killed_run_has_left_is_taken_away(disk, signer, tmp_path):
    lineages = disk()
    certificate = store(lineages, signer.sign(*NAMES, at=NOW), tmp_path)
    leftover = _lineage(lineages) / ".new-abc"
    leftover.mkdir()
    (leftover / "privkey.pem").write_text("a key")
    assert disk().held("a.test") == certificate
    assert not leftover.exists()


def test_lineages_of_any_name_have_folders_of_their_own(disk, signer, tmp_path):
    lineages = disk()
    names = ["*.a.test", "a.test", "a.test+rsa", "127.0.0.1"]
    for name in names:
        key = rsa_key() if name.endswith("rsa") else None
        wanted = name.removesuffix("+rsa")
        signed = signer.sign(wanted, at=NOW, key=key)
        stored = store(lineages, signed, tmp_path, names=(wanted,), name=name)
        assert stored.key_type == ("rsa2048" if key else "ecdsa-p256")
    assert disk().names() == sorted(names)
    assert len({lineages.folder(name) for name in names}) == len(names)
    asyncio.run(lineages.remove("a.test"))
    assert disk().names() == sorted(set(names) - {"a.test"})


def test_the_key_that_other_programs_are_shown_is_that_of_the_certificate(disk, signer, tmp_path):
    lineages = disk()
    switch(lineages, store(lineages, signer.sign(*NAMES, at=NOW), tmp_path).generation)
    live = Path(lineages.folder("a.test"))
    words = ("openssl", "x509", "-noout", "-pubkey", "-in", live / "fullchain.pem")
    key = ("openssl", "pkey", "-pubout", "-in", live / "privkey.pem")
    outputs = [
        subprocess.run(each, check=True, capture_output=True, timeout=60).stdout
        for each in (words, key)
    ]
    assert outputs[0] == outputs[1]


def _lineage(lineages):
    return Path(lineages.folder("a.test")).parent.parent / "lineages" / "a.test"


def _served(live):
    words = ("openssl", "x509", "-noout", "-serial", "-in", str(live / "cert.pem"))
    out = subprocess.run(words, check=True, capture_output=True, timeout=60, text=True).stdout
    return f"{int(out.partition('=')[2], 16):x}"
