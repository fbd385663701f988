// SPDX-License-Identifier: MIT
/*
 * Objects that a program gives back (gcheap_free()), or wants with more or fewer elements
 * (gcheap_realloc()).
 *
 * Neither stops other threads (owned.h).
 */
#include "thread.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "bad_pointer.h"
#include "entry.h"
#include "error.h"
#include "finalizer_thread.h"
#include "guard.h"
#include "layout/layout.h"
#include "owned.h"
#include "size_classes.h"
#include "specials.h"

/* What is done is nothing. */
static void *refuse(const struct thread *thread, const void *obj, const char *why)
{
	char where[BAD_POINTER_TEXT];

	if (why)
		return error_null(-EINVAL, "%p is no object that can be freed or resized: %s", obj,
				  why);
	return error_null(-EINVAL, "%p is no object that can be freed or resized: it leads %s", obj,
			  bad_pointer_describe(thread->heap, obj, where));
}

/* Finds the object that begins at @obj, or says why it cannot be used. */
static bool object_find(const struct thread *thread, const void *obj, struct owned *owned)
{
	const char *why;

	if (owned_find(thread->heap, thread, obj, owned, &why))
		return true;
	return refuse(thread, obj, why);
}

static bool thread_can_own(const struct thread *thread)
{
	if (!thread) {
		error_null(-EINVAL, "the thread is NULL: attach one with gcheap_thread_attach()");
		return false;
	}
	if (!heap_is_here(thread->heap)) {
		errno = -heap_check(thread->heap);
		return false;
	}
	/* A hook may give objects back: that is how it makes room. */
	if (thread->is_parked)
		error_null(-EINVAL, "%s", thread_hindrance(thread));
	return !thread->is_parked;
}

/* ---- giving back ---------------------------------------------------------------- */

static void free_large(struct gcheap *heap, void *obj, const struct owned *owned)
{
	struct gcheap_free_large request = { .size = sizeof(request), .page = owned->slot.page };
	int error = errno;

	if (heap->guard_bytes)
		guard_close(obj, owned->slot.bytes);
	/* What is refused, as between MARK_START and SWEEP_START, a cycle frees. */
	if (!backend_request(heap->backend, GCHEAP_OP_FREE_LARGE, &request))
		pacer_give_back(&heap->pacer, owned->slot.bytes);
	errno = error;
}

void gcheap_free(struct gcheap_thread *fast, void *obj)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	struct owned owned;
	int error;

	if (!obj || !thread_can_own(thread) || !object_find(thread, obj, &owned))
		return;
	error = specials_free(thread->heap, &owned, obj);
	if (error) {
		errno = -error;
		return;
	}
	/* It may have had cleanups. */
	finalizer_thread_call(thread->heap);
	if (GCHEAP_PAGE_KIND(owned.slot.info) == GCHEAP_KIND_LARGE) {
		free_large(thread->heap, obj, &owned);
		return;
	}
	if (owned.is_shared)
		return;
	/* Guarded, it is nobody's until a cycle finds no pointer to it: each use is found. */
	if (thread->heap->guard_bytes)
		guard_close(address_pointer(&thread->heap->view, owned.slot.offset),
			    owned.slot.bytes);
	else if (owned.cache)
		cache_free_slot(thread, owned.cache, owned.slot.page, owned.slot.index);
}

/* ---- another number of elements --------------------------------------------------- */

/* What @obj has for its elements where it is. */
static uint64_t owned_room(const struct thread *thread, const struct owned *owned)
{
	uint64_t room = owned->object.end - owned->object.start;

	/* Large: the descriptor says how far it is scanned. A leaf is not. */
	if (GCHEAP_PAGE_KIND(owned->slot.info) == GCHEAP_KIND_LARGE &&
	    !(owned->object.noscan && !owned->object.type))
		return thread->heap->view.spans[owned->slot.page].object_bytes;
	return room;
}

/* Bytes to be copied at most. Of one that shares its slot not more is known than this. */
static uint64_t owned_bytes(const struct thread *thread, const struct owned *owned,
			    const void *obj)
{
	uint64_t offset = address_offset(&thread->heap->view, obj) % 16;

	if (!owned->is_shared)
		return owned_room(thread, owned);
	return offset ? offset & -offset : 16;
}

