"""Deploy hooks and files for other programs, tried again until they end well."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from portico.adapters.hooks.runner import HookRunner
from portico.adapters.lineages.pem_files import DiskPemFiles
from portico.core.model.pem_file import CertificateCopies
from portico.core.model.place import CertificateFiles
from portico.engine.certificates.stored_files import report_files
from portico.engine.changes import Change
from portico.errors import Failed
from tests.fakes.certificates_kept import Keeping, desired_of
from tests.unit.certificates import certificate

NAME = "mail.example.com"
COPIES = {"privkey": "/etc/mail/key.pem"}


@pytest.fixture
def keeping(tmp_path):
    keeping = Keeping(tmp_path, [NAME])
    wants(keeping, deploy_hook=[["first"], ["second"], ["third"]])
    return keeping


def wants(keeping, **more):
    keeping.desired = desired_of([NAME], of_sites={NAME: {"tls": more}})


def wait(keeping, seconds):
    asyncio.run(keeping.clock.advance(seconds))


def renewed(keeping, *, force=False):
    """What was said to who asked for it."""
    change = Change("1", "renew", NAME, frozenset(), 0.0)

    async def renew(keeper):
        under_way = asyncio.create_task(keeper.renew(NAME, change, force=force))
        while not under_way.done():
            await keeping.clock.advance(0.2)
        try:
            await under_way
        except Failed as error:
            change.say(str(error))

    keeping.do(renew)
    return change.lines[-1]


def test_each_hook_runs_though_another_one_failed_and_that_one_is_repeated_alone(keeping):
    keeping.hooks.failing = {"second"}
    keeping.look()
    assert keeping.hooks.ran == ["first", "second", "third"]
    [said] = keeping.troubles.sentences()
    assert said.startswith(f"the hook of {NAME} failed: second exited with code 1")
    keeping.look()
    assert len(keeping.hooks.ran) == 3, "it waits"
    for pause in (70, 700, 7000):
        wait(keeping, pause)
        keeping.look()
    assert keeping.hooks.ran[3:] == ["second"] * 3
    keeping.hooks.failing.clear()
    wait(keeping, 100_000)
    keeping.look()
    assert keeping.hooks.ran[3:] == ["second"] * 4
    assert keeping.troubles.sentences() == []
    wait(keeping, 100_000)
    keeping.look()
    assert len(keeping.hooks.ran) == 7, "and no more"
    assert len(keeping.authority.orders) == 1


def test_a_hook_that_failed_is_in_status_after_a_restart_and_repeated_then(keeping):
    keeping.hooks.failing = {"second"}
    keeping.look()
    keeping.troubles.__init__()
    keeping.look()
    assert [NAME in said for said in keeping.troubles.sentences()] == [True]
    keeping.hooks.failing.clear()
    wait(keeping, 70)
    keeping.look()
    assert keeping.troubles.sentences() == []


def test_hooks_that_the_file_has_instead_run_at_once(keeping):
    keeping.hooks.failing = {"second"}
    keeping.look()
    wants(keeping, deploy_hook=["another"])
    keeping.look()
    assert keeping.hooks.ran[3:] == ["another"]
    assert keeping.troubles.sentences() == []


def test_who_renews_by_hand_runs_a_failed_hook_and_hears_how_it_ended(keeping):
    keeping.hooks.failing = {"second"}
    keeping.look()
    assert "the hook of mail.example.com failed" in renewed(keeping)
    assert keeping.hooks.ran[3:] == ["second"]
    keeping.hooks.failing.clear()
    assert ": obtained, valid until 20" in renewed(keeping)
    assert " UTC, served since 20" in renewed(keeping, force=True)
    assert ": renewed, valid until 20" in renewed(keeping, force=True)
    assert "skipped, not due before" in renewed(keeping)


def test_no_hook_runs_before_the_files_are_written_and_files_are_kept_as_the_file_says(keeping):
    wants(keeping, deploy_hook=["reload"], files=[COPIES])
    keeping.hooks.failing = {COPIES["privkey"]}
    keeping.look()
    assert keeping.hooks.ran == []
    [said] = keeping.troubles.sentences()
    assert f"cannot write {COPIES['privkey']}" in said
    keeping.hooks.failing.clear()
    wait(keeping, 70)
    keeping.look()
    assert keeping.hooks.ran == ["reload"]
    keeping.hooks.failing = {COPIES["privkey"]}
    keeping.look()
    [said] = keeping.troubles.sentences()
    assert said == f"{NAME}: cannot write {COPIES['privkey']}"


def test_a_damaged_certificate_is_in_status_however_its_copies_are(keeping):
    keeping.look()
    report_files(keeping.troubles, NAME, "its file was changed")
    keeping.look()
    assert keeping.troubles.sentences() == [f"certificate {NAME}: its file was changed"]


@pytest.fixture
def held(tmp_path):
    """A certificate whose parts are their own names."""
    for part in ("privkey", "cert", "chain", "fullchain"):
        (tmp_path / part).write_text(f"{part}\n")
    key, full, cert, chain = (
        str(tmp_path / part) for part in ("privkey", "fullchain", "cert", "chain")
    )
    return certificate(files=CertificateFiles(full, key), cert=cert, chain=chain)


def write(held, **table):
    return asyncio.run(DiskPemFiles().write(held, [*CertificateCopies(**table).files()]))


@pytest.mark.parametrize(
    ("key", "content", "mode"),
    [
        ("privkey", "privkey\n", 0o600),
        ("combined", "privkey\nfullchain\n", 0o600),
        ("fullchain", "fullchain\n", 0o644),
        ("cert", "cert\n", 0o644),
        ("chain", "chain\n", 0o644),
    ],
)
def test_a_key_is_0600_unless_the_file_says_otherwise(tmp_path, held, key, content, mode):
    umask = os.umask(0)
    try:
        path = tmp_path / "copy.pem"
        assert write(held, **{key: str(path)}) == []
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (content, mode)
        path.chmod(0o666)
        assert write(held, **{key: str(path)}, mode="0640") == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(umask)


def test_owner_group_and_mode_survive_and_what_is_right_already_is_not_written(tmp_path, held):
    path = tmp_path / "key.pem"
    table = {"privkey": str(path), "mode": "640", "group": str(os.getgid())}
    assert write(held, **table) == []
    first = path.stat()
    assert write(held, **table) == []
    assert path.stat().st_ino == first.st_ino
    (tmp_path / "privkey").write_text("another\n")
    assert write(held, **table) == []
    assert path.read_text() == "another\n"
    assert (path.stat().st_mode, path.stat().st_gid) == (first.st_mode, os.getgid())
    assert list(tmp_path.glob(".*")) == []


def test_one_file_that_cannot_be_written_keeps_no_other(tmp_path, held):
    fullchain = tmp_path / "full.pem"
    wrong = write(held, privkey=str(tmp_path / "none" / "key.pem"), fullchain=str(fullchain))
    assert wrong == [f"cannot write {tmp_path}/none/key.pem: No such file or directory"]
    assert fullchain.read_text() == "fullchain\n"
    assert write(held, cert=str(tmp_path / "x"), group="no such group") == [
        f"cannot write {tmp_path}/x: there is no group 'no such group'"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user")
def test_a_link_of_another_user_leads_to_no_file_of_root(tmp_path, held):
    tmp_path.chmod(0o755)
    secret, theirs = tmp_path / "roots.pem", tmp_path / "theirs"
    secret.write_text("root's alone\n")
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    (theirs / "copy.pem").symlink_to(secret)
    assert write(held, privkey=str(theirs / "copy.pem")) == []
    assert secret.read_text() == "root's alone\n"
    assert (theirs / "copy.pem").stat().st_uid == 65534
    assert write(held, privkey=str(theirs / "copy.pem"), owner="0") == [
        f"cannot write {theirs}/copy.pem: Operation not permitted"
    ]


def test_hooks_find_what_is_in_sbin_and_what_was_installed_by_hand(tmp_path):
    words = ("/bin/sh", "-c", f'printf %s "$PATH" > {tmp_path}/path')
    assert asyncio.run(HookRunner().run(words, {"RENEWED_LINEAGE": "/x"}, 60.0)) is None
    found = (tmp_path / "path").read_text().split(":")
    assert {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} <= {
        *found
    }
