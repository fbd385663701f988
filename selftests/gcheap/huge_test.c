// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Heaps of GCHEAP_SETUP_HUGE_PAGES: when memory is in 2 MiB pages and mapped so, what
 * becomes of it when parts are freed, what others see. Writes are tracked in
 * huge_track_test.c; access_test.c has what the kernel does to such memory.
 */
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define BLOCK		(2ull << 20)
#define BLOCK_PAGES	(BLOCK >> GCHEAP_PAGE_SHIFT)
#define MAPPED_HUGE	"FilePmdMapped:"
#define CGROUP_NAME	"gcheap_huge_test"
#define SLAB_FILES	20000

FIXTURE(huge) {
	struct test_heap heap;
	struct machine before;
	struct gcheap_counters counters;
};

/* A heap whose first 2 MiB are taken: what comes next begins a 2 MiB page. */
static int huge_open(struct test_heap *heap, __u32 flags)
{
	struct gcheap_alloc_large first;
	int ret = heap_open_flags(heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE,
				  GCHEAP_SETUP_HUGE_PAGES | flags);

	if (!ret)
		ret = cmd_alloc_large(heap->fd, 0, BLOCK - GCHEAP_PAGE_BYTES, &first);
	return ret;
}

FIXTURE_SETUP(huge)
{
	int ret;

	ASSERT_OK(machine_take(&self->before));
	ret = huge_open(&self->heap, GCHEAP_SETUP_SHARE_READ);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
}

FIXTURE_TEARDOWN(huge)
{
	text_write(PARAMETERS "heap_max_bytes", "0");
	if (self->heap.fd <= 0)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap));
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

#define EXPECT_HUGE(bytes) do { \
	test_cmd_stats(&self->counters); \
	EXPECT_EQ(bytes, self->counters.huge_bytes); \
} while (0)

#define EXPECT_MAPPED_HUGE(bytes) \
	EXPECT_EQ((long long)(bytes), smaps_bytes(&self->heap, MAPPED_HUGE))

#define MEM(large)	heap_mem(&self->heap, (large).out_page)

/* ---- making ---------------------------------------------------------------------- */

TEST_F(huge, memory_is_mapped_by_the_request_that_makes_it)
{
	struct gcheap_alloc_large large;
	__u64 faults;

	EXPECT_HUGE(0);
	faults = self->counters.faults;
	test_cmd_alloc_large(0, 4 * BLOCK, &large);
	ASSERT_EQ(BLOCK_PAGES, large.out_page);
	EXPECT_HUGE(4 * BLOCK);
	EXPECT_MAPPED_HUGE(4 * BLOCK);
	EXPECT_TRUE(memory_is(MEM(large), 0, 4 * BLOCK));
	memset(MEM(large), 1, 4 * BLOCK);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(faults, self->counters.faults);
	EXPECT_EQ(0, self->counters.stock_bytes);
}

/* Makes and frees many small objects of the kernel: what their pages say of it is left there. */
static int use_slab_pages(void)
{
	struct rlimit before, many;
	int *fds = malloc(SLAB_FILES * sizeof(*fds));
	int count = 0;

	if (!fds || getrlimit(RLIMIT_NOFILE, &before))
		goto out;
	many.rlim_cur = SLAB_FILES + 100;
	many.rlim_max = before.rlim_max > many.rlim_cur ? before.rlim_max : many.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &many))
		goto out;
	while (count < SLAB_FILES && (fds[count] = memfd_create("slab", 0)) >= 0)
		count++;
	for (int i = 0; i < count; i++)
		close(fds[i]);
	setrlimit(RLIMIT_NOFILE, &before);
out:
	free(fds);
	text_write("/proc/sys/vm/drop_caches", "2");
	text_write("/proc/sys/vm/compact_memory", "1");
	return count;
}

TEST_F(huge, memory_is_mapped_whole_whatever_it_was_used_for_before)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;

	ASSERT_EQ(SLAB_FILES, use_slab_pages());
	/* The youngest free memory is taken first. */
	ASSERT_OK(heap_open_flags(&heap, GCHEAP_LAYOUT_SPAN, 1ull << 30,
				  GCHEAP_SETUP_HUGE_PAGES));
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, 100 * BLOCK, &large));
	EXPECT_EQ(100 * BLOCK, heap_ctrl(&heap)->counters.huge_bytes);
	EXPECT_EQ((long long)(100 * BLOCK), smaps_bytes(&heap, MAPPED_HUGE));
	heap_close(&heap);
}

