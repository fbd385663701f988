// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Checks of a heap's tables, page by page.
 *
 * What an entry or a number of slots must be is worked out from <linux/gcheap.h> and the
 * size classes' bytes and pages alone: not by the functions that the core wrote it with.
 */
#include "slots.h"
#include "verify_tables.h"

/**
 * struct verify - one verification
 * @tables: of what
 * @page: the first page of what is looked at; VERIFY_NO_PAGE: it is the heap as a whole
 * @span: its descriptor
 * @counted: what the walk over the pages has counted, as the counters of the same names
 */
struct verify {
	const struct heap_tables *tables;
	u32 page;
	const struct gcheap_span *span;
	struct gcheap_counters counted;
};

static const struct gcheap_span *span_of(const struct verify *verify, u32 page)
{
	return verify->tables->reader->span(verify->tables->owner, page);
}

static u64 info_of(const struct verify *verify, u32 page)
{
	return verify->tables->reader->info(verify->tables->owner, page);
}

static const struct gcheap_type_record *type_of(const struct verify *verify, u32 type)
{
	return verify->tables->reader->type(verify->tables->owner, type);
}

static void __printf(2, 3) complain(const struct verify *verify, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	verify->tables->reader->complain(verify->tables->owner, verify->page, format, args);
	va_end(args);
}

static u32 state_of(const struct gcheap_span *span)
{
	return span->state & GCHEAP_SPAN_STATE_MASK;
}

/* ---- what is checked of several kinds of spans -------------------------------- */

/* The PAGES entries of a span; small ones count the page in bits 56 to 59. */
static void check_info(struct verify *verify, u32 npages, u64 info, u64 step)
{
	u32 i;

	for (i = 0; i < npages; i++, info += step) {
		u64 found = info_of(verify, verify->page + i);

		if (found != info)
			complain(verify, "the PAGES entry of its page %u is %#llx, not %#llx",
				 i, found, info);
	}
}

/* Bits that are set where no slot is; returns how many others are. @slots NULL: none is. */
static u32 check_bits(struct verify *verify, bool marks, u32 npages, const u64 *slots)
{
	const struct table_reader *reader = verify->tables->reader;
	u32 count = 0;
	u32 i;

	for (i = 0; reader->bits && i < npages * MARK_WORDS_PER_PAGE; i++) {
		const u64 *bits = reader->bits(verify->tables->owner, marks,
					       verify->page + i / MARK_WORDS_PER_PAGE);
		u64 word = bits ? bits[i % MARK_WORDS_PER_PAGE] : 0;
		u64 right = slots ? slots[i] : 0;

		if (word & ~right)
			complain(verify, "%s bit %u is set where no slot is",
				 marks ? "mark" : "alloc", i * 64 + __ffs64(word & ~right));
		count += hweight64(word & right);
	}
	return count;
}

static void check_inner(struct verify *verify)
{
	const struct gcheap_span expected = {
		.state = GCHEAP_SPAN_INNER,
		.first_page = verify->page,
	};
	u32 i;

	for (i = 1; i < verify->span->npages; i++) {
		const struct gcheap_span *inner = span_of(verify, verify->page + i);

		if (state_of(inner) != GCHEAP_SPAN_INNER)
			complain(verify, "its page %u is in state %u, not an inner page", i,
				 inner->state);
		else if (inner->first_page != verify->page)
			complain(verify, "its page %u belongs to the span at page %u", i,
				 inner->first_page);
		else if (memcmp(inner, &expected, sizeof(expected)))
			complain(verify, "its page %u has more than its first page's number", i);
	}
}

static bool length_is_right(struct verify *verify)
{
	u32 npages = verify->span->npages;

	if (npages && npages <= verify->tables->heap_pages - verify->page)
		return true;
	complain(verify, "it is %u pages long, and the heap ends at page %u", npages,
		 verify->tables->heap_pages);
	return false;
}

