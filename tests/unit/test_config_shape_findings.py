from __future__ import annotations

import pytest

from tests.documents import problems_of

NAME = "a name of 1 to 50 lower-case letters, digits, - and _, with a letter or digit at both ends"
ADDRESS = 'an address such as "10.0.0.5:3000", "[::1]:3000" or "unix:/run/app.sock"'
LENGTH = 'a duration such as "30s", "5m" or a number of seconds'
DOMAIN = "a domain name or an IP address"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("app.localhost", "app.localhost"),
        ("www.shop.example.com", "www.shop.example.com"),
        ("shop.app", "shop.app"),  # the name of a key, too
    ],
)
def test_a_site_without_quotes_is_one_problem_that_shows_how_to_write_it(header, name):
    [problem] = problems_of(f'[apps.web]\ncommand = "x"\n[sites.{header}]\napp = "web"\n')
    assert f'write [sites."{name}"] with quotes' in problem


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        # whole numbers
        ('instances = "4"', 'instances: must be a whole number or "max", not "4"'),
        ("instances = 0", "instances: must be between 1 and 1000, not 0"),
        ("instances = 1001", "instances: must be between 1 and 1000, not 1001"),
        ("instances = 2.0", 'instances: must be a whole number or "max", not 2.0'),
        ("instances = true", 'instances: must be a whole number or "max", not true'),
        ("instances = [4]", 'instances: must be a whole number or "max", not a list'),
        ("port = 0", "port: must be between 1 and 65535, not 0"),
        ("port = 70000", "port: must be between 1 and 65535, not 70000"),
        ("port = true", "port: must be a whole number or false, not true"),
        ("weight = 0", "weight: must be between 1 and 65535, not 0"),
        ("stop_exit_codes = [0, 300]", "stop_exit_codes[1]: must be between 0 and 255, not 300"),
        ('stop_exit_codes = [0, "1"]', 'stop_exit_codes[1]: must be a whole number, not "1"'),
        ("stop_exit_codes = 1", "stop_exit_codes: must be a list, not 1"),
        # text, lists, tables, true and false
        ("command = {}", "command: must be text or a list, not a table"),
        ('command = ["a", 1]', "command[1]: must be text, not 1"),
        ('autorestart = "yes"', 'autorestart: must be true or false, not "yes"'),
        ("autorestart = 1", "autorestart: must be true or false, not 1"),
        ('cwd = ""', 'cwd: must be a path, not ""'),
        ("env = []", "env: must be a table, not a list"),
        ("env.A = [1]", "env.A: must be text, a number, true or false, not a list"),
        (
            'env."1A" = 1',
            (
                "env.1A: must be a name of letters, digits and _ that does not start with a digit"
                ', not "1A"'
            ),
        ),
        ('user = "a b"', 'user: must be the name of a user or group, not "a b"'),
        (
            'stop_signal = "TERM"',
            'stop_signal: must be the name of a signal such as SIGTERM or SIGINT, not "TERM"',
        ),
        ("slots.0.weight = 1", 'slots.0: must be the number of a slot, from 1, not "0"'),
        ("slots.1 = 5", "slots.1: must be a table, not 5"),
        # unions
        ("health = 5", 'health: must be a path that starts with "/" or a table, not 5'),
        (
            'health = "healthz"',
            'health: must be a path that starts with "/", not "healthz"',
        ),
        ('health.path = "x"', 'health.path: must be a path that starts with "/", not "x"'),
        ('health.pth = "/x"', 'health.pth: unknown key (did you mean "path"?)'),
        ('sticky = "yes"', 'sticky: must be true or false, or a table, not "yes"'),
        (
            'sticky.samesite = "Lax"',
            'sticky.samesite: must be "strict", "lax" or "none", not "Lax"',
        ),
        ("sticky.Sticky = 1", "sticky.Sticky: unknown key (it is a key of [apps.NAME])"),
        # lengths of time and sizes
        ('stop_timeout = "soon"', f'stop_timeout: must be {LENGTH}, not "soon"'),
        ("stop_timeout = -1", "stop_timeout: must be between 0 and ten years, not -1"),
        ("stop_timeout = true", f"stop_timeout: must be {LENGTH}, not true"),
        ('health.interval = "0s"', 'health.interval: must be 0.1 seconds or more, not "0s"'),
        (
            'logs.max_size = "big"',
            'logs.max_size: must be a size such as "512k", "10m" or a number of bytes, not "big"',
        ),
        ('logs.max_size = "1k"', 'logs.max_size: must be 4096 bytes or more, not "1k"'),
        (
            "logs.max_size = 1.5",
            'logs.max_size: must be a size such as "512k", "10m" or a number of bytes, not 1.5',
        ),
    ],
)
def test_a_wrong_key_of_an_app_is_told_in_plain_words(line, problem):
    command = "" if line.startswith("command") else 'command = "x"'
    assert problems_of(f"[apps.web]\n{command}\n{line}\n") == [f"apps.web.{problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('servers = "10.0.0.5:3000"', 'servers: must be a list, not "10.0.0.5:3000"'),
        ("servers = [5]", "servers[0]: must be an address or a table, not 5"),
        ('servers = ["a:0"]', f'servers[0]: must be {ADDRESS}, not "a:0"'),
        (
            'servers = ["a", { address = "a:b" }]',
            f'servers[1].address: must be {ADDRESS}, not "a:b"',
        ),
        ('servers = ["a", { weight = 2 }]', "servers[1].address: is required"),
        (
            'servers = ["https://a"]',
            (
                f'servers[0]: must be {ADDRESS}, not "https://a"; leave out http://, and for '
                "https:// set tls = true in the upstream"
            ),
        ),
        (
            'servers = ["a:80 weight=2"]',
            (
                f'servers[0]: must be {ADDRESS}, not "a:80 weight=2"; write parameters as '
                '{ address = "10.0.0.5:3000", weight = 2 }'
            ),
        ),
        ('apps = ["Web"]', f'apps[0]: must be {NAME}, not "Web"'),
        (
            'servers = ["a"]\nbalance = "fair"',
            (
                "balance: must be a balancing method (round_robin, least_conn, least_time, "
                'random, hash, ip_hash), not "fair"'
            ),
        ),
        (
            'servers = ["a"]\nbalance = "least_time"',
            (
                'balance: must be "least_time header" or "least_time header inflight" or '
                '"least_time last_byte" or "least_time last_byte inflight", not "least_time"'
            ),
        ),
        (
            'servers = ["a"]\nbalance = "least_conn ip_hash"',
            "balance: least_conn and ip_hash are two methods; an upstream has one",
        ),
        (
            'servers = ["a"]\nbalance = "hash request_uri"',
            (
                'balance: hash needs one key with an nginx variable: "hash $request_uri" or '
                '"hash $cookie_user consistent"'
            ),
        ),
    ],
)
def test_a_wrong_key_of_an_upstream_is_told_in_plain_words(line, problem):
    assert problems_of(f"[upstreams.legacy]\n{line}\n") == [f"upstreams.legacy.{problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('aliases = "b.test"', 'aliases: must be a list, not "b.test"'),
        ('aliases = ["b..test"]', f'aliases[0]: must be {DOMAIN}, not "b..test"'),
        (
            'aliases = ["b.test:8080"]',
            f'aliases[0]: must be {DOMAIN}, not "b.test:8080"; ports are set in [edge]',
        ),
        (
            'aliases = ["www.*"]',
            (
                f'aliases[0]: must be {DOMAIN}, not "www.*"; a wildcard must be the first label, '
                'as in "*.example.com"'
            ),
        ),
        ('rate_limit = "10"', 'rate_limit: must be a rate such as "10r/s" or "30r/m", not "10"'),
        (
            "rate_limit = 10",
            'rate_limit: must be a rate such as "10r/s" or "30r/m", or a table, not 10',
        ),
        ("rate_limit.burst = 5", "rate_limit.rate: is required"),
        ("connection_limit = 0", "connection_limit: must be between 1 and 65535, not 0"),
        ('connection_limit = "5"', 'connection_limit: must be a whole number or a table, not "5"'),
        ('headers."a b" = "x"', 'headers."a b": must be the name of a header, not "a b"'),
        ('headers.X-A = "a\\nb"', "headers.X-A: must be one line of text"),
        (
            "error_pages.499 = 'x'",
            'error_pages.499: must be a status code from 300 to 599, and not 499, not "499"',
        ),
        ('include = "$HOME/x"', 'include: must be a path without $, not "$HOME/x"'),
        (
            'allow = ["10.0.0.300"]',
            (
                'allow[0]: must be an address or network such as "10.0.0.0/8", "::1" or "all", '
                'not "10.0.0.300"'
            ),
        ),
        ("routes.'/x' = 5", 'routes."/x": must be a table, text or a list, not 5'),
        ("routes.'/x'.apps = 'y'", 'routes."/x".apps: unknown key (did you mean "app"?)'),
        (
            "basic_auth.users.'a:b' = 'x'",
            (
                'basic_auth.users."a:b": must be the name of a user, without spaces and colons, '
                'not "a:b"'
            ),
        ),
    ],
)
def test_a_wrong_key_of_a_site_is_told_in_plain_words(line, problem):
    assert problems_of(f'[sites."a.test"]\nfolder = "x"\n{line}\n') == [
        f'sites."a.test".{problem}'
    ]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("apps = 5", "apps: must be a table, not 5"),
        (
            "apps.MyApp.command = 'x'",
            f'apps.MyApp: must be {NAME}, not "MyApp" (write [apps.myapp])',
        ),
        (
            "apps.my.app.command = 'x'",
            "apps.my.app: unknown key (a name has no dots: write [apps.my-app])",
        ),
        (
            "upstreams.a.b.servers = ['192.0.2.1:80']\nupstreams.a.servers = ['192.0.2.1:80']",
            "upstreams.a.b: unknown key (a name has no dots: write [upstreams.a-b])",
        ),
        ("[[apps]]\n", "apps: must be a table, not a list (write [apps.NAME] for each)"),
        ("[[sites]]\n", "sites: must be a table, not a list (write [sites.NAME] for each)"),
        ("sites.'a b'.folder = 'x'", f'sites."a b": must be {DOMAIN}, not "a b"'),
        ("edge.http = '80'", 'edge.http: must be a whole number, not "80"'),
        ("edge.workers = 'all'", 'edge.workers: must be a whole number or "auto", not "all"'),
        (
            "edge.bind = ['localhost']",
            (
                'edge.bind[0]: must be an address such as "127.0.0.1", "[::1]" or "*", '
                'not "localhost"'
            ),
        ),
        ("version = 2", "version: unknown key"),
    ],
)
def test_a_wrong_key_elsewhere_is_told_in_plain_words(toml, problem):
    assert problems_of(toml) == [problem]


def test_passwords_and_header_values_are_not_repeated_in_messages():
    told = problems_of(
        """
        [sites."a.test"]
        folder = "x"
        basic_auth.users.ann = "my secret"
        request_headers.Authorization = "Bearer\\u0001hunter2"
        """
    )
    assert told == [
        'sites."a.test".request_headers.Authorization: must be one line of text',
        ('sites."a.test".basic_auth.users.ann: must be a password hash as written by htpasswd'),
    ]


def test_long_values_are_cut_short():
    (told,) = problems_of({"apps": {"web": {"command": "x", "stop_timeout": "z" * 1000}}})
    assert len(told) < 200
