// SPDX-License-Identifier: MIT
/*
 * GCHEAP_VERIFY looks at each new object: a heap that has written its type wrongly, or
 * has not zeroed it, is found out at once, and the report names the place. A leaf has
 * no type, and the cell of a slot has none that is written; but both are zero.
 *
 * It reaches behind the public interface, but calls nothing there: a layer over the
 * layout's or the backend's functions does the damage. As the library aborts, each
 * case runs in a process of its own.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#include "backend/backend.h"
#include "layout/bitmap.h"
#include "layout/heap_bits.h"
#include "layout/layout.h"

/* ---- a layer that lies ---------------------------------------------------------- */

static const struct backend_ops *real_ops;
static struct backend_ops lying_ops;
static const struct layout *real_layout;
static struct layout lying_layout;
static struct gcheap *the_heap;

/* What the layer does to what passes it. */
static struct {
	gcheap_type instead;	/* of the type that is asked for */
	bool not_allocated;	/* takes the alloc bit of a large object away */
	bool pretend_zero;	/* says that memory is zero */
	void (*after_finish)(char *object, uint64_t bytes);
	ptrdiff_t shift;	/* of the object that finish() returns */
} lie;

static int lying_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	struct gcheap_alloc_large *large = arg;
	struct gcheap_refill *refill = arg;
	struct gcheap_grant *grants;
	uint64_t granule;
	uint32_t i;
	int error;

	if (lie.instead && op == GCHEAP_OP_REFILL && refill->type)
		refill->type = lie.instead;
	if (lie.instead && op == GCHEAP_OP_ALLOC_LARGE)
		large->type = lie.instead;
	error = real_ops->request(backend, op, arg);
	if (error)
		return error;
	if (op == GCHEAP_OP_REFILL && lie.pretend_zero) {
		grants = (struct gcheap_grant *)(uintptr_t)refill->grants;
		for (i = 0; i < refill->out_granted; i++)
			grants[i].flags &= ~GCHEAP_GRANT_NEEDZERO;
	}
	if (op == GCHEAP_OP_ALLOC_LARGE) {
		if (lie.pretend_zero)
			large->out_flags = 0;
		granule = granule_of((uint64_t)large->out_page << GCHEAP_PAGE_SHIFT);
		if (lie.not_allocated)
			view_alloc_bits(&the_heap->view)[granule / 64] &= ~(1ull << granule % 64);
	}
	return 0;
}

static void *lying_finish(const struct view *view, char *slot, gcheap_type type,
			  const struct gcheap_type_record *record, uint64_t bytes)
{
	char *object = real_layout->finish(view, slot, type, record, bytes);

	if (lie.after_finish)
		lie.after_finish(object, bytes);
	return object + lie.shift;
}

static void lying_finish_large(const struct view *view, char *object,
			       const struct gcheap_type_record *record, uint64_t bytes)
{
	real_layout->finish_large(view, object, record, bytes);
	if (lie.after_finish)
		lie.after_finish(object, bytes);
}

static void lie_through(struct fixture *f)
{
	the_heap = f->heap;
	real_ops = the_heap->backend->ops;
	lying_ops = *real_ops;
	lying_ops.request = lying_request;
	the_heap->backend->ops = &lying_ops;
	real_layout = the_heap->layout;
	lying_layout = *real_layout;
	if (real_layout->finish)
		lying_layout.finish = lying_finish;
	if (real_layout->finish_large)
		lying_layout.finish_large = lying_finish_large;
	the_heap->layout = &lying_layout;
}

/* ---- cases ---------------------------------------------------------------------- */

/* Types of the same size, told apart by number. */
static gcheap_type type_of(struct fixture *f, size_t bytes, uint64_t mask)
{
	return type_with_mask(f->heap, bytes, 8, mask);
}

static void allocate(struct fixture *f, gcheap_type type, size_t n)
{
	/* Of random starts some must find what is wrong at one word. */
	int i;

	for (i = 0; i < 3; i++)
		gcheap_new_array(f->thread, type, n);
}

