// SPDX-License-Identifier: MIT
/*
 * gcheap_verify(): a sound heap passes, whatever was done to it; a broken one does
 * not, and the report names the place.
 *
 * What a program can break through the device too is broken on both backends:
 * objects, headers, footers, alloc bits. The tables can only be written where they are
 * local.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#include "address.h"
#include "backend/backend.h"
#include "library.h"

/* Runs gcheap_verify() and returns what it printed on stderr. */
static const char *report(struct gcheap *heap, int *result)
{
	static char text[8192];
	FILE *file = tmpfile();
	int saved = dup(2);
	size_t length;

	assert_non_null(file);
	assert_true(saved >= 0);
	fflush(stderr);
	dup2(fileno(file), 2);
	*result = gcheap_verify(heap);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = 0;
	fclose(file);
	return text;
}

static void assert_sound(struct gcheap *heap)
{
	const char *text;
	int result;

	text = report(heap, &result);
	if (result)
		fail_msg("%d: %s", result, text);
	assert_string_equal(text, "");
}

static void assert_broken(struct gcheap *heap, const char *words)
{
	const char *text;
	int result;

	text = report(heap, &result);
	assert_refused(result, EUCLEAN, "corrupted");
	if (!strstr(text, words))
		fail_msg("the report does not say \"%s\": %s", words, text);
	if (!strstr(text, "gcheap: verify: "))
		fail_msg("the report does not say whose it is: %s", text);
}

static void *new_object(struct fixture *f, gcheap_type type)
{
	void *object = gcheap_new(f->thread, type);

	if (!object)
		fail_msg("gcheap_new: %s", gcheap_error());
	return object;
}

/* ---- sound heaps -------------------------------------------------------------- */

static void busy(struct fixture *f)
{
	static const size_t sizes[] = {
		16, 24, 48, 64, 512, 520, 1000, 4096, 30000, 40000, 300000,
	};
	gcheap_type types[ARRAY_SIZE(sizes)], element;
	void *roots[500] = { NULL };
	uint64_t random = 4711;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		types[i] = type_with_mask(f->heap, sizes[i], 8, 3);
	element = type_with_mask(f->heap, 24, 8, 5);
	assert_int_equal(gcheap_root_add(f->heap, roots, ARRAY_SIZE(roots)), 0);
	assert_sound(f->heap);
	for (i = 0; i < 20000; i++) {
		size_t size = random_next(&random) % (i % 100 ? ARRAY_SIZE(sizes) - 3 :
						      ARRAY_SIZE(sizes));
		void **object = i % 7 ? new_object(f, types[size]) : i % 2 ?
				gcheap_new_leaf(f->thread, sizes[size]) :
				gcheap_new_array(f->thread, element,
						 1 + random_next(&random) % 100);

		assert_non_null(object);
		/* In cells of slots; some are pointed to. */
		if (i % 3 == 0)
			roots[i % ARRAY_SIZE(roots)] = gcheap_new_leaf(f->thread, 1 + i % 8);
		if (i % 7) {
			object[0] = roots[random_next(&random) % ARRAY_SIZE(roots)];
			object[1] = (char *)object + sizes[size];	/* its own end */
		}
		roots[random_next(&random) % ARRAY_SIZE(roots)] = object;
		if (i % 2500 == 0)
			assert_sound(f->heap);
		if (i % 4000 == 3999) {
			assert_int_equal(gcheap_collect(f->thread), 0);
			assert_sound(f->heap);
		}
	}
	memset(roots, 0, sizeof(roots));
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_sound(f->heap);
}

static void test_a_heap_in_use_is_sound_at_any_time(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < TEST_LAYOUTS; i++) {
		fixture_open_layout(&f, test_layouts[i].layout);
		busy(&f);
		fixture_close(&f);
	}
}

static void test_a_heap_without_a_thread_is_sound(void **state)
{
	struct gcheap *heap;

	(void)state;
	assert_int_equal(gcheap_open(NULL, &heap), 0);
	assert_sound(heap);
	gcheap_close(heap);
	assert_refused(gcheap_verify(NULL), EINVAL, "NULL");
}

/* ---- what a program can break -------------------------------------------------- */

