// SPDX-License-Identifier: MIT
/*
 * Type registration. The backend checks the same rules again, because it trusts no
 * caller; the checks here are for the message.
 */
#include "library.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "entry.h"
#include "error.h"
#include "gc_program.h"
#include "units.h"

#define WORD_BYTES	8u

static unsigned long long ull(uint64_t n)
{
	return n;
}

/* Rules of size and alignment. */
static int check_shape(const struct gcheap_type_desc *desc)
{
	if (!desc->size)
		return error_set(-EINVAL, "type %s: a size of 0: it needs a byte at least",
				 desc->name);
	if (!desc->align || desc->align & (desc->align - 1) || desc->align > GCHEAP_TYPE_ALIGN_MAX)
		return error_set(-EINVAL, "type %s: the alignment, %llu, must be a power of two, "
				 "%u at most", desc->name, ull(desc->align), GCHEAP_TYPE_ALIGN_MAX);
	if (desc->size % desc->align)
		return error_set(-EINVAL, "type %s: the size, %llu, must be a multiple of the "
				 "alignment, %llu", desc->name, ull(desc->size), ull(desc->align));
	if (desc->size > GCHEAP_RESERVE_MAX)
		return error_set(-EINVAL, "type %s: the size, %llu, is more than any heap has",
				 desc->name, ull(desc->size));
	return 0;
}

/* Rules of where the pointers are. */
static int check_pointers(const struct gcheap_type_desc *desc)
{
	size_t words = desc->ptr_bytes / WORD_BYTES;

	if (!desc->ptr_bytes) {
		if (desc->ptr_mask || desc->gc_prog || desc->gc_prog_len)
			return error_set(-EINVAL, "type %s: a pointer mask or GC program, but "
					 "ptr_bytes is 0", desc->name);
		return 0;
	}
	if (desc->ptr_mask && desc->gc_prog)
		return error_set(-ENOTUNIQ, "type %s: a pointer mask and a GC program: give one of "
				 "them", desc->name);
	if (!desc->ptr_mask && !desc->gc_prog)
		return error_set(-EINVAL, "type %s: ptr_bytes is %llu, but there is no pointer "
				 "mask or GC program", desc->name, ull(desc->ptr_bytes));
	if (!desc->gc_prog != !desc->gc_prog_len)
		return error_set(-EINVAL, "type %s: gc_prog_len is %llu, and %s GC program",
				 desc->name, ull(desc->gc_prog_len),
				 desc->gc_prog ? "there is a" : "there is no");
	if (desc->gc_prog_len > GCHEAP_GC_PROG_MAX)
		return error_set(-EINVAL, "type %s: the GC program has %llu bytes, %u at most",
				 desc->name, ull(desc->gc_prog_len), GCHEAP_GC_PROG_MAX);
	if (desc->ptr_bytes % WORD_BYTES)
		return error_set(-EINVAL, "type %s: ptr_bytes, %llu, must be a multiple of %u",
				 desc->name, ull(desc->ptr_bytes), WORD_BYTES);
	if (desc->ptr_bytes > desc->size)
		return error_set(-ERANGE, "type %s: the mask is longer than the object: ptr_bytes "
				 "%llu, size %llu", desc->name, ull(desc->ptr_bytes),
				 ull(desc->size));
	if (desc->align < WORD_BYTES)
		return error_set(-EINVAL, "type %s: with pointers the alignment, %llu, must be %u "
				 "at least", desc->name, ull(desc->align), WORD_BYTES);
	if (desc->ptr_mask && words % 8 && desc->ptr_mask[words / 8] >> words % 8)
		return error_set(-EDOM, "type %s: the mask has bits beyond ptr_bytes, %llu",
				 desc->name, ull(desc->ptr_bytes));
	return 0;
}

/* The backend has refused a GC program: says why, and where. 0: it is in order. */
static int program_failed(const struct gcheap_type_desc *desc)
{
	static const char *const reasons[] = {
		[GC_PROGRAM_TRUNCATED] = "it ends before the instruction does, or without the byte "
			"0 that ends a program",
		[GC_PROGRAM_TRAILING] = "the program ends, but more bytes follow",
		[GC_PROGRAM_PADDING] = "the last byte has bits beyond those to emit",
		[GC_PROGRAM_VARINT_LONG] = "a number has more bytes than it needs",
		[GC_PROGRAM_VARINT_OVERFLOW] = "a number overflows 64 bits",
		[GC_PROGRAM_REPEAT_NOTHING] = "a repeat of 0 bits",
		[GC_PROGRAM_REPEAT_UNWRITTEN] = "a repeat of more bits than were emitted",
		[GC_PROGRAM_LONG] = "more bits than ptr_bytes has words",
		[GC_PROGRAM_SHORT] = "the program ends with fewer bits than ptr_bytes has words",
	};
	struct gc_program program = {
		.code = desc->gc_prog,
		.bytes = (uint32_t)desc->gc_prog_len,
		.words = desc->ptr_bytes / WORD_BYTES,
	};
	enum gc_program_error error = gc_program_check(&program);

	if (!error)
		return 0;
	return error_set(-EINVAL, "type %s: GC program, instruction at byte %u, after %llu of %llu "
			 "bits: %s", desc->name, program.at, ull(program.emitted),
			 ull(program.words), reasons[error]);
}

