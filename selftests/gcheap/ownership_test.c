// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whose a heap is, and when it ends: fork, exec, exit, signals, file descriptors
 * that travel, and what is left of the memory then.
 */
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

FIXTURE(life) {
	struct machine before;		/* without this test's heap */
	struct test_heap heap;
	struct gcheap_alloc_large large;
};

FIXTURE_SETUP(life)
{
	ASSERT_OK(machine_take(&self->before)) {
		TH_LOG("no figures in /sys/class/misc/gcheap");
	}
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	test_cmd_type_words(8, 1, NULL);
	test_cmd_alloc_large(0, 4 << 20, &self->large);
	memset(heap_mem(&self->heap, self->large.out_page), 0x5c, 4 << 20);
}

/* However it ended, nothing is left of it. */
FIXTURE_TEARDOWN(life)
{
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

/*
 * Whether no request works, and no mapping but, while the owner lives, those that
 * anyone may have: 0, or the number of one that does.
 */
static int all_refused(const struct test_heap *heap, int fd, bool ended)
{
	union any_request request;
	struct gcheap_grant grant;

	for (unsigned int op = 0; op < GCHEAP_OPS; op++) {
		request_valid(op, &request, &grant);
		if (cmd_send(fd, op, &request) != -EPERM)
			return 100 + (int)op;
	}
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		bool owners = region_is_owners(r);
		int err;

		if (!heap->region_bytes[r])
			continue;
		err = map_errno(fd, heap->region_bytes[r], PROT_READ, MAP_SHARED,
				GCHEAP_REGION_OFFSET(r));
		if (err != (ended ? ENXIO : owners ? EPERM : 0))
			return 200 + r;
	}
	return 0;
}

#define EXPECT_HEAP_WORKS() do { \
	ASSERT_RIGHT(heap_wrong(&self->heap)); \
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->large.out_page), 0x5c, 4 << 20)); \
	EXPECT_OK(cmd_alloc_large(self->heap.fd, 0, 100000, NULL)); \
} while (0)

/* ---- figures ------------------------------------------------------------------------- */

TEST_F(life, of_a_heap_is_counted_for_the_machine)
{
	struct gcheap_counters counters;
	struct machine now;

	ASSERT_OK(machine_take(&now));
	test_cmd_stats(&counters);
	EXPECT_EQ(self->before.heaps + 1, now.heaps);
	EXPECT_EQ(self->before.object_bytes + (long long)counters.resident_bytes,
		  now.object_bytes);
	EXPECT_EQ(self->before.table_bytes + (long long)counters.table_bytes,
		  now.table_bytes);
	EXPECT_LE(4 << 20, counters.resident_bytes);
}

TEST_F(life, ends_with_the_file_and_its_last_mapping)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		struct machine now;

		if (!self->heap.region[r])
			continue;
		if (r == 2) {
			close(self->heap.fd);
			self->heap.fd = -1;
		}
		ASSERT_OK(machine_take(&now));
		EXPECT_EQ(self->before.heaps + 1, now.heaps);
		EXPECT_LT(self->before.object_bytes, now.object_bytes);
		ASSERT_EQ(0, munmap(self->heap.region[r], self->heap.region_bytes[r]));
		self->heap.region[r] = NULL;
	}
	EXPECT_TRUE(machine_back_to(&self->before));
}

TEST_F(life, goes_on_in_the_mappings_after_the_file_is_closed)
{
	close(self->heap.fd);
	self->heap.fd = -1;
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->large.out_page), 0x5c, 4 << 20));
	memset(heap_mem(&self->heap, self->large.out_page), 0x11, 4 << 20);
	EXPECT_EQ(4 << 20, heap_span(&self->heap, self->large.out_page)->object_bytes);
}