static void pointers(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, 64, 8, 2);
	uintptr_t *object = new_object(f, type);
	char *base = ((struct gcheap *)f->heap)->view.base;
	char words[64];

	/* Sound: NULL, foreign, an object, its inside, its end. */
	object[1] = (uintptr_t)words;
	assert_sound(f->heap);
	object[1] = (uintptr_t)object;
	assert_sound(f->heap);
	object[1] = (uintptr_t)object + 63;
	assert_sound(f->heap);
	object[1] = (uintptr_t)object + 64;
	assert_sound(f->heap);
	/* Not a pointer: word 0 may hold anything. */
	object[0] = (uintptr_t)base + 1;
	assert_sound(f->heap);

	object[1] = (uintptr_t)object + 64 * 5;
	snprintf(words, sizeof(words), "slot %zu of",
		 (size_t)((uintptr_t)object & 8191) / 64);
	assert_broken(f->heap, words);
	assert_broken(f->heap, "cached, class 6");
	assert_broken(f->heap, ", which is free, of the span at page");
	object[1] = (uintptr_t)base + 8;
	assert_broken(f->heap, "to the heap's first page");
	object[1] = (uintptr_t)base + (1u << 30);
	assert_broken(f->heap, "leads beyond the heap");
	object[1] = 0;
	assert_sound(f->heap);
}

/* To cells, which are parts of slots, and to what only looks like one. */
static void test_pointers_to_tiny_objects(void **state)
{
	struct fixture f;
	size_t i, bytes;

	(void)state;
	for (i = 0; i < TEST_LAYOUTS; i++) {
		fixture_open_layout(&f, test_layouts[i].layout);
		for (bytes = 1; bytes <= 8; bytes *= 2) {
			uintptr_t *object = new_object(&f, type_with_mask(f.heap, 64, 8, 2));
			uintptr_t cell = (uintptr_t)gcheap_new_leaf(f.thread, bytes);
			char words[96];

			assert_int_equal(cell % 8192, 0);
			object[1] = cell;
			assert_sound(f.heap);
			object[1] = cell + bytes - 1;
			assert_sound(f.heap);
			/* Its end, and that of its slot. */
			object[1] = cell + bytes;
			assert_sound(f.heap);
			object[1] = cell + 16;
			assert_sound(f.heap);
			object[1] = cell + 17;
			snprintf(words, sizeof(words),
				 "to slot 1 of 512, which is free, of the span at page %zu",
				 (size_t)address_offset(&f.heap->view, (void *)cell) / 8192);
			assert_broken(f.heap, words);
			assert_broken(f.heap, "(cached, class 2: 16 bytes, no pointers)");
			object[1] = 0;
			assert_sound(f.heap);
		}
		fixture_close(&f);
	}
}

/* A slot that has a cell in use has an alloc bit, one without has none. */
static void test_alloc_bits_of_tiny_objects(void **state)
{
	struct fixture f;
	size_t bytes;

	(void)state;
	for (bytes = 1; bytes <= 8; bytes *= 2) {
		struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = UINT64_MAX };
		struct backend *backend;
		uint64_t *bits, bit;
		void *root;

		fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
		root = gcheap_new_leaf(f.thread, bytes);
		assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
		assert_int_equal(live_after_collect(&f), 1);
		/* The descriptor counts them when the span is swept. */
		backend = f.heap->backend;
		assert_int_equal(backend->ops->request(backend, GCHEAP_OP_SWEEP, &sweep), 0);
		assert_sound(f.heap);
		bit = granule_of(address_offset(&f.heap->view, root));
		bits = view_alloc_bits(&f.heap->view) + bit / 64;
		bits[0] ^= 2ull << bit % 64;
		assert_broken(f.heap, "2 slots are allocated by the alloc bits, 1 by the");
		bits[0] ^= 3ull << bit % 64;
		assert_broken(f.heap, "0 slots are allocated by the alloc bits, 1 by the");
		bits[0] ^= 1ull << bit % 64;
		assert_sound(f.heap);
		fixture_close(&f);
	}
}

static void test_a_wild_pointer_is_reported(void **state)
{
	struct fixture f;
	size_t i;

	(void)state;
	for (i = 0; i < TEST_LAYOUTS; i++) {
		fixture_open_layout(&f, test_layouts[i].layout);
		pointers(&f);
		fixture_close(&f);
	}
}

/* A slot that is free after a cycle, of a span with a live object, and that object. */
static char *free_slot(struct fixture *f, gcheap_type type, void **keep)
{
	char *dead = NULL;
	size_t i;

	*keep = new_object(f, type);
	for (i = 0; i < 40; i++)
		dead = new_object(f, type);
	assert_int_equal(gcheap_root_add(f->heap, keep, 1), 0);
	assert_int_equal(live_after_collect(f), 1);
	return dead;
}

