// Densities of events on tables, in the order of the CPU's sums; rows are flat [side, cell, model, quad, value and
// slope, 4] and begin at multiples of 64 bytes, the last one is zero.

// Quads of functions of an event
template <class T> struct length { static constexpr int value = 0; };
template <class T, class... Rest> struct length<tuple<T, Rest...>> { static constexpr int value = 1 + sizeof...(Rest); };

// The cell that x is in, -1 outside of all
__device__ __forceinline__ int64 cell_of(float64 x, array<float64> edges)
{
    int64 low = 0, high = int64(edges.size) - 1;
    if (!(edges[0] <= x && x <= edges[high])) return -1;
    while (high - low > 1) {
        const int64 middle = (low + high) / 2;
        (x >= edges[middle] ? low : high) = middle;
    }
    return low;
}

// Sums over quads of functions times coefficients that are linear in x
template <int Q, class T>
__device__ __forceinline__ float64 sums(
    T functions, const float64* row, float64 x, float64 a, float64 b, float64 c, float64 d)
{
    const auto v = quad(row), s = quad(row + 4);
    a += at<4 * Q>(functions) * (at<0>(v) + x * at<0>(s));
    b += at<4 * Q + 1>(functions) * (at<1>(v) + x * at<1>(s));
    c += at<4 * Q + 2>(functions) * (at<2>(v) + x * at<2>(s));
    d += at<4 * Q + 3>(functions) * (at<3>(v) + x * at<3>(s));
    if constexpr (Q + 1 < length<T>::value / 4) return sums<Q + 1>(functions, row + 8, x, a, b, c, d);
    else return (a + b) + (c + d);
}

// Densities of all models at one event
template <class T>
__device__ __forceinline__ void densities(
    T functions, float64 q2, int32 flavour, array<float64> edges, const float64* rows, int64 models, float64* out)
{
    const int64 cells = int64(edges.size) - 1, cell = cell_of(q2, edges), side = flavour > 0 ? 0 : (flavour < 0 ? 2 : 1);
    const float64 x = cell < 0 ? 0.0 : q2 - edges[cell];
    const float64* row = rows + (cell < 0 ? 3 * cells : side * cells + cell) * models * (2 * length<T>::value);
    for (int64 k = 0; k < models; ++k) out[k] = sums<0>(functions, row + k * (2 * length<T>::value), x, 0.0, 0.0, 0.0, 0.0);
}

template <class real>
__global__ void vector_densities(
    int64 n, const real* __restrict__ q2, const real* __restrict__ cos_theta_k, const real* __restrict__ cos_theta_l,
    const real* __restrict__ phi, const int32* __restrict__ flavour, const float64* __restrict__ edges, uint64 n_edges,
    const float64* __restrict__ rows, int64 models, float64* __restrict__ out)
{
    for (int64 i = thread(); i < n; i += threads())
        densities(vector_terms(float64(cos_theta_k[i]), float64(cos_theta_l[i]), float64(phi[i])), float64(q2[i]),
                  flavour[i], array<float64>{edges, n_edges}, rows, models, out + i * models);
}

template <class real>
__global__ void scalar_densities(
    int64 n, const real* __restrict__ q2, const real* __restrict__ cos_theta_l, const int32* __restrict__ flavour,
    const float64* __restrict__ edges, uint64 n_edges, const float64* __restrict__ rows, int64 models,
    float64* __restrict__ out)
{
    for (int64 i = thread(); i < n; i += threads())
        densities(scalar_functions(1.0, float64(cos_theta_l[i])) + tuple_of(0.0), float64(q2[i]), flavour[i],
                  array<float64>{edges, n_edges}, rows, models, out + i * models);
}
