"""The exact sampler: distributions of its pieces, and of whole events against the analytic density.

Statistical tests have a fixed seed; each fails by chance with probability below 1e-8, all of them below 1e-6.
The same tests applied to a slightly bent table must fail.
"""

import numpy as np
import pytest
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.event import azimuth, folded_cosine, hat
from darkpenguin.generator.sampler.tables import Table, build_table
from darkpenguin.kinematics.trig import sine_cosine
from darkpenguin.physics.densities import SCALAR, VECTOR
from scipy import stats

FALSE_ALARM = 1e-8
PRECISIONS = ("float64", "float32")


def random_vector_table(seed, lepton_mass=0.3, scalars=0.5):
    """Both flavours of a density with random complex amplitudes, linear in q2, from 1 to 9 GeV^2.

    J_i of arXiv:0811.1214, eqs. (3.34) to (3.45), with lepton mass and scalar amplitude: positive by
    construction.
    """
    rng = np.random.default_rng(seed)

    def flavour():
        constant, slope = (rng.normal(size=(8, 2)) @ np.array([1, 1j]) for _ in range(2))
        constant[7], slope[7] = scalars * constant[7], scalars * slope[7]

        def coefficients(q2):
            a = constant[:, None] + slope[:, None] * (q2 - 5) / 4
            (pl, pr), (tl, tr), (zl, zr), t, s = a[0:2], a[2:4], a[4:6], a[6], a[7]
            m2 = lepton_mass**2 / q2
            m, beta = np.sqrt(m2), np.sqrt(1 - 4 * m2)
            transverse = abs(pl) ** 2 + abs(tl) ** 2 + abs(pr) ** 2 + abs(tr) ** 2
            longitudinal = abs(zl) ** 2 + abs(zr) ** 2
            return np.stack(
                [
                    (2 + beta**2) / 4 * transverse + 4 * m2 * (pl * pr.conj() + tl * tr.conj()).real,
                    longitudinal + 4 * m2 * (abs(t) ** 2 + 2 * (zl * zr.conj()).real) + beta**2 * abs(s) ** 2,
                    beta**2 / 4 * transverse,
                    -(beta**2) * longitudinal,
                    beta**2 / 2 * (abs(pl) ** 2 - abs(tl) ** 2 + abs(pr) ** 2 - abs(tr) ** 2),
                    beta**2 / 2**0.5 * (zl * tl.conj() + zr * tr.conj()).real,
                    2**0.5 * beta * ((zl * pl.conj() - zr * pr.conj()) - m * (tl + tr) * s.conj()).real,
                    2 * beta * (tl * pl.conj() - tr * pr.conj()).real,
                    4 * beta * m * ((zl + zr) * s.conj()).real,
                    2**0.5 * beta * ((zl * tl.conj() - zr * tr.conj()) + m * (pl + pr) * s.conj()).imag,
                    beta**2 / 2**0.5 * (zl * pl.conj() + zr * pr.conj()).imag,
                    beta**2 * (tl.conj() * pl + tr.conj() * pr).imag,
                ]
            )

        return coefficients

    return build_table({1: flavour(), -1: flavour()}, [], 1.0, 9.0, vetoes=[(4.0, 4.5)], tolerance=1e-4)


def random_scalar_table(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.2, 1, 2), rng.uniform(-0.5, 0.5, 2)

    def coefficients(q2):
        level = a[0] + a[1] * q2
        return np.stack([level, b[0] * level, -level * (0.4 + 0.1 * np.sin(q2 + b[1]))])

    return build_table({1: coefficients, -1: coefficients}, [], 0.0, 4.0, kind="scalar", tolerance=1e-4)


def events(table, n, precision="float64", seed=1):
    columns = CpuBackend(precision, 2).generate(table, seed=seed, start=0, stop=n)
    return {name: column.astype(np.float64) for name, column in columns.items()}


def means(table, columns):
    """Of each flavour: its number of events, and the means of all f_i."""
    found = {}
    for flavour in (1, -1):
        chosen = columns["flavour"] == flavour
        f = table.density.basis(*(columns[name][chosen] for name in table.density.angles))
        found[flavour] = chosen.sum(), f.mean(axis=1)
    return found


def worst_pull(table, found):
    """Largest pull of `means`, both flavours, from exact expectations."""
    pulls = []
    for flavour, (n, mean) in found.items():
        expected, variance = (np.array(list(of(flavour).values())) for of in (table.moments, table.moment_variances))
        varies = variance > 1e-12
        pulls.append((mean - expected)[varies] / np.sqrt(variance[varies] / n))
    return np.abs(np.concatenate(pulls)).max()


MOMENT_BOUND = stats.norm.isf(FALSE_ALARM / 2 / 24)


