from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.errors import Failed
from portico.system.home import Home
from tests.issuing import IssuingHere
from tests.waiting import eventually, is_gone, processor_seconds

DAY = 86400.0


class At:
    """A clock that stands where a test has put it."""

    def __init__(self, now):
        self.time = now

    def now(self):
        return self.time


@pytest.fixture
def clock():
    return At(time.time())


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.make()
    return home


@pytest.fixture
def child(home, clock):
    return IssuingHere(home, clock)


def local(child, **names):
    names = {lineage.replace("_", "."): each.split() for lineage, each in names.items()}
    return asyncio.run(child.local(names))


def root(home):
    return home.certificates / "local" / "authority" / "root.pem"


def content(pair):
    return Path(pair.certificate).read_bytes(), Path(pair.key).read_bytes()


def openssl(*words):
    ran = subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    return ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("names", "asked", "good"),
    [
        ("app.localhost www.app.localhost", ["-verify_hostname", "www.app.localhost"], True),
        ("app.localhost", ["-verify_hostname", "other.localhost"], False),
        ("*.example.test", ["-verify_hostname", "a.example.test"], True),
        ("*.example.test", ["-verify_hostname", "a.b.example.test"], False),
        ("127.0.0.1 localhost", ["-verify_ip", "127.0.0.1"], True),
        ("localhost ::1", ["-verify_ip", "::1"], True),
        ("x.internal", ["-purpose", "sslclient"], False),
    ],
)
def test_openssl_accepts_what_was_signed_for_its_names_only(home, child, names, asked, good):
    pair = local(child, a_test=names)["a.test"]
    purpose = [] if "-purpose" in asked else ["-purpose", "sslserver"]
    verify = ["-x509_strict", "-CAfile", root(home), *purpose, *asked, pair.certificate]

    accepted, output = openssl("verify", *verify)

    assert accepted is good, output


