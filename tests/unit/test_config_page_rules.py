from __future__ import annotations

import pytest

from tests.documents import problems_of


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        ("proxy_intercept_errors = true", "needs error_pages, which the site does not have"),
        (
            'error_pages = {404 = "x"}\nproxy_intercept_errors = [404, 500]',
            "has 500, for which error_pages has no file",
        ),
    ],
)
def test_an_error_of_an_app_needs_a_page(site, problem):
    file = 'apps.web.command = "run"\n[sites."a.test"]\napp = "web"\n'
    assert problems_of(file + site) == [f'sites."a.test".proxy_intercept_errors: {problem}']
    route = f'{file}routes."/x".app = "web"\nroutes."/x".{site.splitlines()[-1]}'
    pages = "\n" + "\n".join(site.splitlines()[:-1])
    (found,) = problems_of(route + pages)
    assert found == f'sites."a.test".routes."/x".proxy_intercept_errors: {problem}'


def test_none_is_needed_where_the_answers_of_the_app_are_kept():
    file = 'apps.web.command = "run"\n[sites."a.test"]\napp = "web"\n'
    assert problems_of(file + "proxy_intercept_errors = false") == []
