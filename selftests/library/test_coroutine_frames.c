// SPDX-License-Identifier: MIT
/*
 * Frames of coroutines: those of a suspended stack stay, and end or go with it.
 */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "frames.h"

#include "library.h"

#define STACK_BYTES	(128u << 10)

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

static void coroutine_start(struct fixture *f, char *stack, void (*body)(void))
{
	co.f = f;
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = STACK_BYTES;
	co.other.uc_link = &co.main;
	makecontext(&co.other, body, 0);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
}

static void restore_in_coroutine(void)
{
	gcheap_frame_restore(co.f->thread, NULL);
	gcheap_frame_restore(co.f->thread, gcheap_frame_save(co.f->thread));
}

static void test_a_restore_on_an_undeclared_stack_ends_no_frame_of_others(void **state)
{
	struct fixture *f = *state;
	void *object = new_leaf(f), *inner = new_leaf(f);
	char local[STACK_BYTES];
	char *stack = malloc(STACK_BYTES);

	assert_non_null(stack);
	GCHEAP_FRAME(f->thread, object);
	{
		GCHEAP_FRAME(f->thread, inner);
		coroutine_start(f, stack, restore_in_coroutine);
		assert_int_equal(live_after_collect(f), 2);
		coroutine_start(f, local, restore_in_coroutine);
		assert_int_equal(live_after_collect(f), 2);
		GCHEAP_FRAME_END(f->thread);
	}
	GCHEAP_FRAME_END(f->thread);
	free(stack);
}

static void frame_in_coroutine(void)
{
	void *object = NULL;

	GCHEAP_FRAME(co.f->thread, object);
	assert_int_equal(swapcontext(&co.other, &co.main), 0);
	GCHEAP_FRAME_END(co.f->thread);
}

static __attribute__((noinline)) void ends_below_a_suspended_frame(struct fixture *f, int depth)
{
	void *object = NULL;

	GCHEAP_FRAME(f->thread, object);
	if (depth)
		ends_below_a_suspended_frame(f, depth - 1);
	else
		assert_int_equal(swapcontext(&co.main, &co.other), 0);
	GCHEAP_FRAME_END(f->thread);
}

static uint64_t time_of_ends(struct fixture *f, char *stack, int depth)
{
	struct timespec start, end;

	co.f = f;
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = STACK_BYTES;
	co.other.uc_link = &co.main;
	makecontext(&co.other, frame_in_coroutine, 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	ends_below_a_suspended_frame(f, depth);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	assert_int_equal(f->thread->frames_used, GCHEAP_FRAME_WORDS_ + 1);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
	assert_int_equal(f->thread->frames_used, 0);
	return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000 +
	       (uint64_t)end.tv_nsec - (uint64_t)start.tv_nsec;
}

static void test_ends_below_a_suspended_frame_take_the_same_time_at_any_depth(void **state)
{
	enum { DEPTH = 1250, MORE = 16 };
	struct fixture *f = *state;
	char *stack = malloc(STACK_BYTES);
	uint64_t few = UINT64_MAX, many = UINT64_MAX;
	int round;

	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(f->heap, stack, STACK_BYTES), 0);
	for (round = 0; round < 5; round++) {
		uint64_t time = time_of_ends(f, stack, DEPTH);

		few = time < few ? time : few;
		time = time_of_ends(f, stack, DEPTH * MORE);
		many = time < many ? time : many;
	}
	print_message("# %llu and %llu us\n", (unsigned long long)few / 1000,
		      (unsigned long long)many / 1000);
	/* With a look at all of the stack above, it would be the square of that. */
	assert_true(many < few * MORE * 4);
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
	free(stack);
}

static void outlive_in_coroutine(void)
{
	struct gcheap_thread *thread = co.f->thread;
	void *object = new_leaf(co.f);

	GCHEAP_FRAME(co.f->thread, object);
	assert_int_equal(swapcontext(&co.other, &co.main), 0);
	assert_ptr_not_equal(gcheap_frame_.thread, thread);
	GCHEAP_FRAME_END(co.f->thread);
}

static void test_frames_of_suspended_stacks_may_end_after_their_thread_has_detached(void **state)
{
	struct fixture *f = *state;
	char *stack = malloc(STACK_BYTES);

	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(f->heap, stack, STACK_BYTES), 0);
	coroutine_start(f, stack, outlive_in_coroutine);
	gcheap_thread_detach(f->thread);
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
	free(stack);
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static int close_in_a_child(struct fixture *f, struct gcheap_frame_ *place)
{
	struct gcheap_thread *thread = f->thread;

	alarm(20);
	gcheap_close(f->heap);
	if (place->thread == thread)
		return 1;
	gcheap_frame_end_(place);
	return 0;
}

static void test_frames_of_a_child_may_end_after_their_heap_was_closed(void **state)
{
	struct fixture *f = *state;
	struct gcheap_frame_ place;
	void *nothing = NULL;
	pid_t child;
	int status;

	begin_at(f, &place, &nothing);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(close_in_a_child(f, &place));
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	gcheap_frame_end_(&place);
	assert_int_equal(f->thread->frames_used, 0);
}

/* Words of the table. */
static struct {
	size_t after_skip, after_restore;
} seen;

static void skip_in_coroutine(void)
{
	deeper(skip_one, co.f);
	stack_wipe();
	assert_int_equal(live_after_collect(co.f), 0);
	seen.after_skip = co.f->thread->frames_used;
	if (!setjmp(jump))
		deeper(jump_out_of_many, co.f);
	gcheap_frame_restore(co.f->thread, NULL);
	seen.after_restore = co.f->thread->frames_used;
}

static void test_skipped_frames_of_a_declared_context_end_too(void **state)
{
	struct fixture *f = *state;
	char *stack = malloc(STACK_BYTES);

	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(f->heap, stack, STACK_BYTES), 0);
	seen.after_skip = 1;
	seen.after_restore = 1;
	coroutine_start(f, stack, skip_in_coroutine);
	assert_int_equal(seen.after_skip, 0);
	assert_int_equal(seen.after_restore, 0);
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_frames_of_suspended_stacks_stay),
		fixture_test(test_frames_go_with_their_stack),
		fixture_test(test_a_restore_on_an_undeclared_stack_ends_no_frame_of_others),
		fixture_test(test_ends_below_a_suspended_frame_take_the_same_time_at_any_depth),
		fixture_test(test_frames_of_suspended_stacks_may_end_after_their_thread_has_detached),
		fixture_test(test_frames_of_a_child_may_end_after_their_heap_was_closed),
		fixture_test(test_skipped_frames_of_a_declared_context_end_too),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("coroutine frames", tests, NULL, NULL);
}
