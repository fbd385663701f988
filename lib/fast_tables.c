// SPDX-License-Identifier: MIT
/*
 * The inline functions' tables: how they grow, and what becomes of their entries when caches
 * change. Only the thread itself makes them grow; who runs a cycle may change their entries
 * while the thread is stopped, wherever it is.
 */
#include "fast_tables.h"

#include <errno.h>
#include <stdlib.h>

#include "thread.h"

int fast_tables_grow(struct thread *thread)
{
	uint32_t count = (uint32_t)ctrl_load(&thread->heap->view.ctrl->counters.types) + 1;
	struct gcheap_cache_ **types;
	struct alloc_class **classes;
	gcheap_type *next;
	uint32_t i;

	types = realloc(thread->fast.types, count * sizeof(*types));
	if (!types)
		return -ENOMEM;
	thread->fast.types = types;
	classes = realloc(thread->type_alloc_classes, count * sizeof(*classes));
	if (!classes)
		return -ENOMEM;
	thread->type_alloc_classes = classes;
	next = realloc(thread->type_next, count * sizeof(*next));
	if (!next)
		return -ENOMEM;
	thread->type_next = next;
	thread_count_memory(thread, (count - thread->fast.type_count) *
			    (sizeof(*types) + sizeof(*classes) + sizeof(*next)));
	for (i = thread->fast.type_count; i < count; i++) {
		types[i] = &cache_no_slots;
		classes[i] = NULL;
		next[i] = 0;
	}
	thread->fast.type_count = count;
	return 0;
}

/* ---- arrays ------------------------------------------------------------------- */

/* The same for arrays: programs without any do without. */
static bool arrays_grow(struct thread *thread)
{
	uint32_t count = (uint32_t)ctrl_load(&thread->heap->view.ctrl->counters.types) + 1;
	struct gcheap_arrays_ *arrays;
	gcheap_type *next;
	uint32_t i;

	arrays = realloc(thread->fast.arrays, count * sizeof(*arrays));
	if (!arrays)
		return false;
	thread->fast.arrays = arrays;
	next = realloc(thread->array_next, count * sizeof(*next));
	if (!next)
		return false;
	thread->array_next = next;
	thread_count_memory(thread, (count - thread->fast.array_types) *
			    (sizeof(*arrays) + sizeof(*next)));
	for (i = thread->fast.array_types; i < count; i++) {
		arrays[i] = (struct gcheap_arrays_) { 0, NULL };
		next[i] = 0;
	}
	thread->fast.array_types = count;
	return true;
}

static bool arrays_make(struct thread *thread, gcheap_type type, size_t count)
{
	struct gcheap_cache_ **caches = malloc(count * sizeof(*caches));
	size_t i;

	if (!caches)
		return false;
	for (i = 0; i < count; i++)
		caches[i] = &cache_no_slots;
	thread->fast.arrays[type] = (struct gcheap_arrays_) { count, caches };
	thread->array_next[type] = thread->array_first;
	thread->array_first = type;
	thread_count_memory(thread, count * sizeof(*caches));
	return true;
}

void fast_tables_enter_array(struct thread *thread, gcheap_type type,
			     const struct gcheap_type_record *record, uint64_t n,
			     struct gcheap_cache_ *cache)
{
	/* An array of one takes the same way, however long it is. */
	uint64_t most = GCHEAP_ARRAY_MAX_ / record->bytes ? GCHEAP_ARRAY_MAX_ / record->bytes : 1;

	if (n > most || (cache == &cache_no_slots && type >= thread->fast.array_types))
		return;
	if (type >= thread->fast.array_types && !arrays_grow(thread))
		return;
	if (!thread->fast.arrays[type].count &&
	    (cache == &cache_no_slots || !arrays_make(thread, type, most + 1)))
		return;
	thread->fast.arrays[type].caches[n] = cache;
}

/* ---- when caches change ---------------------------------------------------------- */

static void entries_redirect(struct gcheap_cache_ **entries, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct cache *cache = entries[i]->owner;

		if (cache)
			entries[i] = cache_fast(cache);
	}
}

void fast_tables_redirect(struct thread *thread)
{
	gcheap_type type;

	entries_redirect(thread->fast.types, thread->fast.type_count);
	entries_redirect(thread->fast.leaves, GCHEAP_LEAVES_);
	for (type = thread->array_first; type; type = thread->array_next[type])
		entries_redirect(thread->fast.arrays[type].caches,
				 thread->fast.arrays[type].count);
}

void fast_tables_forget_leaving(struct thread *thread)
{
	gcheap_type type;
	size_t i;

	for (type = thread->array_first; type; type = thread->array_next[type]) {
		const struct gcheap_arrays_ *arrays = &thread->fast.arrays[type];

		for (i = 0; i < arrays->count; i++) {
			const struct cache *cache = arrays->caches[i]->owner;

			if (cache && cache->is_leaving)
				arrays->caches[i] = &cache_no_slots;
		}
	}
}

void fast_tables_free(struct thread *thread)
{
	gcheap_type type;

	for (type = thread->array_first; type; type = thread->array_next[type])
		free(thread->fast.arrays[type].caches);
	free(thread->fast.arrays);
	free(thread->array_next);
	free(thread->fast.types);
	free(thread->type_alloc_classes);
	free(thread->type_next);
}
