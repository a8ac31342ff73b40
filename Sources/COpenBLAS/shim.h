#ifndef MURMURATION_COPENBLAS_SHIM_H
#define MURMURATION_COPENBLAS_SHIM_H

#include <cblas.h>

#endif
