from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.planning.served_certificates import ServedCertificates, covers
from tests.unit.certificates import DAY, NOW, certificate

NAMES = ("shop.example.com", "www.shop.example.com")


def chosen(held, names=NAMES, own=("shop.example.com",), now=NOW):
    """By name, the lineages of its certificates."""
    groups = ServedCertificates(held, now).of_site(names, own)
    found = {
        name: tuple(c.lineage for c in group.certificates)
        for group in groups
        for name in group.names
    }
    assert groups[0].names[0] == names[0]
    assert sorted(found) == sorted(names)
    return found


def held(*lineages):
    return {each.lineage: each for each in lineages}


def of(lineage, *names, **more):
    return certificate(*(names or (lineage,)), lineage=lineage, **more)


MINE, BOTH = ("shop.example.com",), of("old", *NAMES)


@pytest.mark.parametrize(
    ("certificates", "first", "second"),
    [
        ([], (), ()),
        ([of("shop.example.com", *NAMES)], MINE, MINE),
        (
            [of("www.shop.example.com", *NAMES)],
            ("www.shop.example.com",),
            ("www.shop.example.com",),
        ),
        ([of("shop.example.com"), of("www.shop.example.com")], MINE, ("www.shop.example.com",)),
        ([of("shop.example.com"), BOTH], MINE, ("old",)),
        ([of("shop.example.com")], MINE, ()),
        ([of("shop.example.com", *NAMES, at=NOW - 91 * DAY)], MINE, MINE),
        ([of("shop.example.com", *NAMES, at=NOW - 91 * DAY), BOTH], ("old",), ("old",)),
        ([of("old", *NAMES, at=NOW - 91 * DAY)], (), ()),
        ([of("old", *NAMES, staging=True)], (), ()),
        ([of("old", *NAMES, at=NOW + DAY)], (), ()),
        ([of("old", "*.example.com", "*.shop.example.com")], ("old",), ("old",)),
        ([of("old", *NAMES), BOTH], ("old",), ("old",)),
        (
            [of("early", *NAMES, at=NOW - 9 * DAY), of("late", *NAMES, at=NOW - DAY)],
            ("late",),
            ("late",),
        ),
        (
            [of("alone", NAMES[1], at=NOW), of("early", *NAMES, at=NOW - 9 * DAY)],
            ("early",),
            ("early",),
        ),
    ],
)
def test_a_name_is_served_with_the_best_certificate_whatever_that_is_called(
    certificates, first, second
):
    assert chosen(held(*certificates)) == {NAMES[0]: first, NAMES[1]: second}


def test_a_revoked_certificate_is_served_for_no_other_site():
    lost = held(of("old", *NAMES))
    (group,) = ServedCertificates(lost, NOW, lambda each: each.lineage == "old").of_site(NAMES, ())
    assert group.certificates == ()


def test_both_kinds_of_keys_of_a_site_are_served():
    both = held(of("shop.example.com", *NAMES), of("shop.example.com+rsa", *NAMES))
    assert set(chosen(both, own=tuple(both)).values()) == {tuple(both)}


def test_an_address_is_covered_by_itself_alone():
    assert covers(("2001:db8::1", "192.0.2.1"), "2001:DB8:0::1")
    assert not covers(("*.0.2.1",), "192.0.2.1")
    assert covers(("*.example.com",), "*.example.com")


hosts = st.sampled_from(["a.test", "b.test", "x.a.test", "*.a.test", "192.0.2.1", "*.test"])
certificates = st.builds(
    lambda n, names, age: of(f"l{n}", *sorted(names), at=NOW - age * DAY, serial=f"{n + 1:x}"),
    st.integers(0, 5),
    st.sets(hosts, min_size=1, max_size=3),
    st.floats(-10.0, 120.0),
)


@given(
    every=st.lists(certificates, max_size=6),
    names=st.lists(hosts, min_size=1, max_size=4, unique=True),
    own=st.sets(st.sampled_from(["l0", "l1"]), max_size=2),
)
def test_a_name_that_a_valid_certificate_covers_is_never_served_with_another(every, names, own):
    current = held(*every)
    valid = [each for each in current.values() if each.not_before <= NOW < each.not_after]
    for name, lineages in chosen(current, tuple(names), tuple(sorted(own))).items():
        good = [each for each in valid if covers(each.names, name)]
        assert all(covers(current[each].names, name) for each in lineages)
        if good:
            assert any(current[each].not_after > NOW for each in lineages)
        assert len(lineages) <= max(1, len(own))