/* A span, or a large object, of another type than was asked for. */
static void other_type(struct fixture *f, size_t bytes, size_t n, uint64_t mask, uint64_t other)
{
	gcheap_type type = type_of(f, bytes, mask);

	lie.instead = type_of(f, bytes, other);
	allocate(f, type, n);
}

/* What the span says counts where the type has it to itself. */
static void other_type_of_a_busy_one(struct fixture *f, size_t bytes, size_t n, uint64_t mask,
				     uint64_t other)
{
	gcheap_type type = type_of(f, bytes, mask);

	lie.instead = type_of(f, bytes, other);
	busy_type(f, type, n);
}

static void other_mask(struct fixture *f)
{
	other_type_of_a_busy_one(f, 64, 1, 5, 7);
}

static void other_mask_of_an_array(struct fixture *f)
{
	other_type_of_a_busy_one(f, 24, 20, 1, 3);
}

static void other_type_of_a_span(struct fixture *f)
{
	other_type_of_a_busy_one(f, 1000, 1, 1, 3);
}

static void other_type_of_a_large_object(struct fixture *f)
{
	other_type(f, 100000, 1, 1, 3);
}

/* The number is not looked at: only what it means. */
static void same_map_of_a_large_object(struct fixture *f)
{
	other_type(f, 100000, 1, 1, 1);
}

static void no_pointers_in_a_large_object(struct fixture *f)
{
	other_type(f, 100000, 1, 1, 0);
}

static void large_object_not_allocated(struct fixture *f)
{
	lie.not_allocated = true;
	allocate(f, type_of(f, 100000, 1), 1);
}

/*
 * Memory that was used before, and is said to be zero: the last @used bytes of objects of
 * @bytes are not, and one of @bytes_now gets it.
 */
static struct dirt {
	size_t bytes;
	size_t used;
	size_t bytes_now;
} dirt;

static void make_dirty(char *object)
{
	assert_non_null(object);
	memset(object + dirt.bytes - dirt.used, 0x5a, dirt.used);
}

static void object_not_zeroed(struct fixture *f)
{
	gcheap_type type = type_of(f, dirt.bytes, 1);
	int i;

	for (i = 0; i < 20; i++)
		make_dirty(gcheap_new(f->thread, type));
	assert_int_equal(live_after_collect(f), 0);
	lie.pretend_zero = true;
	allocate(f, type_of(f, dirt.bytes_now, 1), 1);
}

static void leaf_not_zeroed(struct fixture *f)
{
	int i;

	for (i = 0; i < 20; i++)
		make_dirty(gcheap_new_leaf(f->thread, dirt.bytes));
	assert_int_equal(live_after_collect(f), 0);
	lie.pretend_zero = true;
	gcheap_new_leaf(f->thread, dirt.bytes_now);
}

static void large_leaf_not_allocated(struct fixture *f)
{
	lie.not_allocated = true;
	gcheap_new_leaf(f->thread, 100000);
}

/* An object of a type, and an array of one, in a cell. */
static void typed_cell_not_zeroed(struct fixture *f)
{
	gcheap_type type = type_with_mask(f->heap, 2, 2, 0);
	int i;

	for (i = 0; i < 20; i++)
		memset(gcheap_new_array(f->thread, type, 1 + (size_t)i % 2), 0x5a, 2);
	assert_int_equal(live_after_collect(f), 0);
	lie.pretend_zero = true;
	gcheap_new(f->thread, type);
}

/* The damage after finish(): a bit of the heap bits, a type word, zeros. */
static uint64_t *heap_bits_of(const char *object)
{
	uint64_t offset = address_offset(&the_heap->view, object);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;

	/* Spans of 64-byte slots have one page. */
	return heap_bits_word(&the_heap->view, page << GCHEAP_PAGE_SHIFT, GCHEAP_PAGE_BYTES,
			      offset);
}

static void flip_heap_bit(char *object, uint64_t bytes)
{
	(void)bytes;
	*heap_bits_of(object) ^= 2ull << (uintptr_t)object % GCHEAP_PAGE_BYTES / 8 % 64;
}

