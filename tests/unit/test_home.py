"""PORTICO_HOME: which folders can be one, and who else could change it."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.certificates.trust import TrustStores
from portico.client.connect import connect
from portico.client.systemd import name_of, quote
from portico.daemon.main import _lock
from portico.errors import Refused
from portico.system.home import Home

STRANGER = 54_321


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "way" / "home")
    home.make()
    return home


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\x85", "\u202e", "\udcff"])
def test_a_home_has_no_character_that_cannot_be_printed(character):
    with pytest.raises(Refused, match="has unprintable characters") as caught:
        Home.find({"PORTICO_HOME": f"/srv/a{character}b"}, root=True)
    assert str(caught.value).isprintable()


def test_a_home_that_is_a_file_or_below_one_is_refused(tmp_path):
    (file := tmp_path / "file").touch()
    for path in (file, file / "home"):
        with pytest.raises(Refused, match=r"/file is a file; choose a folder$"):
            Home.find({"PORTICO_HOME": str(path)}, root=True)


def test_the_usual_home_is_below_the_home_folder_of_the_user():
    assert str(Home.find({"HOME": "/home/ann"}, root=False)) == str(
        Home(Path("/home/ann/.local/state/portico"))
    )
    own = pwd.getpwuid(os.geteuid()).pw_dir
    assert Home.find({}, root=False).path == Path(own) / ".local/state/portico"


def test_root_and_whoever_uses_sudo_have_one_home():
    sudo = {"HOME": "/home/ann", "USER": "root", "SUDO_USER": "ann", "XDG_STATE_HOME": "/home/a"}
    for environ in ({}, {"HOME": "/root"}, sudo):
        assert Home.find(environ, root=True).path == Path("/var/lib/portico")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_a_home_folder_is_asked_for_one_and_needs_no_other():
    os.seteuid(STRANGER)
    try:
        with pytest.raises(Refused, match=r"^user 54321 has no home folder: .*set PORTICO_HOME"):
            Home.find({}, root=False)
        home = Home.find({"PORTICO_HOME": "/srv/app"}, root=False)
        assert name_of(home, {}, root=False) == "portico@srv-app"
        assert TrustStores.find({}).homes == ()
    finally:
        os.seteuid(0)


def test_a_copy_of_a_home_that_is_still_there_is_refused_and_one_that_moved_is_not(tmp_path):
    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    first.make()
    first.claim()
    first.database.touch()
    shutil.copytree(first.path, second.path)
    for refuses in (second.claim, lambda: connect(second, {})):
        with pytest.raises(Refused, match=r"second as PORTICO_HOME: it is a copy of .*/first "):
            refuses()
    first.claim()
    (tmp_path / "link").symlink_to("first")
    Home(tmp_path / "link").claim()  # another path to the same home

    shutil.rmtree(first.path)  # restored elsewhere, or moved
    second.claim()
    shutil.copytree(second.path, first.path)
    with pytest.raises(Refused, match=r"it is a copy of .*/second "):
        first.claim()


@pytest.mark.parametrize("mode", [0o757, 0o1777])
def test_a_home_that_others_can_write_is_refused(home, mode):
    home.path.chmod(mode)
    with pytest.raises(Refused, match=r"everybody can write in .*/home; run `chmod go-w .*`"):
        home.make()


def test_a_folder_on_the_way_that_others_can_write_is_refused_unless_it_is_sticky(home):
    home.path.parent.chmod(0o777)
    with pytest.raises(Refused, match=r"everybody can write in .*/way; "):
        home.make()
    home.path.parent.chmod(0o1777)
    home.make()


def test_the_way_that_a_link_leads_counts_too(home, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open/link").symlink_to(home.path.parent)
    (tmp_path / "first").symlink_to("open/link")
    linked = Home(tmp_path / "first/home")
    linked.make()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(Refused, match=r"everybody can write in .*/open; "):
        linked.make()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_home_of_another_user_or_below_his_folder_is_refused(home):
    os.chown(home.path.parent, STRANGER, -1)
    with pytest.raises(Refused, match=f"/way belongs to user {STRANGER}, who could replace it"):
        home.make()
    os.chown(home.path, STRANGER, -1)
    with pytest.raises(Refused, match=f"it belongs to user {STRANGER}"):
        home.make()


def test_a_command_speaks_to_no_daemon_in_a_home_that_others_can_write(home):
    home.path.chmod(0o757)
    with pytest.raises(Refused, match=r"everybody can write in"):
        connect(home, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another group")
def test_a_group_may_write_only_if_it_is_the_users_own(home):
    home.path.chmod(0o775)
    home.make()
    os.chown(home.path, -1, STRANGER)
    with pytest.raises(Refused, match=f"group {STRANGER} can write in"):
        home.make()


@pytest.mark.parametrize("there", [False, True])
def test_only_its_user_can_open_the_lock_whatever_the_umask(home, there):
    if there:
        home.lock.write_text("")
        home.lock.chmod(0o644)
    before = os.umask(0)
    try:
        lock = _lock(home)
    finally:
        os.umask(before)
    assert lock
    with lock:
        assert home.lock.stat().st_mode & 0o777 == 0o600
        assert home.lock.read_text() == f"{os.getpid()}\n"
        assert not os.get_inheritable(lock.fileno())


def test_the_lock_is_no_link_to_something_else(home, tmp_path):
    target = tmp_path / "target"
    home.lock.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        _lock(home)
    assert not target.exists()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_a_word_of_a_unit_stays_one_word_or_is_refused(words):
    """Read again as systemd.syntax(7) and systemd.unit(5) say."""
    if not all(word.isprintable() for word in words):
        with pytest.raises(Refused):
            quote(*words)
        return
    line = quote(*words)
    assert line.isprintable()
    assert read_again(line) == words


def read_again(line: str) -> list[str]:
    words, characters = [], iter(line)
    for opening in characters:
        assert opening == '"'
        word = ""
        while (character := next(characters)) != '"':
            word += next(characters) if character == "\\" else character
        words.append(word.replace("%%", "%"))
        assert next(characters, " ") == " "
    return words
