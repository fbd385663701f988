// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Lazy large objects: memory that comes as it is touched. */
#include <pthread.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define THREADS		4
#define OBJECT_BYTES	(16ull << 20)
#define AROUND		(64u << 10)	/* bytes that one touch makes */

FIXTURE(lazy) {
	struct machine before;
	struct test_heap heap;
	struct gcheap_alloc_large large;
	char *mem;
};

FIXTURE_SETUP(lazy)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, 64 * SMALL_RESERVE,
				  GCHEAP_SETUP_SHARE_READ));
	test_cmd_type_words(8, 1, NULL);
	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 1, OBJECT_BYTES / 64, &self->large);
	self->mem = heap_mem(&self->heap, self->large.out_page);
}

FIXTURE_TEARDOWN(lazy)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

static __u64 resident(const struct test_heap *heap)
{
	struct gcheap_counters counters;

	return cmd_stats(heap->fd, &counters) ? 0 : counters.resident_bytes;
}

TEST_F(lazy, objects_say_that_they_are)
{
	ASSERT_RIGHT(large_wrong(&self->heap, &self->large, OBJECT_BYTES, false));
	EXPECT_TRUE(heap_span(&self->heap, self->large.out_page)->state & GCHEAP_SPAN_LAZY);
	EXPECT_EQ(0, self->large.out_flags);
	test_cmd_alloc_large(0, OBJECT_BYTES, &self->large);
	EXPECT_FALSE(heap_span(&self->heap, self->large.out_page)->state & GCHEAP_SPAN_LAZY);
}

TEST_F(lazy, objects_get_memory_around_what_is_touched)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	EXPECT_EQ(0, probe(self->mem + OBJECT_BYTES / 2, true, NULL));
	test_cmd_stats(&after);
	EXPECT_LE(before.resident_bytes + 4096, after.resident_bytes);
	EXPECT_GE(before.resident_bytes + AROUND, after.resident_bytes);
	EXPECT_EQ(before.faults + 1, after.faults);
	EXPECT_EQ(before.bad_faults, after.bad_faults);
	/* Its first and last page, and nothing beyond. */
	EXPECT_EQ(0, probe(self->mem, true, NULL));
	EXPECT_EQ(0, probe(self->mem + OBJECT_BYTES - 1, true, NULL));
	EXPECT_EQ(SIGBUS, probe(self->mem + OBJECT_BYTES, false, NULL));
}

TEST_F(lazy, objects_can_be_larger_than_the_machine)
{
	struct gcheap_alloc_large large;
	__u64 before = resident(&self->heap);
	const __u64 bytes = 3ull << 30;
	char *mem;

	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, bytes, &large);
	mem = heap_mem(&self->heap, large.out_page);
	for (__u64 i = 0; i < bytes; i += bytes / 64) {
		mem[i] = (char)(i >> 24);
		mem[i + 4095] = 1;
	}
	for (__u64 i = 0; i < bytes; i += bytes / 64)
		EXPECT_EQ((char)(i >> 24), mem[i]);
	EXPECT_GE(before + 64 * AROUND, resident(&self->heap));
	test_cmd_free_large(large.out_page);
	EXPECT_EQ(before, resident(&self->heap));
}

TEST_F(lazy, objects_are_zero_where_memory_was_used_before)
{
	struct gcheap_alloc_large large;

	for (int i = 0; i < 4; i++) {
		test_cmd_alloc_large_flags(i % 2 ? GCHEAP_ALLOC_LAZY : 0, 0, 1 << 20, &large);
		if (i % 2)
			ASSERT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0,
					      1 << 20));
		memset(heap_mem(&self->heap, large.out_page), 0xdd, 1 << 20);
		test_cmd_free_large(large.out_page);
	}
}

TEST_F(lazy, objects_lose_their_memory_with_their_end)
{
	__u64 before = resident(&self->heap);

	memset(self->mem, 1, 2 << 20);
	EXPECT_LE(before + (2 << 20), resident(&self->heap));
	EXPECT_GE(before + (2 << 20) + AROUND, resident(&self->heap));
	test_cmd_free_large(self->large.out_page);
	EXPECT_EQ(before, resident(&self->heap));
	for (__u32 i = 0; i < 2 << 20; i += 4096)
		ASSERT_EQ(SIGBUS, probe(self->mem + i, false, NULL));
}

TEST_F(lazy, objects_live_and_die_by_the_sweep)
{
	__u64 before = resident(&self->heap);

	memset(self->mem, 1, 1 << 20);
	test_cmd_mark_start(NULL);
	bit_set(mark_bits(&self->heap), slot_bit(self->large.out_page, 8192, 0));
	bit_set(page_marks(&self->heap), self->large.out_page);
	test_cmd_sweep_start(NULL);
	EXPECT_TRUE(memory_is(self->mem, 1, 1 << 20));
	EXPECT_EQ(0, self->mem[4 << 20]);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(before, resident(&self->heap));
	EXPECT_EQ(SIGBUS, probe(self->mem, false, NULL));
}

TEST_F(lazy, objects_can_be_touched_by_system_calls)
{
	EXPECT_EQ(0, read_into(self->mem, 1 << 20));
	EXPECT_ERR(EFAULT, read_into(self->mem + OBJECT_BYTES, 1));
}