static void flip_pointer_bit(char *object, uint64_t bytes)
{
	(void)bytes;
	bitmap_group(&the_heap->view, address_offset(&the_heap->view, object))[0] ^=
		2ull << (uintptr_t)object / 8 % 64;
}

/* The object's iteration ends before its first word. */
static void clear_scan_bit(char *object, uint64_t bytes)
{
	(void)bytes;
	bitmap_group(&the_heap->view, address_offset(&the_heap->view, object))[1] &=
		~(1ull << (uintptr_t)object / 8 % 64);
}

#define FAR_WORD	50000u

static void flip_far_pointer_bit(char *object, uint64_t bytes)
{
	(void)bytes;
	flip_pointer_bit(object + (FAR_WORD - 1) * 8ul, bytes);
}

static void write_header(char *object, uint64_t bytes)
{
	(void)bytes;
	((uint64_t *)(void *)object)[-1] = 2;
}

static void write_footer(char *object, uint64_t bytes)
{
	/* Of 1024 bytes; see below. */
	(void)bytes;
	((uint64_t *)(void *)object)[127] = 2;
}

static void write_tail(char *object, uint64_t bytes)
{
	object[bytes] = 1;
}

static void heap_bits_differ(struct fixture *f)
{
	gcheap_type type = type_of(f, 64, 5);

	lie.after_finish = flip_heap_bit;
	allocate(f, type, 1);
}

static void bitmap_differs(struct fixture *f)
{
	lie.after_finish = flip_pointer_bit;
	allocate(f, type_of(f, 64, 5), 1);
}

static void bitmap_ends_too_early(struct fixture *f)
{
	lie.after_finish = clear_scan_bit;
	allocate(f, type_of(f, 64, 5), 1);
}

/* Of a mebibyte an eighth is looked at from a random word on. */
static void bitmap_differs_far_away(struct fixture *f)
{
	gcheap_type type = type_of(f, 64, 5);
	int i;

	lie.after_finish = flip_far_pointer_bit;
	for (i = 0; i < 150; i++)
		gcheap_new_array(f->thread, type, 16384);
}

static void header_differs(struct fixture *f)
{
	gcheap_type type = type_of(f, 1000, 1);

	assert_int_equal(type_of(f, 1000, 3), 2);
	lie.after_finish = write_header;
	allocate(f, type, 1);
}

static void footer_differs(struct fixture *f)
{
	gcheap_type type = type_of(f, 1000, 1);

	assert_int_equal(type_of(f, 1000, 3), 2);
	lie.after_finish = write_footer;
	allocate(f, type, 1);
}

static void tail_not_zero(struct fixture *f)
{
	lie.after_finish = write_tail;
	allocate(f, type_of(f, 392, 1), 1);	/* of 416 */
}

static void object_elsewhere(struct fixture *f)
{
	lie.shift = 8;
	allocate(f, type_of(f, 1000, 1), 1);
}

/* What is written rightly. */
static void nothing(struct fixture *f)
{
	static const size_t sizes[] = { 8, 16, 24, 64, 504, 512, 520, 1024, 32768, 40000, 1 << 20 };
	size_t i, n;

	/* Cells of all sizes, and beyond. */
	for (i = 1; i <= 32; i++) {
		gcheap_type leaf = type_with_mask(f->heap, i, 1, 0);

		for (n = 1; n < 70; n++) {
			assert_non_null(gcheap_new_leaf(f->thread, i));
			assert_non_null(gcheap_new(f->thread, leaf));
			assert_non_null(gcheap_new_array(f->thread, leaf, n));
		}
	}

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		gcheap_type type = type_of(f, sizes[i], 1);
		gcheap_type leaf = type_with_mask(f->heap, sizes[i] - 1, 1, 0);

		for (n = 1; n < 70; n += n < 3 ? 1 : 21) {
			assert_non_null(gcheap_new_array(f->thread, type, n));
			assert_non_null(gcheap_new_array(f->thread, leaf, n));
			assert_non_null(gcheap_new_leaf(f->thread, sizes[i]));
		}
	}
	assert_int_equal(live_after_collect(f), 0);
}

