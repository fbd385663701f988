// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Object memory under what a kernel does to memory on somebody's behalf: system
 * calls that copy, that take references to pages, other processes, debuggers,
 * futexes, core dumps. The table in Documentation/mappings.md has the same rows.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define OBJECT_BYTES	(4u << 20)
#define PATTERN		0x39

/* An object before the others, so that those are in 2 MiB pages, if there are any. */
#define FIRST_BYTES	((2u << 20) - 8192)

FIXTURE(access) {
	struct test_heap heap;
	struct gcheap_alloc_large large;
	char *mem;		/* of the object */
	char *hole;		/* where no memory is */
};

FIXTURE_VARIANT(access) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(access, pages) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(access, huge_pages) {
	.flags = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_SETUP(access)
{
	struct gcheap_counters counters;
	int ret = heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE,
				  variant->flags);

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
	test_cmd_alloc_large(0, FIRST_BYTES, NULL);
	test_cmd_alloc_large(0, OBJECT_BYTES, &self->large);
	self->mem = heap_mem(&self->heap, self->large.out_page);
	self->hole = heap_mem(&self->heap, 0);
	memset(self->mem, PATTERN, OBJECT_BYTES);
	test_cmd_stats(&counters);
	if (variant->flags)
		ASSERT_EQ(OBJECT_BYTES, counters.huge_bytes);
}

FIXTURE_TEARDOWN(access)
{
	if (self->heap.fd <= 0)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap));
	heap_close(&self->heap);
}

static int memfd(void)
{
	return (int)syscall(SYS_memfd_create, "access", 0);
}

/* ---- calls that copy -------------------------------------------------------------- */

TEST_F(access, read_and_write_work)
{
	static char back[OBJECT_BYTES];
	int fd = memfd();

	ASSERT_LE(0, fd);
	ASSERT_EQ(OBJECT_BYTES, pwrite(fd, self->mem, OBJECT_BYTES, 0));
	ASSERT_EQ(OBJECT_BYTES, pread(fd, back, OBJECT_BYTES, 0));
	EXPECT_TRUE(memory_is(back, PATTERN, OBJECT_BYTES));
	memset(self->mem, 0, OBJECT_BYTES);
	ASSERT_EQ(OBJECT_BYTES, pread(fd, self->mem, OBJECT_BYTES, 0));
	EXPECT_TRUE(memory_is(self->mem, PATTERN, OBJECT_BYTES));
	/* Also to memory that is not mapped just now. */
	ASSERT_EQ(0, madvise(heap_mem(&self->heap, 0), self->heap.reserve, MADV_DONTNEED));
	ASSERT_EQ(OBJECT_BYTES, pread(fd, self->mem, OBJECT_BYTES, 0));
	close(fd);
}

