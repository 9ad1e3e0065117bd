/* Runs the blocks of a launch one after the other, in a shuffled order, and the threads of a block as fibres on one CPU thread: each runs
   up to its next barrier, in an order that is shuffled anew. The first fault ends the launch. */
#define _GNU_SOURCE
#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STACK = 128 * 1024 };

static u32 step = FIRST_STEP;
static u64 scheduler_sp, random_state;
static Thread *current;
static const Kernel *running;
static Finding *finding;

void ptx_switch(u64 *save, u64 to);
__asm__(".text\n.type ptx_switch,@function\nptx_switch:\n pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        " movq %rsp,(%rdi)\n movq %rsi,%rsp\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");

static u32 drawn(u32 below) { /* xorshift */
  random_state ^= random_state << 13; random_state ^= random_state >> 7; random_state ^= random_state << 17;
  return (u32)(random_state >> 32) % below;
}
static void shuffle(u32 *order, u32 n) {
  for (u32 i = n; i > 1; i--) { u32 j = drawn(i), kept = order[i - 1]; order[i - 1] = order[j]; order[j] = kept; }
}

/* --- faults ------------------------------------------------------------------------------------------------------------------------ */
static void report(const Thread *t, const char *kind, u32 line, const char *format, ...) {
  if (finding->kind[0]) return;
  const u32 *index = t->block->index;
  char what[400], where[500] = "";
  va_list arguments;
  va_start(arguments, format); vsnprintf(what, sizeof what, format, arguments); va_end(arguments);
  for (u32 k = 0; k < running->line_count; k++) if (running->lines[k].line == line)
    snprintf(where, sizeof where, ", %s:%u", running->lines[k].file, running->lines[k].source);
  snprintf(finding->kind, sizeof finding->kind, "%s", kind);
  snprintf(finding->text, sizeof finding->text, "%s: %s: %s (PTX line %u%s; block (%u, %u, %u), thread (%u, %u, %u))", running->name,
           kind, what, line, where, index[0], index[1], index[2], t->thread[0], t->thread[1], t->thread[2]);
}
static void leave(Thread *t) { t->state = DONE; for (;;) ptx_switch(&t->sp, scheduler_sp); }
static const char *verb(int write) { return write ? "store" : "load"; }

void ptx_trap(Thread *t, u32 line) { report(t, "trap", line, "expected the end of the kernel, got a trap"); leave(t); }

void ptx_misaligned(Thread *t, const char *space, u64 address, u32 bytes, int write, u32 line) {
  report(t, "misaligned", line, "%s of %u bytes of %s memory: expected an address that is a multiple of %u, got %u bytes more",
         verb(write), bytes, space, bytes, (u32)(address % bytes));
  leave(t);
}

void ptx_outside(Thread *t, const char *space, u64 address, u64 size, u32 bytes, int write, u32 line) {
  report(t, "out of bounds", line, "%s of %u bytes of %s memory: expected an offset within %llu bytes, got %lld", verb(write), bytes, space,
         (unsigned long long)size, (long long)address);
  leave(t);
}

Extent *ptx_extent(Thread *t, u64 address, u32 bytes, int write, u32 line) {
  Block *b = t->block;
  u64 nearest = ~0ull; const Extent *near = 0; long long offset = 0;
  for (u32 k = 0; k < b->extent_count; k++) {
    Extent *e = &b->extents[k];
    if (address >= e->base && address + bytes <= e->base + e->size) return b->last = e;
    u64 distance = address < e->base ? e->base - address : address + bytes - e->base - e->size;
    if (distance < nearest) { nearest = distance; near = e; offset = (long long)(address - e->base); }
  }
  if (!near) report(t, "out of bounds", line, "%s of %u bytes of global memory: expected none, as the kernel is given no array", verb(write), bytes);
  else report(t, "out of bounds", line, "%s of %u bytes of global memory: expected an offset within the %llu bytes of an array, got %lld",
              verb(write), bytes, (unsigned long long)near->size, offset);
  leave(t);
  return 0;
}

void ptx_unwritten(Thread *t, const char *space, u64 offset, u32 line) {
  report(t, "unwritten", line, "load of %s memory: expected a value that something has written, got byte %llu, which nothing has", space,
         (unsigned long long)offset);
  leave(t);
}

/* Whether the lanes of a warp have waited for each other since an access of one of them. */
static int is_before_in_warp(const Thread *t, u32 id, u32 when) {
  u32 first = t->id - t->number % WARP; /* the id of lane 0 */
  return id >= first && id < first + t->lanes && when < t->warp_step;
}

/* Whether a thread of another block had ended a fence by an atomic after an access, before this block made an atomic access of its own. */
static int is_released(const Block *b, u32 id, u32 when) {
  u32 n = b->threads[0] * b->threads[1] * b->threads[2];
  if (id >= FOREIGN || !b->acquired || when >= b->block_step) return 0;
  Release r = b->releases[(id - 1) / n];
  return when < r.step || (id == r.id && when == r.step);
}

static int is_between(const Block *b, u32 first, u32 when) { return when >= first && (when >= b->step || when < b->block_step); }

/* The access that another one is in conflict with: 0 if there is none, 1 if it was the last store, 2 if it was a load. */
static int conflict(const Thread *t, const Memory *memory, const Cell *c, int write, int atomic) {
  const Block *b = t->block;
  u32 first = memory->base ? b->launch_step : b->block_step, writer = c->writer & ~ATOMIC;
  if (writer != t->id && !(atomic && c->writer & ATOMIC) && is_between(b, first, c->written) && !is_before_in_warp(t, writer, c->written) &&
      !is_released(b, writer, c->written)) return 1;
  if (write && c->reader != t->id && (is_between(b, first, c->read) || (c->read >= first && c->reader == FOREIGN)) &&
      !is_before_in_warp(t, c->reader, c->read) && !is_released(b, c->reader, c->read)) return 2;
  return 0;
}

static void report_race(Thread *t, const Memory *memory, const Cell *c, u64 offset, int write, int with, u32 line) {
  Block *b = t->block;
  u32 id = with == 1 ? c->writer & ~ATOMIC : c->reader, n = b->threads[0] * b->threads[1] * b->threads[2];
  char other[80] = "several threads";
  if (id < FOREIGN) snprintf(other, sizeof other, "thread %u of block %u", (id - 1) % n, (id - 1) / n);
  report(t, "race", line, "%s of byte %llu of %s memory: expected a barrier between it and the %s by %s, got none", verb(write),
         (unsigned long long)offset, memory->base ? "global" : "shared", verb(with == 1), other);
  leave(t);
}

void ptx_conflict(Thread *t, Memory *memory, const Cell *c, u64 offset, int write, u32 line) {
  int with = conflict(t, memory, c, write, 0);
  if (with) report_race(t, memory, c, offset, write, with, line);
}

void ptx_atomic(Thread *t, Memory *memory, u64 offset, u32 bytes, u32 line) {
  Block *b = t->block;
  const Page *page = ptx_page(memory, offset, bytes);
  Cell *c = page->cells + ((offset & ((1 << PAGE_BITS) - 1)) >> page->shift);
  for (Cell *end = c + (bytes >> page->shift); c < end; c++) {
    if (c->written < (memory->base ? HOST_STEP : b->block_step)) ptx_unwritten(t, memory->base ? "global" : "shared", offset, line);
    int with = conflict(t, memory, c, 1, 1);
    if (with) report_race(t, memory, c, offset, 1, with, line);
    c->writer = t->id | ATOMIC; c->written = b->now;
  }
  if (!memory->base) return;
  if (t->fenced) b->releases[(t->id - 1 - t->number) / (b->threads[0] * b->threads[1] * b->threads[2])] = (Release){t->id, b->now};
  b->acquired = 1;
}

/* --- shadows ----------------------------------------------------------------------------------------------------------------------- */
static u64 page_count(const Memory *m) { return (m->size >> PAGE_BITS) + 1; }
void memory_open(Memory *m, u64 base, u64 size) { m->base = base; m->size = size; m->pages = calloc(page_count(m), sizeof(Page)); }
void memory_close(Memory *m) {
  for (u64 k = 0; k < page_count(m); k++) free(m->pages[k].cells);
  free(m->pages);
  m->pages = 0;
}

Page *ptx_page(Memory *m, u64 offset, u32 bytes) {
  Page *page = &m->pages[offset >> PAGE_BITS];
  u32 words = 1 << (PAGE_BITS - WORD_SHIFT);
  if (!page->cells) { page->shift = WORD_SHIFT; page->cells = calloc(words, sizeof(Cell)); }
  if (bytes < 4 && page->shift) {
    Cell *cells = malloc(sizeof(Cell) << PAGE_BITS);
    for (u32 k = 0; k < 1 << PAGE_BITS; k++) cells[k] = page->cells[k >> WORD_SHIFT];
    free(page->cells);
    page->cells = cells; page->shift = 0;
  }
  return page;
}

void memory_written(Memory *m, u64 offset, u64 bytes) { /* by the host */
  for (u64 end = offset + bytes; offset < end;) {
    u64 stop = (offset | ((1 << PAGE_BITS) - 1)) + 1;
    if (stop > end) stop = end;
    Page *page = ptx_page(m, offset, (offset | stop) & 3 ? 1 : 4);
    u32 mask = (1 << PAGE_BITS) - 1;
    for (u64 k = (offset & mask) >> page->shift; k < ((stop - 1) & mask) / (1u << page->shift) + 1; k++)
      page->cells[k] = (Cell){0, HOST_STEP, 0, 0};
    offset = stop;
  }
}

/* --- the scheduler ----------------------------------------------------------------------------------------------------------------- */
static void wait_as(Thread *t, State state, u32 line) { t->state = state; t->site = line; ptx_switch(&t->sp, scheduler_sp); }
void ptx_barrier(Thread *t, u32 line) { wait_as(t, AT_BARRIER, line); }
void ptx_warp(Thread *t, u32 mask, u32 line) { t->mask = mask; wait_as(t, AT_WARP, line); }
static void start(void) { running->run(current); current->site = 0; leave(current); }

static Thread *threads; static u8 *stacks; static u32 *order, thread_capacity;
static void make_room(u32 n) { /* kept from launch to launch */
  if (n <= thread_capacity) return;
  if (stacks) munmap(stacks, (u64)thread_capacity * STACK);
  threads = realloc(threads, n * sizeof *threads);
  order = realloc(order, n * sizeof *order);
  stacks = mmap(0, (u64)n * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  thread_capacity = n;
}

static void prepare(Block *b, u32 block, u32 n, const u8 *parameters, u8 *local) {
  u64 local_bytes = running->local_bytes;
  for (u32 k = 0; k < n; k++) {
    u8 *mine = local + 2 * k * local_bytes;
    u64 *top = (u64 *)(((u64)stacks + (u64)(k + 1) * STACK) & ~63ull);
    *--top = 0; *--top = (u64)start;
    for (int r = 0; r < 6; r++) *--top = 0;
    threads[k] = (Thread){.sp = (u64)top, .thread = {k % b->threads[0], k / b->threads[0] % b->threads[1], k / b->threads[0] / b->threads[1]},
                          .number = k, .id = block * n + k + 1, .parameters = parameters, .local = mine, .local_written = mine + local_bytes,
                          .local_size = local_bytes, .block = b, .warp = &threads[k / WARP * WARP],
                          .lanes = n - k / WARP * WARP < WARP ? n - k / WARP * WARP : WARP};
    order[k] = k;
  }
  if (local_bytes) memset(local, 0, 2 * n * local_bytes);
}

static const char *place(const Thread *t, char *text, size_t size) {
  if (t->state == DONE) snprintf(text, size, "at its end");
  else snprintf(text, size, "at the %s of PTX line %u", t->state == AT_WARP ? "warp instruction" : "barrier", t->site);
  return text;
}

/* Let the lanes of each warp go on that wait for each other, and for nobody else. Returns how many. */
static u32 release_warps(Block *b, u32 n) {
  u32 released = 0;
  for (u32 k = 0; k < n; k++) {
    Thread *t = &threads[k];
    if (t->state != AT_WARP) continue;
    int met = 1;
    for (u32 lane = 0; lane < t->lanes; lane++) {
      const Thread *other = &t->warp[lane];
      if (t->mask >> lane & 1) met &= other->state == AT_WARP && other->site == t->site && other->mask == t->mask;
    }
    if (!met) continue;
    b->now = step++;
    for (u32 lane = 0; lane < t->lanes; lane++) if (t->mask >> lane & 1) {
      t->warp[lane].state = READY; t->warp[lane].warp_step = b->now; released++;
    }
  }
  return released;
}

/* Whether the block can go on: all of its threads are done, or all wait at one barrier. */
static int has_met(Block *b, u32 n) {
  char got[80];
  for (u32 k = 0; k < n; k++) if (threads[k].state == AT_WARP) {
    Thread *late = &threads[k], *missing = late;
    for (u32 lane = 0; lane < late->lanes; lane++) {
      Thread *other = &late->warp[lane];
      if (late->mask >> lane & 1 && (other->state != AT_WARP || other->site != late->site || other->mask != late->mask)) missing = other;
    }
    report(late, "divergent warp", late->site, "expected every lane of the mask %#x at this instruction, got lane %u %s", late->mask,
           missing->number % WARP, place(missing, got, sizeof got));
    return 0;
  }
  for (u32 k = 1; k < n; k++) if (threads[k].site != threads[0].site) {
    Thread *late = threads[k].site ? &threads[k] : &threads[0], *other = late == &threads[0] ? &threads[k] : &threads[0];
    report(late, "divergent barrier", late->site, "expected every thread of the block at this barrier, got thread (%u, %u, %u) %s",
           other->thread[0], other->thread[1], other->thread[2], place(other, got, sizeof got));
    return 0;
  }
  for (u32 k = 0; k < n; k++) if (threads[k].state == AT_BARRIER) threads[k].state = READY;
  return threads[0].site != 0;
}

static void run_ready(u32 n) {
  shuffle(order, n);
  for (u32 k = 0; k < n && !finding->kind[0]; k++) {
    current = &threads[order[k]];
    if (current->state == READY) ptx_switch(&scheduler_sp, current->sp);
  }
}

static void run_block(Block *b, u32 block, u32 n, const u8 *parameters, u8 *local) {
  b->index[0] = block % b->blocks[0]; b->index[1] = block / b->blocks[0] % b->blocks[1]; b->index[2] = block / b->blocks[0] / b->blocks[1];
  b->now = b->step = b->block_step = step++;
  b->acquired = 0;
  memset(b->shared, 0xFF, b->shared_size);
  prepare(b, block, n, parameters, local);
  do {
    do run_ready(n); while (!finding->kind[0] && release_warps(b, n));
    b->now = b->step = step++;
  } while (!finding->kind[0] && has_met(b, n));
}

void machine_run(const Kernel *kernel, const u8 *parameters, const u32 *blocks, const u32 *block_threads, u32 dynamic_shared, Extent *extents,
                 u32 extent_count, u64 seed, Finding *found) {
  static Extent none;
  u32 n = block_threads[0] * block_threads[1] * block_threads[2], count = blocks[0] * blocks[1] * blocks[2];
  Block b = {.shared_size = kernel->shared_bytes + dynamic_shared, .launch_step = step, .extents = extents, .extent_count = extent_count,
             .last = extent_count ? extents : &none};
  running = kernel; finding = found; finding->kind[0] = 0;
  random_state = seed * 2654435761u + 88172645463325252ull;
  make_room(n);
  memcpy(b.threads, block_threads, sizeof b.threads); memcpy(b.blocks, blocks, sizeof b.blocks);
  b.shared = aligned_alloc(256, b.shared_size / 256 * 256 + 256);
  memory_open(&b.shadow, 0, b.shared_size);
  b.releases = calloc(count, sizeof *b.releases);
  u8 *local = malloc(2ull * n * kernel->local_bytes + 1);
  u32 *block_order = malloc(count * sizeof *block_order);
  for (u32 k = 0; k < count; k++) block_order[k] = k;
  shuffle(block_order, count);
  for (u32 k = 0; k < count && !finding->kind[0]; k++) run_block(&b, block_order[k], n, parameters, local);
  free(block_order); free(b.releases); free(local); memory_close(&b.shadow); free(b.shared);
}

int machine_steps_are_spent(void) { return step > 0xF0000000u; }
void machine_restart_steps(void) { step = FIRST_STEP; }
