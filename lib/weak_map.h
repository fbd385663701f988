/* SPDX-License-Identifier: MIT */
/*
 * Weak maps (weak_map.c): a table from keys to their ephemerons.
 */
#ifndef GCHEAP_LIB_WEAK_MAP_H
#define GCHEAP_LIB_WEAK_MAP_H

#include "identity_table.h"
#include "special.h"

/**
 * struct gcheap_weak_map - a weak map
 * @link: in the list of the heap's; first
 * @heap: whose
 * @owner: its entry of the object with which it goes; NULL: it has none
 * @table: from keys to entries of kind SPECIAL_EPHEMERON. The heap's lock of specials guards it
 */
struct gcheap_weak_map {
	struct special_link link;
	struct gcheap *heap;
	struct special *owner;
	struct identity_table table;
};

/*
 * Frees the maps of an owner that has gone. Its chain of entries has left the table. The lock of
 * the specials is held.
 */
void weak_maps_free(struct gcheap *heap, struct special *first);

/* Frees the memory of all maps: the heap is closed, and has no entries any more. */
void weak_maps_destroy(struct specials *specials);

#endif /* GCHEAP_LIB_WEAK_MAP_H */
