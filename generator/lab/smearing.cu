// What a detector makes of momenta: rows px, py, pz of K, (pi,) l+, l-, each of n numbers; formulas in `resolution`

__device__ __forceinline__ auto three(const float64* rows, int64 n) { return tuple_of(rows[0], rows[n], rows[2 * n]); }

template <class vector> __device__ __forceinline__ auto scaled(float64 scale, vector p)
{
    return tuple_of(scale * at<0>(p), scale * at<1>(p), scale * at<2>(p));
}

template <class vector> __device__ __forceinline__ auto sum(vector p, vector q)
{
    return tuple_of(at<0>(p) + at<0>(q), at<1>(p) + at<1>(q), at<2>(p) + at<2>(q));
}

template <class vector> __device__ __forceinline__ void put(float64* rows, int64 n, vector p)
{
    rows[0] = at<0>(p);
    rows[n] = at<1>(p);
    rows[2 * n] = at<2>(p);
}

__global__ void smear_kernel(
    const float64* __restrict__ momenta, const float64* __restrict__ photons, bool recovers, int64 hadrons, int64 n, const float64* __restrict__ masses,
    const float64* __restrict__ c, const float64* __restrict__ quantiles, uint64 n_quantiles, bool radiates,
    uint32 stream, uint32 k0, uint32 k1, const uint64* __restrict__ events,
    float64* __restrict__ out, float64* __restrict__ mass)
{
    const bool pion = hadrons == 2;
    const float64 m_k = masses[0], m_pi = pion ? masses[1] : 1.0, m_l = masses[hadrons];
    const int64 lp_row = 3 * hadrons * n, lm_row = lp_row + 3 * n;
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = events[i];
        auto uniforms = [&](uint32 call) {
            const auto w = philox(uint32(event), uint32(event >> 32), call, stream, k0, k1);
            return tuple_of(uniform<float64>(at<0>(w), at<1>(w)), uniform<float64>(at<2>(w), at<3>(w)));
        };
        const auto u = uniforms(CALL), v = uniforms(CALL + 1);
        const auto g = gaussians(at<0>(u), at<1>(u)), h = gaussians(at<0>(v), at<1>(v));

        auto k = three(momenta + i, n), pi = tuple_of(1.0, 1.0, 1.0);
        k = scaled(track(k, 1.0, at<0>(g), c[0], c[1], c[2], m_k), k);
        put(out + i, n, k);
        if (pion) {
            pi = three(momenta + 3 * n + i, n);
            pi = scaled(track(pi, 1.0, at<1>(g), c[0], c[1], c[2], m_pi), pi);
            put(out + 3 * n + i, n, pi);
        }

        auto lp = three(momenta + lp_row + i, n), lm = three(momenta + lm_row + i, n);
        const auto numbers = tuple_of(c[5], c[6], c[7], c[8], c[9]);
        float64 kept1 = 1.0, kept2 = 1.0, found1 = 0.0, found2 = 0.0;
        if (radiates) {
            const auto first = uniforms(CALL + 2), second = uniforms(CALL + 3), third = uniforms(CALL + 4);
            const auto energies = gaussians(at<0>(third), at<1>(third));
            kept1 = kept_part(at<0>(first), array<float64>{quantiles, n_quantiles});
            kept2 = kept_part(at<0>(second), array<float64>{quantiles, n_quantiles});
            found1 = photon(lp, kept1, at<1>(first), at<0>(energies), numbers);
            found2 = photon(lm, kept2, at<1>(second), at<1>(energies), numbers);
        }
        lp = scaled(track(lp, kept1, at<0>(h), c[3], c[4], c[5], m_l) + found1, lp);
        lm = scaled(track(lm, kept2, at<1>(h), c[3], c[4], c[5], m_l) + found2, lm);
        if (recovers) {  // photons of the decay
            const auto first = uniforms(PHOTON_CALL), second = uniforms(PHOTON_CALL + 1);
            const auto energies = gaussians(at<1>(first), at<1>(second));
            const auto gp = three(photons + i, n), gm = three(photons + 3 * n + i, n);
            lp = sum(lp, scaled(photon(gp, 0.0, at<0>(first), at<0>(energies), numbers), gp));
            lm = sum(lm, scaled(photon(gm, 0.0, at<0>(second), at<1>(energies), numbers), gm));
        }
        put(out + lp_row + i, n, lp);
        put(out + lm_row + i, n, lm);
        put(mass + i, n, reconstructed(lp, lm, k, pi, m_l, m_k, m_pi, pion));
    }
}
