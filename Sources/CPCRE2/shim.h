// The system's PCRE2 (10.30 or later) for texts of UTF-8: regular expressions of tokenizers that have no scanner of ours.
#ifndef MURMURATION_CPCRE2_SHIM_H
#define MURMURATION_CPCRE2_SHIM_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif
