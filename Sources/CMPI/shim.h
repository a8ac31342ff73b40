// MPI's handles are cast macros, which Swift cannot import: each becomes a getter.
#ifndef MURMURATION_CMPI_SHIM_H
#define MURMURATION_CMPI_SHIM_H

#include <mpi.h>
#include <signal.h>
#include <sys/prctl.h>

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
MURMURATION_GETTER(MPI_Datatype, MPI_FLOAT)
MURMURATION_GETTER(MPI_Datatype, MPI_INT32_T)
MURMURATION_GETTER(MPI_Datatype, MPI_INT64_T)
MURMURATION_GETTER(MPI_Op, MPI_SUM)
MURMURATION_GETTER(MPI_Op, MPI_MIN)
MURMURATION_GETTER(void *, MPI_IN_PLACE)

#undef MURMURATION_GETTER

// prctl takes variable arguments, which Swift cannot call: the kernel kills this process when its
// parent ends. Returns 0, or -1 and sets errno.
static inline int murmuration_die_with_parent(void)
    __attribute__((swift_name("dieWithParent()")));
static inline int murmuration_die_with_parent(void) {
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

// Anonymous memory with a descriptor, which a program that is started does not inherit; -1 where there is none.
// GNU's declaration, which Swift's Glibc leaves out.
extern int memfd_create(const char *name, unsigned int flags);
static inline int murmuration_anonymous_memory(const char *name)
    __attribute__((swift_name("anonymousMemory(_:)")));
static inline int murmuration_anonymous_memory(const char *name) {
    return memfd_create(name, 1 /* MFD_CLOEXEC */);
}
#endif
