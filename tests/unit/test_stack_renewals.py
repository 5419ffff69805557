"""What renews certificates on a machine: crontabs, timers, certbot's folder."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest

from portico.errors import Failed, Refused
from portico.stack.reading.read import read_stack
from tests.certbot_folder import write_lineage
from tests.signing import Signed, Signer

NO_CERTIFICATE = Signed("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "a key")


def sign(*names):
    return Signer().sign(*names, at=1_800_000_000.0)


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def renewals(stack):
    return [(each.place.line, each.command) for each in stack.renewals]


def gaps(stack):
    return [(each.place.line, each.what, each.why) for each in stack.gaps]


def test_lines_of_a_crontab_that_renew_are_told_from_other_jobs(tmp_path):
    crontab = written(
        tmp_path / "crontab",
        """\
        # m h  dom mon dow   command
        MAILTO = ops@example.com
        @daily certbot renew
        0 3 * * 1  /usr/bin/certbot -q renew --post-hook "systemctl reload nginx"
        #0 4 * * * certbot renew
        */5  * * * *  /srv/shop/cleanup.sh --all
        @reboot pm2 resurrect
        every day certbot
        """,
    )
    stack = read_stack([crontab], {})
    assert renewals(stack) == [
        (3, "certbot renew"),
        (4, '/usr/bin/certbot -q renew --post-hook "systemctl reload nginx"'),
    ]
    continues = "cron continues to run it; "
    by_app = f'{continues}an app with schedule = "*/5 * * * *" is run at the same times'
    assert gaps(stack) == [
        (6, "*/5 * * * * /srv/shop/cleanup.sh --all", by_app),
        (7, "@reboot pm2 resurrect", f"{continues}`portico startup` starts apps at boot"),
        (8, "every day certbot", "this is not a line of a crontab"),
    ]


@pytest.mark.parametrize("name", ["etc/crontab", "etc/cron.d/certbot", "crontab"])
def test_the_users_column_of_the_systems_crontabs_is_no_part_of_the_command(tmp_path, name):
    header = "# m h dom mon dow user\tcommand\n" if name == "crontab" else ""
    crontab = written(tmp_path / name, f"{header}0 3 * * * root certbot renew\n\n0 1 * * * root\n")
    stack = read_stack([crontab], {})
    assert [each.command for each in stack.renewals] == ["certbot renew"]
    assert [each.why for each in stack.gaps] == ["this is not a line of a crontab"]


def test_folders_of_cron_are_read_with_all_that_cron_would_run(tmp_path):
    written(tmp_path / "cron.daily/letsencrypt", "#!/bin/sh\n# certbot renew\n  certbot renew\n")
    written(tmp_path / "cron.daily/logrotate", "#!/bin/sh\nlogrotate /etc/logrotate.conf\n")
    written(tmp_path / "cron.daily/.placeholder", "")
    written(tmp_path / "cron.daily/old.bak", "certbot renew\n")
    stack = read_stack([tmp_path / "cron.daily"], {})
    assert renewals(stack) == [(3, "certbot renew")]
    assert [each.what for each in stack.gaps] == ["logrotate"]
    alone = read_stack([tmp_path / "cron.daily/letsencrypt"], {})
    assert alone.renewals == stack.renewals


TIMER = """\
[Unit]
Description=Run certbot twice daily

[Timer]
OnCalendar=*-*-* 00,12:00:00
RandomizedDelaySec=43200

