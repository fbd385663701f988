// SPDX-License-Identifier: MIT
/*
 * The local backend's regions and requests.
 */
#define _GNU_SOURCE
#include "local.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "../error.h"

/* What this backend offers in addition to what every port of kmod/core offers. */
#define LOCAL_FLAGS	(GCHEAP_SETUP_FAULT_FREED | GCHEAP_SETUP_HUGE_PAGES)
#define LOCAL_FEATURES \
	(GCHEAP_FEATURE_FAULT_FREED | GCHEAP_FEATURE_CHUNKS | GCHEAP_FEATURE_HUGE_PAGES)

/* ---- requests ---------------------------------------------------------------- */

/*
 * What the kernel does for every request before its handler sees it. Here the
 * library is the only caller, so that this is about the same answers.
 */
static int local_refill(struct heap *heap, struct gcheap_refill *refill)
{
	const u32 *returns = (const u32 *)(uintptr_t)refill->returns;
	struct gcheap_grant *grants = (struct gcheap_grant *)(uintptr_t)refill->grants;
	int error = heap_refill_check(heap, refill);

	return error ? error : heap_refill(heap, refill, returns, grants);
}

static int local_type_add(struct heap *heap, struct gcheap_type_add *add)
{
	u64 map = add->gc_prog ? add->gc_prog : add->ptr_mask;
	int error = type_check(add);

	if (error)
		return error;
	return type_add(heap, add, (const char *)(uintptr_t)add->name,
			(const u8 *)(uintptr_t)map);
}

static int local_dispatch(struct heap *heap, enum gcheap_op op, void *arg)
{
	switch (op) {
	case GCHEAP_OP_SETUP:
		return -EBUSY;
	case GCHEAP_OP_TYPE_ADD:
		return local_type_add(heap, arg);
	case GCHEAP_OP_REFILL:
		return local_refill(heap, arg);
	case GCHEAP_OP_ALLOC_LARGE:
		return heap_alloc_large(heap, arg);
	case GCHEAP_OP_MARK_START:
		return heap_mark_start(heap, arg);
	case GCHEAP_OP_SWEEP_START:
		return heap_sweep_start(heap, arg);
	case GCHEAP_OP_SWEEP:
		return heap_sweep(heap, arg);
	case GCHEAP_OP_STATS:
		return heap_stats(heap, arg);
	case GCHEAP_OP_FREE_LARGE:
		return heap_free_large(heap, arg);
	case GCHEAP_OP_RECLAIM:
		return heap_reclaim(heap, arg);
	case GCHEAP_OP_SCAVENGE:
		return heap_scavenge(heap, arg);
	case GCHEAP_OP_CHUNK_NEW:
		return heap_chunk_new(heap, arg);
	case GCHEAP_OP_CHUNK_FREE:
		return heap_chunk_free(heap, arg);
	case GCHEAP_OP_CHUNK_READY:
		return heap_chunk_ready(heap, arg);
	default:
		return -ENOTTY;
	}
}

static int local_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	struct local_backend *local = (struct local_backend *)backend;
	int error;

	pthread_mutex_lock(&local->lock);
	error = local_dispatch(&local->heap, op, arg);
	heap_publish(&local->heap);
	pthread_mutex_unlock(&local->lock);
	return error;
}

/* ---- life -------------------------------------------------------------------- */

/*
 * Bits, all clear, of pages that may never be used: they take memory as these do.
 */
static u64 *bits_map(u64 bits)
{
	u64 bytes = DIV_ROUND_UP(bits, 8);
	void *memory = backend_reserve(round_up(bytes, PORT_TABLE_PAGE_BYTES),
				       PORT_TABLE_PAGE_BYTES);

	if (memory && mprotect(memory, bytes, PROT_READ | PROT_WRITE)) {
		munmap(memory, round_up(bytes, PORT_TABLE_PAGE_BYTES));
		return NULL;
	}
	return memory;
}

static void bits_unmap(u64 *memory, u64 bits)
{
	if (memory)
		munmap(memory, round_up(DIV_ROUND_UP(bits, 8), PORT_TABLE_PAGE_BYTES));
}

