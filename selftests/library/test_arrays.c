// SPDX-License-Identifier: MIT
/*
 * Arrays of up to 1 KiB, which the inline functions find by their number of elements; and
 * leaves that are not zeroed.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#include "address.h"
#include "library.h"
#include "thread.h"

static const size_t sizes[] = {
	1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32, 40, 72, 100, 128, 200, 504, 512, 520, 1000, 1024, 2000,
};

static struct thread *thread_of(const struct fixture *f)
{
	return (struct thread *)f->thread;
}

/* The cache that the inline functions see; NULL: there is no entry. */
static const struct gcheap_cache_ *entry_of(const struct fixture *f, gcheap_type type, size_t n)
{
	const struct gcheap_thread *thread = f->thread;

	if (type >= thread->array_types || n >= thread->arrays[type].count)
		return NULL;
	return thread->arrays[type].caches[n];
}

static bool is_inlined(const struct fixture *f, gcheap_type type, size_t n)
{
	const struct gcheap_cache_ *entry = entry_of(f, type, n);

	return entry && entry->owner;
}

static bool is_all(const void *memory, size_t bytes, int value)
{
	const unsigned char *at = memory;

	while (bytes && *at == value) {
		at++;
		bytes--;
	}
	return !bytes;
}

static enum gcheap_kind kind_of(const struct fixture *f, const void *object)
{
	const struct view *view = &f->heap->view;

	return GCHEAP_PAGE_KIND(view->pages[address_offset(view, object) >> GCHEAP_PAGE_SHIFT]);
}

/* ---- which arrays -------------------------------------------------------------- */

/* How many arrays of this length are inlined after some: all, or none. */
static void assert_inlined(struct fixture *f, gcheap_type type, size_t n, bool inlined)
{
	busy_type(f, type, n);
	assert_non_null(gcheap_new_array(f->thread, type, n));
	if (is_inlined(f, type, n) != inlined)
		fail_msg("arrays of %zu are%s inlined", n, inlined ? " not" : "");
}

static void test_arrays_of_up_to_1_kib_are_inlined(void **state)
{
	struct fixture f;
	gcheap_type type;
	size_t i;

	(void)state;
	in_each_layout(i) {
		bool own = test_layouts[i].layout == GCHEAP_LAYOUT_SPAN;

		fixture_open_layout(&f, test_layouts[i].layout);
		type = type_with_mask(f.heap, 24, 8, 1);
		assert_inlined(&f, type, 1, own);
		assert_inlined(&f, type, 2, own);
		assert_inlined(&f, type, 42, own);
		assert_inlined(&f, type, 43, false);
		type = type_with_mask(f.heap, 24, 8, 0);
		assert_inlined(&f, type, 2, true);
		assert_inlined(&f, type, 42, true);
		assert_inlined(&f, type, 43, false);
		/* Tiny ones, in cells. */
		type = type_with_mask(f.heap, 1, 1, 0);
		assert_inlined(&f, type, 3, true);
		assert_inlined(&f, type, 1024, true);
		assert_inlined(&f, type, 1025, false);
		fixture_close(&f);
	}
}

static void test_one_element_is_inlined_whatever_its_size(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		gcheap_type type = type_with_mask(f.heap, sizes[i], 1, 0);
		volatile size_t one = 1;

		assert_non_null(gcheap_new_array(f.thread, type, one));
		assert_true(is_inlined(&f, type, 1));
	}
	fixture_close(&f);
}

static void test_checked_arrays_are_not_inlined(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	gcheap_type type;

	(void)state;
	config.flags = GCHEAP_VERIFY;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	type = type_with_mask(f.heap, 24, 8, 1);
	assert_inlined(&f, type, 2, false);
	type = type_with_mask(f.heap, 24, 8, 0);
	assert_inlined(&f, type, 2, false);
	fixture_close(&f);
}

static void test_programs_without_arrays_have_no_tables_for_them(void **state)
{
	struct fixture f;
	gcheap_type type, other;
	uint64_t bytes;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 8, 8, 0);
	other = type_with_mask(f.heap, 8, 8, 0);
	assert_non_null(gcheap_new(f.thread, type));
	assert_non_null(gcheap_new(f.thread, other));
	assert_int_equal(f.thread->array_types, 0);
	bytes = thread_of(&f)->memory_bytes;
	assert_non_null(gcheap_new_array(f.thread, type, 100));
	assert_int_equal(f.thread->arrays[type].count, 129);
	assert_int_equal(f.thread->arrays[other].count, 0);
	assert_true(thread_of(&f)->memory_bytes >= bytes + 129 * sizeof(void *));
	fixture_close(&f);
}