static int type_failed(int error, const struct gcheap_type_desc *desc)
{
	switch (error) {
	case -EINVAL:
		if (desc->gc_prog && program_failed(desc))
			return error;
		return error_set(error, "type %s: a value that the backend does not take",
				 desc->name);
	case -EILSEQ:
		return error_set(error, "a type's name is not UTF-8: give one that people can "
				 "read");
	case -EFBIG:
		return error_set(error, "type %s: ptr_bytes, %llu, is more than a mask can "
				 "describe: register an element, and allocate an array of it",
				 desc->name, ull(desc->ptr_bytes));
	case -ENOSPC:
		return error_set(error, "type %s: no room for more types, masks and names in this "
				 "heap", desc->name);
	case -ENOMEM:
		return error_set(error, "type %s: out of memory", desc->name);
	default:
		return error_set(error, "type %s: the backend refused it: %s", desc->name,
				 strerror(-error));
	}
}

int gcheap_type_register(struct gcheap *heap, const struct gcheap_type_desc *desc,
			 gcheap_type *type)
{
	LIBRARY_ENTRY;
	struct gcheap_type_add add = { .size = sizeof(add) };
	size_t name_bytes;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!desc || !type)
		return error_set(-EINVAL, "gcheap_type_register: %s is NULL",
				 desc ? "type" : "desc");
	if (!desc->name)
		return error_set(-EINVAL, "a type's name is NULL: people need one");
	name_bytes = strlen(desc->name);
	if (name_bytes > GCHEAP_TYPE_NAME_MAX)
		return error_set(-ENAMETOOLONG, "type %.60s...: the name has %llu bytes, %u at "
				 "most", desc->name, ull(name_bytes), GCHEAP_TYPE_NAME_MAX);
	error = check_shape(desc);
	if (!error)
		error = check_pointers(desc);
	if (error)
		return error;

	add.bytes = desc->size;
	add.ptr_bytes = desc->ptr_bytes;
	add.align = (uint32_t)desc->align;
	add.name_bytes = (uint32_t)name_bytes;
	add.name = (uintptr_t)desc->name;
	add.ptr_mask = (uintptr_t)desc->ptr_mask;
	add.gc_prog = (uintptr_t)desc->gc_prog;
	add.gc_prog_bytes = (uint32_t)desc->gc_prog_len;
	error = backend_request(heap->backend, GCHEAP_OP_TYPE_ADD, &add);
	if (error)
		return type_failed(error, desc);
	*type = add.out_type;
	return 0;
}

/* ---- types from members ------------------------------------------------------- */

/* One past the last byte of a member's pointers. */
static size_t member_end(const struct gcheap_member_ *member, size_t items)
{
	size_t count = member->count ? member->count : items;

	return count ? member->offset + (count - 1) * member->stride + member->bytes : 0;
}

static void mask_set(uint8_t *mask, size_t offset, size_t bytes)
{
	size_t end = offset + bytes;

	for (; offset < end; offset += WORD_BYTES)
		mask[offset / WORD_BYTES / 8] |= (uint8_t)(1u << offset / WORD_BYTES % 8);
}

/* Registers a struct of @desc's size; its flexible array, if it has one, has @items. */
static gcheap_type register_members(struct gcheap *heap, struct gcheap_type_desc *desc,
				    const struct gcheap_member_ *members, size_t count,
				    size_t items)
{
	gcheap_type type = 0;
	uint8_t *mask;
	size_t i, run;
	int error;

	for (i = 0; i < count; i++) {
		size_t end = member_end(&members[i], items);

		if (desc->ptr_bytes < end)
			desc->ptr_bytes = end;
	}
	/* Refused before all its bits are set one by one. */
	if (desc->ptr_bytes / WORD_BYTES / 8 > TYPE_MASK_BYTES_MAX) {
		errno = -type_failed(-EFBIG, desc);
		return 0;
	}
	mask = calloc(desc->ptr_bytes / WORD_BYTES / 8 + 1, 1);
	if (!mask) {
		error_null(-ENOMEM, "type %s: out of memory", desc->name);
		return 0;
	}
	for (i = 0; i < count; i++) {
		size_t runs = members[i].count ? members[i].count : items;

		for (run = 0; run < runs; run++)
			mask_set(mask, members[i].offset + run * members[i].stride,
				 members[i].bytes);
	}
	if (desc->ptr_bytes)
		desc->ptr_mask = mask;
	error = gcheap_type_register(heap, desc, &type);
	free(mask);
	if (error)
		errno = -error;
	return error ? 0 : type;
}

gcheap_type gcheap_type_members_(struct gcheap *heap, const char *name, size_t size, size_t align,
				 const struct gcheap_member_ *members, size_t count)
{
	struct gcheap_type_desc desc = { .name = name, .size = size, .align = align };

	return register_members(heap, &desc, members, count, 0);
}

gcheap_type gcheap_type_flexible_(struct gcheap *heap, const char *name, size_t items_offset,
				  size_t item_bytes, size_t items, size_t align,
				  const struct gcheap_member_ *members, size_t count)
{
	struct gcheap_type_desc desc = { .name = name, .align = align };
	char full_name[GCHEAP_TYPE_NAME_MAX + 1];

	/* What is larger than any heap is refused before the arithmetic overflows. */
	if (items > (GCHEAP_RESERVE_MAX - items_offset) / item_bytes) {
		error_null(-EINVAL, "type %s: %llu items of %llu bytes are more than any heap has",
			   name, ull(items), ull(item_bytes));
		return 0;
	}
	desc.size = (items_offset + items * item_bytes + align - 1) & ~(align - 1);
	if ((size_t)snprintf(full_name, sizeof(full_name), "%s (%llu items)", name, ull(items)) <
	    sizeof(full_name))
		desc.name = full_name;
	return register_members(heap, &desc, members, count, items);
}
