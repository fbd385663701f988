// SPDX-License-Identifier: MIT
/*
 * Registered roots: where a cycle starts, besides frames and stacks.
 */
#include "roots.h"

#include <errno.h>
#include <string.h>

#include "entry.h"
#include "error.h"
#include "layout/program.h"
#include "layout/typed_pointers.h"
#include "library.h"
#include "memory.h"

#define WORD_BYTES	sizeof(void *)

#define ROOTS_MIN	16u

/* The bucket of an address; @capacity is a power of two. */
static size_t *root_bucket(size_t *buckets, size_t capacity, const void *start)
{
	uint64_t word = (uint64_t)(uintptr_t)start / WORD_BYTES;
	/* Fibonacci hashing of the page; what lies beside each other there stays so here. */
	uint64_t hash = (word >> 9) * 0x9e3779b97f4a7c15 >> 32;

	return &buckets[(hash + (word & 511)) & (capacity - 1)];
}

static void root_link(struct root *all, size_t i, size_t *bucket)
{
	all[i].next = *bucket;
	*bucket = i + 1;
}

/* Moves the chain of a bucket to new ones. What comes first is linked last. */
static void bucket_move(struct roots *roots, size_t first, size_t *buckets, size_t capacity)
{
	size_t reversed = 0;

	while (first) {
		struct root *root = &roots->all[first - 1];
		size_t next = root->next;

		root->next = reversed;
		reversed = first;
		first = next;
	}
	while (reversed) {
		struct root *root = &roots->all[reversed - 1];
		size_t i = reversed - 1;

		reversed = root->next;
		root_link(roots->all, i, root_bucket(buckets, capacity, root->start));
	}
}

static bool roots_grow(struct roots *roots)
{
	size_t capacity = roots->capacity ? roots->capacity * 2 : ROOTS_MIN;
	size_t *buckets = memory_zalloc(capacity * sizeof(*buckets));
	struct root *all = NULL;
	size_t i;

	if (buckets)
		all = memory_grow(roots->all, capacity * sizeof(*all));
	if (!all) {
		memory_free(buckets);
		return false;
	}
	roots->all = all;
	for (i = 0; i < roots->capacity; i++)
		bucket_move(roots, roots->buckets[i], buckets, capacity);
	memory_free(roots->buckets);
	roots->buckets = buckets;
	roots->capacity = capacity;
	return true;
}

static int roots_append(struct gcheap *heap, const struct root *root)
{
	struct roots *roots = &heap->roots;
	int error = 0;

	pthread_mutex_lock(&heap->lock);
	if (roots->count == roots->capacity && !roots_grow(roots)) {
		error = error_set(-ENOMEM, "out of memory for %zu roots", roots->count + 1);
	} else {
		roots->all[roots->count] = *root;
		root_link(roots->all, roots->count++,
			  root_bucket(roots->buckets, roots->capacity, root->start));
		roots->mask_bytes += root->mask_bytes;
	}
	pthread_mutex_unlock(&heap->lock);
	return error;
}

/* The link that leads to the first root for which @start or @index is right. */
static size_t *root_find(struct roots *roots, const void *start, size_t index)
{
	size_t *link = root_bucket(roots->buckets, roots->capacity, start);

	while (*link && *link - 1 != index &&
	       (index != SIZE_MAX || roots->all[*link - 1].start != start))
		link = &roots->all[*link - 1].next;
	return link;
}

/* Takes a root out; the last of the array takes its place. */
static void root_unlink(struct roots *roots, size_t *link)
{
	size_t i = *link - 1;
	size_t last = roots->count - 1;

	*link = roots->all[i].next;
	if (i != last) {
		link = root_find(roots, roots->all[last].start, last);
		*link = i + 1;
		roots->all[i] = roots->all[last];
	}
	roots->count = last;
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
	LIBRARY_ENTRY;
	int error = root_check(heap, slots, n, WORD_BYTES);

	if (error)
		return error;
	return roots_append(heap, &(struct root) {
		.start = slots, .count = n, .kind = ROOT_PRECISE,
	});
}

int gcheap_root_add_typed(struct gcheap *heap, void *start, gcheap_type type, size_t n)
{
	LIBRARY_ENTRY;
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
	LIBRARY_ENTRY;
	int error = root_check(heap, start, bytes, 1);

	if (error)
		return error;
	/* A last part of a word holds no pointer. */
	return roots_append(heap, &(struct root) {
		.start = start, .count = bytes - bytes % WORD_BYTES, .kind = ROOT_AMBIGUOUS,
	});
}

struct typed_pointers root_pointers(const struct view *view, const struct root *root,
				    uint64_t first, uint64_t end)
{
	const struct gcheap_type_record *type = view_type(view, root->type);
	const uint64_t *mask = root->mask ? root->mask : view_type_mask(view, type);
	uint64_t start = (uint64_t)(uintptr_t)root->start;

	return typed_pointers_of_mask(type, mask, start + type->bytes * first,
				      start + type->bytes * first, start + type->bytes * end);
}

int roots_add_own(struct gcheap *heap, const void *start, size_t bytes)
{
	return roots_append(heap, &(struct root) {
		.start = start, .count = bytes, .kind = ROOT_AMBIGUOUS, .is_own = true,
	});
}

int gcheap_root_remove(struct gcheap *heap, const void *start)
{
	LIBRARY_ENTRY;
	struct root removed = { .start = NULL };
	struct roots *roots;
	size_t *link = NULL;
	int error = heap_check(heap);

	if (error)
		return error;
	roots = &heap->roots;
	pthread_mutex_lock(&heap->lock);
	/* The latest of those with this address, so that uses can be nested. */
	if (roots->count)
		link = root_find(roots, start, SIZE_MAX);
	if (link && *link) {
		removed = roots->all[*link - 1];
		roots->mask_bytes -= removed.mask_bytes;
		root_unlink(roots, link);
	}
	pthread_mutex_unlock(&heap->lock);
	if (!removed.start)
		return error_set(-ENOENT, "no root was added with the address %p", start);
	program_mask_free(removed.mask, removed.mask_bytes);
	return 0;
}

void roots_destroy(struct roots *roots)
{
	size_t i;

	for (i = 0; i < roots->count; i++)
		program_mask_free(roots->all[i].mask, roots->all[i].mask_bytes);
	memory_free(roots->all);
	memory_free(roots->buckets);
}
