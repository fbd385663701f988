/* SPDX-License-Identifier: MIT */
/*
 * Bulk write barriers: which pointers a copy or a clear takes away, and which it
 * brings.
 *
 * A collector that marks beside the mutators must hear of both before they happen
 * (Go's hybrid barrier): the old values, because the snapshot that it marks has
 * them, and the new ones, because their objects may be reached no other way. A
 * store tells of one slot; here are the stores of whole ranges: their pointer
 * slots are found by a type, by what the heap knows of an object, or by a bitmap,
 * and the values go to a buffer, which is flushed when it is full.
 *
 *	destination	source
 *	given		given		a copy: old and new values
 *	given		none		a clear: old values
 *	none		given		a copy to memory that nobody can see yet, as of
 *					a new object: new values
 *
 * Values that are no addresses in the heap are left out. The caller runs the
 * barrier first, then copies; source and destination may overlap.
 */
#ifndef GCHEAP_LIB_BARRIER_H
#define GCHEAP_LIB_BARRIER_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"

#define BARRIER_VALUES	512u

/**
 * struct barrier_buffer - values that a collector has to hear of
 * @count: how many of @values are filled
 * @flush: called when there may be no room for two more, and by barrier_flush():
 *	takes all @count values and sets @count to 0
 * @values: addresses in the heap
 */
struct barrier_buffer {
	size_t count;
	void (*flush)(struct barrier_buffer *buffer);
	uint64_t values[BARRIER_VALUES];
};

/**
 * barrier_bulk() - the pointers of a range of elements
 * @view: the heap
 * @buffer: receives their values
 * @type: of the elements
 * @dst: address of an element that will be written, or NULL
 * @src: address of an element that will be copied, or NULL; not both are NULL
 * @bytes: length of the range: of whole elements, or a part of the last one
 */
void barrier_bulk(const struct view *view, struct barrier_buffer *buffer,
		  const struct gcheap_type_record *type, const void *dst, const void *src,
		  size_t bytes);

/**
 * barrier_bulk_object() - the pointers of any part of an object
 * @view: the heap
 * @buffer: receives their values
 * @dst: address in an allocated object of the heap, a multiple of 8
 * @src: what will be copied there, or NULL
 * @bytes: length of the range; it ends in the same object
 *
 * Finds the slots by what the heap knows of @dst's object.
 */
void barrier_bulk_object(const struct view *view, struct barrier_buffer *buffer, const void *dst,
			 const void *src, size_t bytes);

/**
 * barrier_bulk_bitmap() - the pointers of memory that a bitmap describes
 * @view: the heap
 * @buffer: receives their values
 * @dst: address of the first word, or NULL
 * @src: what will be copied there, or NULL; not both are NULL
 * @words: length of the range
 * @bits: one bit a word, the lowest first
 * @first_bit: the bit of the first word
 *
 * For what lies outside the heap: roots, stack frames, buffers.
 */
void barrier_bulk_bitmap(const struct view *view, struct barrier_buffer *buffer, const void *dst,
			 const void *src, size_t words, const uint8_t *bits, size_t first_bit);

/* Flush what the buffer holds. */
static inline void barrier_flush(struct barrier_buffer *buffer)
{
	if (buffer->count)
		buffer->flush(buffer);
}

#endif /* GCHEAP_LIB_BARRIER_H */
