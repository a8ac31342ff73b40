// MPI's handles are cast macros, which Swift cannot import: each becomes a getter.
#ifndef MURMURATION_CMPI_SHIM_H
#define MURMURATION_CMPI_SHIM_H

#include <mpi.h>

#define MURMURATION_GETTER(type, name)                                         \
    static inline type murmuration_##name(void)                                \
        __attribute__((swift_name("getter:" #name "()")));                     \
    static inline type murmuration_##name(void) { return name; }

MURMURATION_GETTER(MPI_Comm, MPI_COMM_WORLD)
MURMURATION_GETTER(MPI_Comm, MPI_COMM_NULL)
MURMURATION_GETTER(MPI_Datatype, MPI_BYTE)
MURMURATION_GETTER(MPI_Request, MPI_REQUEST_NULL)
MURMURATION_GETTER(MPI_Errhandler, MPI_ERRORS_RETURN)
MURMURATION_GETTER(MPI_Info, MPI_INFO_NULL)

#undef MURMURATION_GETTER
#endif
