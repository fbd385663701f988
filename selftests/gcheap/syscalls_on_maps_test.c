// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What each system call does that acts on the owner's mappings. The tables here are
 * those of Documentation/mappings.md.
 */
#include <sys/syscall.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGE	((size_t)4096)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

/* Regions of one page have no parts. */
enum extent {
	WHOLE,
	PART,
};

enum call {
	MADVISE,	/* @arg: MADV_* */
	MPROTECT,	/* @arg: PROT_* */
	MUNMAP,
	MLOCK,
	MSYNC,
	MREMAP,		/* @arg: MREMAP_*, to @to bytes more or less */
};

/* @heap, @tables: the errno in HEAP and in the tables that are only read. */
struct row {
	const char *name;
	enum call call;
	enum extent extent;
	int arg;
	int heap;
	int tables;
	long to;
};

/* Some kernels refuse it with EINVAL, whoever's mapping it is. */
#define EINVAL_OR_NOT	(-1)

#define ADVICE(advice, extent, heap, tables) \
	{ "madvise " #advice " " #extent, MADVISE, extent, MADV_##advice, heap, tables, 0 }

/* None of them changes what the region holds, or where it is. */
static const struct row rows[] = {
	ADVICE(NORMAL, WHOLE, 0, 0),
	ADVICE(WILLNEED, WHOLE, 0, 0),
	ADVICE(WILLNEED, PART, 0, 0),
	ADVICE(DONTNEED, WHOLE, 0, EINVAL),
	ADVICE(DONTNEED, PART, 0, EINVAL),
	ADVICE(FREE, WHOLE, EINVAL, EINVAL),
	ADVICE(FREE, PART, EINVAL, EINVAL),
	ADVICE(COLD, WHOLE, 0, EINVAL),
	ADVICE(COLD, PART, 0, EINVAL),
	ADVICE(PAGEOUT, WHOLE, 0, EINVAL),
	ADVICE(PAGEOUT, PART, 0, EINVAL),
	/* Some of HEAP has no memory. */
	ADVICE(POPULATE_READ, WHOLE, EFAULT, EINVAL),
	ADVICE(POPULATE_READ, PART, 0, EINVAL),
	ADVICE(POPULATE_WRITE, WHOLE, EFAULT, EINVAL),
	ADVICE(POPULATE_WRITE, PART, 0, EINVAL),
	ADVICE(COLLAPSE, WHOLE, EINVAL, EINVAL),
	ADVICE(COLLAPSE, PART, EINVAL, EINVAL),
	ADVICE(REMOVE, WHOLE, ENODEV, EACCES),
	ADVICE(REMOVE, PART, ENODEV, EACCES),
	ADVICE(MERGEABLE, WHOLE, 0, 0),
	ADVICE(MERGEABLE, PART, 0, 0),
	ADVICE(WIPEONFORK, WHOLE, EINVAL, EINVAL),
	ADVICE(DODUMP, WHOLE, EINVAL, EINVAL),
	ADVICE(DODUMP, PART, EINVAL, EINVAL),
	ADVICE(DONTFORK, WHOLE, 0, 0),
	ADVICE(DONTFORK, PART, 0, 0),
	/* Would make two mappings of one. */
	ADVICE(DOFORK, PART, EINVAL, EINVAL),
	ADVICE(HUGEPAGE, PART, EINVAL, EINVAL),
	ADVICE(RANDOM, PART, EINVAL, EINVAL),
	ADVICE(DOFORK, WHOLE, EINVAL_OR_NOT, EINVAL_OR_NOT),
	ADVICE(HUGEPAGE, WHOLE, 0, 0),
	ADVICE(NOHUGEPAGE, WHOLE, 0, 0),
	ADVICE(RANDOM, WHOLE, 0, 0),
	ADVICE(SEQUENTIAL, WHOLE, 0, 0),
	ADVICE(DONTDUMP, WHOLE, 0, 0),
	{ "mprotect PROT_READ WHOLE", MPROTECT, WHOLE, PROT_READ, 0, 0, 0 },
	{ "mprotect PROT_NONE WHOLE", MPROTECT, WHOLE, PROT_NONE, 0, 0, 0 },
	{ "mprotect PROT_EXEC WHOLE", MPROTECT, WHOLE, PROT_READ | PROT_EXEC,
	  EACCES, EACCES, 0 },
	{ "mprotect PROT_READ | PROT_WRITE WHOLE", MPROTECT, WHOLE, PROT_READ | PROT_WRITE,
	  0, EACCES, 0 },
	{ "mprotect PROT_NONE PART", MPROTECT, PART, PROT_NONE, EINVAL, EINVAL, 0 },
	{ "munmap PART", MUNMAP, PART, 0, EINVAL, EINVAL, 0 },
	{ "mlock WHOLE", MLOCK, WHOLE, 0, ENOMEM, 0, 0 },
	{ "mlock PART", MLOCK, PART, 0, 0, 0, 0 },
	{ "msync WHOLE", MSYNC, WHOLE, 0, EINVAL, EINVAL, 0 },
	{ "mremap to grow", MREMAP, WHOLE, 0, EFAULT, EFAULT, 4096 },
	{ "mremap to grow and move", MREMAP, WHOLE, MREMAP_MAYMOVE, EFAULT, EFAULT, 4096 },
	{ "mremap to shrink", MREMAP, WHOLE, 0, EINVAL, EINVAL, -4096 },
	{ "mremap of old length 0", MREMAP, PART, MREMAP_MAYMOVE, EFAULT, EFAULT, 0 },
	{ "mremap MREMAP_DONTUNMAP", MREMAP, WHOLE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
	  EINVAL, EINVAL, 0 },
	{ "mremap to move", MREMAP, WHOLE, MREMAP_MAYMOVE | MREMAP_FIXED, EINVAL, EINVAL, 0 },
};

FIXTURE(calls) {
	struct test_heap heap;
	char *p;
	size_t bytes;
	int prot;
	char *content;
	char before[64];
	void *room;		/* where nothing is mapped */
};

FIXTURE_VARIANT(calls) {
	enum gcheap_region region;
};

FIXTURE_VARIANT_ADD(calls, heap) {
	.region = GCHEAP_REGION_HEAP,
};

FIXTURE_VARIANT_ADD(calls, pages) {
	.region = GCHEAP_REGION_PAGES,
};

FIXTURE_VARIANT_ADD(calls, spans) {
	.region = GCHEAP_REGION_SPANS,
};

FIXTURE_VARIANT_ADD(calls, types) {
	.region = GCHEAP_REGION_TYPES,
};

FIXTURE_VARIANT_ADD(calls, marks) {
	.region = GCHEAP_REGION_MARKS,
};

FIXTURE_VARIANT_ADD(calls, ctrl) {
	.region = GCHEAP_REGION_CTRL,
};

FIXTURE_VARIANT_ADD(calls, dirty) {
	.region = GCHEAP_REGION_DIRTY,
};

FIXTURE_VARIANT_ADD(calls, bitmap) {
	.region = GCHEAP_REGION_BITMAP,
};

FIXTURE_SETUP(calls)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	const bool bitmap = variant->region == GCHEAP_REGION_BITMAP;
	const bool dirty = variant->region == GCHEAP_REGION_DIRTY;

	if (dirty && !tracking_works())
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(heap_open(&self->heap, bitmap ? GCHEAP_LAYOUT_BITMAP :
					 GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	test_cmd_type_words(2, 1, NULL);
	test_cmd_alloc_large(dirty, 1 << (dirty ? 16 : 20), NULL);
	memset(heap_mem(&self->heap, 1), 0xa5, 1 << 20);
	memset(self->heap.region[GCHEAP_REGION_MARKS], 0x5a, PAGE);
	if (bitmap)
		memset(self->heap.region[GCHEAP_REGION_BITMAP], 0x5b, PAGE);
	if (dirty) {
		test_cmd_track(&track);
		ASSERT_EQ(128, track.out_dirty_pages);
	}
	self->p = self->heap.region[variant->region];
	self->bytes = self->heap.region_bytes[variant->region];
	self->prot = PROT_READ;
	if (region_is_owners(variant->region))
		self->prot |= PROT_WRITE;
	/* Where record 1 of any table is, and heap page 1. */
	self->content = self->p;
	if (variant->region == GCHEAP_REGION_HEAP)
		self->content += 2 * PAGE;
	memcpy(self->before, self->content, sizeof(self->before));
	self->room = mmap(NULL, self->bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->room);
}

FIXTURE_TEARDOWN(calls)
{
	munmap(self->room, self->bytes);
	heap_close(&self->heap);
}

/* What is asked of a part is asked of the page that @content is in. */
static int row_errno(const struct row *row, char *p, size_t bytes, size_t part, void *room)
{
	char *at = row->extent == PART ? p + part : p;
	size_t length = row->extent == PART ? PAGE : bytes;
	long ret = 0;

	switch (row->call) {
	case MADVISE:
		ret = madvise(at, length, row->arg);
		break;
	case MPROTECT:
		ret = mprotect(at, length, row->arg);
		break;
	case MUNMAP:
		ret = munmap(at, length);
		break;
	case MLOCK:
		ret = mlock(at, length);
		if (!ret)
			ret = munlock(at, length);
		break;
	case MSYNC:
		ret = msync(at, length, MS_SYNC);
		break;
	case MREMAP:
		if (row->extent == PART)
			length = 0;
		ret = mremap(p, length, bytes + (size_t)row->to, row->arg, room) == MAP_FAILED ?
		      -1 : 0;
		break;
	}
	return ret ? errno : 0;
}

TEST_F(calls, do_what_is_documented)
{
	const bool heap = variant->region == GCHEAP_REGION_HEAP;
	const bool writable = region_is_owners(variant->region);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		int expect = heap ? row->heap : row->tables;
		int error;

		/* A table that may be written differs in what asks for that. */
		if (writable && row->call == MPROTECT && row->arg == (PROT_READ | PROT_WRITE))
			expect = 0;
		if (writable && row->call == MADVISE && row->arg == MADV_REMOVE)
			expect = ENODEV;
		if (self->bytes == PAGE && (row->extent == PART || row->to < 0))
			continue;
		error = row_errno(row, self->p, self->bytes, heap ? 2 * PAGE : 0, self->room);
		if (expect == EINVAL_OR_NOT)
			expect = error == EINVAL ? EINVAL : 0;
		EXPECT_EQ(expect, error) {
			TH_LOG("%s", row->name);
		}
		/* And all is there. */
		ASSERT_EQ(0, mprotect(self->p, self->bytes, self->prot));
		ASSERT_EQ(0, memcmp(self->before, self->content, sizeof(self->before))) {
			TH_LOG("%s", row->name);
		}
		ASSERT_EQ(NULL, heap_wrong(&self->heap)) {
			TH_LOG("%s: %s", row->name, heap_wrong(&self->heap));
		}
	}
}

TEST_F(calls, protect_against_what_they_say)
{
	siginfo_t info;

	ASSERT_EQ(0, mprotect(self->p, self->bytes, PROT_READ));
	EXPECT_EQ(0, probe(self->content, false, NULL));
	EXPECT_EQ(SIGSEGV, probe(self->content, true, &info));
	EXPECT_EQ(SEGV_ACCERR, info.si_code);
	EXPECT_ERR(EFAULT, read_into(self->content, 1));
	ASSERT_EQ(0, mprotect(self->p, self->bytes, PROT_NONE));
	EXPECT_EQ(SIGSEGV, probe(self->content, false, &info));
	EXPECT_EQ(SEGV_ACCERR, info.si_code);
	ASSERT_EQ(0, mprotect(self->p, self->bytes, self->prot));
	if (self->prot & PROT_WRITE)
		EXPECT_EQ(0, probe(self->content, true, NULL));
	EXPECT_EQ(0, memcmp(self->before, self->content, sizeof(self->before)));
}

/* Requests need none of the owner's mappings, and respect what they are. */
TEST_F(calls, do_not_make_requests_fail)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grant;

	ASSERT_EQ(0, mprotect(self->p, self->bytes, PROT_NONE));
	test_cmd_alloc_large(0, 100000, &large);
	test_cmd_take(0, CLASS_64, &grant);
	test_cmd_mark_start(NULL);
	test_cmd_give(&grant.page, 1);
	EXPECT_EQ(SIGSEGV, probe(self->content, false, NULL));
	if (variant->region == GCHEAP_REGION_HEAP)
		EXPECT_EQ(SIGSEGV, probe(heap_mem(&self->heap, large.out_page), true, NULL));
	ASSERT_EQ(0, mprotect(self->p, self->bytes, self->prot));
	if (variant->region == GCHEAP_REGION_HEAP)
		EXPECT_EQ(0, probe(heap_mem(&self->heap, large.out_page), true, NULL));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(calls, unmap_the_whole_and_requests_go_on)
{
	struct gcheap_alloc_large large;

	ASSERT_EQ(0, munmap(self->p, self->bytes));
	test_cmd_alloc_large(0, 100000, &large);
	self->p = region_map(&self->heap, variant->region, self->prot);
	ASSERT_NE(NULL, self->p);
	self->content += self->p - (char *)self->heap.region[variant->region];
	self->heap.region[variant->region] = self->p;
	ASSERT_RIGHT(large_wrong(&self->heap, &large, 100000, true));
	EXPECT_EQ(0, probe(heap_mem(&self->heap, large.out_page), true, NULL));
}

/* Memory of a heap is never swapped; to lock it changes nothing but that it is mapped. */
TEST_F(calls, lock_all_of_the_process)
{
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	test_cmd_alloc_large(0, 1 << 20, NULL);
	ASSERT_RIGHT(heap_wrong(&self->heap));
	ASSERT_EQ(0, munmap(self->p, self->bytes));
	self->p = region_map(&self->heap, variant->region, self->prot);
	ASSERT_NE(NULL, self->p);
	self->content += self->p - (char *)self->heap.region[variant->region];
	self->heap.region[variant->region] = self->p;
	ASSERT_EQ(0, munlockall());
}

/* ---- page faults are counted ------------------------------------------------------ */

TEST_F(calls, that_make_pages_fault_are_counted)
{
	struct gcheap_counters before, after;

	if (variant->region != GCHEAP_REGION_HEAP)
		return;		/* those of HEAP */
	test_cmd_stats(&before);
	EXPECT_EQ(0, probe(self->content, true, NULL));
	test_cmd_stats(&after);
	EXPECT_EQ(before.faults, after.faults);
	EXPECT_EQ(before.bad_faults, after.bad_faults);

	ASSERT_EQ(0, madvise(self->p, self->bytes, MADV_DONTNEED));
	EXPECT_EQ(0, probe(self->content, true, NULL));
	EXPECT_EQ(SIGBUS, probe(self->p, true, NULL));
	EXPECT_ERR(EFAULT, read_into(self->p, 1));
	test_cmd_stats(&after);
	EXPECT_EQ(before.faults + 1, after.faults);
	EXPECT_EQ(before.bad_faults + 2, after.bad_faults);
	EXPECT_EQ(after.faults, heap_ctrl(&self->heap)->counters.faults);
	/* With the page came what is around it. */
	EXPECT_TRUE(memory_is(self->content, (char)0xa5, 64));
	test_cmd_stats(&before);
	EXPECT_EQ(before.faults, after.faults);
}

TEST_HARNESS_MAIN
