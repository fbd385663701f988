// SPDX-License-Identifier: MIT
/*
 * gcheap_verify(): does everything that the tables say of the heap agree?
 *
 * Two passes over the heap's pages. The first is about spans: descriptors against
 * PAGES entries, lengths, states, slots, alloc bits, and the counters. The second
 * is about objects: that every pointer leads to an object, and that what lies
 * behind an object's last element is zero, because the collector relies on it. Then
 * come the roots (verify_roots.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "bad_pointer.h"
#include "error.h"
#include "guard.h"
#include "inspect.h"
#include "layout/layout.h"
#include "layout/type_word.h"
#include "layout/typed_pointers.h"
#include "library.h"
#include "page_info.h"
#include "slots.h"
#include "verify_roots.h"

/**
 * struct verify - one verification
 * @heap: of what
 * @view: its tables
 * @pages: heap pages that exist
 * @faults: what was found
 * @spans: counted, as the counters of the same names
 * @cached_spans: likewise
 * @unswept_spans: likewise
 * @in_use_pages: likewise
 * @chunks: likewise
 * @quarantined_pages: likewise
 */
struct verify {
	const struct gcheap *heap;
	const struct view *view;
	uint64_t pages;
	uint64_t faults;
	uint64_t spans;
	uint64_t cached_spans;
	uint64_t unswept_spans;
	uint64_t in_use_pages;
	uint64_t chunks;
	uint64_t quarantined_pages;
};

static uint32_t state_of(const struct gcheap_span *span)
{
	return span->state & GCHEAP_SPAN_STATE_MASK;
}

#define NO_SLOT	UINT32_MAX

/* Something is wrong with the span at @page, or with one of its slots. */
static void __attribute__((format(printf, 4, 5)))
complain(struct verify *verify, uint64_t page, uint32_t slot, const char *format, ...)
{
	const struct gcheap_span *span = &verify->view->spans[page];
	char what[256], where[40] = "";
	va_list args;

	if (verify->faults++ >= VERIFY_REPORTS_MAX)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (slot != NO_SLOT)
		snprintf(where, sizeof(where), " slot %u of %u", slot, span->slots);
	fprintf(stderr, "gcheap: verify: span at page %llu (%s, class %u%s)%s: %s\n",
		(unsigned long long)page, bad_pointer_state_name(state_of(span)),
		SPAN_CLASS_SIZE(span->span_class),
		SPAN_CLASS_NOSCAN(span->span_class) ? ", no pointers" : "", where, what);
}

/* ---- spans ------------------------------------------------------------------ */

/* The kind that the span has, where it may have it; else one that it should have. */
static enum gcheap_kind small_kind(const struct verify *verify, const struct gcheap_span *span,
				   enum gcheap_kind found)
{
	bool small = size_class_bytes[SPAN_CLASS_SIZE(span->span_class)] <= GCHEAP_HEAP_BITS_MAX;
	bool noscan = SPAN_CLASS_NOSCAN(span->span_class);
	enum gcheap_kind own = small && !noscan ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE;
	uint32_t layout = verify->view->ctrl->layout;

	if (noscan && (found == GCHEAP_KIND_NOSCAN || !verify->view->record_types))
		return GCHEAP_KIND_NOSCAN;
	if (layout == GCHEAP_LAYOUT_SPAN && found == own)
		return own;
	if (layout == GCHEAP_LAYOUT_BITMAP)
		return GCHEAP_KIND_BITMAP;
	if (small && !verify->view->record_types)
		return GCHEAP_KIND_HEAP_BITS;
	return layout == GCHEAP_LAYOUT_FOOTER ? GCHEAP_KIND_FOOTER : GCHEAP_KIND_HEADER;
}

/* The PAGES entries of a span; small ones count the page in bits 56 to 59. */
static void check_info(struct verify *verify, uint64_t page, uint64_t npages, uint64_t info,
		       uint64_t step)
{
	uint64_t i;

	for (i = 0; i < npages; i++) {
		uint64_t found = verify->view->pages[page + i];

		if (found != info + i * step)
			complain(verify, page, NO_SLOT,
				 "the PAGES entry of its page %llu is %#llx, not %#llx",
				 (unsigned long long)i, (unsigned long long)found,
				 (unsigned long long)(info + i * step));
	}
}

