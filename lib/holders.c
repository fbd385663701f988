// SPDX-License-Identifier: MIT
/*
 * gcheap_holders(): who points to an object.
 *
 * It reads what a cycle reads, and by the same rules, but looks for one object: the roots, and all
 * objects, since who points to one can be found in no other way. What it finds is kept in memory of
 * the library's own, which is a root until the program has seen it all: the holders are all of one
 * moment, and live.
 */
#include "holders.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "collect.h"
#include "entry.h"
#include "error.h"
#include "guard.h"
#include "inspect.h"
#include "layout/typed_pointers.h"
#include "library.h"
#include "loaded.h"
#include "rest.h"
#include "roots.h"
#include "stop_kernel.h"
#include "thread.h"
#include "world.h"

/* ---- objects ------------------------------------------------------------------------ */

static GUARD_EXEMPT void read_object(struct holders *holders, const struct slot *slot)
{
	const struct view *view = &holders->heap->view;
	uint64_t start = (uint64_t)(uintptr_t)address_pointer(view, slot->offset);
	struct typed_pointers tp = typed_pointers_of(view, slot, start, start + slot->bytes);
	struct gcheap_holder *holder;
	uint64_t address;

	while ((address = typed_pointers_next(&tp))) {
		void *const *word = (void *const *)(uintptr_t)address;

		if (__builtin_expect(!holders_leads(holders, *word), 1))
			continue;
		holder = holders_add(holders, GCHEAP_HOLDER_OBJECT, word, *word, "object");
		if (holder)
			inspect_object(holders->heap, slot, &holder->object);
	}
}

/* Given back, and not to be read; or there is nothing in it yet. */
static bool is_object(const struct gcheap *heap, const struct slot *slot)
{
	struct gcheap_object object;

	if (inspect_slot_is_held(heap, slot))
		return false;
	if (!heap->guard_bytes)
		return true;
	inspect_object(heap, slot, &object);
	return !guard_is_closed(object.base);
}

static void read_objects(struct holders *holders)
{
	const struct gcheap *heap = holders->heap;
	struct slot slot;
	uint64_t next = 0;

	while (!holders->error && inspect_next(heap, next, &slot)) {
		next = slot.offset + slot.bytes;
		if (!(slot.info & GCHEAP_PAGE_NOSCAN) && is_object(heap, &slot))
			read_object(holders, &slot);
	}
}

/* ---- user arenas -------------------------------------------------------------------- */

static void read_chunk_word(void *arg, void *const *word)
{
	struct holders *holders = arg;

	if (__builtin_expect(holders_leads(holders, *word), 0))
		holders_add(holders, GCHEAP_HOLDER_ARENA, word, *word, holders->name);
}

static void read_chunks(struct holders *holders)
{
	const struct arenas *arenas = &holders->heap->arenas;
	uint64_t end = arenas->used_chunks ? arena_chunks_end(holders->heap) : 0;
	uint64_t i;

	for (i = 0; i < end && !holders->error; i++) {
		if (!arena_chunk_is_alive(holders->heap, i))
			continue;
		holders->name = NULL;
		holders_name(holders, "user arena %llu",
			     (unsigned long long)arenas->chunks[i].arena);
		if (!holders->error)
			arena_chunk_words(holders->heap, i, read_chunk_word, holders);
	}
	holders->name = NULL;
}

/* The slot that has what is asked for, or a user arena's chunk: a pointer keeps all of either. */
static bool find_obj(struct holders *holders)
{
	const struct gcheap *heap = holders->heap;
	uint64_t offset = address_offset(&heap->view, holders->obj);
	uint64_t page;
	struct slot slot;

	if (inspect_slot(heap, offset, &slot)) {
		holders->bytes = slot.bytes;
	} else if (heap->arenas.chunks &&
		   address_set_aside(&heap->view, offset, &page) == GCHEAP_SPAN_CHUNK) {
		slot.offset = page << GCHEAP_PAGE_SHIFT;
		holders->bytes = GCHEAP_CHUNK_BYTES;
	} else {
		return false;
	}
	holders->start = (uint64_t)(uintptr_t)address_pointer(&heap->view, slot.offset);
	return true;
}

