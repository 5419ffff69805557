"""What is looked at before, during and after a switch from another nginx."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from portico.errors import Refused
from portico.stack.nginx_master import arguments_of
from portico.stack.switching import record
from portico.stack.switching.answers import Answer, differences
from portico.stack.switching.other_nginx import OtherNginx
from portico.stack.switching.pm2 import found_in

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
    assert [(each.id, each.name, each.pid) for each in found] == [(0, "web", 100), (1, "api", 101)]
    assert found_in("pm2: not what it was", set(), set()) == []


def test_what_was_taken_over_is_known_afterwards(tmp_path):
    kept = record.Record(
        OtherNginx(12, 345, "/usr/sbin/nginx", ("-g", "daemon on;")), (0, 1), (3000,), "shop"
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
