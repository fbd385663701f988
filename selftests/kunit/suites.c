// SPDX-License-Identifier: GPL-2.0-only
/*
 * A suite for each file of unit tests. Their main() names the tests of a file; they
 * run while the module is loaded, and what came of them is in
 * /sys/kernel/debug/kunit/ until it goes.
 */
#include <linux/module.h>

#include "cmocka.h"

struct kunit *kunit_case_now;

#define TEST(name)	int kunit_main_##name(void);
TESTS
#undef TEST

/**
 * struct group - one file of tests
 * @suite: its suite
 * @tests: its tests
 * @main: tells which these are
 */
struct group {
	struct kunit_suite suite;
	struct CMUnitTest *tests;
	int (*main)(void);
};

#define TEST(name_)	{ .suite.name = "gcheap_" #name_, .main = kunit_main_##name_ },
static struct group groups[] = { TESTS };
#undef TEST

static struct kunit_suite *suites[ARRAY_SIZE(groups)];
static struct group *group_now;

/* KUnit knows a case by its name; names are not used twice in a file. */
static const struct CMUnitTest *test_of(const struct kunit *test)
{
	int g, t;

	for (g = 0; g < ARRAY_SIZE(groups); g++) {
		struct kunit_case *cases = groups[g].suite.test_cases;

		for (t = 0; cases && cases[t].run_case; t++) {
			if (cases[t].name == test->name)
				return &groups[g].tests[t];
		}
	}
	return NULL;
}

static void run(struct kunit *test)
{
	const struct CMUnitTest *unit = test_of(test);

	kunit_case_now = test;
	KUNIT_ASSERT_NOT_NULL(test, unit);
	if (unit->setup_func)
		KUNIT_ASSERT_EQ(test, unit->setup_func(&test->priv), 0);
	unit->test_func(&test->priv);
}

/* Also after a test that an assertion has ended. */
static void clean_up(struct kunit *test)
{
	const struct CMUnitTest *unit = test_of(test);

	kunit_case_now = test;
	if (unit && unit->teardown_func && unit->teardown_func(&test->priv))
		KUNIT_FAIL(test, "teardown: it has left memory behind");
}

int kunit_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
	struct kunit_case *cases = kcalloc(count + 1, sizeof(*cases), GFP_KERNEL);
	size_t t;

	group_now->tests = kmemdup(tests, count * sizeof(*tests), GFP_KERNEL);
	if (!cases || !group_now->tests) {
		kfree(cases);
		return -ENOMEM;
	}
	for (t = 0; t < count; t++) {
		cases[t].name = tests[t].name;
		cases[t].run_case = run;
		cases[t].module_name = KBUILD_MODNAME;
	}
	group_now->suite.test_cases = cases;
	group_now->suite.exit = clean_up;
	return 0;
}

static void groups_drop(void)
{
	int g;

	for (g = 0; g < ARRAY_SIZE(groups); g++) {
		kfree(groups[g].suite.test_cases);
		kfree(groups[g].tests);
	}
}

static int __init suites_init(void)
{
	int g, error;

	for (g = 0; g < ARRAY_SIZE(groups); g++) {
		group_now = &groups[g];
		error = group_now->main();
		if (error)
			goto free;
		suites[g] = &group_now->suite;
	}
	error = __kunit_test_suites_init(suites, ARRAY_SIZE(suites));
	if (!error)
		return 0;
free:
	groups_drop();
	return error;
}

static void __exit suites_exit(void)
{
	__kunit_test_suites_exit(suites, ARRAY_SIZE(suites));
	groups_drop();
}

module_init(suites_init);
module_exit(suites_exit);

MODULE_DESCRIPTION("Unit tests of gcheap's core");
MODULE_LICENSE("GPL");
