// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap and those who look at it: processes that hold its file and are not its
 * owner. What they may map, and what they see; what is left to see when the owner has
 * ended is foreign_map_end_test's.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "heap_owner.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

FIXTURE(look) {
	struct machine before;
	struct owner owner;
	struct test_heap view;
};

FIXTURE_SETUP(look)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(owner_start(&self->owner, &self->view, GCHEAP_SETUP_SHARE_READ));
}

FIXTURE_TEARDOWN(look)
{
	if (self->owner.pid) {
		EXPECT_EQ(0, owner_does(&self->owner, 'v'));
		EXPECT_EQ(0, owner_end(&self->owner, 'q'));
	}
	close(self->owner.sock);
	heap_close(&self->view);
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* ---- what one may map --------------------------------------------------------- */

TEST_F(look, sees_what_the_owner_sees)
{
	const struct gcheap_alloc_large *large = &self->owner.large;

	ASSERT_OK(view_map(&self->view, true));
	EXPECT_EQ(GCHEAP_ABI, heap_ctrl(&self->view)->abi);
	EXPECT_EQ(1, heap_ctrl(&self->view)->counters.types);
	EXPECT_EQ(64, heap_type(&self->view, 1)->bytes);
	EXPECT_EQ(GCHEAP_SPAN_LARGE, span_state(&self->view, large->out_page));
	EXPECT_EQ(OBJECT_BYTES, heap_span(&self->view, large->out_page)->object_bytes);
	EXPECT_EQ(GCHEAP_KIND_LARGE, GCHEAP_PAGE_KIND(heap_info(&self->view, large->out_page)));
	EXPECT_TRUE(memory_is(heap_mem(&self->view, large->out_page), PATTERN, OBJECT_BYTES));
}

TEST_F(look, sees_what_the_owner_does_later)
{
	__u64 spans;

	ASSERT_OK(view_map(&self->view, true));
	spans = heap_ctrl(&self->view)->counters.spans;
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
	ASSERT_OK(owner_does(&self->owner, 'w'));
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN + 1, OBJECT_BYTES));
	ASSERT_OK(owner_does(&self->owner, 'a'));
	EXPECT_EQ(spans + 1,
		  ((volatile struct gcheap_ctrl *)heap_ctrl(&self->view))->counters.spans);
	/* Also into mappings of the owner's that are new. */
	ASSERT_OK(owner_does(&self->owner, 'm'));
	ASSERT_OK(owner_end(&self->owner, 'q'));
}

TEST_F(look, gets_sigbus_where_no_memory_is)
{
	siginfo_t info;

	ASSERT_OK(view_map(&self->view, true));
	EXPECT_EQ(SIGBUS, probe(heap_mem(&self->view, 0), false, &info));
	EXPECT_EQ(BUS_ADRERR, info.si_code);
	EXPECT_EQ((void *)heap_mem(&self->view, 0), info.si_addr);
	EXPECT_EQ(SIGBUS, probe(heap_mem(&self->view, 4000), false, NULL));
	EXPECT_ERR(EFAULT, read_into(heap_mem(&self->view, 0), 1));
}

TEST_F(look, may_map_the_same_region_many_times)
{
	void *heaps[5], *spans[5];

	for (int i = 0; i < 5; i++) {
		heaps[i] = region_map(&self->view, GCHEAP_REGION_HEAP, PROT_READ);
		spans[i] = region_map(&self->view, GCHEAP_REGION_SPANS, PROT_READ);
		ASSERT_NE(NULL, heaps[i]);
		ASSERT_NE(NULL, spans[i]);
		self->view.region[GCHEAP_REGION_HEAP] = heaps[i];
		self->view.region[GCHEAP_REGION_SPANS] = spans[i];
		EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
		EXPECT_EQ(GCHEAP_SPAN_LARGE, span_state(&self->view, 1));
	}
	/* The owner has its one mapping, and maps it anew when it likes. */
	ASSERT_OK(owner_does(&self->owner, 'm'));
	ASSERT_OK(owner_does(&self->owner, 'v'));
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, munmap(heaps[i], self->view.reserve));
		EXPECT_EQ(0, munmap(spans[i], self->view.region_bytes[GCHEAP_REGION_SPANS]));
	}
	self->view.region[GCHEAP_REGION_HEAP] = NULL;
	self->view.region[GCHEAP_REGION_SPANS] = NULL;
}

