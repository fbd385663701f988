/* SPDX-License-Identifier: MIT */
/*
 * Registered roots: where a cycle starts, besides frames and stacks (roots.c).
 */
#ifndef GCHEAP_LIB_ROOTS_H
#define GCHEAP_LIB_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>

struct typed_pointers;
struct view;

/**
 * struct root - registered roots
 * @start: what gcheap_root_add*() was given
 * @count: slots, elements or bytes, by @kind
 * @type: of typed roots
 * @mask: of typed roots whose type may have none: their own; else NULL
 * @mask_bytes: its length
 * @kind: how to read it
 * @is_own: it is the library's own, about which nobody asks
 * @next: in its bucket: the index of the next one, plus 1; 0: none. Of those with one
 *	address a later one comes first
 */
struct root {
	const void *start;
	size_t count;
	gcheap_type type;
	const uint64_t *mask;
	uint64_t mask_bytes;
	enum root_kind {
		ROOT_PRECISE,
		ROOT_TYPED,
		ROOT_AMBIGUOUS,
	} kind;
	bool is_own;
	size_t next;
};

/**
 * struct roots - the registered roots of a heap
 * @all: array, in no order
 * @count: how many
 * @capacity: room in @all, a power of two
 * @buckets: @capacity of them, by address: the index of the first root, plus 1
 * @mask_bytes: memory of the roots' own masks
 */
struct roots {
	struct root *all;
	size_t count, capacity;
	size_t *buckets;
	uint64_t mask_bytes;
};

/* The words of a typed root that may be pointers, of its elements from @first to before @end. */
struct typed_pointers root_pointers(const struct view *view, const struct root *root,
				    uint64_t first, uint64_t end);

/*
 * gcheap_root_add_ambiguous() for memory of the library's own, of a heap that heap_check() has
 * passed; gcheap_root_remove() takes it back.
 */
int roots_add_own(struct gcheap *heap, const void *start, size_t bytes);

/* Forgets all roots; the heap may be a parent process's. */
void roots_destroy(struct roots *roots);

#endif /* GCHEAP_LIB_ROOTS_H */
