// Angles to momenta: float64 inside, columns of either precision outside. `out` has rows of three, the B first, each
// `pitch` numbers after the one before. Arrays of unknown length come with their size.

struct frame_of_b {        // what moves a decay to the laboratory
    uint32 stream, k0, k1;
    bool moving;
    int64 kind;            // of the parents: REST, UPSILON, PROTON, CELLS
    const float64* __restrict__ constants;
    array<float64> cells;
    array<uint64> alias;
};

__device__ __forceinline__ auto two_uniforms(uint64 event, uint32 call, const frame_of_b& lab)
{
    const auto w = philox(uint32(event), uint32(event >> 32), CALL + call, lab.stream, lab.k0, lab.k1);
    return tuple_of(uniform<float64>(at<0>(w), at<1>(w)), uniform<float64>(at<2>(w), at<3>(w)));
}

// Momentum of the B in the laboratory, from uniforms 3 to 7
__device__ __forceinline__ auto parent_momentum(
    const frame_of_b& lab, float64 m_b, float64 u3, float64 u4, float64 u5, float64 u6, float64 u7)
{
    const float64* c = lab.constants;
    if (lab.kind == UPSILON)
        return upsilon_momentum<float64>(u3, u4, u5, u6, u7, m_b, lab.cells, tuple_of(c[0], c[1], c[2], c[3], c[4]));
    if (lab.kind == PROTON)
        return proton_momentum<float64>(
            u3, u4, u5, m_b, tuple_of(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]));
    if (lab.kind == CELLS) {
        const uint64 j = 4 * pick_entry(uint32(u6 * 4294967296.0), lab.alias);
        const float64* x = lab.cells.data;
        return cell_momentum<float64>(u3, u4, u5, tuple_of(x[j], x[j + 1], x[j + 2], x[j + 3]), c[0]);
    }
    return tuple_of(0.0, 0.0, 0.0);
}

template <class column, class three> __device__ __forceinline__ void put(column* out, int64 pitch, three p)
{
    out[0] = column(at<0>(p));
    out[pitch] = column(at<1>(p));
    out[2 * pitch] = column(at<2>(p));
}

// Write a decay, particle after particle, moved to the laboratory if it moves
template <class column, class turn_type, class three>
__device__ __forceinline__ void put_decay(
    column*, int64, bool, turn_type, three, float64, const float64*, tuple<>) {}
template <class column, class turn_type, class three, class... Rest>
__device__ __forceinline__ void put_decay(
    column* out, int64 pitch, bool moving, turn_type turn, three parent, float64 m_b, const float64* masses,
    tuple<three, Rest...> decay)
{
    put(out, pitch, moving ? boost(rotate(turn, decay.first), masses[0], parent, m_b) : decay.first);
    put_decay(out + 3 * pitch, pitch, moving, turn, parent, m_b, masses + 1, decay.rest);
}

template <class column, class decay_type>
__device__ __forceinline__ void finish(
    uint64 event, const frame_of_b& lab, const float64* masses, decay_type decay, column* out, int64 pitch)
{
    auto turn = tuple_of(tuple_of(0.0, 0.0, 0.0), tuple_of(0.0, 0.0, 0.0), tuple_of(0.0, 0.0, 0.0));
    auto parent = tuple_of(0.0, 0.0, 0.0);
    if (lab.moving) {
        const auto u = two_uniforms(event, 0, lab) + two_uniforms(event, 1, lab)
            + two_uniforms(event, 2, lab) + two_uniforms(event, 3, lab);
        turn = orientation<float64>(at<0>(u), at<1>(u), at<2>(u));
        parent = parent_momentum(lab, masses[0], at<3>(u), at<4>(u), at<5>(u), at<6>(u), at<7>(u));
    }
    put(out, pitch, parent);
    put_decay(out + 3 * pitch, pitch, lab.moving, turn, parent, masses[0], masses + 1, decay);
}

// B, K, pi, l+, l-; `m_kpi` may have one entry for all, `signs` are the convention's: mean and half difference
template <class column, class result>
__global__ void vector_momenta(
    int64 start, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const column* __restrict__ q2, const column* __restrict__ cos_k, const column* __restrict__ cos_l,
    const column* __restrict__ phi, const int32* __restrict__ flavour,
    const float64* __restrict__ m_kpi, uint64 n_m_kpi, const float64* __restrict__ signs,
    const float64* __restrict__ masses, bool moving, int64 kind, const float64* __restrict__ constants,
    const float64* __restrict__ cells, uint64 n_cells, const uint64* __restrict__ alias, uint64 n_alias,
    result* __restrict__ out, int64 pitch)
{
    const frame_of_b lab = {stream, k0, k1, moving, kind, constants, {cells, n_cells}, {alias, n_alias}};
    for (int64 i = thread(); i < n; i += threads()) {
        const float64 f = flavour[i];
        const auto around = circle<float64>(float64(phi[i]) * 0.15915494309189535);
        const auto decay = vector_decay<float64>(
            float64(q2[i]), float64(cos_k[i]), (signs[0] + signs[1] * f) * float64(cos_l[i]),
            (signs[2] + signs[3] * f) * at<1>(around), (signs[4] + signs[5] * f) * at<0>(around),
            masses[0], m_kpi[n_m_kpi > 1 ? i : 0], masses[1], masses[2], masses[3]);
        finish(uint64(start + i), lab, masses, decay, out + i, pitch);
    }
}

// B, K, l+, l-
template <class column, class result>
__global__ void scalar_momenta(
    int64 start, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const column* __restrict__ q2, const column* __restrict__ cos_l, const int32* __restrict__ flavour,
    const float64* __restrict__, uint64, const float64* __restrict__ signs,
    const float64* __restrict__ masses, bool moving, int64 kind, const float64* __restrict__ constants,
    const float64* __restrict__ cells, uint64 n_cells, const uint64* __restrict__ alias, uint64 n_alias,
    result* __restrict__ out, int64 pitch)
{
    const frame_of_b lab = {stream, k0, k1, moving, kind, constants, {cells, n_cells}, {alias, n_alias}};
    for (int64 i = thread(); i < n; i += threads()) {
        const float64 cosine = (signs[0] + signs[1] * float64(flavour[i])) * float64(cos_l[i]);
        const auto decay = scalar_decay<float64>(float64(q2[i]), cosine, masses[0], masses[1], masses[2]);
        finish(uint64(start + i), lab, masses, decay, out + i, pitch);
    }
}