/* ---- the stop ----------------------------------------------------------------------- */

static int look_at_all(struct holders *holders)
{
	struct gcheap *heap = holders->heap;
	int error = collect_roots_are_known(heap, holders->self);

	if (error)
		return error;
	/* It may be the second time. */
	holders->error = 0;
	error = backend_sweep_finish(heap->backend);
	if (error)
		return error_set(error, "the backend did not finish the sweep: %s",
				 strerror(-error));
	if (!find_obj(holders))
		return error_set(-ENOENT, "%p leads to no object", holders->obj);
	guard_reports(false);
	holders_read_roots(holders);
	if (!holders->error)
		read_objects(holders);
	if (!holders->error)
		read_chunks(holders);
	guard_reports(true);
	return holders->error;
}

/* The threads are stopped. What was found is a root from here on. */
static void look_stopped(void *arg)
{
	struct holders *holders = arg;
	int error = look_at_all(holders);

	if (!error)
		error = stop_kernel_check(holders->heap);
	if (!error && holders->count)
		error = roots_add_own(holders->heap, holders->all,
				      holders->count * sizeof(*holders->all));
	if (error)
		holders_drop(holders);
	holders->error = error;
}

/*
 * Where the calling thread is read from: the frame of gcheap_holders(), and what is between it and
 * this one, where that function has saved what its caller has in registers.
 */
static __attribute__((noinline, no_sanitize("address")))
int self_note(struct thread *self, const uintptr_t *frame)
{
	const uintptr_t *words = __builtin_frame_address(0);
	size_t i;

	if (!rest_note(self, (const char *)frame) &&
	    self->heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		return stack_unknown(frame);
	for (i = 0; i < REST_REGISTERS && words + i < frame; i++)
		self->rest.registers[i] = words[i];
	return 0;
}

/* @frame: that of the function that the program has called. */
static __attribute__((noinline))
int look(struct gcheap *heap, struct holders *holders, const void *obj, const uintptr_t *frame)
{
	LIBRARY_ENTRY;
	struct thread *self;
	int error = heap_check(heap);

	if (error)
		return error;
	*holders = (struct holders) { .heap = heap, .obj = obj };
	/* Most of it, or all, before the threads are stopped for the rest. */
	backend_sweep_finish(heap->backend);
	world_lock(heap);
	self = rest_self(heap);
	/* Of one that is parked it is known. */
	if (self && !self->is_parked) {
		holders->self = self;
		error = self_note(self, frame);
	}
	if (!error) {
		loaded_stop(heap, self, look_stopped, holders);
		/* Threads went on meanwhile. They are stopped by the signal the next time. */
		if (holders->error == -ETIMEDOUT && (!holders->self || !self_note(self, frame)))
			loaded_stop(heap, self, look_stopped, holders);
		error = holders->error;
	}
	world_unlock(heap);
	return error;
}

static void look_end(struct holders *holders)
{
	LIBRARY_ENTRY;

	/* A child of fork() has no roots. */
	if (holders->count && heap_is_here(holders->heap))
		gcheap_root_remove(holders->heap, holders->all);
	holders_drop(holders);
}

/* Not in the library: @fn is the program's, and may be stopped like the rest of it. */
static int tell(struct holders *holders, int (*fn)(const struct gcheap_holder *holder, void *arg),
		void *arg)
{
	int result = 0;
	size_t i;

	for (i = 0; !result && i < holders->count; i++) {
		result = fn(&holders->all[i], arg);
		/* It may have called fork(): there are no objects then. */
		if (!result && !heap_is_here(holders->heap))
			result = heap_check(holders->heap);
	}
	look_end(holders);
	return result;
}

__attribute__((noinline))
int gcheap_holders(struct gcheap *heap, const void *obj,
		   int (*fn)(const struct gcheap_holder *holder, void *arg), void *arg)
{
	struct holders holders;
	int error;

	if (!fn)
		return error_set(-EINVAL, "the function to call with each holder is NULL");
	/* What the caller has in registers goes to this frame. */
	__builtin_unwind_init();
	error = look(heap, &holders, obj, __builtin_frame_address(0));
	__asm__ volatile("" : : : "memory");
	return error ? error : tell(&holders, fn, arg);
}