TEST_F(huge, memory_counts_in_rss_as_it_is_resident)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 3 * BLOCK - 100000, &large);
	memset(heap_mem(&self->heap, 1), 1, BLOCK - GCHEAP_PAGE_BYTES);
	test_cmd_stats(&self->counters);
	EXPECT_EQ((long long)self->counters.resident_bytes, smaps_bytes(&self->heap, "Rss:"));
	EXPECT_EQ(4 * BLOCK - GCHEAP_PAGE_BYTES, self->counters.resident_bytes);
}

TEST_F(huge, memory_of_small_objects_comes_in_whole_2_mib_too)
{
	struct gcheap_grant grant;

	test_cmd_take(0, CLASS_64, &grant);
	EXPECT_EQ(0, grant.flags & GCHEAP_GRANT_NEEDZERO);
	EXPECT_HUGE(BLOCK);
	EXPECT_MAPPED_HUGE(BLOCK);
	for (int i = 0; i < 10; i++)
		test_cmd_take(0, CLASS_1024, &grant);
	EXPECT_HUGE(BLOCK);
}

/* Page 0 is never there: so is no 2 MiB page that has it. */
TEST_F(huge, memory_of_the_first_2_mib_is_of_small_pages)
{
	EXPECT_HUGE(0);
	EXPECT_SIGBUS(heap_mem(&self->heap, 0), false);
	EXPECT_EQ(0, probe(heap_mem(&self->heap, 1), true, NULL));
	EXPECT_EQ(0, probe(heap_mem(&self->heap, BLOCK_PAGES) - 1, true, NULL));
	EXPECT_SIGBUS(heap_mem(&self->heap, BLOCK_PAGES), false);
	EXPECT_MAPPED_HUGE(0);
}

TEST_F(huge, memory_beside_an_object_is_there_to_the_end_of_2_mib)
{
	struct gcheap_alloc_large large;
	char *end;

	test_cmd_alloc_large(0, BLOCK + 100, &large);
	end = MEM(large) + 2 * BLOCK;
	EXPECT_EQ(0, probe(end - 1, false, NULL));
	EXPECT_SIGBUS(end, false);
	EXPECT_SIGBUS(end + 12345, false);
	/* It is handed out as it is. */
	test_cmd_alloc_large(0, 100000, &large);
	EXPECT_LT(MEM(large), end);
	EXPECT_TRUE(memory_is(MEM(large), 0, 100000));
	EXPECT_HUGE(2 * BLOCK);
}

TEST_F(huge, memory_of_another_heap_is_not_seen)
{
	struct gcheap_alloc_large large;

	for (int round = 0; round < 3; round++) {
		test_cmd_alloc_large(0, 8 * BLOCK, &large);
		ASSERT_TRUE(memory_is(MEM(large), 0, 8 * BLOCK));
		memset(MEM(large), 0xaa, 8 * BLOCK);
		heap_close(&self->heap);
		ASSERT_OK(huge_open(&self->heap, 0));
	}
}

/* ---- falling back ---------------------------------------------------------------- */

TEST_F(huge, memory_near_a_limit_comes_in_small_pages)
{
	struct gcheap_alloc_large a, b;
	char limit[32];

	test_cmd_stats(&self->counters);
	snprintf(limit, sizeof(limit), "%llu",
		 (unsigned long long)(self->counters.resident_bytes +
				      self->counters.table_bytes + (3 << 19)));
	ASSERT_OK(text_write(PARAMETERS "heap_max_bytes", limit));
	test_cmd_alloc_large(0, 1 << 20, &a);
	EXPECT_HUGE(0);
	EXPECT_TRUE(memory_is(MEM(a), 0, 1 << 20));
	/* Exact, then. */
	EXPECT_SIGBUS(MEM(a) + (1 << 20), false);
	/* What has begun so goes on so. */
	ASSERT_OK(text_write(PARAMETERS "heap_max_bytes", "0"));
	test_cmd_alloc_large(0, BLOCK, &b);
	EXPECT_EQ(a.out_page + a.out_npages, b.out_page);
	EXPECT_HUGE(BLOCK);
	memset(MEM(a), 1, 1 << 20);
	memset(MEM(b), 2, BLOCK);
	EXPECT_MAPPED_HUGE(BLOCK);
}

