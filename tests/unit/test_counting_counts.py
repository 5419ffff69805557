from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.core.counting.counts import CLASSES, Counts, merge, pack, total, unpack

NUMBER = st.integers(0, 1 << 50)
HISTOGRAM = st.dictionaries(st.integers(-1, 1200), st.integers(1, 1 << 40), max_size=40)
COUNTS = st.builds(
    Counts,
    NUMBER,
    st.lists(NUMBER, min_size=len(CLASSES), max_size=len(CLASSES)),
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    HISTOGRAM,
    HISTOGRAM,
)


@given(COUNTS)
def test_what_was_packed_is_unpacked_the_same(counts):
    assert unpack(pack(counts)) == counts
    assert unpack(b"") == Counts()


@given(COUNTS, COUNTS, COUNTS)
def test_packed_counts_are_merged_in_any_order(a, b, c):
    x, y, z = map(pack, (a, b, c))
    whole = total([x, y, z])
    assert unpack(merge(merge(x, y), z)) == unpack(merge(x, merge(y, z))) == whole
    assert whole.requests == a.requests + b.requests + c.requests
    assert whole.errors == a.errors + b.errors + c.errors
    assert merge(b"", x, b"") == x
