// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* SCAVENGE: free memory goes back to the system, and what is left is as it was. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define PAGE	GCHEAP_PAGE_BYTES

FIXTURE(scavenge) {
	struct test_heap heap;
	struct gcheap_alloc_large object;
	struct gcheap_counters before, after;
	struct gcheap_scavenge scavenge;
};

FIXTURE_SETUP(scavenge)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 1ull << 30));
}

FIXTURE_TEARDOWN(scavenge)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* @count objects of @bytes each, written to; the first page of each. */
static int objects_make(struct test_heap *heap, __u32 *pages, __u32 count, __u64 bytes)
{
	for (__u32 i = 0; i < count; i++) {
		struct gcheap_alloc_large object;
		int ret = cmd_alloc_large(heap->fd, 0, bytes, &object);

		if (ret)
			return ret;
		pages[i] = object.out_page;
		memset(heap_mem(heap, pages[i]), 0x5a, bytes);
	}
	return 0;
}

/* ---- the request ---------------------------------------------------------------- */

TEST_F(scavenge, err_no_bytes)
{
	test_err(EINVAL, cmd_scavenge(self->heap.fd, 0, NULL));
}

TEST_F(scavenge, err_unknown_flag)
{
	for (int bit = 0; bit < 32; bit++) {
		union any_request request = {
			.scavenge = {
				.size = sizeof(request.scavenge),
				.flags = 1u << bit,
				.max_bytes = 1,
			},
		};

		test_err_send(EOPNOTSUPP, GCHEAP_OP_SCAVENGE, &request);
	}
}

TEST_F(scavenge, of_a_heap_without_free_memory_gives_none)
{
	test_cmd_scavenge(~0ull, &self->scavenge);
	EXPECT_EQ(0, self->scavenge.out_bytes);
	EXPECT_EQ(0, self->scavenge.out_free_bytes);
	test_cmd_alloc_large(0, 100000, &self->object);
	test_cmd_scavenge(~0ull, &self->scavenge);
	EXPECT_EQ(0, self->scavenge.out_bytes);
	EXPECT_EQ(0, self->scavenge.out_free_bytes);
}

/* ---- what goes ------------------------------------------------------------------- */

TEST_F(scavenge, gives_back_what_the_counters_and_smaps_show)
{
	const __u64 object_bytes = 4 * PAGE;
	__u32 pages[1024];
	long long rss;

	ASSERT_OK(objects_make(&self->heap, pages, 1024, object_bytes));
	EXPECT_EQ(1024 * object_bytes, smaps_bytes(&self->heap, "Rss:"));
	/* Every other one, so that there are 512 pieces. */
	for (int i = 0; i < 1024; i += 2)
		test_cmd_free_large(pages[i]);
	test_cmd_stats(&self->before);
	EXPECT_EQ(512 * object_bytes, self->before.free_bytes);
	EXPECT_EQ(1024 * object_bytes, self->before.resident_bytes);

	rss = smaps_bytes(&self->heap, "Rss:");
	test_cmd_scavenge(100 * object_bytes, &self->scavenge);
	EXPECT_EQ(100 * object_bytes, self->scavenge.out_bytes);
	EXPECT_EQ(412 * object_bytes, self->scavenge.out_free_bytes);
	EXPECT_EQ(rss - 100 * (long long)object_bytes, smaps_bytes(&self->heap, "Rss:"));

	test_cmd_scavenge(~0ull, &self->scavenge);
	EXPECT_EQ(412 * object_bytes, self->scavenge.out_bytes);
	EXPECT_EQ(0, self->scavenge.out_free_bytes);
	EXPECT_EQ(512 * object_bytes, smaps_bytes(&self->heap, "Rss:"));
	test_cmd_stats(&self->after);
	EXPECT_EQ(0, self->after.free_bytes);
	EXPECT_EQ(0, self->after.stock_bytes);
	EXPECT_EQ(512 * object_bytes, self->after.resident_bytes);
	EXPECT_EQ(self->before.released_bytes + 512 * object_bytes, self->after.released_bytes);
	EXPECT_EQ(self->before.in_use_pages, self->after.in_use_pages);
	/* The others are as they were. */
	for (int i = 1; i < 1024; i += 2)
		ASSERT_TRUE(memory_is(heap_mem(&self->heap, pages[i]), 0x5a, object_bytes));
}

TEST_F(scavenge, gives_memory_back_to_the_machine)
{
	struct machine before, after;
	__u32 pages[64];

	ASSERT_OK(objects_make(&self->heap, pages, 64, 1 << 20));
	for (int i = 0; i < 64; i++)
		test_cmd_free_large(pages[i]);
	ASSERT_OK(machine_take(&before));
	test_cmd_scavenge(~0ull, &self->scavenge);
	EXPECT_EQ(64ull << 20, self->scavenge.out_bytes);
	ASSERT_OK(machine_take(&after));
	EXPECT_EQ(before.object_bytes - (64ll << 20), after.object_bytes);
}

