"""What others say reaches a terminal as text, and nothing of it is obeyed."""

from __future__ import annotations

import codecs
import io
import json
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.cli.main import _surrogate_bytes
from portico.cli.session import as_json
from portico.cli.tail import Tail
from portico.cli.terminal import Terminal
from portico.daemon.main import _SafeFormatter
from portico.system.printable import printable
from tests.examples import examples

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OBEYED = {
    "OSC 52, the clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "OSC 8, a link": "\x1b]8;;http://evil.test\x1b\\portico\x1b]8;;\x1b\\",
    "OSC 0, the title": "\x1b]0;root\x07",
    "CSI 2J, clear": "\x1b[2J\x1b[H",
    "CSI A, a line up": "done\x1b[1A\x1b[2Kfailed",
    "DCS": '\x1bP$q"p\x1b\\',
    "DECSET": "\x1b[?1049h",
    "a report that is typed": "\x1b[6n\x1b[c",
    "SGR 8, hidden text": "\x1b[8msecret",
    "BEL": "\x07",
    "CR over a line": "web.1 failed\rweb.1 ready ",
    "backspaces": "failed\b\b\b\b\b\bready ",
    "C1 CSI": "\x9b2J",
    "C1 OSC": "\x9d52;c;AAAA\x9c",
    "DEL": "\x7f",
    "RLO": "\u202egnp.exe",
    "isolates": "\u2066a\u2067b\u2068c\u2069",
    "RLM": "\u200f",
    "zero width": "p\u200bo\u200crt\u200dico\ufeff",
    "tags": "\U000e0041\U000e007f",
    "separators": "a\u2028b\u2029c\x85d",
    "half a pair": "\ud800",
    "bytes": "\udc9b2J\udcff",
}


class Tty(io.StringIO):
    def isatty(self):
        return True


def said(text, *, tty=True, act="write", **environ):
    out = Tty() if tty else io.StringIO()
    getattr(Terminal(out, out, environ), act)(text)
    return out.getvalue()


def is_plain(text):
    return all(
        c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text
    )


@pytest.mark.parametrize("act", ["write", "write_stderr", "write_raw"])
@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED.keys())
def test_what_a_terminal_would_obey_is_shown(text, act):
    shown = said(text, act=act)
    assert is_plain(shown)
    assert "\\x" in shown or "\\u" in shown or "\\U" in shown or "\\r" in shown
    assert is_plain(said(text, act="write", tty=False))


def test_what_is_shown_is_written_as_python_writes_it():
    assert printable("a\x1b]0;x\x07\r\u202e\udcff\U000e0041") == (
        r"a\x1b]0;x\x07\r\u202e\xff\U000e0041"
    )


@pytest.mark.parametrize(
    "text",
    ["plain", "two\nlines\tand a tab", "Büro 日本　語 😀 e\u0301", "\u00a0\u3000", "\\x1b", ""],
)
def test_plain_text_of_any_language_stays_as_it_is(text):
    assert said(text) == f"{text}\n"


@examples(60)
@given(st.text(max_size=30) | st.text(st.sampled_from("\x1b[]0123456789;m\x07\r\n\x9b\u202ea")))
def test_nothing_but_plain_characters_and_colours_reaches_a_terminal(text):
    shown = said(text)
    assert is_plain(COLOURS.sub("", shown))
    assert printable(printable(text)) == printable(text)
    if found := COLOURS.findall(shown):
        assert found[-1] in {"\x1b[0m", "\x1b[m"}


def test_colours_of_programs_stay_on_a_terminal_and_end_with_their_line():
    assert said("\x1b[1;31mred\x1b[0m") == "\x1b[1;31mred\x1b[0m\n"
    assert said("\x1b[38;5;208morange") == "\x1b[38;5;208morange\x1b[0m\n"
    assert said("\x1b[38;2;1;2;3mown") == "\x1b[38;2;1;2;3mown\x1b[0m\n"
    assert said("\x1b[31mred", NO_COLOR="1") == "red\n"
    assert said("\x1b[31mred", TERM="dumb") == "red\n"


def test_what_programs_read_is_exact_unless_a_terminal_gets_it():
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u200b \udcff"
    assert said(text, act="write_raw", tty=False) == f"{text}\n"
    assert is_plain(COLOURS.sub("", said(text, act="write_raw")))


def test_a_byte_that_is_no_utf_8_leaves_as_that_byte():
    codecs.register_error("portico-test", _surrogate_bytes)
    raw = b"caf\xe9 \xff\x80"
    text = raw.decode(errors="surrogateescape")
    assert text.encode("utf-8", "portico-test") == raw
    assert "a\ud800ü".encode("ascii", "portico-test") == b"a??"


@examples(50)
@given(st.lists(st.text(max_size=9)) | st.dictionaries(st.text(max_size=9), st.integers()))
def test_json_stays_exact_data_on_a_terminal_too(value):
    shown = said(as_json(value), act="write_raw")
    assert is_plain(shown)
    assert json.loads(shown) == value


def test_cells_of_a_table_are_as_wide_as_they_are_shown():
    out = Tty()
    terminal = Terminal(out, out, {"NO_COLOR": "1"})
    terminal.table(("name", "state"), [("a\x1b[2J", "!"), ("b", "?")])
    first, *rows = out.getvalue().splitlines()
    assert {row.index(cell) for row, cell in zip(rows, "!?", strict=True)} == {
        first.index("state")
    }


def test_no_word_of_others_begins_a_line_of_the_daemons_log():
    record = logging.LogRecord(
        "p", logging.INFO, "", 0, "%s", ("a\n2026 INFO b\x1b[2J\u202e",), None
    )
    shown = _SafeFormatter("%(levelname)s %(message)s").format(record)
    assert shown == "INFO a\n  2026 INFO b\\x1b[2J\\u202e"


def test_a_line_without_an_end_comes_in_pieces(tmp_path):
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * (3 << 20) + b"\nlast\n")
    tail = Tail(log, lines=None)
    pieces = [line for lines in tail.lines_so_far() for line in lines]
    tail.close()
    assert [len(each) for each in pieces[:3]] == [1 << 20] * 3
    assert pieces[-1] == "last"
    assert "".join(pieces) == "x" * (3 << 20) + "last"


def test_the_last_lines_are_looked_for_only_so_far_back(tmp_path):
    log = tmp_path / "web.log"
    with log.open("wb") as file:
        file.truncate(1 << 33)  # 8 GiB without an end of a line, and no byte of them on a disk
        file.seek(0, io.SEEK_END)
        file.write(b"\nlast\n")
    tail = Tail(log, lines=2)
    total = sum(len(line) for lines in tail.lines_so_far() for line in lines)
    tail.close()
    assert total < 3 << 20


@examples(50)
@given(st.binary(max_size=300), st.integers(0, 5))
def test_lines_of_any_bytes_are_kept_byte_by_byte(tmp_path_factory, content, wanted):
    log = tmp_path_factory.mktemp("logs") / "web.log"
    log.write_bytes(content)
    tail = Tail(log, lines=wanted)
    lines = [line for lines in tail.lines_so_far() for line in lines] + tail.unended_line()
    tail.close()
    shown = "\n".join(lines).encode(errors="surrogateescape")
    assert content.rstrip(b"\n").endswith(shown.rstrip(b"\n"))
