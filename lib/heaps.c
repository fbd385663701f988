// SPDX-License-Identifier: MIT
/*
 * A list of heaps that signal handlers can read.
 *
 * It is made of places that are never freed. Who reads a heap's place says so in @readers, and who
 * takes the heap out waits for them; a handler that has interrupted just that thread is gone before
 * it goes on.
 */
#include "heaps.h"

#include <sched.h>
#include <stdlib.h>

#include "library.h"

/**
 * struct place - one place of the list
 * @next: another one
 * @heap: who has it; NULL: nobody
 * @readers: how many look at @heap
 */
struct place {
	struct place *next;
	struct gcheap *heap;
	uint32_t readers;
};

static struct place *places;

static bool place_take(struct place *place, struct gcheap *heap)
{
	struct gcheap *none = NULL;

	return __atomic_compare_exchange_n(&place->heap, &none, heap, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

void heaps_add(struct gcheap *heap)
{
	struct place *place = __atomic_load_n(&places, __ATOMIC_ACQUIRE);

	for (; place; place = place->next) {
		if (place_take(place, heap))
			return;
	}
	place = calloc(1, sizeof(*place));
	if (!place)
		return;
	place->heap = heap;
	place->next = __atomic_load_n(&places, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&places, &place->next, place, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

void heaps_remove(struct gcheap *heap)
{
	struct place *place = __atomic_load_n(&places, __ATOMIC_ACQUIRE);

	while (place && __atomic_load_n(&place->heap, __ATOMIC_RELAXED) != heap)
		place = place->next;
	if (!place)
		return;
	__atomic_store_n(&place->heap, NULL, __ATOMIC_SEQ_CST);
	/* Another heap may have the place already, and its readers: they do not take long. */
	while (heap_is_here(heap) && __atomic_load_n(&place->readers, __ATOMIC_SEQ_CST))
		sched_yield();
}

int heaps_look(const void *address, int (*fn)(struct gcheap *heap, const void *address, void *arg),
	       void *arg)
{
	struct place *place = __atomic_load_n(&places, __ATOMIC_ACQUIRE);
	int result = 0;

	for (; place && !result; place = place->next) {
		struct gcheap *heap;

		__atomic_fetch_add(&place->readers, 1, __ATOMIC_SEQ_CST);
		heap = __atomic_load_n(&place->heap, __ATOMIC_SEQ_CST);
		if (heap && heap_is_here(heap) &&
		    (uint64_t)(uintptr_t)address - (uint64_t)(uintptr_t)heap->view.base <
		    heap->view.reserve_bytes)
			result = fn(heap, address, arg);
		__atomic_fetch_sub(&place->readers, 1, __ATOMIC_SEQ_CST);
	}
	return result;
}
