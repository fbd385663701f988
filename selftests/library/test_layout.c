// SPDX-License-Identifier: MIT
/*
 * Layouts: where objects stand, what may stand behind and before them, and what the
 * collector takes for pointers there. Which words of all kinds of types are
 * pointers: test_shapes.c and test_ranges.c.
 *
 * Environment: GCHEAP_SEED repeats a run, GCHEAP_ROUNDS changes its length.
 */
#include <pthread.h>
#include <sched.h>

#include "shape.h"
#if UNDER_ASAN
/* Only there are the library's own functions to be had. */
#include "inspect.h"
#include "layout/layout.h"
#include "layout/program.h"
#include "layout/size_class.h"
#include "layout/typed_pointers.h"
#include "slots.h"
#endif

#define ROUNDS		1000ul
#define ELEMENT_WORDS	20000u
#define OBJECT_WORDS	40000u

/* Heap bits of a slot are those of its last object, whatever stood there before. */
static void check_reused_slots(enum gcheap_layout layout)
{
	static const char *const patterns[] = { "pppppppp", "sssssssp", "pspspsps", "pssssppp" };
	struct shape shapes[ARRAY_SIZE(patterns)];
	struct fixture f;
	size_t i, round, w;

	fixture_open_layout(&f, layout);
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		shapes[i] = (struct shape) { .words = 8, .ptr_words = 8, .align = 8 };
		shapes[i].pointer = calloc(8, 1);
		for (w = 0; w < 8; w++)
			shapes[i].pointer[w] = patterns[i][w] == 'p';
		shape_register(f.heap, &shapes[i], SHAPE_MASK);
	}
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 3000; i++) {
			struct shape *shape = &shapes[(i + round) % ARRAY_SIZE(patterns)];
			uint64_t *object = gcheap_new(f.thread, shape->type);

			assert_non_null(object);
			shape_check_range(f.heap, shape, object, 1, 0, 8);
		}
		assert_int_equal(live_after_collect(&f), 0);
	}
	fixture_close(&f);
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		free(shapes[i].pointer);
}

static void test_a_reused_slot_has_the_new_types_pointers(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		check_reused_slots(test_layouts[i].layout);
}

/* A type all of pointers, so that only its end keeps the iterator off the footer. */
static void test_a_footer_is_not_visited(void **state)
{
	static uint8_t mask[4096];
	struct fixture f;
	gcheap_type type;
	size_t n;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_FOOTER);
	type = type_with_mask(f.heap, 8, 8, 1);
	for (n = 65; n < 4096; n += 13) {
		uint64_t *object = gcheap_new_array(f.thread, type, n);
		struct gcheap_object found;
		size_t words;

		assert_non_null(object);
		assert_int_equal(gcheap_find(f.heap, object, &found), 0);
		words = found.size / 8;
		assert_true(words >= n && words < 4096);
		assert_int_equal(object[words], type);
		assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 4096), words);
		assert_int_equal(gcheap_pointer_mask(f.heap, object + words - 1, mask, 9), 1);
	}
	fixture_close(&f);
}

/* A large object's span ends with its page: what is behind the object is not its. */
static void test_a_large_objects_rest_is_not_visited(void **state)
{
	static uint8_t mask[5120];
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		uint64_t *object;

		fixture_open_layout(&f, test_layouts[i].layout);
		object = gcheap_new_array(f.thread, type_with_mask(f.heap, 8, 8, 1), 5000);
		assert_non_null(object);
		assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 5120), 5000);
		assert_int_equal(gcheap_pointer_mask(f.heap, object + 5000, mask, 120), 0);
		fixture_close(&f);
	}
}

/* ---- alignment ---------------------------------------------------------------- */