/* Spans that are @in_list may have both neighbours. */
static void check_flags_and_list(struct verify *verify, u32 flags, bool in_list)
{
	const struct gcheap_span *span = verify->span;

	if (span->state & ~(GCHEAP_SPAN_STATE_MASK | flags))
		complain(verify, "its state has the flags %#x, which do not suit it",
			 span->state & ~GCHEAP_SPAN_STATE_MASK);
	if (!in_list && (span->next || span->prev))
		complain(verify, "it stands between pages %u and %u in a list", span->prev,
			 span->next);
}

/* ---- spans in use --------------------------------------------------------------- */

/* The kind that the span has, where it may have it; else one that it should have. */
static enum gcheap_kind small_kind(const struct heap_tables *tables, u32 bytes, bool noscan,
				   enum gcheap_kind found)
{
	bool small = bytes <= GCHEAP_HEAP_BITS_MAX;
	enum gcheap_kind own = small && !noscan ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE;

	if (noscan && (found == GCHEAP_KIND_NOSCAN || !tables->record_types))
		return GCHEAP_KIND_NOSCAN;
	if (tables->layout == GCHEAP_LAYOUT_SPAN && found == own)
		return own;
	if (tables->layout == GCHEAP_LAYOUT_BITMAP)
		return GCHEAP_KIND_BITMAP;
	if (small && !tables->record_types)
		return GCHEAP_KIND_HEAP_BITS;
	return tables->layout == GCHEAP_LAYOUT_FOOTER ? GCHEAP_KIND_FOOTER :
							     GCHEAP_KIND_HEADER;
}

/* The mask and the type of a small-object span. */
static void check_map(struct verify *verify, enum gcheap_kind kind, u32 bytes)
{
	const struct gcheap_span *span = verify->span;
	bool typed = kind == GCHEAP_KIND_TYPE ||
		     (kind == GCHEAP_KIND_MASK && verify->tables->record_types);
	const struct gcheap_type_record *type = typed ? type_of(verify, span->type) : NULL;

	if (kind != GCHEAP_KIND_MASK && span->ptr_mask)
		complain(verify, "it has the pointer mask %#llx, and needs none", span->ptr_mask);
	if (kind == GCHEAP_KIND_MASK && span->ptr_mask & ~low_ones(bytes / GCHEAP_TYPE_WORD_BYTES))
		complain(verify, "its pointer mask %#llx is longer than a slot", span->ptr_mask);
	if (!typed && span->type)
		complain(verify, "it has type %u, and needs none", span->type);
	if (typed && !type)
		complain(verify, "there is no type %u", span->type);
	if (type && type->bytes > bytes)
		complain(verify, "objects of type %u do not fit its slots", span->type);
}

/* When it was swept, and what was counted then; @allocated is what the alloc bits say. */
static void check_sweep(struct verify *verify, u32 allocated)
{
	const struct gcheap_span *span = verify->span;
	bool central = state_of(span) == GCHEAP_SPAN_CENTRAL;
	u16 age = (u16)(verify->tables->generation - span->generation);

	if (span->allocated > span->slots || (central && !span->allocated))
		complain(verify, "%u of its %u slots are allocated", span->allocated, span->slots);
	if (central && age == 2)
		verify->counted.unswept_spans++;
	else if (age)
		complain(verify, "it was swept in generation %u, and this is %u", span->generation,
			 verify->tables->generation);
	else if (central && verify->tables->reader->bits && allocated != span->allocated)
		complain(verify, "%u slots are allocated by the alloc bits, %u by the descriptor",
			 allocated, span->allocated);
}

