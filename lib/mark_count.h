/* SPDX-License-Identifier: MIT */
/*
 * Walks through the mark bits of all spans: before marking, after it, and to take it up
 * again after the stack has overflowed.
 */
#ifndef GCHEAP_LIB_MARK_COUNT_H
#define GCHEAP_LIB_MARK_COUNT_H

#include <stdint.h>

struct marker;

/**
 * struct mark_result - what a cycle's marking found
 * @objects: marked objects
 * @bytes: their slots' bytes
 * @span_bytes: the spans that they are in
 */
struct mark_result {
	uint64_t objects;
	uint64_t bytes;
	uint64_t span_bytes;
};

/* Set the mark bits of free slots, so that no edge leads into one. */
void mark_hide_free(struct marker *marker);
/* Scan all marked objects again, because the stack overflowed. */
void mark_rescan(struct marker *marker);
/* The cycle's figures, from the mark bits; takes them off free slots. */
void mark_count(struct marker *marker, struct mark_result *result);

#endif /* GCHEAP_LIB_MARK_COUNT_H */
