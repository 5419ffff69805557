"""Several projects: their names, what a word means among them, and their files as one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.desired import Desired
from portico.core.model.labels import home_folder, project_name
from portico.core.model.names import PROJECT, app_host, label_of, qualified_name, split_name
from portico.core.model.project import Names, projects_at
from portico.core.model.requests import DocumentRequest
from portico.core.planning.discovery import Zone
from portico.core.planning.lineages import wanted_lineages
from portico.core.planning.order import waiting_apps
from portico.core.render.generation import render_generation
from portico.engine.inputs import Inputs, read_files
from portico.errors import ConfigError, NotFound, Refused
from tests.rendered import MACHINE, place_for

ONE = """
apps.web = { command = "run", balance = "ip_hash" }
apps.api = { command = "run", after = ["web"] }
upstreams.both.apps = ["web", "api"]
[sites."one.localhost"]
app = "web"
include = "site.conf"
routes = { "/api" = "api", "/both" = { upstream = "both" } }
"""
TWO = """
apps.web = { command = "run", after = ["jobs"] }
apps.jobs = { command = "run", port = false }
[sites."two.example.com"]
app = "web"
[tls]
email = "me@example.com"
[edge]
http = 8081
include = "http.conf"
"""
FOLDERS = {"one": "/srv/one", "two": "/srv/two", "three": "/srv/three"}


def request(text: str, name: str) -> DocumentRequest:
    folder = FOLDERS[name]
    return DocumentRequest(
        source=f"{folder}/portico.toml", folder=folder, table=tomllib.loads(text), environ={}
    )


def together(new: str | None = None, edge: str = "", known=None, **files: str) -> Desired:
    """The first file has plain names, as that of a project alone."""
    keys = {name: PROJECT if number == 0 else name for number, name in enumerate(files)}
    inputs = Inputs(
        {keys[name]: request(text, name) for name, text in files.items()},
        {},
        frozenset(),
        project=keys[new] if new else None,
        edge=DocumentRequest(
            source="/home/portico/edge.toml", folder="/home/portico", table=tomllib.loads(edge)
        )
        if edge
        else None,
        known=known or {},
    )
    return read_files(inputs, MACHINE).desired


def refusal(new: str, **files: str) -> str:
    with pytest.raises(ConfigError) as refused:
        together(new, **files)
    return str(refused.value)


# Names


@pytest.mark.parametrize(
    ("table", "folder", "name"),
    [
        ({"project": "shop"}, "/srv/anything", "shop"),
        ({}, "/srv/shop", "shop"),
        ({}, "/srv/My Shop", "my-shop"),
        ({}, "/srv/shop/current", "shop"),
        ({}, "/srv/shop/releases/20261128", "shop"),
        ({}, "/srv/shop/current/deploy", "deploy"),
        ({}, "/srv/---", "project"),
        ({}, "/", "project"),
        ({}, "/current", "project"),
    ],
)
def test_a_project_is_called_as_its_file_says_or_as_its_folder(table, folder, name):
    assert project_name(table, folder) == name


def test_all_releases_of_a_project_have_one_folder():
    of = {home_folder(f"/srv/shop/{each}") for each in ("current", "releases/1", "releases/2")}
    assert of == {"/srv/shop"}


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/srv/shop", ["a"]),
        ("/srv/shop/src/deep", ["a"]),
        ("/srv/shop/admin", ["b"]),
        ("/srv/shop/releases/7", ["a"]),
        ("/srv", []),
        ("/srv/shopping", []),
        ("/srv/two", ["c", "d"]),
    ],
)
def test_a_folder_is_of_the_nearest_project(folder, found):
    folders = {"a": "/srv/shop/current", "b": "/srv/shop/admin", "c": "/srv/two", "d": "/srv/two"}
    assert projects_at(folder, folders) == found


def names(*here: str) -> Names:
    projects = {PROJECT: "one", "two": "two", "web-2": "web"}
    apps = ("web", "api", "two/web", "two/jobs", "web-2/api")
    return Names(projects, apps, here)


@pytest.mark.parametrize(
    ("text", "here", "app"),
    [
        ("jobs", (), "two/jobs"),
        ("one/web", (), "web"),
        ("two/web", (), "two/web"),
        ("web", ("two",), "two/web"),
        ("web", (PROJECT,), "web"),
        ("jobs", (PROJECT,), "two/jobs"),
        ("web/api", (), "web-2/api"),
    ],
)
def test_a_name_means_the_only_app_or_that_of_the_folder(text, here, app):
    assert names(*here).app(text) == app


def test_a_name_of_several_apps_is_refused_with_their_full_names():
    for here in ((), ("web-2",)):
        with pytest.raises(Refused, match=r"web is the name of several apps: one/web, two/web$"):
            names(*here).app("web")
    with pytest.raises(NotFound, match="'x'; known: one/web, one/api, two/web, two/jobs, web/api"):
        names().app("x")
    with pytest.raises(NotFound, match=r"'x'; known: web$"):
        Names({PROJECT: "one"}, ["web"]).app("x")


def test_an_instance_is_named_by_its_app():
    assert names().instance("two/web.2.7") == ("two/web", ".2.7")
    assert names(PROJECT).instance("web.2") == ("web", ".2")


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("web.1.1 has exited", "one/web.1.1 has exited"),
        ("two/web.1.1 has exited", "two/web.1.1 has exited"),
        ("web-2/api: it waits", "web/api: it waits"),
        ("two/jobs was replaced", "jobs was replaced"),
        ("nginx is not well", "nginx is not well"),
        ("website.1.1 has exited", "website.1.1 has exited"),
    ],
)
def test_a_sentence_names_the_project_where_several_apps_are_called_so(sentence, shown):
    assert names().with_project(sentence) == shown


@pytest.mark.parametrize(
    ("text", "here", "apps"),
    [
        ("two", (), ["two/web", "two/jobs"]),
        ("web", ("two",), ["two/web"]),  # an app goes before a project of that name
        (None, ("two",), ["two/web", "two/jobs"]),
        (None, (), ["web", "api", "two/web", "two/jobs", "web-2/api"]),
        ("all", ("two",), ["web", "api", "two/web", "two/jobs", "web-2/api"]),
    ],
)
def test_without_a_name_the_apps_of_the_folder_are_meant_and_all_are_all(text, here, apps):
    assert names(*here).apps_of(text) == apps


def test_a_project_is_the_one_named_or_that_of_the_folder_or_the_only_one():
    assert names().project("web") == "web-2"
    assert names("two").project(None) == "two"
    assert Names({PROJECT: "one"}, []).project(None) == PROJECT
    with pytest.raises(Refused, match="several projects are in force; name one: one, two, web"):
        names().project(None)
    with pytest.raises(NotFound, match="there is no project 'x'; in force: one, two, web"):
        names("two").project("x")
    with pytest.raises(Refused, match="no file is in force"):
        Names({}, []).project(None)


LABELS = ["a-b", "a_b", "project", "a" * 50]
LABEL = st.text("ab7", min_size=1, max_size=3) | st.sampled_from(LABELS)


@given(st.lists(st.tuples(st.none() | LABEL, LABEL), unique=True, max_size=8))
def test_no_two_apps_have_one_name_anywhere(apps):
    """Neither as a word, nor as a file of nginx, nor for discovery; and no log file of one is the
    folder of another.
    """
    names = {qualified_name(project or PROJECT, name) for project, name in apps}
    for called in (label_of, app_host):
        assert len({called(name) for name in names}) == len(names)
    logs = {Path(f"{name}.1.out.log") for name in names}
    assert len(logs) == len(names)
    assert not any(folder in logs for log in logs for folder in log.parents)
    zone = Zone(dict.fromkeys(names, ()))
    for name in names:
        assert zone.answer(f"_http._tcp.{app_host(name)}", "SRV").app == name
        assert qualified_name(*split_name(name)) == name


# Files


def test_the_names_of_each_project_are_its_own():
    desired = together(one=ONE, two=TWO)
    assert set(desired.apps) == {"web", "api", "two/web", "two/jobs"}
    assert desired.apps["two/web"].predecessors == ("two/jobs",)
    assert desired.apps["two/web"].app.after == ("jobs",)  # as it was written, also on disk
    assert set(desired.upstreams) == {"web", "api", "both", "two/web"}
    assert desired.upstreams["two/web"].apps == ("two/web",)
    assert desired.sites["two.example.com"].app == "two/web"


def test_the_names_in_routes_and_upstreams_of_a_later_project_are_its_own_too():
    site = together(two=TWO, one=ONE).sites["one.localhost"]
    assert (site.app, site.routes["/api"]) == ("one/web", "one/api")
    assert site.routes["/both"].upstream == "one/both"
    assert together(two=TWO, one=ONE).upstreams["one/both"].apps == ("one/web", "one/api")


def test_an_app_waits_for_those_of_its_own_project_only():
    desired = together(one="apps.jobs.command = 'run'", two=TWO)
    waits = waiting_apps(desired, dict.fromkeys(desired.apps, ()))
    assert {name: wait.apps for name, wait in waits.items()} == {"two/web": ("two/jobs",)}


def test_each_file_keeps_its_folder_and_its_tls():
    desired = together(one=ONE, two=TWO)
    assert [desired.origin(site).folder for site in desired.sites] == ["/srv/one", "/srv/two"]
    assert desired.edge.include == ("/srv/two/http.conf",)
    [lineage] = wanted_lineages(desired, {}).values()
    assert (lineage.names, lineage.issuers[0].contact) == (
        ("two.example.com",),
        ("me@example.com",),
    )
    text = render_generation(desired, place_for(desired))["nginx.conf"]
    for line in (
        "include /srv/one/site.conf;",
        "include /srv/two/http.conf;",
        "upstream two+web {",
        "server web.two._project.portico.internal service=http resolve",
        "proxy_pass http://two+web;",
        "upstream web {",
        "include /var/lib/portico/nginx/seeds/two+web.*;",
    ):
        assert line in text


def test_one_public_name_opens_the_machine_for_all():
    assert together(one=ONE).listeners.addresses == ("127.0.0.1", "[::1]")
    assert together(one=ONE, two=TWO).listeners.addresses == ("*", "[::]")


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "instances": st.integers(1, 4),
        "balance": st.sampled_from(["least_conn", "random"]),
        "slow_start": st.sampled_from([0, 5]),
    },
)


@given(apps=st.dictionaries(st.sampled_from(["web", "api", "jobs"]), KEYS, min_size=1))
def test_a_project_alone_is_what_its_file_says_and_is_the_same_next_to_others(apps):
    table = {
        "apps": {name: {"command": "run", **keys} for name, keys in apps.items()},
        "sites": {f"{name}.test": {"app": name} for name in apps},
    }
    file = DocumentRequest(source="x", folder="/srv/one", table=table, environ={})
    alone = read_files(Inputs({PROJECT: file}, {}, frozenset()), MACHINE).desired
    document = read_document(table, source="x")
    assert alone == desired_from(document, folder="/srv/one", environ={}, cores=2, root=False)
    others = {"two": request(TWO, "two"), "three": request("apps.web.command = 'x'", "three")}
    with_others = read_files(Inputs({PROJECT: file, **others}, {}, frozenset()), MACHINE).desired
    assert with_others.of(PROJECT).apps == alone.apps
    assert with_others.of(PROJECT).upstreams == alone.upstreams
    assert with_others.of(PROJECT).sites == alone.sites
    without = read_files(Inputs({PROJECT: file, "two": others["two"]}, {}, frozenset()), MACHINE)
    assert without.desired.of("two").apps == with_others.of("two").apps


# What two cannot both have


def site(name: str, more: str = "") -> str:
    return f'[sites."{name}"]\nfolder = "public"\n{more}\n'


FILES = "/srv/one/portico.toml and in /srv/two/portico.toml"


def test_a_domain_of_two_files_is_refused_with_both():
    for one, two in (
        (site("a.test"), site("a.test")),
        (site("a.test"), site("b.test", 'aliases = ["a.test"]')),
        (site("c.test", 'aliases = ["a.test"]'), site("b.test", 'aliases = ["A.test."]')),
    ):
        said = refusal("two", one=one, two=two)
        assert f'"a.test" is in {FILES}' in said
        assert said.startswith("cannot use /srv/two/portico.toml: 1 problem; nothing was changed")


def test_two_sites_for_all_other_names_are_refused():
    said = refusal(
        "two", one=site("a.test", "default = true"), two=site("b.test", "default = true")
    )
    assert f'sites."a.test".default: is true in {FILES}' in said


def test_two_files_that_differ_in_what_is_the_machines_are_refused():
    one, two = "apps.a.command = 'x'\nedge.http = 80", "apps.a.command = 'x'\nedge.http = 81"
    said = refusal("two", one=one, two=two)
    assert (
        "edge.http: is 80 in /srv/one/portico.toml, and 81 in /srv/two/portico.toml (set it in "
        "one of them, or in edge.toml of PORTICO_HOME)"
    ) in said
    assert "81 in /srv/two" in refusal("one", one=one, two=two)
    alike = together("two", one=one, two=one)
    assert alike.listeners.http == 80
    other_key = together("two", one=one, two="apps.a.command = 'x'\nedge.https = 444")
    assert (other_key.listeners.http, other_key.listeners.https) == (80, 444)


def test_the_machines_own_file_is_one_of_them():
    one = "apps.a.command = 'x'\nedge.http = 80"
    assert together("one", one=one, edge="edge.https = 444").listeners.https == 444
    assert "edge.http: is 80 in /srv/one/portico.toml, and 81 in /home/portico/edge.toml" in (
        refusal("one", one=one, edge="edge.http = 81")
    )
    said = refusal("one", one=one, edge='apps.a.command = "x"')
    assert "cannot use /home/portico/edge.toml" in said
    tables = "the tables [edge], [machines] and [notify] alone"
    assert f"apps: is not for this file, which has {tables}" in said


def test_pinned_ports_of_two_projects_do_not_overlap():
    one = 'apps.a = { command = "x", port = 3000, instances = 3 }'
    two = 'apps.b = { command = "x", port = 3002 }'
    said = refusal("two", one=one, two=two)
    assert (
        "apps.a.port: has port 3002 in /srv/one/portico.toml, as apps.b.port in /srv/two" in said
    )
    taken = refusal("two", one=one, two='apps.b.command = "x"\nedge.http = 3001')
    assert "edge.http: has port 3001 in /srv/two/portico.toml, as apps.a.port in /srv/one" in taken


def test_what_is_in_force_is_not_judged_again():
    assert set(together(one=site("a.test"), two=site("a.test")).sites) == {"a.test"}


# A file that can no longer be read


def test_a_file_that_can_no_longer_be_read_keeps_no_other_one_away():
    before = together(one=ONE, two=TWO)
    broken = TWO.replace('command = "run"', 'comand = "run"')
    now = together("one", one=ONE, two=broken, known={"two": before.of("two")})
    assert now.apps == before.apps
    assert now.sites == before.sites
    assert now.listeners == before.listeners  # its [edge] could still be read
    said = refusal("two", one=ONE, two=broken, known={"two": before.of("two")})
    assert "cannot use /srv/two/portico.toml" in said


# Streams

A_STREAM = 'apps.db = { command = "run" }\nstreams.%s.app = "db"\n'


@pytest.mark.parametrize(
    ("one", "two", "key"),
    [
        (A_STREAM % "5432", A_STREAM % '"*:5432"', "streams.5432"),
        (A_STREAM % "5433", 'apps.web = { command = "run", port = 5433 }', "streams.5433"),
        ('apps.web = { command = "run", port = 5433 }', A_STREAM % "5433", "apps.web.port"),
        (TWO, A_STREAM % "8081", "edge.http"),
        (ONE, A_STREAM % "8443", "edge.https"),
    ],
)
def test_a_port_of_a_stream_is_of_one_project(one, two, key):
    said = refusal("two", one=one, two=two)
    assert key in said
    assert "/srv/one/portico.toml" in said
    assert "/srv/two/portico.toml" in said


def test_streams_of_two_projects_reach_their_own_apps():
    desired = together(
        one=A_STREAM % "1", two=A_STREAM % '"[::1]:1"', edge='edge.bind = ["10.0.0.1"]'
    )
    assert desired.streams["1"].addresses == ("10.0.0.1",)
    assert desired.streams["1"].stream.app == "db"
    assert desired.streams["[::1]:1"].stream.app == "two/db"
    assert desired.of("two").streams.keys() == {"[::1]:1"}
    assert desired.with_closed(["two"]).streams.keys() == {"1"}
    assert all(app.reached for app in desired.apps.values())


def test_names_that_lead_to_apps_are_of_their_project():
    names = 'apps.db = { command = "run" }\nstreams.1.server_names = { "a.test" = "db" }'
    desired = together(one=ONE, two=names)
    assert desired.streams["1"].stream.targets == ("two/db",)
    assert desired.apps["two/db"].reached
