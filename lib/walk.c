// SPDX-License-Identifier: MIT
/*
 * gcheap_walk(): all objects, a batch at a time.
 *
 * While a batch is looked for, the heap's threads are stopped; while the program looks at it,
 * they are not, and the thread that walks is not in the library: a cycle may stop it, too. The
 * batch is a root, so that its objects stay what they are said to be.
 *
 *	stop ... objects from @next on, up to 512 ... go on	fn, fn, fn ...	stop ...
 *
 * Objects never move: the place behind the last one that was seen tells which are left, whatever
 * becomes of spans meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "entry.h"
#include "error.h"
#include "guard.h"
#include "inspect.h"
#include "library.h"
#include "memory.h"
#include "stop_kernel.h"

#define WALK_BATCH	512u

/**
 * struct walk - one walk
 * @heap: through what
 * @next: offset from the base from which on no object was seen yet
 * @count: objects of the batch
 * @bases: their addresses, a root; the rest is NULL
 * @objects: the objects
 */
struct walk {
	struct gcheap *heap;
	uint64_t next;
	size_t count;
	void *bases[WALK_BATCH];
	struct gcheap_object objects[WALK_BATCH];
};

static int walk_begin(struct gcheap *heap, struct walk **out)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);
	struct walk *walk;

	if (error)
		return error;
	walk = memory_zalloc(sizeof(*walk));
	if (!walk)
		return error_set(-ENOMEM, "out of memory for a walk of the heap");
	walk->heap = heap;
	/* Others may give an object back meanwhile: a precise one would be wrong then. */
	error = roots_add_own(heap, walk->bases, sizeof(walk->bases));
	if (error) {
		memory_free(walk);
		return error;
	}
	*out = walk;
	return 0;
}

static void walk_end(struct walk *walk)
{
	LIBRARY_ENTRY;

	/* A child of fork() has no roots. */
	if (heap_is_here(walk->heap))
		gcheap_root_remove(walk->heap, walk->bases);
	memory_free(walk);
}

/* While somebody sweeps, spans come and go. */
static int sweep_finish(struct gcheap *heap)
{
	int error = backend_sweep_finish(heap->backend);

	if (error)
		return error_set(error, "the backend did not finish the sweep: %s",
				 strerror(-error));
	return 0;
}

/* The world is stopped. */
static int batch_look(struct walk *walk)
{
	struct gcheap *heap = walk->heap;
	struct slot slot;
	int error;

	error = sweep_finish(heap);
	if (error)
		return error;
	memset(walk->bases, 0, sizeof(walk->bases));
	walk->count = 0;
	while (walk->count < WALK_BATCH && inspect_next(heap, walk->next, &slot)) {
		walk->next = slot.offset + slot.bytes;
		if (inspect_slot_is_kept(heap, &slot))
			continue;
		inspect_object(heap, &slot, &walk->objects[walk->count]);
		/* Given back, and not to be read. */
		if (heap->guard_bytes && guard_is_closed(walk->objects[walk->count].base))
			continue;
		walk->bases[walk->count] = walk->objects[walk->count].base;
		walk->count++;
	}
	return 0;
}

static int walk_batch(struct walk *walk)
{
	LIBRARY_ENTRY;
	uint64_t next = walk->next;
	int error = heap_check(walk->heap);

	if (error)
		return error;
	/* Most of it, or all, before the threads are stopped for the rest. */
	error = sweep_finish(walk->heap);
	if (error)
		return error;
	inspect_begin(walk->heap);
	error = batch_look(walk);
	if (!error && stop_kernel_check(walk->heap)) {
		/* Threads went on meanwhile. They are stopped by the signal the next time. */
		inspect_end(walk->heap);
		inspect_begin(walk->heap);
		walk->next = next;
		error = batch_look(walk);
		if (!error)
			error = stop_kernel_check(walk->heap);
	}
	inspect_end(walk->heap);
	return error;
}

/* Not in the library: @fn is the program's, and may be stopped like the rest of it. */
int gcheap_walk(struct gcheap *heap, int (*fn)(const struct gcheap_object *object, void *arg),
		void *arg)
{
	struct walk *walk = NULL;
	int result;
	size_t i;

	if (!fn)
		return error_set(-EINVAL, "the function to call with each object is NULL");
	result = walk_begin(heap, &walk);
	if (result)
		return result;
	do {
		result = walk_batch(walk);
		for (i = 0; !result && i < walk->count; i++) {
			result = fn(&walk->objects[i], arg);
			/* It may have called fork(): there are no objects then. */
			if (!result && !heap_is_here(heap))
				result = heap_check(heap);
		}
	} while (!result && walk->count);
	walk_end(walk);
	return result;
}