static void check_alignments(enum gcheap_layout layout)
{
	size_t align, n, i;
	struct fixture f;

	fixture_open_layout(&f, layout);
	for (align = 8; align <= 8192; align *= 2) {
		gcheap_type type = type_with_mask(f.heap, align, align, 1);
		gcheap_type leaf = type_with_mask(f.heap, align, align, 0);

		for (n = 1; n < 12; n++) {
			for (i = 0; i < 3; i++) {
				char *object = gcheap_new_array(f.thread, type, n);

				assert_non_null(object);
				assert_int_equal((uintptr_t)object % align, 0);
				object = gcheap_new_array(f.thread, leaf, n);
				assert_non_null(object);
				assert_int_equal((uintptr_t)object % align, 0);
			}
		}
	}
	for (n = 16; n < 5000; n += 7) {
		void *leaf = gcheap_new_leaf(f.thread, n);

		assert_non_null(leaf);
		assert_int_equal((uintptr_t)leaf % 16, 0);
	}
	fixture_close(&f);
}

static void test_objects_have_their_types_alignment(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		check_alignments(test_layouts[i].layout);
}

/* ---- what is refused ---------------------------------------------------------- */

/*
 * A type word at the end of a slot costs no alignment, one at its start costs all but
 * its own: types that with it fill a slot of a power of two and ask for 8 bytes only.
 */
static void test_a_footer_leaves_the_slots_alignment(void **state)
{
	struct fixture footer, header;
	size_t slot, i;

	(void)state;
	fixture_open_layout(&footer, GCHEAP_LAYOUT_FOOTER);
	fixture_open_layout(&header, GCHEAP_LAYOUT_HEADER);
	for (slot = 1024; slot <= 8192; slot *= 2) {
		gcheap_type with_footer = type_with_mask(footer.heap, slot - 8, 8, 1);
		gcheap_type with_header = type_with_mask(header.heap, slot - 8, 8, 1);
		gcheap_type aligned = type_with_mask(footer.heap, slot, slot, 1);

		for (i = 0; i < 20; i++) {
			void *object = gcheap_new(footer.thread, with_footer);

			assert_non_null(object);
			assert_int_equal((uintptr_t)object % slot, 0);
			object = gcheap_new(footer.thread, aligned);
			assert_non_null(object);
			assert_int_equal((uintptr_t)object % slot, 0);
			object = gcheap_new(header.thread, with_header);
			assert_non_null(object);
			assert_int_equal((uintptr_t)object % slot, 8);
		}
	}
	fixture_close(&footer);
	fixture_close(&header);
}

static void test_err_pointer_mask(void **state)
{
	uint8_t mask[8];
	struct fixture f;
	uint64_t *object;

	(void)state;
	fixture_open(&f);
	object = gcheap_new(f.thread, type_with_mask(f.heap, 64, 8, 1));
	assert_non_null(object);
	assert_refused(gcheap_pointer_mask(NULL, object, mask, 8), EINVAL, "NULL");
	assert_refused(gcheap_pointer_mask(f.heap, object, NULL, 8), EINVAL, "NULL");
	assert_refused(gcheap_pointer_mask(f.heap, NULL, mask, 8), ENOENT, "object");
	assert_refused(gcheap_pointer_mask(f.heap, mask, mask, 8), ENOENT, "object");
	assert_refused(gcheap_pointer_mask(f.heap, (char *)object + 1, mask, 8), EINVAL, "word");
	assert_int_equal(gcheap_pointer_mask(f.heap, object, mask, 8), 1);
	assert_int_equal(gcheap_pointer_mask(f.heap, object, NULL, 0), 0);
	fixture_close(&f);
}

/* ---- the library's own functions ---------------------------------------------- */

#if UNDER_ASAN