@pytest.mark.parametrize("name", ["app.localhost", "www.app.localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_root_completes_the_handshake(home, child, name):
    pair = local(child, app_localhost="app.localhost www.app.localhost 127.0.0.1 ::1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair["app.localhost"].certificate, pair["app.localhost"].key)
    trusting = ssl.create_default_context(cafile=str(root(home)))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT

    assert handshake(server, trusting, name)["subjectAltName"]
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
        handshake(server, ssl.create_default_context(), name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(server, trusting, "other.test")


def handshake(server, client, name):
    """The certificate that the client has seen and believed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one.getpeercert()


def test_a_leaf_lives_for_ninety_days_and_the_root_for_ten_years(home, child, clock):
    pair = local(child, a_test="a.test")["a.test"]

    for file, days in ((pair.certificate, 90), (root(home), 3652)):
        assert openssl("x509", "-in", file, "-noout", "-checkend", int((days - 1) * DAY))[0]
        assert not openssl("x509", "-in", file, "-noout", "-checkend", int((days + 1) * DAY))[0]
    _, text = openssl("x509", "-in", root(home), "-noout", "-text")
    assert "CA:TRUE, pathlen:0" in text
    assert "Portico local authority (" in text


def test_keys_are_for_their_owner_alone(home, child):
    local(child, a_test="a.test")
    folder = home.certificates / "local"

    keys = [folder / "authority" / "key.pem", folder / "a.test" / "1" / "privkey.pem"]

    assert [oct(key.stat().st_mode & 0o777) for key in keys] == ["0o600", "0o600"]
    assert {oct(key.parent.stat().st_mode & 0o777) for key in keys} == {"0o700"}


def without_child(home, clock):
    return CertificateChild(home, "/there/is/no/python", clock, TrustStores((), ()))


def test_what_is_good_stays_as_it_is_and_starts_no_child(home, child, clock):
    first = local(child, a_test="a.test www.a.test", b_test="b.test")
    before = {lineage: content(pair) for lineage, pair in first.items()}
    clock.time += 59 * DAY

    again = local(without_child(home, clock), b_test="b.test", a_test="www.a.test a.test a.test")

    assert again == first
    assert {lineage: content(pair) for lineage, pair in again.items()} == before
    with pytest.raises(
        Failed, match=r"cannot create certificates: cannot run /there/is/no/python"
    ):
        local(without_child(home, clock), c_test="c.test")


def test_a_lineage_is_renewed_when_a_third_of_its_life_is_left(home, child, clock):
    old = local(child, a_test="a.test")["a.test"]
    before = content(old)
    clock.time += 61 * DAY

    new = local(child, a_test="a.test")["a.test"]

    assert Path(new.certificate).parent.name == "2"
    assert content(new) != before
    assert content(old) == before
    assert openssl("verify", "-CAfile", root(home), new.certificate)[0] is False  # not yet valid
    later = ["-attime", int(clock.time) + 1, "-CAfile", root(home)]
    assert openssl("verify", *later, new.certificate)[0]


def test_the_paths_to_expect_are_those_that_follow(home, child, clock):
    def both(**names):
        asked = {lineage.replace("_", "."): each.split() for lineage, each in names.items()}
        before = without_child(home, clock).expected_files(asked)
        return before == local(child, **names)

    assert both(a_test="a.test", b_test="b.test")
    assert both(a_test="a.test", b_test="b.test c.test")
    clock.time += 61 * DAY
    assert both(a_test="a.test", b_test="b.test c.test")
    assert both(a_test="a.test", b_test="b.test c.test")


def test_other_names_make_a_new_generation_and_the_old_paths_keep_their_content(child):
    old = local(child, a_test="a.test")["a.test"]
    before = content(old)

    new = local(child, a_test="a.test www.a.test")["a.test"]

    assert content(old) == before
    assert openssl("x509", "-in", new.certificate, "-noout", "-checkhost", "www.a.test")[0]


def test_the_last_two_generations_are_kept_and_older_ones_until_they_end(home, child, clock):
    folder = home.certificates / "local" / "a.test"
    for names in ("a.test", "a.test b.test", "a.test c.test"):
        local(child, a_test=names)
    # nginx may still name the first one: its newer configurations may all have been refused
    assert sorted(each.name for each in folder.iterdir()) == ["1", "2", "3"]

    clock.time += 91 * DAY
    local(child, a_test="a.test")

    assert sorted(each.name for each in folder.iterdir()) == ["3", "4"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"root": "x"}', '{"lineages": {"a": 1}}'])
def test_a_lost_or_damaged_index_is_made_again_from_the_certificates(home, child, clock, text):
    first = local(child, a_test="a.test")
    index = home.certificates / "local" / "_index.json"
    index.unlink() if text is None else index.write_text(text)

    assert local(child, a_test="a.test") == first
    assert local(without_child(home, clock), a_test="a.test") == first


def test_what_a_killed_child_has_left_is_cleared_away(home, child):
    local(child, a_test="a.test")
    folder = home.certificates / "local"
    left = [folder / ".new-x", folder / "a.test" / ".new-y"]
    for each in left:
        each.mkdir()
        (each / "privkey.pem").touch()

    local(child, a_test="a.test b.test")

    assert not any(each.exists() for each in left)


@pytest.mark.parametrize("damage", [Path.unlink, lambda key: key.write_bytes(b"")])
def test_a_lost_or_damaged_key_is_replaced_by_a_new_pair(home, child, damage):
    old = local(child, a_test="a.test")["a.test"]
    damage(Path(old.key))
    (home.certificates / "local" / "_index.json").unlink()

    new = local(child, a_test="a.test")["a.test"]

    assert new != old
    assert openssl("pkey", "-in", new.key, "-noout", "-check")[0]


def test_a_lost_file_is_noticed_although_the_index_is_there(child):
    old = local(child, a_test="a.test")["a.test"]
    Path(old.certificate).unlink()

    assert local(child, a_test="a.test")["a.test"] != old


def test_two_first_uses_at_once_agree_on_one_authority(home, clock):
    async def both():
        children = [
            CertificateChild(home, sys.executable, clock, TrustStores((), ())) for _ in "12"
        ]
        return await asyncio.gather(*(child.local({"a.test": ["a.test"]}) for child in children))

    one, other = asyncio.run(both())

    assert one == other
    assert openssl("verify", "-CAfile", root(home), one["a.test"].certificate)[0]


def test_without_its_folder_a_new_authority_signs_everything_again(home, child):
    old = local(child, a_test="a.test")["a.test"]
    for file in root(home).parent.iterdir():
        file.unlink()
    root(home).parent.rmdir()

    new = local(child, a_test="a.test")["a.test"]

    assert new != old
    assert openssl("verify", "-CAfile", root(home), new.certificate)[0]


def test_a_damaged_authority_is_never_replaced_in_silence(home, child):
    pair = local(child, a_test="a.test")["a.test"]
    (root(home).parent / "key.pem").write_text("nothing")

    with pytest.raises(Failed, match=r"is damaged: .*To create a new one, remove that folder"):
        local(child, b_test="b.test")

    assert local(child, a_test="a.test")["a.test"] == pair


def test_an_authority_that_soon_ends_is_followed_by_a_new_one(home, child, clock):
    local(child, a_test="a.test")
    before = root(home).read_bytes()
    clock.time += (3652 - 80) * DAY

    pair = local(child, a_test="a.test")["a.test"]

    assert root(home).read_bytes() != before
    later = ["-attime", int(clock.time) + 1, "-CAfile", root(home)]
    assert openssl("verify", *later, pair.certificate)[0]
    [kept] = (home.certificates / "local").glob("_authority-*")
    assert (kept / "root.pem").read_bytes() == before


def program(tmp_path, text):
    """Something that takes the place of the interpreter."""
    file = tmp_path / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_a_child_that_hangs_is_stopped_at_its_deadline(home, clock, tmp_path):
    hanging = program(tmp_path, f"sleep 600 &\necho $! > {tmp_path}/pid\nwait")
    child = CertificateChild(home, hanging, clock, TrustStores((), ()), deadline=3.0)

    with pytest.raises(
        Failed, match=r"timed out after 3 s and was stopped; existing certificates"
    ):
        local(child, a_test="a.test")

    assert_gone(tmp_path / "pid")


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_child_that_was_preloaded_does_the_work_and_ends_without_any(
    home, clock, tmp_path, is_asked
):
    counted = program(tmp_path, f'echo $$ >> {tmp_path}/pids\nexec {sys.executable} "$@"')
    child = CertificateChild(home, counted, clock, TrustStores((), ()))

    async def story():
        async with child.preload():
            async with asyncio.timeout(60):
                while not written(tmp_path / "pids"):  # noqa: ASYNC110 - by another process
                    await asyncio.sleep(0.01)
            assert not (home.certificates / "local").exists()
            if is_asked:
                assert await child.local({"a.test": ["a.test"]})

    asyncio.run(story())
    assert_gone(tmp_path / "pids")  # one alone
    assert root(home).exists() is is_asked


def test_a_call_that_is_given_up_takes_its_child_along(home, clock, tmp_path):
    hanging = program(tmp_path, f"sleep 600 &\necho $! > {tmp_path}/pid\nwait")
    child = CertificateChild(home, hanging, clock, TrustStores((), ()))

    async def give_up():
        async with asyncio.TaskGroup() as group:
            call = group.create_task(child.local({"a.test": ["a.test"]}))
            async with asyncio.timeout(60):
                while not written(tmp_path / "pid"):  # noqa: ASYNC110 - by another process
                    await asyncio.sleep(0.01)
            call.cancel()

    asyncio.run(give_up())
    assert_gone(tmp_path / "pid")


def written(file):
    return file.exists() and file.read_text()


def assert_gone(file):
    eventually(lambda: is_gone(int(file.read_text())))


def test_a_child_that_fails_is_told_with_its_last_words(home, clock, tmp_path):
    failing = program(tmp_path, "echo one >&2; echo 'the disk is on fire' >&2; exit 3")
    child = CertificateChild(home, failing, clock, TrustStores((), ()))

    with pytest.raises(
        Failed, match=r"cannot create certificates: the disk is on fire; existing cert.*remain"
    ):
        local(child, a_test="a.test")


def test_a_folder_that_cannot_be_written_is_told(home, child):
    (home.certificates / "local").write_text("in the way")

    with pytest.raises(Failed, match=r"cannot create certificates: .*File exists.*/local"):
        local(child, a_test="a.test")


def test_a_thousand_sites_are_signed_in_seconds_and_then_cost_nothing(home, child, clock):
    names = {f"app{n}.localhost": [f"app{n}.localhost"] for n in range(1000)}
    begun = processor_seconds()
    first = asyncio.run(child.local(names))
    signed = processor_seconds() - begun
    begun = processor_seconds()
    again = asyncio.run(without_child(home, clock).local(names))
    looked = processor_seconds() - begun

    assert first == again
    assert len({pair.certificate for pair in first.values()}) == 1000
    assert signed < 20  # two seconds on an idle machine
    assert looked < 1  # 30 ms
