// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A memory cgroup at its limit: a request fails with ENOMEM, nobody is killed, and
 * the heap goes on with what it has.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define NAME	"gcheap_memcg_test"
#define MIB	((__u64)1 << 20)
#define OBJECTS	200
#define SLOW	300	/* seconds; debug kernels need them */

FIXTURE(memcg) {
	struct machine before;
};

FIXTURE_SETUP(memcg)
{
	ASSERT_OK(machine_take(&self->before));
	if (cgroup_make(NAME, "64M"))
		SKIP(return, "no memory cgroups");
}

/* However a test goes, nobody was killed for memory, and all of it came back. */
FIXTURE_TEARDOWN(memcg)
{
	EXPECT_EQ(0, cgroup_event(NAME, "oom_kill"));
	EXPECT_TRUE(machine_back_to(&self->before));
	EXPECT_OK(cgroup_remove(NAME));
}

#define EXPECT_IN_CGROUP(body) EXPECT_EQ(0, cgroup_run(NAME, body, NULL))

static bool in_limit(const struct test_heap *heap)
{
	return heap_ctrl(heap)->pressure == GCHEAP_PRESSURE_LIMIT;
}

/* Page faults for ordinary memory, and for files. */
static void use_memory(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(90);
	memset(p, 1, bytes);
	munmap(p, bytes);
}

/* Allocates until there is no memory; how many were had, or a negative number. */
static int fill_up(struct test_heap *heap, __u64 bytes, struct gcheap_alloc_large *objects)
{
	int ret, n = 0;

	while (n < OBJECTS && !(ret = cmd_alloc_large(heap->fd, 0, bytes, &objects[n]))) {
		memset(heap_mem(heap, objects[n].out_page), n, bytes);
		n++;
	}
	if (n == OBJECTS || ret != -ENOMEM || !in_limit(heap))
		return -1;
	return n;
}

static bool objects_intact(const struct test_heap *heap, const struct gcheap_alloc_large *objects,
			   int n, __u64 bytes)
{
	for (int i = 0; i < n; i++) {
		if (objects[i].out_page &&
		    !memory_is(heap_mem(heap, objects[i].out_page), i, bytes))
			return false;
	}
	return true;
}

static int cycle(struct test_heap *heap)
{
	int ret = cmd_mark_start(heap->fd, NULL);

	return ret ? ret : cmd_sweep_start(heap->fd, NULL);
}

/* To the limit, again and again, with a cycle that frees all in between. */
static int limit_of_large_objects(void *arg)
{
	static struct gcheap_alloc_large objects[OBJECTS];
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 1;
	for (int round = 0; round < 4; round++) {
		__u64 bytes = MIB << round / 2;
		int n = fill_up(&heap, bytes, objects);

		if (n < (int)(40 * MIB / bytes))
			return 10 + round;
		for (int i = 0; i < 5; i++) {
			use_memory(MIB / 2);
			if (cmd_alloc_large(heap.fd, 0, bytes, NULL) != -ENOMEM)
				return 20 + round;
		}
		if (!objects_intact(&heap, objects, n, bytes) || heap_wrong(&heap))
			return 30 + round;
		if (cycle(&heap) || heap_ctrl(&heap)->pressure)
			return 40 + round;
		use_memory(MIB / 2);
	}
	return 0;
}

TEST_F_TIMEOUT(memcg, limit_of_large_objects_fails_requests_and_kills_nobody, SLOW)
{
	EXPECT_IN_CGROUP(limit_of_large_objects);
}