def spectrum_p_value(table, columns, bins=50):
    """Poisson chi2 of q2 in bins of equal probability, per flavour, and of the ratio of flavours."""
    chi2, n_total, ndf = 0.0, len(columns["q2"]), 0
    rates = table.rates
    for flavour, rate in rates.items():
        q2 = columns["q2"][columns["flavour"] == flavour]
        edges = np.linspace(table.ranges[0, 0], table.ranges[-1, 1], bins + 1)
        expected = np.diff(table.spectrum_cdf(edges, flavour)) * n_total * rate / table.total_rate
        counts = np.histogram(q2, edges)[0]
        filled = expected > 0
        assert counts[~filled].sum() == 0
        chi2 += ((counts - expected)[filled] ** 2 / expected[filled]).sum()
        ndf += filled.sum()
    return stats.chi2.sf(chi2, ndf - 1)


def four_dimensional_p_value(table, columns, bins=4):
    """chi2 of flavour, q2 and angles in cells, the expectation by quadrature of every f_i over every cell."""
    density = table.density
    q2_edges = np.linspace(table.ranges[0, 0], table.ranges[-1, 1], bins + 1)
    axes = [np.linspace(-1, 1, bins + 1), np.linspace(-1, 1, bins + 1), np.linspace(-np.pi, np.pi, bins + 2)]
    axes = axes[: len(density.angles)] if density is VECTOR else axes[:1]
    x, w = np.polynomial.legendre.leggauss(24)
    nodes = [0.5 * (e[1:, None] + e[:-1, None]) + 0.5 * np.diff(e)[:, None] * x for e in axes]
    weights = [0.5 * np.diff(e)[:, None] * w for e in axes]
    shape = tuple(len(e) - 1 for e in axes)
    integrals = np.empty((len(density.coefficients), *shape))
    for cell in np.ndindex(shape):
        grid = np.meshgrid(*(nodes[i][k] for i, k in enumerate(cell)), indexing="ij")
        weight = np.prod(np.meshgrid(*(weights[i][k] for i, k in enumerate(cell)), indexing="ij"), axis=0)
        f = density.basis(*(g.ravel() for g in grid))
        integrals[(slice(None), *cell)] = density.norm * f @ weight.ravel()
    chi2, ndf, n_total = 0.0, 0, len(columns["q2"])
    for flavour in table.rates:
        chosen = columns["flavour"] == flavour
        j = np.diff(table.integrals(q2_edges, flavour), axis=1)
        expected = np.einsum("ib,i...->b...", j, integrals) * n_total / table.total_rate
        counts = np.histogramdd(
            [columns["q2"][chosen], *(columns[a][chosen] for a in density.angles)], [q2_edges, *axes]
        )[0]
        assert counts.sum() == chosen.sum()
        chi2 += ((counts - expected) ** 2 / expected).sum()
        ndf += counts.size
    return stats.chi2.sf(chi2, ndf - 1)


def bent(table, coefficient, size):
    """The table with one coefficient shifted by ``size`` of the local rate."""
    j = table.coefficients.copy()
    j[:, table.density.coefficients.index(coefficient)] += size * table.node_rates
    return Table(table.kind, j, table.q2, table.left, table.right, table.flavour, table.ranges)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_random_amplitudes(seed, precision):
    """All moments of both flavours, the q2 spectrum, and 4 x 4 x 4 x 5 cells in (q2, angles), 4e6 events."""
    table = random_vector_table(seed)
    columns = events(table, 4_000_000, precision)
    assert worst_pull(table, means(table, columns)) < MOMENT_BOUND
    assert spectrum_p_value(table, columns) > FALSE_ALARM
    assert four_dimensional_p_value(table, columns) > FALSE_ALARM


@pytest.mark.parametrize("precision", PRECISIONS)
def test_random_scalar_densities(precision):
    table = random_scalar_table(1)
    columns = events(table, 4_000_000, precision)
    assert worst_pull(table, means(table, columns)) < MOMENT_BOUND
    assert spectrum_p_value(table, columns) > FALSE_ALARM
    assert four_dimensional_p_value(table, columns, bins=8) > FALSE_ALARM


def test_bent_tables_fail():
    """One J_i shifted by 2 % of dGamma/dq2: the moments of 4e6 events see it, whichever it is."""
    table = random_vector_table(1)
    found = means(table, events(table, 4_000_000))
    for coefficient in VECTOR.coefficients:
        assert worst_pull(bent(table, coefficient, 0.02), found) > MOMENT_BOUND


def test_bent_scalar_table_and_spectrum_fail():
    table = random_scalar_table(1)
    columns = events(table, 4_000_000)
    found = means(table, columns)
    for coefficient in SCALAR.coefficients:
        assert worst_pull(bent(table, coefficient, 0.02), found) > MOMENT_BOUND
    tilt = table.coefficients * (1 + 0.01 * table.q2[:, None])
    tilted = Table(table.kind, tilt, table.q2, table.left, table.right, table.flavour, table.ranges)
    assert spectrum_p_value(tilted, columns) < FALSE_ALARM
    assert four_dimensional_p_value(tilted, columns, bins=8) < FALSE_ALARM


def test_an_interference_out_of_place_fails_the_cells():
    """A wave of 3 % in J4 that integrates to zero over q2: unseen by mean moments, not by the cells."""
    table = random_vector_table(2)
    columns = events(table, 4_000_000)
    j = table.coefficients.copy()
    wave = np.sin(2 * np.pi * table.spectrum_cdf(table.q2)) * 0.03 * table.node_rates
    j[:, 5] += wave
    wrong = Table(table.kind, j, table.q2, table.left, table.right, table.flavour, table.ranges)
    assert four_dimensional_p_value(wrong, columns) < FALSE_ALARM


