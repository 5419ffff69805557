"""Files of PM2 in every language it takes, evaluated by the real Node; and portico.toml."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from portico.errors import ConfigError
from portico.importers.javascript import evaluate
from portico.importers.read import NAMES, read_file

SHOP = """
const ports = ['4100', '4101', '4102'];
module.exports = {
  apps: ports.map((port, n) => ({
    name: `shop-${n + 1}`,
    script: 'index.js',
    watch: true,
    ignore_watch: ['logs', /node_modules/],
    max_memory_restart: '900M',
    env: { port },
  })),
};
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.js").touch()
    return tmp_path


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def read(path, **options):
    return read_file(path, dict(os.environ), **options)


def apps(path, **options):
    return read(path, **options).table["apps"]


def problem(path, **options):
    with pytest.raises(ConfigError) as caught:
        read(path, **options)
    assert str(path if path.is_file() else path.name) in caught.value.source
    assert "nothing was changed" in str(caught.value)
    return str(caught.value.problems[0])


def test_entries_on_several_ports_run_as_they_stand(folder):
    found = read(write(folder, "ecosystem.config.js", SHOP))
    assert [(app["port"], app["port_env"]) for app in found.table["apps"].values()] == [
        (4100, "port"),
        (4101, "port"),
        (4102, "port"),
    ]
    assert found.table["upstreams"] == {"shop": {"apps": ["shop-1", "shop-2", "shop-3"]}}
    assert "sites" not in found.table
    assert (found.folder, found.source) == (str(folder), str(folder / "ecosystem.config.js"))
    for app in found.table["apps"].values():
        assert (app["watch"], app["ignore_watch"]) == (True, ["./logs", "node_modules"])
    assert found.notes == (
        "shop-1, shop-2, shop-3 run the same program and form the upstream shop",
    )


def test_a_site_in_front_of_them_shows_their_upstream(folder):
    found = read(write(folder, "ecosystem.config.js", SHOP), site="shop.localhost")
    assert found.table["sites"] == {"shop.localhost": {"upstream": "shop"}}


def test_an_app_gets_a_port_when_a_site_is_put_before_it(folder):
    path = write(folder, "ecosystem.config.js", "exports.apps = [{script: 'index.js'}]")
    assert apps(path)["index"]["port"] is False
    served = apps(path, site="a.localhost")["index"]
    assert not served.keys() & {"port", "replace_order"}
    assert (served["find_port"], served["port_fallback"]) == (True, True)
    python = write(folder, "ecosystem.config.js", "exports.apps = [{script: 'app.py'}]")
    assert "port_fallback" not in apps(python, site="a.localhost")["app"]


def test_an_app_on_a_port_that_nginx_needs_gets_another_with_a_site(folder):
    write(folder, "ecosystem.config.js", "exports.apps = [{script: 'index.js', port: 7080}]")
    edge = "ecosystem = 'ecosystem.config.js'\nedge = { http = 7080, https = 7443 }\n"
    assert apps(write(folder, "portico.toml", edge))["index"]["port"] == 7080
    site = edge + "sites.'a.localhost'.app = 'index'\n"
    served = apps(write(folder, "portico.toml", site))["index"]
    assert "port" not in served
    assert served["port_env"] == "PORT"


def test_a_site_shows_a_served_folder_itself(folder):
    entries = (
        "{script: 'serve', name: 'front', env: {PM2_SERVE_PATH: 'dist'}}, {script: 'index.js'}"
    )
    path = write(folder, "ecosystem.config.js", f"exports.apps = [{entries}]")
    assert apps(path).keys() == {"front", "index"}
    found = read(path, site="a.localhost=front").table
    assert found["sites"]["a.localhost"]["folder"]["path"] == "dist"
    assert found["apps"].keys() == {"index"}


def test_a_site_may_show_one_app_of_several(folder):
    path = write(folder, "ecosystem.config.js", SHOP)
    found = read(path, site="a.localhost=shop-2").table
    assert found["sites"] == {"a.localhost": {"app": "shop-2"}}


