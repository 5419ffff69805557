from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from portico.adapters.state.migrations import MIGRATIONS
from portico.adapters.state.sqlite import (
    EVENTS_KEPT,
    EVENTS_OF_ANY_AGE,
    REVISIONS_KEPT,
    SqliteState,
)
from portico.core.model.app import App
from portico.core.model.certificate import Entry, RenewalState, Trouble, Window
from portico.core.model.desired import Spec
from portico.core.model.event import Event, EventFilter
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord, Revision
from portico.core.model.snapshot import Changes, Snapshot, StoredItem
from portico.errors import Failed

CRASH = Event(1.5, "crash", "web.1.1", "exited with code 1")

LINKS = {"/srv": "/data/releases/1"}


def spec(number="v1", **app):
    program = App(command="node index.js", **app)
    return Spec(number, "web", program, "/srv", {"PATH": "/bin"}, 0, LINKS)


def instance(serial=1, version="v1", **more):
    name = InstanceId(f"web.1.{serial}")
    process = Process(4000 + serial, 12.5)
    return Instance(name, "web", 1, version, 41000, InstanceState.READY, 7.5, process, **more)


def revision(n=0):
    document = {"apps": {"n": n}}
    links = {"web": LINKS}
    return Revision(0, 100.0 + n, "ana", "portico.toml", "/srv", document, {"A": "b"}, links=links)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "portico.db"


@pytest.fixture
def begin(path):
    """Opens the file as a daemon does, any number of times."""
    opened = []

    def state():
        opened.append(SqliteState(path))
        return opened[-1]

    yield state
    for each in opened:
        each.close()


def fill(state):
    state.add_revision(revision())
    state.put_app(AppRecord("web", spec("v2"), spec("v1"), stopped=True))
    state.put_instance(instance(state.next_serial("web")))
    state.put_setting("discovery", "127.0.0.1:41053")
    state.put_setting("in_force", '{"default": 1}')
    state.add_event(CRASH)


def test_the_next_daemon_finds_everything_that_was_recorded(begin, path):
    fill(begin())

    state = begin()

    assert state.revisions() == [replace(revision(), number=1)]
    assert state.apps() == [AppRecord("web", spec("v2"), spec("v1"), stopped=True)]
    assert state.instances() == [instance(1)]
    assert state.specs() == {"v1": spec("v1"), "v2": spec("v2")}
    assert state.setting("discovery") == "127.0.0.1:41053"
    assert state.setting("other") is None
    [event] = state.events(EventFilter(), 9)
    assert event == replace(CRASH, number=1)
    assert state.events(EventFilter("web"), 9) == [event]
    assert state.events(EventFilter("we"), 9) == state.events(EventFilter("web.2"), 9) == []
    assert state.next_serial("web") == 2
    assert state.troubles == []


def test_nobody_else_may_read_the_files(begin, path):
    path.touch(mode=0o644)
    fill(begin())

    files = sorted(path.parent.iterdir())

    assert {file.name for file in files} >= {path.name, "in-force.json", "instances.json"}
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
        file.name: "0o600" for file in files
    }


WRITER = """
import itertools, sys
from pathlib import Path
from portico.adapters.state.sqlite import SqliteState
state = SqliteState(Path(sys.argv[1]))
while True:
    print(state.next_serial("web"), flush=True)
"""


def test_a_killed_daemon_loses_nothing_and_never_gives_a_number_twice(begin, path):
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
        given = [int(line) for line in itertools.islice(writer.stdout, 500)]
        writer.send_signal(signal.SIGKILL)
        given += [int(line) for line in writer.stdout if line.endswith(b"\n")]

    assert given == list(range(1, len(given) + 1))
    assert begin().next_serial("web") > given[-1]


def test_a_spec_stays_as_long_as_an_app_or_an_instance_refers_to_it(begin):
    state = begin()
    state.put_app(AppRecord("web", spec("v1"), None))
    state.put_instance(instance(1, "v1"))

    state.put_app(AppRecord("web", spec("v3"), spec("v2")))
    assert set(state.specs()) == {"v1", "v2", "v3"}
    state.drop_instance(instance(1).id)
    assert set(state.specs()) == {"v2", "v3"}
    state.drop_app("web")
    assert state.specs() == {}
    assert state.apps() == state.instances() == []


