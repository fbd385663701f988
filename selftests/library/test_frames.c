// SPDX-License-Identifier: MIT
/*
 * Frames: local roots end with their block, however it is left; what was skipped is
 * noticed, and never read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include "library_test.h"

#define STACK_BYTES	(128u << 10)

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

static void *new_leaf(struct fixture *f)
{
	void *leaf = gcheap_new_leaf(f->thread, 64);

	assert_non_null(leaf);
	return leaf;
}

/* ---- the cleanup attribute ------------------------------------------------------------ */

static __attribute__((noinline)) int leave(struct fixture *f, int how)
{
	int i;

	for (i = 0; i < 2; i++) {
		void *object = new_leaf(f);

		GCHEAP_FRAME_AUTO(f->thread, object);
		assert_int_equal(live_after_collect(f), 1);
		if (how == 0)
			return 1;
		if (how == 1)
			continue;
		if (how == 2)
			break;
		if (how == 3)
			goto out;
	}
out:
	return 0;
}

static void test_an_automatic_frame_ends_with_its_block_however_it_is_left(void **state)
{
	struct fixture *f = *state;
	int how;

	for (how = 0; how < 5; how++) {
		leave(f, how);
		assert_int_equal(f->thread->frames_used, 0);
		assert_int_equal(live_after_collect(f), 0);
	}
}

/* ---- skipped ends ---------------------------------------------------------------------- */

static void test_a_block_that_is_entered_again_has_one_frame(void **state)
{
	struct fixture *f = *state;
	void *outer = new_leaf(f);
	int i;

	GCHEAP_FRAME(f->thread, outer);
	for (i = 0; i < 100000; i++) {
		void *object = i % 1000 ? NULL : new_leaf(f);

		GCHEAP_FRAME(f->thread, object);
		{
			void *inner = object;

			GCHEAP_FRAME(f->thread, inner);
			if (i % 3)
				continue;
			GCHEAP_FRAME_END(f->thread);
		}
		if (i % 5)
			continue;
		GCHEAP_FRAME_END(f->thread);
	}
	assert_in_range(f->thread->frames_used, 4, 12);
	/* The end of the outer one ends those that were skipped. */
	GCHEAP_FRAME_END(f->thread);
	assert_int_equal(f->thread->frames_used, 0);
	assert_int_equal(live_after_collect(f), 0);
}

/* Overwrites what earlier calls left on the stack below. */
static __attribute__((noinline)) void stack_wipe(void)
{
	volatile char room[16384];
	size_t i;

	for (i = 0; i < sizeof(room); i++)
		room[i] = 0x11;
}

/* Calls so deep that what calls afterwards leave on the stack does not reach there. */
static __attribute__((noinline)) void deeper(void (*function)(struct fixture *f),
					     struct fixture *f)
{
	volatile char room[8192];

	room[0] = 0;
	function(f);
	room[sizeof(room) - 1] = room[0];
}

static __attribute__((noinline)) void return_without_an_end(struct fixture *f)
{
	void *object = new_leaf(f), *other = new_leaf(f);

	GCHEAP_FRAME(f->thread, object, other);
	assert_int_equal(live_after_collect(f), 3);
}

static __attribute__((noinline)) void call_one_that_returns_so(struct fixture *f)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
	deeper(return_without_an_end, f);
	stack_wipe();
	assert_int_equal(live_after_collect(f), 1);
	deeper(return_without_an_end, f);
	stack_wipe();
	GCHEAP_FRAME_END(f->thread);
	assert_int_equal(f->thread->frames_used, 0);
}

static __attribute__((noinline)) void skip_one(struct fixture *f)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
}

static void test_frames_of_functions_that_have_returned_are_no_roots(void **state)
{
	struct fixture *f = *state;

	call_one_that_returns_so(f);
	assert_int_equal(live_after_collect(f), 0);
	/* Nor does a check look at them. */
	deeper(skip_one, f);
	stack_wipe();
	assert_int_equal(gcheap_verify(f->heap), 0);
}

