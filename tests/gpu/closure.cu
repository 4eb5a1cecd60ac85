// Sums of 1 and the angular functions of events that are there as columns, by flavour and bin of q2. Every thread has
// its own sums, flat (flavours, bins, functions, threads), so that neighbours write side by side and the order is fixed.

__device__ __forceinline__ void add(float64*, int64, tuple<>) {}
template <class T, class... Rest> __device__ __forceinline__ void add(float64* sums, int64 step, tuple<T, Rest...> t)
{
    *sums += t.first;
    add(sums + step, step, t.rest);
}

__device__ __forceinline__ float64* place(
    float64 q2, int32 flavour, array<float64> edges, int64 functions, float64* sums)
{
    const int64 bins = int64(edges.size) - 1;
    int64 bin = 0;  // what lies beyond an edge by rounding belongs to the bin beside it
    for (int64 edge = 1; edge < bins; ++edge) bin += q2 >= edges[edge] ? 1 : 0;
    return sums + ((flavour > 0 ? 0 : bins) + bin) * functions * threads() + thread();
}

template <class real>
__global__ void vector_closure(
    const real* __restrict__ q2, const real* __restrict__ cos_k, const real* __restrict__ cos_l,
    const real* __restrict__ phi, const int32* __restrict__ flavour, int64 n,
    const float64* __restrict__ edges, uint64 n_edges, float64* __restrict__ sums)
{
    for (int64 i = thread(); i < n; i += threads())
        add(place(q2[i], flavour[i], array<float64>{edges, n_edges}, 12, sums), threads(),
            angular_functions<float64>(float64(cos_k[i]), float64(cos_l[i]), float64(phi[i])));
}

template <class real>
__global__ void scalar_closure(
    const real* __restrict__ q2, const real* __restrict__ cos_l, const int32* __restrict__ flavour, int64 n,
    const float64* __restrict__ edges, uint64 n_edges, float64* __restrict__ sums)
{
    for (int64 i = thread(); i < n; i += threads())
        add(place(q2[i], flavour[i], array<float64>{edges, n_edges}, 3, sums), threads(),
            scalar_functions(float64(1), float64(cos_l[i])));
}
