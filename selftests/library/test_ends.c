// SPDX-License-Identifier: MIT
/*
 * Pointers to the end of an object, and to slots that are free: what they keep alive.
 *
 * An ambiguous word that leads to the first byte of a slot, or of a page, keeps the
 * object before it alive too, because compilers keep a pointer one past the end alone.
 * A precise word means the object that it leads to. No word keeps anything by way of a
 * free slot.
 */
#include "library_test.h"

#include "address.h"

#define OBJECTS	64u

/* Sizes of objects: of slots that are full, of those that are not, of large ones. */
static const size_t sizes[] = {
	16, 24, 32, 48, 64, 512, 520, 1024, 2000, 8192, 24576, 32768, 65536, 131072,
};

static const void *hide(const void *p)
{
	return (const void *)~(uintptr_t)p;
}

static bool is_alive(struct fixture *f, const void *hidden)
{
	struct gcheap_object found;
	int error = gcheap_find(f->heap, hide(hidden), &found);

	assert_true(!error || error == -ENOENT);
	return !error;
}

static char *new_bytes(struct fixture *f, size_t bytes, bool leaf)
{
	char *p = leaf ? gcheap_new_leaf(f->thread, bytes) :
		  gcheap_new(f->thread, type_with_mask(f->heap, bytes, 8, 1));

	if (!p)
		fail_msg("%zu bytes: %s", bytes, gcheap_error());
	return p;
}

