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
	ASSERT_OK(heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, variant->reserve,
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

/* Allocates as many anew, with the same contents. 0 or a negative errno. */
static int some_make(const struct test_heap *heap, __u32 *pages, const __u32 *npages)
{
	for (__u32 i = 0; i < OBJECTS; i++) {
		struct gcheap_alloc_large object;
		int ret;

		if (!GOES(i))
			continue;
		ret = cmd_alloc_large(heap->fd, 0, npages[i] * PAGE, &object);
		if (ret)
			return ret;
		pages[i] = object.out_page;
		if (!(object.out_flags & GCHEAP_GRANT_NEEDZERO) &&
		    !memory_is(heap_mem(heap, pages[i]), 0, npages[i] * PAGE))
			return -EPROTO;
		memset(heap_mem(heap, pages[i]), 1 + i % 100, npages[i] * PAGE);
	}
	return 0;
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
		ASSERT_OK(some_make(&self->heap, self->pages, self->npages));
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
	const int rounds = rounds_here(12);
	const size_t bytes = 16 << 20;
	pthread_t thread;

	ASSERT_EQ(0, sigaction(SIGBUS, &action, &old));
	for (int round = 0; round < rounds; round++) {
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
		ASSERT_OK(some_make(&self->heap, self->pages, self->npages));
	}
	sigaction(SIGBUS, &old, NULL);
	for (__u32 i = 0; i < OBJECTS; i++) {
		if (!GOES(i))
			ASSERT_TRUE(memory_is(heap_mem(&self->heap, self->pages[i]), 1 + i % 100,
					      self->npages[i] * PAGE));
	}
}

/* ---- racing page faults, and pins ------------------------------------------------------ */

/*
 * Threads that do all the time what a release has to stand: one has HEAP unmapped, so
 * that every touch is a page fault, one touches by system calls what goes, one holds
 * references to pages.
 */
static struct {
	const struct test_heap *heap;
	const __u32 *pages;
	atomic_bool stop;
	atomic_uint turns[3];
	atomic_uint strange;	/* contents that no object has had */
} racers;

static void *unmapper_run(void *unused)
{
	while (!racers.stop) {
		madvise(racers.heap->region[GCHEAP_REGION_HEAP], racers.heap->reserve,
			MADV_DONTNEED);
		racers.turns[0]++;
		usleep(200);
	}
	return NULL;
}

/* Whether a page's first byte is what some object's is, or new. */
static bool byte_is_strange(unsigned char byte)
{
	return byte > 100;
}

/* Reads what goes by a pipe, which has a copy, or holds the page itself. */
static void read_all(bool pin, atomic_uint *turns)
{
	unsigned char byte;
	int ends[2];

	if (pipe(ends))
		return;
	while (!racers.stop) {
		for (__u32 i = 1; i < OBJECTS && !racers.stop; i += 3) {
			struct iovec iov = {
				.iov_base = heap_mem(racers.heap, racers.pages[i]),
				.iov_len = 1,
			};

			if ((pin ? vmsplice(ends[1], &iov, 1, 0) :
				   write(ends[1], iov.iov_base, 1)) != 1)
				continue;
			if (pin && i % 2)
				usleep(50);
			if (read(ends[0], &byte, 1) == 1)
				racers.strange += byte_is_strange(byte);
		}
		(*turns)++;
	}
	close(ends[0]);
	close(ends[1]);
}

static void *toucher_run(void *unused)
{
	read_all(false, &racers.turns[1]);
	return NULL;
}

static void *pinner_run(void *unused)
{
	read_all(true, &racers.turns[2]);
	return NULL;
}

/* What was released is somebody else's at once: full of bytes that no object has. */
static void memory_use(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		return;
	memset(memory, 0xee, bytes);
	munmap(memory, bytes);
}

TEST_F_TIMEOUT(scatter, parts_stay_away_from_racing_faults_and_pins, 240)
{
	void *(*const runs[])(void *) = { unmapper_run, toucher_run, pinner_run };
	const int rounds = rounds_here(8);
	struct gcheap_counters counters;
	pthread_t threads[3];

	racers.heap = &self->heap;
	racers.pages = self->pages;
	racers.stop = false;
	racers.strange = 0;
	for (int i = 0; i < 3; i++) {
		racers.turns[i] = 0;
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, runs[i], NULL));
	}
	for (int round = 0; round < rounds; round++) {
		ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
		test_cmd_scavenge(~0ull, NULL);
		memory_use(8 << 20);
		ASSERT_OK(some_make(&self->heap, self->pages, self->npages));
		ASSERT_EQ(0, atomic_load(&racers.strange));
	}
	ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
	test_cmd_scavenge(~0ull, NULL);
	for (int i = 0; i < 3; i++) {
		/* On a busy machine, too, each must have its turns. */
		while (!racers.turns[i])
			sched_yield();
	}
	racers.stop = true;
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, atomic_load(&racers.strange));
	/* No fault has put a page back that was being released. */
	for (__u32 i = 0; i < OBJECTS; i++) {
		char *mem = heap_mem(&self->heap, self->pages[i]);

		ASSERT_TRUE(GOES(i) ? probe(mem, false, NULL) == SIGBUS :
				      memory_is(mem, 1 + i % 100, self->npages[i] * PAGE));
	}
	test_cmd_stats(&counters);
	EXPECT_EQ((long long)counters.resident_bytes, smaps_bytes(&self->heap, "Rss:"));
}

