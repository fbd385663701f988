// SPDX-License-Identifier: MIT
/*
 * Type registration: each rule refused with its reason, and pointer masks that
 * arrive as they were given.
 */
#include <stdio.h>

#include "../gcheap/type_rules.h"
#include "library_test.h"

static const uint8_t one_pointer[1] = { 1 };
static const uint8_t one_pointer_program[] = { 1, 1, 0 };

/* A description that is taken; tests break one rule of it. */
static struct gcheap_type_desc good_desc(void)
{
	return (struct gcheap_type_desc) {
		.name = "good",
		.size = 64,
		.align = 8,
		.ptr_bytes = 8,
		.ptr_mask = one_pointer,
	};
}

static void refused(struct fixture *f, const struct gcheap_type_desc *desc, int error,
		    const char *words)
{
	gcheap_type type = 12345;

	assert_refused(gcheap_type_register(f->heap, desc, &type), error, words);
	assert_int_equal(type, 12345);
}

static void taken(struct fixture *f, const struct gcheap_type_desc *desc)
{
	gcheap_type type = 0;

	if (gcheap_type_register(f->heap, desc, &type))
		fail_msg("gcheap_type_register: %s", gcheap_error());
	assert_int_not_equal(type, 0);
}

/* ---- rules ------------------------------------------------------------------- */

static void test_err_null_arguments(void **state)
{
	struct fixture *f = *state;
	struct gcheap_type_desc desc = good_desc();
	gcheap_type type;

	assert_refused(gcheap_type_register(f->heap, NULL, &type), EINVAL, "desc is NULL");
	assert_refused(gcheap_type_register(f->heap, &desc, NULL), EINVAL, "type is NULL");
}

static struct gcheap_type_desc rule_desc(const struct type_rule *rule)
{
	return (struct gcheap_type_desc) {
		.name = rule->name ? rule->name : "rule",
		.size = rule->bytes,
		.align = rule->align,
		.ptr_bytes = rule->ptr_bytes,
		.ptr_mask = rule->mask,
		.gc_prog = rule->program,
		.gc_prog_len = rule->program_bytes,
	};
}

static void test_each_rule_is_kept(void **state)
{
	struct fixture *f = *state;
	gcheap_type before = 0, type;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(type_rules); i++) {
		const struct type_rule *rule = &type_rules[i];
		struct gcheap_type_desc desc = rule_desc(rule);
		int error;

		if (rule->device_only)
			continue;
		type = before;
		error = gcheap_type_register(f->heap, &desc, &type);
		if (error != -rule->error)
			fail_msg("%s: %d, not %d", rule->title, error, -rule->error);
		assert_int_equal(type, before + !error);
		before = type;
	}
}

static void test_names_are_any_utf8(void **state)
{
	struct gcheap_type_desc desc = good_desc();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(type_rule_names); i++) {
		desc.name = type_rule_names[i];
		taken(*state, &desc);
	}
	for (i = 0; i < ARRAY_SIZE(type_rule_not_utf8); i++) {
		desc.name = type_rule_not_utf8[i];
		refused(*state, &desc, EILSEQ, "UTF-8");
	}
}

