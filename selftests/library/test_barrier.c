// SPDX-License-Identifier: MIT
/*
 * Bulk write barriers, against a naive model of one byte a word; and the typed
 * copy and clear that are built on them. The barrier itself is the library's own,
 * so its tests are those of the sanitized build, which has its functions; copies
 * and clears are tested everywhere.
 *
 * Environment: GCHEAP_SEED repeats a run.
 */
#include <time.h>

#include "library_test.h"
#if UNDER_ASAN
#include "barrier.h"
#include "thread.h"
#endif

#define ELEMENT_WORDS	9u
#define ELEMENTS	400u
#define ARRAY_WORDS	(ELEMENT_WORDS * ELEMENTS)
/* Words 0, 3, 4 and 7 of an element are pointers; word 8 is a scalar tail. */
#define ELEMENT_MASK	0x99u

/* An array with a leaf in each word, pointer or not, and the same outside the heap. */
struct arrays {
	struct fixture fixture;
	gcheap_type type;
	uint64_t *dst;
	uint64_t *src;
	uint64_t outside[ARRAY_WORDS];
};

/* Each word its own value: the address of a leaf; every fifth is NULL or no address. */
static void fill(struct fixture *f, uint64_t *words, size_t first)
{
	size_t i;

	for (i = 0; i < ARRAY_WORDS; i++) {
		switch ((first + i) % 10) {
		case 4:
			words[i] = 0;
			break;
		case 9:
			words[i] = 0x7fffffff0000 + i;
			break;
		default:
			words[i] = (uintptr_t)gcheap_new_leaf(f->thread, 16);
		}
	}
}

static int setup(void **state)
{
	struct arrays *a = calloc(1, sizeof(*a));

	fixture_open(&a->fixture);
	a->type = type_with_mask(a->fixture.heap, ELEMENT_WORDS * 8, 8, ELEMENT_MASK);
	a->dst = gcheap_new_array(a->fixture.thread, a->type, ELEMENTS);
	a->src = gcheap_new_array(a->fixture.thread, a->type, ELEMENTS);
	fill(&a->fixture, a->dst, 0);
	fill(&a->fixture, a->src, 3);
	fill(&a->fixture, a->outside, 5);
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct arrays *a = *state;

	fixture_close(&a->fixture);
	free(a);
	return 0;
}

#if UNDER_ASAN
#define SEEN_MAX	(2 * ARRAY_WORDS)

static bool is_pointer(size_t word)
{
	return ELEMENT_MASK >> word % ELEMENT_WORDS & 1;
}

/* What the buffer was flushed with. */
static uint64_t seen[SEEN_MAX];
static size_t seen_count;
static unsigned int flushes;

static void flush(struct barrier_buffer *buffer)
{
	assert_true(buffer->count <= BARRIER_VALUES);
	assert_true(seen_count + buffer->count <= SEEN_MAX);
	memcpy(seen + seen_count, buffer->values, buffer->count * sizeof(*seen));
	seen_count += buffer->count;
	buffer->count = 0;
	flushes++;
}

static struct barrier_buffer buffer = { .flush = flush };

/* Must the barrier tell of this value? */
static bool in_heap(const uint64_t *word)
{
	return *word && *word < 0x7fffffff0000;
}

/*
 * The words from @from to @to of an array, whose pointers the model knows; the
 * barrier has seen them all, in order, and nothing else. @phase is the word of an
 * element that @from stands for.
 */
static void assert_seen(const uint64_t *dst, const uint64_t *src, size_t phase, size_t words)
{
	size_t at = 0, i;

	barrier_flush(&buffer);
	for (i = 0; i < words; i++) {
		if (!is_pointer(phase + i))
			continue;
		if (dst && in_heap(&dst[i])) {
			assert_true(at < seen_count);
			assert_int_equal(seen[at++], dst[i]);
		}
		if (src && in_heap(&src[i])) {
			assert_true(at < seen_count);
			assert_int_equal(seen[at++], src[i]);
		}
	}
	assert_int_equal(at, seen_count);
	seen_count = 0;
	flushes = 0;
}

static const struct gcheap_type_record *record_of(struct arrays *a)
{
	return heap_type(a->fixture.heap, a->type);
}

static void test_a_copy_tells_of_old_and_new_values(void **state)
{
	struct arrays *a = *state;
	size_t n;

	for (n = 1; n <= ELEMENTS; n += n < 20 ? 1 : 61) {
		barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), a->dst, a->src,
			     n * ELEMENT_WORDS * 8);
		assert_seen(a->dst, a->src, 0, n * ELEMENT_WORDS);
	}
	barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), a->dst, a->outside,
		     ARRAY_WORDS * 8);
	assert_true(flushes > 0);
	assert_seen(a->dst, a->outside, 0, ARRAY_WORDS);
}

