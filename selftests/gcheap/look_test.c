// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap and those who look at it: processes that hold its file and are not its
 * owner. What they may map, what they see, and what is left to see when the owner
 * has ended.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECT_BYTES	(2u << 20)
#define PATTERN		0x6b

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/*
 * The owner is a child that does what it is told by one byte, and answers by one
 * when it is done. This process has nothing but the file.
 */
struct owner {
	pid_t pid;
	int sock;
	struct test_heap heap;		/* in the child */
	struct gcheap_alloc_large large;
};

/* What the owner sends with the file. */
struct owner_says {
	__u64 region_bytes[GCHEAP_REGIONS];
	struct gcheap_alloc_large large;
};

static int owner_obey(struct owner *owner, char order)
{
	char *mem = heap_mem(&owner->heap, owner->large.out_page);
	char *argv[] = { "look_test", "--sleep", NULL };

	switch (order) {
	case 'a':	/* another object */
		return cmd_alloc_large(owner->heap.fd, 0, OBJECT_BYTES, NULL);
	case 'w':	/* other contents */
		memset(mem, PATTERN + 1, OBJECT_BYTES);
		return 0;
	case 'm':	/* the mapping anew */
		munmap(owner->heap.region[GCHEAP_REGION_HEAP], owner->heap.reserve);
		owner->heap.region[GCHEAP_REGION_HEAP] =
			region_map(&owner->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
		return !owner->heap.region[GCHEAP_REGION_HEAP];
	case 'u':	/* nothing mapped */
		heap_unmap(&owner->heap);
		return 0;
	case 'v':	/* all is well */
		return heap_wrong(&owner->heap) || !memory_is(mem, PATTERN, OBJECT_BYTES);
	case 'k':	/* keep the file over exec */
		return fcntl(owner->heap.fd, F_SETFD, 0);
	case 'x':
		execv("/proc/self/exe", argv);
		return 1;
	default:
		_exit(0);
	}
}

static void owner_main(struct owner *owner, __u32 flags)
{
	struct owner_says says;
	char byte;

	if (heap_open_flags(&owner->heap, GCHEAP_UAPI_LAYOUT_SPAN, SMALL_RESERVE, flags) ||
	    cmd_type_words(owner->heap.fd, 8, 1, NULL) ||
	    cmd_alloc_large(owner->heap.fd, 0, OBJECT_BYTES, &owner->large))
		_exit(1);
	memset(heap_mem(&owner->heap, owner->large.out_page), PATTERN, OBJECT_BYTES);
	memcpy(says.region_bytes, owner->heap.region_bytes, sizeof(says.region_bytes));
	says.large = owner->large;
	if (fd_send(owner->sock, owner->heap.fd) ||
	    write(owner->sock, &says, sizeof(says)) != sizeof(says))
		_exit(2);
	while (read(owner->sock, &byte, 1) == 1) {
		byte = owner_obey(owner, byte) ? '1' : '0';
		if (write(owner->sock, &byte, 1) != 1)
			_exit(3);
	}
	_exit(0);
}

/* Starts an owner; @view is what this process gets of its heap. */
static int owner_start(struct owner *owner, struct test_heap *view, __u32 flags)
{
	struct owner_says says;
	int sv[2];

	memset(view, 0, sizeof(*view));
	view->fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		return -errno;
	owner->pid = fork();
	if (owner->pid < 0)
		return -errno;
	if (!owner->pid) {
		close(sv[0]);
		owner->sock = sv[1];
		owner_main(owner, flags);
	}
	close(sv[1]);
	owner->sock = sv[0];
	view->fd = fd_receive(sv[0]);
	if (view->fd < 0 || read(sv[0], &says, sizeof(says)) != sizeof(says))
		return -EIO;
	memcpy(view->region_bytes, says.region_bytes, sizeof(says.region_bytes));
	view->reserve = says.region_bytes[GCHEAP_REGION_HEAP];
	owner->large = says.large;
	return 0;
}

static int owner_does(struct owner *owner, char order)
{
	char byte = 0;

	if (write(owner->sock, &order, 1) != 1 || read(owner->sock, &byte, 1) != 1)
		return -EIO;
	return byte == '0' ? 0 : -EINVAL;
}

/* Ends it, by a signal, or by an order that it does not answer. */
static int owner_end(struct owner *owner, char how)
{
	int ret;

	if (how == 'K')
		kill(owner->pid, SIGKILL);
	else if (write(owner->sock, &how, 1) != 1)
		return -EIO;
	ret = child_wait(owner->pid);
	owner->pid = 0;
	return ret == -SIGKILL ? 0 : ret;
}

/* Maps what one may map. */
static int view_map(struct test_heap *view, bool heap)
{
	for (int r = heap ? 0 : 1; r < GCHEAP_REGIONS; r++) {
		if (r == GCHEAP_REGION_MARKS || !view->region_bytes[r])
			continue;
		view->region[r] = region_map(view, r, PROT_READ);
		if (!view->region[r])
			return -errno;
	}
	return 0;
}

/* A place of each region that has contents. */
static char *view_content(const struct test_heap *view, int r)
{
	switch (r) {
	case GCHEAP_REGION_HEAP:
		return heap_mem(view, 1);
	case GCHEAP_REGION_PAGES:
		return (char *)view->region[r] + sizeof(__u64);
	case GCHEAP_REGION_SPANS:
		return (char *)view->region[r] + sizeof(struct gcheap_span);
	default:
		return view->region[r];
	}
}

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

#define test_err_view(err, r, prot, flags) \
	EXPECT_EQ(err, map_errno(self->view.fd, self->view.region_bytes[r], prot, flags, \
				 GCHEAP_REGION_OFFSET(r)))

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
		madvise(self->view.region[r], self->view.region_bytes[r], MADV_DOFORK);
		/* By its own wish a child looks, too: it could map the file anyway. */
		EXPECT_EQ(r == GCHEAP_REGION_DIRTY ? SIGBUS : 0, child_probe(content, false));
	}
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
}

