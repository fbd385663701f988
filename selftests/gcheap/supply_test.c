// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where object memory comes from and goes to: that it is zero where the answer says
 * so, that no heap sees another's data, what the stock keeps, and the limits.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define MIB		1048576ull
#define CGROUP		"/sys/fs/cgroup"
#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"

static int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

static long long file_number(const char *path)
{
	FILE *file = fopen(path, "r");
	char text[64] = "";
	bool got;

	if (!file)
		return -errno;
	got = fgets(text, sizeof(text), file);
	fclose(file);
	return got ? strtoll(text, NULL, 10) : -EIO;
}

#define ZERO_AHEAD_DEFAULT	(4ull << 20)

static int parameter_set(const char *name, unsigned long long value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	snprintf(text, sizeof(text), "%llu", value);
	return file_write(path, text);
}

static void sleep_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* All that counts for the limits. */
static unsigned long long held_bytes(const struct gcheap_counters *counters)
{
	return counters->resident_bytes + counters->stock_bytes + counters->table_bytes;
}

/*
 * Waits until the worker has nothing more to do, and answers how much is in stock. When
 * nothing moves for half a second, not even a busy machine keeps the worker waiting.
 */
static unsigned long long stock_settled(int fd)
{
	unsigned long long last = ~0ull;
	struct gcheap_counters counters;

	for (int same = 0, i = 0; same < 25 && i < 500; i++) {
		if (cmd_stats(fd, &counters))
			return ~0ull;
		same = counters.stock_bytes == last ? same + 1 : 0;
		last = counters.stock_bytes;
		sleep_ms(20);
	}
	return last;
}

FIXTURE(supply) {
	struct test_heap heap;
	long long ahead;
};

FIXTURE_SETUP(supply)
{
	self->ahead = ZERO_AHEAD_DEFAULT;
	ASSERT_OK(parameter_set("zero_ahead_bytes", ZERO_AHEAD_DEFAULT));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT));
}

FIXTURE_TEARDOWN(supply)
{
	parameter_set("max_bytes", 0);
	parameter_set("heap_max_bytes", 0);
	parameter_set("zero_ahead_bytes", (unsigned long long)self->ahead);
	heap_close(&self->heap);
}

/* ---- contents ---------------------------------------------------------------- */

#define OBJECTS	24

