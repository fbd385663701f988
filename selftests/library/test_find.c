// SPDX-License-Identifier: MIT
/*
 * gcheap_find(): from any address to its object. Every byte of objects of every
 * size class, and of those that share a slot, free slots, the ends of slots and spans,
 * large objects, and what is no address of the heap at all.
 */
#include "library_test.h"

#define BYTES_MAX	40000u

static void assert_found(struct gcheap *heap, const char *p, const char *object, size_t bytes)
{
	struct gcheap_object found;

	if (gcheap_find(heap, p, &found))
		fail_msg("byte %td of an object of %zu: %s", p - object, bytes, gcheap_error());
	assert_ptr_equal(found.base, object);
	assert_true(found.size >= bytes);
}

/* All bytes of an object, with what its slot has behind it. */
static void check_object(struct fixture *f, enum gcheap_layout layout, char *object, size_t bytes,
			 gcheap_type type, bool noscan)
{
	struct gcheap_object found;
	size_t footer = 0;
	size_t step, at;

	assert_non_null(object);
	assert_int_equal(gcheap_find(f->heap, object, &found), 0);
	assert_ptr_equal(found.base, object);
	assert_true(found.size >= bytes);
	assert_int_equal(found.flags & GCHEAP_OBJECT_NOSCAN, noscan ? GCHEAP_OBJECT_NOSCAN : 0);
	assert_int_equal(!!(found.flags & GCHEAP_OBJECT_LARGE), found.size > 32768);
	if (found.type)
		assert_int_equal(found.type, type);
	else
		assert_true(noscan || found.size <= 512 || layout == GCHEAP_LAYOUT_BITMAP);
	if (!noscan && layout == GCHEAP_LAYOUT_FOOTER && found.size > 512 &&
	    found.size < 32768)
		footer = 8;
	step = found.size > 1024 ? 61 : 1;
	for (at = 0; at < found.size; at += step)
		assert_found(f->heap, object + at, object, bytes);
	assert_found(f->heap, object + found.size - 1, object, bytes);
	/* Behind it, and its footer if it has one, is another object, or none. */
	if (!gcheap_find(f->heap, object + found.size + footer, &found))
		assert_ptr_not_equal(found.base, object);
}

static void check_all_sizes(enum gcheap_layout layout)
{
	struct fixture f;
	size_t bytes, i;

	fixture_open_layout(&f, layout);
	for (bytes = 8; bytes < BYTES_MAX; bytes += bytes < 1200 ? 8 : 1032) {
		gcheap_type type = type_with_mask(f.heap, bytes, 8, 1);

		for (i = 0; i < 3; i++) {
			check_object(&f, layout, gcheap_new(f.thread, type), bytes, type, false);
			/* Those of 8 bytes share slots, and are not found one by one. */
			if (bytes > 8)
				check_object(&f, layout, gcheap_new_leaf(f.thread, bytes), bytes, 0,
					     true);
		}
	}
	fixture_close(&f);
}

static void test_every_byte_of_an_object_finds_it(void **state)
{
	size_t i;

	(void)state;
	in_each_layout(i)
		check_all_sizes(test_layouts[i].layout);
}

#define CELLS	600u