/* ---- a forked child of the owner -------------------------------------------------- */

TEST_F(look, is_for_the_owners_forked_child_too)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;
	pid_t child;

	ASSERT_OK(heap_open_flags(&heap, GCHEAP_UAPI_LAYOUT_SPAN, SMALL_RESERVE,
				  GCHEAP_SETUP_SHARE_READ));
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, OBJECT_BYTES, &large));
	memset(heap_mem(&heap, large.out_page), PATTERN, OBJECT_BYTES);
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

	ASSERT_OK(heap_open_flags(&heap, GCHEAP_UAPI_LAYOUT_SPAN, SMALL_RESERVE,
				  GCHEAP_SETUP_SHARE_READ));
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, OBJECT_BYTES, &large));
	memset(heap_mem(&heap, large.out_page), PATTERN, OBJECT_BYTES);
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
		madvise(view.region[GCHEAP_REGION_HEAP], bytes, MADV_DOFORK);
		_exit(child_probe(heap_mem(&view, large.out_page), false));
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(before, smaps_bytes(&heap, "Rss:"));
	heap_close(&heap);
}

/* ---- the owner's end ------------------------------------------------------------- */

/* All mappings fault, none can be made, and no memory is left. */
#define EXPECT_NOTHING_TO_SEE() do { \
	struct machine left_ = self->before; \
\
	left_.heaps++;		/* our file */ \
	EXPECT_TRUE(machine_back_to(&left_)); \
	for (int r_ = 0; r_ < GCHEAP_REGIONS; r_++) { \
		if (self->view.region[r_]) \
			EXPECT_EQ(SIGBUS, probe(view_content(&self->view, r_), false, NULL)); \
		if (self->view.region_bytes[r_]) \
			test_err_view(ENXIO, r_, PROT_READ, MAP_SHARED); \
	} \
	EXPECT_ERR(EPERM, cmd_mark_start(self->view.fd, NULL)); \
} while (0)

/* Touches what is there. */
#define EXPECT_ALL_TO_SEE() do { \
	for (int r_ = 0; r_ < GCHEAP_REGIONS; r_++) { \
		if (self->view.region[r_] && r_ != GCHEAP_REGION_DIRTY) \
			EXPECT_EQ(0, probe(view_content(&self->view, r_), false, NULL)); \
	} \
} while (0)

TEST_F(look, is_over_when_the_owner_exits)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'q'));
	EXPECT_NOTHING_TO_SEE();
	EXPECT_ERR(EFAULT, read_into(view_content(&self->view, 0), 1));
}

TEST_F(look, is_over_when_the_owner_is_killed)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'K'));
	EXPECT_NOTHING_TO_SEE();
}

TEST_F(look, is_over_when_the_owner_executes_another_program)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_does(&self->owner, 'k'));
	ASSERT_EQ(1, write(self->owner.sock, "x", 1));
	EXPECT_NOTHING_TO_SEE();
	kill(self->owner.pid, SIGKILL);
	child_wait(self->owner.pid);
	self->owner.pid = 0;
}

