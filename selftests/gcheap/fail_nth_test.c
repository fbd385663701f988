// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Want of memory, and of access to user space, at each place where a request can
 * meet it: fault injection makes the n-th of a request's allocations fail, for each n
 * until the request has no n-th one. However it ends, it has done all of its work or
 * none of it, and the heap goes on.
 *
 * Three ways in which it fails:
 *
 *	once	/proc/thread-self/fail-nth lets one allocation fail: whoever can do
 *		without goes on
 *	from	debugfs lets pages, or slab objects, end after n: nothing but
 *		unwinding is left
 *	copies	fail-nth again, and copies from and to user space fail too
 *
 * Skipped where the kernel has no fault injection.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_ring.h"
#include "heap_states.h"
#include "fault_injection.h"
#include "fail_walk.h"

FIXTURE(fail_nth) {
	struct machine before;
};

FIXTURE_VARIANT(fail_nth) {
	enum heap_state_kind kind;
};

FIXTURE_VARIANT_ADD(fail_nth, new_heap) {
	.kind = HEAP_STATE_NEW,
};

FIXTURE_VARIANT_ADD(fail_nth, used_heap) {
	.kind = HEAP_STATE_USED,
};

FIXTURE_VARIANT_ADD(fail_nth, marking) {
	.kind = HEAP_STATE_MARKING,
};

FIXTURE_VARIANT_ADD(fail_nth, unswept) {
	.kind = HEAP_STATE_UNSWEPT,
};

FIXTURE_VARIANT_ADD(fail_nth, end_of_an_arena) {
	.kind = HEAP_STATE_ARENA_END,
};

FIXTURE_VARIANT_ADD(fail_nth, not_mapped) {
	.kind = HEAP_STATE_UNMAPPED,
};

FIXTURE_VARIANT_ADD(fail_nth, chunks) {
	.kind = HEAP_STATE_CHUNKS,
};

FIXTURE_VARIANT_ADD(fail_nth, tracked) {
	.kind = HEAP_STATE_TRACKED,
};

FIXTURE_VARIANT_ADD(fail_nth, huge_pages) {
	.kind = HEAP_STATE_HUGE,
};

FIXTURE_VARIANT_ADD(fail_nth, freed_spans_fault) {
	.kind = HEAP_STATE_FAULT_FREED,
};

FIXTURE_SETUP(fail_nth)
{
	struct heap_state state;
	int ret;

	if (!injection_init())
		SKIP(return, "no fault injection in this kernel");
	ret = heap_state_build(variant->kind, &state);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module has no such heaps");
	ASSERT_OK(ret);
	heap_state_destroy(&state);
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(fail_nth)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

#define WALK_ALL(failure_) do { \
	for (unsigned int op_ = 0; op_ < GCHEAP_OPS; op_++) { \
		struct walk walk_ = { .kind = variant->kind, .failure = failure_, .op = op_ }; \
		const char *wrong_ = walk_request(&walk_); \
\
		EXPECT_EQ(NULL, wrong_) { \
			TH_LOG("op %u: %s", op_, wrong_); \
		} \
		if (walk_.errors) \
			TH_LOG("op %u: %u ways to fail, %u errors", op_, walk_.ways, \
			       walk_.errors); \
	} \
} while (0)

TEST_F_TIMEOUT(fail_nth, allocation_of_a_request_undoes_it, 1200)
{
	WALK_ALL(FAIL_ALLOCATION);
}

TEST_F_TIMEOUT(fail_nth, copy_of_a_request_does_no_harm, 1200)
{
	WALK_ALL(FAIL_COPY);
}

TEST_F_TIMEOUT(fail_nth, page_and_all_after_it_undo_a_request, 1200)
{
	WALK_ALL(FAIL_PAGES);
}

TEST_F_TIMEOUT(fail_nth, slab_object_and_all_after_it_undo_a_request, 1200)
{
	WALK_ALL(FAIL_SLAB);
}

TEST_HARNESS_MAIN
