"""Node tables: accuracy where there are no nodes, edges, jumps, and what a table says about itself."""

import numpy as np
import pytest
from darkpenguin.generator.sampler.tables import alias_table, build_table, channel_table, select_ranges
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import event_density
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.densities import SCALAR, VECTOR
from darkpenguin.physics.models import apply_settings, as_model, get_model
from scipy import integrate

THRESHOLD, ENDPOINT, PEAK, WIDTH, JUMP = 0.0447, 19.2, 6.25, 0.00625, 8.9


def density(q2):
    """Scalar coefficients with all that real ones have: 1/q2 pole, square roots at the ends, peak, jump."""
    rate = np.sqrt(np.maximum(1 - THRESHOLD / q2, 0) * np.maximum(ENDPOINT - q2, 0)) * (1 + 0.3 / q2)
    rate = rate * (1 + 40 * WIDTH**2 / ((q2 - PEAK) ** 2 + WIDTH**2)) * np.where(q2 < JUMP, 1.0, 1.005)
    return np.stack([rate, 0.3 * rate * np.sin(q2), -rate * (0.5 - 0.02 * q2)])


BREAKPOINTS = [PEAK, PEAK - WIDTH, PEAK + WIDTH, JUMP]


def table_value(table, q2, flavour=1):
    """Coefficients of the table at q2, by summing its hats; shape (n_coefficients, n)."""
    chosen = table.flavour == flavour
    x, left, right = (a[chosen] for a in (table.q2, table.left, table.right))
    distance = q2[:, None] - x
    with np.errstate(divide="ignore", invalid="ignore"):
        hats = np.where(distance < 0, np.maximum(1 + distance / left, 0), np.maximum(1 - distance / right, 0))
    hats[(distance < 0) & (left == 0)] = 0
    hats[(distance >= 0) & (right == 0)] = 0
    return (hats @ table.coefficients[chosen]).T


def test_accuracy_between_nodes():
    table = build_table(density, BREAKPOINTS, THRESHOLD, ENDPOINT, kind="scalar")
    rng = np.random.default_rng(5)
    regions = [
        (THRESHOLD, ENDPOINT, 3000),
        (PEAK - 0.05, PEAK + 0.05, 2000),
        (THRESHOLD, THRESHOLD * 1.01, 500),
        (JUMP - 1e-3, JUMP + 1e-3, 500),
    ]
    q2 = np.concatenate([rng.uniform(*region) for region in regions])
    error = np.abs(table_value(table, q2) - density(q2)).max(axis=0)
    rate = np.array(SCALAR.rate) @ density(q2)
    edge = (q2 < THRESHOLD * (1 + 1e-4)) | (q2 > ENDPOINT - 1e-4)
    assert (error <= 1.1e-5 * np.where(edge, (np.array(SCALAR.rate) @ density(table.q2)).max(), rate)).all()
    assert len(table.q2) < 5000


def test_a_jump_has_two_nodes():
    table = build_table(density, BREAKPOINTS, THRESHOLD, ENDPOINT, kind="scalar")
    at_jump = np.flatnonzero(table.q2 == JUMP)
    assert len(at_jump) == 2
    assert table.right[at_jump].tolist()[0] == 0 == table.left[at_jump].tolist()[1]
    assert table.node_rates[at_jump[1]] / table.node_rates[at_jump[0]] == pytest.approx(1.005, abs=1e-9)
    # and nothing else has: all other nodes have both halves of a hat, but for the ends
    assert ((table.left == 0) | (table.right == 0)).sum() == 4


def test_an_unannounced_jump_is_found():
    table = build_table(density, [], THRESHOLD, ENDPOINT, kind="scalar", ranges=[(8.0, 10.0)])
    q2 = np.array([JUMP - 1e-9, JUMP + 1e-9])
    assert np.allclose(table_value(table, q2), density(q2), rtol=1e-5)