/* ---- another process --------------------------------------------------------------- */

/* What a child gets for mapping HEAP to look at it. */
static int look_errno(const struct test_heap *heap)
{
	pid_t child = fork();

	if (!child)
		_exit(map_errno(heap->fd, heap->region_bytes[GCHEAP_REGION_HEAP], PROT_READ,
				MAP_SHARED, GCHEAP_REGION_OFFSET(GCHEAP_REGION_HEAP)));
	return child < 0 ? errno : child_wait(child);
}

TEST_F(scatter, parts_are_gone_for_who_looks_at_them)
{
	int order[2], answer[2];
	char byte;
	pid_t child;

	if (!(variant->flags & GCHEAP_SETUP_SHARE_READ)) {
		EXPECT_EQ(EPERM, look_errno(&self->heap));
		return;
	}
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

/* One that looks at what goes, again and again, while it goes. */
static int look_on(const struct test_heap *heap, const __u32 *pages, int ready)
{
	const size_t bytes = heap->region_bytes[GCHEAP_REGION_HEAP];
	char *mem = mmap(NULL, bytes, PROT_READ, MAP_SHARED, heap->fd, 0);
	unsigned char byte;
	int ends[2];

	if (mem == MAP_FAILED || pipe(ends))
		return 1;
	for (unsigned int turn = 0; ; turn++) {
		for (__u32 i = 1; i < OBJECTS; i += 3) {
			if (write(ends[1], mem + (size_t)pages[i] * PAGE, 1) != 1)
				continue;
			if (read(ends[0], &byte, 1) != 1 || byte_is_strange(byte))
				return 2;
		}
		if (!turn && write(ready, "", 1) != 1)
			return 3;
		madvise(mem, bytes, turn % 2 ? MADV_DONTNEED : MADV_NORMAL);
	}
}

TEST_F_TIMEOUT(scatter, parts_are_nobody_elses_for_who_goes_on_to_look, 120)
{
	const int rounds = rounds_here(8);
	int ready[2];
	char byte;
	pid_t child;

	if (!(variant->flags & GCHEAP_SETUP_SHARE_READ)) {
		EXPECT_EQ(EPERM, look_errno(&self->heap));
		return;
	}
	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(look_on(&self->heap, self->pages, ready[1]));
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	for (int round = 0; round < rounds; round++) {
		ASSERT_LT(0, some_free(&self->heap, self->pages, self->npages));
		test_cmd_scavenge(~0ull, NULL);
		memory_use(8 << 20);
		ASSERT_OK(some_make(&self->heap, self->pages, self->npages));
	}
	/* It has seen nothing strange, or had ended by itself. */
	kill(child, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_wait(child));
	close(ready[0]);
}

TEST_HARNESS_MAIN
