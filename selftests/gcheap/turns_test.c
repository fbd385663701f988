// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Long requests let others have their turn: what another thread sees of them while
 * they run. The tests count turns, and read no clock.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECT		(192ull << 20)

FIXTURE(turns) {
	struct test_heap heap;
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

	ret = heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, 1ull << 30, variant->flags);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
}

FIXTURE_TEARDOWN(turns)
{
	if (self->heap.fd <= 0)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* A thread that asks for one of the figures as fast as it can. */
struct looker {
	pthread_t thread;
	int fd;
	size_t figure;		/* where it is in struct gcheap_counters */
	atomic_bool looks;	/* it has seen the figure once */
	atomic_bool stop;
	int error;
	__u64 changes;		/* how often it was another than before */
	__u64 low, high;
	atomic_uint request;	/* which one is being done; 0: none that is of interest */
	atomic_uint middles;	/* how often it was between @low and @high in its middle */
};

static void *look(void *arg)
{
	struct looker *looker = arg;
	struct gcheap_counters counters;
	__u64 now, before = ~0ull;

	while (!looker->stop && !looker->error) {
		unsigned int request = looker->request;

		looker->error = cmd_stats(looker->fd, &counters);
		memcpy(&now, (char *)&counters + looker->figure, sizeof(now));
		looker->changes += looker->looks && now != before;
		looker->middles += request && request == looker->request &&
				   looker->low < now && now < looker->high;
		looker->looks = true;
		before = now;
	}
	return NULL;
}

/* Returns when it has looked once. */
static int looker_start_at(struct looker *looker, int fd, size_t figure, __u64 low, __u64 high)
{
	int error;

	memset(looker, 0, sizeof(*looker));
	looker->fd = fd;
	looker->figure = figure;
	looker->low = low;
	looker->high = high;
	error = -pthread_create(&looker->thread, NULL, look, looker);
	while (!error && !looker->looks)
		sched_yield();
	return error;
}

#define looker_start(looker, fd, figure) \
	looker_start_at(looker, fd, offsetof(struct gcheap_counters, figure), 0, 0)
/* One who looks whether it is between the values before and after a request. */
#define middle_looker_start(looker, fd, figure, low, high) \
	looker_start_at(looker, fd, offsetof(struct gcheap_counters, figure), low, high)

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

	ASSERT_OK(looker_start(&looker, self->heap.fd, resident_bytes));
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
	ASSERT_OK(looker_start(&looker, self->heap.fd, resident_bytes));
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

#define SPANS		1024u

/*
 * Whether somebody is met in the middle of a short request is chance, above all on a busy
 * machine.
 */
#define ROUNDS		1000

/* Spans in the kernel's hands, of each of which the first slot is allocated: pages[]. */
static int make_spans(struct test_heap *heap, __u32 pages[SPANS])
{
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 granted, made = 0;
	int ret;

	while (made < SPANS) {
		__u32 want = SPANS - made < GCHEAP_REFILL_MAX ? SPANS - made : GCHEAP_REFILL_MAX;

		ret = cmd_refill(heap->fd, 0, CLASS_8192, ~0u, NULL, 0, grants, want, &granted);
		if (ret)
			return ret;
		if (!granted)
			return -ENOMEM;
		for (__u32 i = 0; i < granted; i++) {
			pages[made + i] = grants[i].page;
			slot_alloc(heap, grants[i].page, 0);
		}
		ret = cmd_give(heap->fd, pages + made, granted);
		if (ret)
			return ret;
		made += granted;
	}
	return 0;
}

static void mark_spans(struct test_heap *heap, const __u32 pages[SPANS])
{
	for (__u32 i = 0; i < SPANS; i++)
		slot_mark(heap, pages[i], 0);
}

/* A cycle in which all the spans live, and which leaves them all to be swept. */
static int cycle_lazily(struct test_heap *heap, const __u32 pages[SPANS])
{
	int ret = cmd_mark_start(heap->fd, NULL);

	if (ret)
		return ret;
	mark_spans(heap, pages);
	return cmd_sweep_start_flags(heap->fd, GCHEAP_SWEEP_START_LAZY, 0, NULL);
}

TEST_F(turns, are_had_while_spans_are_swept)
{
	static __u32 pages[SPANS];
	struct gcheap_sweep sweep;
	struct looker looker;

	ASSERT_OK(make_spans(&self->heap, pages));
	ASSERT_OK(middle_looker_start(&looker, self->heap.fd, unswept_spans, 0, SPANS));
	for (int i = 1; i <= ROUNDS && !looker.middles; i++) {
		ASSERT_OK(cycle_lazily(&self->heap, pages));
		looker.request = i;
		test_cmd_sweep(SPANS, &sweep);
		looker.request = 0;
		ASSERT_EQ(SPANS, sweep.out_swept_spans);
	}
	ASSERT_OK(looker_end(&looker));
	EXPECT_LT(0, (unsigned int)looker.middles);
}

/* It sweeps what the last cycle has left. */
TEST_F(turns, are_had_while_the_next_cycle_begins)
{
	static __u32 pages[SPANS];
	struct gcheap_mark_start start;
	struct looker looker;

	ASSERT_OK(make_spans(&self->heap, pages));
	ASSERT_OK(middle_looker_start(&looker, self->heap.fd, unswept_spans, 0, SPANS));
	for (int i = 1; i <= ROUNDS && !looker.middles; i++) {
		ASSERT_OK(cycle_lazily(&self->heap, pages));
		looker.request = i;
		test_cmd_mark_start(&start);
		looker.request = 0;
		ASSERT_EQ(SPANS, start.out_swept_spans);
		mark_spans(&self->heap, pages);
		test_cmd_sweep_start(NULL);
		test_cmd_sweep(SPANS, NULL);
	}
	ASSERT_OK(looker_end(&looker));
	EXPECT_LT(0, (unsigned int)looker.middles);
}

TEST_F(turns, are_had_while_a_cycle_ends_and_frees)
{
	struct gcheap_sweep_start start;
	struct gcheap_counters before;
	struct looker looker;

	test_cmd_stats(&before);
	ASSERT_OK(middle_looker_start(&looker, self->heap.fd, in_use_pages,
				      before.in_use_pages, before.in_use_pages + 4 * SPANS));
	for (int i = 1; i <= ROUNDS && !looker.middles; i++) {
		for (__u32 n = 0; n < SPANS; n++)
			test_cmd_alloc_large(0, 4 * GCHEAP_PAGE_BYTES, NULL);
		test_cmd_mark_start(NULL);
		looker.request = i;
		test_cmd_sweep_start(&start);
		looker.request = 0;
		ASSERT_EQ(4 * SPANS, start.out_freed_pages);
	}
	ASSERT_OK(looker_end(&looker));
	EXPECT_LT(0, (unsigned int)looker.middles);
}

/*
 * A thread that looks for the middle of a TRACK: the first page of a range is clean
 * already, and after that the last one is dirty yet. Where nobody had a turn in between,
 * the second look, which waits for the heap's lock, would come after its end.
 */
struct track_looker {
	pthread_t thread;
	int fd;
	__u32 first, last;
	atomic_uint tracks;	/* which one runs, after both were written; 0: none */
	atomic_bool stop;
	int error;
	atomic_uint middles;
};

static void *look_at_dirt(void *arg)
{
	struct track_looker *looker = arg;
	struct gcheap_range range;
	struct gcheap_track peek = {
		.flags = GCHEAP_TRACK_PEEK,
		.npages = 1,
		.ranges = (uintptr_t)&range,
		.range_count = 1,
	};

	while (!looker->stop && !looker->error) {
		unsigned int track = looker->tracks;

		if (!track)
			continue;
		peek.page = looker->first;
		looker->error = cmd_track(looker->fd, &peek);
		if (looker->error || peek.out_dirty_pages)
			continue;
		peek.page = looker->last;
		looker->error = cmd_track(looker->fd, &peek);
		if (peek.out_dirty_pages && looker->tracks == track)
			looker->middles++;
	}
	return NULL;
}

TEST_F(turns, are_had_while_writes_are_collected)
{
	struct gcheap_range ranges[16];
	struct gcheap_track track = { .ranges = (uintptr_t)ranges, .range_count = 16 };
	struct track_looker looker = { .fd = self->heap.fd };
	struct gcheap_alloc_large large;
	char *first, *last;
	__u32 type;

	test_cmd_type_words(1, 1, &type);
	test_cmd_alloc_large(type, OBJECT / 8, &large);
	if (cmd_track(self->heap.fd, &track) == -EOPNOTSUPP)
		SKIP(return, "writes are not tracked on this machine");
	looker.first = large.out_page;
	looker.last = large.out_page + (OBJECT >> GCHEAP_PAGE_SHIFT) - 1;
	first = heap_mem(&self->heap, looker.first);
	last = heap_mem(&self->heap, looker.last);
	ASSERT_EQ(0, pthread_create(&looker.thread, NULL, look_at_dirt, &looker));
	/* Each TRACK has three arenas to look at; how often it is met in its middle is chance. */
	for (int i = 1; i <= ROUNDS && !looker.middles; i++) {
		*(volatile char *)last = 1;
		*(volatile char *)first = 1;
		track.page = 0;
		looker.tracks = i;
		test_cmd_track(&track);
		looker.tracks = 0;
	}
	looker.stop = true;
	pthread_join(looker.thread, NULL);
	EXPECT_OK(looker.error);
	EXPECT_LT(0, (unsigned int)looker.middles);
}

/* TRACK answers as one request does, whatever pieces it is done in. */
TEST_F(turns, of_track_leave_one_answer)
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
