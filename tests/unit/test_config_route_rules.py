from __future__ import annotations

import pytest

from tests.documents import problems_of

FORMS = 'must be "/prefix", "= /exact", "~ regex", "~* regex" or "^~ /prefix"'


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("api", f'{FORMS} (did you mean "/api"?)'),
        ("=/api", f'{FORMS} (did you mean "= /api"?)'),
        ("=  /api", f'{FORMS} (did you mean "= /api"?)'),
        ("~[.]php$", f'{FORMS} (did you mean "~ [.]php$"?)'),
        ("^~/api", f'{FORMS} (did you mean "^~ /api"?)'),
        ("", FORMS),
        ("@name", FORMS),
        ("/a\nb", FORMS),
        ("/a?b=c", "never matches: it is compared with a request's path, which has no ?"),
        ("~ (a", "is not a regular expression: a ( is not closed"),
        ("~ a)", "is not a regular expression: unmatched )"),
        ("~* [a-z", "is not a regular expression: a [ is not closed"),
        ("~ *.php", "is not a regular expression: nothing to repeat before *"),
        ("~ a|+", "is not a regular expression: nothing to repeat before +"),
        ("~ a\\", "is not a regular expression: trailing \\"),
    ],
)
def test_a_route_that_nginx_would_not_take(key, problem):
    table = {"sites": {"a.test": {"routes": {key: {"folder": "x"}}}}}
    (told,) = problems_of(table)
    assert told.endswith(f": {problem}")
    assert told.startswith('sites."a.test".routes.')


@pytest.mark.parametrize(
    "key",
    [
        "/",
        "/api/",
        "/über uns",
        "= /",
        "~ \\.php$",
        "~* ^/(a|b)[)(]x[^]]$",
        "~ [[:alpha:]]+\\(",
        "~ \\Q(\\E*",
        "~ [|*?]",
        "~ (?<user>[^/]+)/[]a]",
        "^~ /static/",
    ],
)
def test_a_route_that_nginx_takes(key):
    assert problems_of({"sites": {"a.test": {"routes": {key: {"folder": "x"}}}}}) == []


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ('"/x" = "wep"', '."/x": there is no app or upstream "wep" (did you mean "web"?)'),
        (
            '"/x" = "/var/www"',
            (
                '."/x": there is no app or upstream "/var/www" '
                '(write { folder = "..." } or { redirect = "..." })'
            ),
        ),
        ('"/x" = "jobs"', '."/x": app "jobs" has no port: its port is false'),
        ('"/x".app = "wep"', '."/x".app: there is no app "wep" (did you mean "web"?)'),
        ('"/x" = {}', '."/x": needs app, upstream, folder or redirect: the site has none'),
        (
            '"/x" = { redirect = "/", folder = "y" }',
            '."/x": has folder and redirect; set only one',
        ),
        (
            '"/x" = { app = "web", folder = { path = "y", spa = true } }',
            '."/x".folder.spa: cannot be combined with app',
        ),
        (
            '"/x" = { app = "web", folder = { path = "y", listing = true } }',
            '."/x".folder.listing: cannot be combined with app',
        ),
        (
            '"~ x" = { app = "web", strip_prefix = true }',
            '."~ x".strip_prefix: needs a prefix, but the route is a regex',
        ),
        (
            '"= /x" = { app = "web", strip_prefix = true }',
            '."= /x".strip_prefix: needs a prefix, but the route is an exact path',
        ),
        (
            '"/x" = { redirect = "/y", grpc = true }',
            '."/x".grpc: needs an app or an upstream, not redirect',
        ),
    ],
)
def test_a_route_that_leads_nowhere(route, problem):
    apps = 'apps.web.command = "x"\napps.jobs = { command = "x", port = false }'
    told = problems_of(f'{apps}\n[sites."a.test".routes]\n{route}')
    assert told == [f'sites."a.test".routes{problem}']


def test_two_forms_of_a_prefix_are_one_route():
    assert problems_of(
        """
        [sites."a.test".routes]
        "/x".folder = "a"
        "^~ /x".folder = "b"
        """
    ) == ['sites."a.test".routes."^~ /x": is the same path as sites."a.test".routes."/x"']


def test_a_route_without_a_target_has_that_of_its_site():
    assert not problems_of(
        """
        apps.web.command = "x"
        sites."a.test" = { app = "web", routes."/upload".client_max_body_size = "1g" }
        """
    )
