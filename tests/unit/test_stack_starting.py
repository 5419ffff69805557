"""The first portico.toml of a folder, by what is in it."""

from __future__ import annotations

import json
import sys
import tomllib

import pytest

from portico.cli.main import run
from portico.core.config.document import read_document
from portico.errors import Failed, Refused
from portico.stack.starting.detection import starts
from portico.stack.starting.first_file import first_file, write_first_file


def written(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        if text == "":
            path.chmod(0o755)
    return folder


def table(folder, domain=""):
    """What is written, which `portico check` would accept."""
    found = tomllib.loads(first_file(starts(folder), folder, domain))
    read_document(found, source="portico.toml")
    return found


LISTENS = "http.createServer(f).listen("
PORT_3000 = f"{LISTENS}3000)"
ON_PORT = f"{LISTENS}process.env.PORT)"
FIXED = {"find_port": True, "port_fallback": True}
UVICORN = "uvicorn {} --host $HOST --port $PORT"
DJANGO = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'

APPS = {
    "start of node": (
        {"package.json": {"scripts": {"start": "node server.js"}}, "server.js": ON_PORT},
        {"command": "node server.js"},
    ),
    "start with a shell": (
        {"package.json": {"scripts": {"start": "npx tsc && node a.js"}}},
        {"command": ["/bin/sh", "-c", "npx tsc && node a.js"]},
    ),
    "start through npm": (
        {"package.json": {"scripts": {"start": "npm run serve"}}, "yarn.lock": "#"},
        {"command": "yarn start"},
    ),
    "next": (
        {"package.json": {"scripts": {"start": "next start", "build": "next build"}}},
        {"command": "next start"},
    ),
    "main": (
        {"package.json": {"main": "lib/a b.js"}, "lib/a b.js": ON_PORT},
        {"command": "node 'lib/a b.js'"},
    ),
    "a server.js alone": ({"server.js": ON_PORT}, {"command": "node server.js"}),
    "a fixed port": ({"index.js": PORT_3000}, {"command": "node index.js", **FIXED}),
    "another variable": (
        {"index.js": f"{LISTENS}process.env.port)"},
        {"command": "node index.js", "port_env": "port"},
    ),
    "bun": (
        {"package.json": {"main": "index.js"}, "bun.lock": "#", "index.js": "Bun.serve({})"},
        {"command": "bun index.js"},
    ),
    "deno task": (
        {"deno.json": {"tasks": {"start": "deno run a.ts"}}},
        {"command": "deno task start"},
    ),
    "deno serve": (
        {"deno.json": {}, "main.ts": "export default { fetch() {} }"},
        {"command": "deno serve --host $HOST --port $PORT main.ts"},
    ),
    "fastapi": (
        {"pyproject.toml": "", "main.py": "app = FastAPI()\n"},
        {"command": UVICORN.format("main:app")},
    ),
    "fastapi in a package": (
        {"setup.py": "#", "src/shop/api.py": "web: object = fastapi.FastAPI(\n)\n"},
        {"command": UVICORN.format("shop.api:web"), "env": {"PYTHONPATH": "src"}},
    ),
    "starlette in its environment": (
        {"app/__init__.py": "app = Starlette(routes=[])", ".venv/bin/uvicorn": ""},
        {"command": f".venv/bin/{UVICORN.format('app:app')}"},
    ),
    "flask": (
        {"requirements.txt": "flask\ngunicorn\n", "app.py": "app = Flask(__name__)\n"},
        {"command": "gunicorn app:app --bind $HOST:$PORT"},
    ),
    "a factory of flask": (
        {"requirements.txt": "gunicorn", "shop.py": "import Flask\ndef create_app():\n"},
        {"command": "gunicorn 'shop:create_app()' --bind $HOST:$PORT"},
    ),
    "flask without gunicorn": (
        {"app.py": "server = Flask(__name__)\n"},
        {"command": "flask --app app:server run --host $HOST --port $PORT"},
    ),
    "django": (
        {"manage.py": DJANGO, "requirements.txt": "django\ngunicorn"},
        {"command": "gunicorn shop.wsgi --bind $HOST:$PORT"},
    ),
    "django without gunicorn": (
        {"manage.py": DJANGO, "venv/bin/python": ""},
        {"command": "venv/bin/python manage.py runserver --noreload $HOST:$PORT"},
    ),
    "a script of python": (
        {"main.py": 'HTTPServer(("", 8000), H).serve_forever()'},
        {"command": "python3 main.py", "find_port": True},
    ),
    "rails": (
        {"Gemfile": 'gem "rails"\ngem "puma"\n', "package.json": {"name": "assets"}},
        {"command": "bundle exec puma -b tcp://$HOST:$PORT"},
    ),
    "rack": (
        {"Gemfile": "gem 'sinatra'\n", "config.ru": "run App"},
        {"command": "bundle exec rackup -o $HOST -p $PORT"},
    ),
    "go": (
        {"go.mod": "module example.com/shop\n", "main.go": "package main\n"},
        {"command": "./shop"},
    ),
    "go in cmd": (
        {"go.mod": "module a\n", "cmd/web/main.go": "package main\n"},
        {"command": "./web"},
    ),
    "rust": (
        {"Cargo.toml": '[package]\nname = "shop"\n', "src/main.rs": "fn main() {}"},
        {"command": "./target/release/shop"},
    ),
    "an image": (
        {"Dockerfile": 'EXPOSE 8080\nENTRYPOINT ["/app/run"]\nCMD ["--quiet", \\\n "-v"]\n'},
        {"command": "/app/run --quiet -v", "port": 8080},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "app"), APPS.values(), ids=APPS)
def test_a_program_is_started_as_its_folder_says(tmp_path, files, app):
    found = table(written(tmp_path / "shop", files))
    assert found == {"apps": {"web": app}, "sites": {"shop.localhost": {"app": "web"}}}


@pytest.mark.parametrize(
    ("files", "folder", "first"),
    [
        ({"index.html": "a"}, ".", ()),
        ({"public/index.html": "a"}, "public", ()),
        (
            {"package.json": {"scripts": {"build": "vite build"}, "dependencies": {"vite": "1"}}},
            {"path": "dist", "spa": True},
            ("npm install", "npm run build"),
        ),
    ],
)  # fmt: skip
def test_static_files_are_a_site_without_an_app(tmp_path, files, folder, first):
    shop = written(tmp_path / "shop", files)
    assert table(shop) == {"sites": {"shop.localhost": {"folder": folder}}}
    assert starts(shop)[0].first == first


def test_lines_of_a_procfile_are_apps_and_web_has_the_site(tmp_path):
    lines = "web: node web.js\nworker: node jobs.js\nadmin: node a.js -p $PORT\n"
    found = table(written(tmp_path, {"Procfile": lines, "package.json": {}}), "example.com")
    assert found["apps"]["worker"] == {"command": "node jobs.js", "port": False}
    assert found["sites"] == {
        "example.com": {"app": "web"},
        "admin.example.com": {"app": "admin"},
    }


def test_programs_and_pages_in_folders_of_a_folder_have_a_site_each(tmp_path):
    files = {"api/server.js": ON_PORT, "front/index.html": "a", "notes/a.txt": "b"}
    assert table(written(tmp_path, files)) == {
        "apps": {"api": {"command": "node server.js", "cwd": "api"}},
        "sites": {"api.localhost": {"app": "api"}, "front.localhost": {"folder": "front"}},
    }


def test_what_is_not_built_or_installed_yet_is_named(tmp_path):
    files = {"package.json": {"main": "a.js", "dependencies": {"express": "4"}}, "a.js": ON_PORT}
    assert starts(written(tmp_path / "node", files))[0].first == ("npm install",)
    go = {"go.mod": "module a/shop\n", "cmd/web/main.go": "package main\n"}
    assert starts(written(tmp_path / "go", go))[0].first == ("go build -o web ./cmd/web",)
    assert starts(written(tmp_path / "go", {"web": ""}))[0].first == ()
    flask = {"requirements.txt": "fastapi", "a.py": "app = FastAPI()"}
    assert starts(written(tmp_path / "python", flask))[0].first == (
        "python3 -m venv .venv",
        ".venv/bin/pip install -r requirements.txt uvicorn",
    )


@pytest.mark.parametrize("name", ["portico.toml", "ecosystem.config.js"])
def test_a_file_that_up_reads_is_never_written_over(tmp_path, name):
    written(tmp_path, {name: "mine"})
    with pytest.raises(Refused, match=r"exists; nothing was changed"):
        write_first_file("", tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "portico.toml").symlink_to("elsewhere")
    with pytest.raises(Refused, match=r"exists; nothing was changed"):
        write_first_file("", tmp_path)


def test_a_folder_in_which_nothing_starts_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(Refused, match=r"nothing in .* says how a program starts"):
        starts(written(tmp_path, {"notes.txt": "x", "package.json": {"name": "x"}}))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("package.json", b"{", r"package.json: Expecting property name"),
        ("package.json", b"\xff\xfe", "line 1 is not UTF-8 text"),
        ("package.json", b'{"scripts": {"start": "node \'a.js"}}', "unclosed quote"),
        ("package.json", b"[" * 100_000, "package.json: "),
        ("Procfile", b"web: a\0", "it is not a text file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Failed, match=why):
        starts(tmp_path)


@pytest.mark.parametrize("package", [[], {"scripts": []}, {"scripts": {"start": 1}, "main": 2}])
def test_values_of_another_type_are_as_if_they_were_not_there(tmp_path, package):
    files = {"package.json": package, "index.js": ON_PORT}
    [start] = starts(written(tmp_path, files))
    assert start.source == "index.js"


def test_the_command_says_what_it_took_from_where_and_what_follows(tmp_path, capsys):
    shop = written(tmp_path / "my shop", {"server.js": ON_PORT})
    assert run(["init", str(shop), "--domain", "Example.com"], {}, sys.stdout, sys.stderr) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"wrote {shop}/portico.toml",
        "  web: node server.js (from server.js), for example.com",
        f"next: portico up '{shop}'",
    ]
    assert "add [tls] with your email" in err
    assert run(["init", str(shop)], {}, sys.stdout, sys.stderr) == 2
    assert run(["init", str(shop), "--domain", "a b"], {}, sys.stdout, sys.stderr) == 2
    assert run(["init", f"{shop}/nowhere"], {}, sys.stdout, sys.stderr) == 2
    assert capsys.readouterr().err.count("nothing was changed") == 3