/* Returns whether its length makes sense. */
static bool check_small(struct verify *verify)
{
	const struct gcheap_span *span = verify->span;
	u32 size_class = SPAN_CLASS_SIZE(span->span_class);
	bool noscan = SPAN_CLASS_NOSCAN(span->span_class);
	u64 pattern[SPAN_PAGES_MAX * MARK_WORDS_PER_PAGE];
	bool cached = state_of(span) == GCHEAP_SPAN_CACHED;
	u32 bytes, npages, room, slots;
	enum gcheap_kind kind;

	if (size_class < SIZE_CLASS_MIN || size_class >= SIZE_CLASSES ||
	    span->npages != size_class_pages[size_class]) {
		complain(verify, "a length of %u pages does not suit its class", span->npages);
		return false;
	}
	bytes = size_class_bytes[size_class];
	npages = span->npages;
	kind = small_kind(verify->tables, bytes, noscan,
			  GCHEAP_PAGE_KIND(info_of(verify, verify->page)));
	room = npages << GCHEAP_PAGE_SHIFT;
	if (kind == GCHEAP_KIND_HEAP_BITS)
		room -= room >> GCHEAP_HEAP_BITS_SHIFT;
	slots = room / bytes;
	if (span->slots != slots)
		complain(verify, "it has %u slots, and its class %u", span->slots, slots);
	check_info(verify, npages, (U32_MAX / bytes + 1) | (u64)bytes << 32 |
		   (u64)size_class << 48 | (noscan ? GCHEAP_PAGE_NOSCAN : 0) | (u64)kind << 60,
		   1ull << 56);
	check_map(verify, kind, bytes);
	check_flags_and_list(verify, GCHEAP_SPAN_NEEDZERO, !cached);
	span_slot_bits(size_class, slots, pattern);
	check_sweep(verify, check_bits(verify, false, npages, pattern));
	verify->counted.cached_spans += cached;
	return true;
}

static void check_large(struct verify *verify)
{
	static const u64 first_bit[MARK_WORDS_PER_PAGE] = { 1 };
	const struct heap_tables *tables = verify->tables;
	const struct gcheap_span *span = verify->span;
	bool noscan = SPAN_CLASS_NOSCAN(span->span_class);
	const struct gcheap_type_record *type = type_of(verify, span->type);

	if (SPAN_CLASS_SIZE(span->span_class) || span->slots != 1 || span->allocated != 1)
		complain(verify, "it has %u slots of a class, and %u are allocated",
			 span->slots, span->allocated);
	if ((span->object_bytes + GCHEAP_PAGE_BYTES - 1) >> GCHEAP_PAGE_SHIFT != span->npages)
		complain(verify, "an object of %llu bytes does not take its %u pages",
			 span->object_bytes, span->npages);
	if (span->type && !type)
		complain(verify, "there is no type %u", span->type);
	else if (noscan != (!type || !type->ptr_bytes))
		complain(verify, "type %u %s pointers", span->type,
			 noscan ? "holds" : "holds no");
	check_info(verify, span->npages, (u64)GCHEAP_KIND_LARGE << 60 |
		   (noscan ? GCHEAP_PAGE_NOSCAN : 0), 0);
	check_flags_and_list(verify, span->state & GCHEAP_SPAN_LAZY ? GCHEAP_SPAN_LAZY :
			     GCHEAP_SPAN_NEEDZERO, false);
	/* A dead one that a lazy sweep has not reached has neither bit. */
	if (!check_bits(verify, false, 1, first_bit) && tables->reader->bits &&
	    (span->generation == tables->generation ||
	     tables->reader->page_mark(tables->owner, verify->page)))
		complain(verify, "its object is not allocated");
}

/* ---- other pages ---------------------------------------------------------------- */

/* A chunk, or a span in quarantine. */
static void check_set_aside(struct verify *verify)
{
	const struct gcheap_span *span = verify->span;
	u32 state = state_of(span);

	/* Only a freed span has slots. */
	if ((!span->slots || state != GCHEAP_SPAN_QUARANTINE) &&
	    (verify->page % CHUNK_PAGES || span->npages != CHUNK_PAGES || span->slots))
		complain(verify, "a chunk of %u pages with %u slots", span->npages, span->slots);
	if (span->allocated)
		complain(verify, "%u of its slots are allocated", span->allocated);
	check_info(verify, span->npages, 0, 0);
	check_bits(verify, false, span->npages, NULL);
	check_flags_and_list(verify, state == GCHEAP_SPAN_CHUNK ? GCHEAP_SPAN_NEEDZERO : 0,
			     state != GCHEAP_SPAN_CHUNK);
	/* These lists go one way. */
	if (span->prev)
		complain(verify, "it stands behind page %u", span->prev);
}

