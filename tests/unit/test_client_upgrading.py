from __future__ import annotations

import pytest

from portico.cli.commands.upgrade import Replacement
from portico.client.upgrading import is_newer


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [
        ("0.2.0", "0.1.0", True),
        ("0.10.0", "0.9.2", True),
        ("1.0", "0.99.99", True),
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.2.0", False),
        ("0.2.0rc1", "0.1.9", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, than, newer):
    assert is_newer(version, than=than) is newer


@pytest.mark.parametrize(
    ("replaced", "says"),
    [
        (Replacement("1.31.3", "1.31.4", 7, 8), "1.31.3 → 1.31.4"),
        (Replacement("1.31.3", "1.31.3", 7, 8), "1.31.3 restarted"),
        (Replacement("1.31.3", "1.31.3", 7, 7), "1.31.3 unchanged"),
        (Replacement("", "", None, None), "not running"),
    ],
)
def test_what_became_of_a_program_is_said_in_two_words(replaced, says):
    assert str(replaced) == says