/* All classes, filled and returned; the cycle keeps one span in eight. */
static int limit_of_small_objects(void *arg)
{
	static __u32 kept[1 << 16];
	const int rounds = rounds_here(3);
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 1;
	for (int round = 0; round < rounds; round++) {
		__u32 spans = 0, class = 2;
		int ret;

		do {
			struct gcheap_grant grants[64];
			__u32 pages[64], granted;

			ret = cmd_refill(heap.fd, 0, class, 1 << 18, NULL, 0, grants, 64, &granted);
			if (ret)
				break;
			for (__u32 i = 0; i < granted; i++) {
				memset(heap_mem(&heap, grants[i].page), round + 1,
				       (size_t)heap_span(&heap, grants[i].page)->npages << 13);
				span_fill(&heap, grants[i].page);
				pages[i] = grants[i].page;
				if (spans < ARRAY_SIZE(kept))
					kept[spans++] = grants[i].page;
			}
			ret = cmd_give(heap.fd, pages, granted);
			class = class == SIZE_CLASSES - 1 ? 2 : class + 1;
		} while (!ret);
		if (ret != -ENOMEM || !in_limit(&heap))
			return 10 + round;
		use_memory(MIB / 2);
		if (heap_wrong(&heap))
			return 20 + round;
		if (cmd_mark_start(heap.fd, NULL))
			return 30 + round;
		for (__u32 i = 0; i < spans; i += 8)
			slot_mark(&heap, kept[i], 0);
		if (cmd_sweep_start(heap.fd, NULL))
			return 40 + round;
		/* What was freed is there for others. */
		if (cmd_alloc_large(heap.fd, 0, 16 * MIB, NULL))
			return 50 + round;
		use_memory(MIB / 2);
		if (cycle(&heap))
			return 60 + round;
	}
	return 0;
}

TEST_F_TIMEOUT(memcg, limit_of_small_objects_fails_requests_and_kills_nobody, SLOW)
{
	EXPECT_IN_CGROUP(limit_of_small_objects);
}

/* Free pages that have memory, in runs too short for what is wanted. */
static int other_sizes(void *arg)
{
	static struct gcheap_alloc_large objects[OBJECTS];
	struct gcheap_alloc_large large;
	struct test_heap heap;
	int n;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 1;
	n = fill_up(&heap, MIB, objects);
	if (n < 40)
		return 2;
	for (int i = 0; i < n; i += 2) {
		if (cmd_free_large(heap.fd, objects[i].out_page))
			return 3;
		objects[i].out_page = 0;
	}
	/* 20 MiB are free, and no two together. */
	for (int i = 0; i < 3; i++) {
		if (cmd_alloc_large(heap.fd, 0, 5 * MIB, &large))
			return 4;
		memset(heap_mem(&heap, large.out_page), 0xfe, 5 * MIB);
	}
	use_memory(MIB / 2);
	if (!objects_intact(&heap, objects, n, MIB) || heap_wrong(&heap))
		return 5;
	/* And what there is not even in all free pages fails. */
	return cmd_alloc_large(heap.fd, 0, 32 * MIB, &large) == -ENOMEM ? 0 : 6;
}

TEST_F_TIMEOUT(memcg, limit_lets_free_pages_be_used_for_other_sizes, SLOW)
{
	EXPECT_IN_CGROUP(other_sizes);
}

/* Chunks that were freed leave their memory in the stock. */
static int stock(void *arg)
{
	struct gcheap_chunk_new chunks[16];
	struct test_heap heap;
	int ret, n = 0;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 1;
	while (n < 16 && !(ret = cmd_chunk_new(heap.fd, &chunks[n]))) {
		memset(heap_mem(&heap, chunks[n].out_page), n, GCHEAP_CHUNK_BYTES);
		n++;
	}
	if (n < 5 || n == 16 || ret != -ENOMEM)
		return 2;
	use_memory(MIB / 2);
	for (int i = 0; i < n; i++) {
		if (cmd_chunk_free(heap.fd, chunks[i].out_page))
			return 3;
	}
	/* The worker that zeroes pages in advance may be at work now. */
	usleep(200000);
	use_memory(MIB / 2);
	if (cmd_alloc_large(heap.fd, 0, 30 * MIB, NULL))
		return 4;
	use_memory(MIB / 2);
	return heap_wrong(&heap) ? 5 : 0;
}

TEST_F_TIMEOUT(memcg, limit_lets_the_stock_be_used, SLOW)
{
	EXPECT_IN_CGROUP(stock);
}

#define MANY	6	/* processes, each with a heap */

