// SPDX-License-Identifier: MIT
/*
 * A process that locks all its memory, and one that has few addresses to map: a heap
 * takes only the memory that it uses, and works as any other.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#define GIB		((uint64_t)1 << 30)

static uint64_t resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long size, resident;

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		_exit(100);
	fclose(file);
	return (uint64_t)resident * ((uint64_t)sysconf(_SC_PAGESIZE) >> 10);
}

/* 0: all is well; else a number that tells where it was not. */
static int use_heap(uint64_t reserve, uint64_t most_kib)
{
	struct gcheap_config config = fixture_config();
	uint64_t before = resident_kib();
	struct gcheap_thread *thread;
	struct gcheap *heap;
	static void *root;
	size_t i, round;
	bool local;

	config.reserve_bytes = reserve;
	config.gc_percent = -1;
	if (gcheap_open(&config, &heap)) {
		fprintf(stderr, "%s\n", gcheap_error());
		return 1;
	}
	if (resident_kib() > before + most_kib) {
		fprintf(stderr, "an empty heap takes %llu KiB\n",
			(unsigned long long)(resident_kib() - before));
		return 2;
	}
	if (gcheap_thread_attach(heap, &thread) || gcheap_root_add(heap, &root, 1))
		return 3;
	/* What was given back reads as zeros, although it is locked. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 200; i++) {
			uint64_t *words = gcheap_new_leaf(thread, 100000);

			if (!words || words[0] || words[6000] || words[12499])
				return 4;
			memset(words, 0xff, 100000);
			root = words;
		}
		before = resident_kib();
		root = NULL;
		local = gcheap_backend(heap) == GCHEAP_BACKEND_LOCAL;
		if (gcheap_collect(thread) || gcheap_trim(heap))
			return 5;
		if (local && before - resident_kib() < 15000)
			return 6;
	}
	if (gcheap_verify(heap))
		return 7;
	gcheap_close(heap);
	return 0;
}

static bool is_device(void)
{
	struct gcheap_config config = fixture_config();
	struct gcheap *heap;
	bool device;

	assert_int_equal(gcheap_open(&config, &heap), 0);
	device = gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE;
	gcheap_close(heap);
	return device;
}

static int child_status(pid_t child)
{
	int status;

	assert_true(child >= 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_locked(rlim_t memlock, int user, uint64_t reserve)
{
	pid_t child = fork();
	int status;

	if (!child) {
		struct rlimit limit = { .rlim_cur = memlock, .rlim_max = memlock };

		if (memlock != RLIM_INFINITY && setrlimit(RLIMIT_MEMLOCK, &limit))
			_exit(77);
		if (user && setuid((uid_t)user))
			_exit(77);
		if (mlockall(MCL_FUTURE))
			_exit(77);
		_exit(use_heap(reserve, 8192));
	}
	status = child_status(child);
	if (status == 77)
		skip_because("this process may not lock its memory");
	assert_int_equal(status, 0);
}

static void test_a_heap_of_locked_memory_takes_what_it_uses(void **state)
{
	(void)state;
	check_locked(RLIM_INFINITY, 0, 64 * GIB);
}

/* More than the process may lock: it is not locked then. */
static void test_a_reserve_larger_than_the_limit_of_locked_memory(void **state)
{
	(void)state;
	if (geteuid())
		skip_because("only root can become a user whose locked memory is limited");
	if (is_device())
		skip_because("that user may not open the device");
	check_locked(1 << 20, 65534, 0);
}

/* ---- ulimit -v ----------------------------------------------------------------------- */

static void check_limited(rlim_t bytes, uint64_t reserve, int expected)
{
	pid_t child = fork();

	if (!child) {
		struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };

		if (setrlimit(RLIMIT_AS, &limit))
			_exit(100);
		_exit(use_heap(reserve, 8192));
	}
	assert_int_equal(child_status(child), expected);
}

static void test_the_default_reserve_is_what_can_be_had(void **state)
{
	(void)state;
	if (UNDER_ASAN)
		skip_because("AddressSanitizer itself needs more addresses");
	check_limited(8 * GIB, 0, 0);
	check_limited(1 * GIB, 0, 0);
	check_limited(GIB / 2, 0, 0);
	/* Who asks for a size means it. */
	check_limited(8 * GIB, 64 * GIB, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_heap_of_locked_memory_takes_what_it_uses),
		cmocka_unit_test(test_a_reserve_larger_than_the_limit_of_locked_memory),
		cmocka_unit_test(test_the_default_reserve_is_what_can_be_had),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("locked memory", tests, NULL, NULL);
}
