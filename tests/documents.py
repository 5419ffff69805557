"""Files of operators for tests: one that sets every key, and what is said about wrong ones."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

from portico.core.config.document import Document, read_document
from portico.core.config.findings import Path
from portico.errors import ConfigError

FULL = """
project = "shop"
ecosystem = "ecosystem.config.js"

[apps.web]
command = "node index.js"
args = ["--quiet"]
cwd = "site"
env = { NODE_ENV = "production", WORKERS = 4, RATIO = 0.5, DEBUG = false }
env_file = ".env"
inherit_env = true
stdin = "open"
user = "www-data"
group = "www-data"
on = ["m1", "jobs"]
instances = 4
port = 3000
port_env = "PORT"
instance_env = "NODE_APP_INSTANCE"
find_port = false
port_fallback = false
pm_id = 0
autostart = true
autorestart = true
stop_exit_codes = [0, 143]
backoff = "200ms"
backoff_limit = 30
max_restarts = 10
min_uptime = "2s"
ready_timeout = "20s"
after_ready_timeout = "restart"
wait_ready = true
after = ["jobs"]
batch = 2
replace_order = "start_first"
drain_timeout = "1m"
stop_signal = "SIGINT"
stop_timeout = "5s"
max_memory = "300m"
max_age = "1d"
restart_schedule = "@daily"
tz = "Europe/Berlin"
watch = ["dist", "server.js"]
ignore_watch = "*.map"
watch_delay = "1s"
balance = "least_time last_byte inflight"
weight = 2
slow_start = "30s"
max_conns = 100
max_fails = 3
fail_timeout = "20s"
backup = false
down = false
keepalive = 32

[apps.web.machines.jobs]
instances = 2
env = { WORKERS = 2 }
max_memory = "200m"

[apps.web.health]
path = "/healthz"
method = "GET"
host = "app.localhost"
headers = { X-Probe = "portico" }
status = [200, 204]
body = "~ ^(ok|fine)$"
interval = "10s"
timeout = "2s"
rise = 2
fall = 4
grace = "20s"
restart = false

[apps.web.sticky]
cookie = "seat"
expires = "1h"
domain = "example.com"
path = "/"
httponly = true
secure = true
samesite = "none"

[apps.web.logs]
timestamp = "%Y-%m-%d %H:%M:%S"
stdout = "out.log"
stderr = "err.log"
max_size = "20m"
total_size = "1g"
keep = 3

[apps.web.slots.2]
weight = 5
backup = true
down = false

[apps.jobs]
script = "jobs.py"
interpreter = "python3"
interpreter_args = "-u"
total = 3
port = false
health = { command = ["./well", "--quick"] }

[apps.cleanup]
command = "./cleanup"
port = false
schedule = "*/5 * * * *"
timeout = "1m"

[apps.spare]
command = ["./spare", "--port", "$PORT"]
instances = "max"
backup = true
health = { grpc = "spare.Service" }

[upstreams.legacy]
balance = "hash $cookie_user consistent"
sticky = true
keepalive = 16
tls = true
tls_name = "legacy.example.com"
tls_verify = true
tls_ca = "ca.pem"

[[upstreams.legacy.servers]]
address = "10.0.0.5:8443"
weight = 3
max_conns = 50
max_fails = 2
fail_timeout = 30
backup = false
down = true

[[upstreams.legacy.servers]]
address = "10.0.0.6:8443"

[upstreams.both]
apps = ["web", "spare"]
servers = ["10.0.0.7:3000", "unix:/run/app.sock"]

[upstreams.checked]
servers = ["10.0.0.8:3000"]

[upstreams.checked.health]
path = "/healthz"
method = "GET"
host = "checked.example.com"
headers = { X-Check = "1" }
status = [200, 204]
body = "ok"
interval = "10s"
timeout = "2s"
rise = 2
fall = 4

[streams."127.0.0.1:5432"]
app = "web"
balance = "least_time connect inflight"
proxy_connect_timeout = "2s"
proxy_timeout = "12h"
proxy_next_upstream = false
allow = ["10.0.0.0/8"]
deny = ["10.6.6.6"]
access_log = false
proxy_protocol = true
set_real_ip_from = ["10.0.0.0/8"]
connection_limit = 50
tls = "shop.example.com"
ssl_alpn = ["postgresql"]

