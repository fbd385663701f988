// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * SCAVENGE of many small parts that lie scattered: what goes is gone for everybody, by
 * whatever address it was reached, and what lies between is as it was. Sorts of heaps
 * differ in how the parts are unmapped.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define PAGE		GCHEAP_PAGE_BYTES
#define OBJECTS		1500u
#define GOES(i)		((i) % 3 == 1)

FIXTURE(scatter) {
	struct test_heap heap;
	__u32 pages[OBJECTS];
	__u32 npages[OBJECTS];
};

FIXTURE_VARIANT(scatter) {
	__u32 flags;
	__u64 reserve;
};

FIXTURE_VARIANT_ADD(scatter, plain) {
	.reserve = 1ull << 30,
};

FIXTURE_VARIANT_ADD(scatter, of_snapshots) {
	.flags = GCHEAP_SETUP_SNAPSHOTS,
	.reserve = 1ull << 30,
};

FIXTURE_VARIANT_ADD(scatter, that_others_may_read) {
	.flags = GCHEAP_SETUP_SHARE_READ,
	.reserve = 1ull << 30,
};

FIXTURE_VARIANT_ADD(scatter, grown_to_its_reserve) {
	.reserve = SMALL_RESERVE,
};

FIXTURE_SETUP(scatter)
{
	ASSERT_OK(heap_open_flags(&self->heap, GCHEAP_UAPI_LAYOUT_SPAN, variant->reserve,
				  variant->flags));
	/* Of one page to eight; each tells by its contents which it is. */
	for (__u32 i = 0; i < OBJECTS; i++) {
		struct gcheap_alloc_large object;

		self->npages[i] = i % 7 ? 1 : 1 + i % 8;
		test_cmd_alloc_large(0, self->npages[i] * PAGE, &object);
		self->pages[i] = object.out_page;
		memset(heap_mem(&self->heap, object.out_page), 1 + i % 100,
		       self->npages[i] * PAGE);
	}
}

FIXTURE_TEARDOWN(scatter)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* Frees every third object. Return: how many bytes, or -1. */
static long long some_free(const struct test_heap *heap, const __u32 *pages,
			   const __u32 *npages)
{
	long long bytes = 0;

	for (__u32 i = 0; i < OBJECTS; i++) {
		if (!GOES(i))
			continue;
		if (cmd_free_large(heap->fd, pages[i]))
			return -1;
		bytes += npages[i] * PAGE;
	}
	return bytes;
}

TEST_F(scatter, parts_are_gone_and_the_rest_is_as_it_was)
{
	struct gcheap_counters before, after;
	struct gcheap_scavenge scavenge;
	struct gcheap_alloc_large again;
	long long bytes;

	bytes = some_free(&self->heap, self->pages, self->npages);
	ASSERT_LT(0, bytes);
	test_cmd_stats(&before);
	test_cmd_scavenge(~0ull, &scavenge);
	EXPECT_LE(bytes, (long long)scavenge.out_bytes);
	test_cmd_stats(&after);
	EXPECT_EQ(before.resident_bytes - bytes, after.resident_bytes);
	for (__u32 i = 0; i < OBJECTS; i++) {
		char *mem = heap_mem(&self->heap, self->pages[i]);

		if (!GOES(i))
			ASSERT_TRUE(memory_is(mem, 1 + i % 100, self->npages[i] * PAGE));
		if (GOES(i) && i % 10 == 0)
			ASSERT_EQ(SIGBUS, probe(mem + (self->npages[i] * PAGE - 1), false, NULL));
	}
	/* What comes where they were is new. */
	test_cmd_alloc_large(0, PAGE, &again);
	ASSERT_TRUE(memory_is(heap_mem(&self->heap, again.out_page), 0, PAGE));
	/* No part of them is left anywhere else, as at the end of the reserve. */
	if (self->heap.reserve > SMALL_RESERVE)
		ASSERT_EQ(SIGBUS, probe((char *)self->heap.region[GCHEAP_REGION_HEAP] +
					self->heap.reserve - (4 << 20), false, NULL));
}

TEST_F(scatter, parts_do_not_count_as_resident_any_more)
{
	long long bytes, rss;

	for (int round = 0; round < 3; round++) {
		bytes = some_free(&self->heap, self->pages, self->npages);
		ASSERT_LT(0, bytes);
		rss = smaps_bytes(&self->heap, "Rss:");
		test_cmd_scavenge(~0ull, NULL);
		EXPECT_EQ(rss - bytes, smaps_bytes(&self->heap, "Rss:"));
		for (__u32 i = 0; i < OBJECTS; i++) {
			struct gcheap_alloc_large object;

			if (!GOES(i))
				continue;
			test_cmd_alloc_large(0, self->npages[i] * PAGE, &object);
			self->pages[i] = object.out_page;
			heap_mem(&self->heap, object.out_page)[0] = 1 + i % 100;
		}
	}
}

