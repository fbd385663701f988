// SPDX-License-Identifier: MIT
/*
 * Bulk write barriers.
 */
#include "barrier.h"

#include "layout/typed_pointers.h"

/* The value of a slot, if it is an address in the heap. */
static void value_add(const struct view *view, struct barrier_buffer *buffer, const char *slot)
{
	uint64_t value = __atomic_load_n((const uint64_t *)slot, __ATOMIC_RELAXED);

	if (address_offset(view, (const void *)(uintptr_t)value) < address_end(view))
		buffer->values[buffer->count++] = value;
}

/* One slot of the range, @offset bytes from its start. */
static void slot_add(const struct view *view, struct barrier_buffer *buffer, const char *dst,
		     const char *src, size_t offset)
{
	if (buffer->count > BARRIER_VALUES - 2)
		buffer->flush(buffer);
	if (dst)
		value_add(view, buffer, dst + offset);
	if (src)
		value_add(view, buffer, src + offset);
}

/* All slots that @pointers names; @start is the address of the range there. */
static void slots_add(const struct view *view, struct barrier_buffer *buffer,
		      struct typed_pointers pointers, uint64_t start, const char *dst,
		      const char *src)
{
	uint64_t slot;

	while ((slot = typed_pointers_next(&pointers)))
		slot_add(view, buffer, dst, src, slot - start);
}

void barrier_bulk(const struct view *view, struct barrier_buffer *buffer,
		  const struct gcheap_type_record *type, const void *dst, const void *src,
		  size_t bytes)
{
	/* Where the elements stand does not matter: they are the same in both places. */
	uint64_t start = (uintptr_t)(dst ? dst : src);

	if (type->ptr_bytes)
		slots_add(view, buffer,
			  typed_pointers_of_type(view, type, start, start, start + bytes), start,
			  dst, src);
}

void barrier_bulk_object(const struct view *view, struct barrier_buffer *buffer, const void *dst,
			 const void *src, size_t bytes)
{
	uint64_t start = (uintptr_t)dst;
	struct slot slot;

	if (!address_slot(view, address_offset(view, dst), &slot))
		return;
	slots_add(view, buffer, typed_pointers_of(view, &slot, start, start + bytes), start, dst,
		  src);
}

void barrier_bulk_bitmap(const struct view *view, struct barrier_buffer *buffer, const void *dst,
			 const void *src, size_t words, const uint8_t *bits, size_t first_bit)
{
	size_t word;

	for (word = 0; word < words; word++) {
		size_t bit = first_bit + word;

		/* Eight words without a pointer at a time. */
		if (!(bit % 8) && !bits[bit / 8]) {
			word += 7;
			continue;
		}
		if (bits[bit / 8] >> bit % 8 & 1)
			slot_add(view, buffer, dst, src, word * sizeof(uint64_t));
	}
}
