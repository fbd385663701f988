/* SPDX-License-Identifier: MIT */
/*
 * The local backend: the module's logic (kmod/core) over this process's memory.
 *
 * Each region is one private anonymous mapping of its full length; the system gives
 * memory to what is touched. Four things differ from the device. The tables are as
 * writable as any memory of the process. Freed memory is kept for the next spans. No
 * memory is charged before it is touched, so that a process that runs out of it is killed
 * and gets no -ENOMEM, except at the end of the reserve. And freed memory is without
 * access only as far as the system's limit of mappings allows (port_local.c).
 */
#ifndef GCHEAP_LIB_BACKEND_LOCAL_H
#define GCHEAP_LIB_BACKEND_LOCAL_H

#include <pthread.h>

#include "../../kmod/core/core.h"
#include "backend.h"

/**
 * struct local_backend - one local heap
 * @backend: what the library sees
 * @heap: the logic's state
 * @lock: serialises requests
 * @table_pages: by region: one bit a table page: it was made
 * @populated: one bit a heap page: port_populate() has passed it
 * @closed: likewise: port_depopulate() has, and made it inaccessible
 * @closed_runs: runs of such pages
 * @closed_runs_max: how many there may be
 * @refused_runs: how often port_depopulate() has left pages accessible
 * @reached: no page from this one on was ever populated
 * @made: but pages before this one have memory already
 * @cannot_make: the kernel has no MADV_POPULATE_WRITE
 */
struct local_backend {
	struct backend backend;
	struct heap heap;
	pthread_mutex_t lock;
	u64 *table_pages[GCHEAP_REGIONS];
	u64 *populated;
	u64 *closed;
	u32 closed_runs;
	u32 closed_runs_max;
	u64 refused_runs;
	u32 reached;
	u32 made;
	bool cannot_make;
};

/* How many runs of inaccessible pages a heap may have, by the system's limit of mappings. */
u32 local_closed_runs_max(void);

static inline struct local_backend *local_of_heap(struct heap *heap)
{
	return (struct local_backend *)((char *)heap - offsetof(struct local_backend, heap));
}

#endif /* GCHEAP_LIB_BACKEND_LOCAL_H */