/* ---- what they are ------------------------------------------------------------- */

#define KEPT	300u

static unsigned char *kept[KEPT];

/* Arrays of one length are replaced at random: zeroed, apart from each other, and found. */
static void churn(struct fixture *f, gcheap_type type, size_t size, size_t n, bool scan)
{
	size_t bytes = size * n, first = scan ? 8 : 0, i;
	uint64_t seed = size * 1000 + n;

	for (i = 0; i < KEPT * 4; i++) {
		size_t at = random_next(&seed) % KEPT;
		unsigned char stamp = (unsigned char)(at * 7 + n) | 1;
		unsigned char *array = gcheap_new_array(f->thread, type, n);

		if (!array || !is_all(array, bytes, 0))
			fail_msg("%zu elements of %zu: %s", n, size, array ? "not zeroed" :
				 gcheap_error());
		if (kept[at] && !is_all(kept[at] + first, bytes - first, stamp))
			fail_msg("%zu elements of %zu: overwritten", n, size);
		memset(array + first, stamp, bytes - first);
		kept[at] = array;
		if (i % 500 == 499)
			assert_int_equal(gcheap_collect(f->thread), 0);
	}
	for (i = 0; i < KEPT; i++) {
		struct gcheap_object found;

		if (kept[i]) {
			assert_int_equal(gcheap_find(f->heap, kept[i] + bytes - 1, &found), 0);
			assert_true(found.size >= bytes || bytes <= 8);
		}
		kept[i] = NULL;
	}
}

static void churn_layout(const struct test_layout *layout, uint32_t flags)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	size_t s, n;

	config.layout = layout->layout;
	config.flags = flags;
	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	assert_int_equal(gcheap_root_add(f.heap, kept, KEPT), 0);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		gcheap_type type = type_with_mask(f.heap, sizes[s], 1, 0);

		for (n = 1; n * sizes[s] <= 1100; n = n * 2 + 1)
			churn(&f, type, sizes[s], n, false);
		/* The first word is a pointer, and the others are data: of the first element. */
		if (sizes[s] % 8)
			continue;
		type = type_with_mask(f.heap, sizes[s], 8, 1);
		churn(&f, type, sizes[s], 1, true);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_arrays_are_zeroed_and_apart(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i) {
		churn_layout(&test_layouts[i], 0);
		churn_layout(&test_layouts[i], GCHEAP_RECORD_TYPES);
	}
}

/* Each element's pointer keeps a leaf, and nothing else does. */
static void test_all_elements_are_scanned(void **state)
{
	struct fixture f;
	size_t i, n, e;

	(void)state;
	in_each_layout(i) {
		void **array = NULL;
		gcheap_type type;

		fixture_open_layout(&f, test_layouts[i].layout);
		assert_int_equal(gcheap_root_add(f.heap, &array, 1), 0);
		type = type_with_mask(f.heap, 24, 8, 2);
		for (n = 1; n <= 42; n++) {
			busy_type(&f, type, n);
			array = gcheap_new_array(f.thread, type, n);
			for (e = 0; e < n; e++) {
				array[e * 3] = gcheap_new_leaf(f.thread, 16);
				array[e * 3 + 1] = gcheap_new_leaf(f.thread, 16);
			}
			assert_int_equal(live_after_collect(&f), 1 + n);
		}
		fixture_close(&f);
	}
}

static void test_recorded_types_of_arrays(void **state)
{
	struct gcheap_config config = fixture_config();
	struct gcheap_object found;
	struct fixture f;
	size_t i, n;

	(void)state;
	in_each_layout(i) {
		config.layout = test_layouts[i].layout;
		config.flags = GCHEAP_RECORD_TYPES;
		fixture_open_with(&f, &config);
		for (n = 1; n <= 64; n *= 2) {
			gcheap_type scan = type_with_mask(f.heap, 16, 8, 1);
			gcheap_type noscan = type_with_mask(f.heap, 16, 8, 0);

			busy_type(&f, scan, n);
			busy_type(&f, noscan, n);
			assert_int_equal(gcheap_find(f.heap, gcheap_new_array(f.thread, scan, n),
						     &found), 0);
			assert_int_equal(found.type, scan);
			assert_int_equal(gcheap_find(f.heap, gcheap_new_array(f.thread, noscan, n),
						     &found), 0);
			assert_int_equal(found.type, noscan);
		}
		fixture_close(&f);
	}
}