static void ends_alone(struct fixture *f, size_t bytes, bool leaf)
{
	static const void *hidden[OBJECTS];
	static void *ends[OBJECTS];
	size_t i, dead = 0;

	for (i = 0; i < OBJECTS; i++) {
		char *p = new_bytes(f, bytes, leaf);

		hidden[i] = hide(p);
		ends[i] = p + bytes;
	}
	assert_int_equal(gcheap_root_add_ambiguous(f->heap, ends, sizeof(ends)), 0);
	assert_int_equal(live_after_collect(f), OBJECTS);
	for (i = 0; i < OBJECTS; i++)
		dead += !is_alive(f, hidden[i]);
	if (dead)
		fail_msg("%zu of %u objects of %zu bytes died", dead, OBJECTS, bytes);
	/* And a second cycle, in which free slots and pages lie between them. */
	for (i = 0; i < OBJECTS; i += 2)
		ends[i] = NULL;
	live_after_collect(f);
	for (i = 1; i < OBJECTS; i += 2)
		assert_true(is_alive(f, hidden[i]));
	assert_int_equal(gcheap_root_remove(f->heap, ends), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_an_ambiguous_end_keeps_its_object(void **state)
{
	struct fixture f;
	size_t l, s;

	(void)state;
	for (l = 0; l < 2 * TEST_LAYOUTS; l++) {
		struct gcheap_config config = fixture_config();

		config.layout = test_layouts[l % TEST_LAYOUTS].layout;
		config.flags = l < TEST_LAYOUTS ? 0 : GCHEAP_RECORD_TYPES;
		config.gc_percent = -1;
		fixture_open_with(&f, &config);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			ends_alone(&f, sizes[s], true);
		fixture_close(&f);
		fixture_open_with(&f, &config);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			ends_alone(&f, sizes[s], false);
		fixture_close(&f);
	}
}

/* Two objects that touch: the word is the end of one and the start of the other. */
static void touching(struct fixture *f, size_t bytes, bool ambiguous)
{
	static void *word;
	static const void *hidden[OBJECTS];
	size_t i, pairs = 0;

	for (i = 0; i < OBJECTS; i++)
		hidden[i] = hide(new_bytes(f, bytes, true));
	if (ambiguous)
		assert_int_equal(gcheap_root_add_ambiguous(f->heap, &word, sizeof(word)), 0);
	else
		assert_int_equal(gcheap_root_add(f->heap, &word, 1), 0);
	for (i = 1; i < OBJECTS && !pairs; i++) {
		struct gcheap_object first;

		assert_int_equal(gcheap_find(f->heap, hide(hidden[i - 1]), &first), 0);
		if ((const char *)hide(hidden[i]) != (char *)first.base + first.size)
			continue;
		pairs++;
		word = (void *)(uintptr_t)hide(hidden[i]);
		assert_int_equal(live_after_collect(f), ambiguous ? 2 : 1);
		assert_true(is_alive(f, hidden[i]));
		assert_int_equal(is_alive(f, hidden[i - 1]), ambiguous);
		/* One byte on, and it is of one object alone. */
		word = (char *)word + 1;
		assert_int_equal(live_after_collect(f), 1);
	}
	assert_int_equal(pairs, 1);
	assert_int_equal(gcheap_root_remove(f->heap, &word), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_a_precise_word_is_of_the_object_that_it_leads_to(void **state)
{
	static const size_t touch[] = { 16, 64, 512, 8192, 32768, 65536 };
	struct fixture f;
	size_t l, s;

	(void)state;
	in_each_layout(l) {
		fixture_open_layout(&f, test_layouts[l].layout);
		for (s = 0; s < ARRAY_SIZE(touch); s++) {
			touching(&f, touch[s], true);
			touching(&f, touch[s], false);
		}
		fixture_close(&f);
	}
}

/* The last page of the heap, and the first byte behind it, which has no tables. */
static void test_the_end_of_the_heap_is_an_end(void **state)
{
	static void *end;
	struct fixture f;
	struct view *view;
	char *large;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	view = (struct view *)f.heap;
	new_bytes(&f, 16, true);
	/* What is left of the pages that exist. */
	large = new_bytes(&f, address_end(view) - (2 << GCHEAP_PAGE_SHIFT), true);
	assert_int_equal(address_offset(view, large) + address_end(view) - (2 << GCHEAP_PAGE_SHIFT),
			 address_end(view));
	end = view->base + address_end(view);
	assert_int_equal(gcheap_root_add_ambiguous(f.heap, &end, sizeof(end)), 0);
	assert_int_equal(live_after_collect(&f), 1);
	end = view->base;
	assert_int_equal(live_after_collect(&f), 0);
	fixture_close(&f);
}

/* ---- free slots ------------------------------------------------------------------ */

struct cell {
	struct cell *next;
	uint64_t rest[5];
};

/*
 * A slot that is free, and once led to @list; its address, hidden. Beside it a cell lives on,
 * so that its span is not freed.
 */
static const void *dead_cell(struct fixture *f, gcheap_type type, struct cell **list,
			     struct cell **beside)
{
	struct cell *dead;
	const void *hidden;
	size_t i;

	*beside = gcheap_new(f->thread, type);
	dead = gcheap_new(f->thread, type);
	for (i = 0; i < 1000; i++) {
		struct cell *cell = gcheap_new(f->thread, type);

		cell->next = *list;
		*list = cell;
	}
	dead->next = *list;
	hidden = hide(dead);
	assert_int_equal(live_after_collect(f), 1001);
	assert_false(is_alive(f, hidden));
	/* Old data is still there: nobody has had the slot since. */
	assert_ptr_equal(dead->next, *list);
	return hidden;
}

enum leader { LED_BY_ROOT, LED_BY_OBJECT, LED_BY_TYPED_ROOT, LED_BY_AMBIGUOUS, LEADERS };

static void led_by(struct fixture *f, enum leader leader)
{
	static struct cell *list, *beside, outside;
	static void *word;
	gcheap_type type = type_with_mask(f->heap, sizeof(struct cell), 8, 1);
	const void *hidden;

	assert_int_equal(gcheap_root_add(f->heap, &list, 1), 0);
	assert_int_equal(gcheap_root_add(f->heap, &beside, 1), 0);
	hidden = dead_cell(f, type, &list, &beside);
	switch (leader) {
	case LED_BY_ROOT:
		assert_int_equal(gcheap_root_add(f->heap, &word, 1), 0);
		word = (void *)(uintptr_t)hide(hidden);
		break;
	case LED_BY_OBJECT:
		beside->next = (struct cell *)(uintptr_t)hide(hidden);
		break;
	case LED_BY_TYPED_ROOT:
		assert_int_equal(gcheap_root_add_typed(f->heap, &outside, type, 1), 0);
		outside.next = (struct cell *)(uintptr_t)hide(hidden);
		break;
	default:
		assert_int_equal(gcheap_root_add_ambiguous(f->heap, &word, sizeof(word)), 0);
		word = (void *)(uintptr_t)hide(hidden);
	}
	list = NULL;
	assert_int_equal(live_after_collect(f), 1);
	assert_false(is_alive(f, hidden));
}

static void test_nothing_lives_by_way_of_a_free_slot(void **state)
{
	struct fixture f;
	size_t l, leader;

	(void)state;
	in_each_layout(l) {
		for (leader = 0; leader < LEADERS; leader++) {
			fixture_open_layout(&f, test_layouts[l].layout);
			led_by(&f, (enum leader)leader);
			fixture_close(&f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_ambiguous_end_keeps_its_object),
		cmocka_unit_test(test_a_precise_word_is_of_the_object_that_it_leads_to),
		cmocka_unit_test(test_the_end_of_the_heap_is_an_end),
		cmocka_unit_test(test_nothing_lives_by_way_of_a_free_slot),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ends", tests, NULL, NULL);
}