static int fill_a_cgroup(void *arg)
{
	static struct gcheap_alloc_large objects[100];
	struct gcheap_counters counters;
	struct test_heap heap;
	int ret, n = 0;

	if (huge_open(&heap, 0))
		return 1;
	while (n < 100 && !(ret = cmd_alloc_large(heap.fd, 0, 700000, &objects[n]))) {
		memset(heap_mem(&heap, objects[n].out_page), n, 700000);
		n++;
	}
	if (n == 100 || ret != -ENOMEM || cmd_stats(heap.fd, &counters))
		return 2;
	/* Large pages first; whether small ones still fit depends on what else there is. */
	if (counters.huge_bytes < 8 * BLOCK)
		return 3;
	for (int i = 0; i < n; i++) {
		if (!memory_is(heap_mem(&heap, objects[i].out_page), i, 700000))
			return 4;
	}
	/* All of it comes back, and goes on. */
	for (int round = 0; round < 2; round++) {
		if (cmd_mark_start(heap.fd, NULL) || cmd_sweep_start(heap.fd, NULL))
			return 5;
		for (int i = 0; i < n / 2; i++) {
			if (cmd_alloc_large(heap.fd, 0, 700000, NULL))
				return 6;
		}
	}
	return heap_wrong(&heap) ? 7 : 0;
}

TEST_F(huge, memory_at_the_limit_of_a_cgroup_fails_requests_and_kills_nobody)
{
	if (cgroup_make(CGROUP_NAME, "32M"))
		SKIP(return, "no memory cgroups");
	EXPECT_EQ(0, cgroup_run(CGROUP_NAME, fill_a_cgroup, NULL));
	EXPECT_EQ(0, cgroup_event(CGROUP_NAME, "oom_kill"));
	EXPECT_OK(cgroup_remove(CGROUP_NAME));
}

/* ---- taking away ----------------------------------------------------------------- */

TEST_F(huge, memory_is_given_back_by_the_2_mib)
{
	struct gcheap_alloc_large a, b, c;
	struct gcheap_scavenge scavenge;
	__u64 resident;

	test_cmd_alloc_large(0, BLOCK / 2, &a);
	test_cmd_alloc_large(0, BLOCK / 2, &b);
	test_cmd_alloc_large(0, BLOCK, &c);
	memset(MEM(a), 1, BLOCK / 2);
	memset(MEM(b), 2, BLOCK / 2);
	memset(MEM(c), 3, BLOCK);
	test_cmd_stats(&self->counters);
	resident = self->counters.resident_bytes;
	test_cmd_free_large(a.out_page);
	test_cmd_free_large(c.out_page);
	test_cmd_scavenge(1ull << 40, &scavenge);
	EXPECT_EQ(BLOCK, scavenge.out_bytes);
	EXPECT_HUGE(BLOCK);
	EXPECT_EQ(resident - BLOCK, self->counters.resident_bytes);
	/* Half of the first is free, and stays mapped. */
	EXPECT_MAPPED_HUGE(BLOCK);
	EXPECT_EQ(0, probe(MEM(a), false, NULL));
	EXPECT_SIGBUS(MEM(c), false);
	EXPECT_TRUE(memory_is(MEM(b), 2, BLOCK / 2));
	/* What comes again says that it has old data. */
	test_cmd_alloc_large(0, BLOCK / 2, &a);
	EXPECT_EQ(GCHEAP_SPAN_NEEDZERO, heap_span(&self->heap, a.out_page)->state &
		  GCHEAP_SPAN_NEEDZERO);
	EXPECT_HUGE(BLOCK);
	test_cmd_alloc_large(0, BLOCK, &c);
	EXPECT_EQ(0, heap_span(&self->heap, c.out_page)->state & GCHEAP_SPAN_NEEDZERO);
	EXPECT_TRUE(memory_is(MEM(c), 0, BLOCK));
	EXPECT_MAPPED_HUGE(2 * BLOCK);
}

