"""Rules of how certificates are obtained: what an authority could never prove or sign."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Finding, Path
from portico.core.model.certificate import is_rsa
from portico.core.model.document import Document
from portico.core.model.issuing import ISSUERS, MAX_NAMES, DnsProvider, IssuanceSettings
from portico.core.model.names import is_ip
from portico.core.model.site import Site


def issuing_findings(document: Document) -> Iterator[Finding]:
    """Only of what the file itself says; whether a name reaches this machine is asked later."""
    yield from _settings(("tls",), document.tls)
    yield from _files(document)
    for name, site in document.sites.items():
        path: Path = ("sites", name)
        if site.tls is not None:
            yield from _settings((*path, "tls"), site.tls)
        yield from _site(path, name, site, document)
    yield from _alpn(document)


def _files(document: Document) -> Iterator[Finding]:
    """Each file is of one certificate."""
    if document.tls.files is not None:
        what = "cannot be set for all sites: their certificates would replace each other"
        yield Finding(("tls", "files"), what, 'set it in [sites."NAME".tls]')
    seen: dict[str, str] = {}
    for name, site in document.sites.items():
        for number, table in enumerate((site.tls.files if site.tls else None) or ()):
            for key, file in table.paths():
                path: Path = ("sites", name, "tls", "files", number, key)
                if file in seen:
                    yield Finding(path, f'"{file}" is already set for the site "{seen[file]}"')
                seen[file] = name


def challenged_by_alpn(document: Document) -> Iterator[Path]:
    """Where the file says so, for each site with such names."""
    for name, site in document.sites.items():
        settings = _settings_of(site, document)
        if settings is not None and settings.challenge == "tls-alpn-01":
            own = site.tls is not None and site.tls.challenge is not None
            yield ("sites", name, "tls", "challenge") if own else ("tls", "challenge")


def _alpn(document: Document) -> Iterator[Finding]:
    """While an authority asks, nginx has every connection of the port twice, and only the first
    time from its client: then nobody in front can be trusted to name another one.
    """
    path = next(challenged_by_alpn(document), None)
    behind = next((name for name, site in document.sites.items() if site.real_ip), None)
    if path and behind:
        what = f'tls-alpn-01 cannot be combined with real_ip, which the site "{behind}" has'
        yield Finding(path, what, "use http-01 or dns-01")


def _settings(path: Path, settings: IssuanceSettings) -> Iterator[Finding]:
    if settings.dns is not None:
        yield from _provider((*path, "dns"), settings.dns)
    kinds = [is_rsa(each) for each in settings.key_types]
    if not kinds or len(kinds) != len(set(kinds)):
        what = "must be one type, or one ECDSA and one RSA type"
        yield Finding((*path, "key_type"), what, 'as in ["ecdsa-p256", "rsa2048"]')


def _provider(path: Path, dns: DnsProvider) -> Iterator[Finding]:
    needed: dict[str, tuple[str, ...]] = {
        "rfc2136": ("server", "key_name", "secret_file"),
        "command": ("auth",),
    }
    for key in needed.get(dns.provider, ("credentials",)):
        if not getattr(dns, key):
            yield Finding((*path, key), f'is required for the provider "{dns.provider}"')


def _site(path: Path, name: str, site: Site, document: Document) -> Iterator[Finding]:
    if (settings := _settings_of(site, document)) is None:
        return
    names = [*filter(settings.asks_authority, (name, *site.aliases))]
    if not names:
        return
    if len(set(names)) > MAX_NAMES and any(i in ISSUERS.values() for i in settings.issuers):
        what = f"has {len(set(names))} names, and a certificate at most {MAX_NAMES}"
        yield Finding(path, what, "divide it into several sites")
    wildcard = next((each for each in names if each.startswith("*.")), None)
    by_dns = settings.challenge == "dns-01" or (settings.challenge is None and wildcard)
    if wildcard and settings.challenge not in {None, "dns-01", "manual"}:
        what = f'cannot validate "{wildcard}": a wildcard needs dns-01 or manual'
        yield Finding((*path, "tls", "challenge"), what)
    elif by_dns and settings.dns is None:
        what = f'is required to validate "{wildcard or names[0]}" with dns-01'
        hint = 'configure [tls.dns], or use a local certificate: issuer = "local"'
        yield Finding((*path, "tls", "dns"), what, hint)
    address = next(filter(is_ip, names), None)
    if address and (by_dns or settings.challenge == "manual"):
        what = f"{settings.challenge or 'dns-01'} cannot validate {address}"
        yield Finding((*path, "tls", "challenge"), what)


def _settings_of(site: Site, document: Document) -> IssuanceSettings | None:
    """None where no authority is asked: the owner brings a certificate, or wants none."""
    settings = site.tls.merged_over(document.tls) if site.tls else document.tls
    own = site.certificate or document.tls.certificate
    return settings if site.https and not own and settings.issuers else None
