// The system's libpng, by its simplified interface, and libjpeg-turbo, by TurboJPEG: neither longjmps into its caller.
#ifndef MURMURATION_CIMAGES_SHIM_H
#define MURMURATION_CIMAGES_SHIM_H

#include <png.h>
#include <turbojpeg.h>
#endif