static void test_a_clear_tells_of_old_values(void **state)
{
	struct arrays *a = *state;

	barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), a->dst + 2 * ELEMENT_WORDS,
		     NULL, 100 * ELEMENT_WORDS * 8);
	assert_seen(a->dst + 2 * ELEMENT_WORDS, NULL, 0, 100 * ELEMENT_WORDS);
}

static void test_a_copy_to_what_nobody_sees_tells_of_new_values(void **state)
{
	struct arrays *a = *state;

	barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), NULL, a->src, ARRAY_WORDS * 8);
	assert_seen(NULL, a->src, 0, ARRAY_WORDS);
}

static void test_the_last_element_may_be_cut(void **state)
{
	struct arrays *a = *state;
	size_t words;

	for (words = 1; words < 4 * ELEMENT_WORDS; words++) {
		barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), a->dst, a->src,
			     words * 8);
		assert_seen(a->dst, a->src, 0, words);
	}
}

static void test_a_type_without_pointers_tells_nothing(void **state)
{
	struct arrays *a = *state;
	gcheap_type leaf = type_with_mask(a->fixture.heap, 64, 8, 0);

	barrier_bulk(&a->fixture.heap->view, &buffer, heap_type(a->fixture.heap, leaf), a->dst,
		     a->src, ARRAY_WORDS * 8);
	barrier_flush(&buffer);
	assert_int_equal(seen_count, 0);
}

static void test_random_ranges_of_objects(void **state)
{
	struct arrays *a = *state;
	const char *seed = getenv("GCHEAP_SEED");
	uint64_t random = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	int i;

	print_message("# GCHEAP_SEED=%llu\n", (unsigned long long)random);
	for (i = 0; i < 2000; i++) {
		size_t from = random_next(&random) % ARRAY_WORDS;
		size_t words = 1 + random_next(&random) % (ARRAY_WORDS - from);
		const uint64_t *src = i % 3 ? a->outside + random_next(&random) %
					      (ARRAY_WORDS - words + 1) : NULL;

		if (i % 2 && words > 100)
			words = 1 + words % 100;
		barrier_bulk_object(&a->fixture.heap->view, &buffer, a->dst + from, src, words * 8);
		assert_seen(a->dst + from, src, from, words);
	}
}

/* By type: both, the destination alone, the source alone; the last element may be cut. */
static void test_random_ranges_of_elements(void **state)
{
	struct arrays *a = *state;
	uint64_t random = 4711;
	int i;

	for (i = 0; i < 3000; i++) {
		size_t to = random_next(&random) % ELEMENTS;
		size_t from = random_next(&random) % ELEMENTS;
		size_t room = ELEMENTS - (to > from ? to : from);
		size_t words = 1 + random_next(&random) % (room * ELEMENT_WORDS);
		const uint64_t *dst = a->dst + to * ELEMENT_WORDS;
		const uint64_t *src = (i % 2 ? a->src : a->outside) + from * ELEMENT_WORDS;

		if (i % 5 && words > 60)
			words = 1 + words % 60;
		if (i % 3 == 1)
			dst = NULL;
		if (i % 3 == 2)
			src = NULL;
		barrier_bulk(&a->fixture.heap->view, &buffer, record_of(a), dst, src, words * 8);
		assert_seen(dst, src, 0, words);
	}
}

/* Elements of more words than a mask has bits, as a copy of many of them goes. */
static void test_large_elements(void **state)
{
	struct arrays *a = *state;
	uint8_t mask[100 / 8 + 1];
	struct gcheap_type_desc desc = {
		.name = "large", .size = 100 * 8, .align = 8, .ptr_bytes = 99 * 8,
		.ptr_mask = mask,
	};
	size_t word, seen_now, words;
	gcheap_type type;

	memset(mask, 0x11, sizeof(mask));
	mask[96 / 8] = 0x05;
	assert_int_equal(gcheap_type_register(a->fixture.heap, &desc, &type), 0);
	for (words = 1; words < 350; words += 7) {
		barrier_bulk(&a->fixture.heap->view, &buffer, heap_type(a->fixture.heap, type),
			     a->dst, NULL, words * 8);
		barrier_flush(&buffer);
		seen_now = 0;
		for (word = 0; word < words; word++) {
			size_t in = word % 100;

			if (mask[in / 8] >> in % 8 & 1 && in_heap(&a->dst[word]))
				assert_int_equal(seen[seen_now++], a->dst[word]);
		}
		assert_int_equal(seen_now, seen_count);
		seen_count = 0;
	}
	flushes = 0;
}

static void test_an_address_in_no_object_tells_nothing(void **state)
{
	struct arrays *a = *state;

	barrier_bulk_object(&a->fixture.heap->view, &buffer, a->fixture.heap->view.base, NULL, 64);
	barrier_flush(&buffer);
	assert_int_equal(seen_count, 0);
}

