"""Changes of three machines that share an etcd: one machine at a time, under load."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from pathlib import Path

import psutil
import pytest

from portico.core.model.shared import (
    TURN_KEY,
    Holder,
    decode,
    head_key,
    present_key,
    progress_key,
    run_key,
)
from portico.core.model.shared_change import Progress
from tests import etcd as harness
from tests.cluster import SITE, Machine, Machines, needs_root
from tests.etcd import Etcd
from tests.integration.test_dashboard import Browser
from tests.integration.test_top import Terminal
from tests.stack import BIN, PROGRAMS
from tests.waiting import eventually

pytestmark = [
    needs_root,
    pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED),
]
STEADY = {"rate": 40.0, "connections": 8, "seconds": 120.0, "timeout": 8.0, "posts": 0.3}
CRASH_FILE = "crashes-here"
"""Instances crash at their start on a machine that has this file in its log folder."""
SCHEDULED = """
[apps.work]
command = ["sh", "-c", 'echo "$(($(date +%s) / 60)) $WHERE" >> {runs}']
port = false
schedule = "* * * * *"
env.WHERE = "m1"
[apps.work.machines]
m2.env = {{ WHERE = "m2" }}
m3.env = {{ WHERE = "m3" }}
"""
"""An app that adds the minute and the machine to a file. No schedule is finer than a minute."""
DIFFERENT = f"""
[apps.jobs]
command = ["python3", "{PROGRAMS}/echo.py"]
on = ["large", "m2"]
[apps.jobs.machines.large]
instances = 2
max_memory = "1M"
[apps.web.machines.m2]
instances = 1
"""
LONG_RUN = """
[apps.long]
command = ["sh", "-c", 'echo $WHERE >> {runs}; until [ -e {end} ]; do sleep 0.1; done']
port = false
schedule = "0 0 1 1 *"
env.WHERE = "m1"
[apps.long.machines]
m2.env = {{ WHERE = "m2" }}
m3.env = {{ WHERE = "m3" }}
"""
"""An app that adds the machine to a file where it runs, and ends when there is another file."""
FIGURES = r"m2 +project +web\.\S+ +ready +[\d.]+% +[\d.]+ \S+ +(?!0\.0 )[\d.]+ "
"""Of an instance in `top`: processor time, memory, and requests a second."""
Pids = dict[str, set[int]]


class Shared:
    def __init__(
        self, machines: Machines, store: Etcd, instances: int = 2, runs: Path | None = None
    ) -> None:
        """`runs` is the file that the app with a schedule adds to, if there is to be one."""
        self.machines, self.store, self.instances, self.runs = machines, store, instances, runs
        self.release(1)

    def file(self, **env: str) -> str:
        env = {"CRASH_WHEN": CRASH_FILE, **env}
        lines = "".join(f'env.{key} = "{value}"\n' for key, value in env.items())
        scheduled = SCHEDULED.format(runs=self.runs) if self.runs else ""
        return (
            f'[apps.web]\ncommand = ["python3", "{PROGRAMS}/echo.py"]\ncwd = "current"\n{lines}'
            f"instances = {self.instances}\n{scheduled}"
            f'[sites."{SITE}"]\napp = "web"\n'
        )

    def write(self, **env: str) -> None:
        (self.machines["m1"].folder / "portico.toml").write_text(self.file(**env))

    def release(self, number: int) -> None:
        """The link leads to its folder from now on, on all machines."""
        folder = self.machines["m1"].folder
        (folder / f"releases/{number}").mkdir(parents=True, exist_ok=True)
        (folder / "next").symlink_to(f"releases/{number}")
        (folder / "next").rename(folder / "current")

    def releases(self) -> dict[str, set[str]]:
        """By machine, the folders in which its instances were started."""
        return {
            name: {Path(psutil.Process(pid).cwd()).name for pid in pids}
            for name, pids in self.pids().items()
        }

    def pids(self) -> Pids:
        return {machine.name: self.pids_of(machine.name) for machine in self.machines}

    def pids_of(self, name: str) -> set[int]:
        return {each["pid"] for each in self.machines[name].instances("web")}

    def versions(self) -> dict[str, set[str]]:
        """By machine, the value of SAY with which its instances were started."""
        return {
            name: {psutil.Process(pid).environ().get("SAY", "") for pid in pids}
            for name, pids in self.pids().items()
        }

    def head(self) -> bytes:
        """Which file is in force."""
        return self.store.get(self.machines.key(head_key(self.machines["m1"].folder.name)))

    def numbers(self) -> list[int]:
        """Of instances, by machine."""
        return [len(each.instances("web")) for each in self.machines]

    def state_of(self, machine: str) -> str:
        """Of the last change that it has taken part in."""
        key = self.machines.key(progress_key(machine))
        progress = decode(Progress, self.store.get(key))
        return progress.state if progress else ""

    def holders(self, since: int) -> list[str]:
        """The machines that have had the turn since a revision of the store, in order."""
        key, last = self.machines.key(TURN_KEY), self.store.revision()
        values = (self.store.get(key, revision) for revision in range(since, last + 1))
        found = (holder.machine for each in values if (holder := decode(Holder, each)))
        return [name for name, _ in groupby(found)]

    @contextmanager
    def load(self, name: str = "m1") -> Iterator[None]:
        """Nothing of it is lost."""
        with self.machines.load(name, **STEADY) as load:
            yield
            report = load.stop()
        assert (report.lost, report.answers) == (0, report.answers)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder: Path = tmp_path_factory.mktemp("etcd")
    with Machines("m1", "m2", "m3") as machines, ExitStack() as stack:
        machines["m3"].labels = ("large",)
        store = stack.enter_context(machines.sharing(folder))
        found = Shared(machines, store, runs=folder / "runs")
        machines.up(found.file(), shared=True)
        yield found


def are_others(before: Pids, after: Pids) -> bool:
    return all(after[name] and not after[name] & before[name] for name in before)


def test_of_two_operators_at_once_one_changes_all_machines_and_one_is_refused(shared):
    before, machines, since = shared.pids(), shared.machines, shared.store.revision()
    with shared.load(), ThreadPoolExecutor() as pool:
        asked = [pool.submit(machines[name].portico, "reload", "web") for name in ("m3", "m1")]
        results = {name: each.result() for name, each in zip(("m3", "m1"), asked, strict=True)}
    assert are_others(before, shared.pids())
    first, other = sorted(results, key=lambda name: results[name].returncode)
    refusal = rf"reload of web, which \S.* started on {first} at .* UTC, is under way; nothing was"
    assert re.search(refusal, results[other].stderr), results
    said = [line.strip() for line in results[first].stderr.splitlines()]
    order = [first, *(name for name in ("m1", "m2", "m3") if name != first)]
    assert [line for line in said if line.endswith(": done")] == [
        f"{name}: done" for name in order
    ]
    assert shared.holders(since) == order
    views = [each.api("/v1/cluster") for each in machines]
    assert {view["revision"] for view in views} == {views[0]["revision"]}
    assert {view["change"] for view in views} == {""}


def test_a_rollback_on_another_machine_than_the_up_replaces_all_instances_on_all(shared):
    one, _, three = shared.machines
    first = shared.versions()
    shared.write(SAY="the second version")
    one.done("up")
    before, since = shared.pids(), shared.store.revision()
    assert shared.versions() == {name: {"the second version"} for name in before}
    with shared.load(), shared.load("m3"):
        three.done("rollback")
    assert shared.holders(since) == ["m3", "m1", "m2"]
    assert are_others(before, shared.pids())
    assert shared.versions() == first
    for each in shared.machines:
        assert each.get(SITE).json["pid"] in shared.pids_of(each.name)


def test_a_machine_is_drained_and_undrained_from_another_one(shared):
    one, two, _ = shared.machines
    ready = {"web": 2, "work": 1}
    since, others = shared.store.revision(), {"m1": ready, "m3": ready}
    eventually(lambda: {n["name"]: n["apps"] for n in two.status()["neighbours"]} == others)
    with shared.load("m2"):
        one.done("cluster", "drain", "m2")
        assert shared.numbers() == [2, 0, 2]
        one.done("cluster", "undrain", "m2")
        assert shared.numbers() == [2, 2, 2]
    assert shared.holders(since) == ["m2"]


def test_no_request_that_crosses_is_lost_while_a_machine_leaves_joins_and_is_replaced(shared):
    """All that enter m1 cross: its own instances are stopped."""
    one, two, three = shared.machines
    one.done("stop", "web", "--here")
    eventually(lambda: machines_used(one) == {"m2", "m3"} and one.answers(SITE))
    with shared.load():
        three.done("down", "--all")
        three.begin()
        three.done("cluster", "leave")
        eventually(lambda: machines_used(one) == {"m2"})
        join(three, one, labels="large")
        three.done("up")
        eventually(lambda: machines_used(one) == {"m2", "m3"})
        join(two, one, "--replace", "m2")
        eventually(lambda: machines_used(two) == {"m3"} and machines_used(one) == {"m2", "m3"})
        two.done("cluster", "drain")
        eventually(lambda: machines_used(one) == {"m3"})
        two.done("cluster", "undrain")
    eventually(lambda: all(each.sees(3) for each in shared.machines))
    one.done("start", "web", "--here")


def join(machine: Machine, by: Machine, *words: str, labels: str = "") -> None:
    token = json.loads(by.done("cluster", "token", "--json", *words).stdout)["token"]
    labelled = ("--labels", labels) if labels else ()
    machine.done(
        "cluster", "join", f"{by.address}:8445", "--token", token, machine.name, *labelled
    )


def machines_used(machine: Machine) -> set[str]:
    """The other machines to which it sends requests."""
    found = machine.status()["neighbours"]
    return {each["name"] for each in found if each["used"] and "web" in each["apps"]}


def test_a_version_that_fails_touches_only_the_first_machine_which_takes_the_one_before(shared):
    before = shared.pids()
    shared.write(CRASH="1")
    with shared.load():
        result = shared.machines["m1"].portico("up")
    after = shared.pids()
    assert result.returncode == 1
    assert "the previous file is in force again on m1" in result.stderr
    assert "nothing was changed on m2, m3" in result.stderr
    assert (after["m2"], after["m3"]) == (before["m2"], before["m3"])
    assert len(after["m1"]) == 2


def test_a_version_that_fails_on_the_second_machine_is_taken_back_on_the_first(shared):
    one, first = shared.machines["m1"], shared.versions()
    before, head, since = shared.pids(), shared.head(), shared.store.revision()
    text = shared.file(SAY="what fails on m2") + '[apps.web.machines.m2]\nenv = { CRASH = "1" }\n'
    (one.folder / "portico.toml").write_text(text)
    with shared.load(), shared.load("m2"):
        result = one.portico("up")
    assert result.returncode == 1
    assert "the previous file is in force again on m1, m2" in result.stderr
    assert "nothing was changed on m3" in result.stderr
    assert shared.holders(since)[:2] == ["m1", "m2"]
    assert "m3" not in shared.holders(since)
    assert shared.pids_of("m3") == before["m3"]
    assert are_others({"m1": before["m1"]}, shared.pids())
    assert shared.versions() == first
    assert head
    assert shared.head() == head


def test_where_the_folder_of_the_program_is_not_on_one_machine_none_is_changed(shared):
    one, _, three = shared.machines
    before = shared.pids()
    shared.write(SAY="the next version")
    with shared.load(), shared.load("m3"):
        three.end_daemon()
        eventually(lambda: one.sees(2))
        with three.begun_without(one.root):
            eventually(lambda: one.sees(3) and three.sees(3))
            result = one.portico("up")
            assert shared.pids() == before
        eventually(lambda: one.sees(2))
        three.begin()
        eventually(lambda: one.sees(3) and three.sees(3))
    assert result.returncode != 0
    assert re.search(rf"m3: .*folder {one.folder} does not exist", result.stderr, re.DOTALL)
    assert "nothing was changed on any machine" in result.stderr
    assert shared.pids() == before


def test_a_reload_that_fails_on_a_machine_ends_there_and_its_instances_keep_serving(shared):
    one, two, _ = shared.machines
    before, since = shared.pids(), shared.store.revision()
    crash = two.home / "logs" / CRASH_FILE
    crash.touch()
    with shared.load(), shared.machines.load("m2", **STEADY) as load:
        result = one.portico("reload", "web")
        report = load.stop()
    crash.unlink()
    assert result.returncode == 1
    assert "it remains done on m1; nothing was changed on m3" in result.stderr
    assert shared.holders(since) == ["m1", "m2"]
    assert are_others({"m1": before["m1"]}, shared.pids())
    assert shared.pids_of("m3") == before["m3"]
    assert (report.lost, {*map(int, report.answers)}) == (0, before["m2"])
    eventually(lambda: shared.pids_of("m2") == before["m2"])


def test_a_reload_to_a_release_that_fails_on_a_machine_is_taken_back_on_those_before(shared):
    one, two, _ = shared.machines
    crash = two.home / "logs" / CRASH_FILE
    shared.release(2)
    crash.touch()
    with shared.load(), shared.load("m2"):
        failed = one.portico("reload", "web")
    assert failed.returncode == 1
    assert "the previous file is in force again on m1, m2" in failed.stderr
    assert set.union(*shared.releases().values()) == {"1"}
    crash.unlink()
    with shared.load():
        one.done("reload", "web")
    assert set.union(*shared.releases().values()) == {"2"}


def test_a_daemon_that_is_killed_while_it_has_the_turn_continues(shared):
    before, machines, since = shared.pids(), shared.machines, shared.store.revision()
    shared.write(SAY="v3", LISTEN_WHEN="may-listen")
    may_listen = {each.name: each.home / "logs/may-listen" for each in machines}
    may_listen["m1"].touch()  # m2 has the turn until its daemon has been killed
    may_listen["m3"].touch()
    command = threading.Thread(target=machines["m1"].done, args=("up",))
    with shared.load():
        command.start()
        eventually(lambda: shared.state_of("m2") == "changing")
        eventually(lambda: len(machines["m2"].status()["apps"][0]["instances"]) > 2)
        machines["m2"].kill_daemon()
        machines["m2"].begin()
        may_listen["m2"].touch()
        command.join()
    assert shared.state_of("m3") == "done"
    assert shared.holders(since) == ["m1", "m2", "m3"]
    assert are_others(before, shared.pids())


def test_a_machine_that_was_taken_down_takes_what_is_in_force(shared):
    machines = shared.machines
    machines["m3"].done("down", "--all")
    machines["m3"].begin()
    result = machines["m3"].done("up")  # without a file
    assert "the cluster's files" in result.stdout
    assert len(shared.pids()["m3"]) == 2


def test_a_change_with_here_is_of_one_machine_and_one_that_was_absent_makes_up_for_the_rest(
    shared,
):
    one, two, three = shared.machines
    before = shared.pids()
    two.done("restart", "web", "--here")
    assert are_others({"m2": before["m2"]}, shared.pids())
    assert shared.pids() == {**before, "m2": shared.pids_of("m2")}
    two.done("stop", "web", "--here")
    notes = two.status()["notes"]
    assert [each for each in notes if each.startswith("web is stopped on this machine alone")]
    assert shared.numbers() == [2, 0, 2]

    two.end_daemon()
    eventually(lambda: one.sees(2))
    one.done("reload", "web", "--without-absent")
    three.done("pause", SITE, "--without-absent")
    two.begin()
    eventually(lambda: _is_paused(two) and len(two.instances("web")) == 2)
    one.done("resume", SITE)
    assert not any(map(_is_paused, shared.machines))


def _is_paused(machine: Machine) -> bool:
    [site] = machine.status()["sites"]
    return site["paused"]


def test_of_two_operators_in_a_divided_network_one_changes_his_side_and_the_other_side_follows(
    shared,
):
    one, _, three = machines = shared.machines
    before, since = shared.pids(), shared.store.revision()
    with shared.load(), shared.load("m3"), ThreadPoolExecutor() as pool:
        machines.divide("m3")
        other = pool.submit(three.portico, "scale", "web", "1", "--without-absent")
        shared.store.end_session(machines.key(present_key("m3")))
        eventually(lambda: one.sees(2))
        one.done("scale", "web", "3", "--without-absent")
        reason = "cannot reach the store|is under way; nothing was changed"  # what still came in
        assert re.search(reason, other.result().stderr)
        assert other.result().returncode != 0
        assert shared.pids_of("m3") == before["m3"]
        assert shared.holders(since) == ["m1", "m2"]
        machines.reunite("m3")
        eventually(lambda: [len(each) for each in shared.pids().values()] == [3, 3, 3])
    assert all(shared.pids()[name] > before[name] for name in before)
    assert shared.holders(since) == ["m1", "m2", "m3"]


def test_top_and_the_dashboard_of_one_machine_show_all_machines_and_change_all(shared):
    one, *_ = shared.machines
    with shared.load("m2"):
        with signed_in(one) as browser:
            eventually(lambda: all(map(has_figures, instances_shown(browser, "m2"))))
            status, _, text = browser.ask("/v1/apps/web/scale", "POST", '{"instances": 1}')
            assert status == 202, text
        eventually(lambda: shared.numbers() == [1, 1, 1] and one.is_settled())
        top = Terminal([BIN / "portico", "top", "m2", "web", "--every", "1"], one.environ)
        try:
            top.shows("3 of 3 machines", pattern=FIGURES)
            top.press("+")
            top.shows("scale project/web by +1 on all machines?")
            top.press("y")
            top.shows("by +1 on all machines: done")
        finally:
            assert top.end() == 0
    assert shared.numbers() == [2, 2, 2]


@contextmanager
def signed_in(machine: Machine) -> Iterator[Browser]:
    """A browser on that machine."""
    browser = Browser(json.loads(machine.done("open", "--json").stdout)["url"])
    with machine.network.entered():
        browser.sign_in()
        yield browser


def instances_shown(browser: Browser, machine: str) -> list[dict]:
    """Those of the app in the first status that a page is sent, when that machine has answered."""

    def found() -> list[dict]:
        with browser.live() as answer:
            frame = json.loads(answer.readline().removeprefix(b"data: "))
        [status] = [each["status"] for each in frame["machines"] if each["name"] == machine]
        apps = status["apps"] if status else []
        return [i for app in apps if app["name"] == "web" for i in app["instances"]]

    return eventually(found)


def has_figures(instance: dict) -> bool:
    traffic = instance["traffic"]
    return bool(instance["memory_bytes"] and traffic and traffic["requests_s"])


def test_a_schedule_has_run_once_each_time_with_what_is_set_for_the_machine(shared):
    file, project = shared.runs, shared.machines["m1"].folder.name
    eventually(file.exists, within=120)
    runs = [line.split() for line in file.read_text().splitlines()]
    assert len({minute for minute, _ in runs}) == len(runs), runs
    for minute, machine in runs:
        key = shared.machines.key(run_key(f"{project}/work", int(minute)))
        assert decode(Holder, shared.store.get(key)) == Holder(machine=machine)


def test_an_app_that_is_deleted_on_one_machine_is_removed_on_all(shared):
    before, since = shared.pids(), shared.store.revision()
    with shared.load():
        shared.machines["m2"].done("delete", "work")
    assert shared.holders(since) == ["m2", "m1", "m3"]
    apps = [[app["name"] for app in each.status()["apps"]] for each in shared.machines]
    assert apps == [["web"]] * 3
    assert shared.pids() == before


def test_a_pause_is_of_all_machines_and_down_ends_the_project_on_each(shared):
    one, _, three = shared.machines
    three.done("pause", SITE)
    assert all(map(_is_paused, shared.machines))
    one.done("down", "--now")
    assert [each.status()["projects"] for each in shared.machines] == [[], [], []]


def _has_version(shared: Shared, say: str) -> bool:
    """Whether all instances have it; an instance may exit meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return shared.numbers() == [2, 2, 2] and {say} == set().union(*shared.versions().values())
    return False


