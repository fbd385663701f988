/* SPDX-License-Identifier: MIT */
/*
 * The port of the core's unit tests: memory that fails when a test says so, a
 * count of what has been given out, table pages, and heap pages that exist only
 * as bits.
 */
#ifndef SELFTESTS_CORE_PORT_TEST_H
#define SELFTESTS_CORE_PORT_TEST_H

#include "core.h"

/**
 * struct port_test - what the port does next, and what it has done
 * @calls: calls so far that could have failed for want of memory
 * @fail_at: the call of this number fails, counted from 1; 0: none does
 * @fail_all: so do all after it
 * @failures: how many did
 * @interrupt_at: call of port_interrupted() from which on it tells of a fatal
 *	signal, counted from 1; 0: never
 * @interrupt_calls: its calls so far
 * @blocks: blocks of port_zalloc() that have not been freed
 * @cpus: how many CPUs there are; 0: heaps have no page caches, and take the lowest
 *	pages always
 * @cpu: the one that the test runs on
 * @page_limit: how many heap pages can be backed at a time; 0: any number
 * @stock_bytes: what port_trim() can still give
 * @releases: calls of port_release()
 * @release_ranges: ranges of all of them together
 * @old_data: memory from port_populate() is not zero
 * @broken_page: the heap page whose memory has failed; 0: none
 * @broken_stays: it has the same memory whenever it is backed; else other memory, once
 *	port_depopulate() was called
 */
struct port_test {
	u64 calls;
	u64 fail_at;
	bool fail_all;
	u64 failures;
	u64 interrupt_at;
	u64 interrupt_calls;
	u64 blocks;
	u32 cpus;
	u32 cpu;
	u32 page_limit;
	u64 stock_bytes;
	u64 releases;
	u64 release_ranges;
	bool old_data;
	u32 broken_page;
	bool broken_stays;
};

extern struct port_test port_test;

/* Nothing fails from now on, and the calls are counted from zero. */
void port_test_reset(void);

/* The @n-th call from now on fails, once or with all that follow. */
void port_test_fail(u64 n, bool fail_all);

/* The @n-th call of port_interrupted() from now on is the first to return true. */
void port_test_interrupt(u64 n);

/**
 * struct test_heap - a heap with its port
 * @heap: the heap
 * @tables: of each region, the addresses of its pages
 * @table_pages: of each region, how many these can be
 * @tables_made: table pages that exist
 * @backed: one bit a heap page: port_populate() has been asked for it
 * @depopulates: calls of port_depopulate()
 * @backed_pages: how many of them are set
 * @lazy: one bit a heap page: between the two calls of port_lazy()
 */
struct test_heap {
	struct heap heap;
	void **tables[GCHEAP_REGIONS];
	u64 table_pages[GCHEAP_REGIONS];
	u64 tables_made;
	u64 *backed;
	u64 depopulates;
	u32 backed_pages;
	u64 *lazy;
};

/**
 * test_heap_new() - a heap on the test port
 * @layout: enum gcheap_layout
 * @reserve_bytes: its reserve
 * @error: of heap_init()
 *
 * Return: the heap, or NULL when heap_init() failed: with nothing left of it.
 */
struct test_heap *test_heap_new(u32 layout, u64 reserve_bytes, int *error);
/* The same, with GCHEAP_SETUP_* flags. */
struct test_heap *test_heap_new_flags(u32 layout, u64 reserve_bytes, u32 flags, int *error);
void test_heap_destroy(struct test_heap *th);

/* Whether all heap pages of a range have been backed with memory. */
bool test_heap_backed(const struct test_heap *th, u32 page, u32 npages);

/* Whether a page gets memory when it is touched. */
bool test_heap_is_lazy(const struct test_heap *th, u32 page);

/* What an access does; whether it finds memory. */
bool test_heap_touch(struct test_heap *th, u32 page);

/* How many of them have. */
u32 test_heap_count_backed(const struct test_heap *th, u32 page, u32 npages);

/* The word of a mapped table at a byte offset, as the process sees it, or NULL. */
void *test_heap_table(struct test_heap *th, enum gcheap_region region, u64 offset);

#endif /* SELFTESTS_CORE_PORT_TEST_H */
