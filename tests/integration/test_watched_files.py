"""An app with `watch` follows its files: first the kernel's word for it, then a whole Portico."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from portico.adapters.files.watched_folders import watched_folders
from portico.adapters.files.watcher import NotifiedFiles
from portico.core.model.watched import WatchResult, WatchSettings
from tests.stack import Stack
from tests.waiting import eventually

PROGRAM = """
import os, socket, sys, threading, time

words = open("words.txt").read()
if words == "broken":
    sys.exit("these words are broken")

def answer(connection):
    with connection:
        if connection.recv(65536):
            head = f"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: {len(words)}"
            connection.sendall(f"{head}\\r\\n\\r\\n{words}".encode())

time.sleep(1)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=100)
while True:
    threading.Thread(target=answer, args=(server.accept()[0],)).start()
"""


class Watch:
    def __init__(self, folder: Path, *roots: str, ignored: tuple[str, ...] = ()) -> None:
        self.files = NotifiedFiles()
        paths = tuple(str(folder / root) for root in roots) or (str(folder),)
        self.watched = WatchSettings(str(folder), paths, ignored)
        self.look()

    def look(self) -> WatchResult:
        return asyncio.run(self.files.look({"web": self.watched}))["web"]

    def sees(self, path: Path) -> None:
        """Whether this is what is said next to have changed; and then all is still."""
        assert eventually(lambda: self.look().changed) == str(path)
        self.rests()

    def rests(self) -> None:
        eventually(lambda: not self.look().changed)

    def close(self) -> None:
        asyncio.run(self.files.look({}))


def test_a_folder_whose_name_is_not_utf_8_is_said_and_all_others_are_watched(tmp_path):
    (tmp_path / "caf\udce9").mkdir()
    watch = Watch(tmp_path)
    assert "caf\ufffd is not UTF-8" in watch.look().trouble
    (tmp_path / "a").touch()
    watch.sees(tmp_path / "a")
    watch.close()


def test_what_is_made_changed_and_removed_is_seen_at_any_depth(tmp_path):
    watch = Watch(tmp_path)
    (tmp_path / "lib").mkdir()
    watch.sees(tmp_path / "lib")
    file = tmp_path / "lib/a.js"
    file.write_text("1")
    watch.sees(file)
    file.write_text("2")
    watch.sees(file)
    file.unlink()
    watch.sees(file)
    watch.close()


def test_folders_that_come_together_or_are_moved_are_watched_too(tmp_path):
    watch = Watch(tmp_path)
    (tmp_path / "a/b/c").mkdir(parents=True)
    watch.sees(tmp_path / "a")
    (tmp_path / "a/b/c/1.js").touch()
    watch.sees(tmp_path / "a/b/c/1.js")
    (tmp_path / "a").rename(tmp_path / "z")
    watch.sees(tmp_path / "a")
    (tmp_path / "z/b/c/1.js").unlink()
    watch.sees(tmp_path / "z/b/c/1.js")
    watch.close()


def test_links_in_what_is_watched_are_not_followed(tmp_path):
    watched, elsewhere = tmp_path / "web", tmp_path / "elsewhere"
    for folder in (watched, elsewhere):
        folder.mkdir()
    (watched / "circle").symlink_to(watched)
    (watched / "link").symlink_to(elsewhere)
    watch = Watch(watched)
    (elsewhere / "a.js").touch()
    (watched / "b.js").touch()
    watch.sees(watched / "b.js")
    watch.close()


def test_what_is_ignored_is_not_seen(tmp_path):
    (tmp_path / "vendor/x").mkdir(parents=True)
    watch = Watch(tmp_path, ignored=("*.map", "vendor"))
    assert watched_folders(watch.watched, [str(tmp_path)]) == [
        str(tmp_path)
    ]  # nor does it cost a watch
    (tmp_path / "node_modules/x").mkdir(parents=True)
    (tmp_path / "node_modules/x/index.js").touch()
    (tmp_path / "a.js.map").touch()
    (tmp_path / "a.js").touch()
    watch.sees(tmp_path / "a.js")
    watch.close()


def test_a_file_that_an_editor_replaces_stays_watched(tmp_path):
    file, new = tmp_path / "a.js", tmp_path / "new"
    file.write_text("1")
    watch = Watch(tmp_path, "a.js")
    for text in "234":
        new.write_text(text)
        new.rename(file)
        watch.sees(file)
    file.write_text("5")
    watch.sees(file)
    watch.close()


def test_a_folder_that_is_missing_is_said_and_watched_when_it_comes(tmp_path):
    build = tmp_path / "build"
    watch = Watch(tmp_path, "build")
    for _ in range(2):
        assert watch.look() == WatchResult(trouble=f"{build} does not exist")
        build.mkdir()
        watch.sees(build)
        (build / "a.js").touch()
        watch.sees(build / "a.js")
        assert watch.look().trouble == ""
        (build / "a.js").unlink()
        build.rmdir()
        eventually(lambda: watch.look().trouble and not watch.look().changed)
    watch.close()


def test_a_link_that_points_to_another_release_is_a_change(tmp_path):
    for release in "12":
        (tmp_path / release).mkdir()
    current, new = tmp_path / "current", tmp_path / "new"
    current.symlink_to("1")
    watch = Watch(tmp_path, "current")
    new.symlink_to("2")
    new.rename(current)
    watch.sees(current)
    (tmp_path / "2/a.js").touch()
    watch.sees(current / "a.js")
    watch.close()


def test_what_cannot_be_watched_is_said_and_tried_again(tmp_path):
    files, wanted = NotifiedFiles(), {"web": WatchSettings(str(tmp_path), (str(tmp_path),))}
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def looks() -> None:
        for what in (wanted, {}):  # what it takes is loaded from now on
            await files.look(what)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        try:
            first = (await files.look(wanted))["web"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
        assert "Too many open files" in first.trouble
        while (found := (await files.look(wanted))["web"]).trouble:
            assert not found.changed
        assert found.changed == str(tmp_path)  # it may have, meanwhile
        await files.look({})

    asyncio.run(looks())


def app(stack: Stack, keys: str) -> None:
    program = stack.folder / "server.py"
    if not program.exists():  # an instance that starts just now would find it empty
        program.write_text(PROGRAM)
    stack.up(
        f"[apps.web]\nscript = 'server.py'\ninterpreter = 'python3'\n{keys}\n"
        "[sites.'app.localhost']\napp = 'web'\n"
    )


def watches(stack: Stack) -> bool:
    """Whether the daemon has loaded what watching takes."""
    pid = stack.status()["daemon"]["pid"]
    return "_rust_notify" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.slow
def test_changes_of_files_are_rolled_out_and_no_request_is_lost(stack):
    words = stack.folder / "words.txt"
    words.write_text("one")
    app(stack, "watch = true\ninstances = 2\nstop_timeout = 1")

    def served() -> str:
        return stack.get("app.localhost").body.decode()

    def settled() -> bool:
        apps = stack.status()["apps"]
        return apps[0]["state"] == "ready" and len(apps[0]["instances"]) == 2

    def only_the_revert() -> list[str]:
        """The trouble that stays, once that of the crash itself is over."""
        troubles = stack.status()["troubles"]
        reverted = [t for t in troubles if t.startswith("web is running its previous version")]
        return reverted if troubles == reverted else []

    with stack.load("app.localhost", rate=50) as load:
        (stack.folder / "node_modules").mkdir()
        words.write_text("two")
        eventually(lambda: served() == "two")
        words.write_text("three")  # the other instance is still to come
        eventually(lambda: served() == "three")
        eventually(settled)
        words.write_text("broken")
        (trouble,) = eventually(only_the_revert)
        assert "these words are broken" in trouble
        eventually(lambda: not stack.instances("web")[2:])
        assert served() == "three"
        words.write_text("four")
        eventually(lambda: served() == "four")
        eventually(settled)
        report = load.stop()
    assert report.failed == {}, report.first_failures
    eventually(lambda: not stack.status()["troubles"])
    log = (stack.home / "logs/porticod.log").read_text()
    assert log.count(f"web: {words} has changed") == 4
    assert log.count(f"web: {stack.folder}") == 4


def test_watching_begins_and_ends_with_its_key(stack):
    (stack.folder / "words.txt").write_text("one")
    app(stack, "")
    assert not watches(stack)
    app(stack, "watch = ['build', 'words.txt']")
    (stack.folder / "words.txt").write_text("two")  # at once
    (trouble,) = eventually(lambda: stack.status()["troubles"])
    assert trouble.startswith(
        f"cannot watch all files of web: {stack.folder}/build does not exist"
    )
    eventually(lambda: stack.get("app.localhost").body == b"two")
    eventually(stack.is_settled)
    (before,) = stack.instances("web")
    (stack.folder / "build").mkdir()
    eventually(lambda: [i["id"] for i in stack.instances("web")] not in ([before["id"]], []))
    eventually(stack.is_settled)
    assert watches(stack)
    app(stack, "watch = 'gone'")
    eventually(lambda: stack.status()["troubles"])
    app(stack, "")
    eventually(lambda: not stack.status()["troubles"])