/* So long that the bitmap is its only map: a pointer and two scalars, again and again. */
static void long_program(struct fixture *f)
{
	static const uint8_t program[] = { 3, 1, 0x83, 0x9f, 0x9c, 0x01, 0 };
	const struct gcheap_type_desc desc = {
		.name = "long", .size = 480000, .align = 8, .ptr_bytes = 480000,
		.gc_prog = program, .gc_prog_len = sizeof(program),
	};
	gcheap_type type;
	int i;

	assert_int_equal(gcheap_type_register(f->heap, &desc, &type), 0);
	/* From a random word on about a quarter is looked at. */
	for (i = 0; i < 60; i++)
		gcheap_new_array(f->thread, type, 1);
	allocate(f, type, 2);
}

static void long_program_differs(struct fixture *f)
{
	lie.after_finish = flip_far_pointer_bit;
	long_program(f);
}

static const struct write_case {
	const char *name;
	void (*run)(struct fixture *f);
	const char *layouts;	/* of which; NULL: of all */
	const char *says;	/* NULL: nothing */
	uint32_t flags;		/* more of the heap */
	struct dirt dirt;
} cases[] = {
	{ "what is as it should be is not reported", nothing, .says = NULL },
	{ "what is as it should be, and recorded", nothing, .says = NULL,
	  .flags = GCHEAP_RECORD_TYPES },
	{ "a leaf that is not zeroed", leaf_not_zeroed, .says = "byte 47 is not zero",
	  .dirt = { 48, 1, 48 } },
	{ "a leaf's tail", leaf_not_zeroed, .says = "byte 47 is not zero, behind its last element",
	  .dirt = { 48, 1, 40 } },
	/* From 9 bytes on a leaf has a slot. */
	{ "the tail of the smallest leaf with a slot", leaf_not_zeroed,
	  .says = "byte 9 is not zero, behind its last element", .dirt = { 16, 7, 9 } },
	{ "a large leaf that is not zeroed", leaf_not_zeroed, .says = "byte 99999 is not zero",
	  .dirt = { 100000, 1, 100000 } },
	/* 13 pages are 106,496 bytes. */
	{ "a large leaf's tail", leaf_not_zeroed,
	  .says = "byte 106495 is not zero, behind its last element",
	  .dirt = { 106496, 1, 100000 } },
	{ "a large leaf's alloc bit", large_leaf_not_allocated, .says = "not allocated" },
	{ "a cell of 1 byte", leaf_not_zeroed, .says = "byte 0 is not zero", .dirt = { 1, 1, 1 } },
	{ "a cell of 2 bytes", leaf_not_zeroed, .says = "byte 1 is not zero", .dirt = { 2, 1, 2 } },
	{ "a cell of 4 bytes", leaf_not_zeroed, .says = "byte 3 is not zero", .dirt = { 4, 1, 4 } },
	{ "a cell of 8 bytes", leaf_not_zeroed, .says = "byte 7 is not zero", .dirt = { 8, 1, 8 } },
	{ "a cell's tail", leaf_not_zeroed, .says = "byte 7 is not zero, behind its last element",
	  .dirt = { 8, 1, 5 } },
	{ "a cell of a type", typed_cell_not_zeroed, .says = "byte 0 is not zero" },
	{ "a recorded leaf's tail", leaf_not_zeroed,
	  .says = "byte 9 is not zero, behind its last element", .flags = GCHEAP_RECORD_TYPES,
	  .dirt = { 16, 7, 9 } },
	{ "a span's mask", other_mask, .layouts = "span", .says = "is taken for a pointer" },
	{ "a span's mask for an array", other_mask_of_an_array, .layouts = "span",
	  .says = "is taken for a pointer" },
	{ "a span's type", other_type_of_a_span, .layouts = "span",
	  .says = "the heap has it as type 2" },
	{ "a large object's type", other_type_of_a_large_object,
	  .says = "the heap has it as type 2" },
	{ "a large object's type of the same map", same_map_of_a_large_object,
	  .says = "the heap has it as type 2" },
	{ "a large object without pointers", no_pointers_in_a_large_object,
	  .says = "an object without pointers" },
	{ "a large object's alloc bit", large_object_not_allocated, .says = "not allocated" },
	{ "a slot that is not zeroed", object_not_zeroed, .says = "is not zero",
	  .dirt = { 48, 1, 48 } },
	{ "a large object that is not zeroed", object_not_zeroed, .says = "byte 99999 is not zero",
	  .dirt = { 100000, 1, 100000 } },
	{ "a large object's tail", object_not_zeroed,
	  .says = "is not zero, behind its last element", .dirt = { 106496, 4096, 100000 } },
	{ "heap bits", heap_bits_differ, .layouts = "header footer",
	  .says = "its word 1 of 8 is taken for a pointer" },
	{ "the bitmap", bitmap_differs, .layouts = "bitmap",
	  .says = "its word 1 of 8 is taken for a pointer" },
	{ "where the bitmap ends", bitmap_ends_too_early, .layouts = "bitmap",
	  .says = "its word 0 of 8 is taken for a scalar" },
	{ "a word that a random start finds", bitmap_differs_far_away, .layouts = "bitmap",
	  .says = "its word 50000 of 131072 is taken for a" },
	{ "a long GC program", long_program, .says = NULL },
	{ "the bitmap of a long GC program", long_program_differs, .layouts = "bitmap",
	  .says = "its word 50000 of 60000 is taken for a pointer" },
	{ "a header", header_differs, .layouts = "header", .says = "the heap has it as type 2" },
	{ "a footer", footer_differs, .layouts = "footer", .says = "the heap has it as type 2" },
	{ "an object's tail", tail_not_zero, .layouts = "header footer bitmap",
	  .says = "is not zero, behind its last element" },
	{ "where an object begins", object_elsewhere, .layouts = "header footer bitmap",
	  .says = "from byte -8 on" },
};