def test_ranges_and_vetoes_split_hats():
    table = build_table(
        density,
        BREAKPOINTS,
        THRESHOLD,
        ENDPOINT,
        vetoes=[(8.0, 11.0), (12.5, 14.0)],
        ranges=[(1.1, 6.0), (7.0, 15.0)],
        kind="scalar",
    )
    assert table.ranges.tolist() == [[1.1, 6.0], [7.0, 8.0], [11.0, 12.5], [14.0, 15.0]]
    inside = np.zeros(len(table.q2), dtype=bool)
    for low, high in table.ranges:
        inside |= (table.q2 - table.left >= low - 1e-12) & (table.q2 + table.right <= high + 1e-12)
        assert ((table.q2 == low) & (table.left == 0)).sum() == 1
        assert ((table.q2 == high) & (table.right == 0)).sum() == 1
    assert inside.all()
    rate = sum(
        integrate.quad(
            lambda s: float(np.array(SCALAR.rate) @ density(np.array([s]))[:, 0]),
            low,
            high,
            points=[p for p in BREAKPOINTS if low < p < high] or None,
            limit=500,
        )[0]
        for low, high in table.ranges
    )
    assert table.total_rate == pytest.approx(rate, rel=1e-5, abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_event_can_leave_its_range(dtype):
    """The ends of every packed hat are inside the ranges in the working precision, by exact comparison."""
    ranges = [(0.1, 1.1), (1.1000001, 6.0000003), (7.3, 7.30001)]
    table = build_table(density, BREAKPOINTS, THRESHOLD, ENDPOINT, ranges=ranges, kind="scalar")
    rows = table.packed_float32 if dtype == np.float32 else table.packed_float64
    node, left, right = (rows[:, i] for i in (4, 5, 6))
    low, high = node - left, node + right
    assert low.dtype == dtype
    assert (left >= 0).all()
    assert (right >= 0).all()
    ok = np.zeros(len(rows), dtype=bool)
    for a, b in ranges:
        ok |= (low.astype(np.float64) >= a) & (high.astype(np.float64) <= b)
    assert ok.all()
    assert rows.ctypes.data % 64 == 0


def test_table_knows_itself():
    """Integrals, cumulative spectrum and moments against numerical integration of the sum of hats."""
    functions = {1: density, -1: lambda q2: 0.5 * density(q2)}
    table = build_table(
        functions, BREAKPOINTS, THRESHOLD, ENDPOINT, kind="scalar", ranges=[(1, 3), (5, 7)], tolerance=1e-3
    )
    assert table.rates[-1] == pytest.approx(0.5 * table.rates[1], rel=1e-12, abs=0)
    assert table.total_rate == pytest.approx(sum(table.rates.values()), rel=1e-15, abs=0)
    edges = np.unique(np.concatenate([[1.0, 1.7, 3.0, 5.0, 5.9, 6.3, 7.0], table.q2]))
    middle = 0.5 * (edges[1:] + edges[:-1])  # linear between nodes: the midpoint rule is exact
    cells = table_value(table, middle) * np.diff(edges)
    for x in (1.7, 3.0, 4.0, 6.3):
        exact = cells[:, middle < x].sum(axis=1)
        assert table.integrals(np.array([x]), 1)[:, 0] == pytest.approx(exact, rel=1e-9, abs=0)
    total = cells.sum(axis=1)
    assert table.spectrum_cdf(np.array([1.0, 3.0, 5.0, 7.0]))[[0, 3]].tolist() == [0.0, 1.0]
    a, b, c = total / (2 * total[0] + total[2] * 2 / 3)
    moments = table.moments()
    assert moments["a"] == pytest.approx(1, rel=1e-12, abs=0)
    assert moments["b"] == pytest.approx(b * 2 / 3, rel=1e-9, abs=0)
    assert moments["c"] == pytest.approx(a * 2 / 3 + c * 2 / 5, rel=1e-9, abs=0)
    assert table.moment_variances()["b"] == pytest.approx(moments["c"] - moments["b"] ** 2, rel=1e-9, abs=0)


def test_gram_matrix_of_the_angular_functions():
    """Rates and F_L, A_FB of arXiv:0811.1214: <f_6s> from S_6s, and the rate is the moment of f_1s + f_1c."""
    assert VECTOR.gram[0] + VECTOR.gram[1] == pytest.approx(np.array(VECTOR.rate), abs=1e-12)
    assert VECTOR.gram[7, 7] == pytest.approx(2 / 5)  # <f_6s> = 2/5 S_6s
    assert VECTOR.gram[4, 4] == pytest.approx(8 / 25)  # as in arXiv:1503.04100
    assert VECTOR.gram[6, 6] == pytest.approx(2 / 5)


def test_alias_table_is_exact():
    """The probabilities that an alias table encodes, added up, are the weights to 2^-32."""
    for n in (1, 2, 1000, 4097):
        weights = np.random.default_rng(n).exponential(size=n) ** 3
        packed = alias_table(weights)
        threshold, alias = (packed & np.uint64(2**32 - 1)) / 2**32, (packed >> np.uint64(32)).astype(int)
        probability = (threshold + np.bincount(alias, 1 - threshold, minlength=n)) / n
        assert probability == pytest.approx(weights / weights.sum(), abs=2.0**-30)
    with pytest.raises(ValueError, match="not negative"):
        alias_table(np.array([1.0, -1.0]))


def test_a_node_without_rate_is_never_drawn():
    weights = np.array([0.0, 1.0, 0.0, 2.0, 0.0])
    packed = alias_table(weights)
    empty = (packed & np.uint64(2**32 - 1))[[0, 2, 4]]
    assert empty.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("ranges", "vetoes", "message"),
    [
        ([(5.0, 4.0)], [], r"q2\[0\] = \(5, 4\)"),
        ([(25.0, 30.0)], [], "outside phase space"),
        ([(1.0, 6.0)], [(0.5, 7.0)], "leave nothing"),
        ([(1.0, 6.0)], [(3.0, float("nan"))], r"veto\[0\]"),
    ],
)
def test_impossible_ranges(ranges, vetoes, message):
    with pytest.raises(InputError, match=message):
        select_ranges(0.04, 19.0, ranges, vetoes)


