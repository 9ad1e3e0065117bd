/* A CUDA driver with no GPU behind it: memory is the host's, and kernels are PTX that a loader (building.py) turns into machine code of the
   CPU. Every call is done when it returns. A function that is not here is refused by its name. */
#define _GNU_SOURCE
#include "machine.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef int Result;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_PTX = 218, NOT_FOUND = 500,
       ILLEGAL_ADDRESS = 700, MISALIGNED = 716, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801 };
enum { CAPABILITY_MAJOR = 9, CAPABILITY_MINOR = 0, CUDA_VERSION = 13000, MOST_THREADS = 1024, MOST_SHARED = 48 * 1024 };
static const u64 TOTAL_MEMORY = 8ull << 30;

/* --- findings: those of the launches that a test makes, for it to take ------------------------------------------------------------- */
enum { MOST_FINDINGS = 64 };
static Finding findings[MOST_FINDINGS]; static u32 finding_count;
static u64 launches, seed = 1;
static const Kernel *(*load_ptx)(const char *);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void ptx_set_loader(const Kernel *(*loader)(const char *)) { load_ptx = loader; }
void ptx_set_seed(u64 value) { seed = value; }
u64 ptx_launches(void) { return launches; }
u32 ptx_finding_count(void) { return finding_count; }
const char *ptx_finding_kind(u32 k) { return findings[k].kind; }
const char *ptx_finding_text(u32 k) { return findings[k].text; }
void ptx_forget_findings(void) { finding_count = 0; }
static void keep(const Finding *found) {
  fprintf(stderr, "PTX device: %s\n", found->text);
  if (finding_count < MOST_FINDINGS) findings[finding_count++] = *found;
}

/* --- the device and its context ---------------------------------------------------------------------------------------------------- */
static __thread void *contexts[64];
static __thread int depth;
static char the_context, the_pool;
static Result need_context(void) { return depth ? OK : INVALID_CONTEXT; }

Result cuInit(unsigned flags) { return OK; }
Result cuDriverGetVersion(int *version) { *version = CUDA_VERSION; return OK; }
Result cuDeviceGetCount(int *count) { *count = 1; return OK; }
Result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? INVALID_DEVICE : OK; }
Result cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "PTX device"); return OK; }
Result cuDeviceGetUuid(u8 *uuid, int device) { memset(uuid, 7, 16); return OK; }
Result cuDeviceGetLuid(char *luid, unsigned *mask, int device) { memset(luid, 0, 8); *mask = 0; return OK; }
Result cuDeviceTotalMem(size_t *bytes, int device) { *bytes = TOTAL_MEMORY; return OK; }
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
  static const int known[][2] = {{1, MOST_THREADS}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, MOST_SHARED},
                                 {10, 32}, {12, 65536}, {16, 132}, {39, 2048}, {41, 1}, {75, CAPABILITY_MAJOR}, {76, CAPABILITY_MINOR},
                                 {81, 233472}, {82, 65536}, {83, 1}, {89, 1}, {97, 232448}};
  *value = 0;
  for (u32 k = 0; k < sizeof known / sizeof *known; k++) if (known[k][0] == attribute) *value = known[k][1];
  return OK;
}
Result cuDevicePrimaryCtxRetain(void **context, int device) { *context = &the_context; return OK; }
Result cuDevicePrimaryCtxRelease(int device) { return OK; }
Result cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return OK; }
Result cuCtxGetCurrent(void **context) { *context = depth ? contexts[depth - 1] : 0; return OK; }
Result cuCtxSetCurrent(void *context) {
  if (!depth && context) depth = 1;
  if (depth) contexts[depth - 1] = context;
  if (depth && !context) depth--;
  return OK;
}
Result cuCtxPushCurrent(void *context) { if (depth == 64) return INVALID_VALUE; contexts[depth++] = context; return OK; }
Result cuCtxPopCurrent(void **context) {
  if (!depth) return INVALID_CONTEXT;
  depth--;
  if (context) *context = contexts[depth];
  return OK;
}
Result cuCtxGetDevice(int *device) { *device = 0; return need_context(); }
Result cuCtxSynchronize(void) { return OK; }
Result cuCtxGetFlags(unsigned *flags) { *flags = 0; return OK; }
Result cuCtxGetId(void *context, u64 *id) { *id = 1; return OK; }
Result cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return OK; }

