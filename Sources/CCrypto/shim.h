// The system's libcrypto (OpenSSL 3), for its SHA-256: written in assembly for each processor.
#ifndef MURMURATION_CCRYPTO_SHIM_H
#define MURMURATION_CCRYPTO_SHIM_H

#include <openssl/evp.h>
#endif