def test_a_file_sees_the_options_in_process_argv_as_under_pm2(folder):
    text = """
    const at = process.argv.indexOf('--env');
    const live = process.argv[at + 1] === 'production' && process.argv[2] === 'start';
    exports.apps = [{script: 'index.js', name: live ? 'live' : 'development'}];
    """
    path = write(folder, "ecosystem.config.js", text)
    assert apps(path, environment="production").keys() == {"live"}
    assert apps(path).keys() == {"development"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.config.js", "module.exports = {apps: [{name: 'a', script: 'index.js'}]}"),
        ("a.config.cjs", "exports.apps = {name: 'a', script: 'index.js'}"),
        ("a.config.mjs", "export default [{name: 'a', script: 'index.js'}]"),
        ("a.config.mjs", "export const apps = [{name: 'a', script: 'index.js'}]"),
        (
            "a.config.js",
            "exports.__esModule = true; exports.default = [{script: 'index.js', name: 'a'}]",
        ),
        ("a.json", '{"apps": [{"name": "a", "script": "index.js"}]}'),
        ("a.json", "{ // comments\n apps: [{name: 'a', script: 'index.js',}], }"),
        ("a.yaml", "apps:\n  - name: a\n    script: index.js\n"),
        ("a.yml", "- {name: a, script: index.js}\n"),
    ],
)
def test_every_language_of_pm2_is_read(folder, name, text):
    found = apps(write(folder, name, text))
    assert found["a"]["script"] == "index.js"
    assert len(found) == 1


def test_a_module_folder_is_no_obstacle(folder):
    write(folder, "package.json", '{"type": "module"}')
    path = write(folder, "a.config.js", "export default {apps: [{script: 'index.js'}]}")
    assert apps(path).keys() == {"index"}


def test_what_the_file_prints_and_leaves_running_does_no_harm(folder):
    text = """
    console.log(JSON.stringify({is: 'object', value: {}}));
    console.error('on standard error');
    process.stdout.write('x'.repeat(300000));
    setInterval(() => {}, 1000);
    require('node:net').createServer().listen(0);
    module.exports = {apps: [{script: 'index.js', env: {LONG: 'y'.repeat(200000)}}]};
    """
    found = apps(write(folder, "a.config.js", text))
    assert len(found["index"]["env"]["LONG"]) == 200000


def test_the_file_sees_the_environment_of_the_shell(folder):
    path = write(folder, "a.config.js", "exports.apps = [{script: 'i', args: [process.env.FROM]}]")
    found = read_file(path, {**os.environ, "FROM": "here"})
    assert found.table["apps"]["i"]["args"] == ["here"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("throw new Error('no such secret')", "Error: no such secret\n"),
        ("throw 'just text'", "just text"),
        ("module.exports = {apps: [", "SyntaxError"),
        ("module.exports = {apps: [{script: nothing}]}", "ReferenceError: nothing is not defined"),
        ("require('./nope')", "Cannot find module './nope'"),
        ("process.exit(3)", "ended Node with code 3 before it exported its apps"),
        ("process.kill(process.pid, 'SIGTERM')", "ended Node by signal 15"),
        ("module.exports = () => ({apps: []})", "exports a function"),
        ("module.exports = Promise.resolve({apps: []})", "exports a promise"),
        ("module.exports = 'text'", "exports text, not an object with apps"),
        ("module.exports = null", "exports null"),
        ("const a = {}; a.a = a; module.exports = a", "circular"),
        ("module.exports = {apps: [7]}", "apps[0]: must be an object that describes an app"),
    ],
)
def test_a_file_that_gives_no_apps_is_explained_in_nodes_words(folder, text, says):
    told = problem(write(folder, "a.config.js", text))
    assert says in told
    assert "[eval]" not in told
    assert "node:internal" not in told


def test_the_line_of_an_error_is_named(folder):
    told = problem(write(folder, "a.config.js", "\n\nthrow new Error('x')"))
    assert f"{folder}/a.config.js:3:7" in told


def test_a_file_that_never_ends_is_ended(folder):
    endless = write(folder, "a.config.js", "for (;;);")
    with pytest.raises(ConfigError, match="did not finish within 1 s"):
        evaluate(endless, os.environ, within=1)
    assert "await something that never resolves" in problem(
        write(folder, "a.config.mjs", "await new Promise(() => {});")
    )


