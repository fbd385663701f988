// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The tracepoints: each fires once for what it is about, and says what happened.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define TRACING	"/sys/kernel/tracing"
#define EVENTS	TRACING "/events/gcheap"

static int event_enable(const char *name, bool on)
{
	char path[128];

	snprintf(path, sizeof(path), EVENTS "/%s/enable", name);
	return text_write(path, on ? "1" : "0");
}

static int trace_clear(void)
{
	int fd = open(TRACING "/trace", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static char trace[1 << 20];

/* How many events of this name the trace has of the heap; @line is set to the last. */
static int event_find(const char *name, long long heap, const char **line)
{
	char start[64];
	char *at = trace;
	int found = 0, ret = text_read(TRACING "/trace", trace, sizeof(trace));

	if (ret)
		return ret;
	snprintf(start, sizeof(start), " %s: heap=%lld ", name, heap);
	while ((at = strstr(at, start))) {
		at += strlen(start) - 1;
		*line = at;
		found++;
	}
	/* One line each. */
	for (at = trace; (at = strchr(at, '\n')); at++)
		*at = 0;
	return found;
}

static bool event_has(const char *line, const char *field, const char *value)
{
	char wanted[128];
	const char *at;

	snprintf(wanted, sizeof(wanted), " %s=%s", field, value);
	at = strstr(line, wanted);
	return at && (at[strlen(wanted)] == ' ' || !at[strlen(wanted)]);
}

static long long event_number(const char *line, const char *field)
{
	char wanted[128];
	const char *at;

	snprintf(wanted, sizeof(wanted), " %s=", field);
	at = strstr(line, wanted);
	return at ? strtoll(at + strlen(wanted), NULL, 0) : -1;
}

FIXTURE(tracepoint) {
	struct test_heap heap;
	long long id;
	const char *line;
};

FIXTURE_SETUP(tracepoint)
{
	if (access(EVENTS, F_OK))
		SKIP(return, "no tracepoints at " EVENTS);
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	self->id = fdinfo_number(self->heap.fd, "heap");
	ASSERT_LT(0, self->id);
	self->line = "";
	ASSERT_OK(text_write(EVENTS "/enable", "0"));
	ASSERT_OK(trace_clear());
}

FIXTURE_TEARDOWN(tracepoint)
{
	text_write(EVENTS "/enable", "0");
	heap_close(&self->heap);
}

#define ASSERT_FIRED(count, name) \
	ASSERT_EQ(count, event_find(name, self->id, &self->line))
#define EXPECT_FIELD(value, field) do { \
	EXPECT_EQ((long long)(value), event_number(self->line, field)) { \
		TH_LOG("%s:%s", field, self->line); \
	} \
} while (0)
#define EXPECT_NAME(value, field) do { \
	EXPECT_TRUE(event_has(self->line, field, value)) { \
		TH_LOG("%s:%s", field, self->line); \
	} \
} while (0)
/* It says how long it took: no less than nothing, no more than a minute. */
#define EXPECT_DURATION() do { \
	EXPECT_LT(0, event_number(self->line, "duration_ns")); \
	EXPECT_GT(60000000000, event_number(self->line, "duration_ns")); \
} while (0)

TEST_F(tracepoint, gcheap_refill_tells_what_was_asked_returned_and_granted)
{
	struct gcheap_grant grants[4];
	__u32 granted, pages[2];

	test_cmd_refill(0, CLASS_64, 16384, NULL, 0, grants, 4, &granted);
	ASSERT_EQ(2, granted);
	ASSERT_OK(event_enable("gcheap_refill", true));
	pages[0] = grants[0].page;
	pages[1] = grants[1].page;
	test_cmd_refill(0, CLASS_1024, 8192, pages, 2, grants, 4, &granted);
	ASSERT_FIRED(1, "gcheap_refill");
	EXPECT_FIELD(0, "type");
	EXPECT_FIELD(CLASS_1024, "size_class");
	EXPECT_FIELD(8192, "want_bytes");
	EXPECT_FIELD(2, "returned");
	EXPECT_FIELD(1, "granted");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();

	/* What fails is told too. */
	EXPECT_ERR(EINVAL, cmd_refill(self->heap.fd, 12345, CLASS_64, 8192, NULL, 0, grants, 4,
				      &granted));
	ASSERT_FIRED(2, "gcheap_refill");
	EXPECT_FIELD(12345, "type");
	EXPECT_FIELD(0, "granted");
	EXPECT_FIELD(-EINVAL, "error");
}

TEST_F(tracepoint, that_is_not_enabled_is_silent)
{
	test_cmd_alloc_large(0, 1, NULL);
	ASSERT_FIRED(0, "gcheap_alloc_large");
}

