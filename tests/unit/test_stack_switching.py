"""What is looked at before, during and after a switch from another nginx."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from portico.errors import Failed, Refused
from portico.stack.nginx_master import arguments_of
from portico.stack.switching import record
from portico.stack.switching.answers import Answer, differences
from portico.stack.switching.jobs import (
    MARK,
    Job,
    boot_units,
    disable,
    enable,
    renewal_jobs,
)
from portico.stack.switching.other_nginx import OtherNginx
from portico.stack.switching.pm2 import Pm2Apps, found_in

PAGE = Answer(200, (("content-type", "text/html"), ("x-frame-options", "DENY")), "b0", "c0")
MOVED = Answer(301, (("location", "https://a.test/"),), "b1")


@pytest.mark.parametrize(
    ("before", "again", "after", "expected"),
    [
        (PAGE, PAGE, PAGE, []),
        (PAGE, PAGE, replace(PAGE, status=502), ["status 200, and now 502"]),
        (PAGE, PAGE, replace(PAGE, body="b2"), ["another front page"]),
        (PAGE, replace(PAGE, body="b3"), replace(PAGE, body="b2"), []),
        (PAGE, PAGE, replace(PAGE, certificate="c1"), ["another certificate"]),
        (
            PAGE,
            PAGE,
            replace(PAGE, headers=PAGE.headers[:1]),
            ["x-frame-options: 'DENY', and now 'none'"],
        ),
        (PAGE, PAGE, replace(PAGE, headers=(*PAGE.headers, ("x-new", "1"))), []),
        (MOVED, MOVED, replace(MOVED, status=308, body="b4"), []),
        (MOVED, MOVED, replace(MOVED, status=302), ["status 301, and now 302"]),
        (
            PAGE,
            PAGE,
            Answer(error="refused"),
            ["answered status 200, and now nothing (refused)"],
        ),
        (Answer(error="reset"), Answer(error="reset"), Answer(error="timed out"), []),
    ],
)
def test_only_what_changed_by_the_switch_counts(before, again, after, expected):
    assert list(differences(before, again, after)) == expected


@pytest.mark.parametrize(
    ("title", "arguments"),
    [
        ("/usr/sbin/nginx", ()),
        ("/usr/sbin/nginx -c /etc/nginx/nginx.conf", ("-c", "/etc/nginx/nginx.conf")),
        (
            "/usr/sbin/nginx -g daemon on; master_process on;",
            ("-g", "daemon on; master_process on;"),
        ),
        ("nginx -g daemon off; -p /srv/", ("-g", "daemon off;", "-p", "/srv/")),
    ],
)
def test_the_words_of_a_master_are_read_from_its_title(title, arguments):
    assert arguments_of(title) == arguments


def test_apps_of_pm2_are_those_of_the_same_script_or_folder():
    apps = [
        {
            "pm_id": number,
            "name": name,
            "pid": 100 + number,
            "pm2_env": {"pm_exec_path": script, "pm_cwd": folder, "status": status},
        }
        for number, (name, script, folder, status) in enumerate(
            [
                ("web", "/srv/shop/index.js", "/other", "online"),
                ("api", "/usr/bin/npm", "/srv/shop", "online"),
                ("off", "/srv/shop/index.js", "/srv/shop", "stopped"),
                ("strange", "/srv/blog/index.js", "/srv/blog", "online"),
            ]
        )
    ]
    text = f"[PM2] Spawning PM2 daemon\n[PM2] done\n{json.dumps(apps)}\n"
    found = found_in(text, {"/srv/shop/index.js"}, {"/srv/shop"})
    ours = [(each.id, each.name, each.pid) for each in found.ours]
    assert ours == [(0, "web", 100), (1, "api", 101)]
    assert found.others == 1
    assert found_in("pm2: not what it was", set(), set()) == Pm2Apps()


def test_what_was_taken_over_is_known_afterwards(tmp_path):
    kept = record.Record(
        OtherNginx(12, 345, "/usr/sbin/nginx", ("-g", "daemon on;")),
        (0, 1),
        (3000,),
        "shop",
        (Job("timer", "certbot.timer"),),
    )
    record.write(tmp_path, kept)
    assert record.read(tmp_path) == kept
    record.remove(tmp_path)
    with pytest.raises(Refused, match="nothing was taken over"):
        record.read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"nginx": 3}', "\0"])
def test_a_record_that_is_damaged_is_refused_in_words(tmp_path, content):
    (tmp_path / record.NAME).write_text(content)
    with pytest.raises(Refused, match="cannot read"):
        record.read(tmp_path)


RENEW = "0 3 * * * root certbot renew -q"
CRONTAB = f"# daily\nMAILTO=ops\n{RENEW}\n5 4 * * * root backup"
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLED"
case "$*" in *-l) echo "0 3 * * * certbot renew -q" ;; *" -") cat > "$CALLED.table" ;; esac
"""
"""For systemctl and for crontab: what it is called with is all that is looked at."""


