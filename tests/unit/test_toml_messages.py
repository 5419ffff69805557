"""What is wrong with the TOML of a file is said with its line, in words of the file."""

from __future__ import annotations

import pytest

from portico.errors import ConfigError
from portico.importers.read import read_file

APP = '[apps.web]\ncommand = "x"\n'


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[apps.web]\ncommand = "x\n', "line 2,", "the text has no closing quote"),
        ("[apps.web]\ncommand = x\n", "line 2,", "has no valid value; text must be in quotes"),
        (f"{APP}\n[apps.web]\n", "line 4,", "[apps.web] appears twice"),
        (f'{APP}command = "y"\n', "line 3,", "the key appears twice"),
        (f"{APP}env\n", "line 3,", "expected '=' after a key in a key/value pair"),
        (f"{APP}args = [\n", "line 3", "has no valid value; text must be in quotes"),
        (f'{APP}name = """a\nb\n', "line 4", "unterminated string"),
        (f"{APP}env = {{\n", "line 3,", "expected a key; a table in braces is one line"),
        (
            f'{APP}args = "\\.js"\n',
            "line 3,",
            "a backslash in double quotes is doubled; or use single quotes",
        ),
        (f"{APP}[apps.api\n", "line 3,", "expected ']' at the end of a table declaration"),
    ],
)
def test_a_mistake_of_toml_is_said_with_its_line(tmp_path, text, place, words):
    (tmp_path / "portico.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(tmp_path, {})
    [problem] = caught.value.problems
    assert problem.where.startswith(place)
    assert problem.what == words
