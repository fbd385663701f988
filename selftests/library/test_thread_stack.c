// SPDX-License-Identifier: MIT
/*
 * The stack of a thread that attaches: how it is found, whatever the limits, guard pages
 * and descriptors of the process.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coroutine.h"

/* ---- the main thread's stack --------------------------------------------------------- */

static __attribute__((noinline)) int at_depth(int depth, int (*function)(void))
{
	volatile char room[4096];
	int result;

	room[0] = (char)depth;
	room[sizeof(room) - 1] = room[0];
	result = depth ? at_depth(depth - 1, function) : function();
	return result + room[0] - room[sizeof(room) - 1];
}

static int nothing(void)
{
	return 0;
}

/*
 * A heap of this process is opened, and keeps what a local variable leads to. What
 * @between does, which returns 0, has happened when the thread is attached.
 */
static int use_a_heap_after(int (*between)(void))
{
	struct gcheap_config config = fixture_config();
	void *volatile kept[KEPT];
	int error;

	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	if (gcheap_open(&config, &co.f.heap)) {
		print_message("# %s\n", gcheap_error());
		return 1;
	}
	error = between();
	if (error)
		return error;
	if (gcheap_thread_attach(co.f.heap, &co.f.thread)) {
		print_message("# %s\n", gcheap_error());
		return 1;
	}
	fill(kept, co.hidden);
	if (gcheap_collect(co.f.thread) || count_alive(co.hidden) != KEPT || !kept[0])
		return 2;
	gcheap_close(co.f.heap);
	return 0;
}

static int use_a_heap(void)
{
	return use_a_heap_after(nothing);
}

static int use_a_heap_with_less_stack(void)
{
	struct rlimit limit;

	/* What is called from here on finds its stack there. */
	at_depth(32, nothing);
	if (getrlimit(RLIMIT_STACK, &limit))
		return 3;
	limit.rlim_cur = 256 << 10;
	if (setrlimit(RLIMIT_STACK, &limit))
		return 4;
	return use_a_heap();
}

/* Returns how the child ended. */
static int status_of_child(int depth, int (*function)(void))
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(at_depth(depth, function));
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void in_a_child(int depth, int (*function)(void))
{
	assert_int_equal(status_of_child(depth, function), 0);
}

static void test_the_stacks_limit_may_be_below_what_is_in_use(void **state)
{
	(void)state;
	in_a_child(300, use_a_heap_with_less_stack);
}

static int collect_deeper_after_the_limit_was_raised(void)
{
	struct rlimit limit;
	int error = 0;

	if (getrlimit(RLIMIT_STACK, &limit))
		return 3;
	limit.rlim_cur = 4 << 20;
	if (setrlimit(RLIMIT_STACK, &limit) || use_a_heap())
		error = 4;
	limit.rlim_cur = limit.rlim_max;
	if (error || setrlimit(RLIMIT_STACK, &limit))
		return 5;
	return at_depth(2000, use_a_heap);
}

static void test_the_stacks_limit_may_be_raised(void **state)
{
	(void)state;
	in_a_child(0, collect_deeper_after_the_limit_was_raised);
}

static int collect_beside_a_guard(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct gcheap_config config = fixture_config();
	char *stack = malloc(STACK_BYTES);
	uintptr_t guard;

	at_depth(64, nothing);
	guard = ((uintptr_t)__builtin_frame_address(0) - (128 << 10)) & ~(page - 1);
	if (!stack || mprotect((void *)guard, page, PROT_NONE))
		return 3;
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	if (gcheap_open(&config, &co.f.heap) ||
	    gcheap_thread_attach(co.f.heap, &co.f.thread) ||
	    gcheap_stack_add(co.f.heap, stack, STACK_BYTES))
		return 4;
	coroutine_make(stack, STACK_BYTES, collect_in_coroutine);
	if (switch_with_objects() != KEPT || co.result)
		return 5;
	gcheap_close(co.f.heap);
	free(stack);
	return 0;
}

static void test_the_main_stack_may_have_a_guard_page(void **state)
{
	(void)state;
	in_a_child(0, collect_beside_a_guard);
}

/* A child of a thread: its only thread is not on the main thread's stack. */
static void *fork_in_thread(void *arg)
{
	(void)arg;
	in_a_child(0, use_a_heap);
	return NULL;
}

static void test_a_child_of_a_thread_finds_its_stack(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- what attaching needs ---------------------------------------------------------------- */

static int take_descriptors(void)
{
	struct rlimit limit = { 3, 3 };

	return setrlimit(RLIMIT_NOFILE, &limit) || dup(0) >= 0 ? 3 : 0;
}

static int use_a_heap_without_descriptors(void)
{
	return use_a_heap_after(take_descriptors);
}

static void test_a_thread_attaches_without_a_descriptor(void **state)
{
	(void)state;
	in_a_child(0, use_a_heap_without_descriptors);
}

#define NOT_ALLOWED	77

static int hide_proc(void)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return NOT_ALLOWED;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", 0, NULL))
		return NOT_ALLOWED;
	return access("/proc/self/maps", F_OK) ? 0 : 3;
}

static int use_a_heap_without_proc(void)
{
	return use_a_heap_after(hide_proc);
}

static void test_a_thread_attaches_without_proc(void **state)
{
	int status;

	(void)state;
	status = status_of_child(0, use_a_heap_without_proc);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED)
		skip_because("this process may not mount anything over /proc");
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_stacks_limit_may_be_below_what_is_in_use),
		cmocka_unit_test(test_the_stacks_limit_may_be_raised),
		cmocka_unit_test(test_the_main_stack_may_have_a_guard_page),
		cmocka_unit_test(test_a_child_of_a_thread_finds_its_stack),
		cmocka_unit_test(test_a_thread_attaches_without_a_descriptor),
		cmocka_unit_test(test_a_thread_attaches_without_proc),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("thread-stack", tests, NULL, NULL);
}
