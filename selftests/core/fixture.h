/* SPDX-License-Identifier: MIT */
/*
 * The heap that most tests begin with: one on the test port, made before each test
 * and destroyed after it, when all memory must have been given back.
 */
#ifndef SELFTESTS_CORE_FIXTURE_H
#define SELFTESTS_CORE_FIXTURE_H

#include "core_test.h"

extern struct test_heap *th;

/* Make @th anew, with GCHEAP_SETUP_* flags; the one before is destroyed. */
void fixture_heap(u32 layout, u64 reserve_bytes, u32 flags);

/* The record of one of its types. */
static inline struct gcheap_type_record *record_at(u32 type)
{
	return test_heap_table(th, GCHEAP_REGION_TYPES, type * 64ull);
}

/* A test begins: the port forgets its failures, and @th is made. For cmocka: 0. */
int fixture_begin(u32 layout, u64 reserve_bytes, u32 flags);

/* A test ends. For cmocka: 0, or -1 when something was not given back. */
int fixture_end(void **state);

#endif /* SELFTESTS_CORE_FIXTURE_H */
