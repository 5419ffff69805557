from __future__ import annotations

import pytest

from tests.documents import problems_of

APPS = """
apps.web.command = "x"
apps.jobs = { command = "x", port = false }
upstreams.legacy.servers = ["10.0.0.5:3000"]
"""


UNKNOWN = 'an unknown variable (write "$$" for a dollar sign; docs/reference lists the variables)'


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        ("", ": needs app, upstream, folder, redirect or routes"),
        ("maintenance.on = false", ": needs app, upstream, folder, redirect or routes"),
        ('app = "web"\nredirect = "https://b.test/"', ": has app and redirect; set only one"),
        (
            'app = "web"\nroutes."/" = "legacy"',
            ': has app and a route for "/", which are the same; set only one',
        ),
        ('app = "wep"', '.app: there is no app "wep" (did you mean "web"?)'),
        ('app = "legacy"', '.app: there is no app "legacy" (write upstream = "legacy")'),
        ('app = "jobs"', '.app: app "jobs" has no port: its port is false'),
        ('upstream = "web"', '.upstream: there is no upstream "web" (write app = "web")'),
        (
            'upstream = "legcy"',
            '.upstream: there is no upstream "legcy" (did you mean "legacy"?)',
        ),
        ('app = "web"\ncertificate = "a.pem"', ": has a certificate but no key"),
        ('app = "web"\nkey = "a.key"', ": has a key but no certificate"),
        ('app = "web"\nhttps = false\nhsts = true', ".hsts: needs https, but it is false"),
        ('folder = "x"\ngrpc = true', ".grpc: needs an app or an upstream, not folder"),
        (
            'app = "web"\nallow = ["10.0.0.1"]\ndeny = ["10.0.0.1"]',
            '.deny: has "10.0.0.1", which is also in allow',
        ),
        ('app = "web"\nbasic_auth = {}', ".basic_auth: needs users or a file"),
        (
            'app = "web"\nrequest_headers.X-A = "$host $hots"',
            f'.request_headers.X-A: has "$hots", {UNKNOWN}',
        ),
        (
            'app = "web"\nroutes."/a".headers.X-A = "${http_}"',
            f'.routes."/a".headers.X-A: has "$http_", {UNKNOWN}',
        ),
        (
            'app = "web"\nbasic_auth = { users.a = "b", file = "c" }',
            ".basic_auth: has users and a file; set only one",
        ),
        ('app = "web"\naliases = ["a.test"]', '.aliases[0]: the site has "a.test" already'),
        (
            'app = "web"\naliases = ["b.test", "B.test."]',
            '.aliases[1]: the site has "b.test" already',
        ),
    ],
)
def test_a_site_that_makes_no_sense(site, problem):
    assert problems_of(f'{APPS}[sites."a.test"]\n{site}') == [f'sites."a.test"{problem}']


@pytest.mark.parametrize(
    "site",
    [
        'routes."/api" = "web"',
        'routes."/" = "web"',
        "maintenance = true",
        'maintenance.page = "soon.html"',
        'app = "web"\nallow = ["10.0.0.0/8"]\ndeny = ["10.0.0.1"]',
        'app = "web"\ncertificate = "a.pem"\nkey = "a.key"',
        'app = "web"\naliases = ["*.a.test", "127.0.0.1", "[::1]"]',
    ],
)
def test_a_site_that_makes_sense(site):
    assert problems_of(f'{APPS}[sites."a.test"]\n{site}') == []


def test_a_domain_is_served_by_one_site():
    assert problems_of(
        """
        [sites."a.test"]
        folder = "a"
        aliases = ["www.a.test", "*.a.test"]
        [sites."b.test"]
        folder = "b"
        aliases = ["www.a.test", "c.test"]
        [sites."c.test"]
        folder = "c"
        [sites."*.a.test"]
        folder = "d"
        """
    ) == [
        'sites."b.test".aliases[0]: sites."a.test" serves "www.a.test" already',
        'sites."c.test": sites."b.test" serves "c.test" already',
        'sites."*.a.test": sites."a.test" serves "*.a.test" already',
    ]


def test_one_site_answers_names_that_nobody_has():
    assert problems_of(
        """
        sites."a.test" = { folder = "a", default = true }
        sites."b.test" = { folder = "b", default = true }
        """
    ) == [
        (
            'sites."b.test".default: is true in sites."a.test" already; only one site can answer '
            "other names"
        )
    ]


FITS, TOO_LONG = "X" * 46, "X" * 47
"""Names of headers, for the table that nginx has for gRPC."""
LONG_NAME = "has more than 46 characters, which nginx does not support where grpc is true"


@pytest.mark.parametrize(
    ("site", "places"),
    [
        (f"headers.{FITS} = 'a'\nrequest_headers.{FITS} = 'a'\ngrpc = true", []),
        (f"headers.{TOO_LONG} = 'a'\nrequest_headers.{TOO_LONG} = 'a'", []),
        (f"headers.{TOO_LONG} = 'a'\ngrpc = true", [".headers"]),
        (f"request_headers.{TOO_LONG} = 'a'\nroutes.'/x'.grpc = true", [".request_headers"]),
        (f"grpc = true\nroutes.'/x' = {{headers.{TOO_LONG} = 'a', grpc = false}}", []),
        (
            f"grpc = true\nroutes.'/x' = [{{headers.{TOO_LONG} = 'a', match.query.a = 'b'}}]",
            ['.routes."/x"[0].headers'],
        ),
        (
            f"routes.'/x'.grpc = true\nauth = {{app = 'web', request_headers = ['{TOO_LONG}']}}",
            [".auth.request_headers"],
        ),
    ],
)
def test_names_of_headers_that_nginx_cannot_have_for_grpc_are_refused(site, places):
    head = "[apps.web]\ncommand = 'run'\n[sites.'a.test']\napp = 'web'\n"
    assert problems_of(head + site) == [
        f'sites."a.test"{place}.{TOO_LONG}: {LONG_NAME}' for place in places
    ]


def test_the_certificate_of_all_sites_needs_its_key():
    assert problems_of('tls.certificate = "a.pem"') == ["tls: has a certificate but no key"]


@pytest.mark.parametrize(
    ("site", "problem"),
    [
        ("folder = 'x'\ncache = true", "cache: needs an app or an upstream, not folder"),
        (
            "redirect = 'https://b.test'\ncache = {}",
            "cache: needs an app or an upstream, not redirect",
        ),
        ("app = 'web'\ngrpc = true\ncache = true", "cache: cannot be combined with grpc = true"),
        (
            "app = 'web'\nbuffering = false\ncache = true",
            "cache: cannot be combined with buffering = false",
        ),
        ("app = 'web'\ncache = {key = '$pid'}", f'cache.key: has "$pid", {UNKNOWN}'),
        ("app = 'web'\ncache.bypass = ['$a']", f'cache.bypass[0]: has "$a", {UNKNOWN}'),
        ("app = 'web'\ncache.no_cache = ['$a']", f'cache.no_cache[0]: has "$a", {UNKNOWN}'),
    ],
)
def test_what_cannot_have_a_cache_or_be_its_key_is_refused(site, problem):
    assert problems_of(f'{APPS}[sites."a.test"]\n{site}') == [f'sites."a.test".{problem}']


@pytest.mark.parametrize("status", ["206", "304", "99", "600", "all"])
def test_a_part_or_no_answer_has_no_time(status):
    file = f'{APPS}[sites."a.test"]\napp = "web"\ncache.valid = {{{status} = "1m"}}'
    assert len(problems_of(file)) == 1