/* ---- entries that change -------------------------------------------------------- */

/* The cache of an idle class goes, perhaps to another class: the entry must not lead there. */
static void test_idle_arrays_go_back_to_mixed_spans(void **state)
{
	struct fixture f;
	gcheap_type type, other;
	void *root = NULL;
	int i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	type = type_with_mask(f.heap, 24, 8, 2);
	other = type_with_mask(f.heap, 40, 8, 0x11);
	assert_inlined(&f, type, 3, true);
	for (i = 0; i < 3; i++)
		live_after_collect(&f);
	assert_false(is_inlined(&f, type, 3));
	assert_inlined(&f, other, 2, true);
	root = gcheap_new_array(f.thread, type, 3);
	assert_int_equal(kind_of(&f, root), GCHEAP_KIND_HEAP_BITS);
	((void **)root)[7] = gcheap_new_leaf(f.thread, 16);
	assert_int_equal(live_after_collect(&f), 2);
	assert_inlined(&f, type, 3, true);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_many_types_of_arrays(void **state)
{
	struct fixture f;
	gcheap_type types[200];
	unsigned int round;
	size_t i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	assert_int_equal(gcheap_root_add(f.heap, kept, KEPT), 0);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < ARRAY_SIZE(types); i++) {
			if (!round)
				types[i] = type_with_mask(f.heap, 64, 8, i + 1);
			kept[i] = gcheap_new_array(f.thread, types[i], 1 + i % 4);
			if (i % 5 == round)
				busy_type(&f, types[i], 1 + i % 4);
		}
		assert_int_equal(live_after_collect(&f), ARRAY_SIZE(types));
	}
	memset(kept, 0, sizeof(kept));
	fixture_close(&f);
}

/* ---- refusals -------------------------------------------------------------------- */

static void test_err_arrays_that_are_inlined(void **state)
{
	struct fixture f;
	gcheap_type type;
	size_t i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 64, 8, 1);
	assert_inlined(&f, type, 2, true);
	for (i = 0; i < 2; i++) {
		assert_refused_null(gcheap_new_array(NULL, type, 2), EINVAL, "thread is NULL");
		assert_refused_null(gcheap_new_array(f.thread, 0, 2), EINVAL, "no type");
		assert_refused_null(gcheap_new_array(f.thread, type + 1, 2), EINVAL, "no type");
		assert_refused_null(gcheap_new_array(f.thread, UINT32_MAX, 2), EINVAL, "no type");
		assert_refused_null(gcheap_new_array(f.thread, type, 0), EINVAL, "0 elements");
		assert_refused_null(gcheap_new_array(f.thread, type, SIZE_MAX / 64 + 2), ENOMEM,
				    "any heap");
		assert_refused_null(gcheap_new_array(f.thread, type, SIZE_MAX / 64), ENOMEM,
				    "memory");
		assert_inlined(&f, type, 3, true);
	}
	fixture_close(&f);
}

/* A child of fork() has no heap, also where the parent had slots at hand. */
static void test_err_arrays_after_fork(void **state)
{
	struct fixture f;
	gcheap_type type;
	int status = 0;
	pid_t child;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 64, 8, 1);
	assert_inlined(&f, type, 2, true);
	assert_non_null(gcheap_new_leaf_uninit(f.thread, 64));
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		errno = 0;
		if (gcheap_new_array(f.thread, type, 2) || errno != EPERM)
			_exit(1);
		errno = 0;
		_exit(gcheap_new_leaf_uninit(f.thread, 64) || errno != EPERM ? 2 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fixture_close(&f);
}

/* ---- leaves that are not zeroed ---------------------------------------------------- */

#define LEAVES	64u

static unsigned char *leaves[LEAVES];

static const size_t leaf_sizes[] = {
	1, 2, 3, 5, 8, 9, 16, 17, 48, 100, 512, 1000, 1024, 1025, 4096, 32768, 40000, 1 << 20,
};

