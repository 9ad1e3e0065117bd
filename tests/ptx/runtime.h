/* What the C code of a kernel is made with: the threads of a block, checks of each access, and arithmetic that C does not define as PTX.

   Every cell of memory, a word or a byte, has a shadow: who wrote it last and when, who read it last and when. Time is counted in steps: one
   ends at each barrier, where threads of a warp wait for each other, and with a block. Accesses of two threads that no barrier parts are a
   race, also if they happen to be far from each other. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef unsigned __int128 u128;
typedef int8_t s8; typedef int16_t s16; typedef int32_t s32; typedef int64_t s64; typedef __int128 s128;
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { PAGE_BITS = 12, WORD_SHIFT = 2, HOST_STEP = 1, FIRST_STEP = 2 };
#define MANY 0xFFFFFFFFu    /* several threads of this block have read, in this step */
#define FOREIGN 0xFFFFFFFEu /* threads of several blocks have read */
#define ATOMIC 0x80000000u  /* added to a writer: by an atomic instruction */

typedef struct { u32 writer, written, reader, read; } Cell;  /* threads by id, steps; 0 is nobody and never */
typedef struct { Cell *cells; u32 shift; } Page;              /* a cell is 1 << shift bytes: a word until bytes are accessed */
typedef struct { u64 base, size; Page *pages; } Memory;
typedef struct { u64 base, size; Memory *memory; } Extent;    /* an array */

typedef struct { u32 id, step; } Release;                     /* the thread of a block that last ended a fence by an atomic, and when */
typedef struct {
  u8 *shared; u64 shared_size; Memory shadow;                 /* shared memory; its shadow's base is 0 */
  u32 threads[3], blocks[3], index[3];
  u32 now, step, block_step, launch_step;                     /* this step; the first since the last barrier, of the block, of the launch */
  Extent *extents, *last; u32 extent_count;
  Release *releases; int acquired;                            /* of each block; whether this one has made an atomic access */
} Block;

enum { WARP = 32, POSTED = 8 };
typedef enum { READY, AT_BARRIER, AT_WARP, DONE } State;
typedef struct Thread {
  u64 sp; u32 thread[3], number, id; State state; u32 site;   /* site: the line of what it waits at */
  const u8 *parameters; u8 *local, *local_written; u64 local_size; Block *block;
  struct Thread *warp; u32 lanes, mask, warp_step, turn;      /* lane 0; how many; those that it waits for, and since when it did not */
  int fenced;                                                 /* whether a fence ended all that it has written */
  u32 posted[2][POSTED];                                      /* what it tells its warp, in turns: the values of the turn before stay */
} Thread;

typedef struct { u32 line; const char *file; u32 source; } Line;
typedef struct { u32 offset, size; } Parameter;
typedef struct Kernel {
  const struct Kernel *instead;                               /* what runs in its place, with the same parameters; 0 for itself */
  const char *entry, *name; void (*run)(Thread *);
  const Parameter *parameters; u32 parameter_count, parameter_bytes;
  u32 shared_bytes, local_bytes, strided;
  const Line *lines; u32 line_count; u64 *visits; u32 visit_count; u64 launches;
} Kernel;

/* --- what the device offers a kernel; none of the faults returns -------------------------------------------------------------------- */
extern void ptx_barrier(Thread *, u32 line);
extern void ptx_warp(Thread *, u32 mask, u32 line);           /* wait for the lanes of a mask */
extern void ptx_trap(Thread *, u32 line);
extern void ptx_misaligned(Thread *, const char *space, u64 address, u32 bytes, int write, u32 line);
extern Extent *ptx_extent(Thread *, u64 address, u32 bytes, int write, u32 line);
extern void ptx_outside(Thread *, const char *space, u64 address, u64 size, u32 bytes, int write, u32 line);
extern Page *ptx_page(Memory *, u64 offset, u32 bytes);
extern void ptx_conflict(Thread *, Memory *, const Cell *, u64 offset, int write, u32 line);
extern void ptx_atomic(Thread *, Memory *, u64 offset, u32 bytes, u32 line);
extern void ptx_unwritten(Thread *, const char *space, u64 offset, u32 line);

