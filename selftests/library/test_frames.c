// SPDX-License-Identifier: MIT
/*
 * Frames: local roots end with their block, however it is left; what was skipped is
 * noticed, and never read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"

#include "library.h"

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
	assert_in_range(f->thread->frames_used, 5, 15);
	/* The end of the outer one ends those that were skipped. */
	GCHEAP_FRAME_END(f->thread);
	assert_int_equal(f->thread->frames_used, 0);
	assert_int_equal(live_after_collect(f), 0);
}

/* As GCHEAP_FRAME, in a place that the test chooses. */
/*
 * A function with a nested block whose struct lies higher is left without the ends, and
 * another one has blocks in the same places.
 */
static void test_an_old_frame_takes_no_new_one_with_it(void **state)
{
	struct fixture *f = *state;
	struct gcheap_frame_ places[2];
	void *old[2], *new[2];
	size_t i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 2; i++) {
			old[i] = new_leaf(f);
			begin_at(f, &places[i], &old[i]);
		}
		old[0] = NULL;
		old[1] = NULL;
		for (i = 0; i < 2; i++) {
			new[i] = new_leaf(f);
			begin_at(f, &places[i], &new[i]);
		}
		assert_int_equal(live_after_collect(f), 2);
		assert_int_equal(f->thread->frames_used, 2 * (GCHEAP_FRAME_WORDS_ + 1));
	}
	gcheap_frame_end_(&places[1]);
	assert_int_equal(live_after_collect(f), 1);
	gcheap_frame_end_(&places[0]);
	assert_int_equal(f->thread->frames_used, 0);
}

