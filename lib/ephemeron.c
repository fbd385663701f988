// SPDX-License-Identifier: MIT
/*
 * Ephemerons.
 *
 * When all that roots lead to is marked, a pass goes through the entries: those whose keys are
 * marked have their values marked, and all markers follow these. That may have marked other keys,
 * for which another pass is made. A chain of ephemerons, each of whose values is the next one's
 * key, would take as many passes as it is long. So after the first few, as soon as one finds less
 * than a quarter of what is left, or nothing, the rest is done by being told of each object that
 * becomes marked: it may be the key of an entry. All passes together look at a constant multiple of
 * the entries, and each object is looked up once: the time is linear, however they are chained.
 *
 *	ephemerons	objects are not marked, as far as is known
 *	ready		they are: marked by a pass, or one was told so
 *	settled		and their values are, too
 *
 * An entry of a map with an owner keeps its value when both key and owner are marked. Whichever of
 * these is settled last finds the other one marked: the key looks at each entry's owner, and the
 * owner at all keys of its maps.
 */
#include "ephemeron.h"

#include <errno.h>

#include "address.h"
#include "entry.h"
#include "error.h"
#include "library.h"
#include "mark.h"
#include "weak_map.h"

/* How many values are marked together. */
#define MARK_TOGETHER	256u

/* Passes that are made if each finds anything; others go on if it is one of so many. */
#define PASSES_FREE	2u
#define PASS_SHARE	4u

/* ---- chains ---------------------------------------------------------------------- */

static struct special *chain_add(struct gcheap *heap, uint64_t key, void *obj)
{
	struct specials *specials = &heap->specials;
	struct special *first = special_find(heap, key);
	struct special *special;

	if (!first) {
		special = special_add(heap, key, obj);
		if (special)
			special_list_add(&specials->ephemerons, special);
		return special;
	}
	special = pool_alloc(&specials->records);
	if (!special)
		return NULL;
	*special = (struct special) {
		.key = key, .object = obj, .before = first, .next = first->next,
	};
	if (first->next)
		first->next->before = special;
	first->next = special;
	return special;
}

struct special *ephemeron_add(struct gcheap *heap, uint64_t key, void *obj, void *value,
			      struct gcheap_weak_map *map)
{
	struct special *special = chain_add(heap, key | SPECIAL_EPHEMERON, obj);

	if (special) {
		special->argument = value;
		special->map = map;
	}
	return special;
}

struct special *ephemeron_owner_add(struct gcheap *heap, uint64_t key, void *obj,
				    struct gcheap_weak_map *map)
{
	struct special *special = chain_add(heap, key | SPECIAL_MAP, obj);

	if (special)
		special->map = map;
	return special;
}

/* A key may be in very many maps: it takes no look through the chain. */
void ephemeron_remove(struct gcheap *heap, struct special *special)
{
	struct special *before = special->before;
	struct special *next = special->next;

	if (!before && !next) {
		special_remove(heap, special);
		return;
	}
	if (before)
		before->next = next;
	else
		special_replace(heap, special, next);
	if (next)
		next->before = before;
	pool_free(&heap->specials.records, special);
}

void ephemeron_leave_map(struct gcheap *heap, struct special *special)
{
	struct identity_table *table = &special->map->table;
	uint64_t before = table->room;

	identity_table_remove(table, special->object);
	heap->specials.map_bytes -= (before - table->room) * sizeof(struct identity_place);
}

void ephemerons_free(struct gcheap *heap, struct special *first)
{
	struct special *next;

	special_list_remove(first);
	for (; first; first = next) {
		next = first->next;
		if (first->map)
			ephemeron_leave_map(heap, first);
		pool_free(&heap->specials.records, first);
	}
}

/* ---- in a cycle -------------------------------------------------------------------- */

/**
 * struct values - values that are to be marked
 * @marker: by whom
 * @count: how many there are
 * @all: the values
 */
struct values {
	struct marker *marker;
	size_t count;
	void *all[MARK_TOGETHER];
};

static void values_flush(struct values *values)
{
	mark_slots_here(values->marker, values->all, values->count);
	values->count = 0;
}

static void values_add(struct values *values, void *value)
{
	values->all[values->count++] = value;
	if (values->count == MARK_TOGETHER)
		values_flush(values);
}

static bool is_marked(const struct gcheap *heap, const struct special *special)
{
	return mark_is_set(heap->marker, special_granule(special->key));
}

/* The values of a key, which is marked. */
static void key_settle(struct gcheap *heap, const struct special *first, struct values *values)
{
	const struct special *special;

	for (special = first; special; special = special->next) {
		const struct gcheap_weak_map *map = special->map;

		if (!map || !map->owner || is_marked(heap, map->owner))
			values_add(values, special->argument);
	}
}