TEST_F(huge, chunks_go_into_the_stock_and_come_back_whole)
{
	struct gcheap_chunk_new chunk, again;
	char *mem;

	test_cmd_chunk_new(&chunk);
	mem = heap_mem(&self->heap, chunk.out_page);
	EXPECT_HUGE(4 * BLOCK);
	memset(mem, 7, 4 * BLOCK);
	test_cmd_chunk_free(chunk.out_page);
	EXPECT_HUGE(0);
	EXPECT_EQ(4 * BLOCK, self->counters.stock_bytes);
	EXPECT_MAPPED_HUGE(0);
	for (__u64 at = 0; at < 4 * BLOCK; at += BLOCK / 2) {
		EXPECT_SIGBUS(mem + at + 77, false);
		EXPECT_ERR(EFAULT, read_into(mem + at, 8));
	}
	test_cmd_chunk_new(&again);
	EXPECT_NE(chunk.out_page, again.out_page);
	EXPECT_HUGE(4 * BLOCK);
	EXPECT_EQ(0, self->counters.stock_bytes);
	EXPECT_MAPPED_HUGE(4 * BLOCK);
	EXPECT_EQ(GCHEAP_SPAN_NEEDZERO, heap_span(&self->heap, again.out_page)->state &
		  GCHEAP_SPAN_NEEDZERO);
	test_cmd_chunk_free(again.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	EXPECT_HUGE(0);
	EXPECT_EQ(0, self->counters.stock_bytes);
}

/* Freed spans fault, so a 2 MiB page is split; the rest of it goes on. */
TEST_F(huge, part_that_is_freed_in_a_heap_of_freed_faults_is_gone_and_the_rest_is_not)
{
	struct gcheap_alloc_large a, b, c;

	heap_close(&self->heap);
	ASSERT_OK(huge_open(&self->heap, GCHEAP_SETUP_FAULT_FREED));
	test_cmd_alloc_large(0, BLOCK / 4, &a);
	test_cmd_alloc_large(0, BLOCK / 4, &b);
	test_cmd_alloc_large(0, BLOCK / 2, &c);
	memset(MEM(a), 1, BLOCK / 4);
	memset(MEM(b), 2, BLOCK / 4);
	memset(MEM(c), 3, BLOCK / 2);
	EXPECT_HUGE(BLOCK);
	EXPECT_MAPPED_HUGE(BLOCK);
	test_cmd_free_large(b.out_page);
	EXPECT_HUGE(0);
	EXPECT_MAPPED_HUGE(0);
	for (__u64 at = 0; at < BLOCK / 4; at += 4096)
		EXPECT_SIGBUS(MEM(b) + at + 5, false);
	EXPECT_TRUE(memory_is(MEM(a), 1, BLOCK / 4));
	EXPECT_TRUE(memory_is(MEM(c), 3, BLOCK / 2));
	memset(MEM(a), 4, BLOCK / 4);
	EXPECT_SIGBUS(MEM(b), false);
	EXPECT_SIGBUS(MEM(b) + BLOCK / 4 - 1, false);
	EXPECT_TRUE(memory_is(MEM(c), 3, BLOCK / 2));
	EXPECT_MAPPED_HUGE(0);
	test_cmd_free_large(a.out_page);
	test_cmd_free_large(c.out_page);
	EXPECT_SIGBUS(MEM(a), false);
	EXPECT_SIGBUS(MEM(c), false);
}

TEST_F(huge, lazy_object_beside_others_begins_as_zeros_and_outlives_them)
{
	struct gcheap_alloc_large a, b, lazy;

	test_cmd_alloc_large(0, BLOCK / 2, &a);
	test_cmd_alloc_large(0, BLOCK / 4, &b);
	memset(MEM(a), 1, BLOCK / 2);
	memset(MEM(b), 1, BLOCK / 4);
	test_cmd_free_large(b.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, 2 * BLOCK, &lazy);
	ASSERT_EQ(b.out_page, lazy.out_page);
	EXPECT_TRUE(memory_is(MEM(lazy), 0, 2 * BLOCK));
	memset(MEM(lazy), 2, 2 * BLOCK);
	test_cmd_free_large(a.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	EXPECT_TRUE(memory_is(MEM(lazy), 2, 2 * BLOCK));
	/* New neighbours, and the end of it. */
	test_cmd_alloc_large(0, 2 * BLOCK, &a);
	memset(MEM(a), 3, 2 * BLOCK);
	EXPECT_TRUE(memory_is(MEM(lazy), 2, 2 * BLOCK));
	test_cmd_free_large(lazy.out_page);
	EXPECT_TRUE(memory_is(MEM(a), 3, 2 * BLOCK));
	EXPECT_SIGBUS(MEM(lazy), false);
	EXPECT_SIGBUS(MEM(lazy) + 2 * BLOCK - 1, false);
}

/* ---- mappings -------------------------------------------------------------------- */

TEST_F(huge, memory_that_was_unmapped_comes_back_as_it_was)
{
	struct gcheap_alloc_large large;
	char *heap = heap_mem(&self->heap, 0);

	test_cmd_alloc_large(0, 2 * BLOCK, &large);
	memset(MEM(large), 5, 2 * BLOCK);
	ASSERT_EQ(0, madvise(heap, self->heap.reserve, MADV_DONTNEED));
	EXPECT_MAPPED_HUGE(0);
	EXPECT_TRUE(memory_is(MEM(large), 5, 2 * BLOCK));
	EXPECT_MAPPED_HUGE(2 * BLOCK);
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	EXPECT_MAPPED_HUGE(0);
	EXPECT_TRUE(memory_is(MEM(large), 5, 2 * BLOCK));
	EXPECT_MAPPED_HUGE(2 * BLOCK);
	/* A part of it takes all, and all comes back. */
	ASSERT_EQ(0, madvise(MEM(large) + 4096, 4096, MADV_DONTNEED));
	EXPECT_MAPPED_HUGE(BLOCK);
	EXPECT_TRUE(memory_is(MEM(large), 5, 2 * BLOCK));
	EXPECT_MAPPED_HUGE(2 * BLOCK);
	memset(MEM(large), 6, 2 * BLOCK);
	EXPECT_TRUE(memory_is(MEM(large), 6, 2 * BLOCK));
}

TEST_F(huge, memory_that_was_made_read_only_can_be_written_after)
{
	struct gcheap_alloc_large large;
	char *heap = heap_mem(&self->heap, 0);

	test_cmd_alloc_large(0, 2 * BLOCK, &large);
	memset(MEM(large), 5, 2 * BLOCK);
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ));
	EXPECT_EQ(SIGSEGV, probe(MEM(large), true, NULL));
	EXPECT_TRUE(memory_is(MEM(large), 5, 2 * BLOCK));
	/* Also what is mapped meanwhile. */
	ASSERT_EQ(0, madvise(MEM(large), BLOCK, MADV_DONTNEED));
	EXPECT_TRUE(memory_is(MEM(large), 5, 2 * BLOCK));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ | PROT_WRITE));
	memset(MEM(large), 6, 2 * BLOCK);
	EXPECT_TRUE(memory_is(MEM(large), 6, 2 * BLOCK));
}

