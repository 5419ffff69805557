"""Which certificates a file wants from an authority: one lineage for a site's public names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from portico.core.model.certificate import (
    LETS_ENCRYPT_LIMITS,
    STAGING_LIMITS,
    Binding,
    Challenge,
    Issuer,
    KeyType,
    Limits,
    Lineage,
    is_rsa,
)
from portico.core.model.certificate_views import StandaloneRequest
from portico.core.model.desired import Desired, absolute
from portico.core.model.issuing import ISSUERS, STAGING_ISSUERS, DnsProvider, IssuanceSettings

_LETS_ENCRYPT: Final = frozenset({ISSUERS["letsencrypt"], ISSUERS["letsencrypt-staging"]})
_LIMITS: Final[Mapping[str, Limits]] = {
    ISSUERS["letsencrypt"]: LETS_ENCRYPT_LIMITS,
    ISSUERS["letsencrypt-staging"]: STAGING_LIMITS,
}
_ADDRESS_PROFILE: Final = "shortlived"
_NONE: Final[Mapping[str, str]] = {}


def wanted_lineages(
    desired: Desired, secrets: Mapping[str, str], unreadable: Mapping[str, str] = _NONE
) -> dict[str, Lineage]:
    """By their names. `secrets` has what the files that `secret_files` names hold, `unreadable`
    why others of them cannot be read.
    """
    lineages = {}
    for name, site in desired.sites.items():
        if (settings := desired.issuance(name)) is None:
            continue
        names = tuple(filter(settings.asks_authority, (name, *site.aliases)))
        if names:
            lineage = _lineage(names, settings, desired.origin(name).folder, secrets)
            files = _secret_files(settings, desired.origin(name).folder)
            problem = next((unreadable[path] for path in files if path in unreadable), "")
            for each, key_type in _names(name, settings):
                own = lineage.files if each == name else ()
                lineages[each] = replace(
                    lineage, name=each, key_type=key_type, files=own, problem=problem
                )
    return lineages


def lineage_names(desired: Desired, site: str) -> tuple[str, ...]:
    """Those whose certificates a site is served with, as far as they are there: one, or one for
    each kind of key.
    """
    settings = desired.issuance(site)
    return tuple(name for name, _ in _names(site, settings)) if settings else ()


def _names(site: str, settings: IssuanceSettings) -> Iterator[tuple[str, KeyType]]:
    """An RSA certificate beside another one has a name of its own, whichever was written first."""
    several = len(settings.key_types) > 1
    for key_type in settings.key_types:
        yield f"{site}+rsa" if several and is_rsa(key_type) else site, key_type


def standalone_lineage(request: StandaloneRequest) -> Lineage:
    """One that no site is for: the authority is answered on a port of our own."""
    settings = IssuanceSettings.model_construct(
        issuer=request.issuer,
        email=request.email,
        ca_bundle=request.ca_bundle,
        key_type=request.key_type,
        preflight=request.preflight,
        deploy_hook=request.deploy_hook or None,
    )
    port = {"port": str(request.http_port)}
    return replace(
        _lineage(request.names, settings, "/", {}),
        challenges=(Challenge("standalone", options=port),),
        behind_nginx=False,
    )


def settings_not_in_file(
    desired: Desired, site: str, settings: Mapping[str, object]
) -> dict[str, object]:
    """Of settings as in `[sites."NAME".tls]` those that do not hold for this site yet."""
    holds = desired.issuance(site) if site in desired.sites else None
    try:
        wanted = IssuanceSettings.model_validate(settings, strict=False)
    except ValidationError:  # what another program has accepted need not be accepted here
        return dict(settings)
    if holds is None:
        return dict(settings)
    return {key: value for key, value in settings.items() if _of(wanted, key) != _of(holds, key)}


def _of(settings: IssuanceSettings, key: str) -> object:
    """With what holds where nothing is said."""
    if key == "issuer":
        return settings.issuers
    if key == "key_type":
        return settings.key_types
    return getattr(settings, key) or {"challenge": "http-01"}.get(key)


def secret_files(desired: Desired) -> Iterator[str]:
    """Absolute paths of the files with secrets that lineages are made with."""
    for site in desired.sites:
        if settings := desired.issuance(site):
            yield from _secret_files(settings, desired.origin(site).folder)


def _secret_files(settings: IssuanceSettings, folder: str) -> Iterator[str]:
    for each in settings.bindings:
        yield absolute(each.hmac_key_file, folder)
    if settings.dns:
        for path in (settings.dns.secret_file, settings.dns.credentials):
            if path:
                yield absolute(path, folder)


def _lineage(
    names: tuple[str, ...], settings: IssuanceSettings, folder: str, secrets: Mapping[str, str]
) -> Lineage:
    return Lineage(
        names[0],
        names,
        tuple(_issuer(url, settings, folder, secrets) for url in settings.issuers),
        key_type=settings.key_types[0],
        has_other_key_type=len(settings.key_types) > 1,
        profile=settings.profile,
        preferred_chain=settings.preferred_chain,
        challenges=(_challenge(names, settings, folder, secrets),),
        preflight=settings.preflight is not False,
        files=tuple(
            replace(file, path=absolute(file.path, folder))
            for table in settings.files or ()
            for file in table.files()
        ),
        hooks=settings.hooks,
    )


def _issuer(
    url: str, settings: IssuanceSettings, folder: str, secrets: Mapping[str, str]
) -> Issuer:
    is_staging = url in STAGING_ISSUERS.values()
    binding = None
    for eab in settings.bindings:
        if binding is None and eab.issuer in {None, url}:
            key = secrets.get(absolute(eab.hmac_key_file, folder), "")
            binding = Binding(eab.kid, key.strip(), eab.algorithm)
    return Issuer(
        url,
        contact=(settings.email,) if settings.email else (),
        ca_bundle=absolute(settings.ca_bundle, folder) if settings.ca_bundle else None,
        binding=binding,
        staging=STAGING_ISSUERS.get(url)
        or (settings.staging if url == settings.issuers[0] else None),
        limits=replace(_LIMITS.get(url, Limits()), **settings.limits_at(url)),
        staging_limits=_LIMITS.get(STAGING_ISSUERS.get(url, ""), Limits()),
        is_staging=is_staging,
        profile_for_addresses=_ADDRESS_PROFILE if url in _LETS_ENCRYPT else None,
    )


def _challenge(
    names: tuple[str, ...], settings: IssuanceSettings, folder: str, secrets: Mapping[str, str]
) -> Challenge:
    has_wildcard = any(name.startswith("*.") for name in names)
    kind = settings.challenge or ("dns-01" if has_wildcard else "http-01")
    resolvers = settings.resolvers or ()
    if kind != "dns-01" or settings.dns is None:
        return Challenge(kind, resolvers=resolvers)
    dns = settings.dns
    return Challenge(
        kind,
        dns.provider.removeprefix("lexicon:"),
        options=dict(_options(dns, folder, secrets)),
        auth=dns.auth,
        cleanup=dns.cleanup,
        resolvers=resolvers,
    )


def _options(
    dns: DnsProvider, folder: str, secrets: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for key in ("server", "key_name", "algorithm", "zone"):
        if dns.provider == "rfc2136" and (value := getattr(dns, key)):
            yield key, value
    if dns.secret_file:
        yield "secret", secrets.get(absolute(dns.secret_file, folder), "").strip()
    if dns.credentials:
        for line in secrets.get(absolute(dns.credentials, folder), "").splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith("#"):
                yield key.strip(), value.strip()
    yield from dns.env.items()
