// SPDX-License-Identifier: MIT
/*
 * The shapes that Go's tests of its heap bitmap name, and those at the borders of this
 * heap's ways to keep metadata, in all layouts, with and without GCHEAP_RECORD_TYPES:
 * told by mask and by GC program, single and in arrays. The tests check of each
 *
 *	that the whole object and ranges inside it have the pointers of the model,
 *	that a collection keeps what the pointers lead to, and nothing else,
 *	that a heap that records types tells its type, before and after.
 */
#include "shape.h"

#if UNDER_ASAN
/* Only there are the library's own functions to be had. */
#include "inspect.h"
#include "layout/layout.h"
#include "layout/typed_pointers.h"
#endif

#define MI	(1024u * 1024)

/* 'p' is a pointer, 's' a scalar. */
struct part {
	const char *pattern;
	size_t repeats;
};

/* An element is @repeats times all parts. Arrays have @n elements. */
struct row {
	const char *name;
	struct part parts[3];
	size_t repeats;
	size_t n;
};

static const struct row rows[] = {
	/* one word and two */
	{ "a scalar", { { "s", 1 } }, 1, 100 },
	{ "a pointer", { { "p", 1 } }, 1, 10000 },
	{ "a scalar and a pointer", { { "sp", 1 } }, 1, 10000 },
	{ "a pointer and a scalar", { { "ps", 1 } }, 1, 10000 },
	{ "two pointers", { { "pp", 1 } }, 1, 7 },
	{ "two scalars", { { "ss", 1 } }, 1, 10000 },
	/* three words: a slice, and arrays of it at 512 bytes */
	{ "a pointer and two scalars", { { "pss", 1 } }, 1, 21 },
	{ "two pointers and a scalar", { { "pps", 1 } }, 1, 22 },
	{ "a scalar and two pointers", { { "spp", 1 } }, 1, 16384 },
	{ "two structs of two words", { { "ps", 1 } }, 2, 3 },
	{ "10000 structs of two words", { { "sp", 1 } }, 10000, 2 },
	/* the big ones of Go's tests */
	{ "100 pointers and 100 scalars", { { "p", 100 }, { "s", 100 } }, 1, 5 },
	{ "100 scalars and 100 pointers", { { "s", 100 }, { "p", 100 } }, 1, 5 },
	{ "five times 100 pointers and 100 scalars", { { "p", 100 }, { "s", 100 } }, 5, 2 },
	{ "1000 structs, then scalars", { { "ps", 1000 }, { "s", 100 } }, 1, 3 },
	{ "a long scalar tail", { { "p", 3 }, { "s", 1000 } }, 1, 4 },
	{ "scalars, one pointer, scalars", { { "s", 500 }, { "p", 1 }, { "s", 500 } }, 1, 40 },
	/* 10,000 words */
	{ "10000 pointers", { { "p", 10000 } }, 1, 2 },
	{ "10000 words, a pointer at both ends", { { "p", 1 }, { "s", 9998 }, { "p", 1 } }, 1, 3 },
	{ "10000 words, one pointer in three", { { "spp", 3333 }, { "s", 1 } }, 1, 1 },
	/* a mask's word, which is 512 bytes */
	{ "63 pointers", { { "p", 63 } }, 1, 1 },
	{ "64 pointers", { { "p", 64 } }, 1, 2 },
	{ "65 pointers", { { "p", 65 } }, 1, 3 },
	{ "the 63rd word", { { "s", 62 }, { "p", 1 } }, 1, 9 },
	{ "the 64th word", { { "s", 63 }, { "p", 1 } }, 1, 9 },
	{ "the 65th word", { { "s", 64 }, { "p", 1 } }, 1, 9 },
	{ "an array of 512 bytes", { { "p", 1 } }, 1, 64 },
	{ "an array of 504 bytes", { { "pps", 1 } }, 1, 21 },
	{ "an array of 520 bytes", { { "p", 1 } }, 1, 65 },
	{ "elements of 32 words", { { "ps", 16 } }, 1, 2 },
	{ "elements of 33 words", { { "ps", 16 }, { "p", 1 } }, 1, 7 },
	/* 32 KiB: the largest slot */
	{ "a word less than 32 KiB", { { "p", 3 }, { "s", 4092 } }, 1, 1 },
	{ "32 KiB", { { "ps", 2048 } }, 1, 1 },
	{ "a word more than 32 KiB", { { "p", 4096 }, { "s", 1 } }, 1, 2 },
	/* 128 KiB: an oblet */
	{ "a word less than 128 KiB", { { "psp", 5461 } }, 1, 1 },
	{ "128 KiB", { { "s", 16383 }, { "p", 1 } }, 1, 2 },
	{ "a word more than 128 KiB", { { "sp", 8192 }, { "p", 1 } }, 1, 3 },
	{ "elements across oblets", { { "p", 1 }, { "s", 6553 }, { "p", 1 } }, 1, 25 },
	/* 64 MiB: an arena, and the longest mask there is */
	{ "64 MiB", { { "psss", 2 * MI } }, 1, 1 },
	{ "an array over 64 MiB", { { "pps", 1 } }, 1, 2796204 },
};

