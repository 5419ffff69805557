"""What renews certificates, and whether nginx notices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.machine import Machine
from portico.stack.doctor.rule import Example, Facts, Fault, place_of, rule
from portico.stack.model import Lineage, Renewal

_SITE: Final = (
    "server {\n    listen 443 ssl;\n    server_name a.example;\n    ssl_certificate "
    "/etc/letsencrypt/live/a.example/fullchain.pem;\n    ssl_certificate_key "
    "/etc/letsencrypt/live/a.example/privkey.pem;\n    root /srv/a;\n}\n"
)
_PLAIN_SERVER: Final = (
    "server {\n    listen 80;\n    return 301 https://a.example$request_uri;\n}\n"
)
_GOOD_CRONTAB: Final = '@daily certbot renew --quiet --deploy-hook "systemctl reload nginx"\n'
_HOOK: Final = re.compile(
    r"--(deploy|renew|post)-hook|nginx\s+-s\s+reload|(reload|restart)\s+nginx|nginx\s+(reload|restart)"
    r"|--nginx\b|-i\s+nginx|--installer[ =]nginx|kill.*HUP|--reloadcmd|--apache"
)


def _crontab(before: str, after: str, site: str = _SITE) -> Example:
    return Example({"crontab": before, "site.conf": site}, {"crontab": after, "site.conf": site})


def _jobs(facts: Facts) -> list[Renewal]:
    """Without those that end by themselves where systemd runs, as of Debian's package."""
    return [each for each in facts.stack.renewals if "/run/systemd/system" not in each.command]


def _by_certbot(facts: Facts) -> Iterator[Renewal]:
    for each in _jobs(facts):
        if re.search(r"\b(certbot|letsencrypt)(-auto)?\b", each.command):
            yield each


@rule(
    "renewal-without-reload",
    "error",
    "A renewal that does not reload nginx",
    why="nginx reads a certificate when it starts: it serves the old one after the renewal, until "
    "that has expired, and then browsers refuse the site although a valid one is on the disk.",
    fix='Write `--deploy-hook "systemctl reload nginx"`, or a script in '
    "`/etc/letsencrypt/renewal-hooks/deploy/`.",
    example=_crontab("@daily certbot renew\n", _GOOD_CRONTAB),
)
def without_reload(facts: Facts) -> Iterator[Fault]:
    serves = any(True for _ in facts.nginx.lines_named("ssl_certificate"))
    lineages = facts.stack.lineages
    hooked = facts.machine.deploy_hooks or (bool(lineages) and all(map(_reloads, lineages)))
    for each in _by_certbot(facts):
        runs = re.search(r"\b(renew|certonly)\b", each.command)
        if serves and runs and not hooked and not _HOOK.search(each.command):
            yield place_of(each), "no hook reloads nginx after a renewal"


def _reloads(lineage: Lineage) -> bool:
    return lineage.params.get("installer") == "nginx" or _has(lineage, "renew_hook", "post_hook")


def _has(lineage: Lineage, *names: str) -> bool:
    return any(lineage.params.get(name, "None") != "None" for name in names)


@rule(
    "standalone-while-nginx-listens",
    "error",
    "`--standalone` while nginx has port 80",
    why="certbot cannot listen there, and every renewal fails; the certificate expires.",
    fix="Use `--webroot -w FOLDER` or `--nginx`.",
    example=_crontab(
        "@weekly certbot certonly --standalone -d a.example --deploy-hook 'nginx -s reload'\n",
        "@weekly certbot certonly --webroot -w /srv/a -d a.example --deploy-hook 'nginx -s "
        "reload'\n",
        _SITE + _PLAIN_SERVER,
    ),
)
def standalone(facts: Facts) -> Iterator[Fault]:
    on_80 = any(e.port == 80 for server in facts.nginx.servers for e in server.listens)  # noqa: PLR2004
    stops = re.compile(
        r"stop\s+nginx|nginx\s+(stop|-s\s+(stop|quit))|--pre-hook|--http-01-port|kill"
    )
    for each in _by_certbot(facts):
        if on_80 and "--standalone" in each.command and not stops.search(each.command):
            yield place_of(each), "nginx has port 80, so that certbot cannot validate"
    for lineage in facts.stack.lineages:
        alone = lineage.params.get("authenticator") == "standalone"
        if on_80 and alone and not _has(lineage, "pre_hook", "http01_port"):
            yield lineage.place, f"{lineage.name} is renewed by standalone, and nginx has port 80"