/* Fills its share and more, with what it can get, and drops it, for some rounds. */
static int one_of_many(int number, int rounds)
{
	static struct gcheap_alloc_large objects[OBJECTS];
	unsigned int refused = 0;
	struct test_heap heap;
	const char *error;
	struct rng rng;
	int n = 0;

	rng_init(&rng, (__u64)number);
	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE * 2))
		return 1;
	for (int round = 0; round < rounds; round++) {
		int ret = 0;

		while (n < OBJECTS && !ret) {
			__u64 bytes = 8192ull << rng_below(&rng, 7);

			ret = cmd_alloc_large(heap.fd, 0, bytes, &objects[n]);
			if (ret && ret != -ENOMEM)
				return 2;
			if (!ret)
				memset(heap_mem(&heap, objects[n++].out_page), number, bytes);
		}
		refused += ret != 0;
		use_memory(65536);
		/* Now and then nearly all, so that others get it. */
		for (int keep = round % 4 ? n * 3 / 4 : 2; n > keep;) {
			__u32 page = objects[--n].out_page;

			if (*heap_mem(&heap, page) != number)
				return 3;
			if (cmd_free_large(heap.fd, page))
				return 4;
		}
	}
	error = heap_wrong(&heap);
	if (error)
		fprintf(stderr, "# heap %d: %s\n", number, error);
	return !refused ? 5 : error ? 6 : 0;
}

/* Heaps that fill one cgroup together, each seeing only that there is some room. */
static int many_heaps(void *arg)
{
	const int rounds = rounds_here(24);
	pid_t child[MANY];
	int failed = 0;

	(void)arg;
	for (int i = 0; i < MANY; i++) {
		child[i] = fork();
		if (!child[i])
			_exit(one_of_many(i + 1, rounds));
	}
	for (int i = 0; i < MANY; i++) {
		int status = child_wait(child[i]);

		if (status)
			failed = 10 * (i + 1) + status;
	}
	return failed;
}

TEST_F_TIMEOUT(memcg, limit_shared_by_many_heaps_kills_nobody, SLOW)
{
	EXPECT_IN_CGROUP(many_heaps);
}

/* One process holds a lot of free memory, the other is at the limit. */
static int neighbours(void *arg)
{
	static struct gcheap_alloc_large objects[OBJECTS];
	struct test_heap heap;
	int done[2], ready[2], n, status;
	pid_t other;
	char byte;

	if (pipe(done) || pipe(ready))
		return 1;
	other = fork();
	if (!other) {
		close(done[1]);
		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT) ||
		    cmd_alloc_large(heap.fd, 0, 30 * MIB, &objects[0]) ||
		    cmd_free_large(heap.fd, objects[0].out_page) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		while (read(done[0], &byte, 1) == 0)
			break;
		/* It was not killed, and its heap goes on. */
		_exit(cmd_alloc_large(heap.fd, 0, 4 * MIB, NULL) || heap_wrong(&heap) ? 2 : 0);
	}
	if (read(ready[0], &byte, 1) != 1 ||
	    heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 2;
	n = fill_up(&heap, MIB, objects);
	if (n < 20)
		return 3;
	for (int i = 0; i < 10; i++)
		use_memory(MIB / 2);
	if (!objects_intact(&heap, objects, n, MIB) || heap_wrong(&heap))
		return 4;
	heap_close(&heap);
	close(done[1]);
	status = child_wait(other);
	return status ? 20 + status : 0;
}

TEST_F_TIMEOUT(memcg, limit_does_not_kill_who_has_free_memory, SLOW)
{
	EXPECT_IN_CGROUP(neighbours);
}

/*
 * Ordinary memory of the process itself, more than is left: the heap's free memory is
 * what the cgroup reclaims.
 */
static int ordinary_memory(void *arg)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT) ||
	    cmd_alloc_large(heap.fd, 0, MIB, NULL) ||
	    cmd_alloc_large(heap.fd, 0, 48 * MIB, &large) ||
	    cmd_free_large(heap.fd, large.out_page))
		return 1;
	use_memory(50 * MIB);
	if (!heap_ctrl(&heap)->pressure)
		return 2;
	if (heap_wrong(&heap) || cmd_alloc_large(heap.fd, 0, 16 * MIB, NULL))
		return 3;
	return 0;
}

TEST_F_TIMEOUT(memcg, limit_takes_free_memory_of_heaps_for_ordinary_memory, SLOW)
{
	EXPECT_IN_CGROUP(ordinary_memory);
}

TEST_HARNESS_MAIN
