// SPDX-License-Identifier: MIT
/*
 * The part of gcheap_verify() that is about specials: whether the table is in order, each entry is
 * of an object that is allocated and begins where the entry says, and a span's bit of the page
 * specials is set if and only if it has an entry. Also whether weak references, values of
 * ephemerons, weak maps and what is queued are as their entries say.
 */
#include "verify_specials.h"

#include <stdarg.h>
#include <stdio.h>

#include "address.h"
#include "bad_pointer.h"
#include "inspect.h"
#include "layout/layout.h"
#include "report.h"
#include "verify_roots.h"
#include "weak.h"
#include "weak_map.h"

/**
 * struct check - what a check of specials needs
 * @heap: whose
 * @reported: faults reported so far, of others too
 * @faults: of specials
 */
struct check {
	struct gcheap *heap;
	uint64_t reported;
	uint64_t faults;
};

static void __attribute__((format(printf, 2, 3)))
complain(struct check *check, const char *format, ...)
{
	char what[BAD_POINTER_TEXT + 160];
	va_list args;

	check->faults++;
	if (check->reported++ >= VERIFY_REPORTS_MAX)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	report("gcheap: verify: specials: %s\n", what);
}

/* Whether an entry is where its object is. */
static bool entry_is_right(const struct gcheap *heap, uint64_t key, const struct special *special)
{
	const struct view *view = &heap->view;
	uint64_t object = address_offset(view, special->object);
	struct object_view seen;
	struct slot slot;

	if (special->key != key || !inspect_slot(heap, SPECIAL_OFFSET(key), &slot))
		return false;
	layout_object(view, &slot, &seen);
	if (key & SPECIAL_SHARED)
		return object == SPECIAL_OFFSET(key);
	return slot.offset == SPECIAL_OFFSET(key) && object == seen.start;
}

/* Whether a weak reference is an object, and refers to the entry's. */
static bool weak_is_right(const struct gcheap *heap, const struct special *special)
{
	struct slot slot;

	return inspect_slot(heap, address_offset(&heap->view, special->argument), &slot) &&
	       weak_of(special)->object == special->object && weak_of(special)->special == special;
}

/* Whether the value of an ephemeron is as a precise pointer must be, and its map knows it. */
static bool ephemeron_is_right(const struct gcheap *heap, const struct special *special)
{
	const struct gcheap_weak_map *map = special->map;

	return inspect_pointer(heap, special->argument) &&
	       (!map || identity_table_find(&map->table, special->object) == special);
}

/* The entries of kinds ephemeron and map that an object has. */
static void check_chain(struct check *check, const struct special *first)
{
	const struct special *special, *before = NULL;

	for (special = first; special; before = special, special = special->next) {
		if (special->key != first->key || special->object != first->object ||
		    special->before != before)
			complain(check, "an entry of the object at %p is in the chain of that at "
				 "%p", special->object, first->object);
		else if (SPECIAL_KIND(first->key) == SPECIAL_MAP && special->map->owner != special)
			complain(check, "the owner of a weak map at %p is not its owner",
				 special->object);
		else if (SPECIAL_KIND(first->key) == SPECIAL_EPHEMERON &&
			 !ephemeron_is_right(check->heap, special))
			complain(check, "the value %p of the ephemeron of %p is none, or its weak "
				 "map has another one", special->argument, special->object);
	}
}

/* Keys of weak maps are in them because of their entries. */
static void check_maps(struct check *check)
{
	const struct special_link *maps = &check->heap->specials.maps;
	const struct special_link *link;

	for (link = maps->next; link != maps; link = link->next) {
		const struct gcheap_weak_map *map = (const struct gcheap_weak_map *)link;
		uint64_t i, count = 0;

		for (i = 0; i < map->table.room; i++) {
			const struct identity_place *place = &map->table.places[i];
			const struct special *special = place->value;

			count += !!special;
			if (special && (special->map != map || special->object != place->address))
				complain(check, "a weak map leads from %p to the entry of %p",
					 place->address, special->object);
		}
		if (count != map->table.count)
			complain(check, "a weak map has %llu keys, and says %llu",
				 (unsigned long long)count, (unsigned long long)map->table.count);
	}
}

/* First page of the span that an entry is in; 0: it is wrong. */
static uint64_t check_entry(struct check *check, uint64_t key, const struct special *special)
{
	const struct gcheap *heap = check->heap;
	struct slot slot;

	if (!entry_is_right(heap, key, special)) {
		complain(check, "the entry of kind %u for the object at %p is of none",
			 SPECIAL_KIND(key), special->object);
		return 0;
	}
	if ((SPECIAL_KIND(key) == SPECIAL_WEAK || SPECIAL_KIND(key) == SPECIAL_WEAK_LONG) &&
	    !weak_is_right(heap, special))
		complain(check, "the weak reference %p does not lead to its object at %p",
			 special->argument, special->object);
	if (SPECIAL_KIND(key) == SPECIAL_EPHEMERON || SPECIAL_KIND(key) == SPECIAL_MAP)
		check_chain(check, special);
	inspect_slot(heap, SPECIAL_OFFSET(key), &slot);
	return slot.page;
}

static void check_page(struct check *check, uint64_t page, bool has_any)
{
	char where[BAD_POINTER_TEXT];

	if (special_span_has_any(check->heap, page) == has_any)
		return;
	complain(check, "the page specials of %s are %s, though it has %s entry",
		 bad_pointer_span(check->heap, page << GCHEAP_PAGE_SHIFT, where),
		 has_any ? "clear" : "set", has_any ? "an" : "no");
}

/* What waits for its finalizer has left the table, and lives. */
static void check_queue(struct check *check)
{
	const struct special_link *queue = &check->heap->specials.queue;
	const struct special_link *link;

	for (link = queue->next; link != queue; link = link->next) {
		const struct special *special = (const struct special *)link;

		if (SPECIAL_KIND(special->key) == SPECIAL_FINALIZER &&
		    !entry_is_right(check->heap, special->key, special))
			complain(check, "the finalizer that is queued for the object at %p is of "
				 "none", special->object);
	}
}

uint64_t verify_specials(struct gcheap *heap, uint64_t faults)
{
	struct check check = { .heap = heap, .reported = faults };
	uint64_t pages = address_end(&heap->view) >> GCHEAP_PAGE_SHIFT;
	const struct tree_node *leaf;
	uint64_t next = 0, page, i;

	specials_lock(heap);
	if (!tree_is_sound(&heap->specials.tree)) {
		complain(&check, "the table is out of order");
		specials_unlock(heap);
		return check.faults;
	}
	for (leaf = heap->specials.tree.first; leaf; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			page = check_entry(&check, leaf->keys[i], leaf->values[i]);
			/* Entries of a span follow each other. */
			for (; next < page; next++)
				check_page(&check, next, false);
			if (page && page == next) {
				check_page(&check, page, true);
				next++;
			}
		}
	}
	for (; next < pages; next++)
		check_page(&check, next, false);
	check_queue(&check);
	check_maps(&check);
	specials_unlock(heap);
	return check.faults;
}
