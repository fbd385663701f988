// SPDX-License-Identifier: MIT
/*
 * Pointers that lead to no object, or to more than one thing at first sight: heap
 * bits at a span's tail, what is behind an object, freed and foreign memory. Of each
 * gcheap_find() says the right object, or where the pointer leads instead, with the
 * span, its state and its class.
 *
 * It reaches behind the public interface for chunks, which no function of it makes
 * yet, but calls nothing there.
 */
#include "library_test.h"

#include "backend/backend.h"
#include "layout/layout.h"
#include "library.h"

static char *new_object(struct fixture *f, size_t bytes, size_t align)
{
	char *object = gcheap_new(f->thread, type_with_mask(f->heap, bytes, align, 1));

	if (!object)
		fail_msg("%zu bytes: %s", bytes, gcheap_error());
	return object;
}

static size_t page_of(const struct fixture *f, const void *p)
{
	const struct view *view = &f->heap->view;
	size_t page = address_offset(view, p) >> GCHEAP_PAGE_SHIFT;

	return page - GCHEAP_PAGE_INDEX(view->pages[page]);
}

/* The address is of no object, and the error says all of @format. */
static void __attribute__((format(printf, 3, 4)))
assert_leads(struct fixture *f, const void *p, const char *format, ...)
{
	struct gcheap_object found;
	char words[160];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	assert_refused(gcheap_find(f->heap, p, &found), ENOENT, words);
}

/* ---- inside a span ------------------------------------------------------------- */

static void test_heap_bits_are_no_object(void **state)
{
	static const enum gcheap_layout with_bits[] = {
		GCHEAP_LAYOUT_HEADER, GCHEAP_LAYOUT_FOOTER,
	};
	struct fixture f;
	size_t i, at;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(with_bits); i++) {
		char *object, *span;

		fixture_open_layout(&f, with_bits[i]);
		object = new_object(&f, 64, 8);
		span = f.heap->view.base + (page_of(&f, object) << GCHEAP_PAGE_SHIFT);
		/* 126 slots, then a bit for each of the span's 1024 words. */
		for (at = 8192 - 128; at < 8192; at++)
			assert_leads(&f, span + at, "behind the last slot of the span at page %zu "
				     "(cached, class 6: 64 bytes)", page_of(&f, object));
		fixture_close(&f);
	}
}

static void test_the_waste_behind_the_last_slot_is_no_object(void **state)
{
	struct fixture f;
	size_t i, at;

	(void)state;
	in_each_layout(i) {
		char *object, *span;
		size_t slots;

		fixture_open_layout(&f, test_layouts[i].layout);
		object = new_object(&f, 48, 8);
		span = f.heap->view.base + (page_of(&f, object) << GCHEAP_PAGE_SHIFT);
		slots = f.heap->view.spans[page_of(&f, object)].slots;
		assert_in_range(slots, 168, 170);
		for (at = slots * 48; at < 8192; at++)
			assert_leads(&f, span + at, "behind the last slot of the span at page %zu "
				     "(cached, class 5: 48 bytes)", page_of(&f, object));
		fixture_close(&f);
	}
}

static void test_one_past_the_end_is_the_next_slot(void **state)
{
	static const size_t sizes[] = { 16, 64, 512, 1024, 2000, 8192, 32000 };
	struct gcheap_object found, next;
	struct fixture f;
	size_t i, s;

	(void)state;
	/* Each layout, and then each with recorded types. */
	for (i = 0; i < 2 * TEST_LAYOUTS; i++) {
		struct gcheap_config config = fixture_config();

		config.layout = test_layouts[i % TEST_LAYOUTS].layout;
		config.flags = i < TEST_LAYOUTS ? 0 : GCHEAP_RECORD_TYPES;
		config.gc_percent = -1;
		fixture_open_with(&f, &config);
		for (s = 0; s < ARRAY_SIZE(sizes); s++) {
			gcheap_type type = type_with_mask(f.heap, sizes[s], 8, 1);
			char *first = gcheap_new(f.thread, type);
			char *second = gcheap_new(f.thread, type);
			size_t slot;

			assert_non_null(first);
			assert_non_null(second);
			assert_int_equal(gcheap_find(f.heap, first, &found), 0);
			slot = (size_t)(second - first);
			if (second < first || page_of(&f, first) != page_of(&f, second))
				continue;
			/* A word more than the object is its own metadata, or the next slot. */
			assert_in_range(slot - found.size, 0, 8);
			assert_int_equal(gcheap_find(f.heap, first + slot, &next), 0);
			assert_ptr_equal(next.base, second);
			/* And behind the second, which nobody has yet. */
			if (address_offset(&f.heap->view, second + slot) >> GCHEAP_PAGE_SHIFT ==
			    page_of(&f, first))
				assert_leads(&f, second + slot, "to slot 2 of");
		}
		fixture_close(&f);
	}
}

