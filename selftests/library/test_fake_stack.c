// SPDX-License-Identifier: MIT
/*
 * AddressSanitizer's fake stack: local variables that are not on the real stack. Without
 * the sanitizer the same is asked of the real one.
 */
#include "library_test.h"

#define KEPT	16

#if UNDER_ASAN
/* The sanitizer's library looks for it in the program. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_stack_use_after_return=1";
}
#endif

static struct fixture f;
static uintptr_t hidden[KEPT];
static void *volatile *volatile escaped;

static int setup(void **state)
{
	struct gcheap_config config = fixture_config();

	(void)state;
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	fixture_open_with(&f, &config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static size_t count_alive(void)
{
	struct gcheap_object found;
	size_t alive = 0;
	size_t i;

	for (i = 0; i < KEPT; i++)
		alive += !gcheap_find(f.heap, (void *)~hidden[i], &found);
	return alive;
}

/* Clang puts nothing of a function with inline assembly there. */
static __attribute__((noinline)) void *new_leaf(void)
{
	return gcheap_new_leaf(f.thread, 64);
}

static __attribute__((noinline)) void keep_in_an_array(void)
{
	void *volatile kept[KEPT];
	const char *real = __builtin_frame_address(0);
	size_t i;

	/* So that the test can fail: the array is elsewhere. */
	if (UNDER_ASAN && (const char *)kept > real - 65536 && (const char *)kept < real)
		fail_msg("the array is on the real stack");
	escaped = kept;
	for (i = 0; i < KEPT; i++) {
		kept[i] = new_leaf();
		assert_non_null(kept[i]);
		hidden[i] = ~(uintptr_t)kept[i];
	}
	stack_wipe();
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_int_equal(count_alive(), KEPT);
}

static void test_local_variables_on_the_fake_stack_keep_objects(void **state)
{
	(void)state;
	keep_in_an_array();
	stack_wipe();
	assert_int_equal(gcheap_collect(f.thread), 0);
	assert_true(count_alive() < KEPT / 2);
}

static __attribute__((noinline)) size_t frames_on_the_fake_stack(int depth)
{
	struct gcheap_thread *thread = f.thread;
	void *object = new_leaf();
	size_t alive;

	hidden[depth] = ~(uintptr_t)object;
	GCHEAP_FRAME(thread, object);
	if (depth) {
		void *inner = object;

		GCHEAP_FRAME(thread, inner);
		alive = frames_on_the_fake_stack(depth - 1);
		GCHEAP_FRAME_END(thread);
	} else {
		assert_int_equal(gcheap_collect(thread), 0);
		alive = count_alive();
	}
	GCHEAP_FRAME_END(thread);
	return alive;
}

static void test_frames_on_the_fake_stack_nest(void **state)
{
	(void)state;
	assert_int_equal(frames_on_the_fake_stack(KEPT - 1), KEPT);
	assert_int_equal(f.thread->frames_used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_local_variables_on_the_fake_stack_keep_objects,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_on_the_fake_stack_nest, setup,
						teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("fake_stack", tests, NULL, NULL);
}