static void test_verify_says_once_that_an_end_was_skipped(void **state)
{
	struct gcheap_config config = fixture_config();
	char text[1024] = "", *first;
	int ends[2], before, i;
	struct fixture f;

	(void)state;
	config.flags |= GCHEAP_VERIFY;
	fixture_open_with(&f, &config);
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	before = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	for (i = 0; i < 3; i++) {
		deeper(skip_one, &f);
		stack_wipe();
		gcheap_collect(f.thread);
	}
	dup2(before, STDERR_FILENO);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	close(before);
	close(ends[0]);
	close(ends[1]);
	first = strstr(text, "without GCHEAP_FRAME_END");
	assert_non_null(first);
	assert_null(strstr(first + 1, "without GCHEAP_FRAME_END"));
	fixture_close(&f);
}

/* ---- longjmp() -------------------------------------------------------------------------- */

static jmp_buf jump;

static __attribute__((noinline, noreturn)) void jump_out(struct fixture *f, int depth)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
	if (depth)
		jump_out(f, depth - 1);
	longjmp(jump, 1);
}

static void jump_out_of_many(struct fixture *f)
{
	jump_out(f, 100);
}

static void test_frames_that_longjmp_passes_by_end_with_a_restore(void **state)
{
	struct fixture *f = *state;
	void *object = new_leaf(f);
	struct gcheap_frame_ *saved;
	size_t used;

	/* Without an outer frame, too. */
	saved = gcheap_frame_save(f->thread);
	assert_null(saved);
	if (!setjmp(jump))
		jump_out(f, 10);
	gcheap_frame_restore(f->thread, saved);
	assert_int_equal(f->thread->frames_used, 0);
	{
		GCHEAP_FRAME(f->thread, object);
		used = f->thread->frames_used;
		saved = gcheap_frame_save(f->thread);
		assert_non_null(saved);
		if (!setjmp(jump))
			jump_out(f, 10);
		gcheap_frame_restore(f->thread, saved);
		assert_int_equal(f->thread->frames_used, used);
		assert_int_equal(live_after_collect(f), 1);
		GCHEAP_FRAME_END(f->thread);
	}
	assert_int_equal(live_after_collect(f), 0);
}

static void test_frames_that_longjmp_passes_by_end_with_the_next_cycle(void **state)
{
	struct fixture *f = *state;
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
	if (!setjmp(jump))
		deeper(jump_out_of_many, f);
	stack_wipe();
	assert_int_equal(live_after_collect(f), 1);
	GCHEAP_FRAME_END(f->thread);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_err_save_and_restore(void **state)
{
	struct fixture *f = *state;
	struct gcheap_frame_ elsewhere = { NULL, false };
	void *object = new_leaf(f);

	assert_null(gcheap_frame_save(NULL));
	assert_error_says("thread is NULL");
	gcheap_frame_restore(NULL, NULL);
	assert_error_says("thread is NULL");
	/* What was never begun, or has ended, takes nothing with it. */
	GCHEAP_FRAME(f->thread, object);
	gcheap_frame_restore(f->thread, &elsewhere);
	assert_int_equal(live_after_collect(f), 1);
	GCHEAP_FRAME_END(f->thread);
	GCHEAP_FRAME_END(f->thread);
	assert_int_equal(live_after_collect(f), 0);
}

/* ---- many --------------------------------------------------------------------------------- */

static __attribute__((noinline)) uint64_t recurse(struct fixture *f, int depth)
{
	void *object = new_leaf(f);
	uint64_t live;

	GCHEAP_FRAME(f->thread, object);
	{
		void *inner = object;

		GCHEAP_FRAME(f->thread, inner);
		live = depth ? recurse(f, depth - 1) : live_after_collect(f);
		GCHEAP_FRAME_END(f->thread);
	}
	GCHEAP_FRAME_END(f->thread);
	return live;
}

static void test_frames_nest_as_deep_as_the_stack(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(recurse(f, 4999), 5000);
	assert_int_equal(f->thread->frames_used, 0);
	assert_int_equal(live_after_collect(f), 0);
}

static __attribute__((noinline)) int recurse_without_memory(struct fixture *f, int depth)
{
	void *object = NULL;
	int result;

	GCHEAP_FRAME(f->thread, object);
	result = depth ? recurse_without_memory(f, depth - 1) : gcheap_collect(f->thread);
	GCHEAP_FRAME_END(f->thread);
	return result;
}

static void test_err_no_memory_for_a_frame_lets_no_cycle_run(void **state)
{
	enum { DEPTH = 30000 };
	struct fixture *f = *state;
	struct rlimit memory, little;
	int result;

	if (UNDER_ASAN)
		skip_because("AddressSanitizer ends a program whose realloc() fails");
	/* What is larger comes from the system, which refuses. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	/* The stack is there already; the heap has all it needs for a cycle. */
	assert_int_equal(recurse_without_memory(f, DEPTH * 2), 0);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &memory), 0);
	little = memory;
	little.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	result = recurse_without_memory(f, DEPTH);
	setrlimit(RLIMIT_AS, &memory);
	assert_refused(result, ENOMEM, "table of frames");
	/* With the frames, that is over. */
	assert_int_equal(gcheap_collect(f->thread), 0);
}