TEST_F(lazy, objects_keep_what_they_have_when_it_is_mapped_anew)
{
	memset(self->mem, 7, 1 << 20);
	ASSERT_EQ(0, munmap(heap_mem(&self->heap, 0), self->heap.reserve));
	self->heap.region[GCHEAP_REGION_HEAP] =
		region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
	self->mem = heap_mem(&self->heap, self->large.out_page);
	EXPECT_TRUE(memory_is(self->mem, 7, 1 << 20));
	EXPECT_TRUE(memory_is(self->mem + (1 << 20), 0, 1 << 20));
	ASSERT_EQ(0, madvise(self->mem, 2 << 20, MADV_DONTNEED));
	EXPECT_TRUE(memory_is(self->mem, 7, 1 << 20));
}

/* One that looks has no memory made: it gets what the owner has touched. */
TEST_F(lazy, objects_are_not_touched_by_those_who_look)
{
	__u64 before;
	pid_t child;

	memset(self->mem, 9, AROUND);
	before = resident(&self->heap);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ);

		if (!mem)
			_exit(1);
		mem += (size_t)self->large.out_page << GCHEAP_PAGE_SHIFT;
		_exit(!memory_is(mem, 9, AROUND) ||
		      probe(mem + (1 << 20), false, NULL) != SIGBUS);
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(before, resident(&self->heap));
}

/* ---- threads ------------------------------------------------------------------------ */

struct toucher {
	pthread_t thread;
	char *mem;
	int number;
};

static void *toucher_main(void *arg)
{
	struct toucher *toucher = arg;

	for (__u64 i = 0; i < OBJECT_BYTES; i += 4096)
		__atomic_fetch_add(&toucher->mem[i], 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST_F(lazy, objects_can_be_touched_by_several_threads)
{
	struct toucher touchers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		touchers[i].mem = self->mem;
		ASSERT_EQ(0, pthread_create(&touchers[i].thread, NULL, toucher_main,
					    &touchers[i]));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(touchers[i].thread, NULL);
	for (__u64 i = 0; i < OBJECT_BYTES; i += 4096)
		ASSERT_EQ(THREADS, self->mem[i]);
}

static bool stop_touching;

/* Reads an object while it is freed: it is there, or it is not. */
static void *reader_main(void *arg)
{
	volatile char *mem = arg;
	__u64 bad = 0;

	while (!__atomic_load_n(&stop_touching, __ATOMIC_RELAXED)) {
		for (__u64 i = 0; i < 1 << 20; i += 4096) {
			/* Not by a signal: probe() is for one thread. */
			bad += read_into((void *)(mem + i), 1) != 0;
		}
	}
	return (void *)(uintptr_t)bad;
}

TEST_F_TIMEOUT(lazy, objects_may_end_while_they_are_touched, 120)
{
	struct gcheap_alloc_large large;
	pthread_t thread;
	__u32 page = 0;

	stop_touching = false;
	for (int i = 0; i < 200; i++) {
		test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, 1 << 20, &large);
		if (!i) {
			page = large.out_page;
			ASSERT_EQ(0, pthread_create(&thread, NULL, reader_main,
						    heap_mem(&self->heap, page)));
		}
		test_cmd_free_large(large.out_page);
	}
	__atomic_store_n(&stop_touching, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(SIGBUS, probe(heap_mem(&self->heap, page), false, NULL));
}

/* ---- where there is no memory -------------------------------------------------------- */

static int touch_in_cgroup(void *arg)
{
	const __u64 bytes = 256ull << 20;
	struct gcheap_alloc_large large;
	struct test_heap heap;
	char *mem;
	__u64 i;

	(void)arg;
	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, 16 * SMALL_RESERVE) ||
	    cmd_alloc_large_flags(heap.fd, GCHEAP_ALLOC_LAZY, 0, bytes, &large))
		return 1;
	mem = heap_mem(&heap, large.out_page);
	for (i = 0; i < bytes; i += 4096) {
		if (probe(mem + i, true, NULL) == SIGBUS)
			break;
	}
	if (i < 16 << 20 || i >= 64 << 20)
		return 2;
	if (read_into(mem + i, 1) != -EFAULT)
		return 3;
	/* All that was touched is there, and the heap goes on. */
	if (!memory_is(mem, 0, i))
		return 4;
	if (heap_wrong(&heap))
		return 5;
	if (cmd_free_large(heap.fd, large.out_page) ||
	    cmd_alloc_large(heap.fd, 0, 4 << 20, NULL))
		return 6;
	return 0;
}

TEST_F_TIMEOUT(lazy, objects_get_sigbus_in_a_full_memory_cgroup, 120)
{
	if (cgroup_make("gcheap_lazy", "64M"))
		SKIP(return, "no memory cgroups");
	EXPECT_EQ(0, cgroup_run("gcheap_lazy", touch_in_cgroup, NULL));
	EXPECT_EQ(0, cgroup_event("gcheap_lazy", "oom_kill"));
	EXPECT_OK(cgroup_remove("gcheap_lazy"));
}

TEST_HARNESS_MAIN
