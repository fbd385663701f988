// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * The threads of markers come and go as they should; what the environment says of markers.
 */
#define _GNU_SOURCE
#include "markers.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if UNDER_ASAN || defined(__SANITIZE_THREAD__)
#define HAS_INTERNALS 1
#else
#define HAS_INTERNALS 0
#endif

#define MARKERS		4u

/* ---- threads -------------------------------------------------------------------- */

/* What a file of one of this process's threads has first. */
static bool task_file(const char *tid, const char *name, char *text, size_t room)
{
	char path[320];
	FILE *file;
	size_t bytes;

	snprintf(path, sizeof(path), "/proc/self/task/%s/%s", tid, name);
	file = fopen(path, "r");
	if (!file)
		return false;
	bytes = fread(text, 1, room - 1, file);
	text[bytes] = 0;
	fclose(file);
	return true;
}

/* How many threads of this process are markers; of each, that no signal reaches it. */
static unsigned int marker_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *task;
	char text[4096];

	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		unsigned long long blocked;
		char *line;

		if (!task_file(task->d_name, "comm", text, sizeof(text)) ||
		    strncmp(text, "gcheap-mark/", 12))
			continue;
		count++;
		if (!task_file(task->d_name, "status", text, sizeof(text)))
			continue;
		line = strstr(text, "SigBlk:");
		assert_non_null(line);
		blocked = strtoull(line + 7, NULL, 16);
		assert_true(blocked >> (SIGTERM - 1) & 1);
		assert_true(blocked >> (SIGPROF - 1) & 1);
		assert_true(blocked >> (SIGRTMAX - 1) & 1);
		assert_true(blocked >> (SIGRTMIN + 5 - 1) & 1);
	}
	closedir(tasks);
	return count;
}

/* The kernel shows a thread for a moment after it was joined. */
static void assert_no_marker_threads(void)
{
	while (marker_threads())
		usleep(1000);
}

static void test_threads_come_with_work_and_go_with_the_heap(void **state)
{
	struct fixture f, other;
	gcheap_type type;
	void *root = NULL;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 3);
	type = type_with_mask(f.heap, 24, 8, 3);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	/* A list is one marker's affair. */
	root = markers_list(&f, 16, 20000);
	assert_int_equal(live_after_collect(&f), 20000);
	assert_int_equal(live_after_collect(&f), 20000);
	assert_int_equal(marker_threads(), 0);
	root = markers_tree(&f, type, 15);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);

	markers_open(&other, GCHEAP_LAYOUT_SPAN, 1);
	root = markers_tree(&other, type_with_mask(other.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(other.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&other), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&other), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
	fixture_close(&other);
}

static void test_threads_go_with_the_last_that_is_attached(void **state)
{
	struct gcheap_thread *again;
	struct fixture f;
	void *root;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 3);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	gcheap_thread_detach(f.thread);
	assert_no_marker_threads();
	assert_int_equal(gcheap_thread_attach(f.heap, &again), 0);
	f.thread = again;
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
}

/* ThreadSanitizer lets the child of a process with threads make none. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_MARKERS	1u
#else
#define CHILD_MARKERS	2u
#endif

static int child_main(struct fixture *f)
{
	struct fixture own;
	void *root;

	/* It has the parent's heap in name alone, and none of its threads. */
	gcheap_thread_detach(f->thread);
	gcheap_close(f->heap);
	if (marker_threads())
		return 1;
	markers_open(&own, GCHEAP_LAYOUT_SPAN, CHILD_MARKERS);
	root = markers_tree(&own, type_with_mask(own.heap, 24, 8, 3), 14);
	if (gcheap_root_add(own.heap, &root, 1) ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    marker_threads() != CHILD_MARKERS - 1)
		return 2;
	fixture_close(&own);
	return 0;
}

/* Sanitizers have threads of their own, and look for leaks when main() is gone. */
#if !HAS_INTERNALS
/* A process whose main() has ended, and no other thread of its own. */
static void process_ends(void)
{
	static struct fixture own;
	static void *root;

	markers_open(&own, GCHEAP_LAYOUT_SPAN, CHILD_MARKERS);
	root = markers_tree(&own, type_with_mask(own.heap, 24, 8, 3), 14);
	if (gcheap_root_add(own.heap, &root, 1) ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    live_after_collect(&own) != (2u << 14) - 1 ||
	    marker_threads() != CHILD_MARKERS - 1)
		_exit(1);
	pthread_exit(NULL);
}