TEST_F(scatter, parts_that_others_hold_stay_theirs)
{
	char *mem, text[PAGE];
	struct iovec iov = { .iov_len = 4096 };
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	mem = heap_mem(&self->heap, self->pages[1]);
	iov.iov_base = mem;
	ASSERT_EQ(4096, vmsplice(ends[1], &iov, 1, 0));
	ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
	test_cmd_scavenge(~0ull, NULL);
	/* New pages of this and another owner, neither of which is that page. */
	for (int i = 0; i < 100; i++) {
		struct gcheap_alloc_large object;

		test_cmd_alloc_large(0, PAGE, &object);
		memset(heap_mem(&self->heap, object.out_page), 0xee, PAGE);
	}
	free(memset(malloc(4 << 20), 0xdd, 4 << 20));
	ASSERT_EQ(4096, read(ends[0], text, 4096));
	EXPECT_TRUE(memory_is(text, 1 + 1 % 100, 4096));
	close(ends[0]);
	close(ends[1]);
}

/* ---- another processor ------------------------------------------------------------- */

#define VICTIMS		512u

static struct {
	char *volatile mem[VICTIMS];
	atomic_uint written;
	atomic_bool stop;
} writer;

static __thread sigjmp_buf writer_jump;

static void writer_fault(int signal)
{
	siglongjmp(writer_jump, 1);
}

/* Writes to all that it can reach, in turns. */
static void *writer_run(void *unused)
{
	static volatile bool gone[VICTIMS];

	memset((void *)gone, 0, sizeof(gone));
	while (!writer.stop) {
		for (volatile unsigned int i = 0; i < VICTIMS && !writer.stop; i++) {
			if (gone[i])
				continue;
			if (sigsetjmp(writer_jump, 1)) {
				gone[i] = true;
				continue;
			}
			*(volatile char *)writer.mem[i] = 0x77;
			writer.written++;
		}
	}
	return NULL;
}

/*
 * The writer's processor has the translations of what goes. If it kept one, the writer
 * would go on to write to the page when that has another owner.
 */
TEST_F_TIMEOUT(scatter, parts_are_out_of_reach_of_a_thread_that_goes_on_to_write, 120)
{
	struct sigaction action = { .sa_handler = writer_fault }, old;
	const size_t bytes = 16 << 20;
	pthread_t thread;

	ASSERT_EQ(0, sigaction(SIGBUS, &action, &old));
	for (int round = 0; round < 20; round++) {
		unsigned int n = 0, seen;
		char *others;

		for (__u32 i = 0; i < OBJECTS && n < VICTIMS; i++) {
			if (GOES(i))
				writer.mem[n++] = heap_mem(&self->heap, self->pages[i]);
		}
		while (n < VICTIMS) {
			writer.mem[n] = writer.mem[0];
			n++;
		}
		writer.stop = false;
		writer.written = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, writer_run, NULL));
		while (writer.written < 2 * VICTIMS)
			sched_yield();
		ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
		test_cmd_scavenge(~0ull, NULL);
		others = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		ASSERT_NE(MAP_FAILED, others);
		seen = writer.written;
		usleep(2000);
		ASSERT_TRUE(memory_is(others, 0, bytes));
		writer.stop = true;
		ASSERT_EQ(0, pthread_join(thread, NULL));
		/* All that the writer has is gone: it has found out long ago. */
		EXPECT_GE(VICTIMS, writer.written - seen);
		munmap(others, bytes);
		for (__u32 i = 0; i < OBJECTS; i++) {
			struct gcheap_alloc_large object;

			if (!GOES(i))
				continue;
			test_cmd_alloc_large(0, self->npages[i] * PAGE, &object);
			self->pages[i] = object.out_page;
		}
	}
	sigaction(SIGBUS, &old, NULL);
	for (__u32 i = 0; i < OBJECTS; i++) {
		if (!GOES(i))
			ASSERT_TRUE(memory_is(heap_mem(&self->heap, self->pages[i]), 1 + i % 100,
					      self->npages[i] * PAGE));
	}
}

/* ---- another process --------------------------------------------------------------- */

TEST_F(scatter, parts_are_gone_for_who_looks_at_them)
{
	int order[2], answer[2];
	char byte;
	pid_t child;

	if (!(variant->flags & GCHEAP_SETUP_SHARE_READ))
		SKIP(return, "nobody may look");
	ASSERT_EQ(0, pipe(order));
	ASSERT_EQ(0, pipe(answer));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = mmap(NULL, self->heap.region_bytes[GCHEAP_REGION_HEAP], PROT_READ,
				 MAP_SHARED, self->heap.fd, 0);
		int wrong = mem == MAP_FAILED;

		for (__u32 i = 0; i < OBJECTS && !wrong; i++)
			wrong = !memory_is(mem + (size_t)self->pages[i] * PAGE, 1 + i % 100, PAGE);
		if (write(answer[1], "", 1) != 1 || read(order[0], &byte, 1) != 1)
			_exit(3);
		for (__u32 i = 0; i < OBJECTS && !wrong; i++) {
			char *page = mem + (size_t)self->pages[i] * PAGE;

			if (!GOES(i))
				wrong = !memory_is(page, 1 + i % 100, PAGE);
			else if (i % 10 == 0)
				wrong = probe(page, false, NULL) != SIGBUS;
		}
		_exit(wrong);
	}
	ASSERT_EQ(1, read(answer[0], &byte, 1));
	ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
	test_cmd_scavenge(~0ull, NULL);
	ASSERT_EQ(1, write(order[1], "", 1));
	EXPECT_EQ(0, child_wait(child));
}

TEST_HARNESS_MAIN
