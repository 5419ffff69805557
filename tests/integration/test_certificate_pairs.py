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
