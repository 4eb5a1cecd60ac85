// Counts and sums of toys. Arrays of unknown length come with their size.

// Counts of `n` numbers (toys times bins, flat) from toy `first` on; `shared`: all toys have one mean in each bin
__global__ void poisson_kernel(
    const float64* __restrict__ mean, bool shared, int64 bins, int64 first, int64 n,
    uint32 stream, uint32 k0, uint32 k1, int64* __restrict__ out)
{
    for (int64 i = thread(); i < n; i += threads()) {
        const uint64 toy = uint64(first + i / bins);
        const int64 bin = i % bins;
        out[i] = poisson(mean[shared ? bin : i], uint32(toy), uint32(toy >> 32), uint32(BINS + (bin << 12)),
                         stream, k0, k1);
    }
}

// Add 1 and the values of a tuple to sums that lie `step` apart
__device__ __forceinline__ void add(float64*, int64, tuple<>) {}
template <class T, class... Rest> __device__ __forceinline__ void add(float64* sums, int64 step, tuple<T, Rest...> t)
{
    *sums += t.first;
    add(sums + step, step, t.rest);
}

// The bin of a number, -1 or `edges.size - 1` outside
template <class real> __device__ __forceinline__ int64 bin_of(real x, array<float64> edges)
{
    int64 bin = -1;
    for (uint64 edge = 0; edge < edges.size; ++edge) bin += x >= edges[edge] ? 1 : 0;
    return bin;
}

// Sums of 1 and the f_i of toys; SLICES threads share a toy, each adds its own events in their order to its own sums:
// flat (toys, bins, 13, slices), so that the threads of a toy write side by side
template <class real>
__global__ void vector_toys(
    const int64* __restrict__ events, int64 first, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const uint64* __restrict__ entries, uint64 n_entries, const real* __restrict__ rows, uint64,
    const float64* __restrict__ edges, uint64 n_edges, float64* __restrict__ sums)
{
    const int64 bins = int64(n_edges) - 1;
    for (int64 i = thread(); i < n; i += threads()) {
        const int64 t = i / SLICES, piece = i % SLICES;
        const uint32 high = uint32(first + t);
        for (int64 e = piece; e < events[t]; e += SLICES) {
            const uint32 low = uint32(e);
            const auto w = vector_words(low, high, stream, k0, k1, uint32(CALL));
            auto v = w;
            if constexpr (double_precision<real>()) v = vector_words(low, high, stream, k0, k1, uint32(VECTOR_LOW));
            const uint64 node = pick_entry(at<0>(w), array<uint64>{entries, n_entries});
            const auto x = vector_event<real>(w, v, row<VECTOR_ROW>(rows + VECTOR_ROW * node));
            const int64 bin = bin_of(at<0>(x), array<float64>{edges, n_edges});
            if (0 <= bin && bin < bins)
                add(sums + (t * bins + bin) * 13 * SLICES + piece, SLICES,
                    tuple_of(1.0) + angular_functions<real>(at<1>(x), at<2>(x), at<3>(x)));
        }
    }
}

// The same for a scalar table: 1, then 1, cos L, cos^2 L; flat (toys, bins, 4, slices)
template <class real>
__global__ void scalar_toys(
    const int64* __restrict__ events, int64 first, int64 n, uint32 stream, uint32 k0, uint32 k1,
    const uint64* __restrict__ entries, uint64 n_entries, const real* __restrict__ rows, uint64,
    const float64* __restrict__ edges, uint64 n_edges, float64* __restrict__ sums)
{
    const int64 bins = int64(n_edges) - 1;
    for (int64 i = thread(); i < n; i += threads()) {
        const int64 t = i / SLICES, piece = i % SLICES;
        const uint32 high = uint32(first + t);
        for (int64 e = piece; e < events[t]; e += SLICES) {
            const uint32 low = uint32(e);
            const auto w = scalar_words(low, high, stream, k0, k1, uint32(CALL));
            auto v = w;
            if constexpr (double_precision<real>()) v = scalar_words(low, high, stream, k0, k1, uint32(SCALAR_LOW));
            const uint64 node = pick_entry(at<0>(w), array<uint64>{entries, n_entries});
            const auto x = scalar_event<real>(w, v, row<SCALAR_ROW>(rows + SCALAR_ROW * node));
            const int64 bin = bin_of(at<0>(x), array<float64>{edges, n_edges});
            if (0 <= bin && bin < bins)
                add(sums + (t * bins + bin) * 4 * SLICES + piece, SLICES,
                    tuple_of(1.0) + scalar_functions(real(1), at<1>(x)));
        }
    }
}