[Install]
WantedBy=timers.target
"""


def test_a_timer_renews_if_its_service_does(tmp_path):
    timer = written(tmp_path / "renew.timer", f"{TIMER}[Timer]\nUnit=tls.service\n")
    written(tmp_path / "tls.service", "[Service]\nExecStart=/usr/bin/lego \\\n # x\n  renew\n")
    stack = read_stack([timer], {})
    assert renewals(stack) == [(5, "/usr/bin/lego renew")]
    assert stack.files == (str(timer), str(tmp_path / "tls.service"))


def test_a_timer_whose_service_is_elsewhere_is_known_by_its_name(tmp_path):
    certbot = written(tmp_path / "certbot.timer", TIMER)
    backup = written(tmp_path / "backup.timer", TIMER)
    assert renewals(read_stack([certbot], {})) == [(5, "certbot.service")]
    [gap] = read_stack([backup], {}).gaps
    assert gap.what == "backup.timer"
    assert "continues to start backup.service" in gap.why


def test_a_drop_in_of_a_unit_counts_and_an_empty_assignment_resets_a_list(tmp_path):
    timer = written(tmp_path / "job.timer", TIMER)
    written(tmp_path / "job.service", "[Service]\nExecStart=/bin/job\n")
    drop_in = "[Service]\nExecStart=\nExecStart=/usr/bin/certbot renew\n"
    written(tmp_path / "job.service.d/override.conf", drop_in)
    assert renewals(read_stack([timer], {})) == [(5, "/usr/bin/certbot renew")]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("crontab", b"\xff\xfe0\x00", "line 1 is not UTF-8 text"),
        ("crontab", b"0 3 * * *\0", "it is not a text file"),
        ("certbot.timer", b"OnCalendar=daily\n", "line 1 is not a line of a systemd unit"),
        ("certbot.timer", b"[Timer]\nOnCalendar\n", "line 2 is not a line of a systemd unit"),
        ("a.conf", b"[renewalparams\n[renewalparams]\n", "Invalid line"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_in_words(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Failed, match=why):
        read_stack([tmp_path / name], {})


def test_what_is_no_file_is_refused_in_words(tmp_path):
    loop, pipe = tmp_path / "crontab", tmp_path / "cron.pipe"
    loop.symlink_to("crontab")
    os.mkfifo(pipe)
    with pytest.raises(Failed, match="Too many levels of symbolic links"):
        read_stack([loop], {})
    with pytest.raises(Refused, match="is not of a kind that Portico reads"):
        read_stack([tmp_path], {})
    assert read_stack([pipe], {}).files == (str(pipe),)  # and is not waited for


def test_the_folder_of_certbot_is_read_with_the_names_of_its_certificates(tmp_path):
    signed = sign("shop.test", "www.shop.test")
    params = "authenticator = standalone\npost_hook = service nginx start\n"
    write_lineage(tmp_path, "shop.test", signed, params=params)
    written(tmp_path / "renewal/broken.conf", "[renewalparams\n")
    stack = read_stack([tmp_path], {})
    [lineage] = stack.lineages
    assert (lineage.name, lineage.names) == ("shop.test", ("shop.test", "www.shop.test"))
    assert lineage.place.file == str(tmp_path / "renewal/shop.test.conf")
    assert lineage.chain == str(tmp_path / "live/shop.test/fullchain.pem")
    assert lineage.key == str(tmp_path / "live/shop.test/privkey.pem")
    assert lineage.settings["challenge"] == "http-01"
    assert lineage.params["authenticator"] == "standalone"
    assert any("the post hook service nginx start is not imported" in g.why for g in stack.gaps)
    assert any("renewal/broken.conf" in gap.why for gap in stack.gaps)


def test_a_renewal_file_alone_is_one_lineage(tmp_path):
    write_lineage(tmp_path, "a.test", sign("a.test"))
    write_lineage(tmp_path, "b.test", sign("b.test"))
    [lineage] = read_stack([tmp_path / "renewal/b.test.conf"], {}).lineages
    assert lineage.names == ("b.test",)


def test_a_certificate_that_cannot_be_read_is_a_gap_and_its_names_are_unknown(tmp_path):
    write_lineage(tmp_path, "a.test", NO_CERTIFICATE)
    write_lineage(tmp_path, "b.test", NO_CERTIFICATE)
    for kept in (tmp_path / "archive/b.test").iterdir():
        kept.unlink()
    stack = read_stack([tmp_path], {})
    assert [each.names for each in stack.lineages] == [(), ()]
    whys = [gap.why for gap in stack.gaps if gap.what]
    assert whys[0].endswith("fullchain.pem: it is not a certificate")
    assert whys[1].endswith("No such file or directory; its host names are unknown")
