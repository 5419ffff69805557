"""Objects of Kubernetes that do what a file says, as far as a cluster can."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path

import pytest
import yaml

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.document import Document
from portico.core.model.edge import Edge, Tls
from portico.core.model.issuing import IssuanceSettings
from portico.core.model.site import Route, Site
from portico.core.model.upstream import Upstream
from portico.stack.export import kubernetes_keys as keys
from portico.stack.export.kubernetes import app_objects, manifest
from portico.stack.export.losses import losses
from portico.stack.export.processes import FIRST_PORT, ports_of, processes
from portico.stack.export.sites import site_objects
from tests.kubernetes import HAS_MODELS, has_model, refusals

PAGE = (
    Path(__file__).parents[2]
    / "docs/decisions/0035-what-kubernetes-has-no-equal-for-is-refused.md"
)
PATH = {"PATH": "/usr/bin:/bin"}
SHOP = """
[apps.web]
command = "python3 -m http.server $PORT --tag '$(x)'"
instances = 3
batch = 2
env = { TITLE = "a $(b)", LEVEL = 3 }
max_memory = "256M"
stop_timeout = "7s"
health = { path = "/health", host = "shop.example.com", interval = "2s", fall = 2 }
[apps.api_2]
command = "python3 -V"
port = 4000
replace_order = "stop_first"
health = { grpc = "shop.Api" }
[apps.worker]
command = ["python3", "-V"]
port = false
health = { command = "test -e 'a b'" }
after = ["migrate"]
[apps.migrate]
command = "python3 -V"
port = false
autorestart = false
[apps.cleanup]
command = "python3 -V"
port = false
schedule = "*/30 3 * * 1-5"
tz = "Europe/Berlin"
timeout = "10m"
[sites."shop.example.com"]
app = "web"
aliases = ["www.shop.example.com"]
headers = { X-Frame-Options = "DENY" }
routes = { "/api/" = "api_2", "= /one" = "api_2", "~ ^/x" = "web", "/old" = { redirect = "/" } }
tls = { email = "me@example.com", key_type = "rsa4096" }
[sites."files.localhost"]
folder = "public"
[sites."in.localhost"]
app = "web"
https = false
default = true
"""


def exported(text, folder="/srv/shop", gateway=""):
    document = read_document(tomllib.loads(text), source="portico.toml")
    desired = desired_from(document, folder=folder, environ=PATH, cores=2, root=False)
    first = {p.app_name: p for p in processes(desired, ports_of(desired), PATH) if p.slot == 1}
    objects = [
        each
        for name, app in desired.apps.items()
        for each in app_objects("shop", app, first[name], f"registry.example/{name}:1")
    ]
    sites = site_objects("shop", document, desired, gateway)
    found = list(yaml.safe_load_all(manifest([*objects, *sites.objects])))
    return {(o["kind"], o["metadata"]["name"]): o for o in found}, sites, document


@pytest.fixture(scope="module")
def shop():
    return exported(SHOP)


GATEWAY = """
[apps.web]
command = "x"
instances = 3
[apps.beta]
command = "x"
[upstreams.both]
apps = ["web", "beta"]
[sites."shop.example.com"]
app = "web"
aliases = ["www.shop.example.com"]
headers = { X-Frame-Options = "DENY", Server = "", X-Peer = "$upstream_addr" }
[sites."shop.example.com".routes]
"/api/" = { app = "web", strip_prefix = true, request_headers = { X-Part = "api" } }
"= /old" = { redirect = "https://example.com/new" }
"/moved" = { redirect = { to = "/base", keep_path = true, status = 301 } }
"/shared" = "both"
"/try" = [
    { match = { header = { X-Beta = "1" }, method = ["GET", "POST"] }, app = "beta" },
    { app = "web" },
]
"/cookie" = { match = { cookie = { beta = "1" } }, app = "beta" }
"~ ^/x" = "web"
"/a//b" = "web"
[sites."in.localhost"]
app = "web"
https = false
default = true
[sites."*.localhost"]
app = "web"
[sites."many.example.com"]
app = "web"
redirect_http = false
aliases = ["www.example.com", "a.example.com"]
routes = { "/1" = "web", "/2" = "web", "/3" = "beta" }
"""


@pytest.fixture(scope="module")
def gateway():
    return exported(GATEWAY, gateway="envoy")


def container(found, kind, name):
    spec = found[kind, name]["spec"]
    spec = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    [only] = spec["template"]["spec"]["containers"]
    return only


def test_the_schemas_of_kubernetes_allow_all_of_it(shop):
    validate = pytest.importorskip("kubernetes_validate", reason="scripts/setup installs it")
    checked = [each for each in shop[0].values() if "cert-manager" not in each["apiVersion"]]
    assert {o["kind"] for o in checked} == {"Deployment", "Service", "Job", "CronJob", "Ingress"}
    for each in checked:
        validate.validate(each, validate.latest_version(), strict=True)
    del checked[0]["spec"]["selector"]
    with pytest.raises(validate.ValidationError):
        validate.validate(checked[0], validate.latest_version(), strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shop", "gateway"])
def test_the_schemas_of_gateway_api_and_cert_manager_allow_all_of_it(kind, request):
    if not HAS_MODELS:
        pytest.skip("scripts/setup installs the schemas")
    found, _, _ = request.getfixturevalue(kind)
    theirs = [each for each in found.values() if has_model(each)]
    assert {"Certificate", "Issuer"} <= {each["kind"] for each in theirs}
    assert refusals(theirs) == []
    wrong = copy.deepcopy([each for each in theirs if each["kind"] != "Issuer"])
    for each in wrong:
        del each["spec"][next(iter(each["spec"]))]
        each["spec"]["unknown"] = 1
    assert len(refusals(wrong)) == len(wrong)


def test_a_gateway_has_a_listener_for_each_name_and_each_site_its_routes(gateway):
    found, sites, _ = gateway
    spec = found["Gateway", "shop"]["spec"]
    assert spec["gatewayClassName"] == "envoy"
    listeners = {each["name"]: each for each in spec["listeners"]}
    assert listeners["http"] == {"name": "http", "port": 80, "protocol": "HTTP"}
    wildcard = listeners["https-wildcard.localhost"]
    assert wildcard["hostname"] == "*.localhost"
    assert wildcard["tls"]["certificateRefs"] == [{"name": "wildcard.localhost-tls"}]
    assert len(listeners) == 1 + 2 + 1 + 3

    route = found["HTTPRoute", "shop.example.com"]["spec"]
    assert route["hostnames"] == ["shop.example.com", "www.shop.example.com"]
    assert [each["sectionName"] for each in route["parentRefs"]] == [
        "https-shop.example.com",
        "https-www.shop.example.com",
    ]
    plain = found["HTTPRoute", "shop.example.com-redirect"]["spec"]
    assert [each["sectionName"] for each in plain["parentRefs"]] == ["http"]
    assert plain["rules"][0]["filters"][0]["requestRedirect"]["scheme"] == "https"
    assert "hostnames" not in found["HTTPRoute", "in.localhost"]["spec"]
    many = found["HTTPRoute", "many.example.com"]["spec"]
    assert many["parentRefs"][0]["sectionName"] == "http"
    solver = found["Issuer", "letsencrypt"]["spec"]["acme"]["solvers"][0]["http01"]
    assert solver["gatewayHTTPRoute"]["parentRefs"][0]["name"] == "shop"
    advice = "(no rule of an HTTPRoute does the same: let an app answer)"
    assert list(map(str, sites.refused)) == [
        "shop.example.com: headers (set those with variables in the controller: X-Peer)",
        f'shop.example.com: routes."/cookie" {advice}',
        f'shop.example.com: routes."~ ^/x" {advice}',
        f'shop.example.com: routes."/a//b" {advice}',
    ]
    assert sites.lost == [
        "shop.example.com: redirects with 308 answer 301 or 302, after which a POST is a GET",
        "shop.example.com: redirects keep the query of the request",
        "*.localhost: the local authority's certificate is not exported",
    ]


def test_rules_of_a_gateway_rewrite_redirect_match_and_share(gateway):
    rules = gateway[0]["HTTPRoute", "shop.example.com"]["spec"]["rules"]
    by_path = {rule["matches"][0]["path"]["value"]: rule for rule in rules}
    headers = {"set": [{"name": "X-Frame-Options", "value": "DENY"}], "remove": ["Server"]}
    assert by_path["/api/"]["filters"] == [
        {
            "type": "URLRewrite",
            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
        },
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": "X-Part", "value": "api"}]},
        },
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": headers},
    ]
    assert by_path["/old"]["filters"][0]["requestRedirect"] == {
        "scheme": "https",
        "hostname": "example.com",
        "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"},
        "statusCode": 301,
    }
    moved = by_path["/moved"]["filters"][0]["requestRedirect"]
    assert moved["path"]["replacePrefixMatch"] == "/base/moved"
    shared = by_path["/shared"]["backendRefs"]
    assert [(each["name"], each["weight"]) for each in shared] == [("web", 3), ("beta", 1)]
    tries = [rule for rule in rules if rule["matches"][0]["path"]["value"] == "/try"]
    methods = [(t["matches"][0].get("method"), t["backendRefs"][0]["name"]) for t in tries]
    assert methods == [("GET", "beta"), ("POST", "beta"), ("HEAD", "beta"), (None, "web")]
    assert tries[0]["matches"][0]["headers"] == [{"name": "X-Beta", "value": "1"}]
    assert by_path["/"]["backendRefs"] == [{"name": "web", "port": 80}]


def test_what_one_route_of_a_gateway_has_no_room_for_is_several():
    names = ", ".join(f'"n{number}.example.com"' for number in range(20))
    paths = "\n".join(f'"/{number}" = "web"' for number in range(20))
    text = (
        f"[apps.web]\ncommand = 'x'\n[sites.'a.example.com']\napp = 'web'\naliases = [{names}]\n"
    )
    found, _, _ = exported(f"{text}[sites.'a.example.com'.routes]\n{paths}\n", gateway="envoy")
    routes = [o["spec"] for (kind, _), o in found.items() if kind == "HTTPRoute"]
    assert len(routes) == 2 * 2 + 2
    assert all(len(each["rules"]) <= 16 >= len(each["hostnames"]) for each in routes)


def test_an_app_that_listens_is_a_deployment_that_starts_first_and_a_service(shop):
    found, _, _ = shop
    spec = found["Deployment", "web"]["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 2, "maxUnavailable": 0}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 30 + 7
    web = container(found, "Deployment", "web")
    assert web["image"] == "registry.example/web:1"
    assert web["command"][:4] == ["python3", "-m", "http.server", str(FIRST_PORT)]
    assert {v["name"]: v["value"] for v in web["env"]} == {
        "TITLE": "a $$(b)",  # $( would be a variable of Kubernetes
        "LEVEL": "3",
        "HOST": "0.0.0.0",
        "PORT": str(FIRST_PORT),
        "PORTICO_APP": "web",
        "PYTHONUNBUFFERED": "1",
    }
    assert web["resources"] == {"limits": {"memory": str(256 << 20)}}
    service = found["Service", "web"]["spec"]
    assert service["selector"] == spec["template"]["metadata"]["labels"]
    assert found["Deployment", "api-2"]["spec"]["strategy"] == {"type": "Recreate"}


def test_checks_are_probes(shop):
    found, _, _ = shop
    web = container(found, "Deployment", "web")
    headers = [{"name": "Host", "value": "shop.example.com"}]
    asked = {"path": "/health", "port": "http", "httpHeaders": headers}
    assert web["readinessProbe"]["httpGet"] == web["livenessProbe"]["httpGet"] == asked
    assert (web["readinessProbe"]["periodSeconds"], web["readinessProbe"]["failureThreshold"]) == (
        2,
        2,
    )
    assert web["startupProbe"]["failureThreshold"] == 30
    grpc = container(found, "Deployment", "api-2")["readinessProbe"]["grpc"]
    assert grpc == {"port": 4000, "service": "shop.Api"}
    command = container(found, "Deployment", "worker")["readinessProbe"]["exec"]["command"]
    assert command == ["test", "-e", "a b"]


def test_what_runs_once_is_a_job_and_a_schedule_a_cron_job(shop):
    found, _, _ = shop
    assert found["Job", "migrate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    cleanup = found["CronJob", "cleanup"]["spec"]
    assert (cleanup["schedule"], cleanup["timeZone"]) == ("*/30 3 * * 1-5", "Europe/Berlin")
    assert cleanup["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 600


def test_what_an_env_file_holds_is_a_secret(tmp_path):
    (tmp_path / "env").write_text("TOKEN=s3cret\n")
    found, _, _ = exported("[apps.web]\ncommand = 'x'\nenv_file = 'env'\n", str(tmp_path))
    assert found["Secret", "web-env"]["stringData"] == {"TOKEN": "s3cret"}
    web = container(found, "Deployment", "web")
    assert web["envFrom"] == [{"secretRef": {"name": "web-env"}}]
    assert "s3cret" not in str(web)


def test_a_site_is_an_ingress_with_a_certificate_of_its_authority(shop):
    found, sites, _ = shop
    spec = found["Ingress", "shop.example.com"]["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["shop.example.com", "www.shop.example.com"]
    paths = spec["rules"][0]["http"]["paths"]
    assert [(p["path"], p["pathType"], p["backend"]["service"]["name"]) for p in paths] == [
        ("/api/", "Prefix", "api-2"),
        ("/one", "Exact", "api-2"),
        ("/", "Prefix", "web"),
    ]
    certificate = found["Certificate", "shop.example.com"]["spec"]
    assert certificate["secretName"] == spec["tls"][0]["secretName"]
    assert certificate["dnsNames"] == ["shop.example.com", "www.shop.example.com"]
    assert certificate["privateKey"]["size"] == 4096
    acme = found["Issuer", certificate["issuerRef"]["name"]]["spec"]["acme"]
    assert acme["server"].startswith("https://acme-v02.")
    assert acme["email"] == "me@example.com"
    assert "tls" not in found["Ingress", "in.localhost"]["spec"]
    advice = "(no rule of an Ingress does the same: let an app answer)"
    migration = "run what it names before each rollout, and end the rollout where it fails"
    assert list(map(str, sites.refused)) == [
        f"worker: after ({migration})",
        "shop.example.com: headers (set it in the controller)",
        "files.localhost: folder (serve the files by an app)",
        f'shop.example.com: routes."~ ^/x" {advice}',
        f'shop.example.com: routes."/old" {advice}',
    ]
    assert sites.lost == [
        "shop.example.com: whether http redirects to https is decided by the Ingress controller",
        "files.localhost: has no Ingress, because no app answers for it",
    ]


def test_each_key_of_a_file_is_exported_lost_with_a_note_or_refused():
    page = PAGE.read_text(encoding="utf-8")
    for models, table in {
        (App,): keys.APP,
        (Check,): keys.CHECK,
        (Site, Route): keys.HANDLING,
        (Upstream,): keys.UPSTREAM,
        (Tls, IssuanceSettings): keys.ISSUING,
        (Edge,): keys.EDGE,
        (Document,): keys.DOCUMENT,
    }.items():
        known = [*table.exported, *table.noted, *table.refused]
        assert sorted(known) == sorted({key for each in models for key in each.model_fields})
        assert [key for key in table.refused if f"`{key}`" not in page] == []


SITE = "[apps.web]\ncommand = 'x'\n[sites.'a.localhost']\napp = 'web'\n"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (f"{SITE}allow = ['10.0.0.0/8']", "a.localhost: allow"),
        (f"{SITE}maintenance = true", "a.localhost: maintenance"),
        (f"{SITE}maintenance = {{ on = false }}", ""),
        (f"{SITE}routes = {{ '/x' = {{ app = 'web', deny = ['all'] }} }}", "a.localhost: deny"),
        (f"{SITE}rate_limit = '10r/s'", "a.localhost: rate_limit"),
        (f"{SITE}retries = 0", "a.localhost: retries"),
        (f"{SITE}buffering = true\nauth = false\nhsts = false", ""),
        (f"{SITE}grpc = false\nproxy_intercept_errors = false\nheaders = {{}}", ""),
        (f"{SITE}headers = {{ X-A = 'b' }}", "a.localhost: headers"),
        (f"{SITE}buffering = false", "a.localhost: buffering"),
        (f"{SITE}redirect_http = false", "a.localhost: redirect_http"),
        ("[apps.web]\ncommand = 'x'\nsticky = true", "web: sticky"),
        ("[apps.web]\ncommand = 'x'\nbalance = 'ip_hash'", "web: balance"),
        ("[apps.web]\ncommand = 'x'\nbalance = 'least_conn'", ""),
        ("[apps.web]\ncommand = 'x'\nschedule = '0 4 * * *'\nport = false", "web: tz"),
        ("[apps.web]\ncommand = 'x'\nhealth = { path = '/', body = 'ok' }", "web: health: body"),
        ("[upstreams.old]\nservers = ['10.0.0.1']", "[upstreams.old]: servers"),
        ("[streams.5432]\napp = 'web'\n[apps.web]\ncommand = 'x'", "the file: streams"),
        ("[edge]\ninclude = 'x.conf'", "[edge]: include"),
    ],
)
def test_what_its_users_would_notice_is_refused(text, refused):
    said = list(map(str, exported(text)[1].refused))
    assert [each.partition(" (")[0] for each in said] == [refused] * bool(refused)


def test_what_a_cluster_cannot_do_is_said_of_the_apps_that_use_it():
    text = "[apps.web]\ncommand = 'x'\nmax_age = '1d'\nslow_start = '9s'\nstop_signal = 'SIGINT'\n"
    text += "on = ['m1']\nmachines.m1.instances = 2\n[machines.m1]\naddress = '10.0.0.1'\n"
    text += "[apps.api]\ncommand = 'x'\nmax_age = '1d'\n[edge]\nhttp3 = true\n"
    assert set(losses(exported(text)[2], "kubernetes")) >= {
        "web: on has no effect: set a nodeSelector",
        "web: machines has no effect: pods are alike",
        "web: stop_signal is set in the image (STOPSIGNAL)",
        "web, api: max_age has no effect",
        "web: slow_start has no effect",
        "[edge]: http3 is that of the controller",
        "the file: machines has no effect: replicas are the instances of one machine, or total",
    }
