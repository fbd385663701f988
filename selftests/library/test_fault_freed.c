// SPDX-License-Identifier: MIT
/*
 * GCHEAP_FAULT_FREED: a use of freed memory faults where it happens.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/gcheap.h>

#include "library_test.h"

#define OBJECTS	2000u

static sigjmp_buf fault_env;
static siginfo_t fault_info;

static void fault_handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_info = *info;
	siglongjmp(fault_env, signal);
}

/* The signal that an access to @p gets, its address in fault_info; 0: none. */
static int fault_of(volatile char *p, bool write)
{
	struct sigaction action = { .sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO };
	struct sigaction bus, segv;
	int signal;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	signal = sigsetjmp(fault_env, 1);
	if (!signal) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return signal;
}

static void assert_faults(struct fixture *f, char *p)
{
	bool device = gcheap_backend(f->heap) == GCHEAP_BACKEND_DEVICE;
	int write;

	for (write = 0; write < 2; write++) {
		assert_int_equal(fault_of(p, write), device ? SIGBUS : SIGSEGV);
		assert_ptr_equal(fault_info.si_addr, p);
		if (device)
			assert_int_equal(fault_info.si_code, BUS_ADRERR);
	}
}

static void fixture_open_fault_freed(struct fixture *f)
{
	struct gcheap_config config = fixture_config();

	config.flags |= GCHEAP_FAULT_FREED;
	config.gc_percent = -1;
	fixture_open_with(f, &config);
}

