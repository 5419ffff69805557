"""Services of docker-compose and sites of greenlock, as programs of this machine."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from portico.core.config.document import read_document
from portico.errors import Failed
from portico.stack.reading.read import read_stack


def read(folder, text, **files):
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "compose.yaml").write_text(dedent(text))
    stack = read_stack([folder / "compose.yaml"], {})
    apps = {each.name: each.table for each in stack.programs}
    read_document({"apps": apps}, source="compose.yaml")
    return stack


def service(folder, text, **files):
    [program] = read(folder, f"services:\n  web:\n{text}", **files).programs
    return dict(program.table)


COMPOSE = """\
version: "3"
x-env: &env
  NODE_ENV: production
services:
  web:
    build: .
    command: node /app/server.js --name "a b"
    working_dir: /app
    volumes: ["./src:/app", "data:/data"]
    ports: ["127.0.0.1:8080:3000"]
    environment:
      <<: *env
      TOKEN: ${TOKEN:-x}
    depends_on: [db, jobs]
    deploy: {replicas: 3, resources: {limits: {memory: 512M}}}
    restart: unless-stopped
    stop_grace_period: 20s
  jobs:
    build: {context: ./jobs}
    command: ["sh", "-c", "echo $$HOME && ./run"]
    restart: on-failure:3
  db:
    image: postgres:16
volumes: {data: {}}
"""


def test_a_service_of_a_folder_is_an_app(tmp_path):
    stack = read(tmp_path, COMPOSE)
    web, jobs = stack.programs
    assert dict(web.table) == {
        "command": "node server.js --name 'a b'",
        "cwd": "src",
        "env": {"NODE_ENV": "production", "TOKEN": "x"},
        "port": 3000,
        "after": ["jobs"],
        "instances": 3,
        "max_memory": 512 << 20,
        "stop_timeout": "20s",
    }
    assert (web.ports, web.place.line, web.manager) == ((8080,), 5, "compose")
    assert dict(jobs.table) == {
        "command": ["sh", "-c", "echo $HOME && ./run"],
        "cwd": "jobs",
        "port": False,
        "stop_exit_codes": [0],
        "max_restarts": 3,
    }


def test_what_needs_a_container_is_listed_with_its_line(tmp_path):
    stack = read(tmp_path, COMPOSE)
    assert sorted((gap.place.line, gap.what) for gap in stack.gaps) == [
        (9, "volumes: data:/data"),
        (14, "depends_on: db"),
        (23, "image: postgres:16"),
        (24, "volumes"),
    ]


def test_a_dockerfile_says_what_a_service_runs(tmp_path):
    dockerfile = """\
FROM node AS build
CMD ["wrong"]
FROM node
WORKDIR /app
ENV PORT=4000 A="b c"
EXPOSE 4000
ENTRYPOINT ["node"]
CMD ["/app/server.js"]
"""
    table = service(tmp_path, "    build: .\n    restart: always\n", Dockerfile=dockerfile)
    assert table == {"command": "node server.js", "env": {"A": "b c"}, "port": 4000}


def test_variables_come_from_the_file_next_to_it(tmp_path):
    text = "    build: .\n    command: run -p ${PORT} $$A\n    restart: always\n"
    assert service(tmp_path, text, **{".env": "PORT=9000\n"}) == {
        "command": "run -p $PORT $A",
        "port": 9000,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [", "line 1: "),
        (b"- a\n", "it has no services"),
        (b"services: 3\n", "it has no services"),
        (b"a: &a [*a]\nservices: {}\n", "its aliases repeat too much"),
        (b"services: {a: 2001-02-30}\n", "cannot read"),
        (b"[" * 1000, "nested too deeply"),
        (b"a\0", "it is not a text file"),
    ],
)
def test_a_file_that_compose_refuses_is_refused_in_words(tmp_path, content, why):
    (tmp_path / "compose.yaml").write_bytes(content)
    with pytest.raises(Failed, match=why):
        read_stack([tmp_path / "compose.yaml"], {})


@pytest.mark.parametrize("value", ["null", "text", "[1]", "{command: 3}", "{build: [1]}"])
def test_a_service_of_another_type_is_a_gap(tmp_path, value):
    stack = read(tmp_path, f"services:\n  web: {value}\n")
    assert len(stack.gaps) == 1


def test_aliases_that_multiply_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (tmp_path / "compose.yaml").write_text("\n".join(lines))
    with pytest.raises(Failed, match="aliases"):
        read_stack([tmp_path / "compose.yaml"], {})


GREENLOCK = {
    "defaults": {
        "store": {"module": "greenlock-store-fs"},
        "challenges": {"http-01": {"module": "acme-http-01-standalone"}},
        "renewOffset": "-45d",
        "serverKeyType": "RSA-2048",
        "subscriberEmail": "ops@a.test",
    },
    "sites": [
        {"subject": "a.test", "altnames": ["a.test", "www.a.test"], "renewAt": 1},
        {"subject": "b.test", "challenges": {"dns-01": {"module": "x"}}},
    ],
}
SERVER = 'require("greenlock-express").init({maintainerEmail: "me@a.test"}).serve(app)'


def greenlock(folder, config=GREENLOCK, *, package=True, **files):
    (folder / "greenlock.d").mkdir()
    (folder / "greenlock.d/config.json").write_text(json.dumps(config))
    if package:
        (folder / "package.json").write_text('{"scripts": {"start": "node server.js"}}')
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_sites_of_greenlock_are_sites_of_the_program_that_serves_them(tmp_path):
    stack = read_stack([greenlock(tmp_path) / "greenlock.d/config.json"], {})
    [program] = stack.programs
    assert (dict(program.table), program.ports) == ({"command": "node server.js"}, (80, 443))
    first, second = stack.sites
    tls = {"email": "ops@a.test", "key_type": "rsa2048"}
    assert first.table == {
        "app": {"address": "localhost:443"},
        "aliases": ["www.a.test"],
        "tls": tls,
    }
    assert second.name == "b.test"
    assert "let it serve HTTP on process.env.PORT" in stack.gaps[-1].why
    assert any("dns-01" in gap.what for gap in stack.gaps)


@pytest.mark.parametrize("name", ["server.js", ".greenlockrc"])
def test_greenlock_is_also_found_by_its_program_and_its_rc_file(tmp_path, name):
    greenlock(tmp_path, **{"server.js": SERVER, ".greenlockrc": '{"configDir": "./greenlock.d"}'})
    stack = read_stack([tmp_path / name], {})
    assert [each.name for each in stack.sites] == ["a.test", "b.test"]
    assert stack.sites[0].table["tls"]["email"] == "me@a.test"
    assert stack.programs[0].table == {"command": "node server.js"}


def test_sites_without_a_program_are_gaps(tmp_path):
    stack = read_stack([greenlock(tmp_path, package=False) / "greenlock.d/config.json"], {})
    assert (stack.sites, stack.programs) == ((), ())
    assert "no package.json" in stack.gaps[0].why


@pytest.mark.parametrize("config", [[], {}, {"sites": 3}, "x"])
def test_a_configuration_of_another_type_is_refused(tmp_path, config):
    with pytest.raises(Failed, match="cannot read"):
        read_stack([greenlock(tmp_path, config) / "greenlock.d/config.json"], {})