TEST_F(scavenge, takes_the_highest_addresses_first)
{
	__u32 pages[100];

	ASSERT_OK(objects_make(&self->heap, pages, 100, PAGE));
	for (int i = 0; i < 100; i++)
		test_cmd_free_large(pages[i]);
	test_cmd_scavenge(40 * PAGE, &self->scavenge);
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(i < 60 ? 0 : SIGBUS, probe(heap_mem(&self->heap, pages[i]), false, NULL));
}

TEST_F(scavenge, finds_what_a_collection_has_freed)
{
	struct gcheap_sweep_start swept;
	__u32 pages[256];
	__u64 live;

	ASSERT_OK(objects_make(&self->heap, pages, 256, 64 << 10));
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 256; i += 4) {
		bit_set(mark_bits(&self->heap), slot_bit(pages[i], 0, 0));
		bit_set(page_marks(&self->heap), pages[i]);
	}
	test_cmd_sweep_start(&swept);
	EXPECT_EQ(192, swept.out_freed_spans);
	test_cmd_scavenge(~0ull, &self->scavenge);
	live = 64 * (64 << 10);
	EXPECT_EQ(3 * live, self->scavenge.out_bytes);
	EXPECT_EQ((long long)live, smaps_bytes(&self->heap, "Rss:"));
	for (int i = 0; i < 256; i += 4)
		ASSERT_TRUE(memory_is(heap_mem(&self->heap, pages[i]), 0x5a, 64 << 10));
}

/* ---- what comes after ------------------------------------------------------------- */

TEST_F(scavenge, leaves_addresses_that_read_as_zero_when_they_are_used_again)
{
	__u32 pages[64], again[64];

	ASSERT_OK(objects_make(&self->heap, pages, 64, 16 * PAGE));
	for (int i = 0; i < 64; i++)
		test_cmd_free_large(pages[i]);
	test_cmd_scavenge(~0ull, &self->scavenge);
	for (int i = 0; i < 64; i++) {
		test_cmd_alloc_large(0, 16 * PAGE, &self->object);
		EXPECT_EQ(pages[i], self->object.out_page);
		EXPECT_EQ(0, self->object.out_flags);
		ASSERT_TRUE(memory_is(heap_mem(&self->heap, self->object.out_page), 0, 16 * PAGE));
		again[i] = self->object.out_page;
	}
	/* What was not given back may have old data, and says so. */
	for (int i = 0; i < 64; i++)
		test_cmd_free_large(again[i]);
	test_cmd_scavenge(32 * 16 * PAGE, &self->scavenge);
	for (int i = 0; i < 64; i++) {
		test_cmd_alloc_large(0, 16 * PAGE, &self->object);
		EXPECT_EQ(again[i], self->object.out_page);
		EXPECT_EQ(i < 32 ? GCHEAP_GRANT_NEEDZERO : 0, self->object.out_flags);
	}
}

TEST_F(scavenge, and_allocation_go_on_together)
{
	struct gcheap_grant grants[32];
	__u32 pages[32];
	__u32 count;

	for (int round = 0; round < 30; round++) {
		test_cmd_refill(0, 6, 256 << 10, NULL, 0, grants, 32, &count);
		for (__u32 i = 0; i < count; i++) {
			pages[i] = grants[i].page;
			ASSERT_RIGHT(span_wrong(&self->heap, &grants[i], 6, true));
			if (!(grants[i].flags & GCHEAP_GRANT_NEEDZERO))
				ASSERT_TRUE(memory_is(heap_mem(&self->heap, pages[i]), 0, PAGE));
			memset(heap_mem(&self->heap, pages[i]), round + 1, PAGE);
		}
		test_cmd_give(pages, count);
		test_cmd_scavenge(1 + (__u64)round * 3 * PAGE, &self->scavenge);
		ASSERT_EQ(NULL, heap_wrong(&self->heap));
	}
}

/* A child whose own heap gives back much memory is killed: the request ends early. */
TEST_F_TIMEOUT(scavenge, ends_with_its_process, 60)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		struct test_heap heap;
		__u32 page;

		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, 1ull << 30))
			_exit(1);
		for (;;) {
			if (objects_make(&heap, &page, 1, 128 << 20) ||
			    cmd_free_large(heap.fd, page) || cmd_scavenge(heap.fd, ~0ull, NULL))
				_exit(2);
		}
	}
	usleep(1000000);
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_wait(child));
}

TEST_HARNESS_MAIN
