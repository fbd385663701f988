// SPDX-License-Identifier: MIT
/*
 * Weak maps, in a heap and in its shadow (specials_model.h): they are made and freed, keys get
 * values and are taken out, and what a map says of its keys is what the shadow has.
 *
 * Any worker uses any map, whether or not it has the object that owns it: as long as the shadow has
 * a map, or a key in one, no cycle has found that dead. What a map has of such an object may be
 * kept again, or be a value. So nobody waits for a cycle between a look at a map's shadow and what
 * is done about it, and who has the lock of maps never does.
 */
#include "specials_steps.h"

/* Those of an owner that no object owns; the others have one. */
#define MAPS_WITHOUT_OWNER	4u

void shadow_maps_lock(struct shadow *shadow, uint32_t owner)
{
	pthread_mutex_lock(&shadow->owners[owner].maps_lock);
}

void shadow_maps_unlock(struct shadow *shadow, uint32_t owner)
{
	pthread_mutex_unlock(&shadow->owners[owner].maps_lock);
}

static void count_one(uint64_t *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

/* What the library is given: pointers, and words that lead nowhere. */
static void *entry_value(const struct shadow *shadow, const struct shadow_entry *entry)
{
	return entry->value.node == SHADOW_NONE ? (void *)(uintptr_t)entry->value.offset :
	       shadow_address(shadow, entry->value);
}

/* ---- with the lock --------------------------------------------------------------------- */

/* NULL: it is no key of the map. */
static struct shadow_entry *entry_of(struct shadow_map *map, uint32_t key)
{
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		if (map->entries[i].key == key)
			return &map->entries[i];
	}
	return NULL;
}

static void entry_drop(struct shadow_map *map, struct shadow_entry *entry)
{
	*entry = map->entries[--map->count];
}

/* One of an owner's maps; NULL: it has none. */
static struct shadow_map *map_any(struct shadow_worker *worker, uint32_t owner)
{
	struct shadow_map *maps = worker->shadow->owners[owner].maps;
	uint32_t first = shadow_random(worker, SHADOW_MAPS);
	uint32_t i;

	for (i = 0; i < SHADOW_MAPS; i++) {
		struct shadow_map *map = &maps[(first + i) % SHADOW_MAPS];

		if (map->map)
			return map;
	}
	return NULL;
}

/* With an object that owns it, or SHADOW_NONE. NULL: there are as many as may be. */
static struct shadow_map *map_new(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_map *maps = owner_of(worker)->maps;
	uint32_t i = number == SHADOW_NONE ? 0 : MAPS_WITHOUT_OWNER;
	uint32_t end = number == SHADOW_NONE ? MAPS_WITHOUT_OWNER : SHADOW_MAPS;
	void *object = number == SHADOW_NONE ? NULL : shadow->nodes[number].object;

	while (i < end && maps[i].map)
		i++;
	if (i == end)
		return NULL;
	shadow_expect(worker, gcheap_weak_map_new(shadow->heap, object, &maps[i].map));
	maps[i].node = number;
	maps[i].count = 0;
	return &maps[i];
}

/* A value instead of what the key has, or the key is a new one, if there is room. */
static void map_set(struct shadow_worker *worker, struct shadow_map *map, uint32_t key,
		    struct shadow_edge value)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_entry *entry = entry_of(map, key);

	if (!entry && map->count == SHADOW_KEYS)
		return;
	if (!entry)
		entry = &map->entries[map->count++];
	*entry = (struct shadow_entry) { key, value };
	shadow_expect(worker, gcheap_weak_map_set(map->map, shadow->nodes[key].object,
						  entry_value(shadow, entry)));
}

static bool is_leaf_or_weak(const struct shadow_worker *worker, uint32_t number)
{
	return number != SHADOW_NONE && worker->shadow->nodes[number].kind != SHADOW_STRUCTS;
}

/* An odd one: it leads nowhere. */
static struct shadow_edge any_word(struct shadow_worker *worker)
{
	return (struct shadow_edge) { SHADOW_NONE, 1 + 2 * shadow_random(worker, 1000) };
}

/*
 * Where a value leads: often back to what it is kept by, or to other keys, or else to @number. As
 * leaves may be arguments, they lead to no more than other leaves.
 */
static struct shadow_edge any_value(struct shadow_worker *worker, const struct shadow_map *map,
				    uint32_t key, uint32_t number)
{
	uint32_t what = shadow_random(worker, 8);

	if (what < 1)
		number = key;
	else if (what < 2)
		number = map->node;
	else if (what < 4 && map->count)
		number = map->entries[shadow_random(worker, map->count)].key;
	else if (what < 5)
		number = SHADOW_NONE;
	if (number == SHADOW_NONE ||
	    (is_leaf_or_weak(worker, key) && !is_leaf_or_weak(worker, number)))
		return any_word(worker);
	return shadow_edge_to(worker, number);
}

