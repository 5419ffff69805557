"""Rules of client certificates and of copies of requests, and the files that they name."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portico.core.config.document import read_document
from portico.engine.client_files import ClientFiles
from portico.engine.named_files import file_problems
from portico.errors import ConfigError
from tests.rendered import rendered, wanted

HEAD = """
[apps.web]
command = "run"
[apps.job]
command = "run"
port = false
[sites."a.test"]
app = "web"
"""


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('https = false\nclient_certificates = {authority = "a.pem"}', "needs https"),
        ("client_certificates = {}", "is required"),
        ('client_certificates = {authority = "a.pem", verify = "off"}', '"on" or "optional"'),
        ('client_certificates = {authority = "a.pem", depth = 11}', "between 0 and 10"),
        ('routes = {"/a" = {require_client_certificate = true}}', "needs client_certificates"),
        ("mirror = {}", "needs app or upstream"),
        ('mirror = {app = "web", upstream = "web"}', "has app and upstream"),
        ('mirror = {app = "wbe"}', 'there is no app "wbe"'),
        ('mirror = {app = "job"}', "has no port"),
        ('mirror = {app = "web", share = "101%"}', "must be a share"),
        ('mirror = {app = "web", share = "1.555%"}', "must be a share"),
        ('mirror = {app = "web", share = 10}', "must be a share"),
        ('grpc = true\nmirror = {app = "web"}', "cannot be combined with grpc"),
        (
            'routes = {"/a" = {folder = "f", mirror = {app = "web"}}}',
            "needs an app or an upstream",
        ),
    ],
)
def test_what_is_wrong_is_said(lines, what):
    with pytest.raises(ConfigError) as error:
        read_document(tomllib.loads(HEAD + lines), source="portico.toml")
    assert any(what in str(problem) for problem in error.value.problems), error.value.problems


def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


FILE = HEAD + 'client_certificates = {authority = "a.pem", crl = "r.pem"}\n'


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "a.pem does not exist"),
        ("nothing", "a.pem has no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a.pem has no"),
    ],
)
def test_a_file_that_is_no_authority_is_a_problem_with_its_name(tmp_path, content, what):
    if content is not None:
        (tmp_path / "a.pem").write_text(content)
    (tmp_path / "r.pem").write_text("no list")
    problems = list(map(str, file_problems(wanted(FILE, folder=str(tmp_path)))))
    assert len(problems) == 2
    assert 'sites."a.test".client_certificates.authority' in problems[0]
    assert what in problems[0]
    assert "r.pem has no list of revoked certificates" in problems[1]


def test_a_folder_or_a_pipe_is_no_authority(tmp_path):
    (tmp_path / "a.pem").mkdir()
    desired = wanted(FILE, folder=str(tmp_path))
    assert any("a.pem cannot be read" in str(each) for each in file_problems(desired))
    assert ClientFiles().texts(desired) == {}


def test_a_generation_has_the_contents_of_an_authority(tmp_path):
    (tmp_path / "a.pem").write_text(one := pem())
    (tmp_path / "r.pem").write_text("list")
    found = ClientFiles().texts(wanted(FILE, folder=str(tmp_path)))
    assert found == {f"{tmp_path}/a.pem": one, f"{tmp_path}/r.pem": "list"}
    place = {"/srv/project/a.pem": one, "/srv/project/r.pem": "list"}
    files = rendered(FILE, client_authorities=place)
    (authority,) = [name for name, text in files.items() if text == one]
    assert f"ssl_client_certificate {authority};" in files["nginx.conf"]
    assert rendered(FILE, client_authorities={})["nginx.conf"] != files["nginx.conf"]


def test_what_cannot_be_used_leaves_the_former_contents_in_effect(tmp_path):
    desired, files = wanted(FILE, folder=str(tmp_path)), ClientFiles()
    path = tmp_path / "a.pem"
    path.write_text(one := pem())
    assert files.read(desired)[str(path)].problem == ""
    for content in ("half of i", ""):
        path.write_text(content)
        found = files.read(desired)[str(path)]
        assert (found.text, found.problem) == (one, f"{path} has no certificate in PEM form")
    path.unlink()
    found = files.read(desired)[str(path)]
    assert (found.text, found.problem) == (one, f"{path} does not exist")
    path.write_text(another := pem())
    assert files.texts(desired)[str(path)] == another