/* ---- coroutines ------------------------------------------------------------------------------ */

static struct {
	struct fixture *f;
	ucontext_t main, other;
} co;

static void coroutine(void)
{
	void *object = new_leaf(co.f);

	GCHEAP_FRAME(co.f->thread, object);
	assert_int_equal(swapcontext(&co.other, &co.main), 0);
	assert_int_equal(live_after_collect(co.f), 1);
	GCHEAP_FRAME_END(co.f->thread);
}

static __attribute__((noinline)) void frame_around_a_switch(struct fixture *f)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
	assert_int_equal(live_after_collect(f), 2);
	/* Ends its own alone, though the coroutine's is newer. */
	GCHEAP_FRAME_END(f->thread);
}

static void frames_of_a_coroutine(struct fixture *f, char *stack)
{
	co.f = f;
	assert_int_equal(gcheap_stack_add(f->heap, stack, STACK_BYTES), 0);
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = STACK_BYTES;
	co.other.uc_link = &co.main;
	makecontext(&co.other, coroutine, 0);
	frame_around_a_switch(f);
	stack_wipe();
	assert_int_equal(live_after_collect(f), 1);
	/* So does a restore. */
	gcheap_frame_restore(f->thread, NULL);
	assert_int_equal(live_after_collect(f), 1);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
	assert_int_equal(f->thread->frames_used, 0);
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
}

static void test_frames_of_suspended_stacks_stay(void **state)
{
	char local[STACK_BYTES];
	char *stack = malloc(STACK_BYTES);

	assert_non_null(stack);
	frames_of_a_coroutine(*state, stack);
	frames_of_a_coroutine(*state, local);
	free(stack);
}

static void test_frames_go_with_their_stack(void **state)
{
	struct fixture *f = *state;
	char *stack = malloc(STACK_BYTES);

	assert_non_null(stack);
	co.f = f;
	assert_int_equal(gcheap_stack_add(f->heap, stack, STACK_BYTES), 0);
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = STACK_BYTES;
	co.other.uc_link = &co.main;
	makecontext(&co.other, coroutine, 0);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
	assert_int_equal(live_after_collect(f), 1);
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
	free(stack);
	assert_int_equal(live_after_collect(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		TEST(test_an_automatic_frame_ends_with_its_block_however_it_is_left),
		TEST(test_a_block_that_is_entered_again_has_one_frame),
		TEST(test_frames_of_functions_that_have_returned_are_no_roots),
		cmocka_unit_test(test_verify_says_once_that_an_end_was_skipped),
		TEST(test_frames_that_longjmp_passes_by_end_with_a_restore),
		TEST(test_frames_that_longjmp_passes_by_end_with_the_next_cycle),
		TEST(test_err_save_and_restore),
		TEST(test_frames_nest_as_deep_as_the_stack),
		TEST(test_err_no_memory_for_a_frame_lets_no_cycle_run),
		TEST(test_frames_of_suspended_stacks_stay),
		TEST(test_frames_go_with_their_stack),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
