/* The device behind the driver: memory with shadows, and launches. One launch at a time. */
#include "runtime.h"

typedef struct { char kind[40], text[1200]; } Finding; /* kind is empty where nothing was found */

void memory_open(Memory *, u64 base, u64 size);
void memory_close(Memory *);
void memory_written(Memory *, u64 offset, u64 bytes);
void machine_run(const Kernel *, const u8 *parameters, const u32 *blocks, const u32 *threads, u32 dynamic_shared, Extent *, u32 extent_count,
                 u64 seed, Finding *);
int machine_steps_are_spent(void); /* so that every cell must forget its steps, before they are counted anew */
void machine_restart_steps(void);