TEST_F(look, test_err_marks)
{
	test_err_view(EPERM, GCHEAP_REGION_MARKS, PROT_READ, MAP_SHARED);
	test_err_view(EPERM, GCHEAP_REGION_MARKS, PROT_NONE, MAP_SHARED);
	test_err_view(EPERM, GCHEAP_REGION_MARKS, PROT_READ | PROT_WRITE, MAP_SHARED);
}

TEST_F(look, test_err_writable_or_executable)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (!self->view.region_bytes[r])
			continue;
		test_err_view(EPERM, r, PROT_READ | PROT_WRITE, MAP_SHARED);
		test_err_view(EPERM, r, PROT_WRITE, MAP_SHARED);
		test_err_view(EPERM, r, PROT_READ | PROT_EXEC, MAP_SHARED);
	}
}

TEST_F(look, test_err_private_or_in_part)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (r == GCHEAP_REGION_MARKS || !self->view.region_bytes[r])
			continue;
		test_err_view(EINVAL, r, PROT_READ, MAP_PRIVATE);
		EXPECT_EQ(EINVAL, map_errno(self->view.fd, self->view.region_bytes[r] * 2,
					    PROT_READ, MAP_SHARED, GCHEAP_REGION_OFFSET(r)));
		EXPECT_EQ(EINVAL, map_errno(self->view.fd, self->view.region_bytes[r],
					    PROT_READ, MAP_SHARED,
					    GCHEAP_REGION_OFFSET(r) + 4096));
	}
}

