from __future__ import annotations

import pytest

from tests.documents import problems_of


@pytest.mark.parametrize(
    ("site", "where"),
    [
        ('redirect = "https://a.test"', ".redirect"),
        ('redirect = "http://A.test/x"', ".redirect"),
        ('redirect = "/new"', ".redirect"),
        ('redirect = { to = "/", keep_path = true }', ".redirect"),
        ('aliases = ["www.a.test"]\nredirect = "https://www.a.test"', ".redirect"),
        ('aliases = ["*.a.test"]\nredirect = "https://x.y.a.test"', ".redirect"),
        ('folder = "x"\nroutes."/api".redirect = "/api/v2"', '.routes."/api".redirect'),
        ('folder = "x"\nroutes."= /a".redirect = "/a?b"', '.routes."= /a".redirect'),
        (
            'folder = "x"\nroutes."/a".redirect = { to = "https://a.test", keep_path = true }',
            '.routes."/a".redirect',
        ),
    ],
)
def test_a_redirect_that_leads_to_itself(site, where):
    assert problems_of(f'[sites."a.test"]\n{site}') == [
        f'sites."a.test"{where}: redirects to itself'
    ]


@pytest.mark.parametrize(
    "site",
    [
        'redirect = "https://b.test"',
        'redirect = "https://a.test:9443"',
        'redirect = "/new"\nroutes."/new".folder = "x"',
        'redirect = "/new"\nroutes."= /new".folder = "x"',
        'redirect = "/new"\nroutes."~ new".folder = "x"',
        'https = false\nredirect = "https://a.test"',
        'folder = "x"\nroutes."= /a".redirect = "/a/"',
        'folder = "x"\nroutes."/old".redirect = "/new"',
        'aliases = ["*.a.test"]\nredirect = "https://b.a.test"',
    ],
)
def test_a_redirect_that_leads_elsewhere(site):
    assert not problems_of(f'sites."b.a.test".folder = "x"\n[sites."a.test"]\n{site}')


def test_variables_are_not_filled_in():
    assert problems_of('sites."a.test".redirect = "https://b.test$request_uri"') == [
        (
            'sites."a.test".redirect: contains a $, but variables are not supported '
            "(keep_path = true adds the request's path and query)"
        )
    ]