def test_the_environment_of_a_version_may_change(begin):
    state = begin()
    state.put_app(AppRecord("web", spec(), None))
    later = replace(spec(), environ={"PATH": "/usr/bin"})
    state.put_app(AppRecord("web", later, later))

    assert state.apps() == [AppRecord("web", later, later)]
    assert state.specs() == {"v1": later}


def test_only_the_newest_revisions_and_events_are_kept(begin):
    state = begin()
    with state.transaction():
        for n in range(REVISIONS_KEPT + 10):
            assert state.add_revision(revision(n)).number == n + 1
        for n in range(EVENTS_KEPT + 10):
            state.add_event(Event(n, "kind", "web", str(n)))

    found = state.revisions()
    assert [r.number for r in found] == list(range(REVISIONS_KEPT + 10, 10, -1))
    assert found[0].document == {"apps": {"n": REVISIONS_KEPT + 9}}
    assert state.events(EventFilter(), 1)[0].text == str(EVENTS_KEPT + 9)
    assert len(state.events(EventFilter(), 1_000_000)) == EVENTS_KEPT


def test_events_are_found_by_what_they_are_of_their_kind_and_their_time(begin):
    state = begin()
    for event in (
        Event(10.0, "exit", "web.1.1", "one"),
        Event(20.0, "scale", "web", "two", "shop", 1000, "portico scale web 3"),
        Event(30.0, "up", "/srv/portico.toml", "three", "shop"),
    ):
        state.add_event(event)

    def texts(limit=9, after=None, **wanted):
        return [each.text for each in state.events(EventFilter(**wanted), limit, after=after)]

    assert texts() == ["one", "two", "three"]
    assert texts(2) == ["two", "three"]
    assert texts(2, after=0) == ["one", "two"]
    assert texts(9, after=2) == ["three"]
    assert texts(subject="web") == ["one", "two"]
    assert texts(subject="shop", project="shop") == texts(project="shop") == ["two", "three"]
    assert texts(kinds=("exit", "up")) == ["one", "three"]
    assert texts(before=3) == ["one", "two"]
    assert texts(since=20.0) == ["two", "three"]
    assert texts(since=10.0, until=30.0) == ["one", "two"]
    found = state.events(EventFilter("web"), 1)[0]
    assert (found.uid, found.command, found.number) == (1000, "portico scale web 3", 2)


def test_a_clock_that_jumps_ahead_leaves_the_newest_events(begin):
    state = begin()
    with state.transaction():
        for n in range(EVENTS_OF_ANY_AGE + 50):
            state.add_event(Event(n, "kind", "web", str(n)))

    state.drop_events(1e12)

    assert len(state.events(EventFilter(), 1_000_000)) == EVENTS_OF_ANY_AGE
    assert state.last_event() == EVENTS_OF_ANY_AGE + 50


def test_writes_together_are_all_done_or_none(begin):
    state = begin()
    state.put_app(AppRecord("web", spec("v1"), None))

    def broken_off():
        with state.transaction():
            state.put_app(AppRecord("web", spec("v2"), None))
            state.add_revision(revision())
            raise Failed("as a test")

    with pytest.raises(Failed, match="as a test"):
        broken_off()
    assert (state.revisions(), set(state.specs())) == ([], {"v1"})

    with state.transaction():
        state.put_app(AppRecord("web", spec("v2"), None))
        state.add_revision(revision())
    assert (len(begin().revisions()), set(begin().specs())) == (1, {"v2"})


