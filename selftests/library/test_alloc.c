// SPDX-License-Identifier: MIT
/*
 * Allocation: zeroed, aligned, disjoint objects of every size, also in spans with
 * holes; what is refused; how often the backend is asked.
 */
#include <pthread.h>
#include <stdio.h>

#include "library_test.h"

/* Sizes at, below and above those of slots; odd strides, spans of several pages. */
static const size_t sizes[] = {
	8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 104, 112, 128, 136, 144, 176, 208, 248, 256, 264,
	352, 416, 480, 504, 512, 520, 576, 704, 896, 1016, 1024, 1032, 1152, 1408, 1792, 2048,
	2304, 2688, 3072, 3200, 4096, 4864, 6144, 6784, 8192, 8200, 10240, 14336, 18432, 20480,
	27264, 32760, 32768, 32776, 65536, 100000,
};

static bool is_zero(const void *memory, size_t bytes)
{
	const unsigned char *at = memory;

	while (bytes && !*at) {
		at++;
		bytes--;
	}
	return !bytes;
}

/* ---- threads ----------------------------------------------------------------- */

static void test_err_attach(void **state)
{
	struct fixture *f = *state;
	struct gcheap_thread *second = NULL;

	assert_refused(gcheap_thread_attach(f->heap, &second), EBUSY, "attached to the heap already");
	gcheap_thread_detach(f->thread);
	assert_refused(gcheap_thread_attach(f->heap, NULL), EINVAL, "thread is NULL");
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	gcheap_thread_detach(NULL);
}

static void *attach_elsewhere(void *arg)
{
	struct fixture *f = arg;
	void *object = NULL;

	if (!gcheap_thread_attach(f->heap, &f->thread)) {
		object = gcheap_new_leaf(f->thread, 64);
		if (gcheap_collect(f->thread))
			object = NULL;
		gcheap_thread_detach(f->thread);
	}
	return object;
}

static void test_a_heap_moves_from_thread_to_thread(void **state)
{
	struct fixture *f = *state;
	pthread_t other;
	void *object;

	gcheap_thread_detach(f->thread);
	assert_int_equal(pthread_create(&other, NULL, attach_elsewhere, f), 0);
	pthread_join(other, &object);
	assert_non_null(object);
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	assert_non_null(gcheap_new_leaf(f->thread, 64));
}

static void test_what_a_detached_thread_allocated_stays(void **state)
{
	struct fixture *f = *state;
	void *slots[10];
	int i;

	for (i = 0; i < 10; i++) {
		slots[i] = gcheap_new_leaf(f->thread, 64);
		memset(slots[i], i, 64);
	}
	assert_int_equal(gcheap_root_add(f->heap, slots, 10), 0);
	gcheap_thread_detach(f->thread);
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	assert_int_equal(live_after_collect(f), 10);
	for (i = 0; i < 1000; i++)
		memset(gcheap_new_leaf(f->thread, 64), 0xff, 64);
	for (i = 0; i < 10; i++)
		assert_int_equal(((unsigned char *)slots[i])[63], i);
}

/* ---- refusals ---------------------------------------------------------------- */

static void test_err_new(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 64, 8, 1);

	assert_refused_null(gcheap_new(NULL, type), EINVAL, "thread is NULL");
	assert_refused_null(gcheap_new(f->thread, 0), EINVAL, "no type");
	assert_refused_null(gcheap_new(f->thread, type + 1), EINVAL, "no type");
	assert_refused_null(gcheap_new(f->thread, UINT32_MAX), EINVAL, "no type");
	assert_non_null(gcheap_new(f->thread, type));
	assert_refused_null(gcheap_new(f->thread, 0), EINVAL, "no type");
	assert_refused_null(gcheap_new(f->thread, type + 1), EINVAL, "no type");
}

static void test_err_new_array(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 64, 8, 1);

	assert_refused_null(gcheap_new_array(NULL, type, 2), EINVAL, "thread is NULL");
	assert_refused_null(gcheap_new_array(f->thread, 0, 2), EINVAL, "no type");
	assert_refused_null(gcheap_new_array(f->thread, type, 0), EINVAL, "0 elements");
	assert_refused_null(gcheap_new_array(f->thread, type, SIZE_MAX), ENOMEM, "any heap");
	assert_refused_null(gcheap_new_array(f->thread, type, SIZE_MAX / 64), ENOMEM, "memory");
	assert_refused_null(gcheap_new_array(f->thread, type, SIZE_MAX / 64 + 2), ENOMEM,
			    "any heap");
	assert_refused_null(gcheap_new_array(f->thread, type, (size_t)1 << 34), ENOMEM, "memory");
	assert_non_null(gcheap_new_array(f->thread, type, 1));
	/* There is no room for a type word behind, or before, the last of 2^64 bytes. */
	type = type_with_mask(f->heap, 8, 8, 1);
	assert_refused_null(gcheap_new_array(f->thread, type, SIZE_MAX / 8), ENOMEM, "memory");
	type = type_with_mask(f->heap, 64, 64, 1);
	assert_refused_null(gcheap_new_array(f->thread, type, SIZE_MAX / 64), ENOMEM, "memory");
}

