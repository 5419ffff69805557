from __future__ import annotations

import pytest

from portico.core.model.desired import Desired, Listeners
from portico.core.model.edge import Edge
from portico.core.model.site import Site
from portico.core.planning.file_effects import is_move_unset, moved_ports


def served(http: int, https: int, edge: dict[str, int] | None = None) -> Desired:
    sites = {"app.test": Site(redirect="/")}
    return Desired(sites=sites, listeners=Listeners(http, https, ()), edge=Edge(**edge or {}))


BEFORE = served(80, 443)


@pytest.mark.parametrize(
    ("after", "moved", "is_unset"),
    [
        (served(80, 443), "", False),
        (served(8080, 8443), "from 80 and 443 to 8080 and 8443", True),
        (served(8080, 443, {"https": 443}), "from 80 and 443 to 8080 and 443", True),
        (served(8080, 8443, {"http": 8080}), "from 80 and 443 to 8080 and 8443", True),
        (served(81, 444, {"http": 81, "https": 444}), "from 80 and 443 to 81 and 444", False),
        (served(81, 443, {"http": 81}), "from 80 and 443 to 81 and 443", False),
        (Desired(listeners=Listeners(8080, 8443, ())), "", True),
    ],
)
def test_where_nginx_moves_and_whether_a_file_says_so(after, moved, is_unset):
    assert moved_ports(BEFORE, after) == moved
    assert is_move_unset(BEFORE, after) is is_unset


def test_what_served_no_site_moves_nothing():
    assert moved_ports(Desired(listeners=Listeners(8080, 8443, ())), BEFORE) == ""
