from __future__ import annotations

import os
from pathlib import Path

import pytest
from configobj import ConfigObj

from portico.errors import Failed, NotFound
from portico.importers.certbot import read_folder
from portico.importers.certbot_conf import read_conf, without_renewal
from portico.importers.certbot_taking import own_name
from portico.importers.renewers import find_renewers
from tests.certbot_folder import write_account, write_lineage
from tests.signing import Signed

SIGNED = Signed("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "a key")


def lineage(folder, params="", **more):
    write_lineage(folder, "a.test", SIGNED, params=params, **more)
    [found] = read_folder(folder).lineages
    return found


def test_a_conf_is_read_with_its_sections_comments_and_quotes():
    text = "a = 1\n# b = 2\n\n[one]\nc = \"x = y\"\n[[two]]\nd = 'z'\n"
    assert read_conf(text) == {"": {"a": "1"}, "one": {"c": "x = y"}, "two": {"d": "z"}}


@pytest.mark.parametrize(
    "text",
    [
        "[renewalparams]\nserver = x\n",
        "[renewalparams]\nautorenew = True\nserver = x\n",
        "[renewalparams]\nserver = x\nautorenew = False\n",
    ],
)
def test_certbot_is_told_once_to_leave_a_certificate_alone(text):
    text = f"# a comment\n{text}[[webroot_map]]\na.test = /srv\n"
    changed = read_conf(once := without_renewal(text))
    assert changed["renewalparams"] == {"server": "x", "autorenew": "False"}
    assert changed["webroot_map"] == {"a.test": "/srv"}
    assert once.startswith("# a comment\n")
    assert without_renewal(once) == once
    assert read_conf(without_renewal("version = 1\n")) == {
        "": {"version": "1"},
        "renewalparams": {"autorenew": "False"},
    }


@pytest.mark.parametrize(
    "hook",
    [
        "sh -c 'echo \"$RENEWED_DOMAINS\" >> /a.log'",
        'echo "it\'s done" # no comment',
        "echo b, c >> /b.log",
        "a && b || c; d",
        'x "',
        "x '",
        "date +%(y)s 100%",
        "'quoted'",
        '"a" "b"',
        "key = value",
        "[section]",
    ],
)
def test_a_hook_is_taken_over_with_all_its_quotes_as_certbot_has_written_it(tmp_path, hook):
    write_lineage(tmp_path, "a.test", SIGNED)
    conf = ConfigObj(str(tmp_path / "renewal" / "a.test.conf"), interpolation=False)
    conf["renewalparams"]["renew_hook"] = hook
    conf.write()
    [found] = read_folder(tmp_path).lineages
    assert found.settings["deploy_hook"] == ["/bin/sh", "-c", hook]
    conf = tmp_path / "renewal" / "a.test.conf"
    conf.write_text(without_renewal(conf.read_text()))
    [found] = read_folder(tmp_path).lineages
    assert found.settings["deploy_hook"] == ["/bin/sh", "-c", hook], "and certbot still has it"


def archived(folder, *numbers):
    for number in numbers:
        write_lineage(folder, "a.test", SIGNED, number=number)
    return folder / "live" / "a.test"


def test_a_folder_copied_without_its_links_is_read_from_the_archive_and_that_is_said(tmp_path):
    live = archived(tmp_path, 3, 9, 10)
    for link in live.iterdir():
        link.unlink()
    [found] = read_folder(tmp_path).lineages
    assert (found.chain.name, found.key.name) == ("fullchain10.pem", "privkey10.pem")
    assert "copied without its symbolic links" in found.notes[0]
    assert "`cp -a`" in found.notes[0]


def test_a_folder_whose_links_became_files_is_read_and_that_is_said(tmp_path):
    live = archived(tmp_path, 3)
    for link in list(live.iterdir()):
        content = link.read_text()
        link.unlink()
        link.write_text(content)
    [found] = read_folder(tmp_path).lineages
    assert found.chain == live / "fullchain.pem"
    assert "copied without its symbolic links" in found.notes[0]


def test_a_folder_that_was_moved_is_read_where_it_is_now(tmp_path):
    archived(tmp_path / "before", 3)
    (tmp_path / "before").rename(tmp_path / "now")
    [found] = read_folder(tmp_path / "now").lineages
    assert found.chain == tmp_path / "now" / "live" / "a.test" / "fullchain.pem"
    assert [chain.parent.parent.parent for chain, _ in found.archive] == [tmp_path / "now"]
    assert found.notes == read_folder(tmp_path / "now").lineages[0].notes
    assert not any("links" in note for note in found.notes)


def test_a_line_that_certbot_cannot_read_is_named(tmp_path):
    write_lineage(tmp_path, "a.test", SIGNED, params="no equals sign\n")
    [trouble] = read_folder(tmp_path).troubles
    assert "a.test.conf" in trouble
    assert "at line" in trouble


def test_a_hook_that_is_in_the_folder_too_runs_once(tmp_path):
    program = tmp_path / "renewal-hooks" / "deploy" / "x.sh"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    found = lineage(tmp_path, f"renew_hook = {program}\n")
    assert found.settings["deploy_hook"] == ["/bin/sh", "-c", str(program)]


@pytest.mark.parametrize("how", ["standalone", "webroot", "nginx", "apache"])
def test_proofs_by_port_80_become_http_01(tmp_path, how):
    found = lineage(tmp_path, f"authenticator = {how}\n")
    assert (found.settings["challenge"], found.notes) == ("http-01", ())


def test_proofs_by_an_operators_command_go_on_with_it(tmp_path):
    params = "authenticator = manual\npref_challs = dns-01,\nmanual_auth_hook = /a --x\n"
    found = lineage(tmp_path, f"{params}manual_cleanup_hook = /c\n")
    assert found.settings["challenge"] == "dns-01"
    assert found.settings["dns"] == {
        "provider": "command",
        "auth": ["/bin/sh", "-c", "/a --x"],
        "cleanup": ["/bin/sh", "-c", "/c"],
    }


def test_dynamic_updates_go_over_all_but_their_secret(tmp_path):
    credentials = tmp_path / "rfc2136.ini"
    credentials.write_text(
        "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_name = acme.\n"
        "dns_rfc2136_secret = c2VjcmV0\ndns_rfc2136_algorithm = HMAC-SHA512\n"
    )
    params = f"authenticator = dns-rfc2136\ndns_rfc2136_credentials = {credentials}\n"
    found = lineage(tmp_path, params)
    assert found.settings["dns"] == {
        "provider": "rfc2136",
        "server": "192.0.2.1:53",
        "key_name": "acme.",
        "algorithm": "hmac-sha512",
    }
    assert "write it to a separate file" in found.notes[0]
    assert "c2VjcmV0" not in str(found)


def test_other_providers_are_named_as_dns_lexicon_has_them(tmp_path):
    params = "authenticator = dns-cloudflare\ndns_cloudflare_credentials = /root/cf.ini\n"
    found = lineage(tmp_path, params)
    assert found.settings["dns"] == {"provider": "lexicon:cloudflare"}
    assert "/root/cf.ini" in found.notes[0]


@pytest.mark.parametrize(
    ("key_type", "params", "ours"),
    [
        ("ecdsa", "", "ecdsa-p256"),
        ("ecdsa", "elliptic_curve = secp384r1\n", "ecdsa-p384"),
        ("rsa", "", "rsa2048"),
        ("rsa", "rsa_key_size = 4096\n", "rsa4096"),
        ("rsa", "rsa_key_size = 3072\n", None),
    ],
)
def test_the_kind_of_key_stays(tmp_path, key_type, params, ours):
    found = lineage(tmp_path, f"authenticator = nginx\n{params}", key_type=key_type)
    assert found.settings.get("key_type") == ours
    assert bool(found.notes) == (ours is None)


def test_profile_chain_issuer_and_contact_stay(tmp_path):
    write_account(tmp_path)
    params = "preferred_profile = shortlived\npreferred_chain = ISRG Root X1\n"
    settings = lineage(tmp_path, params).settings
    assert (settings["profile"], settings["preferred_chain"]) == ("shortlived", "ISRG Root X1")
    assert (settings["issuer"], settings["email"]) == ("https://ca.test:14000/dir", "ops@a.test")


def test_deploy_hooks_go_over_and_those_that_stop_the_server_do_not(tmp_path):
    for kind in ("pre", "deploy"):
        program = tmp_path / "renewal-hooks" / kind / "10-x.sh"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    (program.parent / "README").write_text("no program")
    params = "authenticator = nginx\npre_hook = systemctl stop nginx\nrenew_hook = /b c\n"
    found = lineage(tmp_path, params)
    assert found.settings["deploy_hook"] == [
        ["/bin/sh", "-c", str(program)],
        ["/bin/sh", "-c", "/b c"],
    ]
    assert [note.split(" is not")[0] for note in found.notes] == [
        f"the pre hook {tmp_path}/renewal-hooks/pre/10-x.sh",
        "the pre hook systemctl stop nginx",
    ]


def test_what_has_no_equal_here_is_told(tmp_path):
    found = lineage(tmp_path, "authenticator = manual\nreuse_key = True\n")
    assert len(found.notes) == 2
    assert "every certificate gets a new key" in found.notes[0]
    assert "it uses http-01" in found.notes[1]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(NotFound, match="is not a certbot folder"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("certbots", "names", "ours"),
    [
        ("a.test", ("a.test", "www.a.test"), "a.test"),
        ("a.test-0001", ("a.test", "www.a.test"), "a.test"),
        ("a.test", ("*.a.test", "a.test"), "a.test"),
        ("a.test", ("*.a.test",), "*.a.test"),
        ("my-certificate", ("www.a.test", "a.test"), "a.test"),
    ],
)
def test_a_lineage_is_called_by_one_of_its_names(certbots, names, ours):
    assert own_name(certbots, names) == ours


def write(root, path, text=""):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def write_renewed(root):
    """A certificate that certbot renews."""
    write(root, "etc/letsencrypt/renewal/a.test.conf", "[renewalparams]\nserver = x\n")


DEBIAN = (
    "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && "
    "perl -e 'sleep int(rand(43200))' && certbot -q renew --no-random-sleep-on-renew"
)


@pytest.mark.parametrize(
    "line",
    [
        DEBIAN,
        "30 3 * * 1 /usr/bin/certbot renew --quiet",
        "0 4 1 * * systemctl stop nginx; certbot certonly --standalone; systemctl start nginx",
        '7 0 * * * "/root/.acme.sh"/acme.sh --cron --home "/root/.acme.sh" > /dev/null',
        "1 1 * * * /opt/dehydrated -c",
        "1 1 * * * lego --email a@b.c --domains a.test --http renew --days 30",
    ],
)
def test_renewers_in_crontabs_are_found_and_named(tmp_path, line):
    write_renewed(tmp_path)
    write(tmp_path, "var/spool/cron/crontabs/root", f"# certbot renew\nMAILTO=x\n{line}\n")
    [found] = find_renewers(tmp_path)
    assert found.where == f"{tmp_path}/var/spool/cron/crontabs/root:3"
    assert (found.what, found.remedy) == (line, "comment out this line")


def test_renewers_in_every_place_are_found(tmp_path):
    write_renewed(tmp_path)
    write(tmp_path, "etc/crontab", "1 1 * * * root certbot renew\n")
    write(tmp_path, "etc/cron.d/certbot", f"SHELL=/bin/sh\n{DEBIAN}\n")
    write(tmp_path, "etc/cron.weekly/renew", "#!/bin/sh\ncertbot renew\n")
    for timer in ("certbot.timer", "snap.certbot.renew.timer", "apt-daily.timer"):
        write(tmp_path, f"etc/systemd/system/timers.target.wants/{timer}")
    found = find_renewers(tmp_path)
    assert [Path(each.where).relative_to(tmp_path).parts[1] for each in found] == [
        "crontab:1",
        "cron.d",
        "cron.weekly",
        "systemd",
        "systemd",
    ]
    assert found[-1].remedy == "systemctl disable --now snap.certbot.renew.timer"


def test_certbot_is_no_renewer_where_it_leaves_everything_alone(tmp_path):
    write(tmp_path, "etc/cron.d/certbot", f"{DEBIAN}\n")
    write(tmp_path, "etc/systemd/system/timers.target.wants/certbot.timer")
    write(tmp_path, "etc/crontab", "1 1 * * * root certbot certonly --standalone -d a.test\n")
    assert [each.what.split()[5:8] for each in find_renewers(tmp_path)] == [
        ["root", "certbot", "certonly"]
    ]
    write(tmp_path, "etc/letsencrypt/renewal/a.test.conf", "[renewalparams]\nautorenew = False\n")
    assert len(find_renewers(tmp_path)) == 1
    write(tmp_path, "etc/letsencrypt/renewal/b.test.conf", "[renewalparams]\nserver = x\n")
    assert len(find_renewers(tmp_path)) == 3


def test_what_only_mentions_certbot_renews_nothing(tmp_path):
    write(
        tmp_path, "etc/crontab", "1 1 * * * root tar c /etc/letsencrypt | ssh x\n#certbot renew\n"
    )
    write(tmp_path, "lib/systemd/system/certbot.timer")
    assert find_renewers(tmp_path) == []
    assert find_renewers(tmp_path / "missing") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not look")
def test_a_folder_that_may_not_be_read_is_refused_in_words(tmp_path):
    (tmp_path / "renewal").mkdir()
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(Failed, match=r"cannot read .*: Permission denied; nothing was"):
            read_folder(tmp_path)
    finally:
        os.seteuid(0)
