"""Log files that programs hold open: rotated under their hands, and read from the end."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from portico.adapters.logs.files import LAST_BYTES, FileLogs
from portico.core.model.instance import LogFiles
from tests.instances import Exits, launch, python, supervised, until

KIB = 1 << 10
SPEC = launch(Path("/"), command="true").spec


@pytest.fixture
def logs(tmp_path):
    return FileLogs(tmp_path / "logs")


def rotated(path: Path) -> list[Path]:
    """Oldest first, without the live one."""
    found = [each for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.")]
    return sorted(found, key=lambda each: -int(each.suffix[1:]))


def test_a_program_that_never_pauses_loses_at_most_a_few_lines_at_each_rotation(tmp_path, logs):
    path = tmp_path / "web.log"
    rounds = 0

    async def rotate(times):
        nonlocal rounds
        async with asyncio.timeout(60):
            while rounds < times:
                before = len(rotated(path))
                assert await logs.rotate(SPEC, str(path), 64 * KIB, 1000) is None
                rounds += len(rotated(path)) > before
                await asyncio.sleep(0.02)

    with path.open("ab") as output:
        program = subprocess.Popen(
            python("numbered.py", 20_000), stdout=output, stderr=subprocess.PIPE
        )
    try:
        asyncio.run(rotate(50))
    finally:
        program.send_signal(signal.SIGTERM)
        written = int(program.communicate(timeout=60)[1])

    lines = b"".join(each.read_bytes() for each in (*rotated(path), path)).splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    assert all(len(line) == 95 for line in lines)  # none is torn
    assert numbers == sorted(set(numbers))  # none comes twice or out of order
    gaps = [after - before - 1 for before, after in pairwise([0, *numbers, written + 1])]
    lost = sorted(gap for gap in gaps if gap)
    print(f"{sum(lost)} of {written} lines lost in {rounds} rotations: {lost}")
    assert len(lost) <= rounds
    # A millisecond of what it writes, where no other work of the machine comes between.
    assert sum(gap > 20 for gap in lost) < rounds / 2


def test_a_program_that_pauses_loses_nothing(tmp_path, logs):
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as output:
        for number in range(100):
            output.write(b"line %d " % number + b"x" * KIB + b"\n")
            assert asyncio.run(logs.rotate(SPEC, str(path), 8 * KIB, 100)) is None
    text = b"".join(each.read_bytes() for each in (*rotated(path), path))
    assert [int(line.split()[1]) for line in text.splitlines()] == list(range(100))
    assert len(rotated(path)) > 5


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_rotated_files_are_numbered_and_take_no_more_than_they_may(tmp_path, logs, keep):
    path = tmp_path / "web.log"
    for letter in "abcdef":
        path.write_text(letter * 4999 + "\n")
        assert asyncio.run(logs.rotate(SPEC, str(path), 4096, keep)) is None
        assert path.read_text() == ""
    assert [each.read_text()[0] for each in rotated(path)] == list("abcdef"[6 - keep :])
    assert [each.suffix for each in rotated(path)] == [".3", ".2", ".1"][3 - keep :]


def test_older_files_are_compressed_and_the_newest_stays_plain(tmp_path, logs):
    path = tmp_path / "web.log"
    for letter in "abcdef":
        path.write_text(letter * 4999 + "\n")
        path.chmod(0o640)
        assert asyncio.run(logs.rotate(SPEC, str(path), 4096, 3, compresses=True)) is None
    found = sorted(each.name for each in tmp_path.iterdir())
    assert found == ["web.log", "web.log.1", "web.log.2.gz", "web.log.3.gz"]
    assert path.with_name("web.log.1").read_text() == "f" * 4999 + "\n"
    for name, letter in (("web.log.2.gz", "e"), ("web.log.3.gz", "d")):
        packed = path.with_name(name)
        assert gzip.decompress(packed.read_bytes()) == letter.encode() * 4999 + b"\n"
        assert packed.stat().st_size < 200
        assert packed.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("planted", ["link", "pipe", "large"])
def test_what_is_not_a_rotated_file_is_not_compressed(tmp_path, logs, planted):
    path, other = tmp_path / "web.log", tmp_path / "web.log.1"
    secret = tmp_path / "secret"
    secret.write_text("x" * 5000)
    if planted == "link":
        other.symlink_to(secret)
    elif planted == "pipe":
        os.mkfifo(other)
    else:
        other.write_bytes(b"")
        os.truncate(other, 1 << 30)
    path.write_text("y" * 4999 + "\n")
    asyncio.run(logs.rotate(SPEC, str(path), 4096, 3, compresses=True))
    assert not [each for each in tmp_path.iterdir() if each.name.endswith((".gz", ".part"))]
    assert secret.read_text() == "x" * 5000


def test_a_sudden_flood_of_output_still_keeps_to_the_limit(tmp_path, logs):
    path = tmp_path / "web.log"
    for size in (9000, 9000, 9000, 12000):
        path.write_text("x" * size)
        assert asyncio.run(logs.rotate(SPEC, str(path), 4096, 5)) is None
    assert [each.stat().st_size for each in rotated(path)] == [9000, 12000]
    path.write_text("x" * 1_000_000 + "end")
    assert asyncio.run(logs.rotate(SPEC, str(path), 4096, 5)) is None
    assert [each.stat().st_size for each in rotated(path)] == [6 * 4096]
    assert path.with_name("web.log.1").read_text().endswith("xend")


def test_a_file_that_is_small_or_not_there_is_left_alone(tmp_path, logs):
    path = tmp_path / "web.log"
    assert asyncio.run(logs.rotate(SPEC, str(path), 4096, 5)) is None
    path.write_text("x" * 4096)
    assert asyncio.run(logs.rotate(SPEC, str(path), 4096, 5)) is None
    assert path.stat().st_size == 4096


def test_a_link_is_never_followed(tmp_path, logs):
    target, path = tmp_path / "target", tmp_path / "web.log"
    target.write_text("x" * 5000)
    path.symlink_to(target)
    said = asyncio.run(logs.rotate(SPEC, str(path), 4096, 5))
    assert said == "Too many levels of symbolic links; the file keeps growing"
    assert target.stat().st_size == 5000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_log_that_cannot_be_copied_is_emptied_so_that_it_cannot_fill_the_disk(tmp_path, logs):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)), check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        path = disk / "web.log"
        rotated_before = path.with_name("web.log.1")
        rotated_before.write_bytes(b"o" * 80 * KIB)
        path.write_bytes(b"x" * 150 * KIB)
        said = asyncio.run(logs.rotate(SPEC, str(path), 64 * KIB, 5))
        assert said == "No space left on device; it was truncated without a complete copy"
        assert path.stat().st_size == 0
        assert [each.name for each in rotated(path)] == ["web.log.1"]
        assert rotated_before.read_bytes() == b"o" * 80 * KIB
    finally:
        subprocess.run(("umount", str(disk)), check=True)


def test_last_lines_are_of_this_process_only(tmp_path, logs):
    asked = launch(tmp_path, command=python("show.py", "exit", 3))
    files = LogFiles.of(asked.spec, 1, str(tmp_path / "logs"))
    Path(files.stderr).parent.mkdir(parents=True)
    Path(files.stderr).write_text("OSError: Address already in use\n")

    async def scenario():
        assert await logs.last_lines(asked.spec, 1, 5) == ["OSError: Address already in use"]
        logs.begin(asked.spec, 1)
        async with supervised(tmp_path) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            await exits.first()
            return await logs.last_lines(asked.spec, 1, 5)

    said = asyncio.run(scenario())
    assert said[0].startswith('{"env": ')
    assert said[1:] == ["going"]


def test_one_file_for_both_outputs_is_read_once(tmp_path, logs):
    asked = launch(
        tmp_path,
        command=python("show.py", "exit", 0),
        logs={"stdout": "web.log", "stderr": "web.log"},
    )

    async def scenario():
        async with supervised(tmp_path) as processes:
            exits = Exits()
            await processes.spawn(asked, exits)
            await exits.first()
            return await logs.last_lines(asked.spec, 1, 5)

    assert [line[:5] for line in asyncio.run(scenario())] == ['{"env', "going"]


def test_last_lines_are_few_whole_and_readable(tmp_path, logs):
    asked = launch(tmp_path, command="true", logs={"stdout": "out", "stderr": "gone"})
    out = tmp_path / "out"

    def said(content, count=3):
        out.write_bytes(content)
        return asyncio.run(logs.last_lines(asked.spec, 1, count))

    assert said(b"") == []
    assert said(b"a\nb\nc\nd\n") == ["b", "c", "d"]
    assert said(b"a\nb") == ["a", "b"]
    assert said(b"a\nb\n", count=0) == []
    assert said(b"\xff\xfe ok \xc3\xa4\n") == ["\ufffd\ufffd ok ä"]
    assert len(said(b"x" * 1_000_000)[0]) == LAST_BYTES
    many = said(b"".join(b"%09d\n" % number for number in range(100_000)), count=100_000)
    assert many == [f"{number:09d}" for number in range(100_000 - len(many), 100_000)]


def test_after_a_rotation_the_new_file_is_read(tmp_path, logs):
    asked = launch(tmp_path, command="true", logs={"stdout": "out", "stderr": "out"})
    out = tmp_path / "out"
    out.write_text("x\n" * 5000)
    logs.begin(asked.spec, 1)
    assert asyncio.run(logs.rotate(SPEC, str(out), 4096, 1)) is None
    out.write_text("new\n")
    assert asyncio.run(logs.last_lines(asked.spec, 1, 5)) == ["new"]


def test_an_instance_goes_on_writing_after_a_rotation(tmp_path, logs):
    asked = launch(tmp_path, command=python("numbered.py", 2000))
    path = Path(logs.files(asked.spec, 1).stdout)

    async def scenario():
        async with supervised(tmp_path) as processes:
            await processes.spawn(asked, Exits())
            await until(lambda: path.exists() and path.stat().st_size > 64 * KIB)
            assert await logs.rotate(SPEC, str(path), 64 * KIB, 2) is None
            await until(lambda: 10 * KIB < path.stat().st_size < 64 * KIB)

    asyncio.run(scenario())
    assert path.read_bytes()[:5] == b"line "  # no hole of zeros before it
