#ifndef MURMURATION_COPENBLAS_SHIM_H
#define MURMURATION_COPENBLAS_SHIM_H

// OpenBLAS, and what Swift has no words for: questions about the processor, and hints to it.

#include <cblas.h>

/// Tells the core that the calling thread spins.
static inline void spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Asks for a cache line that is going to be read.
static inline void prefetch_for_reading(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Asks for a cache line that is going to be read after some thousand others: into the second-level cache.
static inline void prefetch_for_later(const void *address) { __builtin_prefetch(address, 0, 2); }

/// Asks for a cache line that is going to be written.
static inline void prefetch_for_writing(const void *address) { __builtin_prefetch(address, 1, 3); }

// Shuffles of registers. Written in Swift, element by element, the compiler takes them apart where their
// results meet arithmetic, and a conversion of what comes out of them goes lane by lane.

typedef float four_floats __attribute__((ext_vector_type(4)));
typedef float eight_floats __attribute__((ext_vector_type(8)));
/// Halves as bits.
typedef unsigned short sixteen_halves __attribute__((ext_vector_type(16)));

#define MURMURATION_SHUFFLE static inline __attribute__((always_inline))

MURMURATION_SHUFFLE eight_floats join_halves(four_floats low, four_floats high) {
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/// In each half of a register: the lower two elements of x and y in turn.
MURMURATION_SHUFFLE eight_floats zip_lower(eight_floats x, eight_floats y) {
    return __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13);
}

/// The same of the upper two.
MURMURATION_SHUFFLE eight_floats zip_upper(eight_floats x, eight_floats y) {
    return __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15);
}

/// In each half of a register: the lower pair of x, then that of y.
MURMURATION_SHUFFLE eight_floats zip_lower_pairs(eight_floats x, eight_floats y) {
    return __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
}

MURMURATION_SHUFFLE eight_floats zip_upper_pairs(eight_floats x, eight_floats y) {
    return __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
}

/// The same for halves: one, two or four elements at a time.
MURMURATION_SHUFFLE sixteen_halves zip_lower_ones(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
}

MURMURATION_SHUFFLE sixteen_halves zip_upper_ones(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);
}

MURMURATION_SHUFFLE sixteen_halves zip_lower_twos(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 0, 1, 16, 17, 2, 3, 18, 19, 8, 9, 24, 25, 10, 11, 26, 27);
}

MURMURATION_SHUFFLE sixteen_halves zip_upper_twos(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 4, 5, 20, 21, 6, 7, 22, 23, 12, 13, 28, 29, 14, 15, 30, 31);
}

MURMURATION_SHUFFLE sixteen_halves zip_lower_fours(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
}

MURMURATION_SHUFFLE sixteen_halves zip_upper_fours(sixteen_halves x, sixteen_halves y) {
    return __builtin_shufflevector(x, y, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
}

typedef _Float16 murmuration_halves __attribute__((ext_vector_type(16)));

/// The lower eight halves as floats.
MURMURATION_SHUFFLE eight_floats floats_of_lower(sixteen_halves bits) {
    murmuration_halves halves = __builtin_bit_cast(murmuration_halves, bits);
    return __builtin_convertvector(
        __builtin_shufflevector(halves, halves, 0, 1, 2, 3, 4, 5, 6, 7), eight_floats);
}

MURMURATION_SHUFFLE eight_floats floats_of_upper(sixteen_halves bits) {
    murmuration_halves halves = __builtin_bit_cast(murmuration_halves, bits);
    return __builtin_convertvector(
        __builtin_shufflevector(halves, halves, 8, 9, 10, 11, 12, 13, 14, 15), eight_floats);
}

/// sum + a·b, a the same for all lanes, rounded once.
MURMURATION_SHUFFLE eight_floats add_product(eight_floats sum, float a, eight_floats b) {
    eight_floats factor = a;
    return __builtin_elementwise_fma(factor, b, sum);
}

#undef MURMURATION_SHUFFLE

/// Bytes of a vector register of the processor that the including target is compiled for.
static inline int vector_register_bytes(void) {
#if defined(__AVX512F__)
    return 64;
#elif defined(__AVX__)
    return 32;
#else
    return 16;
#endif
}

/// The newest generation of vector instructions that this processor has: 0 SSE, 1 AVX, 2 AVX2 with fused
/// multiply-adds, 3 AVX-512 as Skylake's servers brought it; −1 where it is not an x86-64.
static inline int processor_vector_generation(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return 3;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 2;
    return __builtin_cpu_supports("avx") ? 1 : 0;
#else
    return -1;
#endif
}

/// Feature number `index` of those that all kernels use (x86-64-v3), and whether this processor has it; null past the
/// last.
static inline const char *required_cpu_feature(int index, int *is_there) {
#if defined(__x86_64__)
    int passed = 0;
    __builtin_cpu_init();
#define MURMURATION_FEATURE(name)                  \
    if (passed++ == index) {                       \
        *is_there = __builtin_cpu_supports(name) != 0; \
        return name;                               \
    }
    MURMURATION_FEATURE("sse4.2")
    MURMURATION_FEATURE("popcnt")
    MURMURATION_FEATURE("avx")
    MURMURATION_FEATURE("avx2")
    MURMURATION_FEATURE("fma")
    MURMURATION_FEATURE("f16c")
    MURMURATION_FEATURE("bmi")
    MURMURATION_FEATURE("bmi2")
    MURMURATION_FEATURE("lzcnt")
    MURMURATION_FEATURE("movbe")
#undef MURMURATION_FEATURE
#endif
    return 0;
}

#endif
