// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Long requests let others have their turn: what another thread sees of them while they
 * run. Turns are counted, and no clock is read.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECT		(192ull << 20)
#define PARAMETERS	"/sys/module/gcheap/parameters/"

FIXTURE(turns) {
	struct test_heap heap;
	char ahead[32];
};

FIXTURE_VARIANT(turns) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(turns, small_pages) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(turns, huge_pages) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_SETUP(turns)
{
	int ret;

	/* What is seen to change is what the request does. */
	ASSERT_OK(text_read(PARAMETERS "zero_ahead_bytes", self->ahead, sizeof(self->ahead)));
	ASSERT_OK(text_write(PARAMETERS "zero_ahead_bytes", "0"));
	ret = heap_open_flags(&self->heap, GCHEAP_UAPI_LAYOUT_SPAN, 1ull << 30, variant->flags);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
}

FIXTURE_TEARDOWN(turns)
{
	if (self->ahead[0])
		text_write(PARAMETERS "zero_ahead_bytes", self->ahead);
	if (self->heap.fd <= 0)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* A thread that asks for figures as fast as it can. */
struct looker {
	pthread_t thread;
	int fd;
	atomic_bool stop;
	int error;
	__u64 changes;		/* how often resident_bytes was another than before */
	__u64 objects;		/* large_objects, when it was last seen to change */
};

static void *look(void *arg)
{
	struct looker *looker = arg;
	struct gcheap_counters counters;
	__u64 before = ~0ull;

	while (!looker->stop && !looker->error) {
		looker->error = cmd_stats(looker->fd, &counters);
		looker->changes += counters.resident_bytes != before;
		before = counters.resident_bytes;
	}
	return NULL;
}

static int looker_start(struct looker *looker, int fd)
{
	memset(looker, 0, sizeof(*looker));
	looker->fd = fd;
	return -pthread_create(&looker->thread, NULL, look, looker);
}

static int looker_end(struct looker *looker)
{
	looker->stop = true;
	pthread_join(looker->thread, NULL);
	return looker->error;
}

TEST_F(turns, are_had_while_a_large_object_is_made)
{
	struct gcheap_alloc_large large;
	struct looker looker;

	ASSERT_OK(looker_start(&looker, self->heap.fd));
	test_cmd_alloc_large(0, OBJECT, &large);
	ASSERT_OK(looker_end(&looker));
	/* It comes in pieces of 4 MiB: not all of them have to be seen. */
	EXPECT_LT(16, looker.changes) {
		TH_LOG("%llu changes seen", (unsigned long long)looker.changes);
	}
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, OBJECT));
}

TEST_F(turns, are_had_while_one_fails_and_is_undone)
{
	struct gcheap_counters before, after;
	struct looker looker;
	char limit[32];

	test_cmd_stats(&before);
	snprintf(limit, sizeof(limit), "%llu", OBJECT / 2);
	ASSERT_OK(text_write(PARAMETERS "heap_max_bytes", limit));
	ASSERT_OK(looker_start(&looker, self->heap.fd));
	EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, OBJECT, NULL));
	ASSERT_OK(looker_end(&looker));
	ASSERT_OK(text_write(PARAMETERS "heap_max_bytes", "0"));
	EXPECT_LT(16, looker.changes) {
		TH_LOG("%llu changes seen", (unsigned long long)looker.changes);
	}
	test_cmd_stats(&after);
	EXPECT_EQ(before.resident_bytes, after.resident_bytes);
	EXPECT_EQ(before.heap_pages, after.heap_pages);
	EXPECT_EQ(before.in_use_pages, after.in_use_pages);
	/* All of the reserve is there for the next. */
	test_cmd_alloc_large(0, OBJECT, NULL);
}

/* A thread that reads what the heap consists of as fast as it can. */
static void *look_at_spans(void *arg)
{
	static char text[65536];
	struct looker *looker = arg;
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/gcheap/%d-%lld/spans", getpid(),
		 fdinfo_number(looker->fd, "heap"));
	while (!looker->stop && !looker->error) {
		looker->error = text_read(path, text, sizeof(text));
		looker->changes++;
	}
	return NULL;
}

