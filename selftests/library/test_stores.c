// SPDX-License-Identifier: MIT
/*
 * How many stores an object's pointer metadata takes, counted as they happen: the
 * memory where it stands is write-protected, a store to it faults, and is done in a
 * single step. The device lets nobody protect parts of its mappings; the code that
 * writes there is the same.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "library_test.h"

#include "layout/bitmap.h"
#include "layout/heap_bits.h"
#include "layout/layout.h"
#include "library.h"

#define PAGE		4096ul
#define TRAP_FLAG	0x100	/* of RFLAGS: a trap after the next instruction */

/* What is watched, and how many stores went there; the pages of it are protected. */
static char *watched, *watched_end;
static char *pages, *pages_end;
static volatile unsigned int stores;

static void protect(int protection)
{
	if (mprotect(pages, (size_t)(pages_end - pages), protection))
		_exit(99);
}

/* A store: let it happen, and come back after it. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *registers = context;
	char *at = info->si_addr;

	(void)signal;
	if (at < pages || at >= pages_end)
		_exit(98);
	stores += at >= watched && at < watched_end;
	registers->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	protect(PROT_READ | PROT_WRITE);
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *registers = context;

	(void)signal;
	(void)info;
	registers->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	protect(PROT_READ);
}

static void watch(void *start, void *end)
{
	const struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	const struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	watched = start;
	watched_end = end;
	pages = (char *)((uintptr_t)start & ~(PAGE - 1));
	pages_end = (char *)(((uintptr_t)end + PAGE - 1) & ~(PAGE - 1));
	assert_int_equal(sigaction(SIGSEGV, &fault, NULL), 0);
	assert_int_equal(sigaction(SIGTRAP, &step, NULL), 0);
	protect(PROT_READ);
}

static void unwatch(void)
{
	protect(PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
}

/* Where the metadata of the span that has an object stands. */
static void metadata_of(const struct view *view, enum gcheap_layout layout, const char *object,
			void **start, void **end)
{
	uint64_t offset = address_offset(view, object);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT, first, bytes;

	page -= GCHEAP_PAGE_INDEX(view->pages[page]);
	first = page << GCHEAP_PAGE_SHIFT;
	bytes = (uint64_t)view->spans[page].npages << GCHEAP_PAGE_SHIFT;
	if (layout == GCHEAP_LAYOUT_BITMAP) {
		*start = bitmap_group(view, first);
		*end = bitmap_group(view, first + bytes);
	} else {
		*start = heap_bits_word(view, first, bytes, first);
		*end = address_pointer(view, first + bytes);
	}
}

/* The most stores that one of ten objects took. */
static unsigned int most_stores(enum gcheap_layout layout, size_t bytes, uint64_t mask)
{
	unsigned int most = 0;
	struct fixture f;
	gcheap_type type;
	char *object;
	void *start, *end;
	int i;

	fixture_open_layout(&f, layout);
	type = type_with_mask(f.heap, bytes, 8, mask);
	/* All are in the first one's span, which has 15 slots at least. */
	object = gcheap_new(f.thread, type);
	assert_non_null(object);
	metadata_of(&f.heap->view, layout, object, &start, &end);
	watch(start, end);
	for (i = 0; i < 10; i++) {
		stores = 0;
		object = gcheap_new(f.thread, type);
		if (most < stores)
			most = stores;
	}
	unwatch();
	assert_non_null(object);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
	return most;
}

static void skip_on_the_device(void)
{
	struct fixture f;
	bool device;

	fixture_open(&f);
	device = gcheap_backend(f.heap) == GCHEAP_BACKEND_DEVICE;
	fixture_close(&f);
	if (device)
		skip_because("nobody can protect parts of the device's mappings");
}

static void test_a_64_byte_objects_bits_take_two_stores_at_most(void **state)
{
	static const uint64_t masks[] = { 0x01, 0x80, 0x55, 0xff };
	size_t i, m;

	(void)state;
	skip_on_the_device();
	in_each_layout(i) {
		if (test_layouts[i].layout == GCHEAP_LAYOUT_SPAN)
			continue;
		for (m = 0; m < ARRAY_SIZE(masks); m++) {
			unsigned int most = most_stores(test_layouts[i].layout, 64, masks[m]);

			print_message("# 64 bytes, mask %#llx: %u\n",
				      (unsigned long long)masks[m], most);
			assert_in_range(most, 1, 2);
		}
	}
}

/* Bits of a slot may lie in two words of each kind of bits. */
static void test_bits_of_other_small_objects_take_two_stores_of_a_kind(void **state)
{
	static const size_t sizes[] = { 16, 24, 48, 80, 144, 208, 512 };
	size_t i, s;

	(void)state;
	skip_on_the_device();
	in_each_layout(i) {
		enum gcheap_layout layout = test_layouts[i].layout;
		unsigned int kinds = layout == GCHEAP_LAYOUT_BITMAP ? 2 : 1;

		if (layout == GCHEAP_LAYOUT_SPAN)
			continue;
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			assert_in_range(most_stores(layout, sizes[s], 3), 1, 2 * kinds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_64_byte_objects_bits_take_two_stores_at_most),
		cmocka_unit_test(test_bits_of_other_small_objects_take_two_stores_of_a_kind),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stores", tests, NULL, NULL);
}
