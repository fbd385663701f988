/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the unit tests of selftests/core use of cmocka and of the C library, by
 * KUnit and the kernel: so that the same tests run there. An assertion that does
 * not hold ends the test, also from the functions that tests call.
 */
#ifndef SELFTESTS_KUNIT_CMOCKA_H
#define SELFTESTS_KUNIT_CMOCKA_H

#include <kunit/test.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/string.h>

/* The test that runs. KUnit runs one at a time. */
extern struct kunit *kunit_case_now;

#define assert_int_equal(a, b)		KUNIT_ASSERT_EQ(kunit_case_now, (u64)(a), (u64)(b))
#define assert_int_not_equal(a, b)	KUNIT_ASSERT_NE(kunit_case_now, (u64)(a), (u64)(b))
#define assert_true(a)			KUNIT_ASSERT_TRUE(kunit_case_now, !!(a))
#define assert_false(a)			KUNIT_ASSERT_FALSE(kunit_case_now, !!(a))
#define assert_null(a)			KUNIT_ASSERT_NULL(kunit_case_now, a)
#define assert_non_null(a)		KUNIT_ASSERT_NOT_NULL(kunit_case_now, a)
#define assert_ptr_equal(a, b)		KUNIT_ASSERT_TRUE(kunit_case_now, (void *)(a) == (void *)(b))
#define assert_ptr_not_equal(a, b)	KUNIT_ASSERT_TRUE(kunit_case_now, (void *)(a) != (void *)(b))
#define assert_memory_equal(a, b, n)	KUNIT_ASSERT_EQ(kunit_case_now, memcmp(a, b, n), 0)
#define assert_string_equal(a, b)	KUNIT_ASSERT_STREQ(kunit_case_now, a, b)
#define assert_in_range(a, low, high)	do {		\
	u64 value_ = (a);				\
							\
	KUNIT_ASSERT_GE(kunit_case_now, value_, (u64)(low));	\
	KUNIT_ASSERT_LE(kunit_case_now, value_, (u64)(high));	\
} while (0)
#define fail_msg(format, ...)	KUNIT_FAIL_AND_ABORT(kunit_case_now, format, ##__VA_ARGS__)
#ifndef KUNIT_FAIL_AND_ABORT
#define KUNIT_FAIL_AND_ABORT(test, format, ...) \
	KUNIT_FAIL_ASSERTION(test, KUNIT_ASSERTION, kunit_fail_assert, \
			     kunit_fail_assert_format, {}, format, ##__VA_ARGS__)
#endif
#define assert(a)	assert_true(a)

/**
 * struct CMUnitTest - a test, as cmocka has it
 * @name: its name
 * @test_func: the test
 * @setup_func: before it
 * @teardown_func: after it, however it ended
 */
struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state);
	int (*teardown_func)(void **state);
};

#define cmocka_unit_test(test)	{ #test, test, NULL, NULL }
#define cmocka_unit_test_setup(test, setup)	{ #test, test, setup, NULL }
#define cmocka_unit_test_teardown(test, teardown) { #test, test, NULL, teardown }
#define cmocka_unit_test_setup_teardown(test, setup, teardown) { #test, test, setup, teardown }
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	kunit_group(name, tests, ARRAY_SIZE(tests))
#define cmocka_run_group_tests(tests, setup, teardown) \
	kunit_group(#tests, tests, ARRAY_SIZE(tests))

/* Keeps a copy of the tests as a suite. */
int kunit_group(const char *name, const struct CMUnitTest *tests, size_t count);

/* ---- of the C library -------------------------------------------------------- */

#define malloc(bytes)		kvmalloc(bytes, GFP_KERNEL)
#define calloc(count, bytes)	kvcalloc(count, bytes, GFP_KERNEL)
#define free(memory)		kvfree(memory)
#define test_malloc(bytes)	malloc(bytes)
#define test_calloc(count, bytes) calloc(count, bytes)
#define test_free(memory)	free(memory)
#define __builtin_popcountll(bits)	hweight64(bits)
#define abort()			panic("out of memory in a test")
#define printf(...)		pr_debug(__VA_ARGS__)
#define fflush(file)		do { } while (0)
#define getenv(name)		((char *)NULL)
#define strtoull(text, end, base) simple_strtoull(text, (char **)(end), base)

#define clock_gettime(clock, now)	ktime_get_ts64(now)
#define timespec		timespec64
#define CLOCK_REALTIME		0
#define CLOCK_MONOTONIC		1

/* The kernel has another. */
#define core_state		core_test_state

#endif /* SELFTESTS_KUNIT_CMOCKA_H */
