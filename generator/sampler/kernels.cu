// Events of each kind of table; words and row stay in registers. `real` is float32 or float64; arrays are flat, those
// of rows begin at a multiple of 16 bytes. Every array that is read comes with its size.

template <class real>
__global__ void vector_kernel(
    int64 start, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const uint64* __restrict__ entries, uint64 n_entries, const real* __restrict__ rows, uint64,
    real* __restrict__ q2, real* __restrict__ cos_theta_k, real* __restrict__ cos_theta_l, real* __restrict__ phi,
    int32* __restrict__ flavour)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = uint64(start + i);
        const uint32 low = uint32(event), high = uint32(event >> 32);
        const auto w = vector_words(low, high, stream, k0, k1, uint32(CALL));
        auto v = w;
        if constexpr (double_precision<real>()) v = vector_words(low, high, stream, k0, k1, uint32(VECTOR_LOW));
        const uint64 node = pick_entry(at<0>(w), array<uint64>{entries, n_entries});
        const auto e = vector_event<real>(w, v, row<VECTOR_ROW>(rows + VECTOR_ROW * node));
        q2[i] = at<0>(e);
        cos_theta_k[i] = at<1>(e);
        cos_theta_l[i] = at<2>(e);
        phi[i] = at<3>(e);
        flavour[i] = int32(at<4>(e));
    }
}

template <class real>
__global__ void scalar_kernel(
    int64 start, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const uint64* __restrict__ entries, uint64 n_entries, const real* __restrict__ rows, uint64,
    real* __restrict__ q2, real* __restrict__ cos_theta_l, int32* __restrict__ flavour)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = uint64(start + i);
        const uint32 low = uint32(event), high = uint32(event >> 32);
        const auto w = scalar_words(low, high, stream, k0, k1, uint32(CALL));
        auto v = w;
        if constexpr (double_precision<real>()) v = scalar_words(low, high, stream, k0, k1, uint32(SCALAR_LOW));
        const uint64 node = pick_entry(at<0>(w), array<uint64>{entries, n_entries});
        const auto e = scalar_event<real>(w, v, row<SCALAR_ROW>(rows + SCALAR_ROW * node));
        q2[i] = at<0>(e);
        cos_theta_l[i] = at<1>(e);
        flavour[i] = int32(at<2>(e));
    }
}

template <class real>
__global__ void kpi_kernel(
    int64 start, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const uint64* __restrict__ entries, uint64 n_entries, const real* __restrict__ rows, uint64,
    const uint32* __restrict__ places, uint64 n_places, const uint64* __restrict__ mass_entries, uint64 n_mass_entries,
    const real* __restrict__ mass_rows, uint64,
    real* __restrict__ q2, real* __restrict__ cos_theta_k, real* __restrict__ cos_theta_l, real* __restrict__ phi,
    real* __restrict__ m_kpi, int32* __restrict__ flavour)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = uint64(start + i);
        const uint32 low = uint32(event), high = uint32(event >> 32);
        const auto w = kpi_words(low, high, stream, k0, k1, uint32(CALL));
        auto v = w;
        if constexpr (double_precision<real>()) v = kpi_words(low, high, stream, k0, k1, uint32(KPI_LOW));
        const uint32 entry = uint32(pick_entry(at<0>(w), array<uint64>{entries, n_entries}));
        const auto place = kpi_place(entry, at<12>(w), array<uint32>{places, n_places},
                                     array<uint64>{mass_entries, n_mass_entries});
        const auto e = kpi_event<real>(w, v, row<KPI_ROW>(rows + KPI_ROW * (entry >> 1)),
                                       row<MASS_ROW>(mass_rows + MASS_ROW * at<0>(place)));
        q2[i] = at<0>(e);
        cos_theta_k[i] = at<1>(e);
        cos_theta_l[i] = at<2>(e);
        phi[i] = at<3>(e);
        m_kpi[i] = at<4>(e);
        flavour[i] = at<1>(place);
    }
}

// Two uniforms of each event from one Philox call, as `rng.event_uniforms` on the CPU: rows of `out`
__global__ void uniforms_kernel(
    const uint64* __restrict__ events, int64 n, uint64 first, uint32 call, uint32 stream, uint32 k0, uint32 k1,
    float64* __restrict__ out)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 event = events[i] - first;
        const auto w = philox(uint32(event), uint32(event >> 32), call, stream, k0, k1);
        out[i] = uniform<float64>(at<0>(w), at<1>(w));
        out[n + i] = uniform<float64>(at<2>(w), at<3>(w));
    }
}