def test_what_becomes_of_many_instances_is_one_transaction_and_one_side_file(begin, path):
    state, said = begin(), []
    state.put_app(AppRecord("web", spec("v1"), None))
    state._db.set_trace_callback(said.append)  # noqa: SLF001 - no other way to count them
    with state.transaction(durable=False):
        for _ in range(100):
            state.put_instance(instance(state.next_serial("web")))
        for number in range(1, 51):
            state.drop_instance(instance(number).id)
    assert sum(each == "COMMIT" for each in said) == 1
    assert sum(each.startswith("DELETE FROM spec") for each in said) == 1
    rows = "json_group_array(json_array(id, spec, record)) FROM instance"
    assert sum(rows in each for each in said) == 1  # for the side file
    assert (
        len(json.loads(path.with_name("instances.json").read_text())["tables"]["instance"]) == 50
    )


def garbage(path):
    path.write_bytes(b"no database at all" * 1000)


def half(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // 4096 * 4096)


def torn(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [garbage, half, torn])
def test_a_damaged_file_is_put_aside_and_what_is_in_force_goes_on(begin, path, damage):
    first = begin()
    fill(first)
    first.close()
    damage(path)
    damaged = path.read_bytes()

    state = begin()

    [trouble] = state.troubles
    assert "was damaged" in trouble
    assert (
        "portico.db.damaged-1; starting with an empty database; the file in force was restored"
        in trouble
    )
    assert "events are lost" in trouble
    assert path.with_name("portico.db.damaged-1").read_bytes() == damaged
    assert state.revisions() == [replace(revision(), number=1)]
    assert state.apps() == [AppRecord("web", spec("v2"), spec("v1"), stopped=True)]
    assert state.instances() == [instance(1)]
    assert state.setting("discovery") == "127.0.0.1:41053"
    assert state.next_serial("web") == 2
    assert state.add_revision(revision()).number == 2
    assert state.events(EventFilter(), 9) == []
    assert begin().troubles == []


def test_a_second_damaged_file_does_not_replace_the_first(begin, path):
    for number in (1, 2):
        garbage(path)
        state = begin()
        state.close()
        assert f"damaged-{number};" in state.troubles[0]
    assert len(list(path.parent.glob("portico.db.damaged-?"))) == 2


def settle(path):
    """All is in the file now, and nothing of it in the memory of another connection."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE setting SET value = value")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()


@pytest.mark.parametrize("damage", [garbage, half, torn])
def test_a_file_that_is_damaged_while_in_use_is_put_aside_at_once(begin, path, damage):
    state, told = begin(), []
    fill(state)
    state.report_to(told.append)
    settle(path)
    damage(path)

    assert state.events(EventFilter(), 9) is not None  # whichever part of the file is read first
    assert state.revisions() == [replace(revision(), number=1)]
    assert state.apps() == [AppRecord("web", spec("v2"), spec("v1"), stopped=True)]
    assert state.instances() == [instance(1)]
    state.put_instance(instance(2))
    assert "was damaged" in told[0]
    assert len(begin().instances()) == 2


def test_a_write_to_a_file_that_is_damaged_fails_once_and_says_so(begin, path):
    state = begin()
    fill(state)
    settle(path)
    garbage(path)
    with pytest.raises(Failed, match=r"starting with a new file"):
        state.put_instance(instance(2))
    state.put_instance(instance(2))
    assert len(state.instances()) == 2


def test_a_lost_file_is_made_again_from_what_stands_beside_it(begin, path):
    first = begin()
    fill(first)
    first.close()
    path.write_bytes(b"")

    state = begin()

    assert (
        "was missing or empty; starting with an empty database; the file in force"
        in state.troubles[0]
    )
    assert (state.instances(), len(state.apps())) == ([instance(1)], 1)


@pytest.mark.parametrize("text", ["", "{", '{"version": 99, "tables": {}}', '{"version": 1}'])
def test_unusable_side_files_are_told_and_spoil_nothing(begin, path, text):
    first = begin()
    fill(first)
    first.close()
    garbage(path)
    for name in ("in-force.json", "instances.json"):
        path.with_name(name).write_text(text)

    state = begin()

    assert "the file in force was lost: run `portico up` again" in state.troubles[0]
    assert "stop them by hand" in state.troubles[0]
    assert (state.instances(), state.apps(), state.revisions()) == ([], [], [])
    fill(state)


def test_a_file_of_a_newer_portico_is_left_alone(begin, path):
    begin().close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = path.read_bytes()

    with pytest.raises(Failed, match=r"newer Portico.*nothing was changed"):
        begin()

    assert path.read_bytes() == before
    assert not list(path.parent.glob("*damaged*"))


def test_a_path_that_cannot_be_opened_is_told(begin, path):
    path.mkdir()
    with pytest.raises(Failed, match=rf"cannot use {path}: .*directory"):
        begin()


def test_a_file_that_another_program_holds_is_told_and_works_again_afterwards(begin, path):
    state = begin()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(
        Failed, match=r"cannot record instance web.1.1 in .*locked.*running apps are"
    ):
        state.put_instance(instance(1))
    other.execute("ROLLBACK")
    other.close()

    state.put_instance(instance(1))
    assert state.instances() == [instance(1)]


def memory(failures=2):
    trouble = Trouble(failures, "no answer", 100.0, 160.5)
    window = Window("id.7", 5.0, 9.0, 7.25, "https://page")
    return RenewalState(
        "a.test",
        {"https://ca": trouble},
        {"www.a.test": trouble},
        window,
        3.0,
        8.0,
        served="7f",
        served_at=7.0,
        hook_trouble=trouble,
        hooks_left=(("reload", "postfix"),),
        staged=("a",),
        revoked="6e",
    )


def entry(at, n=0):
    return Entry(at, "https://ca", "order", ("a.test",), f"a.test.{n}", exempt=n == 1, until=None)


def test_what_is_known_of_certificates_survives_and_nothing_is_known_of_others(begin):
    state = begin()
    assert (state.renewal_state("a.test"), state.renewal_states()) == (RenewalState("a.test"), {})
    state.put_renewal_state(memory())
    state.put_renewal_state(memory(3))
    state.put_renewal_state(RenewalState("b.test"))
    again = begin()
    assert again.renewal_state("a.test") == memory(3)
    assert again.renewal_states() == {"a.test": memory(3), "b.test": RenewalState("b.test")}
    again.drop_renewal_state("b.test")
    assert list(begin().renewal_states()) == ["a.test"]


def test_the_ledger_is_kept_in_its_order_and_a_clock_that_was_ahead_is_put_right(begin):
    state = begin()
    state.add_ledger([entry(10.0), entry(20.0, 1)])
    state.add_ledger([entry(900.0, 2)])
    assert begin().ledger_since(20.0) == [entry(20.0, 1), entry(900.0, 2)]
    state.no_ledger_after(30.0)
    assert begin().ledger_since(0.0) == [entry(10.0), entry(20.0, 1), entry(30.0, 2)]


def return_to_tables_of(path, version):
    """As an earlier Portico left the file, as far as its scripts would notice."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        for column in ("project", "uid", "command"):
            db.execute(f"ALTER TABLE event DROP COLUMN {column}")
        for table in ("notified", "cluster", "mirror"):
            db.execute(f"DROP TABLE {table}")
        db.execute(f"PRAGMA user_version = {version}")


def test_what_was_kept_of_a_shell_and_never_used_is_gone_from_the_files(begin, path):
    """The tables of version 2 had its whole environment."""
    shell = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    all_of_it = {"apps": {"web": {"command": "x", "inherit_env": True}}}
    plain = {"apps": {"web": {"command": "x"}}}
    state = begin()
    for document in (plain, all_of_it):
        state.add_revision(Revision(0, 1.0, "ana", "portico.toml", "/srv", document, shell))
    kept, dropped = (
        replace(spec("v1", inherit_env=True), environ=shell),
        replace(spec("v2"), environ=shell),
    )
    state.put_app(AppRecord("web", dropped, kept))
    state.close()
    return_to_tables_of(path, 2)

    state = begin()

    used = {"PATH": "/bin", "LC_ALL": "C"}
    assert [each.environ for each in state.revisions()] == [shell, used]
    assert state.specs()["v1"].environ == shell
    assert state.specs()["v2"].environ == used
    state.drop_app("web")
    state.add_revision(Revision(0, 1.0, "ana", "portico.toml", "/srv", plain, used))
    assert state.revisions()[0].environ == used
    saved = (path.parent / "in-force.json").read_text()
    assert "hush-hush" not in saved


@pytest.mark.parametrize(("before", "after"), [("7", '{"default": 7}'), ("", "{}")])
def test_what_was_in_force_before_there_were_projects_is_so_of_the_default_one(
    begin, path, before, after
):
    state = begin()
    state.put_setting("in_force", before)
    state.close()
    return_to_tables_of(path, 3)
    assert begin().setting("in_force") == after


def test_no_byte_of_a_shells_secret_is_left_in_the_files(begin, path):
    state = begin()
    shell = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    plain = {"apps": {"web": {"command": "x"}}}
    state.add_revision(Revision(0, 1.0, "ana", "portico.toml", "/srv", plain, shell))
    state.put_app(AppRecord("web", replace(spec(), environ=shell), None))
    state.close()
    return_to_tables_of(path, 2)
    assert any(b"hush-hush" in file.read_bytes() for file in path.parent.iterdir())

    begin()

    assert not [f.name for f in path.parent.iterdir() if b"hush-hush" in f.read_bytes()]


def test_a_database_of_the_version_before_gets_the_new_tables_and_keeps_the_rest(begin, path):
    db = sqlite3.connect(path)
    db.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
    db.execute("INSERT INTO setting VALUES ('a', 'b')")
    db.commit()
    db.close()
    state = begin()
    assert (state.setting("a"), state.renewal_states(), state.troubles) == ("b", {}, [])


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_revision_in_force_is_kept_however_many_other_projects_add(begin, path):
    state = begin()
    shop = replace(revision(), project="shop")
    state.add_revision(shop)
    with state.transaction():
        for _ in range(REVISIONS_KEPT + 10):
            number = state.add_revision(revision()).number
            state.put_setting("in_force", json.dumps({"shop": 1, "default": number}))
    assert state.revisions()[-1] == replace(shop, number=1)
    saved = json.loads((path.parent / "in-force.json").read_text())["tables"]
    assert sorted(row[0] for row in saved["revision"]) == [1, number]


def test_an_event_that_cannot_be_recorded_refuses_nothing(small_disk, caplog):
    state = SqliteState(small_disk / "portico.db")
    fill_disk(small_disk / "filler")
    for _ in range(1000):
        state.add_event(Event(1.0, "stop", "web", "by me " * 100))
        if caplog.messages:
            break
    assert caplog.messages[0].startswith("stop of web: by me")
    assert "cannot record an event" in caplog.messages[0]


def fill_disk(file):
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as room:
        while room.write(b"x" * 4096):
            pass


def test_a_full_disk_is_told_loses_nothing_and_is_forgotten_when_there_is_room(small_disk):
    state = SqliteState(small_disk / "portico.db")
    state.put_instance(instance(1))
    fill_disk(small_disk / "filler")

    with pytest.raises(Failed, match=r"cannot record.*full.*nothing was written"):
        state.put_instance(instance(1, reason="again " * 100_000))
    assert state.instances() == [instance(1)]

    (small_disk / "filler").unlink()
    state.put_instance(instance(2))
    state.close()
    again = SqliteState(small_disk / "portico.db")
    assert again.instances() == [instance(1), instance(2)]
    assert again.troubles == []
    again.close()


def test_the_copy_of_what_a_cluster_shares_is_kept_for_one_cluster(begin):
    state = begin()
    a, b = StoredItem(b"\0a", 3, 2), StoredItem(b"b", 4, 4)
    assert state.mirror("one") is None
    state.put_mirror("one", Changes(4, {"/a": a, "/b": b, "/absent": None}))
    state.put_mirror("one", Changes(5, {"/b": None}))
    assert state.mirror("one") == Snapshot(5, {"/a": a})
    assert state.mirror("two") is None
    state.put_mirror("two", Changes(1, {"/b": b}))
    assert state.mirror("one") is None
    assert state.mirror("two") == Snapshot(1, {"/b": b})
