"""Parameters: their numbers, their cache, and that flavio stays out of warm starts."""

import math
import os
import subprocess
import sys

import pytest
from darkpenguin.physics import parameters
from darkpenguin.physics.parameters import _load_parameters, load_parameters

HBAR = 6.582119569e-25  # GeV s, CODATA 2018


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path))
    _load_parameters.cache_clear()
    yield tmp_path
    _load_parameters.cache_clear()


def test_known_numbers():
    known = load_parameters()
    # PDG: tau(B+) = 1.638 ps, tau(B0) = 1.519 ps
    assert known["tau_B+"] * HBAR == pytest.approx(1.638e-12, abs=2e-15)
    assert known["tau_B0"] * HBAR == pytest.approx(1.519e-12, abs=2e-15)
    assert 1 / known["alpha_e(4.8)"] == pytest.approx(132.1, abs=0.1)
    assert known["GF"] == pytest.approx(1.1663787e-5, rel=1e-6, abs=0)


def test_prefactor_is_the_paper_s_n():
    known = load_parameters()
    # N = G_F V_tb V_ts* alpha / (sqrt(2) pi), below eq. (7) of arXiv:1704.06188, which quotes -7.7e-10 GeV^-2
    xi_t = complex(known["xi_t_re"], known["xi_t_im"])
    expected = known["GF"] * xi_t * known["alpha_e(4.8)"] / (math.sqrt(2) * math.pi)
    assert known.prefactor == pytest.approx(expected, rel=1e-12, abs=0)
    assert known.prefactor.real == pytest.approx(-7.7e-10, rel=0.1, abs=0)


def test_every_parameter_has_unit_and_source():
    known = load_parameters()
    assert len(known) > 30
    for name in known:
        entry = known.entry(name)
        assert entry.unit
        assert "flavio" in entry.source
        assert math.isfinite(entry.value)


def test_second_start_reads_the_cache(own_cache):
    first = dict(load_parameters())
    (stored,) = own_cache.glob("parameters-*.json")
    command = (
        "import sys; from darkpenguin.physics.parameters import load_parameters; "
        "print(repr(load_parameters()['m_B0'])); print('flavio' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", command], env={**os.environ, "DARKPENGUIN_CACHE": str(own_cache)},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert shown == [repr(first["m_B0"]), "False"]
    assert stored.stat().st_size > 0


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"m_B0": 3}', b"\xff\xfe", b'["x"]'])
def test_damaged_cache_is_made_again(own_cache, content):
    good = dict(load_parameters())
    (stored,) = own_cache.glob("parameters-*.json")
    stored.write_bytes(content)
    _load_parameters.cache_clear()
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert dict(load_parameters()) == good
    _load_parameters.cache_clear()
    assert dict(load_parameters()) == good  # and the file is whole again: no warning


def test_works_without_a_cache(monkeypatch):
    monkeypatch.setattr(parameters, "cache_folder", lambda: None)
    _load_parameters.cache_clear()
    try:
        assert load_parameters()["m_K*0"] == pytest.approx(0.8956, abs=0.001)
    finally:
        _load_parameters.cache_clear()


def test_one_digit_changed_in_the_cache_is_noticed(own_cache):
    """Valid JSON with another mass would be other physics, silently."""
    good = load_parameters()["m_B0"]
    (stored,) = own_cache.glob("parameters-*.json")
    content = stored.read_bytes()
    stored.write_bytes(content.replace(repr(good).encode(), b"5.27999"))
    assert stored.read_bytes() != content
    _load_parameters.cache_clear()
    with pytest.warns(RuntimeWarning, match="checksum"):
        assert load_parameters()["m_B0"] == good