/* --- memory ------------------------------------------------------------------------------------------------------------------------ */
typedef struct Allocation { Memory memory; void *raw; struct Allocation *next; } Allocation;
static Allocation *allocations;
static u64 in_use;

static Allocation *holding(u64 address, u64 bytes) {
  for (Allocation *a = allocations; a; a = a->next)
    if (address >= a->memory.base && address + bytes <= a->memory.base + a->memory.size) return a;
  return 0;
}
Result cuMemAlloc(u64 *address, size_t bytes) {
  if (need_context()) return INVALID_CONTEXT;
  if (!bytes) return INVALID_VALUE;
  pthread_mutex_lock(&lock);
  int fits = in_use + bytes <= TOTAL_MEMORY;
  if (fits) {
    Allocation *a = calloc(1, sizeof *a);
    a->raw = malloc(bytes + 512);
    memory_open(&a->memory, ((u64)a->raw + 511) & ~255ull, bytes);
    memset((void *)a->memory.base, 0xFF, bytes); /* NaN */
    a->next = allocations; allocations = a;
    in_use += bytes;
    *address = a->memory.base;
  }
  pthread_mutex_unlock(&lock);
  return fits ? OK : OUT_OF_MEMORY;
}
Result cuMemFree(u64 address) {
  pthread_mutex_lock(&lock);
  Allocation *found = 0;
  for (Allocation **a = &allocations; *a && !found; a = found ? a : &(*a)->next)
    if ((*a)->memory.base == address) { found = *a; *a = found->next; }
  if (found) {
    in_use -= found->memory.size;
    memory_close(&found->memory);
    free(found->raw); free(found);
  }
  pthread_mutex_unlock(&lock);
  return found || !address ? OK : INVALID_VALUE;
}
Result cuMemAllocAsync(u64 *address, size_t bytes, void *stream) { return cuMemAlloc(address, bytes); }
Result cuMemFreeAsync(u64 address, void *stream) { return cuMemFree(address); }
Result cuMemGetInfo(size_t *free_bytes, size_t *total) { *free_bytes = TOTAL_MEMORY - in_use; *total = TOTAL_MEMORY; return need_context(); }
Result cuMemGetAddressRange(u64 *base, size_t *size, u64 address) {
  Allocation *a = holding(address, 1);
  if (!a) return INVALID_VALUE;
  if (base) *base = a->memory.base;
  if (size) *size = a->memory.size;
  return OK;
}
Result cuPointerGetAttribute(void *data, int attribute, u64 address) {
  enum { CONTEXT = 1, MEMORY_TYPE = 2, DEVICE_POINTER = 3, ORDINAL = 9 };
  if (!holding(address, 1)) return INVALID_VALUE;
  if (attribute == CONTEXT) *(void **)data = &the_context;
  else if (attribute == MEMORY_TYPE) *(u32 *)data = 2;
  else if (attribute == DEVICE_POINTER) *(u64 *)data = address;
  else if (attribute == ORDINAL) *(int *)data = 0;
  else return NOT_SUPPORTED;
  return OK;
}
/* What a copy or a fill writes counts as written by the host. */
static Result written(u64 address, u64 bytes) {
  Allocation *a = holding(address, bytes);
  if (!a) return INVALID_VALUE;
  pthread_mutex_lock(&lock); memory_written(&a->memory, address - a->memory.base, bytes); pthread_mutex_unlock(&lock);
  return OK;
}
Result cuMemcpyHtoD(u64 to, const void *from, size_t bytes) {
  if (need_context()) return INVALID_CONTEXT;
  if (bytes && written(to, bytes)) return INVALID_VALUE;
  memcpy((void *)to, from, bytes);
  return OK;
}
Result cuMemcpyDtoH(void *to, u64 from, size_t bytes) {
  if (need_context()) return INVALID_CONTEXT;
  if (bytes && !holding(from, bytes)) return INVALID_VALUE;
  memcpy(to, (void *)from, bytes);
  return OK;
}
Result cuMemcpyDtoD(u64 to, u64 from, size_t bytes) {
  if (bytes && (!holding(from, bytes) || written(to, bytes))) return INVALID_VALUE;
  memmove((void *)to, (void *)from, bytes);
  return OK;
}
Result cuMemcpyHtoDAsync(u64 to, const void *from, size_t bytes, void *stream) { return cuMemcpyHtoD(to, from, bytes); }
Result cuMemcpyDtoHAsync(void *to, u64 from, size_t bytes, void *stream) { return cuMemcpyDtoH(to, from, bytes); }
Result cuMemcpyDtoDAsync(u64 to, u64 from, size_t bytes, void *stream) { return cuMemcpyDtoD(to, from, bytes); }
static Result fill(u64 to, const void *value, size_t size, size_t count) {
  if (count && written(to, size * count)) return INVALID_VALUE;
  for (size_t k = 0; k < count; k++) memcpy((u8 *)to + k * size, value, size);
  return OK;
}
Result cuMemsetD8(u64 to, u8 value, size_t count) { return fill(to, &value, 1, count); }
Result cuMemsetD16(u64 to, u16 value, size_t count) { return fill(to, &value, 2, count); }
Result cuMemsetD32(u64 to, u32 value, size_t count) { return fill(to, &value, 4, count); }
Result cuMemsetD8Async(u64 to, u8 value, size_t count, void *stream) { return fill(to, &value, 1, count); }
Result cuMemsetD16Async(u64 to, u16 value, size_t count, void *stream) { return fill(to, &value, 2, count); }
Result cuMemsetD32Async(u64 to, u32 value, size_t count, void *stream) { return fill(to, &value, 4, count); }
Result cuMemHostAlloc(void **address, size_t bytes, unsigned flags) { *address = malloc(bytes); return *address ? OK : OUT_OF_MEMORY; }
Result cuMemAllocHost(void **address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }
Result cuMemFreeHost(void *address) { free(address); return OK; }
Result cuDeviceGetMemPool(void **pool, int device) { *pool = &the_pool; return OK; }
Result cuDeviceGetDefaultMemPool(void **pool, int device) { *pool = &the_pool; return OK; }
Result cuMemPoolGetAttribute(void *pool, int attribute, void *value) { memset(value, 0, 8); return OK; }
Result cuMemPoolSetAttribute(void *pool, int attribute, void *value) { return OK; }

