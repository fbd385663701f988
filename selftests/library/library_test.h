/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the library share. They use the public interface alone, and
 * leave the backend to the environment, so that the same programs run here with
 * the local backend and in virtual machines with the device.
 */
#ifndef GCHEAP_LIBRARY_TEST_H
#define GCHEAP_LIBRARY_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gcheap.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

/* A call failed as it should, and says so: @words are in gcheap_error(). */
#define assert_refused(result, error, words)					\
	do {									\
		assert_int_equal(result, -(error));				\
		assert_error_says(words);					\
	} while (0)

/* The same for calls that return NULL and set errno. */
#define assert_refused_null(pointer, error, words)				\
	do {									\
		errno = 0;							\
		assert_null(pointer);						\
		assert_int_equal(errno, error);					\
		assert_error_says(words);					\
	} while (0)

#define assert_error_says(words)						\
	do {									\
		if (!strstr(gcheap_error(), words))				\
			fail_msg("\"%s\" does not say \"%s\"", gcheap_error(), words); \
	} while (0)

/* Skips the test that runs, and says why, which the line of its result does not. */
#define skip_because(reason)							\
	do {									\
		print_message("# SKIP %s\n", reason);				\
		skip();								\
	} while (0)

/* A heap with a thread attached. */
struct fixture {
	struct gcheap *heap;
	struct gcheap_thread *thread;
};

/* Opens a heap whose roots are what the test registers, and no stack. */
void fixture_open(struct fixture *fixture);
/* The same with a configuration of the test's. */
void fixture_open_with(struct fixture *fixture, const struct gcheap_config *config);
void fixture_close(struct fixture *fixture);
/* The same for cmocka, which gives the test the heap as its state. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
#define fixture_test(test) \
	cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

/* The configuration that fixture_open() uses. */
struct gcheap_config fixture_config(void);

/* gcheap_open() takes a configuration; or refuses it. */
void assert_opens(const struct gcheap_config *config);
void assert_open_refused(const struct gcheap_config *config, int error, const char *words);

/* A type of @bytes with pointers in the words that @mask tells, 64 at most. */
gcheap_type type_with_mask(struct gcheap *heap, size_t bytes, size_t align, uint64_t mask);

/*
 * Allocates so much of a type, in arrays of @n, that it has spans of its own in the
 * layout that has such. All of it is garbage. Returns the last object.
 */
void *busy_type(struct fixture *fixture, gcheap_type type, size_t n);

struct gcheap_stats stats_of(struct gcheap *heap);

/* How many cycles there were. */
uint64_t cycles_of(struct fixture *fixture);

/* Allocates and drops leaves of 64 bytes, @bytes in all. */
void drop_bytes(struct fixture *fixture, uint64_t bytes);

/* Collect, and return how many objects are alive. */
uint64_t live_after_collect(struct fixture *fixture);

/* Sets a variable for the life of a test; NULL: takes it away. */
void variable_set(const char *name, const char *value);
/* Puts all variables that were set back as they were: a cmocka teardown. */
int variables_restore(void **state);

/* The layouts that the library has. */
struct test_layout {
	enum gcheap_layout layout;
	const char *name;	/* as GCHEAP_LAYOUT takes it */
};

#define TEST_LAYOUTS	4u
extern const struct test_layout test_layouts[TEST_LAYOUTS];

/* Says, for whoever reads a failure, which layout comes next. */
#define in_each_layout(i)							\
	for (i = 0; i < TEST_LAYOUTS &&						\
	     (print_message("# layout %s\n", test_layouts[i].name), true); i++)

/* Opens a heap of a layout that collects on request alone, and has no stack for a root. */
void fixture_open_layout(struct fixture *fixture, enum gcheap_layout layout);

/*
 * Runs a program's tests with heaps of each layout, by way of the environment; for
 * main() to return.
 */
#define run_in_all_layouts(title, tests) __extension__({			\
	char group_[80];							\
	int failed_ = 0;							\
	size_t layout_;								\
										\
	cmocka_set_message_output(CM_OUTPUT_TAP);				\
	for (layout_ = 0; layout_ < TEST_LAYOUTS; layout_++) {			\
		setenv("GCHEAP_LAYOUT", test_layouts[layout_].name, 1);		\
		snprintf(group_, sizeof(group_), "%s, layout %s", title,		\
			 test_layouts[layout_].name);				\
		failed_ += cmocka_run_group_tests_name(group_, tests, NULL, NULL); \
	}									\
	failed_;								\
})

/* Overwrites what earlier calls left on the stack below. */
void stack_wipe(void);

/* A repeatable random number. */
uint64_t random_next(uint64_t *state);

/* What a variable says, by which a run is repeated or made longer; or else. */
uint64_t environment_number(const char *name, uint64_t otherwise);

#endif /* GCHEAP_LIBRARY_TEST_H */