/* Of an object that is being made, descriptors are there before the first one is. */
TEST_F(turns, of_debugfs_end_while_a_large_object_is_made)
{
	struct looker looker = { .fd = self->heap.fd };
	struct gcheap_alloc_large large;

	if (access("/sys/kernel/debug/gcheap", X_OK))
		SKIP(return, "no debugfs");
	test_cmd_alloc_large(0, OBJECT, &large);
	test_cmd_free_large(large.out_page);
	ASSERT_EQ(0, pthread_create(&looker.thread, NULL, look_at_spans, &looker));
	for (int i = 0; i < 20; i++) {
		test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, OBJECT, &large);
		test_cmd_free_large(large.out_page);
	}
	ASSERT_OK(looker_end(&looker));
	EXPECT_LT(1, looker.changes);
}

static void *make_small_ones(void *arg)
{
	struct looker *looker = arg;
	struct gcheap_alloc_large small;

	while (!looker->stop && !looker->error) {
		looker->error = cmd_alloc_large(looker->fd, 0, 20000, &small);
		if (!looker->error && looker->changes % 2)
			looker->error = cmd_free_large(looker->fd, small.out_page);
		looker->changes++;
	}
	return NULL;
}

/* Others take pages, and make the heap grow, between the pieces. */
TEST_F(turns, of_others_that_allocate_do_no_harm)
{
	struct gcheap_alloc_large large[3];
	struct looker looker = { .fd = self->heap.fd };

	ASSERT_EQ(0, pthread_create(&looker.thread, NULL, make_small_ones, &looker));
	for (int i = 0; i < 3; i++) {
		test_cmd_alloc_large(0, OBJECT / 4, &large[i]);
		memset(heap_mem(&self->heap, large[i].out_page), i + 1, OBJECT / 4);
	}
	ASSERT_OK(looker_end(&looker));
	for (int i = 0; i < 3; i++)
		EXPECT_TRUE(memory_is(heap_mem(&self->heap, large[i].out_page), i + 1,
				      OBJECT / 4));
	EXPECT_LT(16, looker.changes);
}

/* TRACK answers as one request does, whatever pieces it is done in. */
TEST_F(turns, of_track_are_by_arenas_and_its_answer_is_one)
{
	struct gcheap_range ranges[16];
	struct gcheap_track track = { 0 };
	struct gcheap_alloc_large large;
	__u32 type;

	test_cmd_type_words(1, 1, &type);
	test_cmd_alloc_large(type, OBJECT / 8, &large);
	track.ranges = (uintptr_t)ranges;
	track.range_count = 16;
	if (cmd_track(self->heap.fd, &track) == -EOPNOTSUPP)
		SKIP(return, "writes are not tracked on this machine");
	/* Three arenas, of which the pages at the ends are written. */
	for (__u64 at = 0; at < OBJECT; at += GCHEAP_ARENA_BYTES / 2)
		heap_mem(&self->heap, large.out_page)[at] = 1;
	test_cmd_track(&track);
	/* Of 2 MiB pages, the whole is dirty that has one; the first 2 MiB have none. */
	EXPECT_EQ(variant->flags ? 5 * 256 + 1 : 6, track.out_dirty_pages);
	EXPECT_EQ(6, track.out_range_count);
	EXPECT_EQ(heap_ctrl(&self->heap)->heap_pages, track.out_end);
	EXPECT_EQ(2, heap_ctrl(&self->heap)->counters.tracks);
	/* One that has no room stops where it has none, and goes on from there. */
	for (__u64 at = 0; at < OBJECT; at += GCHEAP_ARENA_BYTES / 2)
		heap_mem(&self->heap, large.out_page)[at] = 1;
	track.range_count = 1;
	track.page = 0;
	for (int i = 0; i < 6; i++) {
		test_cmd_track(&track);
		EXPECT_EQ(1, track.out_range_count);
		track.page = track.out_end;
	}
	EXPECT_EQ(heap_ctrl(&self->heap)->heap_pages, track.out_end);
}

TEST_HARNESS_MAIN