/* ---- steps ----------------------------------------------------------------------------- */

/* One of its own maps, or somebody else's, with the lock; NULL: there is none, and no lock. */
static struct shadow_map *map_take(struct shadow_worker *worker, uint32_t *owner)
{
	struct shadow_map *map;

	*owner = shadow_random(worker, 3) ? worker->owner : shadow_random(worker, SHADOW_OWNERS);
	shadow_maps_lock(worker->shadow, *owner);
	map = map_any(worker, *owner);
	if (!map)
		shadow_maps_unlock(worker->shadow, *owner);
	return map;
}

/* A key of the map, most often; @number otherwise, which may be one. */
static uint32_t any_key(struct shadow_worker *worker, const struct shadow_map *map, uint32_t number)
{
	if (map->count && (number == SHADOW_NONE || shadow_random(worker, 4)))
		return map->entries[shadow_random(worker, map->count)].key;
	return number;
}

/* With some keys: owners may not live for long. */
static void make(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_map *map;
	uint32_t key, i;

	shadow_maps_lock(worker->shadow, worker->owner);
	map = map_new(worker, shadow_random(worker, 4) ? number : SHADOW_NONE);
	for (i = shadow_random(worker, 6); i && map; i--) {
		key = shadow_target(worker);
		if (key != SHADOW_NONE)
			map_set(worker, map, key,
				any_value(worker, map, key, shadow_own_node(worker)));
	}
	shadow_maps_unlock(worker->shadow, worker->owner);
}

static void end(struct shadow_worker *worker)
{
	uint32_t owner;
	struct shadow_map *map = map_take(worker, &owner);

	if (!map)
		return;
	gcheap_weak_map_free(map->map);
	map->map = NULL;
	count_one(&worker->shadow->counts.maps_freed);
	shadow_maps_unlock(worker->shadow, owner);
}

/* A new one is in the worker's first root for a moment, and then kept by maps alone. */
static uint32_t value_or_new(struct shadow_worker *worker, bool *is_new)
{
	*is_new = !shadow_random(worker, 3);
	if (*is_new)
		return shadow_make(worker);
	return shadow_random(worker, 2) ? shadow_own_node(worker) : shadow_any_root(worker);
}

/* What is new becomes the next key, so that there are chains, over several maps. */
static void set(struct shadow_worker *worker, uint32_t number)
{
	do {
		struct shadow_map *map;
		uint32_t owner, key;
		bool is_new;
		uint32_t value = value_or_new(worker, &is_new);

		map = map_take(worker, &owner);
		if (!map)
			return;
		key = shadow_random(worker, 4) ? number : any_key(worker, map, number);
		map_set(worker, map, key, any_value(worker, map, key, value));
		shadow_maps_unlock(worker->shadow, owner);
		number = is_new ? value : shadow_target(worker);
	} while (number != SHADOW_NONE && shadow_random(worker, 4));
}

/* What the map says of a key. NULL: as it should. */
static const char *key_check(const struct shadow_worker *worker, struct shadow_map *map,
			     uint32_t key)
{
	const struct shadow *shadow = worker->shadow;
	const struct shadow_entry *entry = entry_of(map, key);
	const void *value = entry ? entry_value(shadow, entry) : NULL;
	const void *found = gcheap_weak_map_get(worker->thread, map->map,
						shadow->nodes[key].object);

	if (found == value)
		return NULL;
	return !found ? "a weak map has lost a key" :
	       !value ? "a weak map has a key that it should not have" :
	       "a weak map has another value of a key";
}

static void get(struct shadow_worker *worker, uint32_t number)
{
	uint32_t owner, key, value = SHADOW_NONE;
	const struct shadow_entry *entry;
	struct shadow_map *map = map_take(worker, &owner);
	const char *error;

	if (!map)
		return;
	key = any_key(worker, map, number);
	if (key != SHADOW_NONE) {
		error = key_check(worker, map, key);
		if (error)
			shadow_failed(worker->shadow, error);
		entry = entry_of(map, key);
		value = entry ? entry->value.node : SHADOW_NONE;
	}
	shadow_maps_unlock(worker->shadow, owner);
	if (value != SHADOW_NONE && !shadow_random(worker, 2)) {
		count_one(&worker->shadow->counts.map_got);
		shadow_keep(worker, value);
	}
}

