// SPDX-License-Identifier: MIT
/*
 * Types from C structs by GCHEAP_TYPE and GCHEAP_FLEXIBLE_TYPE: the words that
 * they name are the words that the collector sees. What must not compile is
 * selftests/check-type-macros's affair.
 */
#include "library_test.h"

struct node {
	struct node *left, *right;
	int number;
};

/* Never completed: pointers to it are pointers all the same. */
struct unknown;

struct pair {
	void *one;
	long number;
	const struct node *two[2];
};

union word {
	void *pointer;
	long number;
	double numbers[2];
};

struct everything {
	char name[8];
	struct pair nested;
	struct pair many[3];
	union word word;
	long between;
	union word words[2];
	struct unknown *grid[2][3];
	struct unknown *volatile cube[2][1][2];
	char text[24];
};

struct vector {
	struct node *owner;
	size_t count;
	struct pair items[];
};

struct pointers {
	uint32_t count;
	struct unknown *items[];
};

#define WORDS_MAX	256u

/* One object of @type has pointers in these words of its first @count, and in no others. */
static void assert_words(struct fixture *f, gcheap_type type, size_t count, const uint8_t *words)
{
	uint8_t mask[WORDS_MAX] = { 0 };
	void *object;
	size_t i;

	if (!type)
		fail_msg("%s", gcheap_error());
	object = gcheap_new(f->thread, type);
	assert_non_null(object);
	assert_true(gcheap_pointer_mask(f->heap, object, mask, WORDS_MAX) >= 0);
	for (i = 0; i < count; i++) {
		if (mask[i] != words[i])
			fail_msg("word %zu: %d, should be %d", i, mask[i], words[i]);
	}
}

static void test_pointers_and_arrays_in_nested_structs(void **state)
{
	struct fixture *f = *state;
	uint8_t words[sizeof(struct everything) / 8] = { 0 };
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything, nested.one, nested.two,
				       many[1].one, grid, cube);
	size_t i;

	words[offsetof(struct everything, nested.one) / 8] = 1;
	words[offsetof(struct everything, nested.two) / 8] = 1;
	words[offsetof(struct everything, nested.two[1]) / 8] = 1;
	words[offsetof(struct everything, many[1].one) / 8] = 1;
	for (i = 0; i < 6; i++)
		words[offsetof(struct everything, grid) / 8 + i] = 1;
	for (i = 0; i < 4; i++)
		words[offsetof(struct everything, cube) / 8 + i] = 1;
	assert_words(f, type, ARRAY_SIZE(words), words);
}

static void test_a_member_of_each_struct_in_an_array(void **state)
{
	struct fixture *f = *state;
	uint8_t words[sizeof(struct everything) / 8] = { 0 };
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything, GCHEAP_ARRAY(many, one),
				       GCHEAP_ARRAY(many, two[1]));
	size_t i;

	for (i = 0; i < 3; i++) {
		words[offsetof(struct everything, many[i].one) / 8] = 1;
		words[offsetof(struct everything, many[i].two[1]) / 8] = 1;
	}
	assert_words(f, type, ARRAY_SIZE(words), words);
}

static void test_unions_that_are_declared(void **state)
{
	struct fixture *f = *state;
	uint8_t words[sizeof(struct everything) / 8] = { 0 };
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything, GCHEAP_UNION(word),
				       GCHEAP_UNION(words), nested.one);
	size_t i;

	words[offsetof(struct everything, nested.one) / 8] = 1;
	for (i = 0; i < 2; i++)
		words[offsetof(struct everything, word) / 8 + i] = 1;
	for (i = 0; i < 4; i++)
		words[offsetof(struct everything, words) / 8 + i] = 1;
	assert_words(f, type, ARRAY_SIZE(words), words);
}

/* A union may hold anything: numbers in it do no harm, and objects are kept. */
static void test_collect_with_numbers_in_a_union(void **state)
{
	static const double numbers[] = { 0.0, -1.5, 1e300, 3.14159 };
	struct fixture *f = *state;
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything, GCHEAP_UNION(words));
	struct everything *object = NULL;
	size_t i;

	assert_int_equal(gcheap_root_add(f->heap, &object, 1), 0);
	object = gcheap_new(f->thread, type);
	object->words[0].pointer = gcheap_new_leaf(f->thread, 16);
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		object->words[1].numbers[0] = numbers[i];
		object->words[1].numbers[1] = -numbers[i];
		assert_int_equal(live_after_collect(f), 2);
	}
	/* The heap's own address, and one far inside of it where nothing is. */
	object->words[0].number = (long)((uintptr_t)object & ~((1ul << 26) - 1));
	object->words[1].number = (long)((uintptr_t)object + (1ul << 30));
	assert_int_equal(live_after_collect(f), 1);
	assert_int_equal(gcheap_root_remove(f->heap, &object), 0);
}

