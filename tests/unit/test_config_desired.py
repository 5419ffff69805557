from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.config.desired import (
    PROCESS_KEYS,
    absolute_edge,
    desired_from,
    program_id,
    spec_of,
    version_in_file,
    version_of,
)
from portico.core.config.document import read_document
from portico.core.model.app import App
from portico.core.model.desired import Desired, Origin
from portico.core.model.upstream import Upstream
from tests.documents import full, read


def desired(toml: str, *, root: bool = False, asked: dict[str, int] | None = None) -> Desired:
    return desired_from(
        read(toml), folder="/srv/shop", environ={"A": "b"}, cores=6, root=root, asked=asked or {}
    )


def test_max_instances_are_one_a_core():
    wanted = desired('apps.a = { command = "x", instances = "max" }\napps.b.command = "x"')
    assert [(app.name, app.instances) for app in wanted.apps.values()] == [("a", 6), ("b", 1)]


def test_every_app_that_listens_has_an_upstream_of_its_name():
    wanted = desired(
        """
        apps.web = { command = "x", balance = "ip_hash", sticky = true, keepalive = 7 }
        apps.jobs = { command = "x", port = false }
        upstreams.legacy.servers = ["a"]
        """
    )
    assert set(wanted.upstreams) == {"web", "legacy"}
    web = wanted.upstreams["web"]
    assert web == Upstream(apps=("web",), balance="ip_hash", sticky=True, keepalive=7)


@pytest.mark.parametrize(
    ("edge", "root", "ports"),
    [
        ("", True, (80, 443)),
        ("", False, (8080, 8443)),
        ("edge.http = 81", True, (81, 443)),
        ("edge = { http = 81, https = 444 }", False, (81, 444)),
    ],
)
def test_ports_are_those_of_the_web_only_as_root(edge, root, ports):
    listeners = desired(edge, root=root).listeners
    assert (listeners.http, listeners.https) == ports


LOCAL, EVERYWHERE = ("127.0.0.1", "[::1]"), ("*", "[::]")


@pytest.mark.parametrize(
    ("toml", "addresses"),
    [
        ("", LOCAL),
        ('sites."app.localhost" = { folder = "x", aliases = ["127.0.0.1", "a.test"] }', LOCAL),
        ('sites."shop.example.com".folder = "x"', EVERYWHERE),
        (
            'sites."a.test" = { folder = "x", aliases = ["*.example.com"], tls.issuer = "local" }',
            EVERYWHERE,
        ),
        ('sites."10.0.0.5".folder = "x"', EVERYWHERE),
        ('sites."shop.example.com".folder = "x"\nedge.bind = ["10.0.0.5"]', ("10.0.0.5",)),
    ],
)
def test_only_a_public_name_opens_the_machine_to_others(toml, addresses):
    assert desired(toml).listeners.addresses == addresses


def test_a_whole_file_is_resolved():
    document = read_document(full(), source="x")
    wanted = desired_from(document, folder="/srv", environ={}, cores=2, root=True)

    assert wanted.sites == document.sites
    assert wanted.edge == absolute_edge(document.edge, "/srv")
    assert next(iter(wanted.origins.values())) == Origin("default", "/srv", document.tls)
    assert wanted.origins.keys() == wanted.sites.keys()


OTHER: dict[str, object] = {
    # another value for every key of an app
    "command": ["other"],
    "script": "other.js",
    "args": "other",
    "interpreter": "other",
    "interpreter_args": "other",
    "cwd": "other",
    "env": {"OTHER": 1},
    "env_file": "other",
    "inherit_env": True,
    "stdin": "open",
    "user": "other",
    "group": "other",
    "on": ["m1"],
    "total": 4,
    "machines": {"m2": {"instances": 2}},
    "instances": 7,
    "port": 3000,
    "port_env": "OTHER",
    "find_port": True,
    "port_fallback": True,
    "instance_env": "OTHER",
    "pm_id": 7,
    "health": "/other",
    "after": ["db"],
    "autostart": False,
    "autorestart": False,
    "stop_exit_codes": [7],
    "backoff": 7,
    "backoff_limit": 70,
    "max_restarts": 7,
    "min_uptime": 7,
    "ready_timeout": 7,
    "after_ready_timeout": "continue",
    "wait_ready": True,
    "batch": 7,
    "replace_order": "stop_first",
    "drain_timeout": 7,
    "stop_signal": "SIGINT",
    "stop_timeout": 7,
    "max_memory": 7 << 20,
    "max_age": 70,
    "restart_schedule": "0 4 * * *",
    "schedule": "0 5 * * *",
    "timeout": 70,
    "tz": "Europe/Berlin",
    "watch": True,
    "ignore_watch": "other",
    "watch_delay": 7,
    "logs": {"max_size": "7m", "keep": 7},
    "balance": "ip_hash",
    "sticky": True,
    "weight": 7,
    "slow_start": 7,
    "max_conns": 7,
    "max_fails": 7,
    "fail_timeout": 7,
    "backup": True,
    "down": True,
    "slots": {"1": {"weight": 7}},
    "keepalive": 7,
}


def version(changed: dict[str, object], name: str = "web", folder: str = "/srv", asked: int = 0):
    app = App.model_validate_json(json.dumps({"command": "x"} | changed))
    return spec_of(name, app, folder=folder, environ={}, asked=asked).id


def test_every_key_of_an_app_is_known_to_matter_to_its_processes_or_not():
    assert OTHER.keys() == App.model_fields.keys()
    assert App.model_fields.keys() > PROCESS_KEYS