static void check_inner(struct verify *verify, uint64_t page, uint64_t npages)
{
	uint64_t i;

	for (i = 1; i < npages; i++) {
		const struct gcheap_span *inner = &verify->view->spans[page + i];

		if (state_of(inner) != GCHEAP_SPAN_INNER)
			complain(verify, page, NO_SLOT, "its page %llu is the first of a %s span",
				 (unsigned long long)i, bad_pointer_state_name(state_of(inner)));
		else if (inner->first_page != page)
			complain(verify, page, NO_SLOT,
				 "its page %llu belongs to the span at page %u",
				 (unsigned long long)i, inner->first_page);
	}
}

/* Alloc bits that are not a slot's; returns how many are. */
static uint32_t check_alloc_bits(struct verify *verify, uint64_t page, const uint64_t *pattern,
				 uint64_t words)
{
	const uint64_t *bits = view_alloc_bits(verify->view) + page * MARK_WORDS_PER_PAGE;
	uint32_t count = 0;
	uint64_t i;

	for (i = 0; i < words; i++) {
		uint64_t wrong = bits[i] & ~pattern[i];

		if (wrong)
			complain(verify, page, NO_SLOT, "alloc bit %llu is set where no slot is",
				 (unsigned long long)(i * 64 +
						      (unsigned int)__builtin_ctzll(wrong)));
		count += hweight64(bits[i] & pattern[i]);
	}
	return count;
}

static void check_map(struct verify *verify, uint64_t page, enum gcheap_kind kind,
		      uint32_t slot_bytes)
{
	const struct gcheap_span *span = &verify->view->spans[page];

	if (kind == GCHEAP_KIND_MASK) {
		if (slot_bytes < 512 && span->ptr_mask >> (slot_bytes / 8))
			complain(verify, page, NO_SLOT,
				 "its pointer mask %#llx is longer than a slot",
				 (unsigned long long)span->ptr_mask);
	} else if (span->ptr_mask) {
		complain(verify, page, NO_SLOT, "it has the pointer mask %#llx, and needs none",
			 (unsigned long long)span->ptr_mask);
	}
	if (kind == GCHEAP_KIND_TYPE ||
	    (kind == GCHEAP_KIND_MASK && verify->view->record_types)) {
		if (!view_type_exists(verify->view, span->type))
			complain(verify, page, NO_SLOT, "there is no type %u", span->type);
		else if (view_type(verify->view, span->type)->bytes > slot_bytes)
			complain(verify, page, NO_SLOT, "objects of type %u do not fit its slots",
				 span->type);
	} else if (span->type) {
		complain(verify, page, NO_SLOT, "it has type %u, and needs none", span->type);
	}
}

static void check_generation(struct verify *verify, uint64_t page, uint32_t allocated)
{
	const struct gcheap_span *span = &verify->view->spans[page];
	uint16_t age = (uint16_t)(verify->view->ctrl->generation - span->generation);

	if (age == 2 && state_of(span) == GCHEAP_SPAN_CENTRAL) {
		verify->unswept_spans++;
	} else if (age) {
		complain(verify, page, NO_SLOT, "it was swept in generation %u, and this is %u",
			 span->generation, verify->view->ctrl->generation & 0xffff);
	} else if (state_of(span) == GCHEAP_SPAN_CENTRAL && allocated != span->allocated) {
		complain(verify, page, NO_SLOT,
			 "%u slots are allocated by the alloc bits, %u by the descriptor",
			 allocated, span->allocated);
	}
}