/* --- checks ------------------------------------------------------------------------------------------------------------------------ */
#ifdef UNCHECKED
static inline u8 *checked_global(Thread *t, u64 a, u32 n, int write, u32 line) { return (u8 *)a; }
static inline u8 *checked_shared(Thread *t, u64 a, u32 n, int write, u32 line) { return t->block->shared + a; }
static inline u8 *checked_local(Thread *t, u64 a, u32 n, int write, u32 line) { return t->local + a; }
static inline u8 *checked_generic(Thread *t, u64 a, u32 n, int write, u32 line) { return (u8 *)a; }
static inline u8 *atomic_global(Thread *t, u64 a, u32 n, u32 line) { return (u8 *)a; }
static inline u8 *atomic_shared(Thread *t, u64 a, u32 n, u32 line) { return t->block->shared + a; }
#else
/* Look at the cells of an access, and note it. `first` is the step before which no access can be in conflict with this one. */
static inline void check_cells(Thread *t, Memory *memory, u64 offset, u32 n, int write, u32 first, u32 initial, u32 line) {
  Block *b = t->block;
  Page *page = &memory->pages[offset >> PAGE_BITS];
  if (UNLIKELY(!page->cells || (n < 4 && page->shift))) page = ptx_page(memory, offset, n);
  u32 now = b->now, step = b->step, block_step = b->block_step, id = t->id;
  Cell *c = page->cells + ((offset & ((1 << PAGE_BITS) - 1)) >> page->shift);
  for (Cell *end = c + (n >> page->shift); c < end; c++) {
    if (UNLIKELY(c->writer != id && c->written >= first && (c->written >= step || c->written < block_step)))
      ptx_conflict(t, memory, c, offset, write, line);
    if (write) {
      if (UNLIKELY(c->reader != id && c->read >= first && (c->read >= step || c->read < block_step || c->reader == FOREIGN)))
        ptx_conflict(t, memory, c, offset, write, line);
      c->writer = id; c->written = now;
    } else {
      if (UNLIKELY(c->written < initial)) ptx_unwritten(t, memory->base ? "global" : "shared", offset, line);
      if (c->read >= step) { if (c->reader != id && c->reader != FOREIGN) c->reader = MANY; }
      else if (c->read < first) c->reader = id;
      else if (c->read < block_step) c->reader = FOREIGN;
      else if (c->reader != FOREIGN) c->reader = id;
      c->read = now;
    }
  }
}
static inline Extent *bounded_global(Thread *t, u64 a, u32 n, int write, u32 line) {
  Extent *e = t->block->last;
  if (UNLIKELY(a & (n - 1))) ptx_misaligned(t, "global", a, n, write, line);
  if (UNLIKELY(a < e->base || a + n > e->base + e->size)) e = ptx_extent(t, a, n, write, line);
  return e;
}
static inline void bounded_shared(Thread *t, u64 a, u32 n, int write, u32 line) {
  u64 size = t->block->shared_size;
  if (UNLIKELY(a & (n - 1))) ptx_misaligned(t, "shared", a, n, write, line);
  if (UNLIKELY(a > size || a + n > size)) ptx_outside(t, "shared", a, size, n, write, line);
}
static inline u8 *checked_global(Thread *t, u64 a, u32 n, int write, u32 line) {
  Extent *e = bounded_global(t, a, n, write, line);
  check_cells(t, e->memory, a - e->memory->base, n, write, t->block->launch_step, HOST_STEP, line);
  return (u8 *)a;
}
static inline u8 *checked_shared(Thread *t, u64 a, u32 n, int write, u32 line) {
  Block *b = t->block;
  bounded_shared(t, a, n, write, line);
  check_cells(t, &b->shadow, a, n, write, b->block_step, b->block_step, line);
  return b->shared + a;
}
static inline u8 *atomic_global(Thread *t, u64 a, u32 n, u32 line) {
  Extent *e = bounded_global(t, a, n, 1, line);
  ptx_atomic(t, e->memory, a - e->memory->base, n, line);
  return (u8 *)a;
}
static inline u8 *atomic_shared(Thread *t, u64 a, u32 n, u32 line) {
  bounded_shared(t, a, n, 1, line);
  ptx_atomic(t, &t->block->shadow, a, n, line);
  return t->block->shared + a;
}
static inline u8 *checked_local(Thread *t, u64 a, u32 n, int write, u32 line) {
  if (UNLIKELY(a & (n - 1))) ptx_misaligned(t, "local", a, n, write, line);
  if (UNLIKELY(a > t->local_size || a + n > t->local_size)) ptx_outside(t, "local", a, t->local_size, n, write, line);
  if (write) memset(t->local_written + a, 1, n);
  else for (u32 k = 0; k < n; k++) if (UNLIKELY(!t->local_written[a + k])) ptx_unwritten(t, "local", a + k, line);
  return t->local + a;
}
static inline u8 *checked_generic(Thread *t, u64 a, u32 n, int write, u32 line) {
  Block *b = t->block;
  if (a - (u64)b->shared < b->shared_size) return checked_shared(t, a - (u64)b->shared, n, write, line);
  if (a - (u64)t->local < t->local_size) return checked_local(t, a - (u64)t->local, n, write, line);
  return checked_global(t, a, n, write, line);
}
#endif
static inline u8 *atomic_generic(Thread *t, u64 a, u32 n, u32 line) {
  Block *b = t->block;
  return a - (u64)b->shared < b->shared_size ? atomic_shared(t, a - (u64)b->shared, n, line) : atomic_global(t, a, n, line);
}