static void test_err_new_leaf(void **state)
{
	struct fixture *f = *state;
	size_t i;

	assert_refused_null(gcheap_new_leaf(NULL, 8), EINVAL, "thread is NULL");
	assert_refused_null(gcheap_new_leaf(f->thread, 0), EINVAL, "0 bytes");
	for (i = 0; i < 40; i++)
		assert_refused_null(gcheap_new_leaf(f->thread, SIZE_MAX - i), ENOMEM, "memory");
	assert_refused_null(gcheap_new_leaf(f->thread, (size_t)1 << 40), ENOMEM, "memory");
	assert_non_null(gcheap_new_leaf(f->thread, 1));
	assert_refused_null(gcheap_new_leaf(f->thread, 0), EINVAL, "0 bytes");
}

/* ---- objects of every size ---------------------------------------------------- */

/* One way to allocate: a size, and leaf or pointers. */
struct way {
	size_t bytes;
	gcheap_type type;	/* 0: leaf */
	size_t count;
};

static void *way_new(struct fixture *f, const struct way *way)
{
	if (!way->type)
		return gcheap_new_leaf(f->thread, way->bytes);
	if (way->count == 1)
		return gcheap_new(f->thread, way->type);
	return gcheap_new_array(f->thread, way->type, way->count);
}

/*
 * Keeps a table of objects, each filled with a number of its own, replaces them at
 * random, and collects now and then: an object that overlaps another, is not zero
 * at birth or is freed early shows. Pointer words hold NULL or another object.
 */
static void churn(struct fixture *f, const struct way *way, size_t keep, size_t steps)
{
	void **table = calloc(keep, sizeof(*table));
	unsigned char *stamps = calloc(keep, 1);
	uint64_t seed = way->bytes * 2 + !way->type;
	size_t first = way->type ? 8 : 0;	/* the pointer word is not stamped */
	size_t i;

	assert_int_equal(gcheap_root_add(f->heap, table, keep), 0);
	for (i = 0; i < steps; i++) {
		size_t at = random_next(&seed) % keep;
		unsigned char *object = way_new(f, way);
		unsigned char *old = table[at];

		if (!object)
			fail_msg("%zu bytes: %s", way->bytes, gcheap_error());
		if (!is_zero(object, way->bytes))
			fail_msg("%zu bytes: not zeroed", way->bytes);
		if (old && way->bytes > first && (old[first] != stamps[at] ||
						  old[way->bytes - 1] != stamps[at]))
			fail_msg("%zu bytes: overwritten", way->bytes);
		stamps[at] = (unsigned char)random_next(&seed);
		memset(object + first, stamps[at], way->bytes - first);
		table[at] = object;
		/* A third stays empty for a while: spans get holes. */
		if (random_next(&seed) % 3 == 0)
			table[random_next(&seed) % keep] = NULL;
		if (random_next(&seed) % (steps / 4) == 0)
			assert_int_equal(gcheap_collect(f->thread), 0);
	}
	assert_int_equal(gcheap_root_remove(f->heap, table), 0);
	free(stamps);
	free(table);
}

static void churn_all(struct fixture *f, bool leaves, size_t count)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct way way = { .bytes = sizes[i] * count, .count = count };
		size_t keep = 4096 * 64 / way.bytes;

		if (!leaves)
			way.type = type_with_mask(f->heap, sizes[i], 8, 1);
		if (keep < 8)
			keep = 8;
		if (keep > 2048)
			keep = 2048;
		churn(f, &way, keep, keep * 8);
	}
}

static void test_leaves_of_all_sizes(void **state)
{
	churn_all(*state, true, 1);
}

static void test_objects_with_pointers_of_all_sizes(void **state)
{
	churn_all(*state, false, 1);
}

static void test_arrays_of_all_sizes(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 2; i < 20; i += 3) {
		struct way way = {
			.bytes = 24 * i * i,
			.type = type_with_mask(f->heap, 24, 8, 1),
			.count = i * i,
		};

		churn(f, &way, 100, 400);
	}
}

