from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.certificate import RenewalState, Trouble
from portico.core.planning.expiry import warning
from portico.core.planning.renewal import latest_renewal
from tests.unit.certificates import DAY, HOUR, NOW, certificate

QUIET = RenewalState("a.test")
FAILED = replace(QUIET, troubles={"x": Trouble(3, "no answer", NOW, NOW + DAY)})


def at(left, *, days=90.0, memory=QUIET):
    """What is said of a certificate of which this part of its life is left."""
    held = certificate(days=days)
    return warning(held, memory, held.not_after - left * held.lifetime)


def test_nothing_is_said_of_a_certificate_in_its_youth_nor_of_none():
    assert at(1.0) == at(0.35, memory=FAILED) == ""
    assert warning(None, FAILED, NOW) == ""


@pytest.mark.parametrize("days", [160 / 24, 45, 90, 365])
@pytest.mark.parametrize(
    ("left", "said"),
    [
        (0.24, "with less than a quarter of its lifetime left"),
        (0.09, "with less than a tenth of its lifetime left"),
        (0.0, "its certificate expired at "),
        (-1.0, "its certificate expired at "),
    ],
)
def test_the_thresholds_are_parts_of_its_own_life_however_long_that_is(days, left, said):
    assert said in at(left, days=days)


@pytest.mark.parametrize("days", [160 / 24, 45])
def test_a_renewal_that_is_late_and_fails_is_told_before_any_threshold(days):
    held = certificate(days=days)
    late = latest_renewal(held) + HOUR
    assert warning(held, FAILED, late).endswith("; renewal is late and has failed")
    assert warning(held, QUIET, late) == "", "it is being renewed now"
    undeployed = replace(QUIET, deploy_trouble=Trouble(1, "nginx -t", NOW, NOW + HOUR))
    assert "has failed" in warning(held, undeployed, late)


def test_the_sentence_changes_at_thresholds_only():
    held = certificate()
    said = {
        warning(held, FAILED, held.not_before + part / 1000 * held.lifetime)
        for part in range(1200)
    }
    assert len(said) == 5, "nothing, late, a quarter, a tenth, expired"