/* ---- running them ----------------------------------------------------------------- */

/* Runs a case in a child; returns its status, and what it said. */
static int run_case(const struct write_case *this, const struct test_layout *layout, char *said,
		    size_t room)
{
	const struct rlimit no_core = { 0, 0 };
	size_t length = 0;
	ssize_t got;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct gcheap_config config = fixture_config();
		struct fixture f;

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], 2);
		config.layout = layout->layout;
		config.flags = GCHEAP_VERIFY | this->flags;
		config.gc_percent = -1;
		fixture_open_with(&f, &config);
		lie_through(&f);
		dirt = this->dirt;
		this->run(&f);
		_exit(0);
	}
	close(ends[1]);
	while (length < room - 1 && (got = read(ends[0], said + length, room - 1 - length)) > 0)
		length += (size_t)got;
	said[length] = 0;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_case(void **state)
{
	const struct write_case *this = *state;
	char said[2048];
	size_t i;

	for (i = 0; i < TEST_LAYOUTS; i++) {
		int status;

		if (this->layouts && !strstr(this->layouts, test_layouts[i].name))
			continue;
		print_message("# layout %s\n", test_layouts[i].name);
		status = run_case(this, &test_layouts[i], said, sizeof(said));
		if (!this->says) {
			assert_string_equal(said, "");
			assert_int_equal(status, 0);
			continue;
		}
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("status %#x, not an abort: %s", status, said);
		if (!strstr(said, this->says))
			fail_msg("the report does not say \"%s\": %s", this->says, said);
		/* The object's type, its span with state and class, and what it means. */
		assert_non_null(strstr(said, "gcheap: verify: "));
		assert_true(strstr(said, " bytes of type ") || strstr(said, " bytes of no type"));
		assert_non_null(strstr(said, "new in the span at page "));
		assert_non_null(strstr(said, "gcheap: corrupted heap: "));
		assert_non_null(strstr(said, test_layouts[i].name));
	}
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i] = (struct CMUnitTest) {
			.name = cases[i].name,
			.test_func = test_case,
			.initial_state = (void *)(uintptr_t)&cases[i],
		};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("verify write", tests, NULL, NULL);
}