/* Objects of up to 8 bytes, told by size or by type: each finds the slot that it shares. */
static void check_cells(struct fixture *f, size_t bytes, bool typed)
{
	static char *cells[CELLS];
	gcheap_type type = typed ? type_with_mask(f->heap, bytes, bytes, 0) : 0;
	struct gcheap_object found;
	size_t i, at, kept = 0;

	assert_int_equal(gcheap_root_add(f->heap, cells, CELLS), 0);
	for (i = 0; i < CELLS; i++) {
		cells[i] = typed ? gcheap_new(f->thread, type) :
			   gcheap_new_leaf(f->thread, bytes);
		assert_non_null(cells[i]);
		for (at = 0; at < bytes; at++) {
			assert_int_equal(gcheap_find(f->heap, cells[i] + at, &found), 0);
			assert_int_equal((uintptr_t)found.base, (uintptr_t)cells[i] & ~15ul);
			assert_int_equal(found.size, 16);
			assert_int_equal(found.type, 0);
			assert_int_equal(found.flags, GCHEAP_OBJECT_NOSCAN);
		}
		/* One past its end: its own slot, or the next one, which nobody has yet. */
		if ((uintptr_t)(cells[i] + bytes) % 16)
			assert_found(f->heap, cells[i] + bytes, found.base, 16);
		else
			assert_int_equal(gcheap_find(f->heap, cells[i] + bytes, &found), -ENOENT);
	}
	/* A slot stays for its last cell alone, and any byte of it finds it. */
	for (i = 0; i < CELLS; i++) {
		if ((uintptr_t)(cells[i] + bytes) % 16)
			cells[i] = NULL;
		else
			kept++;
	}
	assert_int_equal(kept, CELLS * bytes / 16);
	assert_int_equal(live_after_collect(f), kept);
	for (i = 0; i < CELLS; i++) {
		for (at = 0; cells[i] && at < 16; at++)
			assert_found(f->heap, cells[i] + bytes - 1 - at, cells[i] + bytes - 16, 16);
	}
	at = (size_t)(uintptr_t)cells[CELLS - 1];
	memset(cells, 0, sizeof(cells));
	assert_int_equal(live_after_collect(f), 0);
	assert_int_equal(gcheap_find(f->heap, (char *)at, &found), -ENOENT);
	assert_int_equal(gcheap_root_remove(f->heap, cells), 0);
}

static void test_every_byte_of_a_tiny_object_finds_its_slot(void **state)
{
	struct fixture f;
	size_t i, bytes;

	(void)state;
	in_each_layout(i) {
		fixture_open_layout(&f, test_layouts[i].layout);
		for (bytes = 1; bytes <= 8; bytes *= 2) {
			check_cells(&f, bytes, false);
			check_cells(&f, bytes, true);
		}
		fixture_close(&f);
	}
}

static void open_with_flags(struct fixture *f, enum gcheap_layout layout, uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.flags = flags;
	config.gc_percent = -1;
	fixture_open_with(f, &config);
}

static void test_a_headers_own_bytes_find_the_object(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	size_t align;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_HEADER);
	for (align = 8; align <= 256; align *= 2) {
		gcheap_type type = type_with_mask(f.heap, 1024, align, 1);
		char *object = gcheap_new(f.thread, type);
		size_t before;

		assert_non_null(object);
		for (before = 1; before <= align; before++) {
			assert_int_equal(gcheap_find(f.heap, object - before, &found), 0);
			assert_ptr_equal(found.base, object);
			assert_int_equal(found.type, type);
		}
	}
	fixture_close(&f);
}

/* The headers that other heaps have: of mixed spans, and of all sizes for recorded types. */
static void test_own_bytes_of_other_headers_find_the_object(void **state)
{
	static const struct {
		enum gcheap_layout layout;
		uint32_t flags;
		size_t bytes;
	} with_header[] = {
		{ GCHEAP_LAYOUT_SPAN, 0, 1000 },
		{ GCHEAP_LAYOUT_SPAN, GCHEAP_RECORD_TYPES, 16 },
		{ GCHEAP_LAYOUT_SPAN, GCHEAP_RECORD_TYPES, 1000 },
		{ GCHEAP_LAYOUT_HEADER, GCHEAP_RECORD_TYPES, 8 },
		{ GCHEAP_LAYOUT_HEADER, GCHEAP_RECORD_TYPES, 200 },
		{ GCHEAP_LAYOUT_HEADER, GCHEAP_RECORD_TYPES, 30000 },
	};
	struct gcheap_object found;
	struct fixture f;
	size_t i, before;
	int noscan;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(with_header); i++) {
		open_with_flags(&f, with_header[i].layout, with_header[i].flags);
		/* Without pointers there is a header only where types are recorded. */
		for (noscan = 0; noscan < (with_header[i].flags ? 2 : 1); noscan++) {
			gcheap_type type = type_with_mask(f.heap, with_header[i].bytes, 8, !noscan);
			char *object = gcheap_new(f.thread, type);

			assert_non_null(object);
			for (before = 0; before <= 8; before++) {
				assert_int_equal(gcheap_find(f.heap, object - before, &found), 0);
				assert_ptr_equal(found.base, object);
				assert_int_equal(found.type, type);
			}
		}
		fixture_close(&f);
	}
}