/* Returns the span's length in pages, or 0 when it makes no sense. */
static uint64_t check_small(struct verify *verify, uint64_t page)
{
	const struct gcheap_span *span = &verify->view->spans[page];
	uint32_t size_class = SPAN_CLASS_SIZE(span->span_class);
	u64 pattern[SPAN_PAGES_MAX * MARK_WORDS_PER_PAGE];
	enum gcheap_kind kind;
	uint32_t slots;

	if (size_class < SIZE_CLASS_MIN || size_class >= SIZE_CLASSES ||
	    span->npages != size_class_pages[size_class] || page + span->npages > verify->pages) {
		complain(verify, page, NO_SLOT, "a length of %u pages does not suit its class",
			 span->npages);
		return 0;
	}
	kind = small_kind(verify, span, GCHEAP_PAGE_KIND(verify->view->pages[page]));
	slots = span_slots(size_class, kind);
	if (span->slots != slots)
		complain(verify, page, NO_SLOT, "it has %u slots, and its class %u", span->slots,
			 slots);
	check_info(verify, page, span->npages,
		   page_info_small(size_class, kind, SPAN_CLASS_NOSCAN(span->span_class)),
		   page_info_index(1));
	check_map(verify, page, kind, size_class_bytes[size_class]);
	span_slot_bits(size_class, slots, pattern);
	check_generation(verify, page,
			 check_alloc_bits(verify, page, (const uint64_t *)pattern,
					  (uint64_t)span->npages * MARK_WORDS_PER_PAGE));
	verify->cached_spans += state_of(span) == GCHEAP_SPAN_CACHED;
	return span->npages;
}

static uint64_t check_large(struct verify *verify, uint64_t page)
{
	static const uint64_t first_bit[MARK_WORDS_PER_PAGE] = { 1 };
	const struct gcheap_span *span = &verify->view->spans[page];
	bool noscan = SPAN_CLASS_NOSCAN(span->span_class);

	if (!span->npages || page + span->npages > verify->pages) {
		complain(verify, page, NO_SLOT,
			 "it is %u pages long, and the heap ends at page %llu",
			 span->npages, (unsigned long long)verify->pages);
		return 0;
	}
	if (SPAN_CLASS_SIZE(span->span_class) || span->slots != 1)
		complain(verify, page, NO_SLOT, "it has %u slots of a class", span->slots);
	if ((span->object_bytes + GCHEAP_PAGE_BYTES - 1) >> GCHEAP_PAGE_SHIFT != span->npages)
		complain(verify, page, NO_SLOT,
			 "an object of %llu bytes does not take its %u pages",
			 (unsigned long long)span->object_bytes, span->npages);
	if (span->type && !view_type_exists(verify->view, span->type))
		complain(verify, page, NO_SLOT, "there is no type %u", span->type);
	else if (noscan != (!span->type || !view_type(verify->view, span->type)->ptr_bytes))
		complain(verify, page, NO_SLOT, "type %u %s pointers", span->type,
			 noscan ? "holds" : "holds no");
	check_info(verify, page, span->npages, page_info_large(noscan), 0);
	/* A dead one that a lazy sweep has not reached has neither bit. */
	if (!check_alloc_bits(verify, page, first_bit, MARK_WORDS_PER_PAGE) &&
	    (span->generation == (uint16_t)verify->view->ctrl->generation ||
	     view_bit(verify->view->page_marks, page)))
		complain(verify, page, 0, "its object is not allocated");
	return span->npages;
}

/* A chunk, or a span in quarantine. Returns its length, or 0 when it makes no sense. */
static uint64_t check_set_aside(struct verify *verify, uint64_t page)
{
	static const uint64_t no_bits[MARK_WORDS_PER_PAGE];
	const struct gcheap_span *span = &verify->view->spans[page];
	uint64_t npages = span->npages;
	uint64_t i;

	if (!npages || page + npages > verify->pages) {
		complain(verify, page, NO_SLOT,
			 "it is %u pages long, and the heap ends at page %llu",
			 span->npages, (unsigned long long)verify->pages);
		return 0;
	}
	/* Only a freed span has slots. */
	if ((!span->slots || state_of(span) != GCHEAP_SPAN_QUARANTINE) &&
	    (page % CHUNK_PAGES || npages != CHUNK_PAGES || span->slots))
		complain(verify, page, NO_SLOT, "a chunk of %llu pages with %u slots",
			 (unsigned long long)npages, span->slots);
	if (span->allocated)
		complain(verify, page, NO_SLOT, "%u of its slots are allocated", span->allocated);
	check_info(verify, page, npages, 0, 0);
	for (i = 0; i < npages; i++)
		check_alloc_bits(verify, page + i, no_bits, MARK_WORDS_PER_PAGE);
	if (state_of(span) == GCHEAP_SPAN_CHUNK) {
		verify->chunks++;
		verify->in_use_pages += npages;
	} else if (state_of(span) == GCHEAP_SPAN_QUARANTINE) {
		verify->quarantined_pages += npages;
	}
	check_inner(verify, page, npages);
	return npages;
}