TEST_F(supply, says_needzero_of_all_memory_that_is_not_zero)
{
	struct gcheap_alloc_large objects[OBJECTS] = { 0 };
	__u64 bytes[OBJECTS];
	__u32 chunks[4] = { 0 };
	__u32 zeros = 0, others = 0;
	struct rng rng;

	rng_init_printed(&rng, "needzero");
	for (int step = 0; step < 600; step++) {
		__u32 i = rng_below(&rng, OBJECTS);
		__u32 c = rng_below(&rng, 4);
		char *mem;

		if (rng_below(&rng, 40) == 0) {
			/* What was free memory is not there, or is zero, after this. */
			int ret = cmd_scavenge(self->heap.fd, 1 + rng_below(&rng, 8 * MIB), NULL);

			ASSERT_TRUE(!ret || ret == -EOPNOTSUPP);
		}
		if (rng_below(&rng, 30) == 0) {
			struct gcheap_chunk_new chunk;

			if (chunks[c]) {
				test_cmd_chunk_free(chunks[c]);
				test_cmd_chunk_ready(chunks[c]);
				chunks[c] = 0;
			} else {
				test_cmd_chunk_new(&chunk);
				chunks[c] = chunk.out_page;
				mem = heap_mem(&self->heap, chunk.out_page);
				if (!(chunk.out_flags & GCHEAP_GRANT_NEEDZERO))
					ASSERT_TRUE(memory_is(mem, 0, 8 * MIB));
				memset(mem, 0xc4, 8 * MIB);
			}
		}
		if (objects[i].out_page) {
			test_cmd_free_large(objects[i].out_page);
			objects[i].out_page = 0;
			continue;
		}
		bytes[i] = 1 + rng_below(&rng, rng_below(&rng, 8) ? 200000 : 5 * MIB);
		test_cmd_alloc_large(0, bytes[i], &objects[i]);
		mem = heap_mem(&self->heap, objects[i].out_page);
		if (objects[i].out_flags & GCHEAP_GRANT_NEEDZERO) {
			others++;
		} else {
			zeros++;
			ASSERT_TRUE(memory_is(mem, 0, objects[i].out_npages * 8192ull));
		}
		memset(mem, 0xa5, objects[i].out_npages * 8192ull);
	}
	EXPECT_LT(0, zeros);
	EXPECT_LT(0, others);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(supply, gives_no_heap_the_data_of_another)
{
	for (int round = 0; round < 6; round++) {
		struct gcheap_alloc_large large;
		struct gcheap_chunk_new chunk;
		struct test_heap heap;

		ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT));
		for (int i = 0; i < 3; i++) {
			ASSERT_OK(cmd_alloc_large(heap.fd, 0, 6 * MIB + 12345 * i, &large));
			ASSERT_EQ(0, large.out_flags & GCHEAP_GRANT_NEEDZERO);
			ASSERT_TRUE(memory_is(heap_mem(&heap, large.out_page), 0,
					      large.out_npages * 8192ull));
			memset(heap_mem(&heap, large.out_page), 0x77, large.out_npages * 8192ull);
		}
		/* Some of it is in stock at the end. */
		ASSERT_OK(cmd_chunk_new(heap.fd, &chunk));
		memset(heap_mem(&heap, chunk.out_page), 0x78, 8 * MIB);
		ASSERT_OK(cmd_chunk_free(heap.fd, chunk.out_page));
		heap_close(&heap);
	}
}

/* A pipe has the page itself: it must not be used for anything else meanwhile. */
TEST_F(supply, leaves_pages_alone_that_others_hold)
{
	struct gcheap_chunk_new chunk;
	static char back[8 * 4096];
	struct iovec iov;
	char *mem;
	int fds[2];

	parameter_set("zero_ahead_bytes", 0);
	ASSERT_EQ(0, pipe(fds));
	for (int round = 0; round < 4; round++) {
		test_cmd_chunk_new(&chunk);
		mem = heap_mem(&self->heap, chunk.out_page);
		memset(mem, 0x11 * (round + 1), 8 * MIB);
		iov = (struct iovec){ mem + 4096 * 5, sizeof(back) };
		ASSERT_EQ(sizeof(back), vmsplice(fds[1], &iov, 1, 0));
		test_cmd_chunk_free(chunk.out_page);
		test_cmd_chunk_ready(chunk.out_page);
		test_cmd_chunk_new(&chunk);
		memset(heap_mem(&self->heap, chunk.out_page), 0xee, 8 * MIB);
		ASSERT_EQ(sizeof(back), read(fds[0], back, sizeof(back)));
		EXPECT_TRUE(memory_is(back, 0x11 * (round + 1), sizeof(back)));
		test_cmd_chunk_free(chunk.out_page);
		test_cmd_chunk_ready(chunk.out_page);
	}
	close(fds[0]);
	close(fds[1]);
}

/* ---- the stock --------------------------------------------------------------- */

TEST_F(supply, keeps_what_was_taken_out_of_use_for_the_same_heap)
{
	struct gcheap_counters before, after;
	struct gcheap_chunk_new chunk;

	parameter_set("zero_ahead_bytes", 0);
	test_cmd_chunk_new(&chunk);
	memset(heap_mem(&self->heap, chunk.out_page), 0x3c, 8 * MIB);
	test_cmd_stats(&before);
	test_cmd_chunk_free(chunk.out_page);
	test_cmd_chunk_ready(chunk.out_page);
	test_cmd_stats(&after);
	EXPECT_EQ(before.resident_bytes - 8 * MIB, after.resident_bytes);
	EXPECT_EQ(before.stock_bytes + 8 * MIB, after.stock_bytes);
	EXPECT_LE((long long)after.stock_bytes, sysfs_number("stock_bytes"));
	test_cmd_chunk_new(&chunk);
	EXPECT_TRUE(chunk.out_flags & GCHEAP_GRANT_NEEDZERO);
	test_cmd_stats(&after);
	EXPECT_EQ(before.resident_bytes, after.resident_bytes);
	EXPECT_EQ(before.stock_bytes, after.stock_bytes);
}

