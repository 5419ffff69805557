from __future__ import annotations

import pytest

from portico.core.model.captures import groups, references
from tests.documents import problems_of
from tests.rendered import nginx_conf, site


@pytest.mark.parametrize(
    ("regex", "count", "names"),
    [
        ("^/a$", 0, ()),
        ("(a)(b(c))", 3, ()),
        ("(?:a)(?=b)(?!c)(?<=d)(?<!e)(?>f)(?i)(?#(x))(*UTF8)", 0, ()),
        ("(?<one>a)(?P<two>b)(?'three'c)(d)", 4, ("one", "two", "three")),
        (r"\(a\)[(](b)[^)(]", 1, ()),
        (r"\Q((\E(a)", 1, ()),
        ("[]()](a)[[:alpha:](]", 1, ()),
    ],
)
def test_the_groups_of_a_regex(regex, count, names):
    assert groups(regex) == (count, names)


def test_what_a_target_has_of_captures():
    assert references("/$1/${2}/$name/${name}x$$1/$10") == ("1", "2", "name", "name", "1")


HINT = '(write "$$" for a dollar sign)'


@pytest.mark.parametrize(
    ("key", "redirect", "problem"),
    [
        ("~ ^/a(.*)$", '"/b$2"', f'has "$2", which the route does not capture {HINT}'),
        ("~ ^/a(.*)$", '"/b$rest"', f'has "$rest", which the route does not capture {HINT}'),
        ("~ ^/a(.*)$", '"/b$host"', f'has "$host", which the route does not capture {HINT}'),
        (
            "~ ^/a(.*)$",
            '"https://b.test$1"',
            "has a capture in the host (write a / after the host)",
        ),
        (
            "~ ^/a(.*)$",
            '"https://$1.b.test/"',
            "has a capture in the host (write a / after the host)",
        ),
        ("~ ^/a(.*)$", '"//$1"', "has a capture in the host (write a / after the host)"),
        ("~ ^/a(.*)$", '"https:///$1"', "has a capture in the host (write a / after the host)"),
        (
            "~ ^/a(.*)$",
            '{ to = "/b/$1", keep_path = true }',
            (
                "has captures, which cannot be combined with keep_path "
                "(keep_query = true adds the query)"
            ),
        ),
        (
            "/a",
            '"/b/$1"',
            (
                "contains a $, but variables are not supported "
                "(keep_path = true adds the request's path and query)"
            ),
        ),
    ],
)
def test_a_target_that_cannot_be_filled(key, redirect, problem):
    text = f"""sites."a.test".folder = "x"
    [sites."a.test".routes]
    "{key}".redirect = {redirect}"""
    assert problems_of(text) == [f'sites."a.test".routes."{key}".redirect: {problem}']


@pytest.mark.parametrize("name", ["args", "host", "uri", "http_x", "portico_sent", "arg_a"])
def test_a_group_has_no_name_of_a_variable(name):
    key = f"~ ^/(?<{name}>.*)$"
    (problem,) = problems_of({"sites": {"a.test": {"routes": {key: {"folder": "x"}}}}})
    assert problem.endswith(f'captures "{name}", which is a variable of nginx')


def test_only_what_uses_captures_has_maps():
    plain = site(routes='"/a" = {redirect = {to = "/b", keep_query = true}}')
    assert "portico_sent" in nginx_conf(site(routes='"~ /a(.*)" = {redirect = "/$1"}'))
    assert "portico_sent_path" not in nginx_conf(plain)
    assert 'return 308 "/b$is_args$args";' in nginx_conf(plain)