def test_without_node_the_missing_program_is_named(folder):
    path = write(folder, "a.config.js", SHOP)
    with pytest.raises(ConfigError, match="node is not in PATH"):
        read_file(path, {"PATH": str(folder)})
    plain = write(folder, "a.json", '{"script": "index.js"}')
    assert read_file(plain, {"PATH": ""}).table["apps"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("portico.toml", "[apps.web\n", "line 1"),
        ("portico.toml", "a = 1\nb = \n", "line 2"),
        ("a.yaml", "apps: [1, 2\nb: {", "line 2"),
        ("a.json", "{'apps': ", "cannot be evaluated"),
        (
            "index.js",
            "process.exit()",
            'run it with a portico.toml: [apps.index] script = "index.js"',
        ),
        ("notes.txt", "hello", "has an unknown file type"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(folder, name, text, says):
    assert says in problem(write(folder, name, text))


def test_a_file_that_is_not_there_or_no_text_is_named(folder):
    assert "cannot be read: No such file" in problem(folder / "portico.toml")
    assert "has no portico.toml and no PM2 file" in problem(folder)
    (folder / "portico.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    assert problem(folder / "portico.toml") == "line 2: is not UTF-8 text"


def test_a_folder_is_searched_with_portico_toml_first(folder):
    texts = {".toml": "", ".mjs": "export default []", ".js": SHOP, ".cjs": SHOP}
    for name in reversed(NAMES):
        path = write(folder, name, "")
        path.write_text(texts.get(path.suffix, '{"script": "index.js"}'))
        assert read(folder).source == str(path)


def test_portico_toml_joins_a_pm2_file_and_wins_key_by_key(folder):
    write(folder, "ecosystem.config.js", SHOP)
    path = write(
        folder,
        "portico.toml",
        """
        ecosystem = "ecosystem.config.js"
        [sites."shop.localhost"]
        upstream = "shop"
        [upstreams.shop]
        balance = "least_conn"
        [apps.shop-1]
        weight = 5
        port = 4200
        [apps.shop-2]
        command = "node other.js"
        [apps.own]
        command = "node own.js"
        """,
    )
    found = read(path)
    table = found.table
    assert "ecosystem" not in table
    assert table["apps"].keys() == {"shop-1", "shop-2", "shop-3", "own"}
    first, second = table["apps"]["shop-1"], table["apps"]["shop-2"]
    assert (first["weight"], first["port"], first["port_env"]) == (5, 4200, "port")
    assert (second["command"], second["port"]) == ("node other.js", 4101)
    assert "script" not in second
    assert table["upstreams"]["shop"] == {
        "balance": "least_conn",
        "apps": ["shop-1", "shop-2", "shop-3"],
    }
    assert (first["watch"], second["watch"]) == (True, True)


def test_sites_of_portico_toml_give_ports_to_silent_apps(folder):
    write(
        folder,
        "a.config.js",
        "exports.apps = [{name: 'a', script: 'i'}, {name: 'b', script: 'j'}]",
    )
    path = write(
        folder, "portico.toml", 'ecosystem = "a.config.js"\n[sites."x.localhost"]\napp = "a"\n'
    )
    found = apps(path)
    assert "port" not in found["a"]
    assert found["b"]["port"] is False


def test_a_pm2_file_elsewhere_keeps_its_own_paths(folder):
    (folder / "deploy").mkdir()
    (folder / "deploy" / "main.js").touch()
    write(folder, "deploy/a.config.js", "exports.apps = [{script: 'main.js', out: 'out.log'}]")
    path = write(folder, "portico.toml", 'ecosystem = "deploy/a.config.js"')
    app = apps(path)["main"]
    assert app["cwd"] == str(folder / "deploy")
    assert app["logs"] == {"stdout": str(folder / "deploy/out.log")}


def test_paths_start_in_the_shells_folder_when_the_scripts_are_there(folder, monkeypatch):
    (folder / "deploy").mkdir()
    path = write(folder, "deploy/a.config.js", "exports.apps = [{script: 'index.js'}]")
    monkeypatch.chdir(folder)
    found = read(path)
    assert found.table["apps"]["index"]["cwd"] == str(folder)
    assert found.notes == (f"paths are relative to {folder}, where the scripts are",)
    (folder / "deploy" / "index.js").touch()
    assert "cwd" not in apps(path)["index"]


def test_a_script_is_looked_at_to_see_what_runs_it(folder):
    write(folder, "www", "#!/usr/bin/env node\n")
    write(folder, "run", "#!/bin/sh\n")
    (folder / "binary").symlink_to(sys.executable)
    scripts = "['www', 'run', 'binary', 'npm'].map((script) => ({script, name: script}))"
    found = apps(write(folder, "a.config.js", f"exports.apps = {scripts}"))
    assert [found[name].get("interpreter") for name in found] == ["node", None, None, None]


def test_a_file_in_a_release_names_its_folder_by_the_link_through_which_it_was_found(
    folder, monkeypatch
):
    release, current = folder / "releases/1", folder / "current"
    release.mkdir(parents=True)
    (release / "main.js").touch()
    current.symlink_to(release)
    text = "exports.apps = [{script: `${__dirname}/main.js`, cwd: __dirname, args: [__filename]}]"
    write(release, "ecosystem.config.js", text)
    monkeypatch.chdir(current)
    for environ, named in (({"PWD": str(current)}, current), ({"PWD": str(folder)}, release)):
        found = read_file(Path(), {**os.environ, **environ})
        assert found.folder == str(named)
        [app] = found.table["apps"].values()
        assert app["script"] == f"{named}/main.js"
        assert app["args"] == [f"{named}/ecosystem.config.js"]
