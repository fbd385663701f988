/* SPDX-License-Identifier: MIT */
/*
 * Checks a whole heap against the invariants of kmod/core/heap.h, central.h and
 * page_bits.h, page by page and list by list.
 */
#ifndef SELFTESTS_CORE_CORE_CHECK_H
#define SELFTESTS_CORE_CORE_CHECK_H

#include "port_test.h"

/* Fails the test when the heap is not consistent. */
void core_check(struct test_heap *th);

/* Also the bits of both tables, where the process has set none but those of slots. */
void core_check_bits(struct test_heap *th);

/* Only the rules of common/verify_tables.h: calls @complain with what is wrong. */
void core_check_rules(struct test_heap *th, bool bits,
		      void (*complain)(void *owner, u32 page, const char *format, va_list args));

/* After MARK_START: no mark bit anywhere, and no page mark of a span. */
void core_check_marks_are_clear(struct test_heap *th);

/**
 * struct core_state - what must not change when a request fails
 * @counters: the counters, but for the length of the heap and the sweep's
 * @generation: sweep generation
 * @phase: what the heap is doing
 * @mark_table: which table has the mark bits
 * @large_spans: how many spans are large
 * @data_end: where the type table goes on
 */
struct core_state {
	struct gcheap_counters counters;
	u32 generation;
	u32 phase;
	u32 mark_table;
	u64 large_spans;
	u64 data_end;
};

void core_state_save(struct test_heap *th, struct core_state *state);

/* Fails the test when the state is another one, or the heap is not consistent. */
void core_state_check(struct test_heap *th, const struct core_state *state);

#endif /* SELFTESTS_CORE_CORE_CHECK_H */