/* --- streams and events ------------------------------------------------------------------------------------------------------------ */
static double milliseconds(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }
Result cuStreamCreate(void **stream, unsigned flags) { *stream = malloc(1); return OK; }
Result cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return cuStreamCreate(stream, flags); }
Result cuStreamDestroy(void *stream) { free(stream); return OK; }
Result cuStreamSynchronize(void *stream) { return OK; }
Result cuStreamQuery(void *stream) { return OK; }
Result cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return OK; }
Result cuStreamGetCtx(void *stream, void **context) { *context = &the_context; return OK; }
Result cuStreamGetFlags(void *stream, unsigned *flags) { *flags = 0; return OK; }
Result cuStreamGetPriority(void *stream, int *priority) { *priority = 0; return OK; }
Result cuStreamIsCapturing(void *stream, int *capturing) { *capturing = 0; return OK; }
Result cuEventCreate(void **event, unsigned flags) { *event = calloc(1, sizeof(double)); return OK; }
Result cuEventDestroy(void *event) { free(event); return OK; }
Result cuEventRecord(void *event, void *stream) { *(double *)event = milliseconds(); return OK; }
Result cuEventSynchronize(void *event) { return OK; }
Result cuEventQuery(void *event) { return OK; }
Result cuEventElapsedTime(float *elapsed, void *start, void *end) { *elapsed = *(double *)end - *(double *)start; return OK; }