static void test_dangling_roots_are_reported_with_their_place(void **state)
{
	static void *keep, *slots[3], *end;
	static struct { void *pointer, *more; } typed[4];
	gcheap_type type;
	struct fixture f;
	char words[120];
	char *dead;
	size_t l;

	(void)state;
	in_each_layout(l) {
		void *variable = NULL, *other = NULL;

		fixture_open_layout(&f, test_layouts[l].layout);
		type = type_with_mask(f.heap, 16, 8, 1);
		dead = free_slot(&f, type, &keep);
		assert_int_equal(gcheap_root_add(f.heap, slots, 3), 0);
		assert_int_equal(gcheap_root_add_typed(f.heap, typed, type, 4), 0);
		assert_int_equal(gcheap_root_add(f.heap, &end, 1), 0);
		GCHEAP_FRAME(f.thread, other, variable);
		/* Legal, and no reason to be silent about what is not. */
		end = (char *)keep + 16;
		typed[1].more = dead;
		assert_sound(f.heap);

		slots[2] = dead;
		snprintf(words, sizeof(words), "root 2 of 3 at %p: the pointer %p leads to slot ",
			 (void *)slots, dead);
		assert_broken(f.heap, words);
		slots[2] = NULL;
		assert_sound(f.heap);

		typed[3].pointer = dead + 8;
		snprintf(words, sizeof(words), "root at %p, 4 of type %u, byte 48: the pointer %p ",
			 (void *)typed, type, dead + 8);
		assert_broken(f.heap, words);
		typed[3].pointer = NULL;
		assert_sound(f.heap);

		variable = dead;
		snprintf(words, sizeof(words), "at %p: the pointer %p leads to slot ",
			 (void *)&variable, dead);
		assert_broken(f.heap, words);
		assert_broken(f.heap, "variable 1 of the frame at ");
		assert_broken(f.heap, "passed by the end of that frame, the heap may be right");
		variable = NULL;
		assert_sound(f.heap);

		/* All of them, and no more lines than anybody reads. */
		slots[0] = dead;
		slots[1] = dead;
		*(void **)keep = dead;
		assert_int_equal(gcheap_verify(f.heap), -EUCLEAN);
		assert_error_says("3 faults");
		*(void **)keep = NULL;
		slots[0] = NULL;
		slots[1] = NULL;
		GCHEAP_FRAME_END(f.thread);
		fixture_close(&f);
	}
}

/* With GCHEAP_VERIFY a cycle that finds one is the last. */
static void test_a_dangling_root_ends_a_verified_program(void **state)
{
	static void *keep, *wild, *end;
	struct gcheap_config config = fixture_config();
	int status, pipes[2];
	char text[4096];
	ssize_t length;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct fixture f;
		gcheap_type type;
		char *dead;

		dup2(pipes[1], 2);
		signal(SIGABRT, SIG_DFL);
		config.flags |= GCHEAP_VERIFY;
		config.gc_percent = -1;
		fixture_open_with(&f, &config);
		type = type_with_mask(f.heap, 16, 8, 1);
		dead = free_slot(&f, type, &keep);
		end = (char *)keep + 16;
		wild = dead;
		gcheap_root_add(f.heap, &end, 1);
		gcheap_root_add(f.heap, &wild, 1);
		gcheap_collect(f.thread);
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	length = read(pipes[0], text, sizeof(text) - 1);
	close(pipes[0]);
	assert_true(length > 0);
	text[length] = 0;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(text, "gcheap: verify: root 0 of 1 at "));
	assert_non_null(strstr(text, "gcheap: corrupted heap: found after cycle 2"));
}

static void test_a_broken_header_is_reported(void **state)
{
	struct fixture f;
	uint64_t *object;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_HEADER);
	object = new_object(&f, type_with_mask(f.heap, 1000, 8, 1));
	assert_sound(f.heap);
	object[-1] += 1000;
	assert_broken(f.heap, "header");
	object[-1] -= 1000;
	assert_sound(f.heap);
	fixture_close(&f);
}

static void test_a_broken_footer_is_reported(void **state)
{
	struct fixture f;
	uint64_t *object;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_FOOTER);
	object = new_object(&f, type_with_mask(f.heap, 1000, 8, 1));
	assert_sound(f.heap);
	/* The slot has 1024 bytes, and its last word is the type's. */
	object[127] += 1000;
	assert_broken(f.heap, "footer");
	object[127] = 0;
	assert_broken(f.heap, "footer");
	object[127] = 1;
	assert_sound(f.heap);
	object[126] = 1;
	assert_broken(f.heap, "behind its last element");
	object[126] = 0;
	assert_sound(f.heap);
	fixture_close(&f);
}