/* The same, with live frames of outer blocks between, when the table is full. */
static void test_an_old_frame_takes_no_outer_one_with_it_when_the_table_is_full(void **state)
{
	enum { PLACES = 100 };
	struct fixture *f = *state;
	struct gcheap_frame_ places[PLACES];
	void *variables[PLACES];
	size_t at;

	variables[0] = NULL;
	begin_at(f, &places[0], &variables[0]);
	for (at = PLACES - 1; f->thread->frames_room - f->thread->frames_used >=
	     GCHEAP_FRAME_WORDS_ + 1; at--) {
		assert_in_range(at, 1, PLACES - 1);
		variables[at] = new_leaf(f);
		begin_at(f, &places[at], &variables[at]);
	}
	variables[0] = new_leaf(f);
	begin_at(f, &places[0], &variables[0]);
	assert_int_equal(live_after_collect(f), PLACES - at);
	assert_int_equal(f->thread->frames_used, (PLACES - at) * (GCHEAP_FRAME_WORDS_ + 1));
	/* An outer one's end is that of all. */
	gcheap_frame_end_(&places[PLACES - 1]);
	assert_int_equal(f->thread->frames_used, 0);
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
	struct gcheap_frame_ elsewhere = { NULL, 0, false };
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

/* ---- a thread that detaches -------------------------------------------------------------- */

static void detach(struct fixture *f)
{
	gcheap_thread_detach(f->thread);
}

static void close_heap(struct fixture *f)
{
	gcheap_close(f->heap);
}

/* Frames of blocks that end when there is no thread any more. */
static void end_after(void (*leave_thread)(struct fixture *f))
{
	struct gcheap_frame_ place;
	struct gcheap_thread *thread;
	void *object, *variable;
	struct fixture f;
	int i;

	fixture_open(&f);
	thread = f.thread;
	object = new_leaf(&f);
	variable = object;
	begin_at(&f, &place, &variable);
	for (i = 0; i < 2; i++) {
		GCHEAP_FRAME_AUTO(f.thread, object);
		if (!i)
			continue;
		deeper(skip_one, &f);
		leave_thread(&f);
		/* Nobody looks at the thread's memory, which is free. */
		assert_ptr_not_equal(gcheap_frame_.thread, thread);
		assert_ptr_not_equal(place.thread, thread);
	}
	gcheap_frame_end_(&place);
	gcheap_frame_end_(&place);
	if (leave_thread == close_heap)
		return;
	/* They mean no thread that comes later. */
	assert_int_equal(gcheap_thread_attach(f.heap, &f.thread), 0);
	object = new_leaf(&f);
	GCHEAP_FRAME(f.thread, object);
	gcheap_frame_end_(&place);
	assert_int_equal(live_after_collect(&f), 1);
	GCHEAP_FRAME_END(f.thread);
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

static void test_frames_may_end_after_their_thread_has_detached(void **state)
{
	(void)state;
	end_after(detach);
	end_after(close_heap);
}

static void test_detaching_writes_to_no_frame_that_has_ended(void **state)
{
	struct fixture *f = *state;
	struct gcheap_thread *before = f->thread;
	struct gcheap_frame_ place;
	void *nothing = NULL;

	begin_at(f, &place, &nothing);
	/* Something else is there now. */
	place.number += 77;
	gcheap_thread_detach(f->thread);
	assert_ptr_equal(place.thread, before);
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
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

static struct rlimit memory_limit;

static int collect(struct fixture *f)
{
	return gcheap_collect(f->thread);
}

static int allocate_until_refused(struct fixture *f)
{
	int i;

	assert_int_equal(setrlimit(RLIMIT_AS, &memory_limit), 0);
	for (i = 0; i < 1000000; i++) {
		errno = 0;
		if (!gcheap_new_leaf(f->thread, 64))
			return -errno;
	}
	return 0;
}

static int jump_from_the_depth(struct fixture *f)
{
	(void)f;
	assert_int_equal(setrlimit(RLIMIT_AS, &memory_limit), 0);
	longjmp(jump, 1);
}

static __attribute__((noinline)) int recurse_without_memory(struct fixture *f, int depth,
							    int (*function)(struct fixture *f))
{
	void *object = NULL;
	int result;

	GCHEAP_FRAME(f->thread, object);
	result = depth ? recurse_without_memory(f, depth - 1, function) : function(f);
	GCHEAP_FRAME_END(f->thread);
	return result;
}

/* Calls a function below frames for which there is no memory. */
static int below_lost_frames(struct fixture *f, int (*function)(struct fixture *f))
{
	enum { DEPTH = 30000 };
	struct rlimit little;
	int result;

	/* What is larger comes from the system, which refuses. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	/* The stack is there already; the heap has all it needs for a cycle. */
	assert_int_equal(recurse_without_memory(f, DEPTH * 2, collect), 0);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &memory_limit), 0);
	little = memory_limit;
	little.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	result = recurse_without_memory(f, DEPTH, function);
	setrlimit(RLIMIT_AS, &memory_limit);
	return result;
}

static void test_err_no_memory_for_a_frame_lets_no_cycle_run(void **state)
{
	struct fixture *f = *state;

	if (UNDER_ASAN)
		skip_because("AddressSanitizer ends a program whose realloc() fails");
	assert_refused(below_lost_frames(f, collect), ENOMEM, "table of frames");
	/* With the frames, that is over. */
	assert_int_equal(gcheap_collect(f->thread), 0);
}

static void test_err_no_memory_for_a_frame_ends_with_the_first_cycle_that_is_due(void **state)
{
	struct fixture *f = *state;

	if (UNDER_ASAN)
		skip_because("AddressSanitizer ends a program whose realloc() fails");
	assert_refused(below_lost_frames(f, allocate_until_refused), ENOMEM, "table of frames");
	assert_int_equal(live_after_collect(f), 0);
	assert_non_null(gcheap_new_leaf(f->thread, 64));
}

static void test_lost_frames_that_longjmp_passes_by_end_too(void **state)
{
	struct fixture *f = *state;
	void *object = NULL;
	volatile int restore;

	if (UNDER_ASAN)
		skip_because("AddressSanitizer ends a program whose realloc() fails");
	for (restore = 0; restore < 2; restore++) {
		struct gcheap_frame_ *saved = gcheap_frame_save(f->thread);

		if (!setjmp(jump))
			below_lost_frames(f, jump_from_the_depth);
		if (restore)
			gcheap_frame_restore(f->thread, saved);
		assert_int_equal(live_after_collect(f), 0);
	}
	object = new_leaf(f);
	GCHEAP_FRAME(f->thread, object);
	assert_int_equal(live_after_collect(f), 1);
	GCHEAP_FRAME_END(f->thread);
}

/* ---- fork() ------------------------------------------------------------------------------- */

/* All ways to end a frame, and begin one when the table is full. */
static int frames_in_a_child(struct fixture *f, struct gcheap_frame_ *outer,
			     struct gcheap_frame_ *inner)
{
	struct gcheap_frame_ places[200];
	size_t used = f->thread->frames_used;
	void *nothing = NULL;
	size_t i;

	for (i = ARRAY_SIZE(places); i--;)
		begin_at(f, &places[i], &nothing);
	if (gcheap_frame_save(f->thread))
		return 1;
	gcheap_frame_restore(f->thread, NULL);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		gcheap_frame_end_(&places[i]);
	if (f->thread->frames_used != used)
		return 2;
	/* Not the newest: takes itself alone. */
	gcheap_frame_end_(outer);
	gcheap_frame_end_(outer);
	if (f->thread->frames_used != used / 2)
		return 3;
	gcheap_frame_end_(inner);
	return f->thread->frames_used ? 4 : 0;
}

static void test_frames_of_a_child_wait_for_no_lock(void **state)
{
	struct fixture *f = *state;
	struct gcheap_frame_ places[2];
	void *nothing = NULL;
	pid_t child;
	int status;

	begin_at(f, &places[1], &nothing);
	begin_at(f, &places[0], &nothing);
	fflush(stdout);
	/* As if another thread had it at the fork. */
	pthread_mutex_lock(&f->heap->lock);
	child = fork();
	if (!child)
		_exit(frames_in_a_child(f, &places[1], &places[0]));
	pthread_mutex_unlock(&f->heap->lock);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	gcheap_frame_end_(&places[0]);
	gcheap_frame_end_(&places[1]);
	assert_int_equal(f->thread->frames_used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_an_automatic_frame_ends_with_its_block_however_it_is_left),
		fixture_test(test_a_block_that_is_entered_again_has_one_frame),
		fixture_test(test_an_old_frame_takes_no_new_one_with_it),
		fixture_test(test_an_old_frame_takes_no_outer_one_with_it_when_the_table_is_full),
		fixture_test(test_frames_of_functions_that_have_returned_are_no_roots),
		cmocka_unit_test(test_verify_says_once_that_an_end_was_skipped),
		fixture_test(test_frames_that_longjmp_passes_by_end_with_a_restore),
		fixture_test(test_frames_that_longjmp_passes_by_end_with_the_next_cycle),
		fixture_test(test_err_save_and_restore),
		fixture_test(test_frames_may_end_after_their_thread_has_detached),
		fixture_test(test_detaching_writes_to_no_frame_that_has_ended),
		fixture_test(test_frames_nest_as_deep_as_the_stack),
		fixture_test(test_err_no_memory_for_a_frame_lets_no_cycle_run),
		fixture_test(test_err_no_memory_for_a_frame_ends_with_the_first_cycle_that_is_due),
		fixture_test(test_lost_frames_that_longjmp_passes_by_end_too),
		fixture_test(test_frames_of_a_child_wait_for_no_lock),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
