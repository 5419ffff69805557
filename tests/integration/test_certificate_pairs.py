from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portico.adapters.certificates.issuing import CertificateChild
from portico.adapters.certificates.trust import TrustStores
from portico.core.model.pair import Findings, OwnPair
from portico.system.home import Home
from tests.issuing import IssuingHere

DAY = 86400.0


class At:
    def __init__(self, now):
        self.time = now

    def now(self):
        return self.time


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


def self_signed(name, *more, newkey=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), names="a.test"):
    san = ["-addext", f"subjectAltName={','.join(f'DNS:{n}' for n in names.split())}"]
    key = ["-newkey", *newkey, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-noenc"]
    openssl("req", "-x509", *key, "-subj", f"/CN={name}", *san, "-days", 90, *more)
    Path(f"{name}.key").chmod(0o600)
    return f"{name}.pem", f"{name}.key"


def signed_by(ca, name, *extensions):
    """A leaf that another certificate has signed; returns its files."""
    certificate, key = self_signed(name)
    openssl("x509", "-x509toreq", "-in", certificate, "-signkey", key, "-out", "csr")
    lines = ["subjectAltName=DNS:a.test", *extensions]
    Path("extensions").write_text("\n".join(lines))
    authority = ["-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-extfile", "extensions"]
    openssl("x509", "-req", "-in", "csr", *authority, "-days", 90, "-out", certificate)
    return certificate, key


def examine(certificate, key, *names, after_days=0.01):
    clock = At(time.time() + after_days * DAY)
    child = IssuingHere(Home(Path("home")), clock)
    [found] = asyncio.run(child.examine([OwnPair(certificate, key, names or ("a.test",))]))
    return found


def one(found, problem=None, note=None):
    """What was found is this one problem or this one note, and nothing beside it."""
    assert (len(found.problems), len(found.notes)) == (bool(problem), bool(note)), found
    assert not problem or re.search(problem, found.problems[0]), found
    assert not note or re.search(note, found.notes[0]), found


@pytest.mark.parametrize("kind", [("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-384")])
def test_a_good_pair_has_nothing_wrong(folder, kind):
    pair = self_signed("good", newkey=kind, names="a.test *.a.test")

    assert examine(*pair, "a.test", "www.a.test", "*.a.test") == Findings((), ())


def test_many_pairs_are_looked_at_in_one_go_and_answered_in_their_order(folder):
    pair = self_signed("good")
    child = CertificateChild(
        Home(folder), sys.executable, At(time.time() + 60), TrustStores((), ())
    )

    wrong, right = OwnPair(*pair, ("b.test",)), OwnPair(*pair, ("a.test",))
    found = asyncio.run(child.examine([wrong, right] * 250))

    assert [len(each.problems) for each in found] == [1, 0] * 250
    assert asyncio.run(child.examine([])) == []


def test_names_that_are_not_covered_are_listed(folder):
    found = examine(*self_signed("some", names="a.test b.test"), "a.test", "c.test", "x.a.test")
    one(found, r"in some.pem does not cover c.test, x.a.test; it is for a.test, b.test$")


def test_a_name_in_the_common_name_alone_counts_for_nothing(folder):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "k", "-out", "c",
            "-subj", "/CN=a.test")  # fmt: skip
    Path("k").chmod(0o600)
    one(
        examine("c", "k"), r"does not cover a.test; it is for no name \(it has no subjectAltName\)"
    )


@pytest.mark.parametrize(
    ("after_days", "problem", "note"),
    [
        (91, r"in dated.pem expired on 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", None),
        (-1, "in dated.pem is not valid before .* UTC", None),
        (80, None, "in dated.pem expires on .* UTC, in 9 days"),
        (70, None, None),
    ],
)
def test_the_dates_are_compared_with_now(folder, after_days, problem, note):
    one(examine(*self_signed("dated"), after_days=after_days), problem, note)


def test_a_key_of_another_certificate_is_told(folder):
    (certificate, _), (_, key) = self_signed("one"), self_signed("two")
    one(examine(certificate, key), "key in two.key does not match the certificate in one.pem")