/* --- modules, kernels and launches: a library, its one kernel and the function of that are one thing ----------------------------------- */
Result cuLibraryLoadData(void **library, const void *code, void *options, void *values, unsigned count, void *more, void *their_values,
                         unsigned more_count) {
  const Kernel *kernel = load_ptx ? load_ptx(code) : 0;
  *library = (void *)kernel;
  return kernel ? OK : INVALID_PTX;
}
Result cuLibraryUnload(void *library) { return OK; }
Result cuLibraryGetKernel(void **kernel, void *library, const char *name) {
  *kernel = library;
  return strcmp(((Kernel *)library)->entry, name) ? NOT_FOUND : OK;
}
Result cuLibraryGetKernelCount(unsigned *count, void *library) { *count = 1; return OK; }
Result cuLibraryGetModule(void **module, void *library) { *module = library; return OK; }
Result cuLibraryGetGlobal(u64 *address, size_t *bytes, void *library, const char *name) { return NOT_FOUND; }
Result cuModuleLoadDataEx(void **module, const void *code, unsigned count, void *options, void *values) {
  return cuLibraryLoadData(module, code, options, values, count, 0, 0, 0);
}
Result cuModuleLoadData(void **module, const void *code) { return cuModuleLoadDataEx(module, code, 0, 0, 0); }
Result cuModuleUnload(void *module) { return OK; }
Result cuModuleGetFunction(void **function, void *module, const char *name) { return cuLibraryGetKernel(function, module, name); }
Result cuModuleGetGlobal(u64 *address, size_t *bytes, void *module, const char *name) { return NOT_FOUND; }
Result cuKernelGetFunction(void **function, void *kernel) { *function = kernel; return OK; }
Result cuKernelGetLibrary(void **library, void *kernel) { *library = kernel; return OK; }
Result cuFuncGetModule(void **module, void *function) { *module = function; return OK; }
Result cuKernelGetName(const char **name, void *kernel) { *name = ((Kernel *)kernel)->entry; return OK; }
Result cuFuncGetName(const char **name, void *function) { return cuKernelGetName(name, function); }
Result cuFuncGetAttribute(int *value, int attribute, void *function) {
  enum { MOST_THREADS_OF_IT = 0, SHARED_BYTES = 1, LOCAL_BYTES = 3, REGISTERS = 4 };
  Kernel *k = function;
  *value = attribute == MOST_THREADS_OF_IT ? MOST_THREADS : attribute == SHARED_BYTES ? (int)k->shared_bytes
         : attribute == LOCAL_BYTES ? (int)k->local_bytes : attribute == REGISTERS ? 64 : 0;
  return OK;
}
Result cuKernelGetAttribute(int *value, int attribute, void *kernel, int device) { return cuFuncGetAttribute(value, attribute, kernel); }
Result cuKernelSetAttribute(int attribute, int value, void *kernel, int device) { return OK; }
Result cuFuncSetAttribute(void *function, int attribute, int value) { return OK; }
Result cuFuncGetParamInfo(void *function, size_t index, size_t *offset, size_t *size) {
  Kernel *k = function;
  if (index >= k->parameter_count) return INVALID_VALUE;
  *offset = k->parameters[index].offset;
  if (size) *size = k->parameters[index].size;
  return OK;
}
Result cuKernelGetParamInfo(void *kernel, size_t index, size_t *offset, size_t *size) { return cuFuncGetParamInfo(kernel, index, offset, size); }

/* The arrays among the arguments. Numba passes one as seven words or more: two of 0, the number of items, their size, the address, then
   lengths and strides. What is no array of Numba's, or has gaps between its items, may be any part of its allocation. */
static u32 find_extents(const Kernel *k, const u8 *parameters, Extent *extents) {
  u64 words[5] = {1, 1, 1, 1, 1}; /* this parameter and those before it */
  u32 count = 0;
  for (u32 i = 0; i < k->parameter_count; i++) {
    memmove(words, words + 1, sizeof words - sizeof *words);
    words[4] = 0;
    memcpy(&words[4], parameters + k->parameters[i].offset, k->parameters[i].size < 8 ? k->parameters[i].size : 8);
    Allocation *a = k->parameters[i].size == 8 ? holding(words[4], 1) : 0;
    if (!a) continue;
    int is_array = !k->strided && !words[0] && !words[1] && words[3] && words[3] <= 16 && holding(words[4], words[2] * words[3]) == a;
    extents[count++] = is_array ? (Extent){words[4], words[2] * words[3], &a->memory} : (Extent){a->memory.base, a->memory.size, &a->memory};
  }
  return count;
}