/* What is refused, and the words that say why. */
static void test_err_each_refusal_says_why(void **state)
{
	static const uint8_t beyond[2] = { 0xff, 0x04 };
	static const struct {
		struct gcheap_type_desc desc;
		int error;
		const char *words;
	} refusals[] = {
		{ { NULL, 64, 8, 8, one_pointer, NULL, 0 }, EINVAL, "name is NULL" },
		{ { "t", 64, 0, 8, one_pointer, NULL, 0 }, EINVAL, "power of two" },
		{ { "t", 64, 12, 8, one_pointer, NULL, 0 }, EINVAL, "power of two" },
		{ { "t", 64, 16384, 8, one_pointer, NULL, 0 }, EINVAL, "power of two, 8192 at most" },
		{ { "t", 64, (size_t)1 << 40, 8, one_pointer, NULL, 0 }, EINVAL, "power of two" },
		{ { "t", 64, 4, 8, one_pointer, NULL, 0 }, EINVAL,
		  "with pointers the alignment, 4, must be 8" },
		{ { "t", 64, 4, 8, NULL, one_pointer_program, 3 }, EINVAL,
		  "with pointers the alignment" },
		{ { "t", 0, 8, 8, one_pointer, NULL, 0 }, EINVAL, "a size of 0" },
		{ { "t", (size_t)1 << 50, 8, 8, one_pointer, NULL, 0 }, EINVAL,
		  "more than any heap" },
		{ { "t", 64, 8, SIZE_MAX & ~(size_t)7, one_pointer, NULL, 0 }, ERANGE,
		  "longer than the object" },
		{ { "t", 64, 8, 12, one_pointer, NULL, 0 }, EINVAL, "multiple of 8" },
		{ { "t", TYPE_RULE_PTR_MAX + 8, 8, TYPE_RULE_PTR_MAX + 8, type_rule_long, NULL, 0 },
		  EFBIG, "more than a mask can describe" },
		{ { "t", 128, 8, 80, beyond, NULL, 0 }, EDOM, "bits beyond ptr_bytes, 80" },
		{ { "t", 64, 8, 0, NULL, one_pointer_program, 3 }, EINVAL, "ptr_bytes is 0" },
		{ { "t", 64, 8, 0, NULL, NULL, 3 }, EINVAL, "ptr_bytes is 0" },
		{ { "t", 64, 8, 0, one_pointer, NULL, 0 }, EINVAL, "ptr_bytes is 0" },
		{ { "t", 64, 8, 8, NULL, NULL, 0 }, EINVAL, "no pointer mask or GC program" },
		{ { "t", 64, 8, 8, one_pointer, NULL, 3 }, EINVAL,
		  "gc_prog_len is 3, and there is no GC program" },
		{ { "t", 64, 8, 8, NULL, one_pointer_program, 0 }, EINVAL,
		  "gc_prog_len is 0, and there is a GC program" },
		{ { "t", 64, 8, 8, NULL, one_pointer_program, 65537 }, EINVAL,
		  "65537 bytes, 65536 at most" },
		{ { "t", 64, 8, 8, NULL, one_pointer_program, ((size_t)1 << 32) + 3 }, EINVAL,
		  "4294967299 bytes, 65536 at most" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		refused(*state, &refusals[i].desc, refusals[i].error, refusals[i].words);
}

static void test_err_program_says_what_is_wrong_and_where(void **state)
{
	static const struct {
		const char *words;
		uint8_t program[16];
		size_t bytes;
	} bad[] = {
		{ "byte 2, after 1 of 4 bits: it ends before", { 1, 1 }, 2 },
		{ "byte 0, after 0 of 4 bits: it ends before", { 4 }, 1 },
		{ "byte 2, after 1 of 4 bits: it ends before", { 1, 1, 0x81 }, 3 },
		{ "byte 2, after 4 of 4 bits: the program ends, but more", { 4, 1, 0, 0 }, 4 },
		{ "bits beyond those to emit", { 4, 0x10, 0 }, 3 },
		{ "more bytes than it needs", { 1, 1, 0x81, 0x83, 0, 0 }, 6 },
		{ "overflows 64 bits", { 1, 1, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0x7f, 0 }, 14 },
		{ "a repeat of 0 bits", { 1, 1, 0x80, 0, 3, 0 }, 6 },
		{ "more bits than were emitted", { 1, 1, 0x83, 1, 0 }, 5 },
		{ "more bits than ptr_bytes has words", { 1, 1, 0x81, 4, 0 }, 5 },
		{ "byte 4, after 3 of 4 bits: the program ends with fewer", { 1, 1, 0x81, 2, 0 }, 5 },
	};
	struct gcheap_type_desc desc = good_desc();
	size_t i;

	desc.ptr_bytes = 32;
	desc.ptr_mask = NULL;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		desc.gc_prog = bad[i].program;
		desc.gc_prog_len = bad[i].bytes;
		refused(*state, &desc, EINVAL, bad[i].words);
	}
	/* The heap goes on; and where the name is at fault, the program is not blamed. */
	desc.gc_prog = (const uint8_t[]) { 1, 1, 0x81, 3, 0 };
	desc.gc_prog_len = 5;
	taken(*state, &desc);
	desc.name = "\xff";
	refused(*state, &desc, EILSEQ, "UTF-8");
}

static void test_err_table_full(void **state)
{
	struct fixture *f = *state;
	struct gcheap_type_desc desc = { .name = "t", .size = 8, .align = 8 };
	gcheap_type type = 0;
	unsigned int count = 0;

	while (!gcheap_type_register(f->heap, &desc, &type))
		assert_int_equal(type, ++count);
	assert_int_equal(count, 65535);
	refused(f, &desc, ENOSPC, "no room");
	/* Those that are there work on. */
	assert_non_null(gcheap_new(f->thread, type));
	assert_non_null(gcheap_new(f->thread, 1));
}

/*
 * What programs get wrong most: each has an errno and a message of its own, so that the
 * one tells it from the others, and the other says what to do. The heap goes on after
 * each as if it had not been. More types than the table holds: test_err_table_full().
 */
static void test_err_each_misuse_has_its_own_errno_and_message(void **state)
{
	static const uint8_t beyond[1] = { 2 };
	static const uint8_t all[8] = { 0xff };
	static const char long_name[257] = { [0 ... 255] = 'n' };
	static const struct {
		struct gcheap_type_desc desc;
		int error;
		const char *words;
	} misuses[] = {
		{ { "t", 60, 8, 8, one_pointer, NULL, 0 }, EINVAL,
		  "the size, 60, must be a multiple of the alignment" },
		{ { "t", 64, 8, 8, beyond, NULL, 0 }, EDOM, "bits beyond ptr_bytes" },
		{ { "t", 64, 8, 72, all, NULL, 0 }, ERANGE, "longer than the object" },
		{ { "t", 64, 8, 8, one_pointer, one_pointer_program, 3 }, ENOTUNIQ,
		  "give one of them" },
		{ { "\xc3(", 64, 8, 8, one_pointer, NULL, 0 }, EILSEQ, "UTF-8" },
		{ { long_name, 64, 8, 8, one_pointer, NULL, 0 }, ENAMETOOLONG, "256 bytes" },
	};
	struct fixture *f = *state;
	size_t i, other;

	for (i = 0; i < ARRAY_SIZE(misuses); i++) {
		struct gcheap_type_desc good = good_desc();
		gcheap_type type = 0;

		refused(f, &misuses[i].desc, misuses[i].error, misuses[i].words);
		for (other = 0; other < ARRAY_SIZE(misuses); other++) {
			if (other == i)
				continue;
			assert_int_not_equal(misuses[i].error, misuses[other].error);
			assert_null(strstr(gcheap_error(), misuses[other].words));
		}
		assert_int_equal(gcheap_type_register(f->heap, &good, &type), 0);
		assert_int_equal(type, i + 1);
		assert_non_null(gcheap_new(f->thread, type));
		assert_int_equal(live_after_collect(f), 0);
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
}

static void test_err_masks_full(void **state)
{
	struct fixture *f = *state;
	size_t mask_bytes = 1 << 20;
	uint8_t *mask = calloc(1, mask_bytes);
	struct gcheap_type_desc desc = {
		.name = "big",
		.size = mask_bytes * 64,
		.align = 8,
		.ptr_bytes = mask_bytes * 64,
		.ptr_mask = mask,
	};
	gcheap_type type;
	int i;

	memset(mask, 0xff, mask_bytes);
	for (i = 0; i < 100 && !gcheap_type_register(f->heap, &desc, &type); i++)
		;
	/* 28 MiB are there for masks and names. */
	assert_in_range(i, 20, 28);
	refused(f, &desc, ENOSPC, "no room");
	/* There is room for what needs less. */
	desc.ptr_mask = one_pointer;
	desc.ptr_bytes = 8;
	taken(f, &desc);
	free(mask);
}

/* ---- masks ------------------------------------------------------------------- */

struct everything {
	void *first;
	uint64_t scalar;
	struct {
		uint32_t number;
		char *text;
	} nested;
	void *array[3];
	void *table[2][2];
	uint64_t last;
};

static void test_macro_registers_members_and_arrays(void **state)
{
	/* first, -, -, text, array x 3, table x 4, - */
	static const uint8_t expected[] = { 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
	struct fixture *f = *state;
	gcheap_type type = GCHEAP_TYPE(f->heap, struct everything, first, nested.text, array, table);
	uint8_t mask[ARRAY_SIZE(expected)];
	struct everything *object;

	assert_int_equal(sizeof(struct everything), sizeof(expected) * 8);
	assert_int_not_equal(type, 0);
	object = gcheap_new(f->thread, type);
	assert_non_null(object);
	assert_int_equal(gcheap_pointer_mask(f->heap, object, mask, ARRAY_SIZE(mask)), 11);
	assert_memory_equal(mask, expected, sizeof(expected));
}

struct many {
	void *m[32];
	void *none;
};

#define MANY_8(i)	m[i], m[i + 1], m[i + 2], m[i + 3], m[i + 4], m[i + 5], m[i + 6], m[i + 7]

static void test_macro_takes_1_to_32_members(void **state)
{
	struct fixture *f = *state;
	gcheap_type all = GCHEAP_TYPE(f->heap, struct many, MANY_8(0), MANY_8(8), MANY_8(16),
				      MANY_8(24));
	gcheap_type one = GCHEAP_TYPE(f->heap, struct many, m[31]);
	uint8_t mask[33];
	int i;

	assert_int_equal(gcheap_pointer_mask(f->heap, gcheap_new(f->thread, all), mask, 33), 32);
	for (i = 0; i < 33; i++)
		assert_int_equal(mask[i], i < 32);
	assert_int_equal(gcheap_pointer_mask(f->heap, gcheap_new(f->thread, one), mask, 33), 32);
	for (i = 0; i < 33; i++)
		assert_int_equal(mask[i], i == 31);
}

static void test_err_macro_sets_errno(void **state)
{
	struct gcheap *none = NULL;

	(void)state;
	errno = 0;
	assert_int_equal(GCHEAP_TYPE(none, struct many, none), 0);
	assert_int_equal(errno, EINVAL);
}

/* Masks of one to 200 words, in objects a little longer: all sizes of the table. */
static void test_masks_of_all_lengths_arrive_as_given(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 1;
	size_t words;

	for (words = 1; words <= 200; words++) {
		uint8_t bits[25] = { 0 };
		uint8_t mask[208];
		struct gcheap_type_desc desc = {
			.name = "random",
			.size = (words + 3) * 8,
			.align = 8,
			.ptr_bytes = words * 8,
			.ptr_mask = bits,
		};
		gcheap_type type;
		size_t i;

		for (i = 0; i < words; i++)
			bits[i / 8] |= (uint8_t)((random_next(&seed) & 1) << i % 8);
		bits[(words - 1) / 8] |= (uint8_t)(1 << (words - 1) % 8);
		assert_int_equal(gcheap_type_register(f->heap, &desc, &type), 0);
		/* What comes after may be the next element's: a tiled slot tail. */
		assert_true(gcheap_pointer_mask(f->heap, gcheap_new(f->thread, type), mask,
						words + 3) >= (int)words);
		for (i = 0; i < words + 3; i++)
			assert_int_equal(mask[i], i < words ? bits[i / 8] >> i % 8 & 1 : 0);
	}
}

/* ---- GC programs ------------------------------------------------------------- */

/* An array of structs of three words, of which the middle one is a pointer. */
struct element {
	uint64_t before;
	void *pointer;
	uint64_t after;
};

/* An array type by program, and the same by mask. */
static void register_both(struct fixture *f, size_t elements, gcheap_type *by_program,
			  gcheap_type *by_mask)
{
	/* One element's three bits, and a repeat of them in up to four bytes. */
	uint8_t program[8] = { 3, 2, 0x83 };
	struct gcheap_type_desc desc = {
		.name = "elements",
		.size = elements * sizeof(struct element),
		.align = 8,
		.ptr_bytes = elements * sizeof(struct element),
		.gc_prog = program,
		.gc_prog_len = 3,
	};
	uint8_t *mask = calloc(1, elements * 3 / 8 + 1);
	size_t times = elements - 1, i;

	for (; times >= 0x80; times >>= 7)
		program[desc.gc_prog_len++] = (uint8_t)(times | 0x80);
	program[desc.gc_prog_len++] = (uint8_t)times;
	program[desc.gc_prog_len++] = 0;
	if (gcheap_type_register(f->heap, &desc, by_program))
		fail_msg("%s", gcheap_error());
	for (i = 0; i < elements; i++)
		mask[(3 * i + 1) / 8] |= (uint8_t)(1u << (3 * i + 1) % 8);
	desc.gc_prog = NULL;
	desc.gc_prog_len = 0;
	desc.ptr_mask = mask;
	assert_int_equal(gcheap_type_register(f->heap, &desc, by_mask), 0);
	free(mask);
}

/* Below and above 64 words, heap bits, headers, large objects, and 64 MiB of pointers. */
static const size_t element_counts[] = {
	1, 2, 7, 21, 22, 42, 43, 100, 1365, 1366, 3333, 5461, 5462, 44000, 2796202,
};

static void test_a_program_s_type_has_the_mask_s_pointers(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(element_counts); i++) {
		size_t words = element_counts[i] * 3;
		uint8_t *got = malloc(words), *expected = malloc(words);
		gcheap_type by_program, by_mask;
		int count;

		register_both(f, element_counts[i], &by_program, &by_mask);
		count = gcheap_pointer_mask(f->heap, gcheap_new(f->thread, by_mask), expected,
					    words);
		assert_true(count > 0);
		assert_int_equal(gcheap_pointer_mask(f->heap, gcheap_new(f->thread, by_program), got,
						     words), count);
		assert_memory_equal(got, expected, words);
		assert_int_equal(got[1], 1);
		assert_int_equal(got[words - 2], 1);
		assert_int_equal(got[words - 1], 0);
		free(got);
		free(expected);
	}
}

static void test_collect_keeps_what_a_program_s_pointers_reach(void **state)
{
	struct fixture *f = *state;
	gcheap_type leaf = type_with_mask(f->heap, 16, 8, 0);
	size_t i, at;

	for (i = 0; i < ARRAY_SIZE(element_counts); i++) {
		size_t elements = element_counts[i];
		/* A prime step, so that all places in a mask's words come up. */
		size_t step = elements < 10000 ? 1 : 997, kept = 0;
		gcheap_type by_program, by_mask;
		void *slot = NULL;
		struct element *array;

		register_both(f, elements, &by_program, &by_mask);
		assert_int_equal(gcheap_root_add(f->heap, &slot, 1), 0);
		slot = array = gcheap_new(f->thread, by_program);
		assert_non_null(array);
		for (at = 0; at < elements; at += step) {
			uint64_t *object = gcheap_new(f->thread, leaf);

			*object = at;
			array[at].pointer = object;
			/* What looks like pointers in its scalars keeps nothing. */
			array[at].before = (uintptr_t)gcheap_new(f->thread, leaf);
			array[at].after = (uintptr_t)gcheap_new(f->thread, leaf);
			kept++;
		}
		assert_int_equal(live_after_collect(f), 1 + kept);
		for (at = 0; at < elements; at += step)
			assert_int_equal(*(uint64_t *)array[at].pointer, at);
		slot = NULL;
		assert_int_equal(live_after_collect(f), 0);
		assert_int_equal(gcheap_root_remove(f->heap, &slot), 0);
	}
}

static void test_arrays_of_a_program_s_type_are_tiled(void **state)
{
	struct fixture *f = *state;
	static const size_t lengths[] = { 1, 2, 3, 9, 100 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		/* Elements of 50 structs: 1200 bytes. */
		size_t words = lengths[i] * 150, word;
		gcheap_type by_program, by_mask;
		uint8_t *mask = malloc(words);

		register_both(f, 50, &by_program, &by_mask);
		assert_true(gcheap_pointer_mask(f->heap, gcheap_new_array(f->thread, by_program,
									  lengths[i]),
						mask, words) > 0);
		for (word = 0; word < words; word++)
			assert_int_equal(mask[word], word % 3 == 1);
		free(mask);
	}
}

static void test_types_registered_after_attach_can_be_used(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 300; i++) {
		gcheap_type type = type_with_mask(f->heap, 16 + 8 * (size_t)(i % 10), 8, 1);

		assert_non_null(gcheap_new(f->thread, type));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_err_null_arguments),
		fixture_test(test_each_rule_is_kept),
		fixture_test(test_names_are_any_utf8),
		fixture_test(test_err_each_refusal_says_why),
		fixture_test(test_err_program_says_what_is_wrong_and_where),
		fixture_test(test_a_program_s_type_has_the_mask_s_pointers),
		fixture_test(test_collect_keeps_what_a_program_s_pointers_reach),
		fixture_test(test_arrays_of_a_program_s_type_are_tiled),
		fixture_test(test_err_each_misuse_has_its_own_errno_and_message),
		fixture_test(test_err_table_full),
		fixture_test(test_err_masks_full),
		fixture_test(test_macro_registers_members_and_arrays),
		fixture_test(test_macro_takes_1_to_32_members),
		cmocka_unit_test(test_err_macro_sets_errno),
		fixture_test(test_masks_of_all_lengths_arrive_as_given),
		fixture_test(test_types_registered_after_attach_can_be_used),
	};

	return run_in_all_layouts("types", tests);
}