TEST_F(life, of_many_files_that_are_no_heaps_is_cheap)
{
	struct machine now;
	int fds[100];

	for (int i = 0; i < 100; i++) {
		fds[i] = device_open();
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_OK(machine_take(&now));
	EXPECT_EQ(self->before.heaps + 101, now.heaps);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
}

TEST_F(life, is_the_same_by_a_duplicated_descriptor)
{
	int fd = dup(self->heap.fd);

	ASSERT_LE(0, fd);
	close(self->heap.fd);
	self->heap.fd = fd;
	EXPECT_HEAP_WORKS();
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	EXPECT_HEAP_WORKS();
}

TEST_F(life, of_several_heaps_in_a_process_is_independent)
{
	struct test_state before, after;
	struct test_heap others[4];

	state_take(&self->heap, &before);
	for (int i = 0; i < 4; i++) {
		struct gcheap_grant grant;

		ASSERT_OK(heap_open(&others[i], i % 2, (__u64)(i + 1) * GCHEAP_ARENA_BYTES));
		ASSERT_OK(cmd_type_words(others[i].fd, 2, 1, NULL));
		ASSERT_OK(cmd_take(others[i].fd, 0, CLASS_64, &grant));
		memset(heap_mem(&others[i], grant.page), 0xee, GCHEAP_PAGE_BYTES);
		ASSERT_OK(cmd_alloc_large(others[i].fd, 0, 8 << 20, NULL));
		ASSERT_OK(cmd_give(others[i].fd, &grant.page, 1));
		ASSERT_OK(cmd_mark_start(others[i].fd, NULL));
		/* A page that is cached here is not there. */
		EXPECT_ERR(EINVAL, cmd_give(self->heap.fd, &grant.page, 1));
	}
	ASSERT_OK(cmd_sweep_start(others[3].fd, NULL));
	state_take(&self->heap, &after);
	EXPECT_EQ(NULL, state_differs(&before, &after));
	for (int i = 0; i < 4; i++) {
		ASSERT_RIGHT(heap_wrong(&others[i]));
		heap_close(&others[i]);
		EXPECT_HEAP_WORKS();
	}
}

/* ---- other processes ------------------------------------------------------------------- */

TEST_F(life, test_err_requests_of_a_forked_child)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(all_refused(&self->heap, self->heap.fd, false));
	EXPECT_EQ(0, child_wait(child));
	EXPECT_HEAP_WORKS();
}

TEST_F(life, is_over_when_the_owner_ends_though_a_child_has_the_file)
{
	int ready[2], done[2], status = -1;
	struct machine now;
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct test_heap heap;

		close(ready[0]);
		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
		    cmd_alloc_large(heap.fd, 0, 8 << 20, NULL))
			_exit(1);
		if (!fork()) {
			close(done[1]);
			/* The parent ends now; wait until it is looked at. */
			if (read(done[0], &byte, 1) < 0)
				_exit(1);
			status = all_refused(&heap, heap.fd, true);
			if (write(ready[1], &status, sizeof(status)) < 0)
				_exit(1);
			_exit(0);
		}
		_exit(0);
	}
	ASSERT_EQ(0, child_wait(child));
	close(ready[1]);
	now = self->before;
	ASSERT_OK(machine_take(&now));
	/* The file is open, but has no memory any more. */
	EXPECT_EQ(self->before.heaps + 2, now.heaps);
	EXPECT_EQ(4 << 20, (now.object_bytes - self->before.object_bytes) & ~0xfffff);
	close(done[1]);
	EXPECT_EQ(sizeof(status), read(ready[0], &status, sizeof(status)));
	EXPECT_EQ(0, status);
}

