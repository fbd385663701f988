/* SPDX-License-Identifier: MIT */
/*
 * Weak references, in cycles (weak.c). Making them allocates: weak_new.c.
 */
#ifndef GCHEAP_LIB_WEAK_H
#define GCHEAP_LIB_WEAK_H

#include <stdbool.h>
#include <stdint.h>

#include "special.h"

struct gcheap;
struct special;

/**
 * struct gcheap_weak - a weak reference: a leaf of the heap
 * @object: what it refers to; NULL: that is dead. Written while all threads are stopped, or by
 *	who frees the object
 * @special: its entry, which may have left the table; NULL: it has none any more
 * @reserved: makes it larger than objects that share a slot
 */
struct gcheap_weak {
	void *object;
	struct special *special;
	uint64_t reserved[2];
};

static inline struct gcheap_weak *weak_of(const struct special *special)
{
	return special->argument;
}

/* Threads may look at it. */
static inline void weak_set(struct special *special, void *object)
{
	__atomic_store_n(&weak_of(special)->object, object, __ATOMIC_RELAXED);
}

/* In these the lock of the specials is held. Whether nothing leads to the reference itself. */
bool weak_is_dead(const struct gcheap *heap, const struct special *special);

/*
 * The object is dead, or the reference is: the entry has left the table, or belongs out of it, and
 * goes when nobody has the reference.
 */
void weak_end(struct gcheap *heap, struct special *special);

#endif /* GCHEAP_LIB_WEAK_H */