TEST_F(supply, keeps_a_bounded_stock)
{
	struct gcheap_chunk_new chunks[6];
	struct gcheap_counters counters;

	for (int i = 0; i < 6; i++)
		test_cmd_chunk_new(&chunks[i]);
	for (int i = 0; i < 6; i++)
		test_cmd_chunk_free(chunks[i].out_page);
	test_cmd_stats(&counters);
	/* 8 MiB, an eighth of what the heap had, and what is zeroed ahead. */
	EXPECT_LE(counters.stock_bytes, 8 * MIB + 6 * MIB + 4 * MIB);
	EXPECT_LE(30 * MIB, counters.released_bytes);
}

TEST_F(supply, zeroes_ahead_of_demand_and_stops_with_it)
{
	struct gcheap_counters counters;
	unsigned long long stock;

	ASSERT_LT(0, self->ahead);
	for (int i = 0; i < 64; i++)
		test_cmd_alloc_large(0, MIB, NULL);
	stock = stock_settled(self->heap.fd);
	test_cmd_stats(&counters);
	EXPECT_LT(0, counters.zeroed_bytes);
	EXPECT_LT(0, stock);
	EXPECT_LE(stock, (unsigned long long)self->ahead + 2 * MIB);
	EXPECT_LE(counters.zeroed_bytes, 2 * 64 * MIB);
	sleep_ms(300);
	EXPECT_EQ(stock, stock_settled(self->heap.fd));
}

TEST_F(supply, zeroes_what_was_taken_out_of_use)
{
	struct gcheap_chunk_new chunk;
	struct gcheap_counters counters;

	test_cmd_chunk_new(&chunk);
	memset(heap_mem(&self->heap, chunk.out_page), 0x3c, 8 * MIB);
	test_cmd_chunk_free(chunk.out_page);
	for (int i = 0; i < 500; i++) {
		test_cmd_stats(&counters);
		if (counters.zeroed_bytes >= 8 * MIB)
			break;
		sleep_ms(20);
	}
	EXPECT_LE(8 * MIB, counters.zeroed_bytes);
	test_cmd_chunk_new(&chunk);
	EXPECT_EQ(0, chunk.out_flags & GCHEAP_GRANT_NEEDZERO);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, chunk.out_page), 0, 8 * MIB));
}

TEST_F(supply, zeroes_nothing_ahead_when_it_is_told_so)
{
	struct gcheap_counters counters;

	ASSERT_OK(parameter_set("zero_ahead_bytes", 0));
	for (int i = 0; i < 32; i++)
		test_cmd_alloc_large(0, MIB, NULL);
	sleep_ms(200);
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.zeroed_bytes);
}

TEST_F(supply, of_a_small_heap_is_small)
{
	struct gcheap_counters counters;

	for (int i = 0; i < 5; i++)
		test_cmd_alloc_large(0, 100, NULL);
	sleep_ms(200);
	test_cmd_stats(&counters);
	EXPECT_EQ(5 * 8192, counters.resident_bytes);
	EXPECT_EQ(0, counters.stock_bytes);
}

TEST_F(supply, ends_with_the_heap_while_the_worker_is_at_it)
{
	long long before = sysfs_number("stock_bytes");

	for (int round = 0; round < 20; round++) {
		struct test_heap heap;

		ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT));
		for (int i = 0; i < 8; i++)
			ASSERT_OK(cmd_alloc_large(heap.fd, 0, MIB, NULL));
		sleep_ms(round % 4);
		heap_close(&heap);
	}
	for (int i = 0; i < 100 && sysfs_number("stock_bytes") != before; i++)
		sleep_ms(20);
	EXPECT_EQ(before, sysfs_number("stock_bytes"));
}

