"""A disk without room is named, until there is room again."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.adapters.disks.room import MountedDisks


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1 MiB and 40 files."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "portico-test", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root, and a container may forbid it")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def full(home: Path, *folders: Path) -> list[str]:
    return sorted(set(asyncio.run(MountedDisks(home).full_disks(map(str, folders))).values()))


def test_a_disk_with_room_is_not_worth_a_word(tmp_path, small_disk):
    assert full(tmp_path, small_disk) == []


def test_a_full_disk_is_named_once_until_there_is_room(tmp_path, small_disk):
    (small_disk / "logs").mkdir()
    (small_disk / "ballast").write_bytes(bytes(900 << 10))
    assert full(tmp_path, small_disk, small_disk / "logs") == [
        f"disk full at {small_disk}: apps keep running, but writes there fail"
    ]
    (small_disk / "ballast").unlink()
    assert full(tmp_path, small_disk) == []


def test_a_disk_that_takes_no_more_files_is_named(tmp_path, small_disk):
    for number in range(30):
        (small_disk / str(number)).touch()
    assert "no inodes" in full(small_disk)[0]


def test_a_folder_that_is_not_there_yet_is_passed_over(tmp_path):
    assert full(tmp_path, tmp_path / "missing") == []