static void test_a_footers_own_bytes_find_the_object(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	size_t align, at;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_FOOTER);
	for (align = 8; align <= 1024; align *= 2) {
		gcheap_type type = type_with_mask(f.heap, 1024, align, 1);
		char *object = gcheap_new(f.thread, type);
		size_t size;

		assert_non_null(object);
		assert_int_equal((uintptr_t)object % align, 0);
		assert_int_equal(gcheap_find(f.heap, object, &found), 0);
		size = found.size;
		for (at = size; at < size + 8; at++) {
			assert_int_equal(gcheap_find(f.heap, object + at, &found), 0);
			assert_ptr_equal(found.base, object);
			assert_int_equal(found.size, size);
			assert_int_equal(found.type, type);
		}
		/* The next slot's. */
		if (!gcheap_find(f.heap, object + at, &found))
			assert_ptr_not_equal(found.base, object);
	}
	fixture_close(&f);
}

/* The type words of recorded types at the end of slots of all sizes. */
static void test_own_bytes_of_other_footers_find_the_object(void **state)
{
	static const enum gcheap_layout with_footer[] = {
		GCHEAP_LAYOUT_FOOTER, GCHEAP_LAYOUT_BITMAP,
	};
	static const size_t sizes[] = { 8, 24, 200, 504, 1000, 30000 };
	struct gcheap_object found, again;
	struct fixture f;
	size_t i, s, at;
	int noscan;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(with_footer); i++) {
		open_with_flags(&f, with_footer[i], GCHEAP_RECORD_TYPES);
		for (s = 0; s < 2 * ARRAY_SIZE(sizes); s++) {
			gcheap_type type;
			char *object;

			noscan = s % 2;
			type = type_with_mask(f.heap, sizes[s / 2], 8, !noscan);
			object = gcheap_new(f.thread, type);
			assert_non_null(object);
			assert_int_equal(gcheap_find(f.heap, object, &found), 0);
			assert_ptr_equal(found.base, object);
			assert_int_equal(found.type, type);
			for (at = found.size; at < found.size + 8; at++) {
				assert_int_equal(gcheap_find(f.heap, object + at, &again), 0);
				assert_ptr_equal(again.base, object);
				assert_int_equal(again.size, found.size);
				assert_int_equal(again.type, type);
			}
			if (!gcheap_find(f.heap, object + at, &again))
				assert_ptr_not_equal(again.base, object);
		}
		fixture_close(&f);
	}
}

/* Slots that a cache has not handed out, and those that a cycle has freed. */
static void check_free_slots(enum gcheap_layout layout, size_t bytes)
{
	void *kept[100], *dropped[100];
	struct gcheap_object found;
	struct fixture f;
	gcheap_type type;
	size_t i;

	fixture_open_layout(&f, layout);
	type = type_with_mask(f.heap, bytes, 8, 1);
	assert_int_equal(gcheap_root_add(f.heap, kept, ARRAY_SIZE(kept)), 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		kept[i] = gcheap_new(f.thread, type);
		dropped[i] = gcheap_new(f.thread, type);
		assert_non_null(kept[i]);
		assert_non_null(dropped[i]);
		assert_int_equal(gcheap_find(f.heap, dropped[i], &found), 0);
	}
	/* The slot after the last one handed out, and a type word between. */
	assert_refused(gcheap_find(f.heap, (char *)dropped[i - 1] + found.size + 8, &found),
		       ENOENT, "which is free, of the span at page");
	assert_int_equal(live_after_collect(&f), ARRAY_SIZE(kept));
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		assert_int_equal(gcheap_find(f.heap, kept[i], &found), 0);
		assert_int_equal(gcheap_find(f.heap, dropped[i], &found), -ENOENT);
	}
	/* The first that is allocated again is found again. */
	dropped[0] = gcheap_new(f.thread, type);
	assert_int_equal(gcheap_find(f.heap, dropped[0], &found), 0);
	assert_ptr_equal(found.base, dropped[0]);
	fixture_close(&f);
}

