"""Paths in certbot's folder, and names that are nearly the same."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

_LIVE_PATH: Final = re.compile(r"/live/([^/]+)/[^/]+$")
CERTBOT_FILES: Final = ("fullchain.pem", "privkey.pem", "chain.pem", "cert.pem")


def lineage_of(path: str) -> str:
    """`example.com` of `/etc/letsencrypt/live/example.com/fullchain.pem`; empty for others. What
    certbot appends to a second one of the same name is left out.
    """
    found = _LIVE_PATH.search(path)
    return re.sub(r"-\d{4}$", "", found[1]) if found else ""


def meant_file(path: str) -> str:
    """The file of certbot that a misspelt one was meant to be; empty where it is none."""
    name = PurePath(path).name
    if not lineage_of(path) or name in CERTBOT_FILES or name == "README":
        return ""
    return next((each for each in CERTBOT_FILES if distance(name, each) <= 2), "")  # noqa: PLR2004


def is_one_letter_off(name: str, other: str) -> bool:
    """Not where one is a number next to the other: `web1` and `web2` are two names."""
    if distance(name.lower(), other.lower()) != 1:
        return False
    return re.sub(r"\d", "", name) != re.sub(r"\d", "", other)


def distance(one: str, other: str) -> int:
    """Of Levenshtein, with a swap of neighbours as one; 9 where it is above 2 anyway."""
    if abs(len(one) - len(other)) > 2:  # noqa: PLR2004
        return 9
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
