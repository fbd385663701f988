// SPDX-License-Identifier: MIT
/*
 * Registered roots: where a cycle starts, besides frames and stacks.
 */
#include "heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layout/program.h"

#define WORD_BYTES	sizeof(void *)

static int roots_append(struct gcheap *heap, const struct root *root)
{
	struct roots *roots = &heap->roots;
	int error = 0;

	pthread_mutex_lock(&heap->lock);
	if (roots->count == roots->capacity) {
		size_t capacity = roots->capacity ? roots->capacity * 2 : 16;
		struct root *all = realloc(roots->all, capacity * sizeof(*all));

		if (all) {
			roots->all = all;
			roots->capacity = capacity;
		} else {
			error = error_set(-ENOMEM, "out of memory for %zu roots", capacity);
		}
	}
	if (!error) {
		roots->all[roots->count++] = *root;
		roots->mask_bytes += root->mask_bytes;
	}
	pthread_mutex_unlock(&heap->lock);
	return error;
}

/* What all kinds of roots must be: a place, aligned, not empty, not past the end. */
static int root_check(const struct gcheap *heap, const void *start, size_t n, uint64_t bytes_each)
{
	int error = heap_check(heap);
	uint64_t bytes;

	if (error)
		return error;
	if (!start)
		return error_set(-EINVAL, "a root's address is NULL");
	if ((uintptr_t)start % WORD_BYTES)
		return error_set(-EINVAL, "the root at %p is not aligned to %zu bytes", start,
				 WORD_BYTES);
	if (!n)
		return error_set(-EINVAL, "the root at %p has a length of 0", start);
	if (__builtin_mul_overflow((uint64_t)n, bytes_each, &bytes) ||
	    bytes > UINTPTR_MAX - (uintptr_t)start)
		return error_set(-EINVAL, "the root at %p goes past the end of the address space",
				 start);
	return 0;
}

int gcheap_root_add(struct gcheap *heap, void *slots, size_t n)
{
	int error = root_check(heap, slots, n, WORD_BYTES);

	if (error)
		return error;
	return roots_append(heap, &(struct root) {
		.start = slots, .count = n, .kind = ROOT_PRECISE,
	});
}

int gcheap_root_add_typed(struct gcheap *heap, void *start, gcheap_type type, size_t n)
{
	struct root root = { .start = start, .count = n, .type = type, .kind = ROOT_TYPED };
	const struct gcheap_type_record *record;
	int error = heap_check(heap);

	if (error)
		return error;
	record = heap_type(heap, type);
	if (!record)
		return error_set(-EINVAL, "%u is no type of this heap: register it first", type);
	error = root_check(heap, start, n, record->bytes);
	if (error)
		return error;
	/* In TYPES there is a mask only while the type has objects. */
	if (record->program_bytes) {
		root.mask_bytes = program_mask_bytes(record);
		root.mask = program_mask(&heap->view, record);
		if (!root.mask)
			return error_set(-ENOMEM, "out of memory for the pointer mask of a root");
	}
	error = roots_append(heap, &root);
	if (error)
		program_mask_free(root.mask, root.mask_bytes);
	return error;
}

int gcheap_root_add_ambiguous(struct gcheap *heap, const void *start, size_t bytes)
{
	int error = root_check(heap, start, bytes, 1);

	if (error)
		return error;
	/* A last part of a word holds no pointer. */
	return roots_append(heap, &(struct root) {
		.start = start, .count = bytes - bytes % WORD_BYTES, .kind = ROOT_AMBIGUOUS,
	});
}

int gcheap_root_remove(struct gcheap *heap, const void *start)
{
	struct root removed = { .start = start };
	struct roots *roots;
	int error = heap_check(heap);
	size_t i;

	if (error)
		return error;
	roots = &heap->roots;
	pthread_mutex_lock(&heap->lock);
	/* The latest of those with this address, so that uses can be nested. */
	for (i = roots->count; i && roots->all[i - 1].start != start; i--)
		;
	if (i) {
		removed = roots->all[i - 1];
		roots->mask_bytes -= removed.mask_bytes;
		memmove(&roots->all[i - 1], &roots->all[i],
			(roots->count - i) * sizeof(*roots->all));
		roots->count--;
	}
	pthread_mutex_unlock(&heap->lock);
	if (!i)
		return error_set(-ENOENT, "no root was added with the address %p", start);
	program_mask_free(removed.mask, removed.mask_bytes);
	return 0;
}

void roots_destroy(struct roots *roots)
{
	size_t i;

	for (i = 0; i < roots->count; i++)
		program_mask_free(roots->all[i].mask, roots->all[i].mask_bytes);
	free(roots->all);
}
