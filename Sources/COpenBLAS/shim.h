#ifndef MURMURATION_COPENBLAS_SHIM_H
#define MURMURATION_COPENBLAS_SHIM_H

#include <cblas.h>

/// Tells the core that the calling thread spins.
static inline void spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
