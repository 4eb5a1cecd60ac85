// What the translated functions stand on: NumPy's names of types, tuples, arrays. No headers: NVRTC has none.

using float32 = float;
using float64 = double;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;
using intp = int64;
using uintp = uint64;

// ---- tuples: values of any types, at<I>(t), tuple_of(a, b, ...), s + t

template <class... T> struct tuple {};
template <class T, class... Rest> struct tuple<T, Rest...> { T first; tuple<Rest...> rest; };

__device__ __forceinline__ tuple<> tuple_of() { return {}; }
template <class T, class... Rest> __device__ __forceinline__ tuple<T, Rest...> tuple_of(T first, Rest... rest)
{
    return {first, tuple_of(rest...)};
}

template <int I, class T, class... Rest> __device__ __forceinline__ auto at(tuple<T, Rest...> t)
{
    if constexpr (I == 0) return t.first;
    else return at<I - 1>(t.rest);
}

template <class... T> __device__ __forceinline__ tuple<T...> operator+(tuple<>, tuple<T...> t) { return t; }
template <class T, class... Rest, class... Other>
__device__ __forceinline__ tuple<T, Rest..., Other...> operator+(tuple<T, Rest...> s, tuple<Other...> t)
{
    return {s.first, s.rest + t};
}

// elements From to To of a tuple, or to its end
template <int From, int To = 1 << 20> __device__ __forceinline__ tuple<> part(tuple<>) { return {}; }
template <int From, int To = 1 << 20, class T, class... Rest>
__device__ __forceinline__ auto part(tuple<T, Rest...> t)
{
    if constexpr (To == 0) return tuple<>{};
    else if constexpr (From > 0) return part<From - 1, To - 1>(t.rest);
    else return tuple_of(t.first) + part<0, To - 1>(t.rest);
}

// ---- arrays that are only read: a[i], a.size, slice(a, i, j)

template <class T> struct array {
    const T* __restrict__ data;
    uint64 size;
    template <class I> __device__ __forceinline__ T operator[](I i) const { return data[i]; }
};
template <int I, class T> __device__ __forceinline__ T at(array<T> a) { return a.data[I]; }
template <class T> __device__ __forceinline__ array<T> slice(array<T> a, uint64 from, uint64 to)
{
    return {a.data + from, to - from};
}

// ---- the bits of a number as those of another type

template <class To, class From> __device__ __forceinline__ To view(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    union { From from; To to; } bits = {from};
    return bits.to;
}

// ---- N neighbours of a row that begins at a multiple of 16 bytes, as a tuple, by loads of 16 bytes

__device__ __forceinline__ auto quad(const float32* p)
{
    const float4 a = *reinterpret_cast<const float4*>(p);
    return tuple_of(a.x, a.y, a.z, a.w);
}
__device__ __forceinline__ auto quad(const float64* p)
{
    const double2 a = reinterpret_cast<const double2*>(p)[0], b = reinterpret_cast<const double2*>(p)[1];
    return tuple_of(a.x, a.y, b.x, b.y);
}
template <int N, class real> __device__ __forceinline__ auto row(const real* p)
{
    if constexpr (N == 4) return quad(p);
    else return quad(p) + row<N - 4>(p + 4);
}

// ---- a thread makes whole things, one after the other at the distance of the grid

__device__ __forceinline__ int64 thread() { return int64(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64 threads() { return int64(gridDim.x) * blockDim.x; }