TEST_F(look, test_err_heap_that_is_not_shared)
{
	struct test_heap view;
	struct owner owner;

	ASSERT_OK(owner_start(&owner, &view, 0));
	EXPECT_EQ(EPERM, map_errno(view.fd, view.reserve, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(EPERM, map_errno(view.fd, view.reserve, PROT_NONE, MAP_SHARED, 0));
	ASSERT_OK(view_map(&view, false));
	EXPECT_EQ(GCHEAP_SPAN_LARGE, span_state(&view, 1));
	ASSERT_OK(owner_does(&owner, 'v'));
	ASSERT_OK(owner_end(&owner, 'q'));
	close(owner.sock);
	heap_close(&view);
}

/* ---- what one may not do -------------------------------------------------------- */

TEST_F(look, test_err_requests)
{
	union any_request request;
	struct gcheap_grant grant;

	ASSERT_OK(view_map(&self->view, true));
	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		request_valid(op, &request, &grant);
		EXPECT_ERR(EPERM, cmd_send(self->view.fd, op, &request));
	}
}

TEST_F(look, test_err_mprotect_to_writable_later)
{
	ASSERT_OK(view_map(&self->view, true));
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		void *p = self->view.region[r];
		size_t bytes = self->view.region_bytes[r];

		if (!p)
			continue;
		EXPECT_EQ(-1, mprotect(p, bytes, PROT_READ | PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(-1, mprotect(p, bytes, PROT_READ | PROT_EXEC));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(0, mprotect(p, bytes, PROT_NONE));
		EXPECT_EQ(-1, mprotect(p, bytes, PROT_WRITE));
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(0, mprotect(p, bytes, PROT_READ));
	}
	EXPECT_EQ(SIGSEGV, probe(heap_mem(&self->view, 1), true, NULL));
}

/* A debugger's way writes to what is mapped read-only, but not here. */
TEST_F(look, test_err_write_through_proc_mem)
{
	char byte = 0x77;
	int fd = open("/proc/self/mem", O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_OK(view_map(&self->view, true));
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (self->view.region[r] && r != GCHEAP_REGION_DIRTY)
			EXPECT_EQ(-1, pwrite(fd, &byte, 1,
					     (off_t)view_content(&self->view, r)));
	}
	/* It reads, as any debugger does. */
	EXPECT_EQ(1, pread(fd, &byte, 1, (off_t)heap_mem(&self->view, 1)));
	EXPECT_EQ(PATTERN, byte);
	EXPECT_EQ(1, pread(fd, &byte, 1, (off_t)self->view.region[GCHEAP_REGION_CTRL]));
	EXPECT_EQ(GCHEAP_ABI, byte);
	close(fd);
}

TEST_F(look, test_err_splitting_and_moving)
{
	size_t most = 0;
	char *room;

	/* What is there is unmapped, as long as the region is, even when mremap() fails. */
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (self->view.region_bytes[r] > most)
			most = self->view.region_bytes[r];
	}
	room = mmap(NULL, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_OK(view_map(&self->view, true));
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		char *p = self->view.region[r];
		size_t bytes = self->view.region_bytes[r];

		if (!p)
			continue;
		EXPECT_EQ(MAP_FAILED, mremap(p, bytes, bytes + 4096, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(p, bytes, bytes,
					     MREMAP_MAYMOVE | MREMAP_FIXED, room));
		EXPECT_EQ(MAP_FAILED, mremap(p, 0, bytes, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(p, bytes, bytes,
					     MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
		if (bytes > 4096) {
			EXPECT_EQ(-1, munmap(p, 4096));
			EXPECT_EQ(-1, mprotect(p, 4096, PROT_NONE));
		}
	}
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
	EXPECT_EQ(1, heap_ctrl(&self->view)->counters.types);
}

TEST_F(look, is_not_inherited_by_fork)
{
	ASSERT_OK(view_map(&self->view, true));
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		char *content;

		if (!self->view.region[r])
			continue;
		content = view_content(&self->view, r);
		EXPECT_EQ(SIGSEGV, child_probe(content, false));
		/*
		 * By its own wish a child looks, too: it could map the file anyway. Not on
		 * kernels that refuse that wish.
		 */
		if (madvise(self->view.region[r], self->view.region_bytes[r], MADV_DOFORK)) {
			EXPECT_EQ(EINVAL, errno);
			EXPECT_EQ(SIGSEGV, child_probe(content, false));
			continue;
		}
		EXPECT_EQ(r == GCHEAP_REGION_DIRTY ? SIGBUS : 0, child_probe(content, false));
	}
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
}

/* ---- how often -------------------------------------------------------------------- */

#define LOOK_MAPS	PARAMETERS "look_maps"
#define FEW		"6"

/* Maps HEAP until it is refused: how often that worked, or a negative errno but ENOSPC's. */
static int map_most(const struct test_heap *view, void **maps, int most)
{
	int count = 0;

	while (count < most) {
		maps[count] = mmap(NULL, view->region_bytes[GCHEAP_REGION_HEAP], PROT_READ,
				   MAP_SHARED, view->fd, 0);
		if (maps[count] == MAP_FAILED)
			return errno == ENOSPC ? count : -errno;
		count++;
	}
	return count;
}

static void unmap_all(const struct test_heap *view, void **maps, int count)
{
	while (count > 0)
		munmap(maps[--count], view->region_bytes[GCHEAP_REGION_HEAP]);
}

/* Each costs the owner, as often as memory is taken away from the heap. */
TEST_F(look, may_map_so_often_and_no_more)
{
	static void *maps[2000];
	int most = map_most(&self->view, maps, 2000);

	EXPECT_EQ(128, most);
	test_err_view(ENOSPC, GCHEAP_REGION_SPANS, PROT_READ, MAP_SHARED);
	/* What is refused for another reason says so, and counts for nothing. */
	test_err_view(EPERM, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE, MAP_SHARED);
	/* The owner is free to map what it likes. */
	ASSERT_OK(owner_does(&self->owner, 'm'));
	ASSERT_OK(owner_does(&self->owner, 'a'));
	for (int round = 0; round < 3; round++) {
		munmap(maps[most - 1], self->view.region_bytes[GCHEAP_REGION_HEAP]);
		EXPECT_EQ(1, map_most(&self->view, maps + most - 1, 2));
	}
	unmap_all(&self->view, maps, most);
	EXPECT_EQ(most, map_most(&self->view, maps, 2000));
	unmap_all(&self->view, maps, most);
}

TEST_F(look, may_map_so_often_in_all_processes_together)
{
	size_t bytes = self->view.region_bytes[GCHEAP_REGION_HEAP];
	void *maps[20], *moved;
	char before[32];
	int copied = 0;
	pid_t child;

	ASSERT_OK(text_read(LOOK_MAPS, before, sizeof(before)));
	ASSERT_OK(text_write(LOOK_MAPS, FEW));
	ASSERT_EQ(6, map_most(&self->view, maps, 20));
	unmap_all(&self->view, maps, 6);
	ASSERT_EQ(4, map_most(&self->view, maps, 4));
	/* What fails counts for nothing: to move one, to cut it, to take a part away. */
	moved = mremap(maps[0], bytes, bytes * 2, MREMAP_MAYMOVE);
	EXPECT_EQ(MAP_FAILED, moved);
	EXPECT_EQ(MAP_FAILED, mremap(maps[0], bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
				     (char *)maps[3] + 16 * bytes));
	EXPECT_EQ(-1, munmap(maps[0], bytes / 2));
	EXPECT_EQ(-1, mprotect(maps[0], bytes / 2, PROT_NONE));
	/* A child that has not inherited them has mappings of its own. */
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(map_most(&self->view, maps, 20));
	EXPECT_EQ(2, child_wait(child));
	/* The mappings that fork copies count, those that are too many are dead. */
	for (int i = 0; i < 4; i++)
		copied += !madvise(maps[i], bytes, MADV_DOFORK);
	/* Some kernels refuse it, and copy none. */
	EXPECT_TRUE(copied == 4 || !copied);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		size_t at = (size_t)self->owner.large.out_page << GCHEAP_PAGE_SHIFT;
		void *more[20];
		int alive = 0;
		int status;

		for (int i = 0; i < 4; i++)
			alive += !probe((char *)maps[i] + at + 12345, false, NULL);
		if (copied ? alive < 2 || map_most(&self->view, more, 20) : alive)
			_exit(100);
		/* Its own child has no copies of them. */
		if (!fork()) {
			alive = 0;
			for (int i = 0; i < 4; i++)
				alive += !probe((char *)maps[i] + at + 12345, false, NULL);
			_exit(alive ? 101 : 0);
		}
		if (wait(&status) < 0 || status)
			_exit(102);
		if (copied)
			unmap_all(&self->view, maps, 4);
		_exit(map_most(&self->view, more, 20));
	}
	EXPECT_EQ(2, child_wait(child));
	EXPECT_EQ(2, map_most(&self->view, maps + 4, 16));
	unmap_all(&self->view, maps, 6);
	/* Nothing is left that counts. */
	EXPECT_EQ(6, map_most(&self->view, maps, 20));
	unmap_all(&self->view, maps, 6);
	ASSERT_OK(text_write(LOOK_MAPS, "0"));
	EXPECT_EQ(20, map_most(&self->view, maps, 20));
	unmap_all(&self->view, maps, 20);
	EXPECT_OK(text_write(LOOK_MAPS, before));
}

/* ---- a forked child of the owner -------------------------------------------------- */

TEST_F(look, is_for_the_owners_forked_child_too)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;
	pid_t child;

	ASSERT_OK(owned_open(&heap, GCHEAP_SETUP_SHARE_READ, &large));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct test_heap view = heap;

		memset(view.region, 0, sizeof(view.region));
		if (view_map(&view, true))
			_exit(1);
		if (!memory_is(heap_mem(&view, large.out_page), PATTERN, OBJECT_BYTES))
			_exit(2);
		if (cmd_alloc_large(view.fd, 0, 1 << 20, NULL) != -EPERM)
			_exit(3);
		if (probe(heap_mem(&view, large.out_page), true, NULL) != SIGSEGV)
			_exit(4);
		_exit(map_errno(view.fd, view.region_bytes[GCHEAP_REGION_MARKS], PROT_READ,
				MAP_SHARED,
				GCHEAP_REGION_OFFSET(GCHEAP_REGION_MARKS)) != EPERM);
	}
	EXPECT_EQ(0, child_wait(child));
	ASSERT_RIGHT(heap_wrong(&heap));
	heap_close(&heap);
}

/* What is refused to who looks must not cost the owner its page tables, either. */
TEST_F(look, costs_the_owner_no_page_faults)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;
	long long before;
	pid_t child;

	ASSERT_OK(owned_open(&heap, GCHEAP_SETUP_SHARE_READ, &large));
	before = smaps_bytes(&heap, "Rss:");
	ASSERT_LE(OBJECT_BYTES, before);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		size_t bytes = heap.region_bytes[GCHEAP_REGION_HEAP];
		struct test_heap view = heap;
		char *room;

		memset(view.region, 0, sizeof(view.region));
		if (view_map(&view, true))
			_exit(1);
		room = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			    -1, 0);
		if (room == MAP_FAILED)
			_exit(2);
		if (mremap(view.region[GCHEAP_REGION_HEAP], bytes, bytes,
			   MREMAP_MAYMOVE | MREMAP_FIXED, room) != MAP_FAILED)
			_exit(3);
		/* Some kernels refuse it. */
		if (madvise(view.region[GCHEAP_REGION_HEAP], bytes, MADV_DOFORK))
			_exit(errno == EINVAL &&
			      child_probe(heap_mem(&view, large.out_page), false) == SIGSEGV ?
			      0 : 4);
		_exit(child_probe(heap_mem(&view, large.out_page), false));
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(before, smaps_bytes(&heap, "Rss:"));
	heap_close(&heap);
}

TEST_HARNESS_MAIN