/* The second and later elements' pointers are pointers too. */
static void test_arrays_are_followed_to_their_end(void **state)
{
	static const size_t counts[] = { 2, 3, 7, 20, 21, 22, 42, 100, 1000, 2000, 50000 };
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 24, 8, 2);
	void *root = NULL;
	size_t c, i;

	assert_int_equal(gcheap_root_add(f->heap, &root, 1), 0);
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		uintptr_t *array;

		root = gcheap_new_array(f->thread, type, counts[c]);
		array = root;
		for (i = 0; i < counts[c]; i++)
			array[i * 3 + 1] = (uintptr_t)gcheap_new_leaf(f->thread, 16);
		assert_int_equal(live_after_collect(f), 1 + counts[c]);
	}
}

static void test_types_keep_their_alignment(void **state)
{
	struct fixture *f = *state;
	void *keep[32] = { NULL };
	size_t align, blocks, i;

	assert_int_equal(gcheap_root_add_ambiguous(f->heap, keep, sizeof(keep)), 0);
	for (align = 1; align <= 8192; align *= 2) {
		for (blocks = 1; blocks <= 5; blocks++) {
			size_t bytes = align * blocks;
			gcheap_type scan = 0;
			gcheap_type noscan = type_with_mask(f->heap, bytes, align, 0);

			if (align >= 8)
				scan = type_with_mask(f->heap, bytes, align, 1);
			for (i = 0; i < 32; i++) {
				keep[i] = gcheap_new(f->thread, i % 2 && scan ? scan : noscan);
				assert_int_equal((uintptr_t)keep[i] % align, 0);
			}
			for (i = 0; i < 8; i++) {
				keep[i] = gcheap_new_array(f->thread, i % 2 && scan ? scan : noscan,
							   i * 7 + 1);
				assert_int_equal((uintptr_t)keep[i] % align, 0);
			}
		}
	}
	memset(keep, 0, sizeof(keep));
	assert_int_equal(gcheap_root_remove(f->heap, keep), 0);
}

static void test_leaves_are_aligned_as_mallocs(void **state)
{
	struct fixture *f = *state;
	size_t bytes;

	/* What is smaller than 16 bytes is aligned as what fits it asks for. */
	for (bytes = 1; bytes < 5000; bytes++)
		assert_int_equal((uintptr_t)gcheap_new_leaf(f->thread, bytes) %
				 (bytes > 8 ? 16 : bytes > 4 ? 8 : bytes > 2 ? 4 : bytes), 0);
}

/* ---- memory and requests ------------------------------------------------------ */

static void test_out_of_reserve_is_enomem_and_the_heap_recovers(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	gcheap_type type;
	void *list = NULL;
	uint64_t count = 0;

	(void)state;
	config.reserve_bytes = 64 << 20;
	fixture_open_with(&f, &config);
	type = type_with_mask(f.heap, 1024, 8, 1);
	assert_int_equal(gcheap_root_add(f.heap, &list, 1), 0);
	for (;;) {
		void **object;

		errno = 0;
		object = gcheap_new(f.thread, type);
		if (!object)
			break;
		*object = list;
		list = object;
		count++;
	}
	assert_int_equal(errno, ENOMEM);
	assert_error_says("out of memory");
	assert_in_range(count, 55000, 65536);
	assert_refused_null(gcheap_new_leaf(f.thread, 1 << 20), ENOMEM, "out of memory");
	assert_int_equal(live_after_collect(&f), count);

	list = NULL;
	assert_non_null(gcheap_new_leaf(f.thread, 32 << 20));
	assert_non_null(gcheap_new(f.thread, type));
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

static void test_a_request_brings_128_kib_of_objects_at_least(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 64, 8, 0xf);
	uint64_t requests = stats_of(f->heap).requests;
	size_t bytes = (size_t)64 << 20;
	size_t i;

	for (i = 0; i < bytes / 64; i++)
		assert_non_null(gcheap_new(f->thread, type));
	requests = stats_of(f->heap).requests - requests;
	/* Those of the cycles are among them. */
	assert_in_range(requests, 1, bytes / (128 << 10));
}

/*
 * 200 types with different masks, an object of each in turn: each holds one span
 * at most, and what it holds back brings no cycle about.
 */
static void test_types_of_little_volume_do_not_hoard(void **state)
{
	struct fixture *f = *state;
	gcheap_type types[200];
	int round;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		types[i] = type_with_mask(f->heap, 64, 8, i + 1);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < ARRAY_SIZE(types); i++)
			assert_non_null(gcheap_new(f->thread, types[i]));
	}
	assert_int_equal(stats_of(f->heap).cycles, 0);
	assert_in_range(stats_of(f->heap).mapped_bytes, 8192,
			(ARRAY_SIZE(types) << 13) + (2 << 20));
}

