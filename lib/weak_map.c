// SPDX-License-Identifier: MIT
/*
 * Weak maps: from objects to values that live as long as these.
 *
 * A key's ephemeron has the value; a table of the map's own leads from the key there. When a key
 * dies, its entries go in the cycle that finds it, and leave the tables of their maps. When the
 * object dies that owns a map, this goes, too, after the walk through the table of specials is
 * over: its entries are those of other objects, which live.
 */
#include "weak_map.h"

#include <errno.h>

#include "entry.h"
#include "ephemeron.h"
#include "error.h"
#include "library.h"
#include "memory.h"
#include "thread.h"

/* ---- with the lock ---------------------------------------------------------------- */

/* What a table takes is part of what the heap's specials take. */
static bool map_reserve(struct gcheap_weak_map *map)
{
	uint64_t before = map->table.room;
	bool has_room = identity_table_reserve(&map->table);

	map->heap->specials.map_bytes +=
		(map->table.room - before) * sizeof(struct identity_place);
	return has_room;
}

static void map_destroy(struct specials *specials, struct gcheap_weak_map *map)
{
	specials->map_bytes -= sizeof(*map) +
		map->table.room * sizeof(struct identity_place);
	/* First: a child of fork() would free it again. */
	special_link_remove(&map->link);
	identity_table_destroy(&map->table);
	memory_free(map);
}

/* Its owner's entry is another one's. */
static void map_free(struct gcheap_weak_map *map)
{
	struct gcheap *heap = map->heap;
	uint64_t i;

	for (i = 0; i < map->table.room; i++) {
		if (map->table.places[i].value)
			ephemeron_remove(heap, map->table.places[i].value);
	}
	map_destroy(&heap->specials, map);
}

void weak_maps_free(struct gcheap *heap, struct special *first)
{
	struct special *next;

	special_list_remove(first);
	for (; first; first = next) {
		next = first->next;
		map_free(first->map);
		pool_free(&heap->specials.records, first);
	}
}

void weak_maps_destroy(struct specials *specials)
{
	while (!special_list_is_empty(&specials->maps))
		map_destroy(specials, (struct gcheap_weak_map *)specials->maps.next);
}

/* ---- the interface ---------------------------------------------------------------- */

static struct gcheap_weak_map *map_make(struct gcheap *heap)
{
	struct gcheap_weak_map *map = memory_zalloc(sizeof(*map));

	if (!map)
		return NULL;
	map->heap = heap;
	special_link_add(&heap->specials.maps, &map->link);
	heap->specials.map_bytes += sizeof(*map);
	return map;
}

int gcheap_weak_map_new(struct gcheap *heap, void *owner, struct gcheap_weak_map **out)
{
	LIBRARY_ENTRY;
	struct gcheap_weak_map *map;
	uint64_t key = 0;
	int error;

	if (!out)
		return error_set(-EINVAL, "the weak map to fill in is NULL");
	if (owner) {
		error = special_begin(heap, owner, &key);
		if (error)
			return error;
	} else {
		error = heap_check(heap);
		if (error)
			return error;
		specials_lock(heap);
	}
	map = map_make(heap);
	if (map && owner) {
		map->owner = ephemeron_owner_add(heap, key, owner, map);
		if (!map->owner) {
			map_destroy(&heap->specials, map);
			map = NULL;
		}
	}
	specials_unlock(heap);
	if (!map)
		return error_set(-ENOMEM, "out of memory for a weak map");
	*out = map;
	return 0;
}

void gcheap_weak_map_free(struct gcheap_weak_map *map)
{
	LIBRARY_ENTRY;
	struct gcheap *heap;

	if (!map || heap_check(map->heap))
		return;
	heap = map->heap;
	specials_lock(heap);
	if (map->owner)
		ephemeron_remove(heap, map->owner);
	map_free(map);
	specials_unlock(heap);
}

static int map_check(const struct gcheap_weak_map *map)
{
	if (!map)
		return error_set(-EINVAL, "the weak map is NULL: make one with "
				 "gcheap_weak_map_new()");
	return heap_check(map->heap);
}

static int set_locked(struct gcheap_weak_map *map, uint64_t id, void *key, void *value)
{
	struct special *special = identity_table_find(&map->table, key);

	if (special) {
		special->argument = value;
		return 0;
	}
	if (!map_reserve(map))
		return -ENOMEM;
	special = ephemeron_add(map->heap, id, key, value, map);
	if (!special)
		return -ENOMEM;
	identity_table_add(&map->table, key, special);
	return 0;
}

int gcheap_weak_map_set(struct gcheap_weak_map *map, void *key, void *value)
{
	LIBRARY_ENTRY;
	uint64_t id;
	int error = map_check(map);

	if (error)
		return error;
	if (!value)
		return error_set(-EINVAL, "the value is NULL, which says that a key has none: take "
				 "the key out with gcheap_weak_map_remove()");
	error = special_begin(map->heap, key, &id);
	if (error)
		return error;
	error = set_locked(map, id, key, value);
	specials_unlock(map->heap);
	if (error)
		return error_set(error, "out of memory for a weak map's entry of %p", key);
	return 0;
}

/* A thread that cycles stop can have the value by the time that it is in its roots. */
void *gcheap_weak_map_get(struct gcheap_thread *fast, struct gcheap_weak_map *map, const void *key)
{
	LIBRARY_ENTRY;
	const struct thread *thread = (const struct thread *)fast;
	const struct special *special;
	void *value = NULL;

	if (!thread || !map || thread->heap != map->heap || heap_check(map->heap))
		return NULL;
	specials_lock(map->heap);
	special = identity_table_find(&map->table, key);
	if (special)
		value = special->argument;
	specials_unlock(map->heap);
	return value;
}

int gcheap_weak_map_remove(struct gcheap_weak_map *map, const void *key)
{
	LIBRARY_ENTRY;
	struct special *special;
	int error = map_check(map);

	if (error)
		return error;
	specials_lock(map->heap);
	special = identity_table_find(&map->table, key);
	if (special) {
		ephemeron_leave_map(map->heap, special);
		ephemeron_remove(map->heap, special);
	}
	specials_unlock(map->heap);
	if (!special)
		return error_set(-ENOENT, "%p is no key of this weak map", key);
	return 0;
}

uint64_t gcheap_weak_map_count(struct gcheap_weak_map *map)
{
	LIBRARY_ENTRY;
	uint64_t count;

	if (!map || heap_check(map->heap))
		return 0;
	specials_lock(map->heap);
	count = map->table.count;
	specials_unlock(map->heap);
	return count;
}
