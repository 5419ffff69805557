"""Files below a folder that another user can write: root touches them with his rights."""

from __future__ import annotations

import asyncio
import grp
import os
import shutil
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from portico.adapters.files.watcher import NotifiedFiles
from portico.adapters.logs import rotation
from portico.adapters.logs.files import FileLogs
from portico.adapters.nginx.processes import group_of, processes_in
from portico.adapters.processes.start import links_of
from portico.cli.tail import Tail
from portico.core.model.watched import WatchSettings
from portico.errors import Failed, Refused
from portico.importers.certbot_bridge import CertbotBridge
from portico.system.account import account_of
from portico.system.rights import acting_as, folder_of, open_file
from tests.instances import Exits, launch, supervised
from tests.waiting import eventually

SECRET = "ANSWER=42\n"
SWAPS = """
import ctypes, os, sys, time
os.chdir(sys.argv[1])
print("begun", flush=True)
swap, exchange, here = ctypes.CDLL(None).renameat2, 2, -100
while not any(swap(here, b"log", here, b"trap", exchange) for _ in range(201)):
    time.sleep(0.0005)
"""
"""Exchanges two names as fast as it can; in each second pause they are where they should be."""


@pytest.fixture
def ground(neighbour) -> Iterator[SimpleNamespace]:
    """A folder that everybody may enter, in it one of his, and one that is root's alone."""
    root = Path(tempfile.mkdtemp(prefix="portico-", dir="/tmp"))
    root.chmod(0o755)
    his, private = root / "his", root / "private"
    his.mkdir()
    os.chown(his, neighbour.uid, neighbour.gid)
    private.mkdir(mode=0o700)
    (private / "inner").mkdir()
    for secret in (private / "secret", private / "out.log"):
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
    before = state(private)
    yield SimpleNamespace(root=root, his=his, private=private, user=neighbour.name)
    after = state(private)
    shutil.rmtree(root)
    assert after == before, "what is root's alone was touched"


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Who owns what is in it, and what was done to it; a file's times count too."""
    paths = [folder, *sorted(folder.rglob("*"))]
    seen = {str(path.relative_to(folder)): path.lstat() for path in paths}
    return {
        name: (each.st_uid, each.st_gid, each.st_mode, each.st_size, each.st_mtime_ns)
        for name, each in seen.items()
    }


def link(place: Path, target: Path | str, like: Path) -> None:
    place.symlink_to(target)
    owner = like.stat()
    os.chown(place, owner.st_uid, owner.st_gid, follow_symlinks=False)


def start(ground, **app) -> str:
    """Start a program of his that prints; returns why it could not be, or nothing."""

    async def scenario() -> str:
        given = {"command": ("sh", "-c", "pwd; env"), "user": ground.user} | app
        asked = launch(ground.his, **given)
        async with supervised(ground.root) as processes:
            exits = Exits()
            try:
                await processes.spawn(asked, exits)
            except Failed as error:
                return str(error)
            await exits.first()
            return ""

    return asyncio.run(scenario())


def rotate(ground, path: Path) -> str | None:
    spec = launch(ground.his, command="true", user=ground.user).spec
    logs = FileLogs(ground.root / "logs")
    return asyncio.run(logs.rotate(spec, str(path), 4, 3))


def test_a_log_file_below_a_folder_of_his_is_made_with_his_rights(ground, neighbour):
    assert start(ground, command="true", logs={"stdout": "log/new/out.log"}) == ""
    for path in ("log", "log/new", "log/new/out.log"):
        assert (ground.his / path).stat().st_uid == neighbour.uid


def test_a_link_in_place_of_the_log_folder_leads_root_nowhere(ground):
    link(ground.his / "log", ground.private, ground.his)
    for name in ("log/out.log", "log/inner/new.log"):
        why = start(ground, command="true", logs={"stdout": name})
        assert f"cannot write log file {ground.his}/{name}: " in why
        assert why.endswith(f"is not writable for {ground.user}")
        why = start(ground, command="true", user=None, logs={"stdout": name})
        assert why.endswith("is not writable for the owner of its folder")
    assert (
        rotate(ground, ground.his / "log/out.log") == "Permission denied; the file keeps growing"
    )


def test_what_such_a_link_leads_to_is_not_shown(ground):
    link(ground.his / "log", ground.private, ground.his)
    spec = launch(
        ground.his, command="true", user=ground.user, logs={"stdout": "log/out.log"}
    ).spec
    logs = FileLogs(ground.root / "logs")
    assert asyncio.run(logs.last_lines(spec, 1, 5)) == []
    for account in (account_of(ground.user, None), account_of(None, None)):
        with pytest.raises(PermissionError):
            Tail(ground.his / "log/out.log", lines=5, account=account)