static void test_allocated_is_counted_to_the_object(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 48, 8, 1);
	struct gcheap_stats before = stats_of(f->heap), after;
	int i;

	for (i = 1; i <= 100000; i++) {
		assert_non_null(gcheap_new(f->thread, type));
		if (i % 9973 == 0) {
			after = stats_of(f->heap);
			assert_int_equal(after.allocated_objects - before.allocated_objects, i);
			assert_int_equal(after.allocated_bytes - before.allocated_bytes, i * 48);
		}
	}
	assert_non_null(gcheap_new_leaf(f->thread, 100000));
	after = stats_of(f->heap);
	assert_int_equal(after.allocated_objects - before.allocated_objects, 100001);
	assert_int_equal(after.allocated_bytes - before.allocated_bytes, 4800000 + (13 << 13));
}

/* ---- stores ------------------------------------------------------------------- */

static void test_copy_and_clear_elements(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, 24, 8, 1);
	uint64_t *array = gcheap_new_array(f->thread, type, 10);
	uint64_t i;

	for (i = 0; i < 30; i++)
		array[i] = i % 3 ? i : 0;
	/* Overlapping, upwards. */
	gcheap_copy(f->thread, type, array + 3, array, 5);
	for (i = 3; i < 18; i++)
		assert_int_equal(array[i], i % 3 ? i - 3 : 0);
	gcheap_clear(f->thread, type, array + 3, 2);
	assert_true(is_zero(array + 3, 48));
	assert_int_equal(array[1], 1);
	assert_int_equal(array[10], 7);
	gcheap_copy(f->thread, type, array, array + 3, 0);
	assert_int_equal(array[1], 1);
	errno = 0;
	gcheap_copy(f->thread, type, array, array + 3, SIZE_MAX / 2);
	assert_int_equal(errno, EINVAL);
	assert_error_says("more than any heap has");
	gcheap_copy(f->thread, 0, array, array + 3, 1);
	assert_error_says("no type");
	assert_int_equal(array[1], 1);
	gcheap_clear(NULL, type, array, 1);
	assert_error_says("thread is NULL");
	assert_int_equal(array[1], 1);
	gcheap_store(f->thread, &array[0], array);
	assert_ptr_equal((void *)array[0], array);
}

/* Against memmove() and memset() of the same words elsewhere. */
static void test_copies_that_overlap_and_clears(void **state)
{
	enum { WORDS = 9, ELEMENTS = 400 };
	static uint64_t model[WORDS * ELEMENTS];
	struct fixture *f = *state;
	gcheap_type type = type_with_mask(f->heap, WORDS * 8, 8, 0x99);
	uint64_t *array = gcheap_new_array(f->thread, type, ELEMENTS);
	size_t i, n;

	for (i = 0; i < WORDS * ELEMENTS; i++)
		array[i] = i % 5 ? (uintptr_t)gcheap_new_leaf(f->thread, 16) : i;
	memcpy(model, array, sizeof(model));
	for (n = 1; n < 60; n++) {
		size_t from = n * 3 % 50 * WORDS, to = n * 7 % 50 * WORDS;

		gcheap_copy(f->thread, type, array + to, array + from, n);
		memmove(model + to, model + from, n * WORDS * 8);
		assert_memory_equal(array, model, sizeof(model));
		gcheap_clear(f->thread, type, array + (200 + n) * WORDS, n);
		memset(model + (200 + n) * WORDS, 0, n * WORDS * 8);
		assert_memory_equal(array, model, sizeof(model));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_err_attach),
		fixture_test(test_a_heap_moves_from_thread_to_thread),
		fixture_test(test_what_a_detached_thread_allocated_stays),
		fixture_test(test_err_new),
		fixture_test(test_err_new_array),
		fixture_test(test_err_new_leaf),
		fixture_test(test_leaves_of_all_sizes),
		fixture_test(test_objects_with_pointers_of_all_sizes),
		fixture_test(test_arrays_of_all_sizes),
		fixture_test(test_arrays_are_followed_to_their_end),
		fixture_test(test_types_keep_their_alignment),
		fixture_test(test_leaves_are_aligned_as_mallocs),
		cmocka_unit_test(test_out_of_reserve_is_enomem_and_the_heap_recovers),
		fixture_test(test_a_request_brings_128_kib_of_objects_at_least),
		fixture_test(test_types_of_little_volume_do_not_hoard),
		fixture_test(test_allocated_is_counted_to_the_object),
		fixture_test(test_copy_and_clear_elements),
		fixture_test(test_copies_that_overlap_and_clears),
	};

	return run_in_all_layouts("alloc", tests);
}