static void test_free_slots_are_not_found(void **state)
{
	(void)state;
	check_free_slots(GCHEAP_LAYOUT_SPAN, 64);
	check_free_slots(GCHEAP_LAYOUT_SPAN, 48);
	check_free_slots(GCHEAP_LAYOUT_SPAN, 1024);
	check_free_slots(GCHEAP_LAYOUT_HEADER, 64);
	check_free_slots(GCHEAP_LAYOUT_HEADER, 1016);
	check_free_slots(GCHEAP_LAYOUT_FOOTER, 64);
	check_free_slots(GCHEAP_LAYOUT_FOOTER, 1016);
}

/* A span of 48-byte slots has 170 of them, and 32 bytes left. */
static void test_the_waste_at_a_spans_end_is_no_object(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	gcheap_type type;
	char *object, *last = NULL;
	int i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 48, 8, 1);
	for (i = 0; i < 400; i++) {
		object = gcheap_new(f.thread, type);
		assert_non_null(object);
		if ((uintptr_t)object % 8192 == 169 * 48)
			last = object;
	}
	assert_non_null(last);
	assert_int_equal(gcheap_find(f.heap, last + 47, &found), 0);
	for (i = 48; i < 48 + 32; i++)
		assert_int_equal(gcheap_find(f.heap, last + i, &found), -ENOENT);
	fixture_close(&f);
}

static void test_large_objects_are_found_from_any_of_their_pages(void **state)
{
	struct gcheap_object found;
	struct fixture f;
	gcheap_type type;
	size_t bytes = 5u << 20;
	char *object, *leaf;
	size_t at;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 16, 8, 1);
	object = gcheap_new_array(f.thread, type, bytes / 16);
	leaf = gcheap_new_leaf(f.thread, bytes + 1);
	assert_non_null(object);
	assert_non_null(leaf);
	for (at = 0; at < bytes; at += 4099) {
		assert_found(f.heap, object + at, object, bytes);
		assert_found(f.heap, leaf + at, leaf, bytes + 1);
	}
	assert_int_equal(gcheap_find(f.heap, object, &found), 0);
	assert_int_equal(found.type, type);
	assert_int_equal(found.flags, GCHEAP_OBJECT_LARGE);
	assert_int_equal(gcheap_find(f.heap, leaf, &found), 0);
	assert_int_equal(found.type, 0);
	assert_int_equal(found.flags, GCHEAP_OBJECT_LARGE | GCHEAP_OBJECT_NOSCAN);
	assert_int_equal(live_after_collect(&f), 0);
	assert_int_equal(gcheap_find(f.heap, object, &found), -ENOENT);
	assert_int_equal(gcheap_find(f.heap, leaf + 100000, &found), -ENOENT);
	fixture_close(&f);
}

static void test_err_find(void **state)
{
	struct gcheap_object found = { .base = &found };
	struct fixture f, other;
	char *object;

	(void)state;
	fixture_open(&f);
	fixture_open(&other);
	object = gcheap_new_leaf(f.thread, 100);
	assert_non_null(object);
	assert_refused(gcheap_find(NULL, object, &found), EINVAL, "NULL");
	assert_refused(gcheap_find(f.heap, object, NULL), EINVAL, "NULL");
	assert_refused(gcheap_find(f.heap, NULL, &found), ENOENT, "out of this heap");
	assert_refused(gcheap_find(f.heap, &f, &found), ENOENT, "object");
	assert_refused(gcheap_find(f.heap, (void *)UINTPTR_MAX, &found), ENOENT, "object");
	assert_refused(gcheap_find(other.heap, object, &found), ENOENT, "object");
	/* Beyond the pages that exist, and page 0. */
	assert_refused(gcheap_find(f.heap, object + (1u << 30), &found), ENOENT, "beyond the heap's pages");
	assert_refused(gcheap_find(f.heap, (void *)((uintptr_t)object & ~(uintptr_t)0x3ffffff),
				   &found), ENOENT, "first page");
	/* A page behind the span, which is free. */
	assert_refused(gcheap_find(f.heap, object + 40 * 8192, &found), ENOENT,
		       "which is free");
	assert_ptr_equal(found.base, &found);
	fixture_close(&other);
	fixture_close(&f);
}

