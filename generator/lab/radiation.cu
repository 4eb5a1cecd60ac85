// Leptons that radiate: float64 inside, columns of either precision outside. `out` has rows of n numbers: q2 of the
// leptons and, if there are momenta, px, py, pz of l+, l-, and of the photon of each

template <class words> __device__ __forceinline__ float64 fraction(words w, float64 b, float64 a, float64 most)
{
    return photon_fraction<float64>(
        uniform<float64>(at<0>(w), at<1>(w)), float64(uniform<float32>(at<2>(w), at<2>(w))),
        float64(uniform<float32>(at<3>(w), at<3>(w))), b, a, most);
}

template <class column, class three> __device__ __forceinline__ void put(column* out, int64 n, three p)
{
    out[0] = column(at<0>(p));
    out[n] = column(at<1>(p));
    out[2 * n] = column(at<2>(p));
}

template <class column>
__global__ void radiate_kernel(
    int64 n, uint32 stream, uint32 k0, uint32 k1, const column* __restrict__ q2,
    const column* __restrict__ lp_x, const column* __restrict__ lp_y, const column* __restrict__ lp_z,
    const column* __restrict__ lm_x, const column* __restrict__ lm_y, const column* __restrict__ lm_z,
    bool moving, float64 mass, const uint64* __restrict__ events, column* __restrict__ out)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = events[i];
        const float64 before = float64(q2[i]);
        const auto r = radiator<float64>(before, mass);
        const auto u = philox(uint32(event), uint32(event >> 32), uint32(CALL), stream, k0, k1);
        const auto v = philox(uint32(event), uint32(event >> 32), uint32(CALL + 1), stream, k0, k1);
        const float64 y_p = fraction(u, at<0>(r), at<1>(r), at<2>(r)), y_m = fraction(v, at<0>(r), at<1>(r), at<2>(r));
        out[i] = column((1.0 - y_p) * (1.0 - y_m) * before);
        if (moving) {
            const auto found = collinear_photons<float64>(
                tuple_of(float64(lp_x[i]), float64(lp_y[i]), float64(lp_z[i])),
                tuple_of(float64(lm_x[i]), float64(lm_y[i]), float64(lm_z[i])), before, mass, y_p, y_m);
            put(out + n + i, n, at<0>(found));
            put(out + 4 * n + i, n, at<1>(found));
            put(out + 7 * n + i, n, at<2>(found));
            put(out + 10 * n + i, n, at<3>(found));
        }
    }
}
