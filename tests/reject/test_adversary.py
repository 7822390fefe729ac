"""Certificates, properties and networks that an adversary changed, with all digests computed anew."""

import pytest

from .mutants import attack


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_an_adversary_who_computes_all_digests_anew_is_not_believed(arithmetic, tmp_path):
    verdicts = [attack(number, 1, arithmetic, tmp_path) for number in range(40)]
    assert "wrong" not in verdicts
    assert "rejected certificate/digest" not in verdicts
    assert 0 < sum(verdict.startswith("verified") for verdict in verdicts) < len(verdicts)
