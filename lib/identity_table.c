// SPDX-License-Identifier: MIT
/*
 * A table from addresses to something, by open addressing with linear probes.
 */
#include "identity_table.h"

#include "memory.h"

#define ROOM_MIN	8u
/* Where fewer than one of so many places are taken, the table is made smaller. */
#define SPARSE		16u

/*
 * Objects lie at multiples of 8, or of a page with its slots: of a single product some strides
 * would leave few places. Two spread all.
 */
static uint64_t place_of(const struct identity_table *table, const void *address)
{
	const uint64_t factor = 0x9e3779b97f4a7c15ull;
	uint64_t hash = (uint64_t)(uintptr_t)address * factor;

	hash = (hash ^ hash >> 32) * factor;
	return hash >> 32 & (table->room - 1);
}

void identity_table_destroy(struct identity_table *table)
{
	struct identity_place *places = table->places;

	/* First: a child of fork() would free it again. */
	*table = (struct identity_table) { .room = 0 };
	memory_free(places);
}

/* The place that an address has; @table->room: none. */
static uint64_t find(const struct identity_table *table, const void *address)
{
	uint64_t at;

	if (!table->count)
		return table->room;
	for (at = place_of(table, address); table->places[at].value;
	     at = (at + 1) & (table->room - 1)) {
		if (table->places[at].address == address)
			return at;
	}
	return table->room;
}

void *identity_table_find(const struct identity_table *table, const void *address)
{
	uint64_t at = find(table, address);

	return at < table->room ? table->places[at].value : NULL;
}

void identity_table_add(struct identity_table *table, const void *address, void *value)
{
	uint64_t at = place_of(table, address);

	while (table->places[at].value)
		at = (at + 1) & (table->room - 1);
	table->places[at] = (struct identity_place) { .address = address, .value = value };
	table->count++;
}

static bool resize(struct identity_table *table, uint64_t room)
{
	struct identity_table new = { .room = room };
	struct identity_place *places;
	uint64_t i;

	new.places = memory_zalloc(room * sizeof(*new.places));
	if (!new.places)
		return false;
	for (i = 0; i < table->room; i++) {
		if (table->places[i].value)
			identity_table_add(&new, table->places[i].address, table->places[i].value);
	}
	places = table->places;
	*table = new;
	/* Last: a child of fork() would free it again. */
	memory_free(places);
	return true;
}

bool identity_table_reserve(struct identity_table *table)
{
	if (table->count + 1 <= table->room / 4 * 3)
		return true;
	return resize(table, table->room ? table->room * 2 : ROOM_MIN);
}

/* Without memory it stays as large as it is. */
static void shrink(struct identity_table *table)
{
	if (table->room > ROOM_MIN && table->count < table->room / SPARSE)
		resize(table, table->room / 4 > ROOM_MIN ? table->room / 4 : ROOM_MIN);
}

void identity_table_remove(struct identity_table *table, const void *address)
{
	uint64_t hole = find(table, address);
	uint64_t at = hole;

	if (hole == table->room)
		return;
	for (;;) {
		uint64_t wanted;

		at = (at + 1) & (table->room - 1);
		if (!table->places[at].value)
			break;
		/* It may stay if the place that it wants lies behind the hole. */
		wanted = place_of(table, table->places[at].address);
		if (((at - wanted) & (table->room - 1)) < ((at - hole) & (table->room - 1)))
			continue;
		table->places[hole] = table->places[at];
		hole = at;
	}
	table->places[hole] = (struct identity_place) { .address = NULL };
	table->count--;
	shrink(table);
}
