// SPDX-License-Identifier: MIT
/*
 * Heaps of all layouts side by side, with the same objects: any range of any of
 * them has the same pointers in each, and those of a naive model of one byte a
 * word. Types, counts and ranges are random, types are told by mask and by GC
 * program, with and without GCHEAP_RECORD_TYPES, and the heaps are made anew many
 * times a run.
 *
 * The plain build compares ten million ranges, each in all layouts, which is the run
 * that counts. The sanitized build, which takes twice as long for each, and the device,
 * which is tested in emulated machines, compare fewer.
 *
 * Environment: GCHEAP_SEED repeats a run, GCHEAP_RANGES changes how many ranges
 * are compared.
 */
#include "shape.h"

#define RANGES		(UNDER_ASAN ? 1000000ul : 10000000ul)
#define RANGES_DEVICE	100000ul
#define HEAP_RANGES	200000ul	/* then other types and objects */
#define TYPES		200u
#define OBJECTS		1000u
#define ELEMENT_WORDS	20000u
#define OBJECT_WORDS	40000u

/* Ways to open a heap that must make no difference. */
static const struct {
	enum gcheap_layout layout;
	uint32_t flags;
} variants[] = {
	{ GCHEAP_LAYOUT_SPAN, 0 },
	{ GCHEAP_LAYOUT_HEADER, 0 },
	{ GCHEAP_LAYOUT_FOOTER, 0 },
	{ GCHEAP_LAYOUT_BITMAP, 0 },
	{ GCHEAP_LAYOUT_SPAN, GCHEAP_RECORD_TYPES },
	{ GCHEAP_LAYOUT_HEADER, GCHEAP_RECORD_TYPES },
	{ GCHEAP_LAYOUT_FOOTER, GCHEAP_RECORD_TYPES },
	{ GCHEAP_LAYOUT_BITMAP, GCHEAP_RECORD_TYPES },
};
#define VARIANTS	ARRAY_SIZE(variants)

_Static_assert(VARIANTS >= TEST_LAYOUTS, "a heap of each layout");

/* An array, once in each heap. */
struct array {
	const struct shape *shape;
	size_t n;
	uint64_t *address[VARIANTS];
};

struct side_by_side {
	struct fixture heaps[VARIANTS];
	struct shape shapes[TYPES];
	struct array arrays[OBJECTS];
	uint64_t random;
};

static void heaps_open(struct side_by_side *s)
{
	size_t v;

	for (v = 0; v < VARIANTS; v++) {
		struct gcheap_config config = fixture_config();

		config.layout = variants[v].layout;
		config.flags = variants[v].flags;
		config.gc_percent = -1;
		fixture_open_with(&s->heaps[v], &config);
	}
}

static void types_make(struct side_by_side *s)
{
	size_t i, v;

	for (i = 0; i < TYPES; i++) {
		struct shape *shape = &s->shapes[i];

		shape_random(&s->random, ELEMENT_WORDS, shape);
		for (v = 0; v < VARIANTS; v++) {
			enum shape_form form = (i + v) % SHAPE_FORMS;

			shape_register(s->heaps[v].heap, shape, form);
			assert_int_equal(shape->type, i + 1);
		}
	}
}

static void objects_make(struct side_by_side *s)
{
	size_t i, v;

	for (i = 0; i < OBJECTS; i++) {
		struct array *array = &s->arrays[i];

		array->shape = &s->shapes[random_next(&s->random) % TYPES];
		array->n = random_length(&s->random, OBJECT_WORDS / array->shape->words);
		for (v = 0; v < VARIANTS; v++) {
			array->address[v] = gcheap_new_array(s->heaps[v].thread, array->shape->type,
							     array->n);
			assert_non_null(array->address[v]);
			assert_int_equal((uintptr_t)array->address[v] % array->shape->align, 0);
		}
	}
}

static void heaps_close(struct side_by_side *s)
{
	size_t i, v;

	for (v = 0; v < VARIANTS; v++) {
		assert_int_equal(gcheap_verify(s->heaps[v].heap), 0);
		fixture_close(&s->heaps[v]);
	}
	for (i = 0; i < TYPES; i++)
		free(s->shapes[i].pointer);
}

/* In heaps that record types every fourth range. */
static void range_compare(struct side_by_side *s, unsigned long r)
{
	const struct array *array = &s->arrays[random_next(&s->random) % OBJECTS];
	size_t words = array->shape->words * array->n;
	size_t from = random_next(&s->random) % words;
	size_t to = from + random_length(&s->random, random_next(&s->random) % 64 ? 200 :
					 OBJECT_WORDS);
	size_t v;

	/* A few go on behind the last element. */
	if (to > words && to % 8)
		to = words;
	for (v = 0; v < VARIANTS; v++) {
		if (!variants[v].flags || r % 4 == 0)
			shape_check_range(s->heaps[v].heap, array->shape, array->address[v],
					  array->n, from, to);
	}
}

static bool on_the_device(void)
{
	struct fixture f;
	bool device;

	fixture_open(&f);
	device = gcheap_backend(f.heap) == GCHEAP_BACKEND_DEVICE;
	fixture_close(&f);
	return device;
}

static void test_any_range_has_the_same_pointers_in_all_layouts_and_the_model(void **state)
{
	struct side_by_side *s = calloc(1, sizeof(*s));
	unsigned long ranges = number_for_this_run("GCHEAP_RANGES", on_the_device() ?
						   RANGES_DEVICE : RANGES);
	uint64_t seed = seed_for_this_run();
	unsigned long r;

	(void)state;
	assert_non_null(s);
	s->random = seed;
	print_message("# GCHEAP_SEED=%llu GCHEAP_RANGES=%lu, in %zu heaps\n",
		      (unsigned long long)seed, ranges, VARIANTS);
	for (r = 0; r < ranges; r++) {
		if (r % HEAP_RANGES == 0) {
			if (r)
				heaps_close(s);
			heaps_open(s);
			types_make(s);
			objects_make(s);
		}
		range_compare(s, r);
	}
	if (ranges)
		heaps_close(s);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_range_has_the_same_pointers_in_all_layouts_and_the_model),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
