#ifndef MURMURATION_CTILES_SHIM_H
#define MURMURATION_CTILES_SHIM_H

// Intel's matrix unit (AMX, Intel Architecture Instruction Set Extensions, chapter 3) and numbers in bfloat16. Functions
// that use the unit are compiled for it whatever the including target is compiled for; who calls them has asked
// `matrix_unit_is_granted`.

#if defined(__x86_64__) && defined(__linux__)

#include <sys/syscall.h>
#include <unistd.h>

#define MURMURATION_TILES static inline __attribute__((noinline, target("amx-tile,amx-bf16")))

/// Whether this processor has tiles of bfloat16, and the kernel lets this process use them: asked for once a process.
static inline int matrix_unit_is_granted(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (a < 7) return 0;
    a = 7, c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    // AMX-BF16 and AMX-TILE.
    if ((d >> 22 & 1) == 0 || (d >> 24 & 1) == 0) return 0;
    // ARCH_REQ_XCOMP_PERM of the tiles' data.
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

/// Eight tiles of 16 rows of 64 bytes, for the calling thread.
MURMURATION_TILES void tiles_begin(void) {
    struct {
        unsigned char palette, start, reserved[14];
        unsigned short row_bytes[16];
        unsigned char rows[16];
    } shape = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    __builtin_ia32_tile_loadconfig(&shape);
}

MURMURATION_TILES void tiles_end(void) { __builtin_ia32_tilerelease(); }

/// C[32,32] = C + A·B over `blocks` times 32 inner indices.
///
/// a: blocks of two tiles, rows of 32 bfloat16; b: blocks of two tiles, 16 rows of 16 pairs, a pair being two inner
/// indices of a column. `start`: where C begins from, null: zeros. Strides in bytes. `ahead`: memory of which
/// `ahead_step` bytes a block are asked for.
MURMURATION_TILES void multiply_tiles(
    long blocks, const void *a, const void *b, const void *start, long start_stride, void *c,
    long c_stride, const void *ahead, long ahead_step) {
    const char *left = (const char *)a, *right = (const char *)b, *next = (const char *)ahead;
    if (start) {
        const char *from = (const char *)start;
        __builtin_ia32_tileloadd64(0, from, start_stride);
        __builtin_ia32_tileloadd64(1, from + 64, start_stride);
        __builtin_ia32_tileloadd64(2, from + 16 * start_stride, start_stride);
        __builtin_ia32_tileloadd64(3, from + 16 * start_stride + 64, start_stride);
    } else {
        __builtin_ia32_tilezero(0);
        __builtin_ia32_tilezero(1);
        __builtin_ia32_tilezero(2);
        __builtin_ia32_tilezero(3);
    }
    for (long block = 0; block < blocks; ++block) {
        __builtin_ia32_tileloadd64(4, left, 64);
        __builtin_ia32_tileloadd64(6, right, 64);
        __builtin_ia32_tileloadd64(7, right + 1024, 64);
        __builtin_ia32_tileloadd64(5, left + 1024, 64);
        for (long byte = 0; byte < ahead_step; byte += 64) __builtin_prefetch(next + byte, 0, 2);
        __builtin_ia32_tdpbf16ps(0, 4, 6);
        __builtin_ia32_tdpbf16ps(1, 4, 7);
        __builtin_ia32_tdpbf16ps(2, 5, 6);
        __builtin_ia32_tdpbf16ps(3, 5, 7);
        left += 2048;
        right += 2048;
        next += ahead_step;
    }
    char *to = (char *)c;
    __builtin_ia32_tilestored64(0, to, c_stride);
    __builtin_ia32_tilestored64(1, to + 64, c_stride);
    __builtin_ia32_tilestored64(2, to + 16 * c_stride, c_stride);
    __builtin_ia32_tilestored64(3, to + 16 * c_stride + 64, c_stride);
}

#undef MURMURATION_TILES

/// Denormal operands and results become zeros on the calling thread, as the matrix unit has them; returns what was.
static inline unsigned denormals_off(void) {
    unsigned old, new;
    __asm__ volatile("stmxcsr %0" : "=m"(old) : : "memory");
    new = old | 0x8040;
    __asm__ volatile("ldmxcsr %0" : : "m"(new) : "memory");
    return old;
}

static inline void denormals_restore(unsigned old) {
    __asm__ volatile("ldmxcsr %0" : : "m"(old) : "memory");
}

#else

static inline int matrix_unit_is_granted(void) { return 0; }
static inline void tiles_begin(void) {}
static inline void tiles_end(void) {}
static inline void multiply_tiles(
    long blocks, const void *a, const void *b, const void *start, long start_stride, void *c,
    long c_stride, const void *ahead, long ahead_step) {}
// Elsewhere denormals of bfloat16 are not yet the zeros that the rule of pairs has.
static inline unsigned denormals_off(void) { return 0; }
static inline void denormals_restore(unsigned old) {}

#endif

// MARK: Numbers in bfloat16

typedef float sixteen_floats __attribute__((ext_vector_type(16)));
typedef unsigned sixteen_words __attribute__((ext_vector_type(16)));
typedef unsigned short sixteen_brains __attribute__((ext_vector_type(16)));
typedef float eight_floats_of_brains __attribute__((ext_vector_type(8)));
typedef unsigned eight_words __attribute__((ext_vector_type(8)));

#define MURMURATION_VECTORS static inline __attribute__((always_inline))

/// The upper halves of floats.
MURMURATION_VECTORS sixteen_floats floats_of_brains(sixteen_brains bits) {
    return __builtin_bit_cast(sixteen_floats, __builtin_convertvector(bits, sixteen_words) << 16);
}

/// The lower eight, and the upper eight.
MURMURATION_VECTORS eight_floats_of_brains floats_of_lower_brains(sixteen_brains bits) {
    return __builtin_bit_cast(
        eight_floats_of_brains,
        __builtin_convertvector(__builtin_shufflevector(bits, bits, 0, 1, 2, 3, 4, 5, 6, 7), eight_words) << 16);
}

MURMURATION_VECTORS eight_floats_of_brains floats_of_upper_brains(sixteen_brains bits) {
    return __builtin_bit_cast(
        eight_floats_of_brains,
        __builtin_convertvector(__builtin_shufflevector(bits, bits, 8, 9, 10, 11, 12, 13, 14, 15), eight_words) << 16);
}

/// To nearest, ties to even; what is no number stays none.
MURMURATION_VECTORS sixteen_brains brains_of_floats(sixteen_floats x) {
    sixteen_words bits = __builtin_bit_cast(sixteen_words, x);
    sixteen_words rounded = bits + 0x7fff + ((bits >> 16) & 1);
    sixteen_words none = __builtin_bit_cast(sixteen_words, (bits & 0x7fffffff) > 0x7f800000);
    rounded = (rounded & ~none) | ((bits | 0x400000) & none);
    return __builtin_convertvector(rounded >> 16, sixteen_brains);
}

/// Elements of x and y in turn: pairs of two rows.
MURMURATION_VECTORS sixteen_words pairs_of_brains(sixteen_brains x, sixteen_brains y) {
    return __builtin_convertvector(x, sixteen_words) | __builtin_convertvector(y, sixteen_words) << 16;
}

#define MURMURATION_PICK(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)

/// Sixteen rows of sixteen words, `stride` bytes apart, to as many columns of 64 bytes each.
MURMURATION_VECTORS void transpose_words(const void *from, long stride, void *to) {
    sixteen_words r[16], t[16];
    for (int i = 0; i < 16; ++i)
        __builtin_memcpy(&r[i], (const char *)from + i * stride, 64);
    // Pairs of rows, quarter by quarter; then fours; then quarters of 128 bits change places.
    for (int i = 0; i < 16; i += 2) {
        t[i] = MURMURATION_PICK(r[i], r[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        t[i + 1] = MURMURATION_PICK(r[i], r[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = MURMURATION_PICK(t[i], t[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        r[i + 1] = MURMURATION_PICK(t[i], t[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        r[i + 2] = MURMURATION_PICK(t[i + 1], t[i + 3], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        r[i + 3] = MURMURATION_PICK(t[i + 1], t[i + 3], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    // r[4g + c]: columns c, c + 4, c + 8, c + 12 of rows 4g to 4g + 3.
    for (int c = 0; c < 4; ++c) {
        sixteen_words a = MURMURATION_PICK(r[c], r[4 + c], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        sixteen_words b = MURMURATION_PICK(r[8 + c], r[12 + c], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        sixteen_words d = MURMURATION_PICK(r[c], r[4 + c], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        sixteen_words e = MURMURATION_PICK(r[8 + c], r[12 + c], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        t[c] = MURMURATION_PICK(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        t[c + 8] = MURMURATION_PICK(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        t[c + 4] = MURMURATION_PICK(d, e, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        t[c + 12] = MURMURATION_PICK(d, e, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
    for (int i = 0; i < 16; ++i)
        __builtin_memcpy((char *)to + 64 * i, &t[i], 64);
}

#undef MURMURATION_PICK

// MARK: The matrix unit's additions with ordinary multiply-adds

// A function that stays one has the compilation in its symbol, so that the program shows whose it is.
#if defined(__AVX512F__)
#define MURMURATION_COMPILATION "avx512"
#elif defined(__AVX2__)
#define MURMURATION_COMPILATION "avx2"
#else
#define MURMURATION_COMPILATION "plain"
#endif

typedef float loose_floats __attribute__((ext_vector_type(16), aligned(4)));

#define MURMURATION_LOAD(p) (*(const loose_floats *)(p))
#define MURMURATION_ROWS(x) x(0) x(1) x(2) x(3) x(4) x(5)
#define MURMURATION_CHAINS(i) \
    sixteen_floats even##i = 0, odd##i = 0, right_even##i = 0, right_odd##i = 0;
#define MURMURATION_EVEN(i)                                             \
    {                                                                   \
        sixteen_floats factor = a[i];                                   \
        even##i = __builtin_elementwise_fma(factor, left, even##i);     \
        right_even##i = __builtin_elementwise_fma(factor, right, right_even##i); \
    }
#define MURMURATION_ODD(i)                                              \
    {                                                                   \
        sixteen_floats factor = a[12 + i];                              \
        odd##i = __builtin_elementwise_fma(factor, left, odd##i);       \
        right_odd##i = __builtin_elementwise_fma(factor, right, right_odd##i); \
    }
#define MURMURATION_PAIR                                                \
    {                                                                   \
        __builtin_prefetch(next, 0, 2);                                 \
        next += ahead_step;                                             \
        sixteen_floats left = MURMURATION_LOAD(b), right = MURMURATION_LOAD(b + 16); \
        MURMURATION_ROWS(MURMURATION_EVEN)                              \
        left = MURMURATION_LOAD(b + 32), right = MURMURATION_LOAD(b + 48); \
        MURMURATION_ROWS(MURMURATION_ODD)                               \
        a += 24, b += 64;                                               \
    }
#define MURMURATION_FILL_EVEN(i) even##i += 0, right_even##i += 0;
#define MURMURATION_FILL_ODD(i) odd##i += 0, right_odd##i += 0;
#define MURMURATION_ADD(i)                                              \
    *(loose_floats *)(c + 32 * i) = MURMURATION_LOAD(c + 32 * i) + (even##i + odd##i); \
    *(loose_floats *)(c + 32 * i + 16) = MURMURATION_LOAD(c + 32 * i + 16) + (right_even##i + right_odd##i);

/// tile[12,32] += A·B by pairs: `a` is [inner × 12], `b` [inner × 32], both in Float32. A block is written out, since a
/// loop of sixteen turns is left by a branch that nobody foresees: 150 GFLOP/s with it, 164 without.
static inline void add_pairs_wide(
    long inner, const float *left_factor, const float *right_factor, float *tile, const float *ahead,
    long ahead_step) __asm__("add_pairs_wide_" MURMURATION_COMPILATION);
static inline __attribute__((noinline)) void add_pairs_wide(
    long inner, const float *left_factor, const float *right_factor, float *tile, const float *ahead,
    long ahead_step) {
    const float *next = ahead;
    for (long start = 0; start < inner; start += 32) {
        for (int half = 0; half < 2; ++half) {
            const float *a = left_factor + 12 * start + 6 * half, *b = right_factor + 32 * start;
            float *c = tile + 192 * half;
            MURMURATION_ROWS(MURMURATION_CHAINS)
            if (inner - start >= 32) {
                MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR
                MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR
                MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR
                MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR MURMURATION_PAIR
            } else {
                long count = inner - start;
                for (long pair = 0; pair < count / 2; ++pair) MURMURATION_PAIR
                if (count % 2) {
                    sixteen_floats left = MURMURATION_LOAD(b), right = MURMURATION_LOAD(b + 16);
                    MURMURATION_ROWS(MURMURATION_EVEN)
                }
                // The unit adds the products of the zeros that fill the block: they make a sum of -0 a +0.
                if (count < 31) { MURMURATION_ROWS(MURMURATION_FILL_EVEN) }
                MURMURATION_ROWS(MURMURATION_FILL_ODD)
            }
            MURMURATION_ROWS(MURMURATION_ADD)
        }
    }
}

#undef MURMURATION_LOAD
#undef MURMURATION_COMPILATION
#undef MURMURATION_ROWS
#undef MURMURATION_CHAINS
#undef MURMURATION_EVEN
#undef MURMURATION_ODD
#undef MURMURATION_PAIR
#undef MURMURATION_ADD
#undef MURMURATION_FILL_EVEN
#undef MURMURATION_FILL_ODD
#undef MURMURATION_VECTORS

#endif
