// SPDX-License-Identifier: MIT
/*
 * GCHEAP_RECORD_TYPES: gcheap_find() tells the exact type of every object of a type,
 * in all layouts.
 */
#include "library_test.h"

#include "library.h"

static void open_recording(struct fixture *f, enum gcheap_layout layout, uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	config.flags = GCHEAP_RECORD_TYPES | flags;
	fixture_open_with(f, &config);
}

static void check_type(struct fixture *f, const char *object, size_t bytes, gcheap_type type,
		       bool noscan)
{
	const size_t at[] = { 0, bytes / 2, bytes - 1 };
	struct gcheap_object found;
	size_t i;

	assert_non_null(object);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		assert_int_equal(gcheap_find(f->heap, object + at[i], &found), 0);
		assert_ptr_equal(found.base, object);
		assert_true(found.size >= bytes);
		if (found.type != type)
			fail_msg("%zu bytes: type %u, not %u", bytes, found.type, type);
		assert_int_equal(!!(found.flags & GCHEAP_OBJECT_NOSCAN), noscan);
	}
}

static const size_t sizes[] = {
	8, 16, 24, 48, 64, 256, 496, 504, 512, 520, 576, 1000, 1016, 1024, 4096, 8192,
	16384, 28672, 32752, 32760, 32768, 32776, 100000,
};
#define SIZES	ARRAY_SIZE(sizes)
#define OBJECTS	12u

static void *kept[SIZES * 2 * OBJECTS];

static void check_layout(enum gcheap_layout layout, uint32_t flags)
{
	gcheap_type types[SIZES][2];
	struct fixture f;
	size_t s, i, k = 0;
	int noscan;

	open_recording(&f, layout, flags);
	memset(kept, 0, sizeof(kept));
	assert_int_equal(gcheap_root_add(f.heap, kept, ARRAY_SIZE(kept)), 0);
	for (s = 0; s < SIZES; s++) {
		types[s][0] = type_with_mask(f.heap, sizes[s], 8, 1);
		/* The same mask, and another type: a second one that nobody uses. */
		type_with_mask(f.heap, sizes[s], 8, 1);
		types[s][1] = type_with_mask(f.heap, sizes[s], 8, 0);
	}
	for (s = 0; s < SIZES; s++) {
		for (noscan = 0; noscan < 2; noscan++) {
			for (i = 0; i < OBJECTS; i++) {
				/* In mixed spans, and then in own ones. */
				if (i == OBJECTS / 2 && sizes[s] <= 32768)
					busy_type(&f, types[s][noscan], 1);
				kept[k] = gcheap_new(f.thread, types[s][noscan]);
				assert_non_null(kept[k]);
				memset(kept[k], 0, sizes[s]);
				check_type(&f, kept[k++], sizes[s], types[s][noscan], noscan);
			}
		}
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	assert_int_equal(live_after_collect(&f), SIZES * 2 * OBJECTS);
	for (k = 0, s = 0; s < SIZES; s++) {
		for (noscan = 0; noscan < 2; noscan++) {
			for (i = 0; i < OBJECTS; i++)
				check_type(&f, kept[k++], sizes[s], types[s][noscan], noscan);
		}
	}
	fixture_close(&f);
}

static void test_every_object_of_a_type_tells_it(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		check_layout(test_layouts[i].layout, 0);
}

static void test_writes_of_recorded_types_are_verified(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		check_layout(test_layouts[i].layout, GCHEAP_VERIFY);
}

static void test_arrays_tell_the_type_of_their_elements(void **state)
{
	static const size_t counts[] = { 2, 3, 20, 21, 22, 40, 100, 1000, 1365, 1366, 10000 };
	struct fixture f;
	size_t i, c;

	(void)state;
	in_each_layout(i) {
		gcheap_type types[3];

		open_recording(&f, test_layouts[i].layout, 0);
		types[0] = type_with_mask(f.heap, 24, 8, 2);
		types[1] = type_with_mask(f.heap, 24, 8, 0);
		types[2] = type_with_mask(f.heap, 3, 1, 0);
		for (c = 0; c < ARRAY_SIZE(counts); c++) {
			size_t n = counts[c];

			check_type(&f, gcheap_new_array(f.thread, types[0], n), 24 * n, types[0],
				   false);
			check_type(&f, gcheap_new_array(f.thread, types[1], n), 24 * n, types[1],
				   true);
			check_type(&f, gcheap_new_array(f.thread, types[2], n), 3 * n, types[2],
				   true);
			if (24 * n > 32768)
				continue;
			check_type(&f, busy_type(&f, types[0], n), 24 * n, types[0], false);
			check_type(&f, busy_type(&f, types[1], n), 24 * n, types[1], true);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

static void test_objects_keep_their_alignment(void **state)
{
	struct fixture f;
	size_t i, align;

	(void)state;
	in_each_layout(i) {
		open_recording(&f, test_layouts[i].layout, 0);
		for (align = 1; align <= 8192; align *= 2) {
			gcheap_type types[2] = { 0 };
			int t, n;

			types[1] = type_with_mask(f.heap, align, align, 0);
			if (align >= 8)
				types[0] = type_with_mask(f.heap, align, align, 1);
			for (t = 0; t < 2; t++) {
				for (n = 1; types[t] && n < 4; n++) {
					const char *object = gcheap_new_array(f.thread, types[t],
									      (size_t)n);

					check_type(&f, object, align * (size_t)n, types[t], t);
					assert_int_equal((uintptr_t)object % align, 0);
					object = busy_type(&f, types[t], (size_t)n);
					check_type(&f, object, align * (size_t)n, types[t], t);
					assert_int_equal((uintptr_t)object % align, 0);
				}
			}
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

static void test_leaves_have_no_type(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	size_t i, bytes;

	(void)state;
	in_each_layout(i) {
		open_recording(&f, test_layouts[i].layout, 0);
		for (bytes = 1; bytes < 100000; bytes += bytes / 2 + 1) {
			assert_int_equal(gcheap_find(f.heap, gcheap_new_leaf(f.thread, bytes),
						     &found), 0);
			assert_int_equal(found.type, 0);
			assert_true(found.size >= bytes);
		}
		fixture_close(&f);
	}
}

static void test_pointers_are_found_behind_and_before_type_words(void **state)
{
	struct fixture f;
	size_t i, words;

	(void)state;
	in_each_layout(i) {
		open_recording(&f, test_layouts[i].layout, 0);
		for (words = 1; words <= 4096; words += words / 3 + 1) {
			gcheap_type type = type_with_mask(f.heap, 8, 8, 1);
			uint64_t *array = gcheap_new_array(f.thread, type, words);
			static uint8_t mask[5000];
			size_t w;

			assert_non_null(array);
			/* A slot may have room for more elements; it is all zeros. */
			assert_true(gcheap_pointer_mask(f.heap, array, mask, ARRAY_SIZE(mask)) >=
				    (int)words);
			for (w = 0; w < words; w++) {
				assert_int_equal(mask[w], 1);
				array[w] = (uintptr_t)array;
			}
			check_type(&f, (char *)array, words * 8, type, false);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		assert_int_equal(gcheap_collect(f.thread), 0);
		fixture_close(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_object_of_a_type_tells_it),
		cmocka_unit_test(test_writes_of_recorded_types_are_verified),
		cmocka_unit_test(test_arrays_tell_the_type_of_their_elements),
		cmocka_unit_test(test_objects_keep_their_alignment),
		cmocka_unit_test(test_leaves_have_no_type),
		cmocka_unit_test(test_pointers_are_found_behind_and_before_type_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("recorded types", tests, NULL, NULL);
}