static void test_a_free_slot_is_named(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		char *object;
		void *root;

		fixture_open_layout(&f, test_layouts[i].layout);
		object = new_object(&f, 64, 8);
		root = object;
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		assert_leads(&f, object + 64 * 7 + 5,
			     "to slot 7 of %u, which is free, of the span at page %zu (cached, "
			     "class 6: 64 bytes)", f.heap->view.spans[page_of(&f, object)].slots,
			     page_of(&f, object));
		assert_int_equal(live_after_collect(&f), 1);
		assert_leads(&f, object + 64 * 7 + 5, "(central, class 6: 64 bytes)");
		assert_leads(&f, (char *)gcheap_new_leaf(f.thread, 64) + 64,
			     "class 6: 64 bytes, no pointers)");
		fixture_close(&f);
	}
}

/* Slots of objects of up to 8 bytes: the cells of one are free together. */
static void check_cells(struct fixture *f, size_t bytes)
{
	static char *cells[40];
	struct gcheap_object found;
	char *first, *next;
	size_t i, page, slot;

	for (i = 0; i < ARRAY_SIZE(cells); i++)
		cells[i] = gcheap_new_leaf(f->thread, bytes);
	assert_int_equal(gcheap_root_add(f->heap, cells, ARRAY_SIZE(cells)), 0);
	first = cells[0];
	page = page_of(f, first);
	assert_int_equal((uintptr_t)first % 8192, 0);
	/* The first slot of which no cell is in use: all of its bytes lead there. */
	slot = (ARRAY_SIZE(cells) * bytes + 15) / 16;
	next = first + slot * 16;
	for (i = 0; i < 16; i++)
		assert_leads(f, next + i, "to slot %zu of 512, which is free, of the span at page "
			     "%zu (cached, class 2: 16 bytes, no pointers)", slot, page);
	/* A cell that nobody has had is one of its slot's. */
	assert_int_equal(gcheap_find(f->heap, next - 1, &found), 0);
	assert_ptr_equal(found.base, next - 16);

	/* One cell of the second slot stays. */
	for (i = 0; i < ARRAY_SIZE(cells); i++) {
		if (i != 16 / bytes)
			cells[i] = NULL;
	}
	assert_int_equal(live_after_collect(f), 1);
	assert_leads(f, first, "to slot 0 of 512, which is free, of the span at page %zu (central, "
		     "class 2: 16 bytes, no pointers)", page);
	assert_leads(f, first + 33, "to slot 2 of 512");
	assert_int_equal(gcheap_find(f->heap, first + 31, &found), 0);
	assert_ptr_equal(found.base, first + 16);
	assert_int_equal(gcheap_root_remove(f->heap, cells), 0);
	assert_int_equal(live_after_collect(f), 0);
	assert_leads(f, first + 16, "to page %zu, which is free", page);
}

static void test_a_slot_of_tiny_objects_is_named(void **state)
{
	struct fixture f;
	size_t i, bytes;

	(void)state;
	in_each_layout(i) {
		for (bytes = 1; bytes <= 8; bytes *= 2) {
			fixture_open_layout(&f, test_layouts[i].layout);
			check_cells(&f, bytes);
			fixture_close(&f);
		}
	}
}

/* ---- large objects --------------------------------------------------------------- */

