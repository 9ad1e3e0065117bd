/* A driver library without a GPU: every call succeeds, memory is the host's and all zeros, and a launch does nothing.

   What is left of a training step is the host's own work, which gpu_host.py measures:

       gcc -O2 -shared -fPIC -o libcuda.so.1 empty_driver.c -ldl

   Functions that numba-cuda and cuda-core ask for and that are not here are told as missing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
typedef uint64_t Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

static const size_t MEMORY = (size_t)4 << 30;
static int the_context;
static __thread void *stack[64];
static __thread int depth;
static unsigned long launches;

/* --- the device: one, of the kind of an H100 --- */
Result cuInit(unsigned flags) { return SUCCESS; }
Result cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
Result cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
Result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? 101 : SUCCESS; }
Result cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "no GPU"); return SUCCESS; }
Result cuDeviceGetUuid(unsigned char *uuid, int device) { memset(uuid, 7, 16); return SUCCESS; }
Result cuDeviceTotalMem(size_t *size, int device) { *size = MEMORY; return SUCCESS; }
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 1: case 2: case 3: *value = 1024; break;              /* threads of a block, and along its axes */
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;                        /* blocks along the axes */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 48 << 10; break;                          /* bytes of shared memory */
    case 10: *value = 32; break;                               /* threads of a warp */
    case 12: *value = 64 << 10; break;                         /* registers of a block */
    case 16: *value = 132; break;                              /* multiprocessors */
    case 41: case 83: case 89: *value = 1; break;              /* one address space; managed memory */
    case 75: *value = 9; break;                                /* compute capability 9.0 */
    default: *value = 0;
    }
    return SUCCESS;
}

/* --- contexts: a stack for each thread --- */
Result cuCtxGetCurrent(void **context) { *context = depth ? stack[depth - 1] : 0; return SUCCESS; }
Result cuCtxSetCurrent(void *context) {
    if (!depth && context) depth = 1;
    if (depth) stack[depth - 1] = context;
    if (!context && depth) depth--;
    return SUCCESS;
}
Result cuCtxPushCurrent(void *context) { stack[depth++] = context; return SUCCESS; }
Result cuCtxPopCurrent(void **context) {
    if (!depth) return INVALID_CONTEXT;
    void *top = stack[--depth];
    if (context) *context = top;
    return SUCCESS;
}
Result cuCtxGetDevice(int *device) { *device = 0; return depth ? SUCCESS : INVALID_CONTEXT; }
Result cuCtxSynchronize(void) { return SUCCESS; }
Result cuCtxGetFlags(unsigned *flags) { *flags = 0; return SUCCESS; }
Result cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = *greatest = 0; return SUCCESS; }
Result cuCtxGetId(void *context, uint64_t *id) { *id = 1; return SUCCESS; }
Result cuDevicePrimaryCtxRetain(void **context, int device) { *context = &the_context; return SUCCESS; }
Result cuDevicePrimaryCtxRelease(int device) { return SUCCESS; }
Result cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return SUCCESS; }

/* --- memory --- */
Result cuMemAlloc(Address *address, size_t size) {
    void *memory = 0;
    if (!depth) return INVALID_CONTEXT;
    if (!size) return INVALID_VALUE;
    if (size > MEMORY || posix_memalign(&memory, 256, size)) return OUT_OF_MEMORY;
    memset(memory, 0, size);
    *address = (Address)memory;
    return SUCCESS;
}
Result cuMemFree(Address address) { free((void *)address); return SUCCESS; }
Result cuMemGetInfo(size_t *free_bytes, size_t *total) { *free_bytes = *total = MEMORY; return depth ? SUCCESS : INVALID_CONTEXT; }
Result cuMemcpyHtoD(Address target, const void *source, size_t size) { memcpy((void *)target, source, size); return SUCCESS; }
Result cuMemcpyDtoH(void *target, Address source, size_t size) { memcpy(target, (void *)source, size); return SUCCESS; }
Result cuMemcpyDtoD(Address target, Address source, size_t size) { memmove((void *)target, (void *)source, size); return SUCCESS; }
Result cuMemcpyHtoDAsync(Address target, const void *source, size_t size, void *stream) { return cuMemcpyHtoD(target, source, size); }
Result cuMemcpyDtoHAsync(void *target, Address source, size_t size, void *stream) { return cuMemcpyDtoH(target, source, size); }
Result cuMemsetD8(Address target, unsigned char value, size_t size) { memset((void *)target, value, size); return SUCCESS; }
Result cuPointerGetAttribute(void *value, int attribute, Address address) { memset(value, 0, 4); return SUCCESS; }