/* ---- limits ------------------------------------------------------------------ */

FIXTURE(limit) {
	struct test_heap heap;
	long long ahead;
};

FIXTURE_VARIANT(limit) {
	const char *parameter;
};

FIXTURE_VARIANT_ADD(limit, of_one_heap) {
	.parameter = "heap_max_bytes",
};

FIXTURE_VARIANT_ADD(limit, of_all_heaps) {
	.parameter = "max_bytes",
};

FIXTURE_SETUP(limit)
{
	/* Pages in the worker's hands would count, but could not be used. */
	self->ahead = file_number(PARAMETERS "zero_ahead_bytes");
	ASSERT_OK(parameter_set("zero_ahead_bytes", 0));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT));
}

FIXTURE_TEARDOWN(limit)
{
	parameter_set("zero_ahead_bytes", (unsigned long long)self->ahead);
	parameter_set("max_bytes", 0);
	parameter_set("heap_max_bytes", 0);
	heap_close(&self->heap);
}

TEST_F(limit, fails_requests_and_the_heap_goes_on)
{
	struct gcheap_alloc_large large;
	struct gcheap_counters counters;
	int count = 0;

	ASSERT_OK(parameter_set(variant->parameter, 16 * MIB));
	test_err_alloc_large(ENOMEM, 0, 32 * MIB, NULL);
	while (!cmd_alloc_large(self->heap.fd, 0, MIB, &large) && count < 100)
		count++;
	test_cmd_stats(&counters);
	EXPECT_LE(13, count);
	EXPECT_GE(16, count);
	EXPECT_LE(held_bytes(&counters), 16 * MIB);
	test_err_alloc_large(ENOMEM, 0, MIB, NULL);
	ASSERT_RIGHT(heap_wrong(&self->heap));

	/* What was freed is there to be used. */
	test_cmd_free_large(large.out_page);
	test_cmd_alloc_large(0, MIB, &large);
	ASSERT_OK(parameter_set(variant->parameter, 0));
	test_cmd_alloc_large(0, 64 * MIB, NULL);
}

TEST_F(limit, below_what_a_heap_has_takes_nothing_away)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 4 * MIB, &large);
	memset(heap_mem(&self->heap, large.out_page), 0x42, 4 * MIB);
	ASSERT_OK(parameter_set(variant->parameter, MIB));
	test_err_alloc_large(ENOMEM, 0, 4 * MIB, NULL);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x42, 4 * MIB));
	test_cmd_free_large(large.out_page);
	test_cmd_alloc_large(0, 4 * MIB, &large);
}

TEST_F(limit, counts_tables)
{
	struct gcheap_counters counters;

	test_cmd_stats(&counters);
	/* It has nothing but tables yet. */
	ASSERT_OK(parameter_set(variant->parameter, held_bytes(&counters)));
	test_err_alloc_large(ENOMEM, 0, 1, NULL);
	ASSERT_OK(parameter_set(variant->parameter, 0));
	test_cmd_alloc_large(0, 1, NULL);
}

/* Each heap has its own limit, and all have one. */
TEST_F(limit, is_for_one_heap_or_for_all)
{
	struct test_heap other;

	ASSERT_OK(parameter_set(variant->parameter, 12 * MIB));
	ASSERT_OK(heap_open(&other, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT));
	EXPECT_OK(cmd_alloc_large(other.fd, 0, 8 * MIB, NULL));
	EXPECT_EQ(strcmp(variant->parameter, "max_bytes") ? 0 : -ENOMEM,
		  cmd_alloc_large(self->heap.fd, 0, 8 * MIB, NULL));
	heap_close(&other);
}