static void check_free(struct verify *verify)
{
	static const struct gcheap_span none;

	check_info(verify, 1, 0, 0);
	if (memcmp(verify->span, &none, sizeof(none)))
		complain(verify, "it is free, and its descriptor is not empty");
	check_bits(verify, false, 1, NULL);
	check_bits(verify, true, 1, NULL);
}

/* Returns the length of what begins at @page, or 1 where that makes no sense. */
static u32 check_page(struct verify *verify, u32 page)
{
	struct gcheap_counters *counted = &verify->counted;
	const struct gcheap_span *span = span_of(verify, page);
	u32 state = state_of(span);

	verify->page = page;
	verify->span = span;
	if (!page && state != GCHEAP_SPAN_FREE)
		complain(verify, "page 0 is never in use");
	if (state == GCHEAP_SPAN_FREE) {
		check_free(verify);
		return 1;
	}
	if (state == GCHEAP_SPAN_INNER) {
		complain(verify, "it is an inner page of no span");
		return 1;
	}
	if (state > GCHEAP_SPAN_READY) {
		complain(verify, "there is no state %u", state);
		return 1;
	}
	if (!length_is_right(verify))
		return 1;
	if (state <= GCHEAP_SPAN_LARGE) {
		if (state == GCHEAP_SPAN_LARGE)
			check_large(verify);
		else if (!check_small(verify))
			return 1;
		counted->spans++;
	} else {
		check_set_aside(verify);
		counted->chunks += state == GCHEAP_SPAN_CHUNK;
	}
	check_inner(verify);
	if (state <= GCHEAP_SPAN_CHUNK)
		counted->in_use_pages += span->npages;
	else if (state == GCHEAP_SPAN_QUARANTINE)
		counted->quarantined_pages += span->npages;
	return span->npages;
}

static void check_counters(struct verify *verify)
{
#define COUNTER(name)	{ #name, offsetof(struct gcheap_counters, name) / sizeof(u64) }
	static const struct {
		char name[19];
		u8 word;
	} checked[] = {
		COUNTER(heap_pages), COUNTER(spans), COUNTER(cached_spans), COUNTER(unswept_spans),
		COUNTER(in_use_pages), COUNTER(chunks), COUNTER(quarantined_pages),
	};
#undef COUNTER
	const u64 *counters = (const u64 *)verify->tables->counters;
	const u64 *counted = (const u64 *)&verify->counted;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(checked); i++) {
		u64 counter = counters[checked[i].word];

		if (counter != counted[checked[i].word])
			complain(verify, "the counter %s is %llu, and %llu were counted",
				 checked[i].name, counter, counted[checked[i].word]);
	}
}

/* Cold: small code is worth more here than quick code. */
void __cold verify_tables(const struct heap_tables *tables)
{
	struct verify verify = {
		.tables = tables,
		.page = VERIFY_NO_PAGE,
		.counted.heap_pages = tables->heap_pages,
	};
	u32 page = 0;

	/* Beyond that, there is nothing to read. */
	if (tables->heap_pages > tables->reserve_bytes >> GCHEAP_PAGE_SHIFT) {
		complain(&verify, "the heap has %u pages, and room for %llu", tables->heap_pages,
			 tables->reserve_bytes >> GCHEAP_PAGE_SHIFT);
		return;
	}
	while (page < tables->heap_pages)
		page += check_page(&verify, page);
	verify.page = VERIFY_NO_PAGE;
	check_counters(&verify);
}

void __cold verify_page(const struct heap_tables *tables, u32 page)
{
	struct verify verify = { .tables = tables };

	check_page(&verify, page);
}
