// SPDX-License-Identifier: MIT
/*
 * Guards by AddressSanitizer's functions, which a program has that was compiled for it,
 * and by valgrind's client requests, which the library has if valgrind's headers were
 * there when it was built.
 */
#include "guard.h"

#include "address.h"
#include "library.h"

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define HAS_VALGRIND	1
#endif
#endif
#ifndef HAS_VALGRIND
#define HAS_VALGRIND	0
#endif

void __asan_poison_memory_region(const volatile void *start, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *start, size_t bytes)
	__attribute__((weak));
int __asan_address_is_poisoned(const volatile void *byte) __attribute__((weak));

static bool has_asan(void)
{
	return __asan_poison_memory_region && __asan_unpoison_memory_region;
}

#if HAS_VALGRIND
/* Of its tools one alone answers this. */
bool guard_is_valgrind(void)
{
	char byte = 0;

	return RUNNING_ON_VALGRIND && VALGRIND_MAKE_MEM_DEFINED(&byte, 1);
}

static void valgrind_open(const void *start, uint64_t bytes)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(start, bytes);
}

static void valgrind_close(const void *start, uint64_t bytes)
{
	(void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes);
}

void guard_unwritten(void *start, uint64_t bytes)
{
	(void)VALGRIND_MAKE_MEM_UNDEFINED(start, bytes);
}

void guard_reports(bool on)
{
	if (on)
		VALGRIND_ENABLE_ERROR_REPORTING;
	else
		VALGRIND_DISABLE_ERROR_REPORTING;
}

uint64_t guard_word(uint64_t word)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(&word, sizeof(word));
	return word;
}
#else
bool guard_is_valgrind(void)
{
	return false;
}

static void valgrind_open(const void *start, uint64_t bytes)
{
	(void)start;
	(void)bytes;
}

static void valgrind_close(const void *start, uint64_t bytes)
{
	(void)start;
	(void)bytes;
}

void guard_unwritten(void *start, uint64_t bytes)
{
	(void)start;
	(void)bytes;
}

void guard_reports(bool on)
{
	(void)on;
}

uint64_t guard_word(uint64_t word)
{
	return word;
}
#endif

bool guard_is_wanted(void)
{
	return has_asan() || guard_is_valgrind();
}

void guard_open(const void *start, uint64_t bytes)
{
	if (has_asan())
		__asan_unpoison_memory_region(start, bytes);
	else
		valgrind_open(start, bytes);
}

void guard_close(const void *start, uint64_t bytes)
{
	if (has_asan())
		__asan_poison_memory_region(start, bytes);
	else
		valgrind_close(start, bytes);
}

bool guard_is_closed(const void *byte)
{
	return __asan_address_is_poisoned && __asan_address_is_poisoned(byte);
}

void guard_object(const char *slot, uint64_t slot_bytes, const char *object, uint64_t bytes,
		  uint64_t word_bytes)
{
	const char *end = slot + slot_bytes;

	/* What reads type words is the library, and valgrind looks at it as well. */
	if (!has_asan())
		end -= word_bytes;
	else if (object > slot)
		guard_close(slot, (uint64_t)(object - slot));
	guard_close(object + bytes, (uint64_t)(end - object) - bytes);
}

void guard_span(const char *start, uint64_t bytes, uint64_t slots_bytes)
{
	guard_open(start, bytes);
	guard_close(start, slots_bytes);
}

/* ---- after a sweep -------------------------------------------------------------- */

static void close_free_slots(const struct view *view, uint64_t page, uint64_t info)
{
	const uint64_t *allocs = view_alloc_bits(view) + page * 8;
	const char *slot = address_pointer(view, page << GCHEAP_PAGE_SHIFT);
	uint32_t slot_bytes = GCHEAP_PAGE_SLOT_BYTES(info);
	uint32_t i;

	for (i = 0; i < view->spans[page].slots; i++) {
		if (!view_bit(allocs, slot_granule(slot_bytes, i)))
			guard_close(slot, slot_bytes);
		slot += slot_bytes;
	}
}

void guard_sweep(const struct gcheap *heap)
{
	const struct view *view = &heap->view;
	uint64_t pages = view->ctrl->heap_pages;
	uint64_t page = 1;

	while (page < pages) {
		const struct gcheap_span *span = &view->spans[page];

		switch (span->state & GCHEAP_SPAN_STATE_MASK) {
		case GCHEAP_SPAN_FREE:
			guard_close(address_pointer(view, page << GCHEAP_PAGE_SHIFT),
				    GCHEAP_PAGE_BYTES);
			page++;
			continue;
		case GCHEAP_SPAN_QUARANTINE:
			guard_close(address_pointer(view, page << GCHEAP_PAGE_SHIFT),
				    (uint64_t)span->npages << GCHEAP_PAGE_SHIFT);
			break;
		case GCHEAP_SPAN_CENTRAL:
		case GCHEAP_SPAN_CACHED:
			close_free_slots(view, page, view->pages[page]);
			break;
		default:
			break;
		}
		page += span->npages;
	}
}

void guard_end(const struct gcheap *heap)
{
	const struct view *view = &heap->view;

	guard_open(view->base, address_end(view));
}
