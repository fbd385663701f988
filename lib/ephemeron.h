/* SPDX-License-Identifier: MIT */
/*
 * Ephemerons: values that are kept as long as their keys live, and do not keep these
 * (ephemeron.c). In all of these the lock of the specials is held.
 *
 * An entry is its key's, and those of one key are a chain, of which the table has the first. One
 * of a weak map whose owner is an object keeps its value as long as both live; the owner's entry
 * leads to the map.
 */
#ifndef GCHEAP_LIB_EPHEMERON_H
#define GCHEAP_LIB_EPHEMERON_H

#include "special.h"

/**
 * ephemeron_add() - keep a value as long as a key
 * @heap: the heap
 * @key: the key's
 * @obj: the key
 * @value: any pointer
 * @map: the weak map that this is of, or NULL
 *
 * Return: the entry; NULL: there is no memory.
 */
struct special *ephemeron_add(struct gcheap *heap, uint64_t key, void *obj, void *value,
			      struct gcheap_weak_map *map);

/* The same of an object that shall have a map for as long as it lives. */
struct special *ephemeron_owner_add(struct gcheap *heap, uint64_t key, void *obj,
				    struct gcheap_weak_map *map);

/* Takes the key of a weak map's entry out of the map. */
void ephemeron_leave_map(struct gcheap *heap, struct special *special);

/* Takes one entry of a chain away, and frees it. */
void ephemeron_remove(struct gcheap *heap, struct special *special);

/* Frees the chain of a key that has gone. It belongs out of the table, or has left it. */
void ephemerons_free(struct gcheap *heap, struct special *first);

/**
 * ephemerons_settle() - mark values whose keys are marked, and what these lead to
 * @heap: the heap, in whose cycle all that roots lead to is marked
 *
 * What is marked after this with ephemerons_follow() keeps values, too, until
 * ephemerons_settled().
 */
void ephemerons_settle(struct gcheap *heap);
void ephemerons_follow(struct gcheap *heap);
void ephemerons_settled(struct gcheap *heap);

#endif /* GCHEAP_LIB_EPHEMERON_H */