def test_bad_densities_are_refused():
    with pytest.raises(ValueError, match="negative at q2"):
        build_table(lambda s: np.array([1 + 0 * s, 1.5 + 0 * s, 0 * s]), [], 0.0, 1.0, kind="scalar")
    with pytest.raises(ValueError, match="not finite at q2"):
        build_table(lambda s: np.array([np.where(s > 0.7, np.nan, 1), 0 * s, 0 * s]), [], 0, 1, kind="scalar")
    with pytest.raises(InputError, match="no such decays"):
        build_table(lambda s: np.zeros((3, len(s))), [], 0.0, 1.0, kind="scalar")


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B0->K*0ee", "B+->K+mumu", "B+->K+ee"])
@pytest.mark.parametrize("width", [0.2, 0.001])
def test_channels(name, width):
    """Every J_i within 1e-5 of the local rate in every cell, next to the zones of threshold and endpoint too."""
    channel = get_channel(name)
    model = apply_settings(get_model("fig2"), [f"light_vectors.0.relative_width={width}"])
    table = channel_table(channel, model)
    low, high = channel.q2_limits()
    for flavour in (1, -1):
        nodes = np.flatnonzero((table.flavour == flavour) & (table.right > 0))
        assert 1500 < len(nodes) < 6000
        largest = 0.0
        for fraction in (0.1, 0.3, 0.4, 0.6, 0.9):
            q2 = table.q2[nodes] + fraction * table.right[nodes]
            exact = event_density(channel, model, q2, flavour)
            found = (1 - fraction) * table.coefficients[nodes] + fraction * table.coefficients[nodes + 1]
            zone = (q2 < low * (1 + 1e-4)) | (q2 > high - 1e-4)
            rate = np.where(zone, table.node_rates.max(), np.array(table.density.rate) @ exact)
            largest = max(largest, (np.abs(found.T - exact) / rate).max())
        assert 5e-6 < largest < 1e-5  # and nodes are not wasted


def test_unknown_flavour():
    with pytest.raises(InputError, match="flavour = 'B'"):
        channel_table(get_channel("B+->K+mumu"), get_model("sm"), flavour="B")


@pytest.mark.parametrize("name", ["B+->K+mumu", "B0->K*0ee"])
@pytest.mark.parametrize("mode", ["resonances", "dispersive"])
def test_tables_hold_a_line_of_93_kev(name, mode):
    """At the J/psi m Gamma is 2.9e-4 GeV^2: random places from a tenth of that outwards, between nodes."""
    channel, model = get_channel(name), as_model("fig2", theory={"nonlocal": mode})
    table, coarse = channel_table(channel, model), channel_table(channel, model, tolerance=1e-4)
    rng = np.random.default_rng(3)
    pole, size = 3.09690035**2, 3.09690035 * 9.26029482e-05
    away = size * 10 ** rng.uniform(-1, 4.5, 400) * rng.choice([-1, 1], 400)
    q2 = np.concatenate([pole + away, rng.uniform(0.1, 18.0, 200)])
    for flavour in (1, -1):
        exact = event_density(channel, model, q2, flavour)
        rate = np.array(table.density.rate) @ exact
        fine, wrong = (np.abs(table_value(t, q2, flavour) - exact).max(axis=0) / rate for t in (table, coarse))
        assert fine.max() < 1e-5 < wrong.max()
    assert len(table.q2) < 40_000  # of both flavours