/* The values of the maps of an owner, which is marked. */
static void owner_settle(struct gcheap *heap, const struct special *first, struct values *values)
{
	const struct special *special;
	uint64_t i;

	for (special = first; special; special = special->next) {
		const struct identity_table *table = &special->map->table;

		for (i = 0; i < table->room; i++) {
			const struct special *entry = table->places[i].value;

			if (entry && is_marked(heap, entry))
				values_add(values, entry->argument);
		}
	}
}

/* Marks the values of all that are ready, who may become more by that. */
static bool ready_settle(struct gcheap *heap)
{
	struct specials *specials = &heap->specials;
	struct values values = { .marker = heap->marker };

	if (special_list_is_empty(&specials->ready))
		return false;
	do {
		while (!special_list_is_empty(&specials->ready)) {
			struct special *first = special_list_first(&specials->ready);

			special_list_remove(first);
			special_list_add(&specials->settled, first);
			if (SPECIAL_KIND(first->key) == SPECIAL_EPHEMERON)
				key_settle(heap, first, &values);
			else
				owner_settle(heap, first, &values);
		}
		values_flush(&values);
	} while (!special_list_is_empty(&specials->ready));
	return true;
}

/**
 * struct pass - what a pass has found
 * @ready: entries whose objects are marked
 * @left: others
 */
struct pass {
	uint64_t ready;
	uint64_t left;
};

static struct pass pass_make(struct gcheap *heap)
{
	struct specials *specials = &heap->specials;
	struct special_link *link, *next;
	struct pass pass = { 0 };

	for (link = specials->ephemerons.next; link != &specials->ephemerons; link = next) {
		struct special *special = (struct special *)link;

		next = link->next;
		if (!is_marked(heap, special)) {
			pass.left++;
			continue;
		}
		special_list_remove(special);
		special_list_add(&specials->ready, special);
		pass.ready++;
	}
	return pass;
}

/* An object has become marked: its entries are ready. Those that share a slot live with it. */
static void object_marked(void *arg, const struct slot *slot)
{
	struct gcheap *heap = arg;
	uint64_t end = (slot->offset + slot->bytes) << SPECIAL_OFFSET_SHIFT;
	struct tree_place before, at;

	if (!special_span_has_any(heap, slot->page))
		return;
	tree_around(&heap->specials.tree, slot->offset << SPECIAL_OFFSET_SHIFT, &before, &at);
	for (; at.leaf && at.leaf->keys[at.index] < end; tree_next(&at)) {
		struct special *special = at.leaf->values[at.index];

		if (SPECIAL_KIND(special->key) < SPECIAL_EPHEMERON)
			continue;
		special_list_remove(special);
		special_list_add(&heap->specials.ready, special);
	}
}

void ephemerons_settle(struct gcheap *heap)
{
	unsigned int passes;

	if (special_list_is_empty(&heap->specials.ephemerons))
		return;
	for (passes = 1; ; passes++) {
		struct pass pass = pass_make(heap);

		if (!pass.left)
			break;
		if (!pass.ready || (passes > PASSES_FREE &&
				    pass.ready < pass.left / (PASS_SHARE - 1))) {
			/* From here on: what was seen by this pass may become marked behind it. */
			mark_watch(heap->marker, object_marked, heap);
			break;
		}
		ready_settle(heap);
		mark_follow(heap->marker);
	}
	ephemerons_follow(heap);
}

void ephemerons_follow(struct gcheap *heap)
{
	do {
		mark_follow(heap->marker);
	} while (ready_settle(heap));
}

void ephemerons_settled(struct gcheap *heap)
{
	struct specials *specials = &heap->specials;

	mark_watch(heap->marker, NULL, NULL);
	special_list_append(&specials->ephemerons, &specials->settled);
}

/* ---- the interface ---------------------------------------------------------------- */

int gcheap_ephemeron_add(struct gcheap *heap, void *key, void *value)
{
	LIBRARY_ENTRY;
	const struct special *special;
	uint64_t id;
	int error = special_begin(heap, key, &id);

	if (error)
		return error;
	special = ephemeron_add(heap, id, key, value, NULL);
	specials_unlock(heap);
	if (!special)
		return error_set(-ENOMEM, "out of memory for an ephemeron of %p", key);
	return 0;
}

int gcheap_ephemeron_remove(struct gcheap *heap, void *key, void *value)
{
	LIBRARY_ENTRY;
	struct special *special;
	uint64_t id;
	int error = special_begin(heap, key, &id);

	if (error)
		return error;
	special = special_find(heap, id | SPECIAL_EPHEMERON);
	/* Those of weak maps are not the program's to see. */
	while (special && (special->map || special->argument != value))
		special = special->next;
	if (special)
		ephemeron_remove(heap, special);
	specials_unlock(heap);
	if (!special)
		return error_set(-ENOENT, "%p has no ephemeron with the value %p", key, value);
	return 0;
}