/* --- streams and events --- */
Result cuStreamSynchronize(void *stream) { return SUCCESS; }
Result cuStreamQuery(void *stream) { return SUCCESS; }
Result cuStreamGetCtx(void *stream, void **context) { *context = &the_context; return SUCCESS; }
Result cuStreamGetFlags(void *stream, unsigned *flags) { *flags = 0; return SUCCESS; }
Result cuStreamGetPriority(void *stream, int *priority) { *priority = 0; return SUCCESS; }
Result cuStreamIsCapturing(void *stream, int *status) { *status = 0; return SUCCESS; }
Result cuEventCreate(void **event, unsigned flags) { *event = malloc(8); return SUCCESS; }
Result cuEventRecord(void *event, void *stream) { return SUCCESS; }
Result cuEventSynchronize(void *event) { return SUCCESS; }
Result cuEventQuery(void *event) { return SUCCESS; }
Result cuEventDestroy(void *event) { free(event); return SUCCESS; }

/* --- kernels --- */
Result cuLibraryLoadData(void **library, const void *code, void *options, void *values, unsigned count, void *more, void *others,
                         unsigned number) {
    *library = malloc(8); /* told apart by their addresses */
    return SUCCESS;
}
Result cuLibraryUnload(void *library) { free(library); return SUCCESS; }
Result cuLibraryGetKernel(void **kernel, void *library, const char *name) { *kernel = library; return SUCCESS; }
Result cuLibraryGetGlobal(Address *address, size_t *size, void *library, const char *name) { return NOT_FOUND; }
Result cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return SUCCESS; }
Result cuKernelGetLibrary(void **library, void *kernel) { *library = kernel; return SUCCESS; }
Result cuKernelGetAttribute(int *value, int attribute, void *kernel, int device) { *value = attribute ? 0 : 1024; return SUCCESS; }
Result cuFuncGetAttribute(int *value, int attribute, void *function) { *value = attribute ? 0 : 1024; return SUCCESS; }
Result cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned a, unsigned b, unsigned c, unsigned shared,
                      void *stream, void **arguments, void **extra) {
    launches++;
    return depth ? SUCCESS : INVALID_CONTEXT;
}
Result cuLaunchKernelEx(const void *configuration, void *function, void **arguments, void **extra) {
    launches++;
    return depth ? SUCCESS : INVALID_CONTEXT;
}
unsigned long empty_driver_launches(void) { return launches; }

/* --- errors, and the table of functions --- */
Result cuGetErrorName(int error, const char **name) {
    *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : error ? "CUDA_ERROR_UNKNOWN" : "CUDA_SUCCESS";
    return SUCCESS;
}
Result cuGetErrorString(int error, const char **text) { return cuGetErrorName(error, text); }
Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    static void *self;
    char base[128];
    Dl_info info;
    snprintf(base, sizeof base, "%s", name);
    size_t length = strlen(base);
    if (length > 5 && !strcmp(base + length - 5, "_ptsz")) base[length -= 5] = 0; /* of a thread's own default stream */
    if (length > 3 && base[length - 3] == '_' && base[length - 2] == 'v') base[length - 3] = 0;
    if (!self && dladdr((void *)cuInit, &info)) self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = strcmp(base, "cuGetProcAddress") ? dlsym(self, base) : (void *)cuGetProcAddress_v2;
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
Result cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, 0);
}