/* The owner has nothing mapped when it ends; the file is ours. */
TEST_F(look, is_over_when_an_owner_without_mappings_exits)
{
	ASSERT_OK(view_map(&self->view, true));
	ASSERT_OK(owner_does(&self->owner, 'u'));
	/* That alone is no end. */
	EXPECT_ALL_TO_SEE();
	EXPECT_TRUE(memory_is(heap_mem(&self->view, 1), PATTERN, OBJECT_BYTES));
	sleep(2);
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'q'));
	EXPECT_NOTHING_TO_SEE();
}

TEST_F(look, is_over_when_an_owner_without_mappings_executes_another_program)
{
	ASSERT_OK(view_map(&self->view, true));
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_does(&self->owner, 'u'));
	ASSERT_OK(owner_does(&self->owner, 'k'));
	ASSERT_EQ(1, write(self->owner.sock, "x", 1));
	EXPECT_NOTHING_TO_SEE();
	kill(self->owner.pid, SIGKILL);
	child_wait(self->owner.pid);
	self->owner.pid = 0;
}

TEST_F(look, goes_on_when_an_owner_without_mappings_maps_again)
{
	ASSERT_OK(view_map(&self->view, true));
	ASSERT_OK(owner_does(&self->owner, 'm'));
	sleep(2);
	EXPECT_ALL_TO_SEE();
	ASSERT_OK(owner_end(&self->owner, 'K'));
	EXPECT_NOTHING_TO_SEE();
}

/* ---- the end while somebody looks ------------------------------------------------- */

struct watcher {
	pthread_t thread;
	const struct test_heap *view;
	bool stop;
	__u64 seen;
	const char *error;
};

/* What is read is the object, or nothing; never what came into its memory later. */
static void *watcher_main(void *arg)
{
	struct watcher *watcher = arg;
	char *mem = heap_mem(watcher->view, 1);
	int copy = (int)syscall(SYS_memfd_create, "copy", 0);
	char page[4096];

	if (copy < 0) {
		watcher->error = "memfd_create";
		return NULL;
	}
	while (!__atomic_load_n(&watcher->stop, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < OBJECT_BYTES / 8; i += sizeof(page)) {
			ssize_t n = pwrite(copy, mem + i, sizeof(page), 0);

			if (n < 0 && errno == EFAULT)
				continue;
			if (n <= 0 || pread(copy, page, (size_t)n, 0) != n ||
			    page[0] != PATTERN || !memory_is(page, PATTERN, (size_t)n)) {
				watcher->error = "contents";
				break;
			}
			watcher->seen++;
		}
		/* A table: its pages are not counted, and must not be seen later either. */
		if (pwrite(copy, watcher->view->region[GCHEAP_REGION_CTRL], 4096, 0) == 4096 &&
		    (pread(copy, page, 4, 0) != 4 || *(__u32 *)page != GCHEAP_ABI))
			watcher->error = "CTRL";
		/* Fault all in again. */
		madvise(mem, OBJECT_BYTES, MADV_DONTNEED);
	}
	close(copy);
	return NULL;
}

TEST_F_TIMEOUT(look, never_sees_memory_of_others_when_the_owner_ends, 120)
{
	__u64 seen = 0;
	struct rng rng;

	rng_init_printed(&rng, "look");
	ASSERT_OK(owner_end(&self->owner, 'q'));
	for (int round = 0; round < 12; round++) {
		const struct timespec wait = { .tv_nsec = 1000 * rng_below(&rng, 30000) };
		struct watcher watchers[2];
		struct test_heap view;
		struct owner owner;

		ASSERT_OK(owner_start(&owner, &view, GCHEAP_SETUP_SHARE_READ));
		ASSERT_OK(view_map(&view, true));
		for (int i = 0; i < 2; i++) {
			watchers[i] = (struct watcher){ .view = &view };
			ASSERT_EQ(0, pthread_create(&watchers[i].thread, NULL, watcher_main,
						    &watchers[i]));
		}
		nanosleep(&wait, NULL);
		ASSERT_OK(owner_end(&owner, round % 2 ? 'K' : 'q'));
		nanosleep(&wait, NULL);
		for (int i = 0; i < 2; i++) {
			__atomic_store_n(&watchers[i].stop, true, __ATOMIC_RELAXED);
			pthread_join(watchers[i].thread, NULL);
			EXPECT_EQ(NULL, watchers[i].error) {
				TH_LOG("%s", watchers[i].error);
			}
			seen += watchers[i].seen;
		}
		EXPECT_EQ(SIGBUS, probe(heap_mem(&view, 1), false, NULL));
		close(owner.sock);
		heap_close(&view);
	}
	EXPECT_LT(0, seen);
}

int main(int argc, char **argv)
{
	/* What an owner does after it has executed itself. */
	if (argc == 2 && !strcmp(argv[1], "--sleep")) {
		sleep(60);
		return 0;
	}
	return test_harness_run(argc, argv);
}