static void test_a_tail_that_is_not_zero_is_reported(void **state)
{
	struct fixture f;
	gcheap_type type;
	size_t i;

	(void)state;
	for (i = 0; i < TEST_LAYOUTS; i++) {
		char *object;

		fixture_open_layout(&f, test_layouts[i].layout);
		type = type_with_mask(f.heap, 1000, 8, 1);
		object = new_object(&f, type);
		object[999] = 1;
		assert_sound(f.heap);
		/* The bitmap does not know where a small object's elements end. */
		if (test_layouts[i].layout != GCHEAP_LAYOUT_BITMAP) {
			object[1007] = 1;
			assert_broken(f.heap, "behind its last element");
			object[1007] = 0;
		}
		object = gcheap_new_array(f.thread, type, 99);
		object[98999] = 1;
		assert_sound(f.heap);
		object[99000] = 1;
		assert_broken(f.heap, "large, class 0");
		fixture_close(&f);
	}
}

static void test_alloc_bits_that_are_no_slots_are_reported(void **state)
{
	struct fixture f;
	struct view *view;
	uint64_t *bits, offset;
	void *root;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	view = &((struct gcheap *)f.heap)->view;
	root = new_object(&f, type_with_mask(f.heap, 64, 8, 1));
	assert_int_equal(gcheap_root_add(f.heap, &root, 1), 0);
	assert_int_equal(live_after_collect(&f), 1);
	assert_sound(f.heap);
	offset = (uint64_t)((char *)root - view->base);
	bits = view_alloc_bits(view) + (offset >> 10);
	bits[0] ^= 2ull << (offset >> 4 & 63);
	assert_broken(f.heap, "where no slot is");
	bits[0] ^= 2ull << (offset >> 4 & 63);
	assert_sound(f.heap);
	/* Of a page that no span uses. */
	view_alloc_bits(view)[3] = 1;
	assert_broken(f.heap, "where no slot is");
	view_alloc_bits(view)[3] = 0;
	assert_sound(f.heap);
	fixture_close(&f);
}

/* ---- the tables ---------------------------------------------------------------- */

/* Breaks one value of a table, and puts it back. */
#define assert_breaks(f, lvalue, value, words)					\
	do {									\
		__typeof__(lvalue) *broken_ = &(lvalue);			\
		__typeof__(lvalue) sound_ = *broken_;				\
										\
		*broken_ = (value);						\
		assert_broken((f)->heap, words);				\
		*broken_ = sound_;						\
		assert_sound((f)->heap);					\
	} while (0)

/* Each of the rules is broken in selftests/core/test_verify_tables.c. */
static void test_tables_that_disagree_are_reported(void **state)
{
	struct gcheap_span *span;
	struct gcheap_ctrl *ctrl;
	struct fixture f;
	struct view *view;
	uint64_t *info;
	size_t page;

	(void)state;
	fixture_open_layout(&f, GCHEAP_LAYOUT_SPAN);
	if (gcheap_backend(f.heap) != GCHEAP_BACKEND_LOCAL) {
		fixture_close(&f);
		skip_because("nobody but the kernel writes to the tables of the device");
	}
	view = &((struct gcheap *)f.heap)->view;
	page = address_offset(view, busy_type(&f, type_with_mask(f.heap, 6784, 8, 1), 1)) / 8192;
	if ((view->spans[page].state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		page = view->spans[page].first_page;
	span = (struct gcheap_span *)&view->spans[page];
	info = (uint64_t *)&view->pages[page];
	ctrl = (struct gcheap_ctrl *)view->ctrl;
	assert_sound(f.heap);

	assert_breaks(&f, span->state, 9, "(unknown, class 49): there is no state 9");
	assert_breaks(&f, span->type, 99, "(cached, class 49): there is no type 99");
	assert_breaks(&f, span[1].first_page, 1, "belongs to the span at page 1");
	assert_breaks(&f, *info, *info + 1, "PAGES");
	assert_breaks(&f, ctrl->counters.spans, ctrl->counters.spans + 1,
		      "gcheap: verify: the counter spans is");
	assert_breaks(&f, ctrl->heap_pages, UINT32_MAX, "gcheap: verify: the heap has 4294967295");
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_heap_in_use_is_sound_at_any_time),
		cmocka_unit_test(test_a_heap_without_a_thread_is_sound),
		cmocka_unit_test(test_a_wild_pointer_is_reported),
		cmocka_unit_test(test_pointers_to_tiny_objects),
		cmocka_unit_test(test_alloc_bits_of_tiny_objects),
		cmocka_unit_test(test_dangling_roots_are_reported_with_their_place),
		cmocka_unit_test(test_a_dangling_root_ends_a_verified_program),
		cmocka_unit_test(test_a_broken_header_is_reported),
		cmocka_unit_test(test_a_broken_footer_is_reported),
		cmocka_unit_test(test_a_tail_that_is_not_zero_is_reported),
		cmocka_unit_test(test_alloc_bits_that_are_no_slots_are_reported),
		cmocka_unit_test(test_tables_that_disagree_are_reported),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