/* They are aligned, apart, and live as other leaves do; zeroed ones beside them are zeroed. */
static void test_leaves_that_are_not_zeroed(void **state)
{
	struct fixture f;
	size_t i, s, k;

	(void)state;
	in_each_layout(k) {
		fixture_open_layout(&f, test_layouts[k].layout);
		assert_int_equal(gcheap_root_add(f.heap, leaves, LEAVES), 0);
		for (s = 0; s < ARRAY_SIZE(leaf_sizes); s++) {
			size_t bytes = leaf_sizes[s];

			for (i = 0; i < LEAVES; i++) {
				leaves[i] = gcheap_new_leaf_uninit(f.thread, bytes);
				assert_non_null(leaves[i]);
				assert_int_equal((uintptr_t)leaves[i] % (bytes > 8 ? 16 : 1), 0);
				memset(leaves[i], (int)i + 1, bytes);
			}
			assert_true(live_after_collect(&f) <= LEAVES);
			for (i = 0; i < LEAVES; i++) {
				assert_true(is_all(leaves[i], bytes, (int)i + 1));
				leaves[i] = NULL;
			}
			live_after_collect(&f);
			for (i = 0; i < 4 * LEAVES; i++)
				assert_true(is_all(gcheap_new_leaf(f.thread, bytes), bytes, 0));
		}
		assert_int_equal(gcheap_verify(f.heap), 0);
		fixture_close(&f);
	}
}

/* What would zero it would not leave what was there. */
static void test_what_is_not_zeroed_keeps_what_was_there(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	size_t s;

	(void)state;
	config.gc_percent = -1;
	config.reserve_bytes = 64 << 20;
	fixture_open_with(&f, &config);
	for (s = 0; s < ARRAY_SIZE(leaf_sizes); s++) {
		size_t bytes = leaf_sizes[s];
		unsigned int same = 0, i;

		/* Memory for tiny ones is zeroed as a whole, before. */
		if (bytes <= 8)
			continue;
		for (i = 0; i < (4 << 20) / bytes; i++)
			memset(gcheap_new_leaf_uninit(f.thread, bytes), 0x77, bytes);
		live_after_collect(&f);
		for (i = 0; i < (8 << 20) / bytes && !same; i++)
			same += is_all(gcheap_new_leaf_uninit(f.thread, bytes), bytes, 0x77);
		if (!same)
			fail_msg("%zu bytes: zeroed", bytes);
		live_after_collect(&f);
	}
	fixture_close(&f);
}

static void test_verified_leaves_are_not_zero(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	size_t s;

	(void)state;
	config.flags = GCHEAP_VERIFY;
	fixture_open_with(&f, &config);
	for (s = 0; s < ARRAY_SIZE(leaf_sizes); s++)
		assert_true(is_all(gcheap_new_leaf_uninit(f.thread, leaf_sizes[s]), leaf_sizes[s],
				   0xa5));
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void test_err_new_leaf_uninit(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f);
	assert_refused_null(gcheap_new_leaf_uninit(NULL, 8), EINVAL, "thread is NULL");
	assert_refused_null(gcheap_new_leaf_uninit(f.thread, 0), EINVAL, "0 bytes");
	assert_refused_null(gcheap_new_leaf_uninit(f.thread, SIZE_MAX), ENOMEM, "memory");
	assert_refused_null(gcheap_new_leaf_uninit(f.thread, (size_t)1 << 40), ENOMEM, "memory");
	assert_non_null(gcheap_new_leaf_uninit(f.thread, 1));
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrays_of_up_to_1_kib_are_inlined),
		cmocka_unit_test(test_one_element_is_inlined_whatever_its_size),
		cmocka_unit_test(test_checked_arrays_are_not_inlined),
		cmocka_unit_test(test_programs_without_arrays_have_no_tables_for_them),
		cmocka_unit_test(test_arrays_are_zeroed_and_apart),
		cmocka_unit_test(test_all_elements_are_scanned),
		cmocka_unit_test(test_recorded_types_of_arrays),
		cmocka_unit_test(test_idle_arrays_go_back_to_mixed_spans),
		cmocka_unit_test(test_many_types_of_arrays),
		cmocka_unit_test(test_err_arrays_that_are_inlined),
		cmocka_unit_test(test_err_arrays_after_fork),
		cmocka_unit_test(test_leaves_that_are_not_zeroed),
		cmocka_unit_test(test_what_is_not_zeroed_keeps_what_was_there),
		cmocka_unit_test(test_verified_leaves_are_not_zero),
		cmocka_unit_test(test_err_new_leaf_uninit),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