/* --- warps ------------------------------------------------------------------------------------------------------------------------- */
static inline u32 lane_of(const Thread *t) { return t->number % WARP; }
/* Hand a value to the lanes of a mask, and wait for theirs, which `told` reads. */
static inline void tell(Thread *t, const u32 *values, u32 count, u32 mask, u32 line) {
  t->turn ^= 1;
  memcpy(t->posted[t->turn], values, 4 * count);
  ptx_warp(t, mask, line);
}
static inline const u32 *told(const Thread *t, u32 lane) { return t->warp[lane].posted[t->turn]; }
/* shfl: whose value this lane gets; its own where there is none, and then *in_range is 0. */
static inline u32 shuffled(Thread *t, char mode, u32 value, u32 b, u32 c, u32 mask, u8 *in_range, u32 line) {
  u32 lane = lane_of(t), clamp = c & 31, segment = c >> 8 & 31, most = (lane & segment) | (clamp & ~segment), least = lane & segment, from = lane;
  b &= 31;
  if (mode == 'u') { *in_range = (int)(lane - b) >= (int)most; from = lane - b; }
  else if (mode == 'd') { from = lane + b; *in_range = from <= most; }
  else { from = mode == 'b' ? lane ^ b : least | (b & ~segment); *in_range = from <= most; }
  if (!*in_range) from = lane;
  tell(t, &value, 1, mask, line);
  return from < t->lanes ? *told(t, from) : value;
}
static inline u32 ballot(Thread *t, u32 value, u32 mask, u32 line) {
  u32 r = 0;
  tell(t, &value, 1, mask, line);
  for (u32 k = 0; k < t->lanes; k++) if (mask >> k & 1) r |= (u32)(*told(t, k) != 0) << k;
  return r;
}
static inline float tf32(u32 x) { float f; x &= 0xFFFFE000u; memcpy(&f, &x, 4); return f; }
static inline u32 to_tf32(u32 x) { return (x & 0x7F800000u) == 0x7F800000u ? (x & 0x7FFFFFu ? 0x7FFFFFFFu : x) : (x + 0x1000u) & 0xFFFFE000u; }
/* mma m16n8k8: four products of each lane, of A (16 x 8), B (8 x 8) and C, whose parts the lanes hold as the PTX ISA says. The sums are
   taken in float64 and rounded once; a GPU may round another last bit. */
static inline void multiply_m16n8k8(Thread *t, u32 *d, const u32 *a, const u32 *b, const float *c, u32 line) {
  u32 values[6], lane = lane_of(t), group = lane / 4, column = lane % 4;
  memcpy(values, a, 16); memcpy(values + 4, b, 8);
  tell(t, values, 6, 0xFFFFFFFFu, line);
  for (u32 k = 0; k < 4; k++) {
    double sum = c[k];
    for (u32 term = 0; term < 8; term++) {
      const u32 *left = told(t, group * 4 + term % 4), *right = told(t, (column * 2 + k % 2) * 4 + term % 4);
      sum += (double)tf32(left[k / 2 + term / 4 * 2]) * (double)tf32(right[4 + term / 4]);
    }
    float rounded = (float)sum;
    memcpy(&d[k], &rounded, 4);
  }
}