def test_no_moment_lets_a_link_in_while_files_are_opened_and_rotated(ground, neighbour):
    (ground.his / "log").mkdir()
    os.chown(ground.his / "log", neighbour.uid, neighbour.gid)
    link(ground.his / "trap", ground.private, ground.his)
    swapper = neighbour.start_python(SWAPS, str(ground.his))
    assert swapper.stdout.readline() == "begun\n"
    path, account, done, tries = ground.his / "log/out.log", account_of(ground.user, None), 0, 0
    deadline = time.monotonic() + 240
    while done <= 10 or tries < 300:
        assert time.monotonic() < deadline, f"{done} of {tries} came to their end"
        tries += 1
        try:
            with folder_of(path, account, make=True) as (folder, name):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
                file = os.open(name, flags, 0o640, dir_fd=folder)
            os.write(file, b"x" * 9 + b"\n")
            os.close(file)
            done += 1
        except OSError:
            pass
        rotation.rotate(path, 4, 3, account)
    assert swapper.poll() is None
    swapper.kill()
    swapper.wait(60)


def test_an_env_file_of_his_gives_him_nothing_that_he_could_not_read(ground):
    link(ground.his / "env", ground.private / "secret", ground.his)
    why = start(ground, env_file="env")
    said = f"cannot read env_file {ground.his}/env: Permission denied for {ground.user}"
    assert why.endswith(said)
    link(ground.his / "folder", ground.private, ground.his)
    assert "Permission denied" in start(ground, env_file="folder/secret")


def test_roots_own_files_and_links_are_read_as_ever(ground):
    (ground.root / "etc").symlink_to("private")
    (ground.his / "own.env").write_text("OWN=1\n")
    (ground.root / "current.env").symlink_to(ground.his / "own.env")
    files = tuple(str(ground.root / name) for name in ("etc/secret", "current.env"))
    assert start(ground, env_file=files, logs={"stdout": "shown"}) == ""
    assert {"ANSWER=42", "OWN=1"} <= {*(ground.his / "shown").read_text().splitlines()}


def test_a_working_folder_may_be_a_link_but_only_to_where_he_may_go(ground):
    (ground.his / "release").mkdir()
    link(ground.his / "current", "release", ground.his)
    assert start(ground, cwd="current", logs={"stdout": f"{ground.his}/shown"}) == ""
    assert (ground.his / "shown").read_text().startswith(f"{ground.his}/release\n")
    link(ground.his / "inner", ground.private / "inner", ground.his)
    assert "Permission denied" in start(ground, cwd="inner")


def test_a_link_of_his_to_a_folder_of_roots_opens_none_of_its_files(ground):
    (ground.his / "release").mkdir()
    link(ground.his / "own", "release", ground.his)
    link(ground.his / "roots", ground.private, ground.his)
    (ground.root / "release").mkdir()
    (ground.root / "made-by-root").symlink_to("release")

    def links(folder: Path) -> dict[str, str]:
        app = {"command": "true", "user": ground.user, "cwd": str(folder)}
        return links_of(launch(ground.his, **app).spec)

    assert links(ground.his / "own") == {f"{ground.his}/own": f"{ground.his}/release"}
    made_by_root = ground.root / "made-by-root"
    assert links(made_by_root) == {str(made_by_root): f"{ground.root}/release"}
    assert links(ground.his / "roots") == {}
    app = {"cwd": "roots", "env_file": "roots/secret", "logs": {"stdout": f"{ground.his}/shown"}}
    assert "cannot read env_file" in start(ground, **app)


def test_in_a_folder_for_everybody_a_link_counts_for_who_made_it(ground, neighbour):
    shared = ground.root / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link(shared / "out.log", ground.private / "out.log", ground.his)
    link(shared / "log", ground.private, ground.his)
    for path in (shared / "out.log", shared / "log/out.log"):
        with pytest.raises(PermissionError):
            open_file(path)
    (shared / "roots").mkdir()
    with folder_of(shared / "roots/new.log", account_of(ground.user, None)) as (folder, name):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder))
    assert (shared / "roots/new.log").stat().st_uid == 0


def test_files_of_others_are_not_watched_through_a_link_of_his(ground):
    closed, own = ground.root / "closed", ground.his / "own"
    closed.mkdir(mode=0o700)
    own.mkdir()
    link(ground.his / "src", closed, ground.his)
    watched = WatchSettings(str(ground.his), (str(ground.his / "src"), str(own)), user=ground.user)

    async def scenario() -> None:
        files = NotifiedFiles()

        async def changed() -> str:
            return (await files.look({"web": watched}))["web"].changed

        assert await changed() == ""
        (closed / "changed").touch()
        (own / "changed").touch()
        seen = []
        async with asyncio.timeout(60):
            while str(own / "changed") not in seen:
                seen.append(await changed())
        assert {*seen} <= {"", str(own / "changed")}

    asyncio.run(scenario())