TEST_F(life, test_err_requests_with_a_received_descriptor)
{
	struct test_heap late;
	pid_t child;
	int sv[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = fd_receive(sv[1]);

		_exit(fd < 0 ? 99 : all_refused(&self->heap, fd, false));
	}
	/* A heap that the child cannot have inherited. */
	ASSERT_OK(heap_open(&late, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	ASSERT_OK(fd_send(sv[0], late.fd));
	EXPECT_EQ(0, child_wait(child));
	ASSERT_RIGHT(heap_wrong(&late));
	heap_close(&late);
	EXPECT_HEAP_WORKS();
}

/* Whoever sends SETUP is the owner, not who opened the file. */
TEST_F(life, belongs_to_whoever_sets_it_up)
{
	struct test_heap heap = { .fd = device_open() };
	pid_t child;

	ASSERT_LE(0, heap.fd);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (heap_setup(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
		    heap_map(&heap) || cmd_alloc_large(heap.fd, 0, 1 << 20, NULL) ||
		    probe(heap_mem(&heap, 1), true, NULL))
			_exit(1);
		_exit(0);
	}
	ASSERT_EQ(0, child_wait(child));
	heap.region_bytes[GCHEAP_REGION_HEAP] = SMALL_RESERVE;
	EXPECT_ERR(EPERM, cmd_alloc_large(heap.fd, 0, 1, NULL));
	EXPECT_ERR(EPERM, heap_setup(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	close(heap.fd);
}

TEST_F(life, of_a_heap_is_shared_with_a_vfork_child)
{
	volatile int ret = 1;
	pid_t child = vfork();

	if (!child) {
		ret = cmd_alloc_large(self->heap.fd, 0, 1 << 20, NULL);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_EQ(0, ret);
	EXPECT_HEAP_WORKS();
}

/* ---- exec ------------------------------------------------------------------------------ */

/* What this program does after it has executed itself: ARGV[2] is the descriptor. */
static int after_exec(char **argv)
{
	struct test_heap heap = { .fd = atoi(argv[2]) };
	struct machine before = {
		.heaps = atoll(argv[3]) + 1,
		.object_bytes = atoll(argv[4]),
		.table_bytes = atoll(argv[5]),
	};
	int ret;

	for (int r = 0; r < GCHEAP_REGIONS; r++)
		heap.region_bytes[r] = strtoull(argv[6 + r], NULL, 10);
	ret = all_refused(&heap, heap.fd, true);
	if (ret)
		return ret;
	/* The file is still open, but the memory went with the old program. */
	return machine_back_to(&before) ? 0 : 50;
}

TEST_F(life, ends_with_exec_though_the_descriptor_survives)
{
	struct machine before;
	pid_t child;

	ASSERT_OK(machine_take(&before));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char text[4 + GCHEAP_REGIONS][24];
		char *argv[7 + GCHEAP_REGIONS] = { "ownership_test", "--after-exec" };
		struct test_heap heap;

		if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) ||
		    cmd_alloc_large(heap.fd, 0, 8 << 20, NULL) ||
		    fcntl(heap.fd, F_SETFD, 0))
			_exit(40);
		snprintf(text[0], 24, "%d", heap.fd);
		snprintf(text[1], 24, "%lld", before.heaps);
		snprintf(text[2], 24, "%lld", before.object_bytes);
		snprintf(text[3], 24, "%lld", before.table_bytes);
		for (int r = 0; r < GCHEAP_REGIONS; r++)
			snprintf(text[4 + r], 24, "%llu", heap.region_bytes[r]);
		for (int i = 0; i < 4 + GCHEAP_REGIONS; i++)
			argv[2 + i] = text[i];
		execv("/proc/self/exe", argv);
		_exit(41);
	}
	EXPECT_EQ(0, child_wait(child));
	EXPECT_TRUE(machine_back_to(&before));
	EXPECT_HEAP_WORKS();
}

/* ---- the end by force ------------------------------------------------------------------- */

/* Requests of all kinds, without an end. */
static void requests_for_ever(struct rng *rng)
{
	struct gcheap_grant grants[64];
	__u32 pages[64], granted;
	struct test_heap heap;

	if (heap_open(&heap, rng_next(rng) & 1, 4 * SMALL_RESERVE))
		_exit(1);
	for (;;) {
		granted = 0;
		cmd_refill(heap.fd, 0, SIZE_CLASS_MIN + rng_below(rng, 60), 1 << 18, NULL, 0,
			   grants, 64, &granted);
		for (__u32 i = 0; i < granted; i++) {
			pages[i] = grants[i].page;
			slot_alloc(&heap, pages[i], 0);
			memset(heap_mem(&heap, pages[i]), 1, 64);
		}
		cmd_give(heap.fd, pages, granted);
		cmd_alloc_large(heap.fd, 0, rng_below(rng, 4 << 20), NULL);
		cmd_type_words(heap.fd, 100, 1, NULL);
		if (rng_below(rng, 4))
			continue;
		cmd_mark_start(heap.fd, NULL);
		for (__u32 i = 0; i < granted; i++)
			slot_mark(&heap, pages[i], 0);
		cmd_sweep_start(heap.fd, NULL);
	}
}

TEST_F_TIMEOUT(life, that_is_killed_leaves_nothing, 60)
{
	struct machine before;
	struct rng rng;

	rng_init_printed(&rng, "kill");
	ASSERT_OK(machine_take(&before));
	for (int i = 0; i < 25; i++) {
		const struct timespec wait = { .tv_nsec = 1000 * rng_below(&rng, 100000) };
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			requests_for_ever(&rng);
		rng_next(&rng);
		nanosleep(&wait, NULL);
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(-SIGKILL, child_wait(child));
		ASSERT_TRUE(machine_back_to(&before));
	}
	EXPECT_HEAP_WORKS();
}

TEST_F(life, that_exits_with_all_mapped_leaves_nothing)
{
	struct machine before;

	ASSERT_OK(machine_take(&before));
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child) {
			struct test_heap heap;

			_exit(heap_open(&heap, i % 2, GCHEAP_RESERVE_DEFAULT) ||
			      cmd_alloc_large(heap.fd, 0, 1 << (16 + i), NULL) ||
			      probe(heap_mem(&heap, 1), true, NULL));
		}
		ASSERT_EQ(0, child_wait(child));
		ASSERT_TRUE(machine_back_to(&before));
	}
}