static void check_free(struct verify *verify, uint64_t page)
{
	static const uint64_t no_bits[MARK_WORDS_PER_PAGE];

	if (verify->view->pages[page])
		complain(verify, page, NO_SLOT, "it is free, and its PAGES entry is %#llx",
			 (unsigned long long)verify->view->pages[page]);
	check_alloc_bits(verify, page, no_bits, MARK_WORDS_PER_PAGE);
}

/* Returns the length of the span at @page, or 1 where there is none. */
static uint64_t check_page(struct verify *verify, uint64_t page)
{
	uint32_t state = state_of(&verify->view->spans[page]);
	uint64_t npages;

	switch (state) {
	case GCHEAP_SPAN_FREE:
		check_free(verify, page);
		return 1;
	case GCHEAP_SPAN_CENTRAL:
	case GCHEAP_SPAN_CACHED:
		npages = check_small(verify, page);
		break;
	case GCHEAP_SPAN_LARGE:
		npages = check_large(verify, page);
		break;
	case GCHEAP_SPAN_INNER:
		complain(verify, page, NO_SLOT, "it is an inner page of no span");
		return 1;
	case GCHEAP_SPAN_CHUNK:
	case GCHEAP_SPAN_QUARANTINE:
	case GCHEAP_SPAN_READY:
		npages = check_set_aside(verify, page);
		return npages ? npages : 1;
	default:
		complain(verify, page, NO_SLOT, "there is no state %u", state);
		return 1;
	}
	if (!npages)
		return 1;
	check_inner(verify, page, npages);
	verify->spans++;
	verify->in_use_pages += npages;
	return npages;
}

static void check_counter(struct verify *verify, const char *name, uint64_t counter,
			  uint64_t counted)
{
	if (counter == counted)
		return;
	if (verify->faults++ < VERIFY_REPORTS_MAX)
		fprintf(stderr, "gcheap: verify: the counter %s is %llu, and %llu were counted\n",
			name, (unsigned long long)counter, (unsigned long long)counted);
}

static void check_spans(struct verify *verify)
{
	const struct gcheap_counters *counters = &verify->view->ctrl->counters;
	uint64_t page = 0;

	if (verify->pages && state_of(&verify->view->spans[0]) != GCHEAP_SPAN_FREE)
		complain(verify, 0, NO_SLOT, "page 0 is never in use");
	while (page < verify->pages)
		page += check_page(verify, page);

	check_counter(verify, "heap_pages", counters->heap_pages, verify->pages);
	check_counter(verify, "spans", counters->spans, verify->spans);
	check_counter(verify, "cached_spans", counters->cached_spans, verify->cached_spans);
	check_counter(verify, "unswept_spans", counters->unswept_spans, verify->unswept_spans);
	check_counter(verify, "in_use_pages", counters->in_use_pages, verify->in_use_pages);
	check_counter(verify, "chunks", counters->chunks, verify->chunks);
	check_counter(verify, "quarantined_pages", counters->quarantined_pages,
		      verify->quarantined_pages);
}

/* ---- objects ---------------------------------------------------------------- */

static void check_pointer(struct verify *verify, const struct slot *slot, uint64_t word,
			  const void *pointer)
{
	char where[BAD_POINTER_TEXT];

	if (inspect_pointer(verify->heap, pointer))
		return;
	complain(verify, slot->page, slot->index, "the pointer %p at byte %llu leads %s", pointer,
		 (unsigned long long)(word - slot->offset),
		 bad_pointer_describe(verify->heap, pointer, where));
}

