// CUDA's words for a C++ compiler, and kernels called as cuLaunchKernel calls them: with pointers to the arguments.
#include <cmath>
#include <utility>

#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct index3 { unsigned x = 0, y = 0, z = 0; };
static thread_local index3 blockIdx, threadIdx, gridDim, blockDim;

using std::copysign, std::atan2, std::cos, std::exp, std::fabs, std::floor, std::fmod, std::hypot, std::isnan,
    std::lgamma, std::log, std::log10, std::max, std::min, std::pow, std::sin, std::sqrt, std::tan;

template <class... P, std::size_t... I>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<I...>)
{
    kernel(*static_cast<P*>(arguments[I])...);
}

template <class... P> void launch(void (*kernel)(P...), unsigned grid, unsigned block, void** arguments)
{
    gridDim.x = grid, blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x)
            call(kernel, arguments, std::index_sequence_for<P...>{});
}

// what each parameter is: NumPy's letter of its type, after a * for a pointer to such
template <class T> struct letter {};
template <> struct letter<bool> { static constexpr char value = '?'; };
template <> struct letter<int> { static constexpr char value = 'i'; };
template <> struct letter<unsigned> { static constexpr char value = 'I'; };
template <> struct letter<long long> { static constexpr char value = 'l'; };
template <> struct letter<unsigned long long> { static constexpr char value = 'L'; };
template <> struct letter<float> { static constexpr char value = 'f'; };
template <> struct letter<double> { static constexpr char value = 'd'; };
template <class T> void spell(char*& text, T*) { *text++ = letter<T>::value; }
template <class T> void spell(char*& text, const T**) { *text++ = '*', *text++ = letter<T>::value; }
template <class T> void spell(char*& text, T**) { *text++ = '*', *text++ = letter<T>::value; }
template <class... P> void signature(void (*)(P...), char* text)
{
    (spell(text, static_cast<std::remove_const_t<P>*>(nullptr)), ...);
    *text = 0;
}

#define EXPORT(number, ...) \
    extern "C" void launch_##number(unsigned grid, unsigned block, void** arguments) \
    { launch(__VA_ARGS__, grid, block, arguments); } \
    extern "C" void signature_##number(char* text) { signature(__VA_ARGS__, text); }
