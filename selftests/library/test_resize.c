// SPDX-License-Identifier: MIT
/*
 * gcheap_free() and gcheap_realloc(): against a model, in each layout; what is refused, and
 * leaves everything as it was.
 */
#include <pthread.h>

#include "library_test.h"

#include "library.h"

#define KEPT	200u

/**
 * struct kept - an object of the model
 * @object: its address, which is a root
 * @bytes: its length
 * @stamp: what its words hold, but those that are pointers
 */
static struct kept {
	size_t bytes;
	unsigned char stamp;
} kept[KEPT];
static unsigned char *objects[KEPT];

static const size_t sizes[] = { 8, 16, 24, 40, 64, 104, 512, 520, 1024, 8000 };

static bool is_all(const void *memory, size_t bytes, int value)
{
	const unsigned char *at = memory;

	while (bytes && *at == value) {
		at++;
		bytes--;
	}
	return !bytes;
}

#define assert_free_refused(thread, obj, words)					\
	do {									\
		errno = 0;							\
		gcheap_free(thread, obj);					\
		assert_int_equal(errno, EINVAL);				\
		assert_error_says(words);					\
	} while (0)

static void free_well(struct gcheap_thread *thread, void *obj)
{
	errno = 0;
	gcheap_free(thread, obj);
	if (errno)
		fail_msg("gcheap_free: %s", gcheap_error());
}

/* ---- against a model -------------------------------------------------------------- */

/* The first word is a pointer, to another object or none, where there is one. */
static void stamp(size_t at, gcheap_type type, size_t bytes, uint64_t *seed)
{
	size_t i;

	kept[at].bytes = bytes;
	kept[at].stamp = (unsigned char)random_next(seed) | 1;
	for (i = type ? 8 : 0; i < bytes; i++)
		objects[at][i] = kept[at].stamp;
}

static void check(size_t at, gcheap_type type, size_t bytes)
{
	size_t first = type ? 8 : 0;

	if (!is_all(objects[at] + first, bytes - first, kept[at].stamp))
		fail_msg("object %zu of %zu bytes was overwritten", at, kept[at].bytes);
}

/*
 * Objects of a size are made, made longer, shorter, given back, and dropped; @scan: the first
 * element begins with a pointer, and all others are taken for pointers as well, so that these
 * have one element.
 */
static void churn(struct fixture *f, size_t size, bool scan)
{
	gcheap_type type = scan ? type_with_mask(f->heap, size, 8, 1) : 0;
	uint64_t seed = size * 2 + scan;
	size_t step, at;

	for (step = 0; step < 6000; step++) {
		size_t bytes = scan ? size : 9 + random_next(&seed) % (size * 4);

		at = random_next(&seed) % KEPT;
		if (objects[at]) {
			size_t old = kept[at].bytes;

			check(at, type, old);
			if (random_next(&seed) % 3) {
				free_well(f->thread, objects[at]);
				objects[at] = NULL;
				continue;
			}
			objects[at] = gcheap_realloc(f->thread, type, objects[at], scan ? 1 : bytes);
			assert_non_null(objects[at]);
			check(at, type, old < bytes ? old : bytes);
			if (bytes > old)
				assert_true(is_all(objects[at] + old, bytes - old, 0));
		} else {
			objects[at] = scan ? gcheap_new(f->thread, type) :
					     gcheap_new_leaf(f->thread, bytes);
			assert_non_null(objects[at]);
			if (!is_all(objects[at], bytes, 0))
				fail_msg("%zu bytes: not zeroed", bytes);
		}
		stamp(at, type, bytes, &seed);
		if (step % 1999 == 0)
			assert_int_equal(gcheap_collect(f->thread), 0);
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
	for (at = 0; at < KEPT; at++) {
		if (objects[at])
			check(at, type, kept[at].bytes);
		objects[at] = NULL;
	}
}

static void churn_layout(const struct test_layout *layout, uint32_t flags)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	size_t s;

	config.layout = layout->layout;
	config.flags = flags;
	fixture_open_with(&f, &config);
	assert_int_equal(gcheap_root_add(f.heap, objects, KEPT), 0);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		churn(&f, sizes[s], false);
		churn(&f, sizes[s], true);
	}
	fixture_close(&f);
}

static void test_objects_that_are_freed_and_resized(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i) {
		churn_layout(&test_layouts[i], 0);
		churn_layout(&test_layouts[i], GCHEAP_RECORD_TYPES);
	}
}

