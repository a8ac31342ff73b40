// The system's zlib, libzstd and liblzma, by their streaming interfaces: what is unpacked is never whole in memory.
#ifndef MURMURATION_CCOMPRESSION_SHIM_H
#define MURMURATION_CCOMPRESSION_SHIM_H

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

// Macros that initialise a struct, for which Swift has no words.
static inline lzma_stream murmuration_lzma_stream(void) {
    lzma_stream stream = LZMA_STREAM_INIT;
    return stream;
}

static inline int murmuration_inflate_init(z_stream *stream) {
    // 15 bits of window, and 16: a header of gzip.
    return inflateInit2(stream, 15 + 16);
}
#endif