@pytest.fixture
def machine(tmp_path):
    """Folders of a machine on which certbot's timer and a crontab renew, with systemd."""
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    timers = tmp_path / "etc/systemd/system/timers.target.wants"
    for folder in (wants, timers, tmp_path / "run/systemd/system", tmp_path / "etc/cron.d"):
        folder.mkdir(parents=True)
    for unit in (wants / "nginx.service", wants / "pm2-ann.service", wants / "ssh.service"):
        unit.touch()
    (timers / "certbot.timer").touch()
    (tmp_path / "etc/cron.d/certbot").write_text(CRONTAB)
    return tmp_path


@pytest.fixture
def environ(tmp_path):
    for name in ("systemctl", "crontab"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {"PATH": path, "CALLED": str(tmp_path / "called")}


def has_lineage(machine, *, renewed):
    """Of a name that cannot be read from its certificate unless nothing of it is renewed."""
    folder = machine / "etc/letsencrypt/renewal"
    folder.mkdir(parents=True)
    live = machine / "etc/letsencrypt/live/a.test"
    lines = [f"{name} = {live}/{name}.pem" for name in ("cert", "privkey", "chain", "fullchain")]
    lines += ["[renewalparams]", f"autorenew = {renewed}"]
    (folder / "a.test.conf").write_text("\n".join(lines))


def test_the_boot_units_of_nginx_and_of_a_pm2_without_other_apps_are_disabled(machine):
    names = [each.name for each in boot_units(os.getpid(), with_pm2=True, root=machine)]
    assert names == ["nginx.service", "pm2-ann.service"]
    names = [each.name for each in boot_units(os.getpid(), with_pm2=False, root=machine)]
    assert names == ["nginx.service"]
    (machine / "run/systemd/system").rmdir()
    assert list(boot_units(os.getpid(), with_pm2=True, root=machine)) == []


def test_certbot_is_disabled_only_where_all_that_it_renewed_was_taken_over(machine):
    crontab = str(machine / "etc/cron.d/certbot")
    assert renewal_jobs({"a.test"}, machine)[0] == []  # nothing is known of what it renews
    has_lineage(machine, renewed=False)
    jobs, left = renewal_jobs({"a.test"}, machine)
    assert jobs == [Job("crontab", crontab, RENEW), Job("timer", "certbot.timer")]
    assert left == []


def test_certbot_that_renews_another_name_too_is_left_alone(machine):
    has_lineage(machine, renewed=True)
    jobs, left = renewal_jobs({"a.test"}, machine)
    assert jobs == []
    assert len(left) == 2


def test_a_line_of_a_crontab_is_disabled_and_comes_back_as_it_was(machine, environ):
    path = machine / "etc/cron.d/certbot"
    path.chmod(0o640)
    job = Job("crontab", str(path), RENEW)
    disable(job, environ)
    assert path.read_text() == CRONTAB.replace(RENEW, MARK + RENEW)
    assert path.stat().st_mode & 0o777 == 0o640
    enable(job, environ)
    assert path.read_text() == CRONTAB
    with pytest.raises(Failed, match="has no line"):
        enable(job, environ)


def test_units_and_the_crontabs_of_users_are_changed_by_their_own_programs(environ, tmp_path):
    user = Job("crontab", "/var/spool/cron/crontabs/ann", "0 3 * * * certbot renew -q")
    for job in (Job("timer", "certbot.timer"), Job("unit", "nginx.service"), user):
        disable(job, environ)
    enable(Job("timer", "certbot.timer"), environ)
    assert (tmp_path / "called").read_text().splitlines() == [
        "systemctl disable --now certbot.timer",
        "systemctl disable nginx.service",
        "crontab -u ann -l",
        "crontab -u ann -",
        "systemctl enable --now certbot.timer",
    ]
    assert (tmp_path / "called.table").read_text() == f"{MARK}0 3 * * * certbot renew -q\n"
