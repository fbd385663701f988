// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The kernel's fault injection; see fault_injection.h. */
#include <features.h>
#include <stdarg.h>
#include <sys/syscall.h>
#if __GLIBC_PREREQ(2, 35)
#include <sys/rseq.h>
#endif

#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "fault_injection.h"

#define DEBUGFS	"/sys/kernel/debug/"

/* Open all the time: to open a file takes memory, too. */
static int nth_file = -1, task_file = -1;

__attribute__((format(printf, 2, 3)))
static bool file_write(const char *path, const char *format, ...)
{
	char text[32];
	va_list args;
	int fd, bytes;
	bool done;

	va_start(args, format);
	bytes = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, text, (size_t)bytes) == bytes;
	if (fd >= 0)
		close(fd);
	return done;
}

/* Whether copies from and to user space count: a filter that matches no caller, or all. */
bool copies_fail(bool fail)
{
	return file_write(DEBUGFS "fail_usercopy/require-end", "%s",
			  fail ? "0xffffffffffffffff" : "0");
}

/*
 * What kmemleak allocates for itself does not count: it does without, and to try that
 * would be half of the work. All of it is done below one function.
 */
static void leave_out_kmemleak(const char *of)
{
	unsigned long long first = 0, at;
	char line[256], type, name[128], path[64];
	FILE *file = fopen("/proc/kallsyms", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %127s", &at, &type, name) != 3)
			continue;
		/* Functions stand in the order of their addresses. */
		if (first) {
			snprintf(path, sizeof(path), DEBUGFS "%s/reject-start", of);
			file_write(path, "%#llx", first);
			snprintf(path, sizeof(path), DEBUGFS "%s/reject-end", of);
			file_write(path, "%#llx", at);
			break;
		}
		if (!strcmp(name, "__alloc_object"))
			first = at;
	}
	if (file)
		fclose(file);
}

/*
 * The C library has the kernel write the number of the CPU into the thread's rseq area
 * whenever the scheduler has moved it. After a fork that write takes a page of its own,
 * and where there is none the kernel knows but one answer: SIGSEGV. So without.
 */
static void leave_out_rseq(void)
{
#ifdef RSEQ_SIG
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		syscall(SYS_rseq, area, sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

bool injection_init(void)
{
	if (nth_file >= 0)
		return true;
	if (!file_write(DEBUGFS "failslab/ignore-gfp-wait", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N") ||
	    !file_write(DEBUGFS "fail_page_alloc/min-order", "0") || !copies_fail(false))
		return false;
	leave_out_kmemleak("failslab");
	leave_out_kmemleak("fail_page_alloc");
	/* A stack trace for each would be most of the log. */
	file_write(DEBUGFS "failslab/verbose", "0");
	file_write(DEBUGFS "fail_page_alloc/verbose", "0");
	file_write(DEBUGFS "fail_usercopy/verbose", "0");
	file_write(DEBUGFS "failslab/task-filter", "Y");
	file_write(DEBUGFS "fail_page_alloc/task-filter", "Y");
	file_write(DEBUGFS "failslab/times", "-1");
	file_write(DEBUGFS "fail_page_alloc/times", "-1");
	leave_out_rseq();
	nth_file = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	task_file = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	return nth_file >= 0 && task_file >= 0;
}

int nth_open(pid_t thread)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", thread);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void nth_set_in(int file, unsigned int n)
{
	char text[16];
	int bytes = snprintf(text, sizeof(text), "%u", n);

	while (pwrite(file, text, (size_t)bytes, 0) != bytes)
		;
}

bool nth_fired_in(int file)
{
	char text[16] = "1";
	/* Which can be what fails now. */
	ssize_t bytes = pread(file, text, sizeof(text) - 1, 0);

	nth_set_in(file, 0);
	return bytes > 0 && !strtoul(text, NULL, 10);
}

void nth_set(unsigned int n)
{
	nth_set_in(nth_file, n);
}

bool nth_fired(void)
{
	return nth_fired_in(nth_file);
}

bool failure_begin(enum failure failure, unsigned int n)
{
	const char *of = failure == FAIL_PAGES ? "fail_page_alloc" : "failslab";
	char path[64];

	if (failure == FAIL_ALLOCATION || failure == FAIL_COPY) {
		copies_fail(failure == FAIL_COPY);
		nth_set(n);
		return true;
	}
	/* Pages are counted, slab objects measured in bytes. */
	snprintf(path, sizeof(path), DEBUGFS "%s/space", of);
	if (!file_write(path, "%u", failure == FAIL_PAGES ? n - 1 : 64 * (n - 1)))
		return false;
	snprintf(path, sizeof(path), DEBUGFS "%s/probability", of);
	return file_write(path, "100") && pwrite(task_file, "1", 1, 0) == 1;
}

/* Whether it came to failures, as far as one can know. */
bool failure_end(enum failure failure)
{
	char path[64];

	if (failure == FAIL_ALLOCATION || failure == FAIL_COPY)
		return nth_fired();
	while (pwrite(task_file, "0", 1, 0) != 1)
		;
	snprintf(path, sizeof(path), DEBUGFS "%s/probability",
		 failure == FAIL_PAGES ? "fail_page_alloc" : "failslab");
	file_write(path, "0");
	return false;
}