TEST_F(tracepoint, tells_one_heap_from_another)
{
	struct test_heap other;

	ASSERT_OK(event_enable("gcheap_alloc_large", true));
	ASSERT_OK(heap_open(&other, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	EXPECT_NE(self->id, fdinfo_number(other.fd, "heap"));
	EXPECT_OK(cmd_alloc_large(other.fd, 0, 1, NULL));
	heap_close(&other);
	ASSERT_FIRED(0, "gcheap_alloc_large");
}

TEST_F(tracepoint, gcheap_alloc_large_tells_where_and_how_long)
{
	struct gcheap_alloc_large large;

	ASSERT_OK(event_enable("gcheap_alloc_large", true));
	test_cmd_alloc_large(0, 100000, &large);
	ASSERT_FIRED(1, "gcheap_alloc_large");
	EXPECT_FIELD(0, "type");
	EXPECT_FIELD(100000, "count");
	EXPECT_FIELD(large.out_page, "page");
	EXPECT_FIELD(13, "npages");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();
}

/* One object of two spans lives; a third span is dead. */
TEST_F(tracepoint, gcheap_mark_start_and_the_sweep_tell_what_was_freed)
{
	struct gcheap_sweep_start start;
	struct gcheap_mark_start mark;
	struct gcheap_grant grants[3];
	struct gcheap_sweep sweep;
	__u32 pages[3], granted;

	test_cmd_refill(0, CLASS_64, 3 * 8192, NULL, 0, grants, 3, &granted);
	ASSERT_EQ(3, granted);
	for (int i = 0; i < 3; i++) {
		pages[i] = grants[i].page;
		span_fill(&self->heap, pages[i]);
	}
	test_cmd_give(pages, 3);
	ASSERT_OK(event_enable("gcheap_mark_start", true));
	ASSERT_OK(event_enable("gcheap_sweep_start", true));
	ASSERT_OK(event_enable("gcheap_sweep", true));
	test_cmd_mark_start(&mark);
	ASSERT_FIRED(1, "gcheap_mark_start");
	EXPECT_FIELD(mark.out_generation, "generation");
	EXPECT_FIELD(mark.out_swept_spans, "swept_spans");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();

	slot_mark(&self->heap, pages[0], 0);
	slot_mark(&self->heap, pages[2], 0);
	test_cmd_sweep_start_flags(0, 12345678, &start);
	ASSERT_EQ(1, start.out_freed_spans);
	ASSERT_FIRED(1, "gcheap_sweep_start");
	EXPECT_FIELD(start.out_generation, "generation");
	EXPECT_FIELD(0, "flags");
	EXPECT_FIELD(12345678, "goal_bytes");
	EXPECT_FIELD(1, "freed_spans");
	EXPECT_FIELD(1, "freed_pages");
	EXPECT_FIELD(2, "unswept_spans");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();

	test_cmd_sweep(1, &sweep);
	ASSERT_FIRED(1, "gcheap_sweep");
	EXPECT_FIELD(1, "max_spans");
	EXPECT_FIELD(1, "swept_spans");
	EXPECT_FIELD(0, "freed_spans");
	EXPECT_FIELD(1, "unswept_spans");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();
}

TEST_F(tracepoint, gcheap_reclaim_tells_what_was_found_dead)
{
	struct gcheap_reclaim reclaim;

	test_cmd_alloc_large(0, 100 << 13, NULL);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start_flags(GCHEAP_SWEEP_START_LAZY, 0, NULL);
	ASSERT_OK(event_enable("gcheap_reclaim", true));
	test_cmd_reclaim(50, &reclaim);
	ASSERT_FIRED(1, "gcheap_reclaim");
	EXPECT_LE(50, reclaim.out_pages);
	EXPECT_FIELD(50, "max_pages");
	EXPECT_FIELD(reclaim.out_pages, "pages");
	EXPECT_FIELD(reclaim.out_left, "left");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();
}

TEST_F(tracepoint, gcheap_scavenge_tells_what_was_given_back)
{
	struct gcheap_scavenge scavenge;
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 1 << 20, &large);
	test_cmd_free_large(large.out_page);
	ASSERT_OK(event_enable("gcheap_scavenge", true));
	test_cmd_scavenge(1 << 19, &scavenge);
	ASSERT_FIRED(1, "gcheap_scavenge");
	EXPECT_NAME("request", "by");
	EXPECT_FIELD(1 << 19, "max_bytes");
	EXPECT_FIELD(scavenge.out_bytes, "bytes");
	EXPECT_FIELD(scavenge.out_free_bytes, "free_bytes");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();
}

TEST_F(tracepoint, gcheap_scavenge_tells_what_the_system_took)
{
	struct gcheap_counters before, after;
	struct gcheap_alloc_large large;

	if (geteuid())
		SKIP(return, "needs root");
	test_cmd_alloc_large(0, 32 << 20, &large);
	test_cmd_free_large(large.out_page);
	test_cmd_stats(&before);
	ASSERT_OK(event_enable("gcheap_scavenge", true));
	ASSERT_OK(text_write("/proc/sys/vm/drop_caches", "2"));
	test_cmd_stats(&after);
	ASSERT_LT(0, event_find("gcheap_scavenge", self->id, &self->line));
	EXPECT_NAME("shrinker", "by");
	EXPECT_FIELD(after.free_bytes + after.stock_bytes, "free_bytes");
	EXPECT_LT(before.released_bytes, after.released_bytes);
	EXPECT_LE(event_number(self->line, "bytes"), event_number(self->line, "max_bytes") + 8192);
}

/* What is above the goal is given back in pieces, and each is reported. */
TEST_F(tracepoint, gcheap_scavenge_tells_what_went_back_in_the_background)
{
	struct gcheap_alloc_large large;
	int found = 0;

	test_cmd_mark_start(NULL);
	test_cmd_sweep_start_flags(0, 1 << 20, NULL);
	test_cmd_alloc_large(0, 8 << 20, &large);
	ASSERT_OK(event_enable("gcheap_scavenge", true));
	test_cmd_free_large(large.out_page);
	for (int i = 0; i < 1000 && !found; i++) {
		usleep(20000);
		found = event_find("gcheap_scavenge", self->id, &self->line);
	}
	ASSERT_LT(0, found);
	EXPECT_NAME("background", "by");
	EXPECT_FIELD(1 << 20, "max_bytes");
	EXPECT_LT(0, event_number(self->line, "bytes"));
	EXPECT_DURATION();
}

TEST_F(tracepoint, gcheap_fault_tells_the_address)
{
	struct gcheap_alloc_large large;
	char *mem;

	test_cmd_alloc_large(0, 1 << 20, &large);
	mem = heap_mem(&self->heap, large.out_page) + 12345;
	ASSERT_OK(event_enable("gcheap_fault", true));
	/* It is there already: no fault. */
	ASSERT_EQ(0, probe(mem, true, NULL));
	ASSERT_FIRED(0, "gcheap_fault");

	ASSERT_EQ(0, madvise(heap_mem(&self->heap, 0), SMALL_RESERVE, MADV_DONTNEED));
	*(volatile char *)mem = 1;
	ASSERT_FIRED(1, "gcheap_fault");
	EXPECT_FIELD((uintptr_t)mem, "address");
	EXPECT_FIELD(large.out_page + 1, "page");
	EXPECT_FIELD(1, "write");
	EXPECT_LT(0, event_number(self->line, "mapped"));

	mem = heap_mem(&self->heap, 0) + 77;
	ASSERT_EQ(SIGBUS, probe(mem, false, NULL));
	ASSERT_FIRED(2, "gcheap_fault");
	EXPECT_FIELD((uintptr_t)mem, "address");
	EXPECT_FIELD(0, "page");
	EXPECT_FIELD(0, "write");
	EXPECT_FIELD(0, "mapped");
}

TEST_F(tracepoint, gcheap_track_tells_what_was_dirty)
{
	struct gcheap_range ranges[16];
	struct gcheap_track track = {
		.ranges = (uintptr_t)ranges,
		.range_count = ARRAY_SIZE(ranges),
	};
	int ret;

	test_cmd_alloc_large(0, 100000, NULL);
	ASSERT_OK(event_enable("gcheap_track", true));
	ret = cmd_track(self->heap.fd, &track);
	ASSERT_FIRED(1, "gcheap_track");
	EXPECT_FIELD(0, "flags");
	EXPECT_FIELD(0, "page");
	EXPECT_FIELD(0, "npages");
	EXPECT_FIELD(ret ? 0 : track.out_dirty_pages, "dirty_pages");
	EXPECT_FIELD(ret ? 0 : track.out_range_count, "ranges");
	EXPECT_FIELD(ret ? 0 : track.out_end, "end");
	EXPECT_FIELD(ret, "error");
	EXPECT_DURATION();
}

TEST_F(tracepoint, gcheap_chunk_tells_a_chunks_life)
{
	struct gcheap_chunk_new chunk;

	ASSERT_OK(event_enable("gcheap_chunk", true));
	test_cmd_chunk_new(&chunk);
	ASSERT_FIRED(1, "gcheap_chunk");
	EXPECT_NAME("new", "op");
	EXPECT_FIELD(chunk.out_page, "page");
	EXPECT_FIELD(0, "error");
	EXPECT_DURATION();
	test_cmd_chunk_free(chunk.out_page);
	ASSERT_FIRED(2, "gcheap_chunk");
	EXPECT_NAME("free", "op");
	EXPECT_FIELD(chunk.out_page, "page");
	test_cmd_chunk_ready(chunk.out_page);
	ASSERT_FIRED(3, "gcheap_chunk");
	EXPECT_NAME("ready", "op");
	EXPECT_FIELD(chunk.out_page, "page");
	EXPECT_ERR(EINVAL, cmd_chunk_free(self->heap.fd, chunk.out_page));
	ASSERT_FIRED(4, "gcheap_chunk");
	EXPECT_FIELD(-EINVAL, "error");
}

TEST_F(tracepoint, gcheap_pressure_tells_the_level)
{
	ASSERT_OK(event_enable("gcheap_pressure", true));
	EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, 2 * SMALL_RESERVE, NULL));
	ASSERT_FIRED(1, "gcheap_pressure");
	EXPECT_NAME("limit", "level");
	EXPECT_FIELD(1, "sequence");
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	ASSERT_FIRED(2, "gcheap_pressure");
	EXPECT_NAME("none", "level");
	EXPECT_FIELD(1, "sequence");
}

TEST_HARNESS_MAIN