TEST_F(access, test_err_read_and_write_where_no_memory_is)
{
	int fd = memfd();

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, pwrite(fd, self->hole, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(1, pwrite(fd, "", 1, 0));
	EXPECT_EQ(-1, pread(fd, self->hole, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	close(fd);
}

/* ---- calls that take references to pages ------------------------------------------ */

TEST_F(access, direct_io_works)
{
	char path[] = "/tmp/access.XXXXXX";
	int fd = mkstemp(path);

	ASSERT_LE(0, fd);
	close(fd);
	fd = open(path, O_RDWR | O_DIRECT);
	unlink(path);
	if (fd < 0)
		SKIP(return, "no direct I/O in /tmp");
	ASSERT_EQ(OBJECT_BYTES, pwrite(fd, self->mem, OBJECT_BYTES, 0));
	memset(self->mem, 0, OBJECT_BYTES);
	ASSERT_EQ(OBJECT_BYTES, pread(fd, self->mem, OBJECT_BYTES, 0));
	EXPECT_TRUE(memory_is(self->mem, PATTERN, OBJECT_BYTES));
	close(fd);
}

/* vmsplice() puts the pages themselves into the pipe. */
TEST_F(access, vmsplice_works_and_holds_the_pages)
{
	struct iovec iov = { .iov_base = self->mem, .iov_len = 8192 };
	struct gcheap_counters counters;
	char back[8192];
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(8192, vmsplice(pipes[1], &iov, 1, 0));
	/* The object ends, and its memory goes to the next; the pipe's does not. */
	memset(self->mem, PATTERN + 1, 8192);
	test_cmd_free_large(self->large.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	test_cmd_alloc_large(0, OBJECT_BYTES, &self->large);
	memset(heap_mem(&self->heap, self->large.out_page), PATTERN + 2, OBJECT_BYTES);
	ASSERT_EQ(8192, read(pipes[0], back, 8192));
	EXPECT_TRUE(memory_is(back, PATTERN + 1, 8192));
	test_cmd_stats(&counters);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(access, test_err_vmsplice_where_no_memory_is)
{
	struct iovec iov = { .iov_base = self->hole, .iov_len = 4096 };
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, vmsplice(pipes[1], &iov, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	close(pipes[0]);
	close(pipes[1]);
}

/* From 6.5 or so on; before, only anonymous memory can be registered. */
TEST_F(access, buffers_of_io_uring_can_be_registered_or_are_refused)
{
	struct iovec iov = { .iov_base = self->mem, .iov_len = 65536 };
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	long ret;

	if (ring < 0)
		SKIP(return, "no io_uring");
	ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1);
	if (ret)
		EXPECT_EQ(EOPNOTSUPP, errno);
	TH_LOG("registered: %s", ret ? "no" : "yes");
	/* The ring ends after the object. */
	test_cmd_free_large(self->large.out_page);
	test_cmd_scavenge(1ull << 40, &(struct gcheap_scavenge){ 0 });
	iov.iov_base = self->hole;
	if (!ret) {
		ASSERT_EQ(0, syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS,
				     NULL, 0));
		EXPECT_EQ(-1, syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS,
				      &iov, 1));
		EXPECT_EQ(EFAULT, errno);
	}
	close(ring);
}

/* ---- other processes -------------------------------------------------------------- */

/* A child with a heap of its own, stopped where its object is filled. */
struct subject {
	pid_t pid;
	struct test_heap heap;
	char *mem;
};

static int subject_start(struct subject *subject, __u32 flags, bool traced)
{
	int pipes[2], status;

	if (pipe(pipes))
		return -errno;
	subject->pid = fork();
	if (subject->pid < 0)
		return -errno;
	if (!subject->pid) {
		struct gcheap_alloc_large large;
		char *mem;

		if (traced)
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		if (heap_open_flags(&subject->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE,
				    flags) ||
		    cmd_alloc_large(subject->heap.fd, 0, FIRST_BYTES, NULL) ||
		    cmd_alloc_large(subject->heap.fd, 0, OBJECT_BYTES, &large))
			_exit(1);
		mem = heap_mem(&subject->heap, large.out_page);
		memset(mem, PATTERN, OBJECT_BYTES);
		if (write(pipes[1], &mem, sizeof(mem)) != sizeof(mem) ||
		    write(pipes[1], subject->heap.region, sizeof(subject->heap.region)) !=
		    sizeof(subject->heap.region))
			_exit(1);
		raise(SIGSTOP);
		/* What others have written is here. */
		_exit(mem[100] == PATTERN + 1 ? 0 : 2);
	}
	if (read(pipes[0], &subject->mem, sizeof(subject->mem)) != sizeof(subject->mem) ||
	    read(pipes[0], subject->heap.region, sizeof(subject->heap.region)) !=
	    sizeof(subject->heap.region))
		return -EIO;
	close(pipes[0]);
	close(pipes[1]);
	return waitpid(subject->pid, &status, WUNTRACED) == subject->pid &&
	       WIFSTOPPED(status) ? 0 : -ECHILD;
}

TEST_F(access, of_other_processes_by_process_vm_works)
{
	static char copy[OBJECT_BYTES];
	struct subject subject;
	struct iovec local = { .iov_base = copy, .iov_len = sizeof(copy) };
	struct iovec remote = { .iov_len = sizeof(copy) };

	ASSERT_OK(subject_start(&subject, variant->flags, false));
	remote.iov_base = subject.mem;
	ASSERT_EQ(sizeof(copy), process_vm_readv(subject.pid, &local, 1, &remote, 1, 0));
	EXPECT_TRUE(memory_is(copy, PATTERN, sizeof(copy)));
	memset(copy, PATTERN + 1, sizeof(copy));
	EXPECT_EQ(sizeof(copy), process_vm_writev(subject.pid, &local, 1, &remote, 1, 0));
	/* Not where no memory is, and not in tables: no page of those may be referred to. */
	local.iov_len = 8;
	remote.iov_len = 8;
	remote.iov_base = subject.heap.region[GCHEAP_REGION_HEAP];
	EXPECT_EQ(-1, process_vm_readv(subject.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	remote.iov_base = subject.heap.region[GCHEAP_REGION_CTRL];
	EXPECT_EQ(-1, process_vm_readv(subject.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_writev(subject.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	kill(subject.pid, SIGCONT);
	EXPECT_EQ(0, child_wait(subject.pid));
}

TEST_F(access, of_other_processes_by_proc_mem_works)
{
	static char copy[OBJECT_BYTES];
	struct subject subject;
	char path[64];
	int fd;

	ASSERT_OK(subject_start(&subject, variant->flags, false));
	snprintf(path, sizeof(path), "/proc/%d/mem", subject.pid);
	fd = open(path, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(copy), pread(fd, copy, sizeof(copy), (off_t)subject.mem));
	EXPECT_TRUE(memory_is(copy, PATTERN, sizeof(copy)));
	EXPECT_EQ(1, pwrite(fd, &(char){ PATTERN + 1 }, 1, (off_t)subject.mem + 100));
	EXPECT_EQ(-1, pread(fd, copy, 1, (off_t)subject.heap.region[GCHEAP_REGION_HEAP]));
	EXPECT_EQ(EIO, errno);
	/* Tables are read, and never written. */
	EXPECT_EQ(4, pread(fd, copy, 4, (off_t)subject.heap.region[GCHEAP_REGION_CTRL]));
	EXPECT_EQ(GCHEAP_ABI, *(__u32 *)copy);
	EXPECT_EQ(-1, pwrite(fd, copy, 4, (off_t)subject.heap.region[GCHEAP_REGION_CTRL]));
	close(fd);
	kill(subject.pid, SIGCONT);
	EXPECT_EQ(0, child_wait(subject.pid));
}

TEST_F(access, of_other_processes_by_ptrace_works)
{
	struct subject subject;
	long word;

	ASSERT_OK(subject_start(&subject, variant->flags, true));
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, subject.pid, subject.mem + 100, NULL);
	EXPECT_EQ(0, errno);
	EXPECT_EQ(PATTERN, word & 0xff);
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, subject.pid, subject.mem + 100,
			    (void *)(word + 1)));
	word = ptrace(PTRACE_PEEKDATA, subject.pid,
		      subject.heap.region[GCHEAP_REGION_CTRL], NULL);
	EXPECT_EQ(GCHEAP_ABI, (__u32)word);
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, subject.pid,
			     subject.heap.region[GCHEAP_REGION_CTRL], NULL));
	EXPECT_EQ(0, ptrace(PTRACE_CONT, subject.pid, NULL, NULL));
	EXPECT_EQ(0, child_wait(subject.pid));
}

/* ---- futexes ------------------------------------------------------------------------ */

static long futex_wait(__u32 *word, __u32 value, int flags)
{
	const struct timespec wait = { .tv_nsec = 1000 * 1000 };

	return syscall(SYS_futex, word, FUTEX_WAIT | flags, value, &wait, NULL, 0) ? errno : 0;
}

TEST_F(access, futexes_work_when_they_are_private)
{
	__u32 *word = (__u32 *)self->mem;

	*word = 5;
	EXPECT_EQ(EAGAIN, futex_wait(word, 4, FUTEX_PRIVATE_FLAG));
	EXPECT_EQ(ETIMEDOUT, futex_wait(word, 5, FUTEX_PRIVATE_FLAG));
	EXPECT_EQ(0, syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL,
			     0));
}

/* The pages are no file's: there is nothing that two processes could know them by. */
TEST_F(access, test_err_futexes_that_are_shared)
{
	__u32 *word = (__u32 *)self->mem;

	*word = 5;
	EXPECT_EQ(EFAULT, futex_wait(word, 5, 0));
	EXPECT_EQ(EFAULT, futex_wait((__u32 *)self->hole, 5, 0));
}

/* ---- core dumps ----------------------------------------------------------------------- */

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"

static int file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

/* What a child writes into its heap: put together, so that no constant is the same. */
static int core_words(char *words)
{
	return sprintf(words, "%s was %s: %d", "gcheap", "here", 0x1234567);
}

/* How often a file has it. */
static int core_count(const char *path)
{
	static char window[1 << 16];
	FILE *file = fopen(path, "r");
	size_t have = 0, got, length;
	char words[64];
	int count = 0;

	if (!file)
		return -errno;
	length = (size_t)core_words(words);
	do {
		char *at = window;

		got = fread(window + have, 1, sizeof(window) - have, file);
		have += got;
		while ((at = memmem(at, (size_t)(window + have - at), words, length))) {
			at += length;
			count++;
		}
		if (have >= length) {
			memmove(window, window + have - (length - 1), length - 1);
			have = length - 1;
		}
	} while (got);
	fclose(file);
	return count;
}

static int crash(__u32 flags, const char *filter)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct gcheap_alloc_large large;
	struct test_heap heap;
	pid_t child = fork();

	if (child)
		return child < 0 ? -errno : child_wait(child);
	if (setrlimit(RLIMIT_CORE, &limit) || file_put("/proc/self/coredump_filter", filter) ||
	    heap_open_flags(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE, flags) ||
	    cmd_alloc_large(heap.fd, 0, FIRST_BYTES, NULL) ||
	    cmd_alloc_large(heap.fd, 0, 1 << 20, &large))
		_exit(1);
	core_words(heap_mem(&heap, large.out_page) + 5000);
	signal(SIGABRT, SIG_DFL);
	abort();
}

TEST_F_TIMEOUT(access, by_a_core_dump_is_as_of_any_shared_file, 120)
{
	char pattern[256] = "";
	int fd = open(CORE_PATTERN, O_RDONLY);
	int plain, all;

	if (fd < 0 || geteuid())
		SKIP(return, "cannot say where core dumps go");
	ASSERT_LT(0, read(fd, pattern, sizeof(pattern) - 1));
	close(fd);
	ASSERT_OK(file_put(CORE_PATTERN, "/tmp/access.core"));
	unlink("/tmp/access.core");
	EXPECT_EQ(-SIGABRT, crash(variant->flags, "0x33"));
	plain = core_count("/tmp/access.core");
	unlink("/tmp/access.core");
	EXPECT_EQ(-SIGABRT, crash(variant->flags, "0xff"));
	all = core_count("/tmp/access.core");
	unlink("/tmp/access.core");
	file_put(CORE_PATTERN, pattern);
	/* 0x33 is the default, and leaves out shared mappings of files. */
	EXPECT_EQ(0, plain);
	EXPECT_EQ(1, all);
}

TEST_HARNESS_MAIN
