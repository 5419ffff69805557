"""Which certificate each name of a site is served with: the best one there is, whatever it is
called. A site that was renamed, or a name that was moved to another site, keeps a valid one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from portico.core.model.certificate import Certificate
from portico.core.model.names import is_ip


@dataclass(frozen=True, slots=True)
class CertifiedNames:
    """Names of one site that are served with the same certificates."""

    names: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    """One for each kind of key; none where only the local authority's is left."""


class ServedCertificates:
    """`current` are those that nginx may be given, by their lineages; one that is revoked serves
    at most the site that it was obtained for.
    """

    def __init__(
        self,
        current: Mapping[str, Certificate],
        now: float,
        is_revoked: Callable[[Certificate], bool] = lambda _: False,
    ) -> None:
        self._current, self._now, self._is_revoked = current, now, is_revoked
        self._by_name: defaultdict[str, list[Certificate]] = defaultdict(list)
        for each in current.values():
            if each.not_before <= now < each.not_after and not each.staging:
                for name in each.names:
                    self._by_name[name.lower()].append(each)

    def of_site(self, names: Sequence[str], lineages: Iterable[str]) -> list[CertifiedNames]:
        """For every name its certificate, the group of the first name first. `lineages` are the
        site's own: theirs are used as long as they are valid, or nothing else is.
        """
        own = [self._current[each] for each in lineages if each in self._current]
        groups: dict[tuple[Certificate, ...], list[str]] = {}
        for name in names:
            groups.setdefault(self._best_certificates(name, names, own), []).append(name)
        return [CertifiedNames(tuple(part), best) for best, part in groups.items()]

    def _best_certificates(
        self, name: str, names: Sequence[str], own: Sequence[Certificate]
    ) -> tuple[Certificate, ...]:
        mine = tuple(each for each in own if covers(each.names, name))
        if any(self._now < each.not_after for each in mine):
            return mine
        found = [each for key in _keys(name) for each in self._by_name.get(key, ())]
        others = [each for each in found if not self._is_revoked(each)]
        if not others:
            return mine
        return (max(others, key=lambda each: (_count_shared(each, names), each.not_after)),)


def covers(held: Iterable[str], name: str) -> bool:
    """Whether one of a certificate's names stands for this name of a site. RFC 9525 6.3."""
    return not set(_keys(name)).isdisjoint(map(str.lower, held))


def _keys(name: str) -> Iterator[str]:
    """The names that a certificate may have for it."""
    if is_ip(name):
        yield str(ip_address(name))
        return
    yield name.lower()
    if not name.startswith("*."):
        yield f"*.{name.lower().partition('.')[2]}"


def _count_shared(certificate: Certificate, names: Sequence[str]) -> int:
    """One for many names of a site makes fewer servers of it."""
    return sum(covers(certificate.names, name) for name in names)