/* One test: a row in a heap of a layout. */
struct shape_test {
	const struct row *row;
	enum gcheap_layout layout;
	uint32_t flags;
	char name[120];
};

static struct shape row_shape(const struct row *row)
{
	struct shape shape = { .align = 8 };
	size_t part, r, i, w = 0;

	for (part = 0; part < ARRAY_SIZE(row->parts); part++) {
		if (row->parts[part].pattern)
			shape.words += strlen(row->parts[part].pattern) * row->parts[part].repeats;
	}
	shape.words *= row->repeats;
	shape.pointer = calloc(shape.words, 1);
	assert_non_null(shape.pointer);
	while (w < shape.words) {
		for (part = 0; part < ARRAY_SIZE(row->parts); part++) {
			const char *pattern = row->parts[part].pattern;

			for (r = 0; pattern && r < row->parts[part].repeats; r++) {
				for (i = 0; pattern[i]; i++) {
					shape.pointer[w++] = pattern[i] == 'p';
					if (pattern[i] == 'p')
						shape.ptr_words = w;
				}
			}
		}
	}
	return shape;
}

/*
 * Words of an object worth a look: all of a short one; of a long one those at both
 * ends, where oblets meet, and a sample of the others.
 */
static bool is_sampled(size_t w, size_t words)
{
	if (words <= 12000 || w < 200 || w >= words - 200)
		return true;
	return (w + 2) % 16384 < 4 || w % 997 == 0;
}

/* The next of them behind @w. */
static size_t next_sample(size_t w, size_t words)
{
	size_t oblet = (w + 3) / 16384 * 16384 + 16382, other = w / 997 * 997 + 997;

	if (is_sampled(w + 1, words))
		return w + 1;
	if (oblet > other)
		oblet = other;
	return oblet < words - 200 ? oblet : words - 200;
}

/* ---- the pointers by gcheap_pointer_mask() and by the iterator ----------------- */

static void check_ranges(struct gcheap *heap, const struct shape *shape, const uint64_t *object,
			 size_t n)
{
	static const size_t lengths[] = { 1, 2, 63, 64, 65, 700 };
	size_t words = shape->words * n;
	size_t w, i, to;

	shape_check_range(heap, shape, object, n, 0, words);
	for (w = 0; w < words; w = next_sample(w, words)) {
		if (words > 400 && w % 7 && w % 64 > 1)
			continue;
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			to = w + lengths[i] < words ? w + lengths[i] : words;
			shape_check_range(heap, shape, object, n, w, to);
		}
	}
}

#if UNDER_ASAN
/* The same ranges by the iterator itself, started anywhere and sent forward. */
static void check_iterator(struct gcheap *heap, const struct shape *shape, const uint64_t *object,
			   size_t n)
{
	uint64_t start = (uintptr_t)object;
	size_t words = shape->words * n, w, from, to;
	uint64_t random = 1;
	struct slot slot;
	int i;

	assert_true(inspect_slot(heap, address_offset(&heap->view, object), &slot));
	for (i = 0; i < 200; i++) {
		struct typed_pointers tp;
		bool jumped = false;

		from = random_next(&random) % words;
		to = from + 1 + random_next(&random) % (i % 4 ? 300 : words);
		if (to > words)
			to = words;
		if (to - from > 50000)
			to = from + 50000;
		tp = typed_pointers_of(&heap->view, &slot, start + from * 8, start + to * 8);
		for (w = from; w < to; w++) {
			if (i % 2 && !jumped && w == from + (to - from) / 2) {
				typed_pointers_fast_forward(&tp, start + w * 8);
				jumped = true;
			}
			if (shape->pointer[w % shape->words] && (!(i % 2) || jumped))
				assert_int_equal(typed_pointers_next(&tp), start + w * 8);
		}
		assert_int_equal(typed_pointers_next(&tp), 0);
	}
}
#else
#define check_iterator(heap, shape, object, n)	do {} while (0)
#endif

/* ---- what a collection keeps ---------------------------------------------------- */

