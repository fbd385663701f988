// SPDX-License-Identifier: MIT
/*
 * Does the heap know of a new object what its type says?
 *
 * The type is read here in the plainest way, one bit a word, and compared with the
 * iterator that marking uses. Only the first words of a long range are compared: over
 * many objects, random starts reach the others.
 */
#include "verify_write.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bad_pointer.h"
#include "inspect.h"
#include "layout/layout.h"
#include "layout/program.h"
#include "layout/typed_pointers.h"
#include "report.h"
#include "thread.h"

#define RANGE_WORDS	16384u	/* 128 KiB, an oblet */

/**
 * struct written - an object whose type was just written
 * @heap: its heap
 * @record: what its elements are; of bytes without a type all zeros
 * @type: their number, or 0
 * @bytes: of all of them
 * @start: offset of the object from the base
 * @mask: which words of an element are pointers
 */
struct written {
	struct gcheap *heap;
	const struct gcheap_type_record *record;
	gcheap_type type;
	uint64_t bytes;
	uint64_t start;
	const uint64_t *mask;
};

static void __attribute__((format(printf, 2, 3), noreturn))
complain(const struct written *written, const char *format, ...)
{
	const struct view *view = &written->heap->view;
	char what[256], where[BAD_POINTER_TEXT], type[20] = "no type";
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (written->type)
		snprintf(type, sizeof(type), "type %u", written->type);
	report("gcheap: verify: %llu bytes of %s, new in %s: %s\n",
	       (unsigned long long)written->bytes, type,
	       bad_pointer_span(written->heap, written->start, where), what);
	report("gcheap: corrupted heap: a %s heap has not made a new object as it must be, at "
	       "%p\n", written->heap->layout->name, address_pointer(view, written->start));
	abort();
}

/* The type's own word: is word @word of an array of it a pointer? */
static bool type_says(const struct written *written, uint64_t word)
{
	const struct gcheap_type_record *record = written->record;

	word %= record->bytes / 8;
	return word < record->ptr_bytes / 8 && view_bit(written->mask, word);
}

/* Compares the pointers from word @from on. */
static void check_range(const struct written *written, const struct slot *slot, uint64_t from)
{
	uint64_t address = (uintptr_t)address_pointer(&written->heap->view, written->start);
	uint64_t words = written->bytes / 8;
	uint64_t to = words - from < RANGE_WORDS ? words : from + RANGE_WORDS;
	struct typed_pointers tp = typed_pointers_of(&written->heap->view, slot,
						     address + from * 8, address + to * 8);
	uint64_t next = typed_pointers_next(&tp);
	uint64_t word;

	for (word = from; word < to; word++) {
		bool found = next == address + word * 8;

		if (found != type_says(written, word))
			complain(written, "its word %llu of %llu is taken for %s, looked at from "
				 "word %llu, and is %s", (unsigned long long)word,
				 (unsigned long long)words, found ? "a pointer" : "a scalar",
				 (unsigned long long)from, found ? "a scalar" : "a pointer");
		if (found)
			next = typed_pointers_next(&tp);
	}
}

/* splitmix64, of Steele, Lea and Flood */
static uint64_t random_number(struct gcheap *heap)
{
	uint64_t z = __atomic_add_fetch(&heap->verify_random, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* From the start, and from anywhere. Elements with pointers are of whole words. */
static void check_pointers(struct written *written, const struct slot *slot)
{
	const struct gcheap_type_record *record = written->record;
	const uint64_t *unrolled = NULL;

	written->mask = view_type_mask(&written->heap->view, record);
	/* A BITMAP heap has no masks of long programs. Without memory for one: next time. */
	if (!written->mask) {
		unrolled = program_mask(&written->heap->view, record);
		written->mask = unrolled;
	}
	if (!written->mask)
		return;
	check_range(written, slot, 0);
	check_range(written, slot, random_number(written->heap) % (written->bytes / 8));
	program_mask_free(unrolled, program_mask_bytes(record));
}

/* An object, and what its slot has behind it. */
static void check_zeros(const struct written *written, const struct object_view *object)
{
	const unsigned char *byte = address_pointer(&written->heap->view, written->start);
	uint64_t length = object->end - object->start, i;

	/* All are as the first, and that is zero. */
	if (!byte[0] && !memcmp(byte, byte + 1, length - 1))
		return;
	for (i = 0; !byte[i]; i++)
		;
	complain(written, "its byte %llu is not zero%s", (unsigned long long)i,
		 i < written->bytes ? "" : ", behind its last element");
}

/* A tiny object's cell, of the slot that it shares. */
static void cell_of(const struct written *written, struct object_view *object)
{
	uint64_t cell = 1;

	while (cell < written->bytes)
		cell *= 2;
	if (written->start < object->start || written->start + cell > object->end ||
	    written->start % cell)
		return;
	object->start = written->start;
	object->end = written->start + cell;
}

void verify_write(struct gcheap *heap, const void *object, gcheap_type type, uint64_t bytes)
{
	static const struct gcheap_type_record no_type;
	struct written written = {
		.heap = heap,
		.record = type ? view_type(&heap->view, type) : &no_type,
		.type = type,
		.bytes = bytes,
		.start = address_offset(&heap->view, object),
	};
	struct object_view view;
	struct slot slot;

	if (!inspect_slot(heap, written.start, &slot))
		complain(&written, "its slot is not allocated");
	layout_object(&heap->view, &slot, &view);
	if (!type && cache_is_tiny(heap, bytes))
		cell_of(&written, &view);
	if (view.start != written.start || view.end - view.start < bytes)
		complain(&written, "the heap has it as %llu bytes from byte %lld on",
			 (unsigned long long)(view.end - view.start),
			 (long long)(view.start - written.start));
	if (!view.noscan != !!written.record->ptr_bytes)
		complain(&written, "the heap takes it for an object with%s pointers",
			 view.noscan ? "out" : "");
	if (view.type && view.type != type)
		complain(&written, "the heap has it as type %u", view.type);
	if (written.record->ptr_bytes)
		check_pointers(&written, &slot);
	check_zeros(&written, &view);
}
