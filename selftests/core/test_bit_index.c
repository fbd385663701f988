// SPDX-License-Identifier: MIT
/*
 * Sets of small numbers, compared with an array of one byte a number.
 */
#include "bit_index.h"
#include "core_test.h"

static struct bit_index set;

static int setup(void **state)
{
	(void)state;
	port_test_reset();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bit_index_destroy(&set);
	return port_test.blocks ? -1 : 0;
}

static void make(u32 count)
{
	bit_index_destroy(&set);
	assert_int_equal(bit_index_init(&set, count), 0);
}

static void test_an_empty_set_has_no_member(void **state)
{
	static const u32 counts[] = { 1, 63, 64, 65, 4095, 4096, 4097, BIT_INDEX_MAX };

	(void)state;
	assert_int_equal(bit_index_last(&set), BIT_INDEX_NONE);
	assert_int_equal(bit_index_next(&set, 0), BIT_INDEX_NONE);
	for (u32 i = 0; i < ARRAY_SIZE(counts); i++) {
		make(counts[i]);
		assert_int_equal(bit_index_last(&set), BIT_INDEX_NONE);
		assert_int_equal(bit_index_next(&set, 0), BIT_INDEX_NONE);
		assert_int_equal(bit_index_next(&set, counts[i] - 1), BIT_INDEX_NONE);
		assert_int_equal(bit_index_next(&set, counts[i]), BIT_INDEX_NONE);
		assert_int_equal(bit_index_next(&set, U32_MAX), BIT_INDEX_NONE);
	}
}

static void test_a_lone_member_is_found_from_everywhere_below(void **state)
{
	static const u32 numbers[] = {
		0, 1, 63, 64, 127, 4095, 4096, 8191, 100000, BIT_INDEX_MAX - 1,
	};

	(void)state;
	make(BIT_INDEX_MAX);
	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
		bit_index_add(&set, numbers[i]);
		bit_index_add(&set, numbers[i]);
		for (u32 from = 0; from < BIT_INDEX_MAX; from += 61)
			assert_int_equal(bit_index_next(&set, from),
					 from <= numbers[i] ? numbers[i] : BIT_INDEX_NONE);
		assert_int_equal(bit_index_next(&set, numbers[i]), numbers[i]);
		assert_int_equal(bit_index_next(&set, numbers[i] + 1), BIT_INDEX_NONE);
		assert_int_equal(bit_index_last(&set), numbers[i]);
		bit_index_remove(&set, numbers[i]);
		bit_index_remove(&set, numbers[i]);
		assert_int_equal(bit_index_last(&set), BIT_INDEX_NONE);
	}
}

static void compare(const u8 *model, u32 count)
{
	u32 next = BIT_INDEX_NONE;
	u32 last = BIT_INDEX_NONE;

	for (u32 i = count; i--;) {
		if (model[i] && last == BIT_INDEX_NONE)
			last = i;
		if (model[i])
			next = i;
		assert_int_equal(bit_index_next(&set, i), next);
	}
	assert_int_equal(bit_index_last(&set), last);
}

static void test_any_sequence_agrees_with_an_array(void **state)
{
	static const u32 counts[] = { 1, 64, 100, 1024, 5000, 16384 };

	(void)state;
	random_seed();
	for (u32 c = 0; c < ARRAY_SIZE(counts); c++) {
		u8 *model = test_calloc(counts[c], 1);

		make(counts[c]);
		for (u32 i = 0; i < 4000; i++) {
			/* Times of many members, and of few. */
			bool add = random_below(8) < (i / 1000 % 2 ? 1 : 5);
			u32 number = (u32)random_below(counts[c]);

			if (add)
				bit_index_add(&set, number);
			else
				bit_index_remove(&set, number);
			model[number] = add;
			if (i % 250 == 0)
				compare(model, counts[c]);
		}
		compare(model, counts[c]);
		test_free(model);
	}
}

static void test_init_without_memory_leaves_nothing_behind(void **state)
{
	(void)state;
	port_test_fail(1, false);
	assert_int_equal(bit_index_init(&set, 1000), -ENOMEM);
	assert_int_equal(port_test.blocks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_an_empty_set_has_no_member),
		TEST(test_a_lone_member_is_found_from_everywhere_below),
		TEST(test_any_sequence_agrees_with_an_array),
		TEST(test_init_without_memory_leaves_nothing_behind),
	};

	return cmocka_run_group_tests_name("bit index", tests, NULL, NULL);
}
