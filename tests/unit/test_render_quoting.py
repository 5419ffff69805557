"""Whatever an operator writes into a field is refused, or is one argument for nginx."""

from __future__ import annotations

import json
import re
import tempfile
from functools import lru_cache

import crossplane
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portico.core.config.desired import desired_from
from portico.core.model.document import Document
from portico.core.render.directive import (
    DOLLAR,
    Raw,
    WithDollar,
    directive,
    literal,
    milliseconds,
    quote,
    size,
    to_text,
    whole_seconds,
    with_variables,
)
from portico.core.render.generation import render_generation
from portico.errors import Refused
from tests.examples import examples
from tests.hostile import FIELDS, INCLUDES, TEXTS, TIDIED, Field
from tests.rendered import place_for

BENIGN = "zqz"
EXACT = FIELDS | INCLUDES
hostile = st.text(
    st.sampled_from("\"'\\;{}#$ \n\r\t\0*~@=%/ab\u00fc\u2028")
    | st.characters(exclude_categories=["Cs"]),
    max_size=20,
) | st.sampled_from(TEXTS)


@pytest.mark.parametrize("field", EXACT)
@given(text=hostile)
@examples(25)
def test_text_is_refused_or_is_exactly_one_argument(field, text):
    check_exact(EXACT[field], text)


@pytest.mark.parametrize("field", TIDIED)
@given(text=hostile)
@examples(25)
def test_text_that_is_tidied_is_refused_or_is_one_argument(field, text):
    check_tidied(TIDIED[field], text)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_hand_made_texts_are_refused_or_are_one_argument(text):
    for field in EXACT.values():
        check_exact(field, text)
    for field in TIDIED.values():
        check_tidied(field, text)


def check_exact(field: Field, text: str) -> None:
    if conf := written(field, text):
        words, benign = words_of_difference(conf, written(field, BENIGN))
        assert words == [word.replace(BENIGN, text) for word in benign]


def check_tidied(field: Field, text: str) -> None:
    if conf := written(field, text):
        words, empty = words_of_difference(conf, written(field, ""))
        assert skeleton(words) == skeleton(empty)


def skeleton(words: list[str]) -> list[str]:
    return [word if word in {"<{>", "<}>", "<;>"} else "word" for word in words]


@lru_cache(maxsize=100)
def written(field: Field, text: str) -> str:
    """nginx.conf; empty if the text is refused."""
    try:
        return nginx_conf(field, text)
    except (ValidationError, Refused):
        return ""


def words_of_difference(*confs: str) -> list[list[str]]:
    """The words of each from the first to the last directive of http that is not in all of them,
    or of all where one before it is not either: to read all takes most of the time. A text that
    is more than an argument changes the words of its own directive, or where this ends.
    """
    several = [re.split(r"\n(?= {4}[^\s}]|\S)", conf) for conf in confs]
    first = _count_equal(*several)
    last = _count_equal(*(each[:first:-1] for each in several))
    parts = [each[first : len(each) - last] for each in several]
    if "http {" in parts[0]:
        parts = several
    return [words_of("\n".join(each)) for each in parts]


def _count_equal(*several: list[str]) -> int:
    pairs = enumerate(zip(*several, strict=False))
    return next((n for n, each in pairs if len({*each}) > 1), min(map(len, several)))


def words_of(directives: str) -> list[str]:
    """Every word as nginx reads it, what ends or opens a directive in angle brackets."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as file:
        file.write(directives)
        file.flush()
        lexed = list(crossplane.lex(file.name))
    return [
        f"<{word}>" if word in {"{", "}", ";"} and not quoted else _read(word)
        for word, _, quoted in lexed
    ]


def _read(word: str) -> str:
    """What crossplane leaves as it is, a doubled backslash, is one for nginx."""
    return word.replace("\\\\", "\\").replace(f"${{{DOLLAR}}}", "$")


def test_most_hostile_texts_reach_nginx_somewhere():
    """Otherwise the tests above would say little."""
    unheard = [text for text in TEXTS if not any(written(field, text) for field in EXACT.values())]
    assert unheard == [
        "\n", "a\nreturn 200;", "a\r\nX-Injected: 1", "\t", "\0", "\x1b[0m", "\x7f",
        "\ud800", "x" * 5000,
    ]  # fmt: skip


def test_a_refusal_names_the_site_and_what_still_holds():
    with pytest.raises(Refused) as caught:
        nginx_conf(FIELDS["header"], "x" * 5000)
    assert str(caught.value) == (
        f"sites.\"app.test\": cannot write 'a{'x' * 59}...' into nginx's configuration: it is "
        "longer than 4000 bytes; nothing was changed"
    )


def nginx_conf(field: Field, text: str) -> str:
    document = Document.model_validate_json(json.dumps(field(text)))
    desired = desired_from(document, folder="/p", environ={}, cores=1, root=True)
    return render_generation(desired, place_for(desired, root=True))["nginx.conf"]


def test_a_tree_is_written_as_nginx_reads_it():
    tree = directive(
        "server",
        block=(
            directive("listen", "80"),
            directive("types", block=()),
            directive("if", Raw("($a)")),
        ),
    )
    assert to_text([tree, directive("daemon", "on")]) == (
        "server {\n    listen 80;\n    types { }\n    if ($a);\n}\ndaemon on;\n"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain-1.5/a:b@c%d+e,f=*[g]", "plain-1.5/a:b@c%d+e,f=*[g]"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a"b\\', '"a\\"b\\\\"'),
        (Raw("$host"), "$host"),
        (WithDollar("^/a$"), '"^/a$"'),
        (literal("$5"), '"${portico_dollar}5"'),
        (with_variables("$5 $host"), '"${portico_dollar}5 ${host}"'),
        (with_variables("${http_accept}x$$host"), '"${http_accept}x${portico_dollar}host"'),
        (with_variables("$remote_addr.$"), '"${remote_addr}.${portico_dollar}"'),
        (with_variables("$pid ${home}"), '"${portico_dollar}pid ${portico_dollar}{home}"'),
    ],
)
def test_an_argument_is_quoted_where_it_has_to_be(given, expected):
    assert quote(given) == expected


@pytest.mark.parametrize("text", ["$", "a$host", "a\nb", "\x7f", "\ud800", "x" * 4001])
def test_what_cannot_stand_in_a_file_of_nginx_is_refused(text):
    with pytest.raises(Refused, match="nothing was changed"):
        quote(text)


def test_lengths_of_time_and_sizes_are_written_in_the_units_of_nginx():
    assert [milliseconds(s) for s in (0.001, 1.5, 2, 90)] == ["1ms", "1500ms", "2s", "90s"]
    assert [whole_seconds(s) for s in (1.0, 1.2, 0)] == ["1s", "2s", "0s"]
    assert [size(n) for n in (0, 1000, 2048, 3 << 20, (1 << 20) + 1)] == [
        "0", "1000", "2k", "3m", "1048577"
    ]  # fmt: skip