/* Stays where it is: the elements' metadata, and zeros behind them. */
static void *resize_here(const struct thread *thread, gcheap_type type,
			 const struct gcheap_type_record *record, const struct owned *owned,
			 void *obj, uint64_t bytes)
{
	const struct gcheap *heap = thread->heap;
	uint64_t room = owned_room(thread, owned);

	memset((char *)obj + bytes, 0, room - bytes);
	switch (GCHEAP_PAGE_KIND(owned->slot.info)) {
	case GCHEAP_KIND_HEAP_BITS:
	case GCHEAP_KIND_HEADER:
	case GCHEAP_KIND_FOOTER:
	case GCHEAP_KIND_BITMAP:
		heap->layout->finish(&heap->view, address_pointer(&heap->view, owned->slot.offset),
				     type, record, bytes);
		break;
	default:
		break;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return obj;
}

/* Reads what is closed, too: behind the elements there are zeros. */
static GUARD_EXEMPT void copy_guarded(void *to, const void *from, uint64_t bytes)
{
	const volatile unsigned char *source = from;
	unsigned char *target = to;
	uint64_t i;

	guard_reports(false);
	for (i = 0; i < bytes; i++)
		target[i] = source[i];
	guard_reports(true);
}

static void *resize_elsewhere(struct thread *thread, gcheap_type type, const struct owned *owned,
			      void *obj, size_t n, uint64_t bytes)
{
	uint64_t old = owned_bytes(thread, owned, obj);
	void *new;

	/* A cycle may run. */
	GCHEAP_FRAME(&thread->fast, obj);
	new = type ? gcheap_new_array_slow_(&thread->fast, type, n) :
		     gcheap_new_leaf_slow_(&thread->fast, n);
	GCHEAP_FRAME_END(&thread->fast);
	if (!new)
		return NULL;
	if (old > bytes)
		old = bytes;
	if (thread->heap->guard_bytes)
		copy_guarded(new, obj, old);
	else
		memcpy(new, obj, old);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return new;
}

/* Whether what is known of the object does not contradict @type. */
static bool type_fits(const struct thread *thread, const struct owned *owned, gcheap_type type,
		      const struct gcheap_type_record *record)
{
	const struct gcheap_span *span = &thread->heap->view.spans[owned->slot.page];

	if (owned->object.type && owned->object.type != type)
		return false;
	/* What the span says of all its slots no object can change. */
	if (record && GCHEAP_PAGE_KIND(owned->slot.info) == GCHEAP_KIND_MASK &&
	    span->ptr_mask != slot_mask(record, owned->slot.bytes))
		return false;
	return owned->object.noscan == (!record || !record->ptr_bytes);
}

void *gcheap_realloc(struct gcheap_thread *fast, gcheap_type type, void *obj, size_t n)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	const struct gcheap_type_record *record = NULL;
	struct owned owned;
	uint64_t bytes = n;

	if (!thread_can_own(thread))
		return NULL;
	if (!obj)
		return type ? gcheap_new_array_slow_(fast, type, n) :
			      gcheap_new_leaf_slow_(fast, n);
	if (!n)
		return error_null(-EINVAL, "an object with 0 elements: ask for one at least, or "
				  "free it");
	if (type)
		record = heap_type(thread->heap, type);
	if (type && !record)
		return error_null(-EINVAL, "%u is no type of this heap: register it first", type);
	if (record && __builtin_mul_overflow(record->bytes, (uint64_t)n, &bytes))
		return error_null(-ENOMEM, "%zu elements of %llu bytes are more than any heap has",
				  n, (unsigned long long)record->bytes);
	if (!object_find(thread, obj, &owned))
		return NULL;
	if (!type_fits(thread, &owned, type, record))
		return refuse(thread, obj, "it is of another type");
	/* Guarded, each new length is a new object, so that what is behind it is closed. */
	if (!owned.is_shared && !thread->heap->guard_bytes && bytes <= owned_room(thread, &owned) &&
	    bytes >= owned_room(thread, &owned) / 2)
		return resize_here(thread, type, record, &owned, obj, bytes);
	return resize_elsewhere(thread, type, &owned, obj, n, bytes);
}