def test_what_a_file_says_of_a_label_or_a_machine_is_so_there_alone(shared):
    one, two, three = machines = shared.machines
    (one.folder / "portico.toml").write_text(shared.file() + DIFFERENT)
    one.done("up")
    one.done("resume", SITE)  # which was paused when the project was ended
    assert shared.numbers() == [2, 1, 2]
    slots = [{each["slot"] for each in machine.instances("jobs")} for machine in machines]
    assert slots == [set(), {1}, {1, 2}]
    limit = "max_memory is 1 MiB"
    eventually(lambda: limit in (three.home / "logs/porticod.log").read_text())
    assert limit not in (two.home / "logs/porticod.log").read_text()


def test_of_a_machine_that_dies_a_change_is_completed_and_its_run_of_a_schedule_is_not_repeated(
    shared, tmp_path
):
    """The change has --without-absent. A run that is asked for later is on another machine."""
    one, two, three = machines = shared.machines
    runs, end = tmp_path / "runs", tmp_path / "end"
    long_run = LONG_RUN.format(runs=runs, end=end)
    (one.folder / "portico.toml").write_text(shared.file() + long_run)
    one.done("up")
    two.done("restart", "long")
    eventually(lambda: runs.exists() and runs.read_text() == "m2\n")

    text = shared.file(SAY="after the loss", LISTEN_WHEN="may-listen")
    (one.folder / "portico.toml").write_text(text + long_run)
    for each in (one, three):
        (each.home / "logs/may-listen").touch()
    before = shared.pids()
    with shared.load(), ThreadPoolExecutor() as pool:
        change = pool.submit(one.done, "up", "--without-absent")
        eventually(lambda: shared.state_of("m2") == "changing", within=180)
        machines.die("m2")
        shared.store.end_session(machines.key(present_key("m2")))
        assert "m3: done" in change.result().stderr
        for each in (one, three):
            assert not shared.pids_of(each.name) & before[each.name]
        one.done("restart", "long", "--without-absent")
        eventually(lambda: runs.read_text() == "m2\nm1\n")
        machines.mend("m2")
        (two.home / "logs/may-listen").touch()
        two.begin()
        eventually(lambda: _has_version(shared, "after the loss"))
    end.touch()
    eventually(lambda: not any(each["pid"] for each in one.instances("long")))
    assert runs.read_text() == "m2\nm1\n"