TEST(limit_of_the_address_space_is_respected)
{
	struct rlimit limit = { .rlim_cur = 1ull << 30, .rlim_max = RLIM_INFINITY };
	struct test_heap heap = { .fd = device_open() };

	ASSERT_LE(0, heap.fd);
	ASSERT_OK(heap_setup(&heap, GCHEAP_LAYOUT_SPAN, 8ull << 30));
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(ENOMEM, map_errno(heap.fd, heap.region_bytes[GCHEAP_REGION_HEAP],
				    PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	limit.rlim_cur = RLIM_INFINITY;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(0, map_errno(heap.fd, heap.region_bytes[GCHEAP_REGION_HEAP],
			       PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	close(heap.fd);
}

/* ---- what others count ------------------------------------------------------- */

/* Rss of the mapping at an address, in bytes. */
static long long smaps_rss(const void *addr)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	bool there = false;
	char line[256];
	long long kib = -1;

	while (file && kib < 0 && fgets(line, sizeof(line), file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			there = start == (unsigned long)addr;
		else if (there)
			sscanf(line, "Rss: %lld kB", &kib);
	}
	if (file)
		fclose(file);
	return kib * 1024;
}

/* In a memory cgroup of its own: 0, or the number of the check that failed. */
static int agree_in_cgroup(void)
{
	struct gcheap_counters counters;
	long long start, now, slack;
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 10;
	start = file_number(CGROUP "/gcheap_supply/memory.current");
	for (int i = 0; i < 40; i++) {
		if (cmd_alloc_large(heap.fd, 0, MIB, NULL))
			return 11;
	}
	stock_settled(heap.fd);
	if (cmd_stats(heap.fd, &counters))
		return 12;
	now = file_number(CGROUP "/gcheap_supply/memory.current");
	if (counters.resident_bytes != 40 * MIB)
		return 13;
	if (smaps_rss(heap_mem(&heap, 0)) != (long long)counters.resident_bytes)
		return 14;
	/* The kernel's own tables, and charges that it makes in advance. */
	slack = 2 * MIB;
	if (now - start < (long long)held_bytes(&counters) - slack ||
	    now - start > (long long)held_bytes(&counters) + slack) {
		printf("# cgroup %lld held %llu\n", now - start, held_bytes(&counters));
		return 15;
	}
	return 0;
}

TEST(charge_and_rss_agree_with_the_counters)
{
	pid_t child;

	rmdir(CGROUP "/gcheap_supply");
	if (file_write(CGROUP "/cgroup.subtree_control", "+memory") ||
	    mkdir(CGROUP "/gcheap_supply", 0755))
		SKIP(return, "no memory cgroups at " CGROUP);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(file_write(CGROUP "/gcheap_supply/cgroup.procs", "0") ? 1 :
		      agree_in_cgroup());
	EXPECT_EQ(0, child_wait(child));
	for (int i = 0; i < 100 && rmdir(CGROUP "/gcheap_supply"); i++)
		sleep_ms(20);
}

/* ---- fragmented memory ------------------------------------------------------- */

/* On kernels that can make allocations fail: all of 64 KiB and more do. */
TEST_F(supply, goes_on_with_single_pages_when_memory_is_fragmented)
{
	struct gcheap_alloc_large large;
	int ret;

	if (file_write(FAIL_PAGES "min-order", "4") ||
	    file_write("/proc/self/make-it-fail", "1"))
		SKIP(return, "this kernel has no fail_page_alloc");
	file_write(FAIL_PAGES "verbose", "0");
	file_write(FAIL_PAGES "ignore-gfp-wait", "0");
	file_write(FAIL_PAGES "ignore-gfp-highmem", "0");
	file_write(FAIL_PAGES "task-filter", "1");
	file_write(FAIL_PAGES "times", "-1");
	file_write(FAIL_PAGES "probability", "100");
	ret = cmd_alloc_large(self->heap.fd, 0, 12 * MIB, &large);
	file_write(FAIL_PAGES "probability", "0");
	file_write("/proc/self/make-it-fail", "0");
	ASSERT_EQ(0, ret);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, 12 * MIB));
	memset(heap_mem(&self->heap, large.out_page), 0x5a, 12 * MIB);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x5a, 12 * MIB));
}

TEST_HARNESS_MAIN