static void test_a_dangling_pointer_faults_at_its_address(void **state)
{
	struct fixture f;
	char *small[OBJECTS];
	char *large;
	size_t i;

	(void)state;
	fixture_open_fault_freed(&f);
	for (i = 0; i < OBJECTS; i++)
		small[i] = memset(gcheap_new_leaf(f.thread, 200), 7, 200);
	large = memset(gcheap_new_leaf(f.thread, 1 << 20), 7, 1 << 20);
	assert_int_equal(gcheap_collect(f.thread), 0);
	for (i = 0; i < OBJECTS; i += 97)
		assert_faults(&f, small[i] + i % 200);
	assert_faults(&f, large);
	assert_faults(&f, large + 555555);
	assert_faults(&f, large + (1 << 20) - 1);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_live_objects_do_not_fault(void **state)
{
	static char *kept[OBJECTS];
	char *dropped[OBJECTS];
	struct fixture f;
	size_t i, j;

	(void)state;
	fixture_open_fault_freed(&f);
	assert_int_equal(gcheap_root_add(f.heap, (void **)kept, OBJECTS), 0);
	for (i = 0; i < OBJECTS; i++) {
		kept[i] = memset(gcheap_new_leaf(f.thread, 16 + i % 5000), (int)i & 0xff, 16);
		dropped[i] = gcheap_new_leaf(f.thread, 48000);
	}
	for (j = 0; j < 3; j++) {
		assert_int_equal(gcheap_collect(f.thread), 0);
		for (i = 0; i < OBJECTS; i++) {
			assert_int_equal(fault_of(kept[i], false), 0);
			assert_int_equal(kept[i][0] & 0xff, i & 0xff);
		}
		if (!j) {
			for (i = 0; i < OBJECTS; i += 53)
				assert_faults(&f, dropped[i] + 47999);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
	}
	assert_int_equal(gcheap_root_remove(f.heap, (void **)kept), 0);
	fixture_close(&f);
}

static void test_find_says_that_the_memory_was_freed(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	char *p;

	(void)state;
	fixture_open_fault_freed(&f);
	p = gcheap_new_leaf(f.thread, 100000);
	assert_int_equal(gcheap_find(f.heap, p + 99999, &found), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_refused(gcheap_find(f.heap, p, &found), ENOENT, "quarantine");
	assert_refused(gcheap_find(f.heap, p + 99999, &found), ENOENT, "quarantine");
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_refused(gcheap_find(f.heap, p, &found), ENOENT, "object");
	fixture_close(&f);
}

static void assert_quarantine_follows(const struct gcheap_config *config, bool expected)
{
	struct gcheap_object found;
	struct fixture f;
	char *p;

	fixture_open_with(&f, config);
	p = gcheap_new_leaf(f.thread, 100000);
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_int_equal(gcheap_find(f.heap, p, &found), -ENOENT);
	assert_int_equal(!!strstr(gcheap_error(), "quarantine"), expected);
	if (expected)
		assert_faults(&f, p);
	fixture_close(&f);
}

static void test_the_environment_decides(void **state)
{
	struct gcheap_config config = fixture_config();

	(void)state;
	config.gc_percent = -1;
	variable_set("GCHEAP_FAULT_FREED", "1");
	assert_quarantine_follows(&config, true);
	config.flags |= GCHEAP_FAULT_FREED;
	variable_set("GCHEAP_FAULT_FREED", "0");
	assert_quarantine_follows(&config, false);
}

/* The library makes no chunks yet: the device's interface does. */
static void test_find_knows_chunks(void **state)
{
	struct gcheap_chunk_new chunk = { .size = sizeof(chunk) };
	struct gcheap_chunk_free end = { .size = sizeof(end) };
	struct gcheap_chunk_ready ready = { .size = sizeof(ready) };
	struct gcheap_object found;
	struct fixture f;
	char *p;

	(void)state;
	fixture_open_fault_freed(&f);
	if (gcheap_backend(f.heap) != GCHEAP_BACKEND_DEVICE) {
		fixture_close(&f);
		skip_because("the local backend has no file for requests");
	}
	/* The heap starts at a multiple of an arena, and this is in its first. */
	p = gcheap_new_leaf(f.thread, 100000);
	p -= (uintptr_t)p % (64 << 20);
	assert_int_equal(ioctl(gcheap_fd(f.heap), GCHEAP_IOC_CHUNK_NEW, &chunk), 0);
	p += (size_t)chunk.out_page << GCHEAP_PAGE_SHIFT;
	assert_refused(gcheap_find(f.heap, p + 12345, &found), ENOENT, "user arena");
	assert_int_equal(gcheap_verify(f.heap), 0);
	end.page = chunk.out_page;
	assert_int_equal(ioctl(gcheap_fd(f.heap), GCHEAP_IOC_CHUNK_FREE, &end), 0);
	assert_refused(gcheap_find(f.heap, p + 12345, &found), ENOENT, "freed memory");
	assert_faults(&f, p + 12345);
	assert_int_equal(gcheap_verify(f.heap), 0);
	ready.page = chunk.out_page;
	assert_int_equal(ioctl(gcheap_fd(f.heap), GCHEAP_IOC_CHUNK_READY, &ready), 0);
	assert_refused(gcheap_find(f.heap, p + 12345, &found), ENOENT, "freed memory");
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_addresses_come_back_after_a_cycle_that_finds_no_pointer(void **state)
{
	static void *dangling;
	struct fixture f;
	char *p;
	int i;

	(void)state;
	fixture_open_fault_freed(&f);
	p = gcheap_new_leaf(f.thread, 100000);
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_faults(&f, p);
	/* An ambiguous root: a precise one to freed memory is a fault of the program's. */
	dangling = p + 50000;
	assert_int_equal(gcheap_root_add_ambiguous(f.heap, &dangling, sizeof(dangling)), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_faults(&f, p);
		assert_ptr_not_equal(gcheap_new_leaf(f.thread, 100000), p);
	}
	assert_int_equal(gcheap_root_remove(f.heap, &dangling), 0);
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_ptr_equal(gcheap_new_leaf(f.thread, 100000), p);
	assert_int_equal(fault_of(p, true), 0);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_a_program_of_much_garbage_goes_on(void **state)
{
	struct gcheap_config config = fixture_config();
	struct gcheap_stats stats;
	struct fixture f;
	uint64_t seed = 1;
	size_t i, bytes;
	char *p;

	(void)state;
	config.flags |= GCHEAP_FAULT_FREED;
	config.reserve_bytes = 64 << 20;
	fixture_open_with(&f, &config);
	for (i = 0; i < 20000; i++) {
		bytes = 1 + random_next(&seed) % 60000;
		p = gcheap_new_leaf(f.thread, bytes);
		assert_non_null(p);
		assert_int_equal(p[0] | p[bytes - 1], 0);
		memset(p, 0x55, bytes);
	}
	stats = stats_of(f.heap);
	assert_true(stats.cycles > 10);
	/* What is in quarantine takes no memory. */
	assert_true(stats.resident_bytes < 40 << 20);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* Lines of /proc/self/maps. */
static size_t mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	size_t count = 0;
	int c;

	assert_non_null(file);
	while ((c = getc(file)) != EOF)
		count += c == '\n';
	fclose(file);
	return count;
}

static size_t mappings_max(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	size_t count;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%zu", &count), 1);
	fclose(file);
	return count;
}

/* Every second span dies: were each without access, no mapping would be left to malloc(). */
static void test_the_system_keeps_mappings_for_the_program(void **state)
{
	size_t count = mappings_max() / 4 + 4000, i, faults = 0, zeros = 0;
	char **objects;
	struct fixture f;
	void *more;

	(void)state;
	if (count > 100000)
		skip_because("this system has room for very many mappings");
	fixture_open_fault_freed(&f);
	if (gcheap_backend(f.heap) == GCHEAP_BACKEND_DEVICE) {
		fixture_close(&f);
		skip_because("the device takes no mapping for it");
	}
	objects = calloc(count, sizeof(*objects));
	assert_non_null(objects);
	assert_int_equal(gcheap_root_add(f.heap, objects, count), 0);
	for (i = 0; i < count; i++) {
		objects[i] = gcheap_new_leaf(f.thread, 8192);
		assert_non_null(objects[i]);
		objects[i][5] = 1;
	}
	for (i = 1; i < count; i += 2)
		objects[i] = NULL;
	assert_int_equal(live_after_collect(&f), (count + 1) / 2);
	assert_in_range(mappings(), mappings_max() / 8, mappings_max() / 2);
	more = malloc(4 << 20);
	assert_non_null(more);
	free(more);
	/* As many as there may be fault; the rest has lost its memory all the same. */
	for (i = 0; i + 2 < count; i += 2) {
		if (fault_of(objects[i] + 8192 + 5, false))
			faults++;
		else
			zeros += !objects[i][8192 + 5];
	}
	assert_in_range(faults, mappings_max() / 8 - 2, mappings_max() / 8 + 2);
	assert_true(zeros > 0);
	assert_in_range(faults + zeros, (count - 1) / 2 - 2, (count - 1) / 2);
	for (i = 0; i < count; i += 2)
		assert_int_equal(objects[i][5], 1);
	assert_int_equal(gcheap_verify(f.heap), 0);
	/* Memory that comes back is accessible, and new runs take the old ones' places. */
	for (i = 1; i < count; i += 2) {
		objects[i] = gcheap_new_leaf(f.thread, 8192);
		assert_non_null(objects[i]);
		memset(objects[i], 2, 8192);
	}
	memset(objects, 0, count * sizeof(*objects));
	assert_int_equal(live_after_collect(&f), 0);
	assert_in_range(mappings(), 1, mappings_max() / 2);
	fixture_close(&f);
	free(objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dangling_pointer_faults_at_its_address),
		cmocka_unit_test(test_live_objects_do_not_fault),
		cmocka_unit_test(test_find_says_that_the_memory_was_freed),
		cmocka_unit_test_teardown(test_the_environment_decides, variables_restore),
		cmocka_unit_test(test_find_knows_chunks),
		cmocka_unit_test(test_addresses_come_back_after_a_cycle_that_finds_no_pointer),
		cmocka_unit_test(test_a_program_of_much_garbage_goes_on),
		cmocka_unit_test(test_the_system_keeps_mappings_for_the_program),
	};

	return run_in_all_layouts("fault freed", tests);
}
