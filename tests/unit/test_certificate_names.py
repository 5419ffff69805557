from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.certificates.examine import covers
from portico.core.model.names import folder_name, is_ip, parse_domain

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.builds(
    lambda star, parts: star + ".".join(parts),
    st.sampled_from(["", "*."]),
    st.lists(labels, min_size=1, max_size=40),
).filter(lambda name: not is_ip(name))  # four numbers need not be an address
reserved = st.sampled_from(["authority", "index.json", "lock", "::1", "::", "1::2:3", "127.0.0.1"])
lineages = (hosts | reserved | st.ip_addresses().map(str)).filter(lambda name: len(name) <= 253)


@pytest.mark.parametrize(
    ("lineage", "folder"),
    [
        ("app.localhost", "app.localhost"),
        ("*.example.test", "_.example.test"),
        ("::1", "__1"),
        ("127.0.0.1", "127.0.0.1"),
        ("authority", "_authority"),
    ],
)
def test_a_lineage_has_a_folder_that_a_person_recognizes(lineage, folder):
    assert folder_name(lineage) == folder


@given(lineages, lineages)
def test_two_lineages_never_share_a_folder(one, other):
    one, other = parse_domain(one), parse_domain(other)
    assert (folder_name(one) == folder_name(other)) == (one == other)


@given(st.text(max_size=300) | lineages)
def test_whatever_a_lineage_is_called_its_folder_is_one_safe_name(lineage):
    name = folder_name(lineage)

    assert 0 < len(name.encode()) <= 255
    assert not set(name) & set("/\0*: ")
    assert not name.startswith(".")
    assert name not in {"authority", "_index.json", "_index.json.new"}


@pytest.mark.parametrize(
    ("held", "name", "covered"),
    [
        ({"a.test"}, "a.test", True),
        ({"A.test"}, "a.test", True),
        ({"a.test"}, "www.a.test", False),
        ({"*.a.test"}, "www.a.test", True),
        ({"*.a.test"}, "a.test", False),
        ({"*.a.test"}, "x.www.a.test", False),
        ({"*.a.test"}, "*.a.test", True),
        ({"*.test"}, "*.a.test", False),
        ({"127.0.0.1"}, "127.0.0.1", True),
        ({"*.0.0.1"}, "127.0.0.1", False),
        ({"::1"}, "0:0::1", True),
        (set(), "a.test", False),
    ],
)
def test_a_certificate_covers_its_names_and_one_label_for_a_star(held, name, covered):
    assert covers(held, name) is covered
