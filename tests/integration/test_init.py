"""`portico init`, whose file is brought up as it is."""

from __future__ import annotations

import sys

import pytest

FILES = {
    "api/main.py": "from starlette.applications import Starlette\n"
    "from starlette.responses import PlainTextResponse\n"
    "from starlette.routing import Route\n"
    "async def hello(request):\n    return PlainTextResponse('of starlette')\n"
    "app = Starlette(routes=[Route('/', hello)])\n",
    "shop/package.json": '{"scripts": {"start": "node server.js"}}',
    "shop/server.js": "require('node:http').createServer((_, answer) => answer.end('of node'))\n"
    ".listen(process.env.PORT);\n",
    "pages/index.html": "of a folder",
}


@pytest.fixture
def stack(network, stack):
    """Files that name no port get 80 and 443."""
    stack.network = network
    return stack


def test_programs_and_pages_of_a_folder_answer_with_the_file_that_init_writes(stack):
    for name, text in FILES.items():
        path = stack.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    environment = stack.folder / "api/.venv/bin"
    environment.mkdir(parents=True)
    (environment / "uvicorn").symlink_to(f"{sys.prefix}/bin/uvicorn")

    written = stack.done("init").stdout
    assert "shop: node server.js (from shop/scripts.start of package.json)" in written
    assert "next: portico up" in written
    file = (stack.folder / "portico.toml").read_text()
    assert "ok: " in stack.done("check").stdout
    stack.up(file)
    sites = ("api.localhost", "shop.localhost", "pages.localhost")
    answers = {name: stack.get(name).body for name in sites}
    assert list(answers.values()) == [b"of starlette", b"of node", b"of a folder"]