TEST_F(huge, memory_made_while_there_is_no_mapping_is_mapped_by_touch)
{
	struct gcheap_alloc_large large;

	heap_unmap(&self->heap);
	test_cmd_alloc_large(0, 2 * BLOCK, &large);
	ASSERT_OK(heap_map(&self->heap));
	EXPECT_MAPPED_HUGE(0);
	EXPECT_TRUE(memory_is(MEM(large), 0, 2 * BLOCK));
	EXPECT_MAPPED_HUGE(2 * BLOCK);
}

/* MADV_NOHUGEPAGE of the mapping: the memory is the same, its entries are not. */
TEST_F(huge, memory_is_mapped_by_the_page_if_the_program_says_so)
{
	struct gcheap_alloc_large large;

	ASSERT_EQ(0, madvise(heap_mem(&self->heap, 0), self->heap.reserve, MADV_NOHUGEPAGE));
	test_cmd_alloc_large(0, BLOCK, &large);
	memset(MEM(large), 1, BLOCK);
	EXPECT_TRUE(memory_is(MEM(large), 1, BLOCK));
	test_cmd_free_large(large.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	EXPECT_HUGE(0);
	EXPECT_SIGBUS(MEM(large), false);
}

/* A child that looks: 0, or what is wrong. */
static int look(struct test_heap *heap, struct gcheap_chunk_new *chunk, int from, int to)
{
	size_t offset = (size_t)chunk->out_page << GCHEAP_PAGE_SHIFT;
	char byte;
	char *mem = mmap(NULL, heap->reserve, PROT_READ, MAP_SHARED, heap->fd, 0);

	if (mem == MAP_FAILED)
		return 1;
	for (int round = 0; round < 2; round++) {
		if (!memory_is(mem + offset, 9, 4 * BLOCK))
			return 2;
		if (probe(mem + offset, true, NULL) != SIGSEGV)
			return 3;
		if (madvise(mem, heap->reserve, MADV_DONTNEED))
			return 4;
	}
	if (!memory_is(mem + offset, 9, 4 * BLOCK))
		return 5;
	if (write(to, "", 1) != 1 || read(from, &byte, 1) != 1)
		return 6;
	for (__u64 at = 0; at < 4 * BLOCK; at += BLOCK / 2) {
		if (probe(mem + offset + at, false, NULL) != SIGBUS)
			return 7;
	}
	return 0;
}

TEST_F(huge, memory_is_seen_by_those_who_look_until_it_is_freed)
{
	struct gcheap_chunk_new chunk;
	int up[2], down[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(up));
	ASSERT_EQ(0, pipe(down));
	test_cmd_chunk_new(&chunk);
	memset(heap_mem(&self->heap, chunk.out_page), 9, 4 * BLOCK);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(look(&self->heap, &chunk, down[0], up[1]));
	close(up[1]);
	if (read(up[0], &byte, 1) == 1) {
		test_cmd_chunk_free(chunk.out_page);
		EXPECT_EQ(1, write(down[1], "", 1));
	}
	EXPECT_EQ(0, child_wait(child));
	close(up[0]);
	close(down[0]);
	close(down[1]);
}

/* ---- races ----------------------------------------------------------------------- */

/* Touches memory of its parent without end, which maps it there if it can be. */
static void touch_for_ever(pid_t owner, char *mem)
{
	char bytes[8];

	for (;;) {
		for (__u64 at = 0; at < 4 * BLOCK; at += BLOCK / 4) {
			struct iovec here = { .iov_base = bytes, .iov_len = sizeof(bytes) };
			struct iovec there = { .iov_base = mem + at, .iov_len = sizeof(bytes) };

			process_vm_readv(owner, &here, 1, &there, 1, 0);
		}
		if (getppid() != owner)
			_exit(0);
	}
}

/* A page fault that runs beside the request puts no page back. */
TEST_F_TIMEOUT(huge, part_that_is_freed_stays_away_from_racing_faults, 120)
{
	struct gcheap_alloc_large a, b;
	pid_t owner = getpid();
	pid_t child;
	char *mem;

	heap_close(&self->heap);
	ASSERT_OK(huge_open(&self->heap, GCHEAP_SETUP_FAULT_FREED));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	mem = heap_mem(&self->heap, BLOCK_PAGES);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		touch_for_ever(owner, mem);
	for (int round = 0; round < 200; round++) {
		test_cmd_alloc_large(0, BLOCK / 2, &a);
		test_cmd_alloc_large(0, 3 * BLOCK, &b);
		usleep(100 * (round % 8));
		*MEM(a) = 1;
		*MEM(b) = 1;
		test_cmd_free_large(a.out_page);
		for (__u64 at = 0; at < BLOCK / 2; at += BLOCK / 16)
			ASSERT_EQ(SIGBUS, probe(MEM(a) + at, false, NULL));
		test_cmd_free_large(b.out_page);
		for (__u64 at = 0; at < 3 * BLOCK; at += BLOCK / 4)
			ASSERT_EQ(SIGBUS, probe(MEM(b) + at, false, NULL));
		/* They leave quarantine. */
		test_cmd_mark_start(NULL);
		test_cmd_sweep_start(NULL);
		test_cmd_mark_start(NULL);
		test_cmd_sweep_start(NULL);
		test_cmd_alloc_large(0, BLOCK - GCHEAP_PAGE_BYTES, NULL);
	}
	kill(child, SIGKILL);
	child_wait(child);
}

TEST_HARNESS_MAIN
