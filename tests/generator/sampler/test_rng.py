"""Philox against its authors' known answers, and what is made of its words."""

import numpy as np
import pytest
from darkpenguin.generator.sampler.rng import coin, philox, pick_entry, uniform
from scipy import stats

FALSE_ALARM = 1e-8  # of each statistical test here; there are three


def words(*values):
    return tuple(np.uint32(value) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # Random123 1.14, tests/kat_vectors, "philox4x32 10"
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    assert philox(*words(*counter), *words(*key)) == expected


def test_every_word_of_counter_and_key_matters():
    base = philox(*words(1, 2, 3, 4), *words(5, 6))
    for changed in range(6):
        arguments = [1, 2, 3, 4, 5, 6]
        arguments[changed] += 1
        assert all(a != b for a, b in zip(philox(*words(*arguments)), base, strict=True))


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_uniform_stays_inside(real):
    zero, top = words(0, 2**32 - 1)
    assert 0 < uniform(real, zero, zero) < 1e-6
    assert 1 - 1e-6 < uniform(real, top, top) < 1


def test_the_two_precisions_give_the_same_number():
    """Exact: the float32 cell of width 2^-23 contains the float64 number."""
    rng = np.random.default_rng(1)
    for high, low in rng.integers(0, 2**32, (1000, 2), dtype=np.uint32):
        single, double = uniform(np.float32, high, low), uniform(np.float64, high, low)
        assert abs(float(single) - double) < 2.0**-24
        assert coin(np.float32, high, low, high) == coin(np.float64, high, low, high)


def test_uniform_resolution():
    """float64 uses 23 + 29 bits: the lowest one counts."""
    high, low, lowest = words(2**31, 8, 16)
    assert uniform(np.float64, high, lowest) - uniform(np.float64, high, low) == 2.0**-52


def test_coins_are_independent_of_uniforms_and_of_each_other():
    """chi2 of 16 x 16 x 16 cells: a uniform, the coin of its low bits, and another coin of the event."""
    n = 1 << 17
    key = words(7, 0)
    cells = np.zeros((16, 16, 16))
    for event in range(n):
        a, b, c, d = philox(np.uint32(event), np.uint32(0), np.uint32(0), np.uint32(0), *key)
        e, f, _, _ = philox(np.uint32(event), np.uint32(0), np.uint32(1), np.uint32(0), *key)
        cells[
            int(16 * uniform(np.float64, a, a)),
            int(16 * coin(np.float64, a, b, c)),
            int(16 * coin(np.float64, d, e, f)),
        ] += 1
    chi2 = ((cells - n / 16**3) ** 2 / (n / 16**3)).sum()
    assert FALSE_ALARM < stats.chi2.sf(chi2, 16**3 - 1) < 1 - FALSE_ALARM


def test_coins_reach_every_bit():
    """Bits of the three words land on top of one another nowhere: 2^23 values from 9 + 9 + 5 bits."""
    zero = np.uint32(0)
    values = {
        float(coin(np.float64, a, b, c)) * 2**23 - 0.5
        for shift in range(9)
        for a, b, c in (
            (np.uint32(1 << shift), zero, zero),
            (zero, np.uint32(1 << shift), zero),
            (zero, zero, np.uint32(1 << shift)),
        )
    }
    assert values == {0.0} | {2.0**k for k in range(23)}


def test_pick_entry_has_the_probabilities_of_its_table():
    """Words at equal distances sample the alias table without noise: 2^18 of them, so to 2^-17 each."""
    from darkpenguin.generator.sampler.tables import alias_table

    weights = np.random.default_rng(3).exponential(size=37) ** 2
    weights[5] = 0
    table = alias_table(weights)
    steps = np.arange(0, 2**32, 2**14, dtype=np.uint64).astype(np.uint32)
    counts = np.bincount([int(pick_entry(word, table)) for word in steps], minlength=37)
    assert counts[5] == 0
    assert np.abs(counts / len(steps) - weights / weights.sum()).max() < 37 * 2.0**-18