/* Typed roots: elements outside the heap. Random steps of all ways to go on. */
static void iterate_elements(struct gcheap *heap, const struct shape *shape, uint64_t *random,
			     const uint64_t *memory, size_t n)
{
	const struct gcheap_type_record *record = view_type(&heap->view, shape->type);
	uint64_t base = (uint64_t)(uintptr_t)memory;
	size_t words = shape->words * n;
	size_t next = random_next(random) % words;
	size_t end = next + random_next(random) % (words - next + 1);
	/* Of a type by program without an object there is none in TYPES. */
	const uint64_t *kept = view_type_mask(&heap->view, record);
	const uint64_t *mask = kept ? kept : program_mask(&heap->view, record);
	uint64_t start = base + next * 8 - random_next(random) % 8;
	struct typed_pointers tp = typed_pointers_of_mask(record, mask, base, start,
							  base + end * 8 + random_next(random) % 8);

	for (;;) {
		uint64_t way = random_next(random) % 8;
		uint64_t found;

		if (way == 0) {
			size_t skip = random_length(random, words);

			if (next + skip < end) {
				next += skip;
				typed_pointers_fast_forward(&tp, base + next * 8 -
							    random_next(random) % 8);
			}
		}
		found = way & 1 ? typed_pointers_next_fast(&tp) : 0;
		if (!found)
			found = typed_pointers_next(&tp);
		while (next < end && !shape->pointer[next % shape->words])
			next++;
		if (next == end) {
			assert_int_equal(found, 0);
			assert_int_equal(typed_pointers_next(&tp), 0);
			if (!kept)
				program_mask_free(mask, program_mask_bytes(record));
			return;
		}
		if (found != base + next * 8)
			fail_msg("%zu elements of %zu words: word %lld comes, not %zu", n,
				 shape->words, (long long)(found - base) / 8, next);
		next++;
	}
}

static void test_fast_forward_skips_what_it_says(void **state)
{
	uint64_t seed = seed_for_this_run(), random = seed;
	uint64_t *memory = calloc(OBJECT_WORDS, 8);
	unsigned long rounds = number_for_this_run("GCHEAP_ROUNDS", ROUNDS), r;
	struct fixture f;

	(void)state;
	assert_non_null(memory);
	print_message("# GCHEAP_SEED=%llu GCHEAP_ROUNDS=%lu\n", (unsigned long long)seed,
		      rounds);
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	for (r = 0; r < rounds; r++) {
		struct shape shape;
		unsigned int i;

		shape_random(&random, ELEMENT_WORDS, &shape);
		shape_register(f.heap, &shape, r % SHAPE_FORMS);
		for (i = 0; i < 50; i++)
			iterate_elements(f.heap, &shape, &random, memory,
					 random_length(&random, OBJECT_WORDS / shape.words));
		free(shape.pointer);
	}
	fixture_close(&f);
	free(memory);
}

/* ---- behind the last element ---------------------------------------------------- */

/* What is visited from an address of the slot on: @n elements of the object, and zeros of it. */
static size_t visit_slot(const struct gcheap *heap, const struct gcheap_object *object, size_t n,
			 const char *pattern, uint64_t start)
{
	uint64_t base = (uintptr_t)object->base;
	size_t element = strlen(pattern), behind = 0, expected;
	struct typed_pointers tp;
	struct slot slot;
	uint64_t at;

	assert_true(inspect_slot(heap, address_offset(&heap->view, object->base), &slot));
	tp = typed_pointers_of(&heap->view, &slot, start,
			       (uintptr_t)address_pointer(&heap->view, slot.offset + slot.bytes));
	expected = start > base ? (start - base) / 8 : 0;
	while ((at = typed_pointers_next(&tp))) {
		assert_in_range(at, base, base + object->size - 8);
		if (at >= base + n * element * 8) {
			assert_int_equal(*(const uint64_t *)(uintptr_t)at, 0);
			behind++;
			continue;
		}
		while (expected < (at - base) / 8)
			assert_int_equal(pattern[expected++ % element], 's');
		assert_int_equal(pattern[expected++ % element], 'p');
	}
	for (; expected < n * element; expected++)
		assert_int_equal(pattern[expected % element], 's');
	return behind;
}