static void test_flexible_array_of_structs(void **state)
{
	struct fixture *f = *state;
	size_t items;

	for (items = 0; items <= 40; items += items < 4 ? 1 : 9) {
		uint8_t words[WORDS_MAX] = { 1 };
		gcheap_type type = GCHEAP_FLEXIBLE_TYPE(f->heap, struct vector, items, items, owner,
							GCHEAP_TAIL_MEMBER(items, one),
							GCHEAP_TAIL_MEMBER(items, two[1]));
		size_t i;

		for (i = 0; i < items; i++) {
			words[2 + i * 4] = 1;
			words[2 + i * 4 + 3] = 1;
		}
		assert_words(f, type, 2 + items * 4, words);
	}
}

static void test_flexible_array_of_pointers(void **state)
{
	struct fixture *f = *state;
	uint8_t words[WORDS_MAX] = { 0 };
	gcheap_type type = GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, 9,
						GCHEAP_TAIL(items));
	struct gcheap_object found;
	void *object;

	memset(words + 1, 1, 9);
	assert_words(f, type, 10, words);
	object = gcheap_new(f->thread, type);
	assert_int_equal(gcheap_find(f->heap, object, &found), 0);
	assert_true(found.size >= sizeof(struct pointers) + 9 * sizeof(void *));
	/* No items, no pointers. */
	type = GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, 0, GCHEAP_TAIL(items));
	memset(words, 0, sizeof(words));
	assert_words(f, type, 1, words);
}

static void test_err_flexible_array_too_long(void **state)
{
	struct fixture *f = *state;

	errno = 0;
	assert_int_equal(GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, SIZE_MAX,
					      GCHEAP_TAIL(items)), 0);
	assert_int_equal(errno, EINVAL);
	assert_error_says("more than any heap has");
	assert_int_equal(GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, SIZE_MAX / 8 + 2,
					      GCHEAP_TAIL(items)), 0);
	assert_error_says("more than any heap has");
	errno = 0;
	assert_int_equal(GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, (1 << 23) + 1,
					      GCHEAP_TAIL(items)), 0);
	assert_int_equal(errno, EFBIG);
	assert_error_says("register an element");
	/* Before it takes the memory of all of its bits. */
	errno = 0;
	assert_int_equal(GCHEAP_FLEXIBLE_TYPE(f->heap, struct pointers, items, 1ul << 36,
					      GCHEAP_TAIL(items)), 0);
	assert_int_equal(errno, EFBIG);
}

static void test_thirty_two_members_of_all_kinds(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything,
		grid[0][0], grid[0][1], grid[0][2], grid[1][0], grid[1][1], grid[1][2],
		cube[0][0][0], cube[0][0][1], cube[1][0][0], cube[1][0][1],
		many[0].one, many[1].one, many[2].one, many[0].two, many[1].two, many[2].two,
		nested.one, nested.two[0], nested.two[1], GCHEAP_UNION(word), GCHEAP_UNION(words),
		GCHEAP_UNION(words[0]), GCHEAP_UNION(words[1]), word.pointer, words[0].pointer,
		words[1].pointer, GCHEAP_ARRAY(many, one), GCHEAP_ARRAY(many, two), grid[0],
		grid[1], cube[0], cube[1]);
	uint8_t words[sizeof(struct everything) / 8];
	size_t i;

	memset(words, 1, sizeof(words));
	words[0] = 0;
	words[offsetof(struct everything, nested.number) / 8] = 0;
	for (i = 0; i < 3; i++)
		words[offsetof(struct everything, many[i].number) / 8] = 0;
	words[offsetof(struct everything, between) / 8] = 0;
	for (i = 0; i < 3; i++)
		words[offsetof(struct everything, text) / 8 + i] = 0;
	assert_words(f, type, ARRAY_SIZE(words), words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_pointers_and_arrays_in_nested_structs),
		fixture_test(test_a_member_of_each_struct_in_an_array),
		fixture_test(test_unions_that_are_declared),
		fixture_test(test_collect_with_numbers_in_a_union),
		fixture_test(test_flexible_array_of_structs),
		fixture_test(test_flexible_array_of_pointers),
		fixture_test(test_err_flexible_array_too_long),
		fixture_test(test_thirty_two_members_of_all_kinds),
	};

	return run_in_all_layouts("type macros", tests);
}