/* --- arithmetic -------------------------------------------------------------------------------------------------------------------- */
static inline float F(u32 x) { float f; memcpy(&f, &x, 4); return f; }
static inline u32 U(float f) { u32 x; memcpy(&x, &f, 4); return x; }
static inline double D(u64 x) { double f; memcpy(&f, &x, 8); return f; }
static inline u64 UD(double f) { u64 x; memcpy(&x, &f, 8); return x; }
static inline float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
/* With another rounding than to the nearest. The barriers keep the product between the changes of the mode. */
static inline float fma_rounded(float a, float b, float c, u32 mode) {
  u32 usual = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr((usual & ~0x6000u) | mode);
  __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c));
  float r = fmaf(a, b, c);
  __asm__ volatile("" : "+x"(r));
  __builtin_ia32_ldmxcsr(usual);
  return r;
}
static inline float fma_rm(float a, float b, float c) { return fma_rounded(a, b, c, 0x2000); }
static inline float fma_rp(float a, float b, float c) { return fma_rounded(a, b, c, 0x4000); }
static inline float fma_rz(float a, float b, float c) { return fma_rounded(a, b, c, 0x6000); }
static inline u64 shifted_left(u64 x, u32 count, u32 bits) { return count < bits ? x << count : 0; }
static inline u64 shifted_right_u(u64 x, u32 count, u32 bits) { return count < bits ? x >> count : 0; }
static inline s64 shifted_right_s(s64 x, u32 count, u32 bits) { return x >> (count < bits ? count : bits - 1); }
static inline u32 funnel_l(u32 low, u32 high, u32 count) { return ((u64)high << 32 | low) << (count & 31) >> 32; }
static inline u32 funnel_r(u32 low, u32 high, u32 count) { return ((u64)high << 32 | low) >> (count & 31); }
static inline u64 div_u(u64 a, u64 b) { return b ? a / b : ~0ull; } /* by 0: not defined by PTX, no trap */
static inline u64 rem_u(u64 a, u64 b) { return b ? a % b : a; }
static inline s64 div_s(s64 a, s64 b) { return !b ? -1 : b == -1 ? (s64)(0 - (u64)a) : a / b; }
static inline s64 rem_s(s64 a, s64 b) { return !b ? a : b == -1 ? 0 : a % b; }
static inline s64 to_integer(double x, s64 low, u64 high) {
  return isnan(x) ? 0 : x <= (double)low ? low : x >= (double)high ? (s64)high : high > INT64_MAX ? (s64)(u64)x : (s64)x;
}
static inline u32 lop3(u32 a, u32 b, u32 c, u32 table) {
  u32 r = 0;
  for (int k = 0; k < 8; k++) if (table >> k & 1) r |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
  return r;
}
static inline u32 prmt(u32 a, u32 b, u32 selector) {
  u64 both = (u64)b << 32 | a; u32 r = 0;
  for (int k = 0; k < 4; k++) {
    u32 n = selector >> (4 * k) & 15, byte = both >> (8 * (n & 7)) & 255;
    r |= (n & 8 ? (byte & 128 ? 255 : 0) : byte) << (8 * k);
  }
  return r;
}
static inline u64 low_bits(u32 n) { return n > 63 ? ~0ull : (1ull << n) - 1; }
static inline u64 extracted_u(u64 a, u32 at, u32 n) { at &= 255; return at > 63 ? 0 : a >> at & low_bits(n & 255); }
static inline s64 extracted_s(s64 a, u32 at, u32 n) { /* `a` has its sign in all bits above its own */
  at &= 255; n &= 255;
  return !n ? 0 : n > 63 ? a >> (at > 63 ? 63 : at) : (s64)((u64)(a >> (at > 63 ? 63 : at)) << (64 - n)) >> (64 - n);
}
static inline u64 inserted(u64 a, u64 b, u32 at, u32 n) {
  at &= 255;
  u64 mask = at > 63 ? 0 : low_bits(n & 255) << at;
  return at > 63 ? b : (b & ~mask) | (a << at & mask);
}
static inline u32 popc(u32 x) { return __builtin_popcount(x); }
static inline u32 clz(u32 x) { return x ? __builtin_clz(x) : 32; }
static inline u32 brev(u32 x) { u32 r = 0; for (int k = 0; k < 32; k++) r |= (x >> k & 1) << (31 - k); return r; }