[streams."9000"]
upstream = "legacy"
balance = "least_conn"

[streams."[::1]:9001/udp"]
app = "web"
proxy_responses = 1

[streams."9001"]
server_names = { "a.example.com" = "web" }

[sites."shop.example.com"]
app = "web"
aliases = ["www.shop.example.com", "*.shop.example.com"]
certificate = "shop.pem"
key = "shop.key"
https = true
redirect_http = true
default = true
access_log = true
include = ["shop.conf"]
client_max_body_size = "100m"
proxy_connect_timeout = "3s"
proxy_read_timeout = "5m"
proxy_send_timeout = 30
websocket_timeout = "2h"
websocket = true
grpc = false
buffering = true
request_buffering = false
retries = 2
wait = { timeout = "5s", requests = 100 }
gzip = true
brotli = false
zstd = false
headers = { X-Frame-Options = "DENY" }
request_headers = { X-Forwarded-Prefix = "" }
allow = ["10.0.0.0/8"]
deny = ["10.6.6.6"]
error_pages = { 404 = "404.html", 503 = "503.html" }
proxy_intercept_errors = [404]

[sites."shop.example.com".tls]
issuer = ["https://ca.example.com/directory", "local"]
email = "ops@example.com"
ca_bundle = "ca.pem"
challenge = "dns-01"
key_type = "rsa2048"
profile = "tlsserver"
preferred_chain = "Example Root"
resolvers = ["192.0.2.53:53"]
preflight = false
staging = "https://ca.example/staging"
eab = { kid = "kid-1", hmac_key_file = "eab.key", algorithm = "HS384", issuer = "zerossl" }
deploy_hook = ["/usr/local/bin/tell", "renewed"]

[[sites."shop.example.com".tls.files]]
fullchain = "/etc/mail/fullchain.pem"
privkey = "/etc/mail/privkey.pem"
cert = "/etc/mail/cert.pem"
chain = "/etc/mail/chain.pem"
combined = "/etc/mail/combined.pem"
owner = "root"
group = "mail"
mode = "0640"

[sites."shop.example.com".tls.limits]
same_names = "9/7d"
failed_validations = "9/1h"
domain = "90/7d"
orders = "90/3h"
accounts = "9/3h"
issuer = "zerossl"

[sites."shop.example.com".tls.dns]
provider = "rfc2136"
server = "192.0.2.1:53"
key_name = "acme"
secret_file = "tsig.key"
algorithm = "hmac-sha512"
zone = "example.com"
auth = ["/usr/local/bin/publish"]
cleanup = ["/usr/local/bin/remove"]
credentials = "dns.credentials"
env = { TOKEN_FILE = "token" }

[sites."shop.example.com".rate_limit]
rate = "10r/s"
burst = 20
nodelay = true
per = "address"
status = 503

[sites."shop.example.com".connection_limit]
connections = 10
per = "site"
status = 503

[sites."shop.example.com".basic_auth]
realm = "staff"
users = { ann = "$apr1$x$y" }

[sites."shop.example.com".client_certificates]
authority = "authority.pem"
verify = "optional"
depth = 2
crl = "revoked.pem"

[sites."shop.example.com".mirror]
app = "web"
share = "12.5%"
request_body = false
timeout = "2s"

[sites."shop.example.com".auth]
app = "web"
path = "/oauth2/auth"
request_headers = ["X-User"]
headers = ["Set-Cookie"]
sign_in = "/oauth2/start?rd=$escaped_request_uri"
timeout = "5s"

[sites."shop.example.com".cache]
max_size = "5g"
valid = { 200 = "10m", any = "1s" }
inactive = "1d"
key = "$uri$arg_page"
use_stale = ["updating", "http_503"]
lock = true
min_uses = 2
revalidate = false
bypass = ["$cookie_session"]
no_cache = ["$upstream_http_x_private"]
ignore_cookies = true
x_cache = true

[sites."shop.example.com".real_ip]
trust = ["192.168.0.0/16"]
header = "X-Real-IP"
recursive = false
proxy_protocol = true

