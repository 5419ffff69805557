"""A mount that does not answer holds one thread, and says so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from portico.errors import Failed
from portico.system.mounts import Mounts, mount_of
from tests.waiting import eventually


class Disks:
    """Those below /dead answer when they are told to."""

    def __init__(self) -> None:
        self.asked, self.answers = list[str](), threading.Event()

    def ask(self, folder: str) -> None:
        self.asked.append(folder)
        if folder.startswith("/dead"):
            self.answers.wait()
        if folder == "/gone":
            raise FileNotFoundError(folder)


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/srv/a/b", "/srv/a"),
        ("/srv/a", "/srv/a"),
        ("/srv/ab/c", "/srv"),
        ("/home/x/../y", "/home/y"),
    ],
)
def test_the_innermost_mount_is_asked(folder, mount):
    assert mount_of(folder, ["/", "/srv", "/srv/a"]) == mount


@pytest.mark.slow
def test_a_mount_that_does_not_answer_holds_one_thread_until_it_does():
    disks = Disks()
    mounts = Mounts(disks.ask, lambda: ["/", "/dead", "/dead/too"], 1.0)

    async def refused(*folders: str) -> str:
        with pytest.raises(Failed) as caught:
            await mounts.assert_answer(folders)
        return str(caught.value)

    async def work() -> None:
        assert "read /dead/shop because its mount /dead does" in await refused("/a", "/dead/shop")
        before = threading.active_count()
        for _ in range(20):
            assert "mount /dead does not answer" in await refused("/dead/blog", "/a")
        assert "mount /dead/too does not answer" in await refused("/dead/too/a")
        assert threading.active_count() == before + 1
        await mounts.assert_answer(["/a", "/gone", "/home"])
        disks.answers.set()
        eventually(lambda: threading.active_count() < before)
        await mounts.assert_answer(["/dead/shop"])

    asyncio.run(work())


def test_nothing_is_asked_for_no_folder():
    asyncio.run(Mounts(None, list, 0.0).assert_answer([]))


def test_the_mounts_of_this_machine_answer():
    asyncio.run(Mounts().assert_answer(["/proc", "/", "/nowhere"]))
