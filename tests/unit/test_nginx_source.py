"""What is checked of a source of nginx before any of it is run."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from portico.client.nginx_source import Evidence, read_source
from portico.core.model.nginx_source import configure_arguments, version_in
from portico.errors import Refused
from tests.nginx_source import little_source, little_tarball

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def refusal(path, **evidence) -> str:
    with pytest.raises(Refused) as refused:
        read_source(path, Evidence(**evidence), ENVIRON)
    return str(refused.value)


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ('#define nginx_version      1031005\n#define NGINX_VERSION      "1.31.5"\n', (1, 31, 5)),
        ('#define NGINX_VERSION "1.31"\n', None),
        ('// #define NGINX_VERSION "1.31.5"\n', None),
        ("", None),
    ],
)
def test_the_version_is_that_of_the_header(header, version):
    assert version_in(header) == version


def test_a_build_is_optimized_and_hardened_and_has_what_portico_renders():
    arguments = configure_arguments(["/src/ngx_brotli"])
    (flags,) = [each for each in arguments if each.startswith("--with-cc-opt=")]
    assert {"-O2", "-fPIE", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"} < set(
        flags.partition("=")[2].split()
    )
    (linker,) = [each for each in arguments if each.startswith("--with-ld-opt=")]
    assert {"-pie", "-Wl,-z,relro", "-Wl,-z,now"} < set(linker.partition("=")[2].split())
    modules = {"http_v2_module", "http_v3_module", "http_auth_request_module", "stream_ssl_module"}
    assert {f"--with-{module}" for module in modules} < set(arguments)
    assert "--add-module=/src/ngx_brotli" in arguments


@pytest.mark.parametrize("make", [little_source, little_tarball])
def test_the_oldest_version_that_serves_is_taken_and_the_one_before_it_is_not(make, tmp_path):
    assert read_source(make(tmp_path / "a", "1.27.4"), Evidence(), ENVIRON).version == "1.27.4"
    old = make(tmp_path / "b", "1.27.3")
    assert refusal(old) == (
        f"cannot build {old}: it is nginx 1.27.3, and Portico needs 1.27.4 or later (instances "
        "are found by `resolve`). Nothing was changed"
    )


def test_what_is_no_source_of_nginx_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert "not a tarball" in refusal(tmp_path / "file")
    assert "has no configure or auto/configure" in refusal(tmp_path / "folder")
    assert "No such file" in refusal(tmp_path / "nowhere")
    unclear = little_source(tmp_path / "unclear", "one")
    assert "does not define a version" in refusal(unclear)
    (unclear / "src/core/nginx.h").unlink()
    assert "it is not nginx" in refusal(unclear)


def test_a_checksum_is_compared_before_anything_is_read_of_the_tarball(tmp_path):
    tarball = little_tarball(tmp_path, "1.31.5")
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert read_source(tarball, Evidence(found.upper()), ENVIRON).version == "1.31.5"
    assert f"its SHA-256 is {found}, not {'0' * 64}" in refusal(tarball, sha256="0" * 64)
    (tmp_path / "file").write_text("x")
    assert "its SHA-256 is" in refusal(tmp_path / "file", sha256="0" * 64)
    folder = little_source(tmp_path / "folder", "1.31.5")
    assert "has no checksum or signature" in refusal(folder, sha256="0" * 64)


def test_a_signature_is_checked_with_the_keys_that_are_given(tmp_path):
    tarball, home, key = little_tarball(tmp_path, "1.31.5"), tmp_path / "g", tmp_path / "key"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]

    def run(*words: str) -> None:
        subprocess.run([*gpg, *words], check=True, capture_output=True, timeout=60)

    try:
        run("--quick-generate-key", "ann@a.test", "ed25519", "sign")
        run("--armor", "--output", str(key), "--export")
        run("--detach-sign", "--output", str(tmp_path / "signature"), str(tarball))
    except FileNotFoundError:
        pytest.skip("no gpg on this machine")
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    evidence = {"signature": tmp_path / "signature", "keyring": key}
    assert read_source(tarball, Evidence(**evidence), ENVIRON).version == "1.31.5"

    assert "--keyring needs a --signature" in refusal(tarball, keyring=key)
    tarball.write_bytes(tarball.read_bytes() + b"\0")
    assert "is not a valid signature of it: gpg: BAD signature" in refusal(tarball, **evidence)
    key.write_text("x")
    assert "cannot read the keys" in refusal(tarball, **evidence)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_builds_nothing_that_another_user_can_change_and_no_checksum_vouches_for(tmp_path):
    folder = little_source(tmp_path / "folder", "1.31.5")
    os.chown(folder / "auto/configure", 12345, 12345)
    assert "user 12345 can change files in it" in refusal(folder)
    tarball = little_tarball(tmp_path, "1.31.5")
    os.chown(tarball, 12345, 12345)
    assert "user 12345 can change it" in refusal(tarball)
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert read_source(tarball, Evidence(found), ENVIRON).version == "1.31.5"
