// SPDX-License-Identifier: MIT
/*
 * The marker's life, and its roots.
 */
#include "mark.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "guard.h"
#include "mark_count.h"
#include "mark_scan.h"
#include "mark_trace.h"

/* Entries that roots may leave on the stack before they are followed. */
#define ROOTS_STACK_BYTES	(1u << 20)

/* Of the marked bytes, the part that an idle marker may keep for its stack. */
#define KEEP_SHIFT		7
#define KEEP_MIN_BYTES		(1u << 20)

int marker_create(struct gcheap *heap, struct marker **out)
{
	struct marker *marker = calloc(1, sizeof(*marker));
	uint32_t size_class;
	int error;

	if (!marker)
		return error_set(-ENOMEM, "no memory for the marker");
	error = mark_stack_init(&marker->stack);
	if (error) {
		free(marker);
		return error_set(error, "no memory for the marker's stack");
	}
	marker->heap = heap;
	marker->view = &heap->view;
	for (size_class = SIZE_CLASS_MIN; size_class < SIZE_CLASSES; size_class++) {
		uint32_t bytes = (uint32_t)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT;
		uint32_t slot_bytes = size_class_bytes[size_class];

		marker->slots[0][size_class] = (uint16_t)(bytes / slot_bytes);
		bytes -= bytes >> GCHEAP_HEAP_BITS_SHIFT;
		marker->slots[1][size_class] = (uint16_t)(bytes / slot_bytes);
	}
	*out = marker;
	return 0;
}

void marker_destroy(struct marker *marker)
{
	if (!marker)
		return;
	mark_stack_destroy(&marker->stack);
	free(marker);
}

uint64_t marker_memory(const struct marker *marker)
{
	return marker ? sizeof(*marker) + marker->stack.bytes : 0;
}

void mark_begin(struct marker *marker)
{
	const struct view *view = marker->view;

	marker->base = (uint64_t)(uintptr_t)view->base;
	marker->end = address_end(view);
	marker->pages = view->pages;
	marker->spans = view->spans;
	marker->marks = view_mark_bits(view);
	marker->page_marks = view->page_marks;
	marker->bitmap = view->bitmap;
	marker->edge_count = 0;
	marker->edges = marker->buffers[0];
	marker->late = marker->buffers[1];
	marker->late_count = 0;
	marker->stack.overflow = false;
	mark_hide_free(marker);
}

/* Mark what roots lead to, and follow it if that is much. */
static void roots_flush(struct marker *marker)
{
	mark_edges(marker);
	if (mark_stack_exceeds(&marker->stack, ROOTS_STACK_BYTES))
		mark_drain(marker);
}

void mark_slots(struct marker *marker, void *const *slots, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		mark_word(marker, (uint64_t)(uintptr_t)slots[i]);
		if (marker->edge_count > MARK_EDGES - 64)
			roots_flush(marker);
	}
	roots_flush(marker);
}

void mark_typed(struct marker *marker, const struct root *root)
{
	const struct gcheap_type_record *type = view_type(marker->view, root->type);
	const uint64_t *mask = root->mask ? root->mask : view_type_mask(marker->view, type);
	uint64_t start = (uint64_t)(uintptr_t)root->start;

	mark_scan_typed(marker, typed_pointers_of_mask(type, mask, start, start,
						       start + type->bytes * root->count));
	roots_flush(marker);
}

/*
 * The object before @edge, where that is not the middle of one: compilers keep a pointer
 * to the end of an array alone, and count down from there.
 */
static void mark_before(struct marker *marker, uint64_t edge)
{
	struct slot slot;

	if (address_slot(marker->view, edge - 1, &slot) && slot.offset + slot.bytes == edge &&
	    view_bit(view_alloc_bits(marker->view), granule_of(slot.offset)))
		mark_word(marker, marker->base + slot.offset);
}

/*
 * A word that may be a pointer, as an offset that is in the heap: only the slot that it
 * points into tells, and the slot's alloc bit. No span is cached during a cycle, so that
 * alloc bits are true. The end of the heap's last page, too, may be an object's.
 */
static __attribute__((noinline))
void mark_ambiguous_edge(struct marker *marker, uint64_t edge)
{
	struct slot slot;

	if (edge == marker->end) {
		mark_before(marker, edge);
	} else if (!address_slot(marker->view, edge, &slot)) {
		mark_quarantine(marker, edge);
		mark_before(marker, edge);
	} else {
		if (view_bit(view_alloc_bits(marker->view), granule_of(slot.offset)))
			mark_word(marker, marker->base + edge);
		if (edge == slot.offset)
			mark_before(marker, edge);
	}
	if (marker->edge_count > MARK_EDGES - 64)
		roots_flush(marker);
}

/*
 * Stacks are read whole, red zones between variables too, and while a thread that is parked
 * writes to the part that it calls other functions in.
 */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
void mark_ambiguous(struct marker *marker, const void *start, size_t bytes)
{
	uintptr_t at = ((uintptr_t)start + 7) & ~(uintptr_t)7;
	uintptr_t end = (uintptr_t)start + bytes;
	/* Much of a stack was never written. */
	bool is_valgrind = guard_is_valgrind();
	/* Offset 0 is nothing's, and that of the end may be the last object's. */
	uint64_t first = marker->base + 1;
	uint64_t bytes_in = marker->end;

	for (; at + 8 <= end; at += 8) {
		uint64_t word = *(const uint64_t *)at;

		if (is_valgrind)
			word = guard_word(word);
		/* Most words of a stack lead elsewhere. */
		if (__builtin_expect(word - first < bytes_in, 0))
			mark_ambiguous_edge(marker, word - marker->base);
	}
	roots_flush(marker);
}

void mark_finish(struct marker *marker, struct mark_result *result)
{
	uint64_t keep;

	mark_edges(marker);
	mark_drain(marker);
	while (marker->stack.overflow) {
		marker->stack.overflow = false;
		mark_rescan(marker);
	}
	mark_count(marker, result);
	keep = result->bytes >> KEEP_SHIFT;
	mark_stack_trim(&marker->stack, keep > KEEP_MIN_BYTES ? keep : KEEP_MIN_BYTES);
}