/* Leaves in pointers and in scalars: after a collection the former are there. */
static void check_collection(struct fixture *f, const struct shape *shape, uint64_t *object,
			     size_t n)
{
	size_t words = shape->words * n;
	size_t kept = 0, sample = 0, w;
	struct gcheap_object found;

	for (w = 0; w < words; w = next_sample(w, words)) {
		uint64_t *leaf = gcheap_new_leaf(f->thread, 16);

		assert_non_null(leaf);
		leaf[0] = w;
		object[w] = (uintptr_t)leaf;
		kept += shape->pointer[w % shape->words];
	}
	assert_int_equal(live_after_collect(f), kept + 1);
	for (w = 0; w < words; w++) {
		const uint64_t *leaf = (const uint64_t *)(uintptr_t)object[w];

		if (w < sample) {
			if (leaf)
				fail_msg("word %zu is not zero", w);
			continue;
		}
		sample = next_sample(w, words);
		if (!shape->pointer[w % shape->words]) {
			assert_int_equal(gcheap_find(f->heap, leaf, &found), -ENOENT);
			continue;
		}
		assert_int_equal(gcheap_find(f->heap, leaf, &found), 0);
		assert_ptr_equal(found.base, leaf);
		assert_int_equal(leaf[0], w);
	}
}

static uint64_t *array_new(struct fixture *f, const struct shape *shape, size_t n)
{
	uint64_t *array = gcheap_new_array(f->thread, shape->type, n);

	if (!array)
		fail_msg("%zu elements: %s", n, gcheap_error());
	return array;
}

/* What gcheap_find() tells of an object, by its last word. */
static void check_found(struct fixture *f, const struct shape *shape, uint64_t *object, size_t n,
			bool recorded)
{
	struct gcheap_object found;

	assert_int_equal(gcheap_find(f->heap, object + shape->words * n - 1, &found), 0);
	assert_ptr_equal(found.base, object);
	assert_true(found.size >= shape->words * n * 8);
	assert_int_equal(!!(found.flags & GCHEAP_OBJECT_NOSCAN), !shape->ptr_words);
	if (recorded)
		assert_int_equal(found.type, shape->type);
}

/* An object of @n elements; small ones at many places of a span. */
static void check_object(struct fixture *f, const struct shape *shape, size_t n, bool recorded)
{
	uint64_t *object;
	void *root;
	int i;

	for (i = 0; i < 40 && shape->words * n <= 64; i++)
		check_ranges(f->heap, shape, array_new(f, shape, n), n);
	object = array_new(f, shape, n);
	root = object;
	check_found(f, shape, object, n, recorded);
	check_ranges(f->heap, shape, object, n);
	check_iterator(f->heap, shape, object, n);
	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	check_collection(f, shape, object, n);
	/* Again, because the marks are new, and the pointers as they were. */
	check_found(f, shape, object, n, recorded);
	check_ranges(f->heap, shape, object, n);
	assert_int_equal(gcheap_root_remove(f->heap, &root), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_shape(void **state)
{
	const struct shape_test *test = *state;
	struct gcheap_config config = fixture_config();
	struct shape shape = row_shape(test->row);
	enum shape_form form;
	struct fixture f;

	config.layout = test->layout;
	config.flags = test->flags;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	for (form = 0; form < SHAPE_FORMS; form++) {
		shape_register(f.heap, &shape, form);
		check_object(&f, &shape, 1, test->flags);
		if (test->row->n > 1)
			check_object(&f, &shape, test->row->n, test->flags);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
	free(shape.pointer);
}

int main(void)
{
	static const struct {
		uint32_t flags;
		const char *name;
	} kinds[] = { { 0, "" }, { GCHEAP_RECORD_TYPES, ", recorded" } };
	static struct shape_test shape_tests[ARRAY_SIZE(kinds) * TEST_LAYOUTS * ARRAY_SIZE(rows)];
	struct CMUnitTest tests[ARRAY_SIZE(shape_tests)];
	size_t kind, layout, count;

	for (count = 0; count < ARRAY_SIZE(tests); count++) {
		struct shape_test *test = &shape_tests[count];

		test->row = &rows[count % ARRAY_SIZE(rows)];
		layout = count / ARRAY_SIZE(rows) % TEST_LAYOUTS;
		kind = count / ARRAY_SIZE(rows) / TEST_LAYOUTS;
		test->layout = test_layouts[layout].layout;
		test->flags = kinds[kind].flags;
		snprintf(test->name, sizeof(test->name), "%s, layout %s%s", test->row->name,
			 test_layouts[layout].name, kinds[kind].name);
		tests[count] = (struct CMUnitTest) {
			.name = test->name,
			.test_func = test_shape,
			.initial_state = test,
		};
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("shapes", tests, NULL, NULL);
}