def test_the_two_precisions_make_the_same_events():
    """To rounding, but for discrete choices within rounding of their threshold: below 1e-5 of the events."""
    table = random_vector_table(3)
    n = 1_000_000
    single, double = events(table, n, "float32"), events(table, n, "float64")
    differs = np.zeros(n, dtype=bool)
    for name, tolerance in (("q2", 5e-6), ("cos_theta_k", 1e-6), ("cos_theta_l", 1e-6), ("phi", 2e-6), ("flavour", 0)):
        differs |= np.abs(single[name] - double[name]) > tolerance
    assert 0 <= differs.mean() < 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_events_stay_inside(precision):
    table = random_vector_table(4)
    columns = CpuBackend(precision, 2).generate(table, seed=3, start=0, stop=2_000_000)
    assert columns["q2"].dtype == precision
    q2 = columns["q2"].astype(np.float64)
    assert (((q2 >= 1) & (q2 <= 4)) | ((q2 >= 4.5) & (q2 <= 9))).all()
    assert (np.abs(columns["cos_theta_k"]) < 1).all()
    assert (np.abs(columns["cos_theta_l"]) < 1).all()
    assert (np.abs(columns["phi"].astype(np.float64)) <= np.pi).all()
    assert set(np.unique(columns["flavour"])) == {-1, 1}
    assert columns["flavour"].dtype == np.int32


@pytest.mark.parametrize(
    ("j", "moments"),
    [
        # pure cos^2 K sin^2 L (F_L = 1): <cos^2 K> = 3/5, <cos^2 L> = 1/5
        ((0, 1, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0), (3 / 5, 1 / 5, 0)),
        # one transverse helicity: sin^2 K (1 + cos L)^2: <cos^2 K> = 1/5, <cos^2 L> = 2/5, <cos L> = 1/2
        ((3, 0, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0), (1 / 5, 2 / 5, 1 / 2)),
    ],
)
def test_densities_that_touch_zero(j, moments):
    table = build_table(lambda s: np.array(j, dtype=float)[:, None] * (1 + s), [], 0.0, 1.0)
    for precision in PRECISIONS:
        columns = events(table, 1_000_000, precision)
        ck, cl = columns["cos_theta_k"], columns["cos_theta_l"]
        found = (ck**2).mean(), (cl**2).mean(), cl.mean()
        assert found == pytest.approx(moments, abs=0.003)  # 6 sigma of at most 5e-4


def test_hat_and_folded_cosine_from_exact_uniforms():
    """Distributions on a regular grid of uniforms, 40^3 points: no noise, 1/40 resolution."""
    u = (np.arange(40) + 0.5) / 40
    q2 = np.array([hat(2.0, 0.5, 1.5, a, b, c) for a in u for b in u for c in u])
    # triangle from 1.5 over 2 to 3.5: fraction 1/4 on the left, density falling to the ends
    assert (q2 < 2).mean() == pytest.approx(0.25)
    assert ((q2 > 2.75).mean(), (q2 < 1.75).mean()) == pytest.approx((0.75 / 4, 0.25 / 4), abs=0.01)
    for a, b in ((1.0, 0.0), (0.0, 1.0)):
        x = np.array([folded_cosine(np.float64, a, b, p, q, r, 0.5) for p in u for q in u for r in u])
        assert (x**2).mean() == pytest.approx((a * (1 / 3 - 1 / 5) + b / 5) / (a * 2 / 3 + b / 3), abs=0.01)


@pytest.mark.parametrize(("real", "ulps"), [(np.float32, 2.0**-23), (np.float64, 2.0**-52)])
def test_sine_and_cosine(real, ulps):
    for z in np.linspace(-np.pi / 4, np.pi / 4, 2001).astype(real):
        s, c = sine_cosine(real, z)
        assert abs(float(s) - np.sin(float(z))) <= ulps * abs(np.sin(float(z))) + 1e-300
        assert abs(float(c) - np.cos(float(z))) <= ulps


def test_images_of_phi_carry_their_density():
    """On a grid of uniforms every image is chosen with its share of the four, to the grid's 1/400."""
    density = (1.0, 0.35, -0.2, 0.3, 0.1)

    def w(phi):
        base, cos1, sin1, cos2, sin2 = density
        first = cos1 * np.cos(phi) + sin1 * np.sin(phi)
        return base + first + cos2 * np.cos(2 * phi) + sin2 * np.sin(2 * phi)

    for u_phi in (0.03, 0.4, 0.77):
        u = (np.arange(400) + 0.5) / 400
        phi = np.array([azimuth(np.float64, *density, u_phi, x) for x in u])
        values, counts = np.unique(phi.round(9), return_counts=True)
        assert len(values) == 4
        assert counts / 400 == pytest.approx(w(values) / 4, abs=1 / 200)
        assert np.diff(values) == pytest.approx(np.pi / 2)