static void test_they_are_verified(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		churn_layout(&test_layouts[i], GCHEAP_VERIFY);
}

/* ---- giving back -------------------------------------------------------------------- */

static void test_memory_is_handed_out_again_at_once(void **state)
{
	struct fixture f;
	size_t i, k;

	(void)state;
	in_each_layout(k) {
		fixture_open_layout(&f, test_layouts[k].layout);
		for (i = 0; i < 10; i++) {
			gcheap_type type = type_with_mask(f.heap, sizes[i], 8, 1);
			struct gcheap_stats before, after;
			size_t n;

			busy_type(&f, type, 1);
			before = stats_of(f.heap);
			for (n = 0; n < 50000; n++)
				free_well(f.thread, gcheap_new(f.thread, type));
			after = stats_of(f.heap);
			assert_true(after.mapped_bytes - after.free_bytes <=
				    before.mapped_bytes - before.free_bytes + (1 << 20));
			assert_int_equal(after.allocated_objects - before.allocated_objects, n);
		}
		fixture_close(&f);
	}
}

static void test_large_objects_go_back_at_once(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	size_t i;

	(void)state;
	config.reserve_bytes = 64 << 20;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	for (i = 0; i < 100; i++) {
		void *leaf = gcheap_new_leaf(f.thread, 40 << 20);

		assert_non_null(leaf);
		free_well(f.thread, leaf);
		assert_free_refused(f.thread, leaf, "no object");
	}
	assert_int_equal(stats_of(f.heap).cycles, 0);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* With a trigger at each 4 MiB, there would be cycles. */
static void test_who_frees_all_needs_no_cycle(void **state)
{
	struct fixture f;
	gcheap_type type;
	size_t i;

	(void)state;
	fixture_open(&f);
	type = type_with_mask(f.heap, 64, 8, 1);
	busy_type(&f, type, 1);
	for (i = 0; i < 1000000; i++)
		free_well(f.thread, gcheap_new(f.thread, type));
	for (i = 0; i < 1000; i++)
		free_well(f.thread, gcheap_new_leaf(f.thread, 100000));
	assert_int_equal(stats_of(f.heap).cycles, 0);
	fixture_close(&f);
}

/* In the window, in windows before it, in spans that are used up: twice is found. */
static void test_err_free_twice(void **state)
{
	struct fixture f;
	size_t i, k;

	(void)state;
	in_each_layout(k) {
		gcheap_type type;

		fixture_open_layout(&f, test_layouts[k].layout);
		type = type_with_mask(f.heap, 48, 8, 1);
		busy_type(&f, type, 1);
		for (i = 0; i < KEPT; i++)
			objects[i] = gcheap_new(f.thread, type);
		for (i = 0; i < KEPT; i += 3) {
			free_well(f.thread, objects[i]);
			assert_free_refused(f.thread, objects[i], "free already");
		}
		for (i = 0; i < KEPT; i++) {
			if (i % 3 == 0)
				assert_free_refused(f.thread, objects[i], "free already");
			else
				free_well(f.thread, objects[i]);
		}
		assert_int_equal(live_after_collect(&f), 0);
		memset(objects, 0, sizeof(objects));
		fixture_close(&f);
	}
}

static void test_err_free(void **state)
{
	struct fixture f, g;
	gcheap_type type;
	char *object, *large;

	(void)state;
	fixture_open(&f);
	fixture_open(&g);
	type = type_with_mask(f.heap, 64, 8, 1);
	object = gcheap_new(f.thread, type);
	large = gcheap_new_leaf(f.thread, 100000);
	assert_free_refused(NULL, object, "thread is NULL");
	assert_free_refused(f.thread, object + 8, "inside");
	assert_free_refused(f.thread, object + 1, "inside");
	assert_free_refused(f.thread, large + 8192, "inside");
	assert_free_refused(f.thread, &f, "no object");
	assert_free_refused(f.thread, (void *)8, "no object");
	assert_free_refused(g.thread, object, "no object");
	free_well(f.thread, NULL);
	free_well(f.thread, gcheap_new_leaf(f.thread, 3));
	free_well(f.thread, object);
	free_well(f.thread, large);
	fixture_close(&g);
	fixture_close(&f);
}

/* ---- another thread's ------------------------------------------------------------------ */

static void *make_elsewhere(void *arg)
{
	struct fixture *f = arg;
	struct gcheap_thread *thread;
	size_t i;

	if (gcheap_thread_attach(f->heap, &thread))
		return NULL;
	for (i = 0; i < KEPT; i++)
		objects[i] = gcheap_new_leaf(thread, 64);
	return thread;
}

/* They stay until a cycle, whether the other thread still has their span or not. */
static void test_objects_of_another_thread(void **state)
{
	struct fixture f;
	pthread_t other;
	size_t i;

	(void)state;
	fixture_open(&f);
	assert_int_equal(gcheap_root_add(f.heap, objects, KEPT), 0);
	assert_int_equal(pthread_create(&other, NULL, make_elsewhere, &f), 0);
	gcheap_park(f.thread);
	pthread_join(other, NULL);
	gcheap_unpark(f.thread);
	for (i = 0; i < KEPT; i++) {
		free_well(f.thread, objects[i]);
		objects[i] = NULL;
	}
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

/* ---- other numbers of elements ------------------------------------------------------------ */

static void test_elements_are_scanned_wherever_they_are(void **state)
{
	static const size_t counts[] = { 1, 2, 3, 5, 6, 20, 21, 22, 40, 100, 1500, 3000, 2999, 1700,
					 1000, 30, 21, 20, 8, 2, 1 };
	struct fixture f;
	void **array;
	size_t i, c, k;

	(void)state;
	in_each_layout(k) {
		gcheap_type type;
		size_t old = 0;

		array = NULL;
		fixture_open_layout(&f, test_layouts[k].layout);
		type = type_with_mask(f.heap, 24, 8, 2);
		assert_int_equal(gcheap_root_add(f.heap, &array, 1), 0);
		for (c = 0; c < ARRAY_SIZE(counts); c++) {
			size_t n = counts[c];

			array = gcheap_realloc(f.thread, type, array, n);
			assert_non_null(array);
			for (i = old; i < n; i++) {
				assert_true(is_all(&array[i * 3], 24, 0));
				array[i * 3] = (void *)~i;
				array[i * 3 + 1] = gcheap_new_leaf(f.thread, 32);
			}
			for (i = 0; i < n; i++)
				assert_ptr_equal(array[i * 3], (void *)~i);
			old = n;
			assert_int_equal(live_after_collect(&f), n + 1);
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

/* Slots of 288 bytes have room for 17 elements, and for 18. */
static void test_elements_that_are_added_in_place_are_scanned(void **state)
{
	struct fixture f;
	void **array;
	size_t k;

	(void)state;
	in_each_layout(k) {
		gcheap_type type;
		void **same;

		fixture_open_layout(&f, test_layouts[k].layout);
		type = type_with_mask(f.heap, 16, 8, 1);
		assert_int_equal(gcheap_root_add(f.heap, &array, 1), 0);
		array = gcheap_new_array(f.thread, type, 17);
		same = gcheap_realloc(f.thread, type, array, 18);
		assert_ptr_equal(same, array);
		array[34] = gcheap_new_leaf(f.thread, 32);
		assert_int_equal(live_after_collect(&f), 2);
		fixture_close(&f);
	}
}

/* Nothing leads to it but the call. */
static void test_an_object_lives_while_it_is_resized(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	char *leaf;
	int i;

	(void)state;
	config.flags = GCHEAP_FAULT_FREED;
	fixture_open_with(&f, &config);
	leaf = gcheap_new_leaf(f.thread, 20000);
	memset(leaf, 9, 20000);
	for (i = 0; i < 100; i++) {
		leaf = gcheap_realloc(f.thread, 0, leaf, i % 2 ? 20000 : 1 << 20);
		assert_true(is_all(leaf, 20000, 9));
	}
	assert_true(stats_of(f.heap).cycles >= 5);
	fixture_close(&f);
}

/* A slot of fresh memory is not zeroed when it is allocated: it has to be when it is freed. */
static void test_what_is_freed_in_fresh_memory_is_zeroed(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	fixture_open(&f);
	for (i = 0; i < 100; i++) {
		unsigned char *leaf = gcheap_new_leaf(f.thread, 200);

		assert_true(is_all(leaf, 200, 0));
		memset(leaf, 7, 200);
		free_well(f.thread, leaf);
		assert_ptr_equal(gcheap_new_leaf(f.thread, 200), leaf);
		assert_true(is_all(leaf, 200, 0));
		memset(leaf, 7, 200);
	}
	fixture_close(&f);
}

#if UNDER_ASAN
int __asan_address_is_poisoned(const volatile void *byte);
#else
static int __asan_address_is_poisoned(const volatile void *byte)
{
	(void)byte;
	return 0;
}
#endif

/* Guarded, what was given back is closed, and stays so although memory is wanted. */
static void test_what_is_freed_is_guarded(void **state)
{
	static const size_t bytes[] = { 16, 100, 5000, 100000 };
	struct fixture f;
	size_t i, n;

	(void)state;
	if (!UNDER_ASAN)
		skip_because("guards are AddressSanitizer's here");
	variable_set("GCHEAP_GUARDS", "1");
	fixture_open(&f);
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		char *leaf = gcheap_new_leaf(f.thread, bytes[i]);

		leaf[bytes[i] - 1] = 1;
		leaf = gcheap_realloc(f.thread, 0, leaf, bytes[i] + 1);
		assert_int_equal(leaf[bytes[i] - 1], 1);
		assert_true(__asan_address_is_poisoned(leaf + bytes[i] + 1));
		free_well(f.thread, leaf);
		assert_true(__asan_address_is_poisoned(leaf));
		for (n = 0; n < 10 && bytes[i] < 50000; n++)
			assert_ptr_not_equal(gcheap_new_leaf(f.thread, bytes[i] + 1), leaf);
		errno = 0;
		if (bytes[i] < 50000)
			assert_free_refused(f.thread, leaf, "free already");
	}
	fixture_close(&f);
}

static void test_what_fits_stays_where_it_is(void **state)
{
	struct fixture f;
	char *leaf, *moved;

	(void)state;
	fixture_open(&f);
	leaf = gcheap_new_leaf(f.thread, 100);
	memset(leaf, 7, 100);
	assert_ptr_equal(gcheap_realloc(f.thread, 0, leaf, 112), leaf);
	assert_ptr_equal(gcheap_realloc(f.thread, 0, leaf, 60), leaf);
	assert_ptr_equal(gcheap_realloc(f.thread, 0, leaf, 112), leaf);
	assert_true(is_all(leaf, 60, 7) && is_all(leaf + 60, 52, 0));
	moved = gcheap_realloc(f.thread, 0, leaf, 113);
	assert_ptr_not_equal(moved, leaf);
	assert_true(is_all(moved, 60, 7) && is_all(moved + 60, 53, 0));
	/* The old one is still there. */
	assert_true(is_all(leaf, 60, 7));
	moved = gcheap_realloc(f.thread, 0, leaf, 20);
	assert_ptr_not_equal(moved, leaf);
	leaf = gcheap_new_leaf(f.thread, 100000);
	assert_ptr_equal(gcheap_realloc(f.thread, 0, leaf, 13 << 13), leaf);
	assert_ptr_not_equal(gcheap_realloc(f.thread, 0, leaf, (13 << 13) + 1), leaf);
	/* Tiny ones: what they held is there. */
	leaf = gcheap_new_leaf(f.thread, 4);
	memcpy(leaf, "abc", 4);
	moved = gcheap_realloc(f.thread, 0, leaf, 1000);
	assert_string_equal(moved, "abc");
	fixture_close(&f);
}

/* Where all slots of a span have the same pointers, no object can have others. */
static void test_err_realloc_to_a_type_with_other_pointers(void **state)
{
	struct fixture f;
	gcheap_type first, second;
	void **object;
	static void *root;
	size_t l;

	(void)state;
	in_each_layout(l) {
		fixture_open_layout(&f, test_layouts[l].layout);
		first = type_with_mask(f.heap, 16, 8, 1);
		second = type_with_mask(f.heap, 16, 8, 2);
		busy_type(&f, first, 1);
		busy_type(&f, second, 1);
		object = gcheap_new(f.thread, first);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		root = gcheap_realloc(f.thread, second, object, 1);
		/* Either it is refused, or its second word is a pointer from now on. */
		if (root) {
			((void **)root)[1] = gcheap_new(f.thread, first);
			assert_int_equal(live_after_collect(&f), 2);
		} else {
			assert_error_says("another type");
		}
		assert_true(root || test_layouts[l].layout == GCHEAP_LAYOUT_SPAN);
		assert_int_equal(gcheap_root_remove(f.heap, &root), 0);
		fixture_close(&f);
	}
}

static void test_err_realloc(void **state)
{
	struct fixture f;
	gcheap_type type, flat;
	char *object, *leaf;

	(void)state;
	fixture_open(&f);
	type = type_with_mask(f.heap, 64, 8, 1);
	flat = type_with_mask(f.heap, 64, 8, 0);
	object = gcheap_new(f.thread, type);
	leaf = gcheap_new_leaf(f.thread, 64);
	memset(leaf, 5, 64);
	assert_refused_null(gcheap_realloc(NULL, type, object, 2), EINVAL, "thread is NULL");
	assert_refused_null(gcheap_realloc(f.thread, flat + 1, object, 2), EINVAL, "no type");
	assert_refused_null(gcheap_realloc(f.thread, type, object, 0), EINVAL, "0 elements");
	assert_refused_null(gcheap_realloc(f.thread, 0, leaf, 0), EINVAL, "0 elements");
	assert_refused_null(gcheap_realloc(f.thread, type, NULL, 0), EINVAL, "0 elements");
	assert_refused_null(gcheap_realloc(f.thread, type, object + 8, 2), EINVAL, "inside");
	assert_refused_null(gcheap_realloc(f.thread, type, &f, 2), EINVAL, "no object");
	assert_refused_null(gcheap_realloc(f.thread, 0, object, 2), EINVAL, "another type");
	assert_refused_null(gcheap_realloc(f.thread, flat, object, 2), EINVAL, "another type");
	assert_refused_null(gcheap_realloc(f.thread, type, leaf, 2), EINVAL, "another type");
	assert_refused_null(gcheap_realloc(f.thread, type, object, SIZE_MAX / 8), ENOMEM, "any heap");
	assert_refused_null(gcheap_realloc(f.thread, 0, leaf, (size_t)1 << 40), ENOMEM, "memory");
	assert_true(is_all(leaf, 64, 5));
	assert_non_null(gcheap_realloc(f.thread, type, object, 2));
	free_well(f.thread, leaf);
	assert_refused_null(gcheap_realloc(f.thread, 0, leaf, 64), EINVAL, "free already");
	fixture_close(&f);
}

/*
 * More comes back than was taken since the last cycle, beside it objects of before: then nothing
 * was taken, and not less than that.
 */
static void test_more_comes_back_than_was_taken(void **state)
{
	static void *small[4000];
	struct gcheap_config config = fixture_config();
	struct fixture f;
	void *large;
	size_t i;

	(void)state;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	large = gcheap_new_leaf(f.thread, 64 << 20);
	assert_non_null(large);
	assert_int_equal(gcheap_root_add(f.heap, &large, 1), 0);
	assert_int_equal(gcheap_root_add(f.heap, small, ARRAY_SIZE(small)), 0);
	for (i = 0; i < ARRAY_SIZE(small); i++)
		small[i] = gcheap_new_leaf(f.thread, 256);
	for (i = 0; i < ARRAY_SIZE(small); i += 2)
		small[i] = NULL;
	assert_int_equal(gcheap_collect(f.thread), 0);
	for (i = 0; i < ARRAY_SIZE(small); i += 2)
		small[i] = i < 3000 ? gcheap_new_leaf(f.thread, 256) : NULL;
	free_well(f.thread, large);
	large = NULL;
	for (i = 0; i < ARRAY_SIZE(small); i++) {
		if (small[i])
			free_well(f.thread, small[i]);
	}
	gcheap_thread_detach(f.thread);
	assert_true(pacer_taken(&f.heap->pacer) < 64 << 20);
	f.thread = NULL;
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_that_are_freed_and_resized),
		cmocka_unit_test(test_they_are_verified),
		cmocka_unit_test(test_memory_is_handed_out_again_at_once),
		cmocka_unit_test(test_large_objects_go_back_at_once),
		cmocka_unit_test(test_who_frees_all_needs_no_cycle),
		cmocka_unit_test(test_err_free_twice),
		cmocka_unit_test(test_err_free),
		cmocka_unit_test(test_objects_of_another_thread),
		cmocka_unit_test(test_elements_are_scanned_wherever_they_are),
		cmocka_unit_test(test_elements_that_are_added_in_place_are_scanned),
		cmocka_unit_test(test_an_object_lives_while_it_is_resized),
		cmocka_unit_test(test_what_is_freed_in_fresh_memory_is_zeroed),
		cmocka_unit_test_teardown(test_what_is_freed_is_guarded, variables_restore),
		cmocka_unit_test(test_what_fits_stays_where_it_is),
		cmocka_unit_test(test_more_comes_back_than_was_taken),
		cmocka_unit_test(test_err_realloc),
		cmocka_unit_test(test_err_realloc_to_a_type_with_other_pointers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
