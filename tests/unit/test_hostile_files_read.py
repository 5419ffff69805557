"""Files that operators name may hold any bytes: they are read, or it is said what is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.client.schedule import Schedule
from portico.core.config.document import read_document
from portico.core.planning.environment import parse_env_file
from portico.errors import ConfigError, Failed
from portico.importers.certbot import read_conf, read_folder
from portico.importers.certbot_writing import leave_alone
from portico.importers.read import read_file
from portico.importers.renewers import find_renewers
from portico.system.home import Home
from portico.system.text import read_text
from tests.examples import examples
from tests.waiting import processor_seconds

LATIN = "[apps.web]\n# Büro\ncommand = 'a'\n".encode("latin-1")
TOML = [
    b"[apps.web]\n",
    b'command = "a"\n',
    b"apps = 5\n",
    b"x = " + b"9" * 5000 + b"\n",
    b"at = 2026-02-31\n",
    b"at = 1979-05-27T07:32:00Z\n",
    b"ecosystem = 'e.json'\n",
    b"[[sites]]\n",
    b"x = nan\n",
    b"\xff\n",
    b"\xef\xbb\xbf",
]
YAML = [
    b"apps:\n",
    b"- name: a\n",
    b"  script: b\n",
    b"? [a]: b\n",
    b"&a [*a]\n",
    b"a: &x [1]\nb: [*x, *x]\n",
    b"- 2026-02-31\n",
    b"- !!python/object:os.system []\n",
    b"- !!binary =\n",
    b"\t- x\n",
    b"\x00",
]
toml = st.lists(st.sampled_from(TOML) | st.binary(max_size=12), max_size=5).map(b"".join)
yaml = st.lists(st.sampled_from(YAML) | st.binary(max_size=12), max_size=5).map(b"".join)


def read(path):
    with suppress(ConfigError):
        found = read_file(path, {})
        read_document(found.table, source=found.source)


@examples(40)
@given(toml)
def test_a_portico_toml_of_any_bytes_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("toml") / "portico.toml"
    path.write_bytes(content)
    read(path)


@examples(40)
@given(yaml)
def test_an_ecosystem_file_of_any_bytes_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "ecosystem.yaml"
    path.write_bytes(content)
    read(path)


@pytest.mark.parametrize("name", ["portico.toml", "ecosystem.yaml", "ecosystem.json"])
@pytest.mark.parametrize(
    "content",
    [
        LATIN,
        b"a = " + b"[" * 1_000,
        b"[" * 1_000,
        b"a:\n" + b"- " * 1_000,
        b'{"apps": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    ],
    ids=["Latin-1", "TOML", "JSON", "YAML", "closed"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=name) as refused:
        read_document(read_file(path, {}).table, source=str(path))
    if content is LATIN:
        assert "line 2: is not UTF-8 text" in str(refused.value)


@given(st.text(max_size=60))
def test_an_env_file_of_any_text_is_read_or_refused(text):
    with suppress(ValueError):
        parse_env_file(text, "/e")


@examples(30)
@given(st.binary(max_size=60), st.booleans())
def test_text_of_any_bytes_is_read_or_named(tmp_path_factory, content, is_there):
    path = tmp_path_factory.mktemp("text") / "secret"
    if is_there:
        path.write_bytes(content)
    said = str(path)
    try:
        read_text(path)
    except Failed as failed:
        said = str(failed)
    assert str(path) in said


def test_a_secret_that_is_no_utf_8_is_named_with_its_line(tmp_path):
    path = tmp_path / "dns.ini"
    path.write_bytes(b"a = 1\nauth_token = B\xfcro\n")
    with pytest.raises(Failed, match=rf"cannot read {path}: line 2 is not UTF-8 text"):
        read_text(path)


contents = st.binary(max_size=60) | st.sampled_from(
    [
        b"[renewalparams]\nserver = https://[::1\n",
        b"[renewalparams]\nserver = https://a/b\naccount = x\n",
        b"[renewalparams]\naccount = ../../..\n",
        b"[renewalparams]\nauthenticator = dns-rfc2136\ndns_rfc2136_credentials = /dev/null\n",
        b"fullchain = \xff\n",
    ]
)
registrations = st.binary(max_size=20) | st.sampled_from(
    [b"5", b"[]", b'{"body": 5}', b'{"body": {"contact": 5}}', b'{"body": {"contact": [5]}}']
)


@examples(40)
@given(contents, registrations)
def test_a_folder_of_certbot_may_hold_anything(tmp_path_factory, conf, registration):
    folder = tmp_path_factory.mktemp("certbot")
    account = folder / "accounts" / "a" / "b" / "x"
    account.mkdir(parents=True)
    (account / "regr.json").write_bytes(registration)
    (account / "private_key.json").write_bytes(registration)
    (folder / "renewal").mkdir()
    path = folder / "renewal" / "a.test.conf"
    path.write_bytes(conf)
    found = read_folder(folder)
    assert len(found.lineages) + len(found.troubles) == 1
    with suppress(Failed):
        leave_alone(path)


CRON = [
    b"* * * * * root ",
    b"certbot renew ",
    b"/acme.sh --cron",
    b"# portico-certs",
    b"#",
    b"\n",
    b"\r",
    b"\x00",
    b"\xfc",
]
crontabs = st.lists(st.sampled_from(CRON) | st.binary(max_size=12), max_size=6).map(b"".join)


@examples(30)
@given(crontabs, st.binary(max_size=60))
def test_crontabs_and_certbots_files_of_any_bytes_are_looked_through(
    tmp_path_factory, crontab, conf
):
    root = tmp_path_factory.mktemp("root")
    (root / "etc" / "letsencrypt" / "renewal").mkdir(parents=True)
    (root / "etc" / "letsencrypt" / "renewal" / "a.conf").write_bytes(conf)
    (root / "etc" / "crontab").write_bytes(crontab)
    (root / "etc" / "cron.d").mkdir()
    (root / "etc" / "cron.d" / "portico-certs").write_bytes(crontab)
    for each in find_renewers(root):
        assert each.what
    schedule = Schedule(Home(Path("/var/lib/portico")), {}, at=root, root=True)
    assert schedule.entry().kind in {"none", "cron"}


def test_a_crontab_of_one_long_line_is_looked_through_in_a_moment(tmp_path):
    crontabs = tmp_path / "var/spool/cron/crontabs"
    crontabs.mkdir(parents=True)
    (crontabs / "ann").write_bytes(b"certbot " * 40_000)
    (crontabs / "bob").write_bytes(b"* * * * * acme.sh --cron\n")
    before = processor_seconds()
    assert [each.what for each in find_renewers(tmp_path)] == ["* * * * * acme.sh --cron"]
    assert processor_seconds() - before < 2


@given(st.text(max_size=60))
def test_a_conf_of_any_text_is_read_or_refused(text):
    with suppress(ValueError):
        read_conf(text)


def test_json_of_pm2_with_halves_of_pairs_is_refused_in_words(tmp_path):
    path = tmp_path / "ecosystem.json"
    path.write_text(json.dumps({"apps": [{"name": "\ud800", "script": "\udfff"}]}))
    with pytest.raises(ConfigError):
        read_document(read_file(path, {}).table, source=str(path))