/* Arrays of all lengths in slots that were full of something else before. */
static void check_behind(struct fixture *f, const char *pattern)
{
	size_t element = strlen(pattern), n, w, behind = 0;
	struct gcheap_object found;
	uint64_t mask = 0, start;
	gcheap_type type, bytes;
	int i;

	for (w = 0; w < element; w++)
		mask |= (uint64_t)(pattern[w] == 'p') << w;
	type = type_with_mask(f->heap, element * 8, 8, mask);
	bytes = type_with_mask(f->heap, 8, 8, 1);
	for (n = 1; n * element * 8 <= 34000; n += n < 40 ? 1 : n / 7) {
		/* Pointers to nowhere in the heap. */
		for (i = 0; i < 20; i++) {
			void *full = gcheap_new_array(f->thread, bytes, n * element);

			assert_non_null(full);
			assert_int_equal(gcheap_find(f->heap, full, &found), 0);
			memset(full, 0x5a, found.size);
		}
		assert_int_equal(live_after_collect(f), 0);
		for (i = 0; i < 3; i++) {
			uint64_t *object = gcheap_new_array(f->thread, type, n);

			assert_non_null(object);
			assert_int_equal(gcheap_find(f->heap, object, &found), 0);
			assert_ptr_equal(found.base, object);
			memset(object, 0x5a, n * element * 8);
			start = (uintptr_t)object;
			behind += visit_slot(f->heap, &found, n, pattern, start);
			/* From its last element on, and from behind it. */
			start += (n - 1) * element * 8;
			visit_slot(f->heap, &found, n, pattern, start);
			visit_slot(f->heap, &found, n, pattern, start + element * 8);
		}
	}
	print_message("# %s: %zu words behind the elements were visited\n", pattern, behind);
}

static void test_behind_the_last_element_only_its_zeros_are_visited(void **state)
{
	static const uint32_t flags[] = { 0, GCHEAP_RECORD_TYPES };
	size_t i, r;

	(void)state;
	in_each_layout(i) {
		for (r = 0; r < ARRAY_SIZE(flags); r++) {
			struct gcheap_config config = fixture_config();
			struct fixture f;

			config.layout = test_layouts[i].layout;
			config.flags = flags[r];
			config.gc_percent = -1;
			fixture_open_with(&f, &config);
			check_behind(&f, "p");
			check_behind(&f, "pps");
			check_behind(&f, "ppppppspssppspssppppppp");
			fixture_close(&f);
		}
	}
}

/* ---- publication --------------------------------------------------------------- */

#define PUBLISHED	100000u

/* Types of a size that the two threads know, by number. */
static const uint64_t masks[] = { 0x01, 0x7f, 0x55, 0x3c };

/**
 * struct published - what one thread tells another
 * @heap: the heap of both
 * @object: the last object's address, and above it the number of its type
 * @seen: how many different ones the reader has looked at
 * @wrong: how many of them were not as their type says, or not zero
 * @done: the writer has made all
 */
struct published {
	struct gcheap *heap;
	uint64_t object;
	unsigned int seen;
	unsigned int wrong;
	bool done;
};

static bool is_complete(const struct gcheap *heap, uint64_t address, uint64_t mask)
{
	const uint64_t *words = (const uint64_t *)(uintptr_t)address;
	struct typed_pointers tp;
	uint64_t found = 0, at;
	struct slot slot;
	int w;

	if (!address_slot(&heap->view, address_offset(&heap->view, words), &slot))
		return false;
	tp = typed_pointers_of(&heap->view, &slot, address, address + 64);
	while ((at = typed_pointers_next(&tp)))
		found |= 1ull << (at - address) / 8;
	for (w = 0; w < 8; w++) {
		if (words[w])
			return false;
	}
	return found == mask;
}