/* Bytes at the end of a slot that no element reaches, and that must be zero. */
static uint64_t unused_tail(const struct verify *verify, const struct slot *slot,
			    const struct object_view *object)
{
	const struct gcheap_type_record *type;

	if (!object->type)
		return 0;
	type = view_type(verify->view, object->type);
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_LARGE)
		return slot->bytes - verify->view->spans[slot->page].object_bytes;
	return (object->end - object->start) % type->bytes;
}

static GUARD_EXEMPT void check_tail(struct verify *verify, const struct slot *slot,
				    const struct object_view *object)
{
	uint64_t tail = unused_tail(verify, slot, object);
	const unsigned char *byte = address_pointer(verify->view, object->end - tail);
	uint64_t i;

	for (i = 0; i < tail; i++) {
		if (!byte[i])
			continue;
		complain(verify, slot->page, slot->index, "byte %llu, behind its last element, is "
			 "not zero", (unsigned long long)(object->end - tail + i - slot->offset));
		return;
	}
}

static GUARD_EXEMPT void check_object(struct verify *verify, const struct slot *slot)
{
	struct object_view object;
	struct typed_pointers tp;
	uint64_t address;

	layout_object(verify->view, slot, &object);
	if (object.noscan)
		return;
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_HEADER && !object.type) {
		complain(verify, slot->page, slot->index, "its header %#llx is no type",
			 (unsigned long long)type_word(verify->view, slot->offset));
		return;
	}
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_FOOTER && !object.type) {
		complain(verify, slot->page, slot->index, "its footer %#llx is no type",
			 (unsigned long long)type_word(verify->view, object.end));
		return;
	}
	tp = typed_pointers_of(verify->view, slot,
			       (uint64_t)(uintptr_t)address_pointer(verify->view, object.start),
			       (uint64_t)(uintptr_t)address_pointer(verify->view, object.end));
	while ((address = typed_pointers_next(&tp)))
		check_pointer(verify, slot,
			      address - (uint64_t)(uintptr_t)verify->view->base,
			      *(void *const *)(uintptr_t)address);
	check_tail(verify, slot, &object);
}

static void check_objects(struct verify *verify)
{
	const struct view *view = verify->view;
	uint64_t page = 0;

	while (page < verify->pages) {
		const struct gcheap_span *span = &view->spans[page];
		struct slot slot = { .page = (uint32_t)page, .info = view->pages[page] };

		if (state_of(span) == GCHEAP_SPAN_FREE) {
			page++;
			continue;
		}
		if (GCHEAP_PAGE_KIND(slot.info) == GCHEAP_KIND_NONE) {
			page += span->npages;
			continue;
		}
		slot.bytes = state_of(span) == GCHEAP_SPAN_LARGE ?
			(uint64_t)span->npages << GCHEAP_PAGE_SHIFT :
			GCHEAP_PAGE_SLOT_BYTES(slot.info);
		slot.offset = page << GCHEAP_PAGE_SHIFT;
		for (slot.index = 0; slot.index < span->slots; slot.index++) {
			if (inspect_slot_is_allocated(verify->heap, &slot))
				check_object(verify, &slot);
			slot.offset += slot.bytes;
		}
		page += span->npages;
	}
}

static int verify_all(struct gcheap *heap)
{
	struct verify verify = { .heap = heap };
	int error = heap_check(heap);

	if (error)
		return error;
	/* While somebody sweeps, tables and counters are not of the same moment. */
	error = backend_sweep_finish(heap->backend);
	if (error)
		return error_set(error, "the backend did not finish the sweep: %s",
				 strerror(-error));
	verify.view = &heap->view;
	verify.pages = heap->view.ctrl->heap_pages;
	check_spans(&verify);
	/* With tables that disagree there is no telling where the objects are. */
	if (!verify.faults) {
		check_objects(&verify);
		verify.faults += verify_roots(heap, verify.faults);
	}
	if (!verify.faults)
		return 0;
	return error_set(-EUCLEAN, "the heap is corrupted: %llu faults were found, and reported "
			 "on stderr", (unsigned long long)verify.faults);
}

int gcheap_verify(struct gcheap *heap)
{
	int error;

	/* Behind an object's last element there is nothing for the program. */
	guard_reports(false);
	error = verify_all(heap);
	guard_reports(true);
	return error;
}
