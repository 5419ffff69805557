from __future__ import annotations

import pytest

from tests.documents import problems_of

FILE = 'apps.web.command = "run"\n[sites."a.test"]\napp = "web"\n[sites."a.test".routes]\n'
ANY = '{match = {query = {a = true}}, app = "web"}'


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ('"/x" = []', '."/x": is an empty list'),
        (
            f'"/x" = [{{app = "web"}}, {ANY}]',
            '."/x"[0]: has no match, so the routes after it are never reached',
        ),
        (
            '"/x" = {match = {}, app = "web"}',
            '."/x".match: needs method, header, cookie or query',
        ),
        (
            '"/x" = {match = {header = {A = "~ (a"}}, app = "web"}',
            '."/x".match.header.A: is not a regular expression: a ( is not closed',
        ),
        (
            '"/x" = {match = {query = {a = "~ (?<args>a)"}}, app = "web"}',
            '."/x".match.query.a: captures "args", which is a variable of nginx',
        ),
        (
            f'"/x" = [{ANY}, {{folder = {{path = "p", listing = true}}}}]',
            (
                '."/x"[1].folder.listing: '
                "cannot be used in a route with match, or that shares its path"
            ),
        ),
        (
            f'"/x" = [{ANY}, {{app = "wep"}}]',
            '."/x"[1].app: there is no app "wep" (did you mean "web"?)',
        ),
        ('"/" = "web"', None),
    ],
)
def test_what_is_wrong_with_routes_of_one_path(routes, problem):
    (found,) = problems_of(FILE + routes)
    if problem:
        assert found == f'sites."a.test".routes{problem}'
    else:
        assert "which are the same" in found


@pytest.mark.parametrize(
    "routes",
    [
        f'"/" = {ANY}',
        f'"/" = [{ANY}, {ANY}]',
        f'"/x" = [{ANY}, {{redirect = "/x"}}]',
        '"/x" = {match = {header = {A = "~* ^a"}}, redirect = "/x"}',
        '"= /x" = {match = {method = "POST"}, app = "web"}',
    ],
)
def test_what_is_right_with_routes_of_one_path(routes):
    assert problems_of(FILE + routes) == []


@pytest.mark.parametrize("key", ["header.X_Api", 'cookie."a=b"', 'query."a&b"', 'header."a b"'])
def test_a_name_that_no_request_has(key):
    assert len(problems_of(f'{FILE}"/x" = {{match.{key} = "1", app = "web"}}')) == 1
