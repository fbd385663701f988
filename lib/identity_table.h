/* SPDX-License-Identifier: MIT */
/*
 * A table from addresses to something (identity_table.c). Who calls has a lock.
 *
 * Places follow each other: an address is at the one that its hash says, or behind it with no empty
 * one between. At most three of four are taken. Taking an address out moves those behind it, and
 * makes the table smaller where it has become sparse and there is memory for that.
 */
#ifndef GCHEAP_LIB_IDENTITY_TABLE_H
#define GCHEAP_LIB_IDENTITY_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct identity_place - one of the table's places
 * @address: what is looked for
 * @value: what it leads to; NULL: the place is empty
 */
struct identity_place {
	const void *address;
	void *value;
};

/**
 * struct identity_table - a table; zeros are an empty one
 * @places: @room of them
 * @room: a power of two, or 0
 * @count: how many are taken
 */
struct identity_table {
	struct identity_place *places;
	uint64_t room;
	uint64_t count;
};

void identity_table_destroy(struct identity_table *table);

/* What an address leads to; NULL: nothing. */
void *identity_table_find(const struct identity_table *table, const void *address);

/* Makes room for one address more. False: there is no memory. */
bool identity_table_reserve(struct identity_table *table);

/* Adds an address that is not there. There is room. */
void identity_table_add(struct identity_table *table, const void *address, void *value);

/* Takes an address out that is there. */
void identity_table_remove(struct identity_table *table, const void *address);

#endif /* GCHEAP_LIB_IDENTITY_TABLE_H */
