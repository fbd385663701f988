// SPDX-License-Identifier: MIT
/*
 * A stock of memory, as the module has one.
 *
 * Memory that goes to the system and comes back is cleared there, by the page, and takes a fault
 * each time; to move it to other addresses is to change a few entries of page tables.
 */
#define _GNU_SOURCE
#include "stock.h"

#include <sys/mman.h>

#include <linux/gcheap.h>

#include "backend.h"

/* Linux 5.7; older headers do not know it. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

#define PLACES_BYTES	(STOCK_CHUNKS * GCHEAP_CHUNK_BYTES)
/* So that large pages can be moved whole. */
#define PLACES_ALIGN	GCHEAP_CHUNK_BYTES

static char *place_of(const struct stock *stock, uint32_t number)
{
	return stock->places + number * GCHEAP_CHUNK_BYTES;
}

/* The pages that it leaves behind stay mapped, without memory: nobody else can get there. */
static bool move(char *from, char *to)
{
	return mremap(from, GCHEAP_CHUNK_BYTES, GCHEAP_CHUNK_BYTES,
		      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
}

bool stock_put(struct stock *stock, char *chunk)
{
	if (stock->cannot || stock->count == STOCK_CHUNKS)
		return false;
	if (!stock->places)
		stock->places = backend_reserve(PLACES_BYTES, PLACES_ALIGN);
	if (!stock->places || !move(chunk, place_of(stock, stock->count))) {
		stock->cannot = true;
		return false;
	}
	stock->count++;
	return true;
}

bool stock_take(struct stock *stock, char *chunk)
{
	if (!stock->count)
		return false;
	if (!move(place_of(stock, stock->count - 1), chunk)) {
		stock->cannot = true;
		return false;
	}
	stock->count--;
	return true;
}

uint64_t stock_trim(struct stock *stock, uint64_t max_bytes)
{
	uint64_t bytes = 0;

	while (stock->count && bytes + GCHEAP_CHUNK_BYTES <= max_bytes) {
		stock->count--;
		backend_drop_memory(place_of(stock, stock->count), GCHEAP_CHUNK_BYTES);
		bytes += GCHEAP_CHUNK_BYTES;
	}
	return bytes;
}

void stock_end(struct stock *stock)
{
	if (stock->places)
		munmap(stock->places, PLACES_BYTES);
	stock->places = NULL;
	stock->count = 0;
}
