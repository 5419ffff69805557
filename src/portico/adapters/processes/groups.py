"""A control group for each instance, where this machine lets us make one (cgroups(7), version 2).

Whatever an instance starts is in its group, in whatever session it is and whoever its parent has
become, and it cannot leave it. No controller is enabled: a group only tells who belongs to whom.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from portico.system.proc import read

SYSTEMD: Final = Path("/run/systemd/system")
"""There as long as systemd is this machine's init: then all groups are its own, but for those
below a unit that has Delegate=."""
SUFFIX: Final = ".instances"
"""Of the folder of one home's groups."""
_LEAF_LINKS: Final = 2
"""One more for each group below it."""


def leave() -> None:
    """Out of the group of an instance that has started this daemon, as `portico` does it: it
    would end with that one.
    """
    if (own := _group_of(os.getpid())) and (base := _base(own)) != own:
        enter(base, os.getpid())


def folder_for(pid: int, logs: Path) -> Path | None:
    """Where the groups of a home's instances are, of which this process is one or starts one;
    None where there can be none.
    """
    own = _group_of(pid)
    if own is None or not _may_use(base := _base(own)):
        return None
    name = hashlib.sha256(str(logs.resolve()).encode()).hexdigest()[:12]
    return base / f"portico-{name}{SUFFIX}"


def make(group: Path, pid: int) -> None:
    """Put a process that was just started, and what it has started since, into a group."""
    with suppress(OSError):  # without a group it is told by descent and by its environment
        group.mkdir(mode=0o755, parents=True, exist_ok=True)
        entered, waiting = set[int](), [pid]
        while waiting:
            each = waiting.pop()
            if each not in entered and enter(group, each):
                entered.add(each)
                waiting += _children(each)


def enter(group: Path, pid: int) -> bool:
    try:
        (group / "cgroup.procs").write_text(f"{pid}\n")
    except OSError:
        return False
    return True


def members(group: Path) -> set[int]:
    """All that runs in it, and in groups that were made below it."""
    found, waiting = set[int](), [str(group)]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError):  # read so often that making Paths would be most of the work
            found |= set(map(int, read(f"{folder}/cgroup.procs").split()))
            if os.stat(folder).st_nlink != _LEAF_LINKS:  # noqa: PTH116 - as above
                waiting += [each.path for each in os.scandir(folder) if each.is_dir()]
    return found


def kill(group: Path) -> None:
    """All of it at once, where the kernel can (5.14 and later)."""
    with suppress(OSError), (group / "cgroup.kill").open("r+") as file:
        file.write("1")


def remove(group: Path) -> None:
    """It has to be empty."""
    with suppress(OSError):
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
        group.parent.rmdir()  # where it was the last one


def remove_empty_groups(folder: Path) -> None:
    """Take away the groups that are empty, as of what ended while no daemon lived."""
    with suppress(OSError):
        for group in list(folder.iterdir()):
            if group.is_dir():
                remove(group)
        folder.rmdir()


def _group_of(pid: int) -> Path | None:
    """The folder of the group that a process is in."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace").splitlines()
        path = next(line[3:] for line in lines if line.startswith("0::"))
        if mounted := _find_mount():
            mount, root = mounted
            folder = mount / Path(path).relative_to(root)
            if pid in map(int, (folder / "cgroup.procs").read_text().split()):
                return folder
    return None


@cache
def _find_mount() -> tuple[Path, str] | None:
    """Where the groups are, and which of them is the topmost one there."""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
        mounted, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, mount = mounted.split()[3:5]
            return Path(mount), root
    return None


def _base(group: Path) -> Path:
    """The group that it is, or is below of, and that is no instance's."""
    ours = [each for each in (group, *group.parents) if each.name.endswith(SUFFIX)]
    return ours[-1].parent if ours else group


def _may_use(base: Path) -> bool:
    if not os.access(base, os.W_OK) or not os.access(base / "cgroup.procs", os.W_OK):
        return False
    return not SYSTEMD.exists() or any(
        _attribute(base, name) == b"1" for name in ("trusted.delegate", "user.delegate")
    )


def _attribute(path: Path, name: str) -> bytes:
    with suppress(OSError):
        return os.getxattr(path, name)
    return b""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as in proc
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found
