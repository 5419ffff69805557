"""Which certificates a file wants from an authority."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.certificate import DAY, HOUR, LETS_ENCRYPT_LIMITS, Limit, Limits
from portico.core.model.certificate_views import StandaloneRequest
from portico.core.model.issuing import ISSUERS
from portico.core.planning.lineages import (
    secret_files,
    settings_not_in_file,
    standalone_lineage,
    wanted_lineages,
)
from portico.engine.certificates.standalone import remember
from portico.errors import ConfigError, Refused

APP = '[apps.web]\ncommand = "node index.js"\n'


def lineages(text, secrets=None):
    document = read_document(tomllib.loads(APP + text), source="portico.toml")
    desired = desired_from(document, folder="/srv/app", environ={}, cores=2, root=True)
    return wanted_lineages(desired, secrets or {}), list(secret_files(desired))


def problems(text):
    with pytest.raises(ConfigError) as wrong:
        read_document(tomllib.loads(APP + text), source="portico.toml")
    return [str(problem) for problem in wrong.value.problems]


def test_a_public_name_gets_a_certificate_of_lets_encrypt_without_being_asked_for():
    found, _ = lineages('[sites."example.com"]\naliases = ["www.example.com"]\napp = "web"')
    lineage = found["example.com"]
    assert lineage.names == ("example.com", "www.example.com")
    assert [issuer.directory for issuer in lineage.issuers] == [ISSUERS["letsencrypt"]]
    assert lineage.issuers[0].staging == ISSUERS["letsencrypt-staging"]
    assert lineage.challenges[0].kind == "http-01"


@pytest.mark.parametrize(
    "text",
    [
        '[sites."app.localhost"]\napp = "web"',
        '[sites."example.com"]\nhttps = false\napp = "web"',
        '[sites."example.com"]\ncertificate = "c.pem"\nkey = "k.pem"\napp = "web"',
        '[tls]\nissuer = "local"\n[sites."example.com"]\napp = "web"',
    ],
    ids=["local name", "no https", "own pair", "local issuer"],
)
def test_nobody_is_asked_where_a_local_or_an_own_certificate_serves(text):
    assert lineages(text)[0] == {}


@pytest.mark.parametrize("names", [("shop.test", "example.com"), ("example.com", "shop.test")])
def test_public_names_beside_local_ones_are_obtained_alone(names):
    wanted, _ = lineages(f'[sites."{names[0]}"]\naliases = ["{names[1]}"]\napp = "web"')
    assert [(each.name, each.names) for each in wanted.values()] == [(names[0], ("example.com",))]


def test_a_site_says_what_differs_from_the_others():
    found, _ = lineages(
        '[tls]\nemail = "ops@example.com"\nkey_type = "rsa2048"\n'
        '[sites."a.example.com"]\napp = "web"\n'
        '[sites."b.example.com"]\napp = "web"\n'
        '[sites."b.example.com".tls]\nkey_type = "ecdsa-p256"\nprofile = "shortlived"'
    )
    a, b = found["a.example.com"], found["b.example.com"]
    assert (a.key_type, a.profile) == ("rsa2048", None)
    assert (b.key_type, b.profile) == ("ecdsa-p256", "shortlived")
    assert b.issuers[0].contact == ("ops@example.com",)


def test_what_would_make_an_order_fail_is_looked_for_unless_a_site_says_otherwise():
    found, _ = lineages(
        '[sites."a.example.com"]\napp = "web"\n[sites."b.example.com"]\napp = "web"\n'
        '[sites."b.example.com".tls]\npreflight = false'
    )
    assert [each.preflight for each in found.values()] == [True, False]


def test_a_wildcard_is_proved_by_dns_with_the_secret_from_its_file():
    text = (
        '[tls.dns]\nprovider = "rfc2136"\nserver = "192.0.2.1:53"\nkey_name = "acme"\n'
        'secret_file = "tsig"\n[sites."*.example.com"]\napp = "web"'
    )
    found, files = lineages(text, {"/srv/app/tsig": "c2VjcmV0\n"})
    challenge = found["*.example.com"].challenges[0]
    assert (challenge.kind, challenge.provider) == ("dns-01", "rfc2136")
    assert challenge.options["secret"] == "c2VjcmV0"
    assert files == ["/srv/app/tsig"]


def test_an_ip_address_is_signed_in_the_short_lived_profile():
    found, _ = lineages('[sites."203.0.113.7"]\napp = "web"')
    lineage = found["203.0.113.7"]
    assert lineage.profile_at(lineage.issuers[0]) == "shortlived"


def test_another_authority_is_asked_for_no_profile_that_it_may_not_have():
    found, _ = lineages(
        '[sites."203.0.113.7"]\napp = "web"\ntls.issuer = ["https://ca.example/", "letsencrypt"]'
    )
    lineage = found["203.0.113.7"]
    assert [lineage.profile_at(issuer) for issuer in lineage.issuers] == [None, "shortlived"]


def test_two_kinds_of_keys_are_two_lineages_whichever_was_written_first():
    for types in ('"ecdsa-p384", "rsa2048"', '"rsa2048", "ecdsa-p384"'):
        found, _ = lineages(f'[sites."a.example"]\napp="web"\ntls.key_type = [{types}]')
        kinds = {
            name: (each.name, each.key_type, each.has_other_key_type)
            for name, each in found.items()
        }
        assert kinds == {
            "a.example": ("a.example", "ecdsa-p384", True),
            "a.example+rsa": ("a.example+rsa", "rsa2048", True),
        }


def test_each_issuer_is_told_only_what_it_gave_itself():
    found, files = lineages(
        '[tls]\nissuer = ["zerossl", "google", "letsencrypt"]\n'
        'eab = [{kid = "z", hmac_key_file = "z.key", issuer = "zerossl"},'
        '{kid = "g", hmac_key_file = "g.key", issuer = "google"}]\n'
        '[sites."a.example"]\napp = "web"',
        {"/srv/app/z.key": "enQ\n", "/srv/app/g.key": "Z28\n"},
    )
    bindings = [issuer.binding for issuer in found["a.example"].issuers]
    assert [each and (each.key_id, each.hmac_key) for each in bindings] == [
        ("z", "enQ"),
        ("g", "Z28"),
        None,
    ]
    assert files == ["/srv/app/z.key", "/srv/app/g.key"]


def test_each_issuer_is_asked_within_its_own_limits():
    found, _ = lineages(
        '[tls]\nissuer = ["https://ca.example/directory", "letsencrypt"]\n'
        'limits = [{orders = "7/2d"},'
        '{domain = "1000 / 1h", issuer = "https://ca.example/directory"}]\n'
        '[sites."a.example"]\napp = "web"\n'
        '[sites."b.example"]\napp = "web"\ntls.limits.orders = "2/30d"'
    )
    own, public = found["a.example"].issuers
    assert own.limits == Limits(orders=Limit(7, 2 * DAY), domain=Limit(1000, HOUR))
    assert public.limits == replace(LETS_ENCRYPT_LIMITS, orders=Limit(7, 2 * DAY))
    two = Limit(2, 30 * DAY)
    assert [each.limits for each in found["b.example"].issuers] == [
        Limits(orders=two),
        replace(LETS_ENCRYPT_LIMITS, orders=two),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[tls]\nlimits.orders = "300"\n[sites."a.example"]\napp = "web"',
            'tls.limits.orders: must be a number per duration, such as "300/3h", not "300"',
        ),
        (
            '[tls]\nlimits.domain = "3/31d"\n[sites."a.example"]\napp = "web"',
            ('tls.limits.domain: must be within 30 days, the longest time counted, not "3/31d"'),
        ),
        (
            '[sites."*.example.com"]\napp = "web"',
            (
                'sites."*.example.com".tls.dns: is required to validate "*.example.com" '
                "with dns-01 (configure [tls.dns], or use a local certificate: issuer = "
                '"local")'
            ),
        ),
        (
            '[tls]\nchallenge = "http-01"\n[sites."*.example.com"]\napp = "web"',
            (
                'sites."*.example.com".tls.challenge: cannot validate "*.example.com": '
                "a wildcard needs dns-01 or manual"
            ),
        ),
        (
            (
                '[tls]\nchallenge = "tls-alpn-01"\n[sites."example.com"]\napp = "web"\n'
                '[sites."b.example.com"]\napp = "web"\nreal_ip = {trust = ["10.0.0.1"]}'
            ),
            (
                "tls.challenge: tls-alpn-01 cannot be combined with real_ip, which the site "
                '"b.example.com" has (use http-01 or dns-01)'
            ),
        ),
        (
            '[tls]\nchallenge = "manual"\n[sites."203.0.113.7"]\napp = "web"',
            'sites."203.0.113.7".tls.challenge: manual cannot validate 203.0.113.7',
        ),
        (
            '[tls]\nkey_type = ["rsa2048", "rsa4096"]',
            (
                "tls.key_type: must be one type, or one ECDSA and one RSA type (as in "
                '["ecdsa-p256", "rsa2048"])'
            ),
        ),
        (
            '[tls.dns]\nprovider = "rfc2136"\nserver = "192.0.2.1:53"\nkey_name = "acme"',
            'tls.dns.secret_file: is required for the provider "rfc2136"',
        ),
        (
            '[tls.dns]\nprovider = "lexicon:cloudflare"',
            'tls.dns.credentials: is required for the provider "lexicon:cloudflare"',
        ),
    ],
)
def test_what_could_never_be_signed_is_said_before_anything_is_asked(text, said):
    assert said in problems(text)


def test_an_unknown_issuer_is_named_with_the_known_ones():
    (told,) = problems('[tls]\nissuer = "letsencript"')
    assert told.startswith("tls.issuer: ")
    assert "letsencrypt-staging" in told


@pytest.mark.parametrize(
    ("tls", "unsaid_keys"),
    [
        ("", {"issuer", "email"}),
        ('email = "ops@a.test"', {"issuer"}),
        ('email = "ops@a.test"\nissuer = "https://ca.test/dir"', set()),
        ('issuer = "https://ca.test/dir"\nkey_type = "rsa2048"', {"email", "key_type"}),
        ('issuer = "local"', {"issuer", "email", "key_type", "challenge"}),
    ],
)
def test_what_the_file_does_not_say_of_settings_that_were_taken_over(tls, unsaid_keys):
    text = f'{APP}[tls]\n{tls}\n[sites."example.com"]\napp = "web"'
    document = read_document(tomllib.loads(text), source="portico.toml")
    desired = desired_from(document, folder="/srv/app", environ={}, cores=2, root=True)
    settings = {
        "issuer": "https://ca.test/dir",
        "email": "ops@a.test",
        "key_type": "ecdsa-p256",
        "challenge": "http-01",
        "deploy_hook": ["true"],
    }
    assert settings_not_in_file(desired, "example.com", settings).keys() == {
        *unsaid_keys,
        "deploy_hook",
    }
    settings["issuer"] = "http://without.tls"
    assert settings_not_in_file(desired, "example.com", settings) == settings
    assert settings_not_in_file(desired, "other.example", settings) == settings


def test_a_certificate_for_other_programs_is_wanted_as_it_was_asked_for():
    request = StandaloneRequest(
        names=("mail.example.com", "imap.example.com"),
        email="ops@example.com",
        http_port=8080,
        deploy_hook=("true",),
    )
    lineage = standalone_lineage(request)
    assert (lineage.name, lineage.names, lineage.behind_nginx) == (
        "mail.example.com",
        ("mail.example.com", "imap.example.com"),
        False,
    )
    assert lineage.issuers[0].directory == ISSUERS["letsencrypt"]
    assert lineage.issuers[0].contact == ("ops@example.com",)
    [challenge] = lineage.challenges
    assert (challenge.kind, challenge.options) == ("standalone", {"port": "8080"})
    assert (lineage.hooks, lineage.preflight) == ((("true",),), True)


def test_the_first_issuer_may_have_a_staging_of_its_own():
    found, _ = lineages(
        '[tls]\nissuer = ["https://ca.test/dir", "letsencrypt", "https://other.test/dir"]\n'
        'staging = "https://ca.test/staging"\n[sites."example.com"]\napp = "web"'
    )
    assert [issuer.staging for issuer in found["example.com"].issuers] == [
        "https://ca.test/staging",
        ISSUERS["letsencrypt-staging"],
        None,
    ]


PRIVATE = 'issuer = "https://ca.test/dir"\nca_bundle = "/root.pem"'
ALWAYS, PRIVATE_ONLY, NEVER = {"public", "private"}, {"private"}, set()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *(
            (name, ALWAYS)
            for name in ("a.example.com", "printer.lan", "box.home.arpa", "intranet")
        ),
        *((name, PRIVATE_ONLY) for name in ("iot.lab.internal", "app.corp.test", "nas.local")),
        *((name, NEVER) for name in ("localhost", "app.localhost", "127.0.0.1", "::1")),
    ],
)
@pytest.mark.parametrize(
    ("tls", "kind"),
    [
        ("", "public"),
        ('issuer = "https://ca.test/dir"', "public"),
        ('ca_bundle = "/root.pem"', "public"),
        (PRIVATE, "private"),
        ('issuer = "local"\nca_bundle = "/root.pem"', "local"),
    ],
)
@pytest.mark.parametrize("table", ["tls", 'sites."{}".tls'])
def test_a_name_of_a_private_network_is_requested_from_an_authority_of_ones_own(
    name, where, tls, kind, table
):
    found, _ = lineages(f'[sites."{name}"]\napp = "web"\n[{table.format(name)}]\n{tls}')
    assert list(found) == ([name] if kind in where else [])


@pytest.mark.parametrize("issuer", ["letsencrypt", "zerossl", "https://ca.test/dir"])
@pytest.mark.parametrize("names", [100, 101])
def test_more_names_than_an_authority_puts_into_one_certificate_are_said(issuer, names):
    aliases = [f"n{number}.example.com" for number in range(names - 1)]
    text = f'[tls]\nissuer = "{issuer}"\n[sites."example.com"]\napp = "web"\naliases = {aliases}'
    if names > 100 and "https" not in issuer:
        [said] = problems(text)
        assert "has 101 names, and a certificate at most 100" in said
    else:
        lineages(text)


SITES = """
[tls]
issuer = "https://ca.test/dir"
[sites."example.com"]
app = "web"
"""


def test_a_standalone_certificate_at_the_port_of_our_nginx_is_said_as_a_site_of_the_file():
    document = read_document(tomllib.loads(APP + SITES), source="portico.toml")
    desired = desired_from(document, folder="/", environ={}, cores=2, root=True)
    request = StandaloneRequest(
        names=("mail.example.com", "imap.example.com"),
        issuer="https://ca.test/dir",
        ca_bundle="/root.pem",
        deploy_hook=("/bin/sh", "-c", 'echo "x"'),
        preflight=False,
        http_port=80,
    )
    with pytest.raises(Refused) as refused:
        remember(None, request, desired)
    said, _, tables = str(refused.value).partition("\n")
    assert "listens on port 80" in said
    found, _ = lineages(SITES + tables)
    wanted = found["mail.example.com"]
    assert wanted.names == request.names
    assert (wanted.hooks, wanted.preflight) == ((request.deploy_hook,), False)
    assert wanted.issuers[0].ca_bundle == "/root.pem"


def test_files_for_other_programs_belong_to_one_certificate():
    table = '[[sites."a.example.com".tls.files]]\nprivkey = "key.pem"\ncombined = "/etc/all.pem"\n'
    found, _ = lineages(f'[sites."a.example.com"]\napp = "web"\n{table}mode = "640"')
    assert [(file.path, file.mode) for file in found["a.example.com"].files] == [
        ("/srv/app/key.pem", 0o640),
        ("/etc/all.pem", 0o640),
    ]
    both = 'key_type = ["rsa2048", "ecdsa-p256"]\n'
    tls = f'[sites."a.example.com".tls]\n{both}{table}'
    found, _ = lineages(f'[sites."a.example.com"]\napp = "web"\n{tls}')
    assert [len(found[name].files) for name in ("a.example.com", "a.example.com+rsa")] == [2, 0]
    [said] = problems('[[tls.files]]\ncert = "x"\n[sites."a.example.com"]\napp = "web"')
    assert "cannot be set for all sites" in said
    sites = '[sites."a.example.com"]\napp = "web"\n[sites."b.example.com"]\napp = "web"\n'
    other = '[[sites."b.example.com".tls.files]]\ncert = "/etc/all.pem"\n'
    [said] = problems(f"{sites}{table}{other}")
    assert 'is already set for the site "a.example.com"' in said


@pytest.mark.parametrize(
    ("written", "hooks"),
    [
        ('["reload"]', (("reload",),)),
        ('["/bin/sh", "-c", "a; b"]', (("/bin/sh", "-c", "a; b"),)),
        ('[["a", "b"], ["c"]]', (("a", "b"), ("c",))),
        ("[]", ()),
    ],
)
def test_a_deploy_hook_is_one_program_or_several(written, hooks):
    found, _ = lineages(f'[sites."a.example.com"]\napp = "web"\n[tls]\ndeploy_hook = {written}')
    assert found["a.example.com"].hooks == hooks