@given(st.sets(st.sampled_from(sorted(OTHER))))
def test_a_version_is_another_one_exactly_when_its_processes_would_be(keys):
    changed = {key: OTHER[key] for key in keys}
    assert (version(changed) != version({})) == bool(keys & PROCESS_KEYS)


def test_a_version_knows_where_its_output_goes_its_name_and_its_folder():
    plain = version({})
    for other in (
        version({"logs": {"stdout": "a"}}),
        version({"logs": {"stderr": "a"}}),
        version({}, name="api"),
        version({}, folder="/srv/other"),
        version({}, asked=1),
    ):
        assert other != plain
    assert version({"logs": {"stdout": "a"}}) != version({"logs": {"stderr": "a"}})


def test_a_version_asked_for_again_is_named_after_the_one_it_repeats():
    plain = version({})
    assert len(plain) == 12
    assert version({}, asked=3) == f"{plain}+3"


def test_a_version_knows_where_its_links_led():
    plain = spec_of("web", App(command="x", cwd="current"), folder="/srv", environ={})
    one, two = (
        version_of(plain, asked=2, links={"/srv/current": f"/srv/{release}"}) for release in "12"
    )
    assert one.id != two.id
    assert program_id(one) == program_id(two) == plain.id
    assert re.fullmatch(f"{plain.id}@[0-9a-f]{{6}}[+]2", one.id)
    assert version_of(one, asked=0) == plain


LINKS = {"/srv/current": "/srv/releases/1", "/srv/current/web": "/mnt/web"}


@pytest.mark.parametrize(
    ("path", "followed"),
    [
        ("/srv/current", "/srv/releases/1"),
        ("/srv/./current/", "/srv/releases/1"),
        ("/srv//current/.env", "/srv/releases/1/.env"),
        ("/srv/current/web/app.js", "/mnt/web/app.js"),
        ("/srv/currently/.env", "/srv/currently/.env"),
        ("/srv/shared/.env", "/srv/shared/.env"),
        ("/usr/bin/node", "/usr/bin/node"),
        ("srv/current", "srv/current"),
        ("--config=/srv/current/x", "--config=/srv/current/x"),
        ("", ""),
    ],
)
def test_a_path_through_a_link_is_where_the_link_led(path, followed):
    app = App(command="x", cwd="current/web")
    spec = version_of(spec_of("web", app, folder="/srv", environ={}), asked=0, links=LINKS)
    assert spec.resolve_path(path) == followed
    assert (spec.working_folder, spec.named_folder) == ("/mnt/web", "/srv/current/web")
    assert spec.path("current/out.log") == "/srv/releases/1/out.log"


def test_the_environment_of_a_shell_is_no_part_of_a_version():
    first, second = (
        desired_from(
            read('apps.web = { command = "x", inherit_env = true }'),
            folder="/srv",
            environ=environ,
            cores=1,
            root=False,
        ).apps["web"]
        for environ in ({"A": "1"}, {"A": "2"})
    )
    assert first.spec.id == second.spec.id
    assert asdict(first.spec)["environ"] == {"A": "1"}


def test_a_version_remembers_of_the_shell_only_what_its_instances_inherit():
    shell = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "hush", "SHLVL": "2"}
    file = 'apps.web = { command = "x" }\napps.all = { command = "x", inherit_env = true }'
    apps = desired_from(read(file), folder="/srv", environ=shell, cores=1, root=False).apps
    assert apps["web"].spec.environ == {"PATH": "/bin", "LC_ALL": "C"}
    assert apps["all"].spec.environ == {k: v for k, v in shell.items() if k != "SHLVL"}


def test_weights_are_multiplied_where_there_is_a_slow_start_and_in_every_group_it_is_in():
    document = read(
        """
        apps.web = { command = "x", slow_start = 30 }
        apps.side = { command = "x" }
        apps.third = { command = "x" }
        apps.alone = { command = "x" }
        upstreams.both.apps = ["web", "side"]
        upstreams.others.apps = ["side", "third"]
        """
    )
    desired = desired_from(document, folder="/", environ={}, cores=2, root=False)
    assert {name: app.scale for name, app in desired.apps.items()} == {
        "web": 10,
        "side": 10,
        "third": 10,
        "alone": 1,
    }


def test_a_version_that_is_not_the_files_has_its_own_program_and_the_settings_of_the_file():
    was = App(command="old", port=False, schedule="0 4 * * *", env={"A": "1"}, batch=1)
    is_now = App(command="new", port=3000, env={"A": "2"}, batch=3, weight=7)
    before = spec_of("web", was, folder="/srv/old", environ={"A": "b"})
    now = spec_of("web", is_now, folder="/srv/new", environ={})
    wanted = version_in_file(before, now)
    assert (wanted.id, wanted.folder, wanted.environ) == (before.id, "/srv/old", before.environ)
    for key in App.model_fields:
        its = was if key in PROCESS_KEYS else is_now
        assert getattr(wanted.app, key) == getattr(its, key), key
    assert spec_of("web", wanted.app, folder="/srv/old", environ={}).id == before.id


def test_the_outputs_of_a_version_are_its_own_and_how_much_of_them_is_kept_is_the_files():
    was = App(command="old", logs={"stdout": "old.log", "keep": 1})
    is_now = App(command="new", logs={"stdout": "new.log", "keep": 9})
    before, now = (spec_of("web", app, folder="/", environ={}) for app in (was, is_now))
    logs = version_in_file(before, now).app.logs
    assert (logs.stdout, logs.keep) == ("old.log", 9)