@rule(
    "renewal-stops-nginx",
    "warning",
    "nginx is stopped for each renewal",
    why="All sites are down for as long as the validation takes, 5 to 60 seconds each time, and "
    "remain down where certbot fails between stop and start.",
    fix="Use `--webroot -w FOLDER` or `--nginx`, with a deploy hook that reloads.",
    example=_crontab(
        "@daily systemctl stop nginx; certbot renew; systemctl start nginx\n", _GOOD_CRONTAB
    ),
)
def stops_nginx(facts: Facts) -> Iterator[Fault]:
    for each in facts.stack.renewals:
        if re.search(r"(systemctl|service)\s+(stop\s+nginx|nginx\s+stop)", each.command):
            yield place_of(each), "no site is served while certbot runs"


@rule(
    "dry-run-renews-nothing",
    "error",
    "A renewal with `--dry-run`",
    why="It only tries: no certificate is ever renewed by it, and the site's expires.",
    fix="Remove `--dry-run`; `certbot renew` renews what is due and nothing else.",
    example=_crontab(
        "@daily certbot renew --dry-run --deploy-hook 'nginx -s reload'\n", _GOOD_CRONTAB
    ),
)
def dry_run(facts: Facts) -> Iterator[Fault]:
    for each in facts.stack.renewals:
        if re.search(r"--(dry-run|test-cert|staging)\b", each.command):
            yield place_of(each), "nothing is renewed"


@rule(
    "forced-renewal",
    "warning",
    "A renewal that is forced each time",
    why="The authority signs at most 5 certificates a week for the same names: a daily job is "
    "refused from the sixth on, also when a renewal is due.",
    fix="Remove `--force-renewal`; `certbot renew` renews what is due.",
    example=_crontab(
        "@daily certbot renew --force-renewal --post-hook 'nginx -s reload'\n", _GOOD_CRONTAB
    ),
)
def forced(facts: Facts) -> Iterator[Fault]:
    for each in facts.stack.renewals:
        if re.search(r"--force-renew(al)?\b|acme\.sh.*--force\b", each.command):
            yield place_of(each), "a certificate is ordered each time, due or not"


@rule(
    "two-renewers",
    "warning",
    "Two jobs renew the same certificates",
    why="They run into each other's lock, use up the authority's limits together, and one of them "
    "may not reload nginx: whichever renews first decides.",
    fix="Keep one. Debian's package of certbot brings a timer: `systemctl list-timers`.",
    example=Example(
        {"crontab": _GOOD_CRONTAB, "site.conf": _SITE},
        {"crontab": _GOOD_CRONTAB, "site.conf": _SITE},
        Machine(renewers=("/etc/systemd/system/timers.target.wants/certbot.timer",)),
        Machine(),
    ),
)
def two_renewers(facts: Facts) -> Iterator[Fault]:
    every = [e for e in _jobs(facts) if not re.search(r"--dry-run|-d\s|certonly", e.command)]
    named = {_job_name(str(each.place)) for each in facts.stack.renewals}
    others = [each for each in facts.machine.renewers if _job_name(each) not in named]
    for each in every[1:] if not others else every:
        other = others[0] if others else str(every[0].place)
        yield place_of(each), f"{other} renews them as well"


def _job_name(where: str) -> str:
    """Of a timer its name: the enabled one is a link to it."""
    return where.rpartition("/")[2] if where.endswith(".timer") else where