static void *reader(void *arg)
{
	struct published *shared = arg;
	uint64_t last = 0;

	while (!__atomic_load_n(&shared->done, __ATOMIC_RELAXED)) {
		uint64_t object = __atomic_load_n(&shared->object, __ATOMIC_RELAXED);

		if (object == last)
			continue;
		last = object;
		shared->wrong += !is_complete(shared->heap, object & ((1ull << 48) - 1),
					      masks[object >> 48]);
		__atomic_store_n(&shared->seen, shared->seen + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Slots that had other types before, which a thread beside reads as they are made. */
static void publish(enum gcheap_layout layout, size_t bytes)
{
	struct published shared = { 0 };
	unsigned int seen = 0;
	gcheap_type types[ARRAY_SIZE(masks)];
	pthread_t thread;
	struct fixture f;
	size_t i;

	fixture_open_layout(&f, layout);
	shared.heap = f.heap;
	for (i = 0; i < ARRAY_SIZE(masks); i++)
		types[i] = type_with_mask(f.heap, bytes, 8, masks[i]);
	for (i = 0; i < PUBLISHED; i++) {
		void *object = gcheap_new(f.thread, types[i % 3]);

		assert_non_null(object);
		memset(object, 0x5a, bytes);
	}
	assert_int_equal(live_after_collect(&f), 0);
	shared.object = (uintptr_t)gcheap_new(f.thread, types[0]);
	assert_int_equal(pthread_create(&thread, NULL, reader, &shared), 0);
	for (i = 0; i < PUBLISHED; i++) {
		uint64_t type = i % ARRAY_SIZE(masks);
		void *object = gcheap_new(f.thread, types[type]);

		assert_non_null(object);
		__atomic_store_n(&shared.object, (uintptr_t)object | type << 48, __ATOMIC_RELAXED);
		/* On a busy machine the reader must have its turns. */
		while (i % 10000 == 0 && seen == __atomic_load_n(&shared.seen, __ATOMIC_RELAXED))
			sched_yield();
		seen = __atomic_load_n(&shared.seen, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&shared.done, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %u objects of %zu bytes were looked at\n", shared.seen, bytes);
	assert_true(shared.seen >= PUBLISHED / 10000);
	assert_int_equal(shared.wrong, 0);
	fixture_close(&f);
}

static void test_who_sees_an_object_sees_its_type(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i) {
		publish(test_layouts[i].layout, 64);
		publish(test_layouts[i].layout, 1000);
	}
}

static void test_a_size_class_is_the_smallest_that_keeps_the_alignment(void **state)
{
	uint64_t bytes, align;

	(void)state;
	for (align = 1; align <= 8192; align *= 2) {
		for (bytes = 1; bytes <= 33000; bytes += bytes < 1200 ? 1 : 61) {
			uint32_t expected = SIZE_CLASS_MIN;

			while (expected < SIZE_CLASSES &&
			       (size_class_bytes[expected] < bytes ||
				size_class_bytes[expected] % align))
				expected++;
			assert_int_equal(size_class_aligned(bytes, align),
					 expected < SIZE_CLASSES ? expected : 0);
		}
	}
}

#endif /* UNDER_ASAN */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reused_slot_has_the_new_types_pointers),
		cmocka_unit_test(test_a_footer_is_not_visited),
		cmocka_unit_test(test_a_large_objects_rest_is_not_visited),
		cmocka_unit_test(test_objects_have_their_types_alignment),
		cmocka_unit_test(test_a_footer_leaves_the_slots_alignment),
		cmocka_unit_test(test_err_pointer_mask),
#if UNDER_ASAN
		cmocka_unit_test(test_fast_forward_skips_what_it_says),
		cmocka_unit_test(test_behind_the_last_element_only_its_zeros_are_visited),
		cmocka_unit_test(test_who_sees_an_object_sees_its_type),
		cmocka_unit_test(test_a_size_class_is_the_smallest_that_keeps_the_alignment),
#endif
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