static void test_the_end_of_a_large_object(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		char *object;

		fixture_open_layout(&f, test_layouts[i].layout);
		object = new_object(&f, 100000, 8);
		/* One past its end, and to the last byte of its 13th page. */
		assert_int_equal(gcheap_find(f.heap, object + 100000, &found), 0);
		assert_ptr_equal(found.base, object);
		assert_int_equal(gcheap_find(f.heap, object + 106495, &found), 0);
		assert_ptr_equal(found.base, object);
		assert_int_equal(found.size, 106496);
		assert_leads(&f, object + 106496, "which is free");
		assert_int_equal(live_after_collect(&f), 0);
		assert_leads(&f, object, "to page %zu, which is free",
			     (size_t)(address_offset(&f.heap->view, object) >> GCHEAP_PAGE_SHIFT));
		fixture_close(&f);
	}
}

/* ---- other memory ----------------------------------------------------------------- */

static void test_what_is_not_in_use(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	in_each_layout(i) {
		char *object, *base;
		int foreign;

		fixture_open_layout(&f, test_layouts[i].layout);
		base = f.heap->view.base;
		assert_leads(&f, base, "beyond the heap's pages: page 0 of 0");
		object = new_object(&f, 64, 8);
		assert_leads(&f, NULL, "out of this heap");
		assert_leads(&f, &foreign, "out of this heap");
		assert_leads(&f, base - 1, "out of this heap");
		assert_leads(&f, base + f.heap->view.reserve_bytes, "out of this heap");
		assert_leads(&f, base + f.heap->view.reserve_bytes - 1, "beyond the heap's pages");
		assert_leads(&f, base, "to the heap's first page, which is never used");
		assert_leads(&f, base + 8191, "to the heap's first page, which is never used");
		assert_leads(&f, base + address_end(&f.heap->view) - 1, "to page %u, which is free",
			     f.heap->view.ctrl->heap_pages - 1);
		assert_leads(&f, base + address_end(&f.heap->view), "beyond the heap's pages");
		assert_int_equal(address_offset(&f.heap->view, object) <
				 address_end(&f.heap->view), 1);
		fixture_close(&f);
	}
}

static int chunk_request(struct fixture *f, enum gcheap_op op, void *arg)
{
	return f->heap->backend->ops->request(f->heap->backend, op, arg);
}

static void test_chunks_and_what_is_left_of_them(void **state)
{
	struct gcheap_chunk_new new = { .size = sizeof(new) };
	struct gcheap_chunk_free end = { .size = sizeof(end) };
	struct gcheap_chunk_ready ready = { .size = sizeof(ready) };
	struct fixture f;
	char *chunk;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	assert_int_equal(chunk_request(&f, GCHEAP_OP_CHUNK_NEW, &new), 0);
	chunk = f.heap->view.base + ((size_t)new.out_page << GCHEAP_PAGE_SHIFT);
	assert_leads(&f, chunk + 12345, "into the chunk of a user arena at page %u", new.out_page);
	end.page = new.out_page;
	assert_int_equal(chunk_request(&f, GCHEAP_OP_CHUNK_FREE, &end), 0);
	assert_leads(&f, chunk + 12345, "into freed memory, where an access faults: the span at "
		     "page %u (freed, in quarantine, 1024 pages)", new.out_page);
	ready.page = new.out_page;
	assert_int_equal(chunk_request(&f, GCHEAP_OP_CHUNK_READY, &ready), 0);
	assert_leads(&f, chunk + 8388607, "into freed memory, where an access faults: the span at "
		     "page %u (ready chunk, 1024 pages)", new.out_page);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap_bits_are_no_object),
		cmocka_unit_test(test_the_waste_behind_the_last_slot_is_no_object),
		cmocka_unit_test(test_one_past_the_end_is_the_next_slot),
		cmocka_unit_test(test_a_free_slot_is_named),
		cmocka_unit_test(test_a_slot_of_tiny_objects_is_named),
		cmocka_unit_test(test_the_end_of_a_large_object),
		cmocka_unit_test(test_what_is_not_in_use),
		cmocka_unit_test(test_chunks_and_what_is_left_of_them),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("bad pointer", tests, NULL, NULL);
}