static Result launch(const Kernel *k, const u32 *blocks, const u32 *threads, u32 shared, const u8 *parameters) {
  if (need_context()) return INVALID_CONTEXT;
  ((Kernel *)k)->launches++;
  if (k->instead) k = k->instead;
  u64 block_size = (u64)threads[0] * threads[1] * threads[2], grid = (u64)blocks[0] * blocks[1] * blocks[2];
  if (!grid || !block_size || block_size > MOST_THREADS || threads[2] > 64 || blocks[0] > 2147483647u || blocks[1] > 65535 || blocks[2] > 65535 ||
      k->shared_bytes + shared > MOST_SHARED) return INVALID_VALUE;
  if (grid * block_size >= ATOMIC) return NOT_SUPPORTED; /* threads have ids of 31 bits */
  Finding found;
  pthread_mutex_lock(&lock);
  if (machine_steps_are_spent()) {
    for (Allocation *a = allocations; a; a = a->next) memory_written(&a->memory, 0, a->memory.size);
    machine_restart_steps();
  }
  Extent *extents = calloc(k->parameter_count + 1, sizeof *extents);
  machine_run(k, parameters, blocks, threads, shared, extents, find_extents(k, parameters, extents), seed + launches++, &found);
  free(extents);
  if (found.kind[0]) keep(&found);
  pthread_mutex_unlock(&lock);
  return !found.kind[0] ? OK : !strcmp(found.kind, "out of bounds") ? ILLEGAL_ADDRESS : !strcmp(found.kind, "misaligned") ? MISALIGNED : LAUNCH_FAILED;
}

Result cuLaunchKernel(void *function, u32 bx, u32 by, u32 bz, u32 tx, u32 ty, u32 tz, u32 shared, void *stream, void **parameters, void **extra) {
  enum { END = 0, BUFFER = 1, SIZE = 2 };
  const Kernel *k = function;
  u8 *packed = calloc(1, k->parameter_bytes + 8);
  if (parameters)
    for (u32 i = 0; i < k->parameter_count; i++) memcpy(packed + k->parameters[i].offset, parameters[i], k->parameters[i].size);
  else if (extra) {
    const void *buffer = 0; size_t size = 0;
    for (; (size_t)*extra != END; extra += 2)
      if ((size_t)*extra == BUFFER) buffer = extra[1]; else if ((size_t)*extra == SIZE) size = *(size_t *)extra[1];
    if (buffer) memcpy(packed, buffer, size < k->parameter_bytes ? size : k->parameter_bytes);
  }
  Result result = !parameters && !extra && k->parameter_count ? INVALID_VALUE
                : launch(k, (u32[]){bx, by, bz}, (u32[]){tx, ty, tz}, shared, packed);
  free(packed);
  return result;
}
typedef struct { u32 bx, by, bz, tx, ty, tz, shared; void *stream, *attributes; u32 attribute_count; } Config;
Result cuLaunchKernelEx(const Config *c, void *function, void **parameters, void **extra) {
  return cuLaunchKernel(function, c->bx, c->by, c->bz, c->tx, c->ty, c->tz, c->shared, c->stream, parameters, extra);
}

/* --- errors, and the way to all functions ------------------------------------------------------------------------------------------ */
static const struct { int code; const char *name; } errors[] = {
  {OK, "CUDA_SUCCESS"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"}, {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
  {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"}, {INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
  {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {MISALIGNED, "CUDA_ERROR_MISALIGNED_ADDRESS"},
  {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}, {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"}};
Result cuGetErrorName(int error, const char **text) {
  *text = "CUDA_ERROR_UNKNOWN";
  for (u32 k = 0; k < sizeof errors / sizeof *errors; k++) if (errors[k].code == error) *text = errors[k].name;
  return OK;
}
Result cuGetErrorString(int error, const char **text) {
  if (error >= ILLEGAL_ADDRESS && error <= LAUNCH_FAILED && finding_count) { *text = findings[finding_count - 1].text; return OK; }
  return cuGetErrorName(error, text);
}

Result cuGetProcAddress(const char *name, void **function, int version, u64 flags, int *status) {
  Dl_info here;
  char plain[200];
  snprintf(plain, sizeof plain, "%s", name);
  for (const char *const *suffix = (const char *[]){"_ptsz", "_v2", "_v3", 0}; *suffix; suffix++) {
    size_t length = strlen(plain), end = strlen(*suffix);
    if (length > end && !strcmp(plain + length - end, *suffix)) plain[length - end] = 0;
  }
  dladdr((void *)cuInit, &here);
  void *self = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  *function = dlsym(self, plain);
  dlclose(self);
  if (status) *status = *function ? 0 : 1;
  return *function ? OK : NOT_FOUND;
}
Result cuGetProcAddress_v2(const char *name, void **function, int version, u64 flags, int *status) {
  return cuGetProcAddress(name, function, version, flags, status);
}