def test_an_encrypted_key_is_told_with_the_command_that_decrypts_it(folder):
    certificate, key = self_signed("one")
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", "locked.key")
    one(examine(certificate, "locked.key"), r"encrypted.*`openssl pkey -in locked.key -out NEW")
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", "locked.key")
    one(examine(certificate, "locked.key"), r"encrypted.*`openssl pkey -in locked.key -out NEW")


def test_key_and_certificate_may_share_a_file_and_have_parameters_before_them(folder):
    certificate, key = self_signed("one")
    openssl("ecparam", "-name", "prime256v1", "-out", "parameters")
    parts = (certificate, "parameters", key)
    Path("all.pem").write_text("".join(Path(part).read_text() for part in parts))
    Path("all.pem").chmod(0o600)

    assert examine("all.pem", "all.pem") == Findings((), ())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read odd: No such file or directory"),
        (b"", "odd holds no .* in PEM format$"),
        (b"-----BEGIN NONSENSE-----", "odd holds no .* in PEM format$"),
        (b"x" * (2 << 20), "odd is larger than 1 MB"),
        (b"-----BEGIN %b-----\nAAAA\n-----END %b-----\n", "odd holds a .* that cannot be read: "),
        (b"\x30\x82\x01\x00rest", r"odd holds no .* in PEM format; it looks like DER or PKCS #12"),
    ],
)
@pytest.mark.parametrize("kind", ["CERTIFICATE", "PRIVATE KEY"])
def test_a_file_that_holds_no_certificate_or_key_is_told(folder, kind, content, problem):
    certificate, key = self_signed("one")
    if content is not None:
        Path("odd").write_bytes(content.replace(b"%b", kind.encode()))
        Path("odd").chmod(0o600)

    one(examine("odd", key) if kind == "CERTIFICATE" else examine(certificate, "odd"), problem)


def test_everything_wrong_is_told_at_once(folder):
    found = examine("missing.pem", "missing.key")
    assert found.problems == (
        "cannot read missing.pem: No such file or directory",
        "cannot read missing.key: No such file or directory",
    )


def test_weak_keys_and_signatures_are_told(folder):
    one(examine(*self_signed("weak", newkey=("rsa:1024",))), "RSA key of 1024 bits")
    one(examine(*self_signed("old", "-sha1")), "certificate 1 in old.pem is signed with SHA1")


def test_the_order_of_a_chain_is_told(folder):
    root = self_signed("root")
    middle = signed_by(root, "middle", "basicConstraints=critical,CA:TRUE")
    leaf = signed_by(middle, "leaf")
    texts = {name: Path(f"{name}.pem").read_text() for name in ("root", "middle", "leaf")}

    def chain(*names):
        Path("chain.pem").write_text("".join(texts[name] for name in names))
        return examine("chain.pem", leaf[1])

    assert chain("leaf", "middle", "root") == Findings((), ())
    one(chain("leaf", "root", "middle"), note=r"out of order: certificate 2 \(CN=root\) did not")
    assert any("certificate for the key in leaf.key must come first" in problem
               for problem in chain("middle", "leaf").problems)  # fmt: skip


def test_a_missing_intermediate_certificate_is_a_note(folder):
    root = self_signed("root")
    pair = signed_by(root, "leaf", "authorityInfoAccess=caIssuers;URI:http://ca.test/root.der")
    one(examine(*pair), note=r"leaf.pem has no intermediate certificate \(CN=root\)")


def test_a_key_that_everybody_may_read_is_a_note(folder):
    certificate, key = self_signed("one")
    Path(key).chmod(0o644)
    one(
        examine(certificate, key),
        note=r"one.key is readable by every user \(mode 0644\); run `chmod",
    )


def test_a_key_that_cannot_be_read_is_told(folder):
    certificate, key = self_signed("one")
    Path(key).unlink()
    Path(key).symlink_to(folder)
    one(examine(certificate, key), "cannot read one.key: Is a directory")


