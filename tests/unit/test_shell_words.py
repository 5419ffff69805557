from __future__ import annotations

import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portico.core.planning.shell_words import assignments, split

VARIABLES = {"PORT": "41003", "HOST": "a b", "EMPTY": ""}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node index.js", ["node", "index.js"]),
        ("  node\tindex.js\n", ["node", "index.js"]),
        ("uvicorn app:app --port $PORT", ["uvicorn", "app:app", "--port", "41003"]),
        ("serve --listen=0.0.0.0:${PORT}", ["serve", "--listen=0.0.0.0:41003"]),
        ("serve ${LISTEN:-$}", ["serve", "$"]),
        ("serve ${EMPTY:-8000} ${PORT:-8000}", ["serve", "8000", "41003"]),
        ("echo '$PORT' \\$PORT", ["echo", "$PORT", "$PORT"]),
        ('echo "at $PORT" "\\$PORT \\n"', ["echo", "at 41003", "$PORT \\n"]),
        ("echo $HOST", ["echo", "a b"]),  # a value is never split
        ('echo $EMPTY a$EMPTY "$EMPTY"', ["echo", "a", ""]),
        ("echo a''b \"\" ''", ["echo", "ab", "", ""]),
        ("echo $ $1 5$", ["echo", "$", "$1", "5$"]),
        ("node \\\n index.js", ["node", "index.js"]),
        ("echo \"a|b\" 'a&&b' a\\;b", ["echo", "a|b", "a&&b", "a;b"]),
        ("", []),
    ],
)
def test_a_command_is_split_and_filled_in_as_a_shell_would(command, words):
    assert split(command, VARIABLES) == words


@pytest.mark.parametrize(
    ("command", "syntax"),
    [
        ("npm run build && node index.js", "&&"),
        ("node index.js | tee log", "|"),
        ("node index.js > log", ">"),
        ("node index.js >> log", ">>"),
        ("node index.js &", "&"),
        ("cd app; node index.js", ";"),
        ("node --port $(cat port)", "$("),
        ("node --port `cat port`", "`"),
        ('node "--port=$(cat port)"', "$("),
        ("node ${PORT%3}", "${"),
    ],
)
def test_what_only_a_shell_can_do_is_refused_with_the_line_that_does_it(command, syntax):
    with pytest.raises(ValueError) as caught:
        split(command, VARIABLES)
    assert f'holds "{syntax}", but is not run by a shell; write ["sh", "-c", "' in str(
        caught.value
    )


@pytest.mark.parametrize("command", ["node 'index.js", 'node "index.js', "node \\"])
def test_an_open_quote_is_an_error(command):
    with pytest.raises(ValueError, match="unclosed quote or a trailing backslash"):
        split(command, VARIABLES)


def test_a_variable_that_is_not_set_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"uses \$NOPE, which is not set; set it in env"):
        split("node --port $NOPE", VARIABLES)


def test_leading_assignments_are_taken_off():
    words = split("NODE_ENV=production A='b c' node B=1", VARIABLES)
    assert assignments(words) == ({"NODE_ENV": "production", "A": "b c"}, ["node", "B=1"])
    assert assignments(["A=1"]) == ({"A": "1"}, [])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node \\\n  index.js", ["node", "index.js"]),
        ("in\\\ndex.js", ["index.js"]),
        ('"in\\\ndex.js"', ["index.js"]),
        ("'in\\\ndex.js'", ["in\\\ndex.js"]),
        ("a\\\\\nb", ["a\\", "b"]),
        ("\\\n", []),
    ],
)
def test_a_backslash_at_the_end_of_a_line_joins_it_as_in_sh(command, words):
    assert split(command, {}) == words


@given(st.text(st.sampled_from("ab =-/.'\"\\\n\té*?~#"), max_size=30))
def test_without_variables_and_operators_it_splits_as_shlex_does(command):
    assume("\\\n" not in command)  # to shlex a joined line is a newline; sh takes both away
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(ValueError):
            split(command, {})
    else:
        assert split(command, {}) == expected


@given(st.text(max_size=30))
def test_any_text_is_split_or_refused(command):
    try:
        assert all("\0" not in word or "\0" in command for word in split(command, VARIABLES))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ends are fine


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_value_reaches_the_program_as_it_is(value):
    assert split('serve "$VALUE" x$VALUE', {"VALUE": value}) == ["serve", value, f"x{value}"]
