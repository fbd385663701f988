/* SPDX-License-Identifier: MIT */
/*
 * Finding an object that a program says it has, without stopping anybody (owned.c).
 */
#ifndef GCHEAP_LIB_OWNED_H
#define GCHEAP_LIB_OWNED_H

#include "layout/layout.h"

struct cache;
struct thread;

/**
 * struct owned - an object that a function was given
 * @slot: its slot
 * @object: what the program sees of it
 * @cache: the caller's cache that has its span; NULL: none has
 * @is_shared: others may share its slot
 */
struct owned {
	struct slot slot;
	struct object_view object;
	struct cache *cache;
	bool is_shared;
};

/**
 * owned_find() - find the object that begins at an address
 * @heap: the heap
 * @self: the calling thread's handle; NULL: it is not attached
 * @obj: the address
 * @owned: receives the object
 * @why: receives, where there is none, what is wrong with the address; NULL: it is in no slot
 *
 * What is asked about is an object that lives: its span's entries in the tables stand still. Of an
 * address that is none, they may change while they are looked at, and the answer is then about one
 * moment or the other. Whether a slot is allocated is known by the alloc bits, or by the caller's
 * own caches; what another thread's caches hold is taken for allocated.
 *
 * Return: whether there is one.
 */
bool owned_find(const struct gcheap *heap, const struct thread *self, const void *obj,
		struct owned *owned, const char **why);

#endif /* GCHEAP_LIB_OWNED_H */