static void test_stats_count_what_was_done(void **state)
{
	struct gcheap_stats stats;
	struct fixture f;
	gcheap_type type;
	void *root = NULL;
	int i;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	type = type_with_mask(f.heap, 64, 8, 1);
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	stats = stats_of(f.heap);
	assert_int_equal(stats.cycles, 0);
	assert_int_equal(stats.allocated_objects, 0);
	for (i = 0; i < 1000; i++)
		root = gcheap_new(f.thread, type);
	stats = stats_of(f.heap);
	assert_int_equal(stats.allocated_objects, 1000);
	assert_int_equal(stats.allocated_bytes, 64000);
	assert_true(stats.mapped_bytes >= stats.free_bytes + 64000);
	assert_true(stats.resident_bytes >= 64000);
	assert_true(stats.metadata_bytes > 0);
	assert_true(stats.requests > 0);
	assert_int_equal(live_after_collect(&f), 1);
	stats = stats_of(f.heap);
	assert_int_equal(stats.cycles, 1);
	assert_int_equal(stats.live_bytes, 64);
	assert_int_equal(stats.mark_bytes_total, 64);
	assert_int_equal(stats.allocated_objects, 1000);
	assert_true(stats.freed_spans > 0);
	assert_true(stats.pause_ns_max >= stats.mark_ns_total);
	fixture_close(&f);
}

static void test_stats_of_another_versions_size(void **state)
{
	struct {
		struct gcheap_stats stats;
		uint64_t more;
	} longer = { .stats.size = sizeof(longer), .more = 1 };
	struct gcheap_stats stats = { .size = offsetof(struct gcheap_stats, live_bytes),
				      .live_bytes = 4711 };
	struct fixture f;

	(void)state;
	fixture_open(&f);
	assert_int_equal(gcheap_stats(f.heap, &longer.stats), 0);
	assert_int_equal(longer.stats.size, sizeof(longer));
	assert_int_equal(longer.more, 0);
	assert_int_equal(gcheap_stats(f.heap, &stats), 0);
	assert_int_equal(stats.live_bytes, 4711);
	stats.size = 0;
	assert_refused(gcheap_stats(f.heap, &stats), EINVAL, "size");
	stats.size = 4097;
	assert_refused(gcheap_stats(f.heap, &stats), EINVAL, "size");
	assert_int_equal(stats.live_bytes, 4711);
	assert_refused(gcheap_stats(f.heap, NULL), EINVAL, "NULL");
	assert_refused(gcheap_stats(NULL, &stats), EINVAL, "NULL");
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte_of_an_object_finds_it),
		cmocka_unit_test(test_every_byte_of_a_tiny_object_finds_its_slot),
		cmocka_unit_test(test_a_headers_own_bytes_find_the_object),
		cmocka_unit_test(test_a_footers_own_bytes_find_the_object),
		cmocka_unit_test(test_own_bytes_of_other_headers_find_the_object),
		cmocka_unit_test(test_own_bytes_of_other_footers_find_the_object),
		cmocka_unit_test(test_free_slots_are_not_found),
		cmocka_unit_test(test_the_waste_at_a_spans_end_is_no_object),
		cmocka_unit_test(test_large_objects_are_found_from_any_of_their_pages),
		cmocka_unit_test(test_err_find),
		cmocka_unit_test(test_stats_count_what_was_done),
		cmocka_unit_test(test_stats_of_another_versions_size),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("find", tests, NULL, NULL);
}