TEST_F(life, keeps_the_module_loaded)
{
	int ret = (int)syscall(SYS_delete_module, "gcheap", O_NONBLOCK);

	if (ret < 0 && errno != EWOULDBLOCK)
		SKIP(return, "nothing can be unloaded here: %s", strerror(errno));
	ASSERT_EQ(-1, ret);
	EXPECT_EQ(EWOULDBLOCK, errno);
	close(self->heap.fd);
	self->heap.fd = -1;
	EXPECT_EQ(-1, syscall(SYS_delete_module, "gcheap", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
}

/* ---- privileges and limits -------------------------------------------------------------- */

static int drop_privileges(void)
{
	return setgroups(0, NULL) || setgid(65534) || setuid(65534);
}

TEST_F(life, test_err_open_without_privileges)
{
	struct stat st;
	pid_t child;

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, fstat(self->heap.fd, &st));
	EXPECT_EQ(0660, st.st_mode & 0777);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(drop_privileges() ? 99 : -device_open());
	EXPECT_EQ(EACCES, child_wait(child));
}

TEST_F(life, goes_on_when_the_owner_drops_its_privileges)
{
	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, drop_privileges());
	EXPECT_HEAP_WORKS();
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	EXPECT_HEAP_WORKS();
}

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

/* Takes memory until there is none, twice; then goes on. */
static int work_in_cgroup(void)
{
	static char other[1 << 20];
	struct test_state before, after;
	struct test_heap heap;
	int ret, n = 0;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_DEFAULT))
		return 10;
	/* A request for far too much leaves nothing behind. */
	state_take(&heap, &before);
	if (cmd_alloc_large(heap.fd, 0, 1 << 30, NULL) != -ENOMEM)
		return 15;
	state_take(&heap, &after);
	if (state_differs(&before, &after))
		return 16;
	for (int round = 0; round < 2; round++) {
		while (!(ret = cmd_alloc_large(heap.fd, 0, 1 << 20, NULL)) && n < 1000)
			n++;
		if (ret != -ENOMEM)
			return 11;
		/* Ordinary memory is still to be had. */
		memset(other, round + 1, sizeof(other) / 4);
	}
	if (n < 20 || n > 64)
		return 12;
	if (heap_wrong(&heap))
		return 13;
	if (cmd_mark_start(heap.fd, NULL) || cmd_sweep_start(heap.fd, NULL) ||
	    cmd_alloc_large(heap.fd, 0, 16 << 20, NULL))
		return 14;
	return 0;
}

TEST_F(life, in_a_full_memory_cgroup_goes_on_with_enomem)
{
	struct machine before;
	pid_t child;

	ASSERT_OK(machine_take(&before));
	rmdir(CGROUP "/gcheap_test");
	if (file_write(CGROUP "/cgroup.subtree_control", "+memory") ||
	    mkdir(CGROUP "/gcheap_test", 0755))
		SKIP(return, "no memory cgroups at " CGROUP);
	EXPECT_OK(file_write(CGROUP "/gcheap_test/memory.max", "64M"));
	file_write(CGROUP "/gcheap_test/memory.swap.max", "0");
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(file_write(CGROUP "/gcheap_test/cgroup.procs", "0") ? 1 :
		      work_in_cgroup());
	EXPECT_EQ(0, child_wait(child));
	EXPECT_TRUE(machine_back_to(&before));
	EXPECT_EQ(0, rmdir(CGROUP "/gcheap_test"));
}

int main(int argc, char **argv)
{
	if (argc == 6 + GCHEAP_REGIONS && !strcmp(argv[1], "--after-exec"))
		return after_exec(argv);
	return test_harness_run(argc, argv);
}