[sites."shop.example.com".hsts]
max_age = "730d"
include_subdomains = true
preload = true

[sites."shop.example.com".maintenance]
on = true
page = "soon.html"
retry_after = "10m"
allow = ["10.0.0.1"]

[sites."shop.example.com".routes."/static"]

[sites."shop.example.com".routes."/static".folder]
path = "public"
index = "index.html"
spa = true
listing = false
expires = "7d"
clean_urls = true

[sites."shop.example.com".routes."/api"]
upstream = "legacy"
strip_prefix = true
internal = false
rate_limit = "5r/m"
connection_limit = 5

[[sites."shop.example.com".routes."/new"]]
app = "spare"
match = { method = ["GET", "POST"], header = { X-Api = "~ ^2" }, cookie = { beta = "1" } }

[[sites."shop.example.com".routes."/new"]]
app = "web"
match = { query = { preview = true } }

[sites."shop.example.com".routes."= /old"]
redirect = { to = "https://new.example.com", status = 301, keep_path = true, keep_query = false }

[sites."shop.example.com".routes]
"/both" = "both"
"/oauth2/" = { app = "web", auth = false, satisfy = "any" }
"/files" = { auth = { upstream = "legacy", request_headers = { X-User = "Remote-User" } } }
"/copied" = { mirror = { upstream = "legacy" }, require_client_certificate = true }
"/away" = { mirror = false, auth = { url = "https://auth.example.com/verify" } }
"~ [.]php$" = { folder = "php", basic_auth = { file = "htpasswd" } }

[notify.ops]
url = "https://hooks.example.com/portico"
secret_file = "hook.secret"
events = ["failed", "all"]
timeout = "5s"

[notify.page]
command = ["/usr/local/bin/page", "ops"]
user = "www"

[tls]
certificate = "all.pem"
key = "all.key"
issuer = ["https://ca.example.com/directory", "local"]
email = "ops@example.com"
ca_bundle = "ca.pem"
challenge = "dns-01"
key_type = "rsa2048"
profile = "tlsserver"
preferred_chain = "Example Root"
resolvers = ["192.0.2.53:53"]
preflight = false
staging = "https://ca.example/staging"
eab = { kid = "kid-1", hmac_key_file = "eab.key", algorithm = "HS384", issuer = "zerossl" }
deploy_hook = ["/usr/local/bin/tell", "renewed"]

[tls.limits]
same_names = "9/7d"
failed_validations = "9/1h"
domain = "90/7d"
orders = "90/3h"
accounts = "9/3h"
issuer = "zerossl"

[tls.dns]
provider = "rfc2136"
server = "192.0.2.1:53"
key_name = "acme"
secret_file = "tsig.key"
algorithm = "hmac-sha512"
zone = "example.com"
auth = ["/usr/local/bin/publish"]
cleanup = ["/usr/local/bin/remove"]
credentials = "dns.credentials"
env = { TOKEN_FILE = "token" }

[edge]
http = 80
https = 443
bind = ["127.0.0.1", "[::1]"]
nginx = "/usr/sbin/nginx"
user = "nginx"
workers = 2
worker_connections = 4096
shutdown_timeout = 30
public_http = 80
public_https = 443
health_path = "/healthz"
metrics = "127.0.0.1:9464"
http3 = false
access_log_format = "combined"
log_max_size = "100m"
log_total_size = "20g"
log_keep = 2
include = "maps.conf"

[machines.m1]
address = "10.0.0.1"
port = 8446
labels = ["jobs"]
"""


def full() -> dict[str, Any]:
    return copy.deepcopy(_FULL)


def read(toml: str) -> Document:
    return read_document(tomllib.loads(toml), source="portico.toml")


def problems_of(file: str | dict[str, Any]) -> list[str]:
    """Every problem of a file, as the operator reads it; empty for a sound one."""
    table = tomllib.loads(file) if isinstance(file, str) else file
    try:
        read_document(table, source="portico.toml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every key and element of a file, at any depth."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for step, deeper in inner:
        yield from places(deeper, (*path, step))


_FULL = tomllib.loads(FULL)