static void remove_key(struct shadow_worker *worker, uint32_t number)
{
	struct shadow *shadow = worker->shadow;
	struct shadow_entry *entry;
	struct shadow_map *map;
	uint32_t owner, key;

	map = map_take(worker, &owner);
	if (!map)
		return;
	key = any_key(worker, map, number);
	if (key != SHADOW_NONE) {
		int error = gcheap_weak_map_remove(map->map, shadow->nodes[key].object);

		entry = entry_of(map, key);
		if (error != (entry ? 0 : -ENOENT))
			shadow_failed(shadow, entry ? "a key cannot be taken out of a weak map" :
				      "what is no key was taken out of a weak map");
		if (entry) {
			entry_drop(map, entry);
			count_one(&shadow->counts.keys_removed);
		}
	}
	shadow_maps_unlock(shadow, owner);
}

static void count_check(struct shadow *shadow, const struct shadow_map *map)
{
	uint64_t count = gcheap_weak_map_count(map->map);

	if (count == map->count)
		return;
	print_message("# %llu keys, and there should be %u\n", (unsigned long long)count,
		      map->count);
	shadow_failed(shadow, "a weak map has more or fewer keys than it should have");
}

static void count(struct shadow_worker *worker)
{
	uint32_t owner;
	struct shadow_map *map = map_take(worker, &owner);

	if (!map)
		return;
	count_check(worker->shadow, map);
	shadow_maps_unlock(worker->shadow, owner);
}

void shadow_map_step(struct shadow_worker *worker, uint32_t number)
{
	uint32_t what = shadow_random(worker, 32);

	if (what < 2)
		return shadow_random(worker, worker->shadow->calm) ? (void)0 : end(worker);
	if (what < 7)
		return make(worker, number);
	if (what < 9)
		return count(worker);
	if (what < 17)
		return get(worker, number);
	if (what < 21)
		return remove_key(worker, number);
	if (number != SHADOW_NONE)
		set(worker, number);
}

void shadow_map_any(struct shadow_worker *worker, uint32_t number)
{
	if (shadow_random(worker, 3))
		set(worker, number);
	else
		make(worker, number);
}

/* ---- giving back ----------------------------------------------------------------------- */

/* What leads to it goes with it: as a value it would be left behind, which is a mistake. */
static struct shadow_edge value_of(struct shadow_worker *worker, uint32_t number)
{
	return shadow_random(worker, 2) ? any_word(worker) : shadow_edge_to(worker, number);
}

void shadow_maps_fill(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_map *map;
	uint32_t key, i;

	for (i = shadow_random(worker, 4); i; i--) {
		map = map_any(worker, worker->owner);
		if (map)
			map_set(worker, map, number, value_of(worker, number));
	}
	map = shadow_random(worker, 2) ? map_new(worker, number) : NULL;
	for (i = shadow_random(worker, 4); i && map; i--) {
		key = shadow_target(worker);
		if (key != SHADOW_NONE)
			map_set(worker, map, key, value_of(worker, number));
	}
}

void shadow_maps_forget(struct shadow_worker *worker, uint32_t number)
{
	struct shadow_map *maps = owner_of(worker)->maps;
	struct shadow_entry *entry;
	uint32_t i;

	for (i = 0; i < SHADOW_MAPS; i++) {
		if (!maps[i].map)
			continue;
		entry = entry_of(&maps[i], number);
		if (entry)
			entry_drop(&maps[i], entry);
		if (maps[i].node == number)
			maps[i].map = NULL;
	}
}

/* ---- while nobody else works ------------------------------------------------------------ */

static void map_check(const struct shadow_worker *worker, struct shadow_map *map)
{
	struct shadow *shadow = worker->shadow;
	const char *error;
	uint32_t i;

	count_check(shadow, map);
	if (map->node != SHADOW_NONE)
		shadow->nodes[map->node].maps++;
	for (i = 0; i < map->count; i++) {
		uint32_t key = map->entries[i].key;

		error = key_check(worker, map, key);
		if (error)
			shadow_failed(shadow, error);
		shadow->nodes[key].map_keys++;
	}
}

void shadow_maps_check(const struct shadow_worker *worker)
{
	struct shadow *shadow = worker->shadow;
	uint64_t maps = 0, keys = 0;
	uint32_t owner, number, i;

	shadow_each(shadow, owner, number) {
		shadow->nodes[number].maps = 0;
		shadow->nodes[number].map_keys = 0;
	}
	for (owner = 0; owner < SHADOW_OWNERS; owner++) {
		for (i = 0; i < SHADOW_MAPS; i++) {
			struct shadow_map *map = &shadow->owners[owner].maps[i];

			if (!map->map)
				continue;
			map_check(worker, map);
			maps++;
			keys += map->count;
		}
	}
	if (maps > shadow->counts.most_maps)
		shadow->counts.most_maps = maps;
	if (keys > shadow->counts.most_keys)
		shadow->counts.most_keys = keys;
}