static void test_random_ranges_of_a_bitmap(void **state)
{
	struct arrays *a = *state;
	uint8_t bits[(ARRAY_WORDS + 64) / 8 + 1];
	uint64_t random = 1;
	int i;

	for (i = 0; i < 1000; i++) {
		size_t first = random_next(&random) % 64;
		size_t phase = random_next(&random) % ELEMENT_WORDS;
		size_t words = 1 + random_next(&random) % (i % 2 ? 80 : ARRAY_WORDS);
		const uint64_t *src = i % 3 ? a->src : NULL;
		size_t w;

		/* What stands beside the range must not matter. */
		memset(bits, i % 5 ? 0 : 0xff, sizeof(bits));
		for (w = 0; w < words; w++) {
			size_t bit = first + w;

			bits[bit / 8] &= (uint8_t)~(1u << bit % 8);
			bits[bit / 8] |= (uint8_t)(is_pointer(phase + w) << bit % 8);
		}
		barrier_bulk_bitmap(&a->fixture.heap->view, &buffer, i % 7 ? a->dst : NULL,
				    i % 7 ? src : a->src, words, bits, first);
		assert_seen(i % 7 ? a->dst : NULL, i % 7 ? src : a->src, phase, words);
	}
}

static void test_a_bitmap_of_few_pointers_is_skipped_rightly(void **state)
{
	struct arrays *a = *state;
	uint8_t bits[40] = { 0 };
	size_t bit;

	for (bit = 0; bit < 300; bit++) {
		memset(bits, 0, sizeof(bits));
		bits[bit / 8] = (uint8_t)(1u << bit % 8);
		a->dst[bit] = (uintptr_t)a->dst;
		barrier_bulk_bitmap(&a->fixture.heap->view, &buffer, a->dst, NULL, 300, bits, 0);
		barrier_flush(&buffer);
		assert_int_equal(seen_count, 1);
		assert_int_equal(seen[0], (uintptr_t)a->dst);
		seen_count = 0;
	}
}

/* What copies and clears tell, when a collector wants to hear of it. */
static void test_typed_copy_and_clear_run_the_barrier_first(void **state)
{
	struct arrays *a = *state;
	struct thread *thread = (struct thread *)a->fixture.thread;
	static uint64_t old[ARRAY_WORDS], new[ARRAY_WORDS];

	memcpy(old, a->dst, sizeof(old));
	memcpy(new, a->src, sizeof(new));
	thread->barrier = &buffer;
	gcheap_copy(a->fixture.thread, a->type, a->dst, a->src, ELEMENTS);
	assert_seen(old, new, 0, ARRAY_WORDS);
	assert_memory_equal(a->dst, new, sizeof(new));

	/* An overlap: what is told is what stood there before. */
	gcheap_copy(a->fixture.thread, a->type, a->dst + ELEMENT_WORDS, a->dst, 50);
	assert_seen(new + ELEMENT_WORDS, new, 0, 50 * ELEMENT_WORDS);

	memcpy(old, a->dst, sizeof(old));
	gcheap_clear(a->fixture.thread, a->type, a->dst, ELEMENTS);
	assert_seen(old, NULL, 0, ARRAY_WORDS);
	thread->barrier = NULL;
	gcheap_copy(a->fixture.thread, a->type, a->dst, a->src, ELEMENTS);
	barrier_flush(&buffer);
	assert_int_equal(seen_count, 0);
}
#endif /* UNDER_ASAN */

static void test_copies_that_overlap_and_clears(void **state)
{
	struct arrays *a = *state;
	static uint64_t model[ARRAY_WORDS];
	size_t n;

	memcpy(model, a->dst, sizeof(model));
	for (n = 1; n < 60; n++) {
		size_t from = n * 3 % 50, to = n * 7 % 50;

		gcheap_copy(a->fixture.thread, a->type, a->dst + to * ELEMENT_WORDS,
			    a->dst + from * ELEMENT_WORDS, n);
		memmove(model + to * ELEMENT_WORDS, model + from * ELEMENT_WORDS,
			n * ELEMENT_WORDS * 8);
		assert_memory_equal(a->dst, model, sizeof(model));
		gcheap_clear(a->fixture.thread, a->type, a->dst + (200 + n) * ELEMENT_WORDS, n);
		memset(model + (200 + n) * ELEMENT_WORDS, 0, n * ELEMENT_WORDS * 8);
		assert_memory_equal(a->dst, model, sizeof(model));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if UNDER_ASAN
		cmocka_unit_test_setup_teardown(test_a_copy_tells_of_old_and_new_values, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_clear_tells_of_old_values, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_copy_to_what_nobody_sees_tells_of_new_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_element_may_be_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_type_without_pointers_tells_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_random_ranges_of_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_ranges_of_elements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_elements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_address_in_no_object_tells_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_random_ranges_of_a_bitmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bitmap_of_few_pointers_is_skipped_rightly,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_typed_copy_and_clear_run_the_barrier_first,
						setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_copies_that_overlap_and_clears, setup,
						teardown),
	};

	return run_in_all_layouts("barrier", tests);
}