class OwnPairs:
    """Operators' files, and what nginx would be given of them."""

    def __init__(self, names=("a.test",)):
        self.clock = At(time.time() + 60)
        self.pair = OwnPair(
            str(Path("live.pem").absolute()), str(Path("live.key").absolute()), names
        )
        self.child = IssuingHere(Home(Path("home")), self.clock)

    def place(self, certificate=None, key=None):
        for source, target in ((certificate, self.pair.certificate), (key, self.pair.key)):
            if source:
                Path(target).write_bytes(Path(source).read_bytes())

    def look(self):
        return asyncio.run(self.child.own_copies([self.pair]))[self.pair]

    def served(self):
        """What nginx is given, and why it is not what the files hold."""
        copy = self.look()
        content = Path(copy.files.certificate).read_bytes() if copy.files else None
        return content, copy.problem


def test_nginx_is_given_what_was_complete_last_whatever_is_written_to_the_files(folder):
    own = OwnPairs()
    assert own.served() == (None, f"cannot read {own.pair.certificate}: No such file or directory")
    pairs = [self_signed(f"n{number}") for number in range(3)]
    first, second, third = (Path(certificate).read_bytes() for certificate, _ in pairs)
    own.place(*pairs[0])
    assert own.served() == (first, "")
    own.place(certificate=pairs[1][0])
    content, problem = own.served()
    assert (content, own.pair.certificate in problem) == (first, True)
    assert "does not match the certificate in" in problem
    Path(own.pair.certificate).write_bytes(second[:300])
    assert own.served()[0] == first
    own.place(*pairs[1])
    assert own.served() == (second, "")
    for source, target in zip(pairs[2], (own.pair.certificate, own.pair.key), strict=True):
        Path(target).unlink()
        Path(target).symlink_to(Path(source).absolute())
    expected = own.child.expected_own_copies([own.pair])[own.pair]
    assert own.served() == (third, "")
    assert own.look().files == expected == own.child.expected_own_copies([own.pair])[own.pair]
    assert Path(expected.key).stat().st_mode & 0o777 == 0o600
    own.child = IssuingHere(Home(Path("home")), own.clock)
    Path(own.pair.key).unlink()
    assert own.served()[0] == third, "it is known over restarts"


def test_a_new_file_that_is_not_for_all_names_is_not_served_and_an_expired_one_still_is(folder):
    own = OwnPairs(("a.test", "b.test"))
    pairs = self_signed("both", names="a.test b.test"), self_signed("less")
    own.place(*pairs[0])
    first = own.served()
    own.place(*pairs[1])
    content, problem = own.served()
    assert (content, "does not cover b.test" in problem) == (first[0], True)
    own.place(*pairs[0])
    own.clock.time += 100 * DAY
    assert own.served() == first


def test_copies_do_not_grow_without_end_and_only_bytes_are_looked_at(folder):
    own, pair = OwnPairs(), self_signed("same")
    for number in range(14):
        own.place(*pair)
        with Path(own.pair.certificate).open("a") as file:
            file.write("\n" * number)
        assert own.served()[1] == ""
    (copies,) = [each for each in Path("home/certificates/own").iterdir() if each.is_dir()]
    assert len(list(copies.iterdir())) == 10
    own.clock.time += 61
    own.child = CertificateChild(
        Home(Path("home")), "/there/is/no/python", own.clock, TrustStores((), ())
    )
    assert own.served()[1] == "", "no child is asked about what is the same"


def test_a_folder_of_certbot_that_was_copied_without_its_links_is_noted(folder):
    certificate, key = self_signed("a")
    live, renewal = folder / "live" / "a.test", folder / "renewal"
    live.mkdir(parents=True)
    renewal.mkdir()
    (renewal / "a.test.conf").touch()
    copy = live / "fullchain.pem"
    copy.write_bytes(Path(certificate).read_bytes())
    found = examine(str(copy), key, "a.test")
    assert any("copied without its links" in note and "`cp -a`" in note for note in found.notes)
    copy.unlink()
    copy.symlink_to(folder / certificate)
    found = examine(str(copy), key, "a.test")
    assert not any("link" in note for note in found.notes)
