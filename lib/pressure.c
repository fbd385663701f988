// SPDX-License-Identifier: MIT
/*
 * What the library does when the system is short of memory.
 *
 * The kernel counts in CTRL how often it wanted memory of the heap. The library looks at
 * that number before each refill, and does nothing else as long as it stays the same.
 * When the kernel wanted more than the heap had free (GCHEAP_PRESSURE_HIGH), the library
 * runs a cycle and gives all memory back that is free after it.
 *
 * A cycle that finds nothing helps nobody: the library waits with it until the program
 * has taken an eighth of what the last one found live, and PRESSURE_LEAST. Nothing of
 * this happens with the local backend, which no kernel knows of: its number never
 * changes.
 */
#include "pressure.h"

#include "backend/backend.h"
#include "library.h"

#define PRESSURE_LEAST	((uint64_t)256 << 10)

static uint32_t pressure_sequence(const struct gcheap *heap)
{
	/* Pairs with the kernel's release: the level is of this event or a later one. */
	return __atomic_load_n(&heap->view.ctrl->pressure_sequence, __ATOMIC_ACQUIRE);
}

static uint32_t pressure_level(const struct gcheap *heap)
{
	return __atomic_load_n(&heap->view.ctrl->pressure, __ATOMIC_RELAXED);
}

bool pressure_is_due(struct gcheap *heap)
{
	uint32_t sequence = pressure_sequence(heap);
	uint64_t taken = pacer_taken(&heap->pacer);

	if (sequence == __atomic_load_n(&heap->pressure_seen, __ATOMIC_RELAXED))
		return false;
	if (pressure_level(heap) < GCHEAP_PRESSURE_HIGH) {
		__atomic_store_n(&heap->pressure_seen, sequence, __ATOMIC_RELAXED);
		return false;
	}
	return taken >= PRESSURE_LEAST && taken >= heap->pacer.live_bytes / 8;
}

uint32_t pressure_cycle_begins(struct gcheap *heap)
{
	/* What comes after this is about what the cycle leaves. */
	__atomic_store_n(&heap->pressure_seen, pressure_sequence(heap), __ATOMIC_RELAXED);
	return pressure_level(heap);
}

void pressure_cycle_ended(struct gcheap *heap, uint32_t level)
{
	struct gcheap_scavenge scavenge = { .size = sizeof(scavenge), .max_bytes = UINT64_MAX };

	/* After LIMIT the memory is wanted here: whoever failed tries again. */
	if (level == GCHEAP_PRESSURE_HIGH)
		backend_request(heap->backend, GCHEAP_OP_SCAVENGE, &scavenge);
}