static void test_a_process_ends_with_its_last_thread(void **state)
{
	unsigned int i;
	int status;
	pid_t child, ended = 0;

	(void)state;
	child = fork();
	if (!child)
		process_ends();
	assert_true(child > 0);
	for (i = 0; i < 20000 && !ended; i++) {
		usleep(1000);
		ended = waitpid(child, &status, WNOHANG);
	}
	if (!ended) {
		/* All other signals are blocked there. */
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		fail_msg("a process has marker threads alone, and has not ended");
	}
	assert_int_equal(ended, child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

static void test_a_child_of_fork_has_no_marker_threads(void **state)
{
	struct fixture f;
	void *root;
	int status;
	pid_t child;

	(void)state;
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 2);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 14);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(marker_threads(), 1);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_main(&f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(live_after_collect(&f), (2u << 14) - 1);
	assert_int_equal(marker_threads(), 1);
	fixture_close(&f);
	assert_no_marker_threads();
}

/* Sanitizers map memory of their own, and end when there is none. */
#if !UNDER_ASAN && !defined(__SANITIZE_THREAD__)

static int starved_main(void)
{
	struct rlimit none = { 0, 0 };
	struct fixture f;
	void *root;

	markers_open(&f, GCHEAP_LAYOUT_SPAN, 3);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	if (gcheap_root_add(f.heap, &root, 1))
		return 1;
	if (live_after_collect(&f) != (2u << 15) - 1)
		return 2;
	if (setrlimit(RLIMIT_AS, &none))
		return 3;
	/* Neither a thread nor a marker's stack can be had. */
	if (live_after_collect(&f) != (2u << 15) - 1 || marker_threads())
		return 4;
	return 0;
}

static void test_without_memory_for_threads_one_marks(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(starved_main());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#endif

/* ---- the environment -------------------------------------------------------------- */

static void test_the_number_of_markers_is_checked(void **state)
{
	static const char *const bad[] = { "-1", "two", "2x", "4097", "99999999999999999999" };
	static const char *const good[] = { "0", "1", "2", "64" };
	struct gcheap_config config = fixture_config();
	struct fixture f;
	void *root;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		variable_set("GCHEAP_MARKERS", bad[i]);
		assert_open_refused(&config, EINVAL, "GCHEAP_MARKERS");
	}
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		variable_set("GCHEAP_MARKERS", good[i]);
		assert_opens(&config);
	}
	/* It overrides the program's. */
	variable_set("GCHEAP_MARKERS", "3");
	markers_open(&f, GCHEAP_LAYOUT_SPAN, 1);
	root = markers_tree(&f, type_with_mask(f.heap, 24, 8, 3), 15);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(live_after_collect(&f), (2u << 15) - 1);
	assert_int_equal(marker_threads(), 2);
	fixture_close(&f);
	assert_no_marker_threads();
}

static void test_the_instruction_set_is_checked(void **state)
{
	static const char *const names[] = { "portable", "avx2", "avx512" };
	struct gcheap_config config = fixture_config();
	size_t i;

	(void)state;
	variable_set("GCHEAP_ISA", "sse2");
	assert_open_refused(&config, EINVAL, "GCHEAP_ISA=sse2: must be portable");
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct gcheap *heap;
		int error;

		variable_set("GCHEAP_ISA", names[i]);
		error = gcheap_open(&config, &heap);
		if (error) {
			assert_true(i > 0);
			assert_refused(error, EOPNOTSUPP, "this CPU does not have it");
		} else {
			gcheap_close(heap);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		markers_test(test_threads_come_with_work_and_go_with_the_heap),
		markers_test(test_threads_go_with_the_last_that_is_attached),
#if !HAS_INTERNALS
		markers_test(test_a_process_ends_with_its_last_thread),
#endif
		markers_test(test_a_child_of_fork_has_no_marker_threads),
#if !UNDER_ASAN && !defined(__SANITIZE_THREAD__)
		markers_test(test_without_memory_for_threads_one_marks),
#endif
		markers_test(test_the_number_of_markers_is_checked),
		markers_test(test_the_instruction_set_is_checked),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("marker_threads", tests, NULL, NULL);
}
