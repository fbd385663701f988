/* SPDX-License-Identifier: MIT */
/*
 * Memory of freed chunks that a local heap keeps for the next ones (stock.c).
 */
#ifndef GCHEAP_LIB_BACKEND_STOCK_H
#define GCHEAP_LIB_BACKEND_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#define STOCK_CHUNKS	4u

/**
 * struct stock - memory of whole chunks, at addresses of its own
 * @places: room for STOCK_CHUNKS chunks, the first @count of which have memory; NULL: none yet
 * @count: how many have
 * @cannot: the kernel does not move memory that way
 */
struct stock {
	char *places;
	uint32_t count;
	bool cannot;
};

/*
 * Takes the memory of a chunk of private pages, which read as zeros from then on. False: it stays
 * where it is.
 */
bool stock_put(struct stock *stock, char *chunk);

/* Gives it to a chunk that can be accessed and has none, with what was in it. False: there is none. */
bool stock_take(struct stock *stock, char *chunk);

/* Gives memory back to the system, but no more than @max_bytes: how many bytes. */
uint64_t stock_trim(struct stock *stock, uint64_t max_bytes);

/* Gives all back, and the addresses. */
void stock_end(struct stock *stock);

#endif /* GCHEAP_LIB_BACKEND_STOCK_H */