def test_certificates_are_moved_to_and_from_folders_of_roots_only(ground):
    others = CertbotBridge(None, None, ground.root)
    link(ground.root / "linked", ground.his, ground.root)
    for folder in (ground.his, ground.his / "new", ground.root / "linked/new"):
        for move in (others.give(str(folder), []), others.take(str(folder), None)):
            with pytest.raises(Refused, match=f"{ground.user} can change it"):
                asyncio.run(move)
    assert asyncio.run(others.give(str(ground.root / "new"), [])) == {}


def test_the_rights_of_a_user_are_those_of_one_thread_for_a_moment(ground):
    secret, groups = ground.private / "secret", os.getgroups()
    with ThreadPoolExecutor(1) as other:
        other.submit(int).result(10)  # begins the thread, which would take on what ours has
        with acting_as(account_of(ground.user, None)):
            with pytest.raises(PermissionError):
                secret.read_text()
            with pytest.raises(PermissionError):
                os.chown(ground.his, 0, 0)
            assert other.submit(secret.read_text).result(10) == SECRET
    assert secret.read_text() == SECRET
    assert os.getgroups() == groups


SITES = """
[sites."static.localhost"]
folder = "{his}/public"

[sites."secret.localhost"]
folder = "{root}/page"
basic_auth = {{ users = {{ ann = "{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=" }} }}
"""
READABLE = """
import os, sys
for top in sys.argv[1:]:
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
    for path in [top, *paths]:
        if os.path.isfile(path) and os.access(path, os.R_OK):
            print(path)
"""


@pytest.fixture
def public(ground, neighbour) -> Path:
    """A static folder of his."""
    folder = ground.his / "public"
    folder.mkdir()
    (folder / "index.html").write_text("his page")
    for path in (folder, folder / "index.html"):
        os.chown(path, neighbour.uid, neighbour.gid)
    (ground.root / "page").mkdir()
    (ground.root / "page/index.html").write_text("root's page")
    return folder


def test_nginx_keeps_passwords_and_logs_to_itself(stack, ground, public, neighbour):
    file = str(stack.folder / "portico.toml")
    stack.give(AWS_SECRET_ACCESS_KEY="hush-hush")
    ground.his.chmod(0o750)
    stack.write(SITES.format(his=ground.his, root=ground.root))
    closed = f"nginx's workers (portico-nginx) may not enter {ground.his}, so requests fail"
    for command in ("up", "check"):
        done = stack.done(command, file)
        assert closed in done.stdout + done.stderr

    group = grp.getgrnam("portico-nginx").gr_gid
    workers = [each for each in processes_in(stack.home / "nginx") if each.is_worker]
    assert {group_of(worker) for worker in workers} == {group}
    generation = (stack.home / "nginx/current").resolve()
    (passwords,) = generation.glob("htpasswd-*")
    for path in generation.iterdir():
        shared = path == passwords
        assert path.stat().st_mode & 0o777 == (0o640 if shared else 0o600)
        assert path.stat().st_gid == (group if shared else 0)
    assert stack.get("secret.localhost").status == 401
    password = {"Authorization": f"Basic {b64encode(b'ann:secret').decode()}"}
    assert stack.get("secret.localhost", **password).body == b"root's page"

    log = stack.home / "logs/sites/secret.localhost.access.log"
    wanted = (stack.home, *generation.iterdir(), log, stack.home / "in-force.json")
    readable = neighbour.python(READABLE, *map(str, wanted)).stdout.splitlines()
    assert {Path(path).name for path in readable} <= {"process-send.cjs"}
    files = [path for path in stack.home.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"hush-hush" in path.read_bytes()] == []

    (public / "lines.conf").touch()
    (ground.root / "lines.conf").symlink_to(public / "lines.conf")
    lines = f'[sites."a.localhost"]\nfolder = "/tmp"\ninclude = "{ground.root}/lines.conf"'
    said = stack.portico("check", str(stack.write(lines)))
    assert said.returncode != 0
    assert f"is read by root, but {ground.user} can change it" in said.stdout + said.stderr

    eventually(lambda: any(closed in each for each in stack.status()["troubles"]))
    ground.his.chmod(0o755)
    assert stack.get("static.localhost").body == b"his page"
    current = stack.home / "nginx/current"
    secrets = (current / "nginx.conf", current / "htpasswd-secret.localhost", log)
    for number, path in enumerate(secrets):
        link(public / str(number), path, ground.his)
        assert stack.get("static.localhost", f"/{number}").status in {403, 404}