static void local_free(struct local_backend *local, bool here)
{
	u64 heap_bits = local->backend.region_bytes[GCHEAP_REGION_HEAP] >> GCHEAP_PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < GCHEAP_REGIONS; i++) {
		if (here && local->backend.regions[i])
			munmap(local->backend.regions[i], local->backend.region_bytes[i]);
		bits_unmap(local->table_pages[i],
			   local->backend.region_bytes[i] / PORT_TABLE_PAGE_BYTES);
	}
	bits_unmap(local->populated, heap_bits);
	bits_unmap(local->closed, heap_bits);
	pthread_mutex_destroy(&local->lock);
	free(local);
}

static void local_close(struct backend *backend, bool here)
{
	struct local_backend *local = (struct local_backend *)backend;

	heap_destroy(&local->heap);
	local_free(local, here);
}

static const struct backend_ops local_ops = {
	.kind = GCHEAP_BACKEND_LOCAL,
	.request = local_request,
	.close = local_close,
};

static int local_map(struct local_backend *local, enum gcheap_region region)
{
	bool is_heap = region == GCHEAP_REGION_HEAP;
	uint64_t bytes = local->backend.region_bytes[region];
	char *memory = backend_reserve(bytes, is_heap ? GCHEAP_ARENA_BYTES : 4096);
	/* Page 0 is never handed out, and without access as on the device. */
	uint64_t from = is_heap ? GCHEAP_PAGE_BYTES : 0;

	if (!memory)
		return -ENOMEM;
	local->backend.regions[region] = memory;
	if (mprotect(memory + from, bytes - from, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	/* As on the device: a child of fork() has no heap. */
	if (madvise(memory, bytes, MADV_DONTFORK))
		return -ENOMEM;
	return 0;
}

static int local_make(struct local_backend *local, const struct gcheap_setup *setup)
{
	unsigned int region;
	u64 heap_pages = setup->reserve_bytes >> GCHEAP_PAGE_SHIFT;

	for (region = 0; region < GCHEAP_REGIONS; region++) {
		uint64_t pages = setup->out_region_bytes[region] / PORT_TABLE_PAGE_BYTES;

		local->backend.region_bytes[region] = setup->out_region_bytes[region];
		if (!pages)
			continue;
		if (local_map(local, region))
			return -ENOMEM;
		if (region == GCHEAP_REGION_HEAP)
			continue;
		local->table_pages[region] = bits_map(pages);
		if (!local->table_pages[region])
			return -ENOMEM;
	}
	/* The kernel was built without huge pages, or it takes them where it likes to. */
	if (setup->flags & GCHEAP_SETUP_HUGE_PAGES &&
	    madvise(local->backend.regions[GCHEAP_REGION_HEAP], setup->reserve_bytes,
		    MADV_HUGEPAGE))
		return -EOPNOTSUPP;
	local->populated = bits_map(heap_pages);
	local->closed = bits_map(heap_pages);
	local->closed_runs_max = local_closed_runs_max();
	if (!local->populated || !local->closed)
		return -ENOMEM;
	return heap_init(&local->heap, setup);
}

int backend_open_local(struct gcheap_setup *setup, struct backend **backend)
{
	struct local_backend *local;
	int error = heap_setup_check(setup, LOCAL_FLAGS, LOCAL_FEATURES);

	if (error)
		return error_set(error, "the local backend refused the reserve or the layout");
	local = calloc(1, sizeof(*local));
	if (!local)
		return error_set(-ENOMEM, "out of memory for a heap");
	local->backend.ops = &local_ops;
	local->backend.fd = -1;
	local->backend.requests = 1;
	pthread_mutex_init(&local->lock, NULL);
	error = local_make(local, setup);
	if (error) {
		local_free(local, true);
		if (error == -EOPNOTSUPP)
			return error_set(error, "this kernel has no huge pages: open the heap "
					 "without GCHEAP_HUGE_PAGES");
		return error_set(error, "cannot reserve %llu bytes of address space for a heap: "
				 "raise ulimit -v, allow overcommit, or set a smaller reserve_bytes",
				 (unsigned long long)setup->reserve_bytes);
	}
	*backend = &local->backend;
	return 0;
}
