// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the tables of a heap must say after a request, worked out anew from
 * <linux/gcheap.h> alone, and compared with what the kernel wrote. What they must say
 * whatever was requested, common/verify_tables.h knows.
 */
#include "gcheap_selftest.h"
#include "verify_tables.h"

const struct size_class size_classes[SIZE_CLASSES] = {
	{ 0, 0 }, { 8, 1 }, { 16, 1 }, { 24, 1 }, { 32, 1 }, { 48, 1 }, { 64, 1 },
	{ 80, 1 }, { 96, 1 }, { 112, 1 }, { 128, 1 }, { 144, 1 }, { 160, 1 },
	{ 176, 1 }, { 192, 1 }, { 208, 1 }, { 224, 1 }, { 240, 1 }, { 256, 1 },
	{ 288, 1 }, { 320, 1 }, { 352, 1 }, { 384, 1 }, { 416, 1 }, { 448, 1 },
	{ 480, 1 }, { 512, 1 }, { 576, 1 }, { 640, 1 }, { 704, 1 }, { 768, 1 },
	{ 896, 1 }, { 1024, 1 }, { 1152, 1 }, { 1280, 1 }, { 1408, 2 }, { 1536, 1 },
	{ 1792, 2 }, { 2048, 1 }, { 2304, 2 }, { 2688, 1 }, { 3072, 3 }, { 3200, 2 },
	{ 3456, 3 }, { 4096, 1 }, { 4864, 3 }, { 5376, 2 }, { 6144, 3 }, { 6528, 4 },
	{ 6784, 5 }, { 6912, 6 }, { 8192, 1 }, { 9472, 7 }, { 9728, 6 }, { 10240, 5 },
	{ 10880, 4 }, { 12288, 3 }, { 13568, 5 }, { 14336, 7 }, { 16384, 2 },
	{ 18432, 9 }, { 19072, 7 }, { 20480, 5 }, { 21760, 8 }, { 24576, 3 },
	{ 27264, 10 }, { 28672, 7 }, { 32768, 4 },
};

const char *wrong(const char *format, ...)
{
	static char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

/* ---- bits ------------------------------------------------------------------- */

static __u32 span_slot_bytes(const struct test_heap *heap, __u32 page)
{
	const struct gcheap_span *span = heap_span(heap, page);

	return size_classes[span->span_class >> 1].bytes;
}

char *slot_mem(const struct test_heap *heap, __u32 page, __u32 slot)
{
	return heap_mem(heap, page) + (size_t)slot * span_slot_bytes(heap, page);
}

void slot_alloc(const struct test_heap *heap, __u32 page, __u32 slot)
{
	bit_set(alloc_bits(heap), slot_bit(page, span_slot_bytes(heap, page), slot));
}

void slot_mark(const struct test_heap *heap, __u32 page, __u32 slot)
{
	bit_set(mark_bits(heap), slot_bit(page, span_slot_bytes(heap, page), slot));
	bit_set(page_marks(heap), page);
}

int slot_take(const struct test_heap *heap, __u32 page)
{
	__u32 slots = heap_span(heap, page)->slots;
	__u32 bytes = span_slot_bytes(heap, page);
	__u64 *bits = alloc_bits(heap);

	for (__u32 slot = 0; slot < slots; slot++) {
		__u64 bit = slot_bit(page, bytes, slot);

		if (!bit_test(bits, bit)) {
			bit_set(bits, bit);
			return (int)slot;
		}
	}
	return -1;
}

__u32 slots_allocated(const struct test_heap *heap, __u32 page)
{
	__u32 slots = heap_span(heap, page)->slots;
	__u32 bytes = span_slot_bytes(heap, page);
	__u64 *bits = alloc_bits(heap);
	__u32 n = 0;

	for (__u32 slot = 0; slot < slots; slot++)
		n += bit_test(bits, slot_bit(page, bytes, slot));
	return n;
}

/* All of a span's objects allocated: each bit set, also those of no slot. */
void span_fill(const struct test_heap *heap, __u32 page)
{
	const size_t page_bytes = 1u << (GCHEAP_PAGE_SHIFT - GCHEAP_GRANULE_SHIFT - 3);

	memset((char *)alloc_bits(heap) + page * page_bytes, 0xff,
	       heap_span(heap, page)->npages * page_bytes);
}

/* ---- state ------------------------------------------------------------------ */

static __u64 sum(const void *memory, size_t bytes)
{
	const __u64 *words = memory;
	__u64 hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < bytes / 8; i++)
		hash = (hash ^ words[i]) * 0x100000001b3ull + (hash >> 47);
	return hash;
}

/* What the kernel does of its own accord with memory that no page of the heap has. */
void counters_steady(struct gcheap_counters *counters)
{
	counters->stock_bytes = 0;
	counters->zeroed_bytes = 0;
	counters->released_bytes = 0;
	/* An address of the heap that a request cannot read is a fault too. */
	counters->faults = 0;
	counters->bad_faults = 0;
}

void state_take(const struct test_heap *heap, struct test_state *state)
{
	size_t pages;

	memset(state, 0, sizeof(*state));
	state->stats_err = cmd_stats(heap->fd, &state->counters);
	counters_steady(&state->counters);
	if (state->stats_err || !heap->region[GCHEAP_REGION_CTRL])
		return;
	state->ctrl = *heap_ctrl(heap);
	counters_steady(&state->ctrl.counters);
	/* The one thing that a request changes when it fails for want of memory. */
	state->ctrl.pressure = 0;
	state->ctrl.pressure_sequence = 0;
	pages = state->ctrl.heap_pages;
	state->pages_sum = sum(heap->region[GCHEAP_REGION_PAGES], pages * sizeof(__u64));
	state->spans_sum = sum(heap->region[GCHEAP_REGION_SPANS],
			       pages * sizeof(struct gcheap_span));
	state->marks_sum = sum(marks_at(heap, 0), pages * 64) +
			   sum(marks_at(heap, GCHEAP_MARKS_TABLE(heap->reserve, 1)),
			       pages * 64);
	state->types_sum = sum(heap_type(heap, 1),
			       state->counters.types * sizeof(struct gcheap_type_record));
}

const char *state_differs(const struct test_state *a, const struct test_state *b)
{
	if (a->stats_err != b->stats_err)
		return "whether the heap is set up";
	if (memcmp(&a->counters, &b->counters, sizeof(a->counters)))
		return "the counters";
	if (memcmp(&a->ctrl, &b->ctrl, sizeof(a->ctrl)))
		return "CTRL";
	if (a->pages_sum != b->pages_sum)
		return "PAGES";
	if (a->spans_sum != b->spans_sum)
		return "SPANS";
	if (a->marks_sum != b->marks_sum)
		return "MARKS";
	return a->types_sum != b->types_sum ? "TYPES" : NULL;
}

/* ---- spans ------------------------------------------------------------------ */

__u32 kind_of(__u32 layout, __u32 size_class, bool noscan)
{
	bool small = size_classes[size_class].bytes <= GCHEAP_HEAP_BITS_MAX;

	if (noscan)
		return GCHEAP_KIND_NOSCAN;
	if (layout == GCHEAP_LAYOUT_SPAN)
		return small ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE;
	if (layout == GCHEAP_LAYOUT_BITMAP)
		return GCHEAP_KIND_BITMAP;
	if (small)
		return GCHEAP_KIND_HEAP_BITS;
	return layout == GCHEAP_LAYOUT_HEADER ? GCHEAP_KIND_HEADER : GCHEAP_KIND_FOOTER;
}

__u32 slots_of(__u32 size_class, __u32 kind)
{
	__u32 bytes = size_classes[size_class].npages << GCHEAP_PAGE_SHIFT;

	if (kind == GCHEAP_KIND_HEAP_BITS)
		bytes -= bytes >> GCHEAP_HEAP_BITS_SHIFT;
	return bytes / size_classes[size_class].bytes;
}

__u64 tiled_mask(__u64 mask, __u32 elem_words, __u32 slot_bytes)
{
	__u64 tiled = 0;

	for (__u32 word = 0; word < slot_bytes / 8; word++)
		tiled |= (mask >> (word % elem_words) & 1) << word;
	return tiled;
}

/* ---- the rules of common/verify_tables.h --------------------------------------------- */

/**
 * struct rules - the rules go over the tables of a heap
 * @heap: which
 * @broken: the first one that is broken; NULL: none so far
 */
struct rules {
	const struct test_heap *heap;
	const char *broken;
};

static u64 read_info(void *owner, u32 page)
{
	struct rules *rules = owner;

	return heap_info(rules->heap, page);
}

static const struct gcheap_span *read_span(void *owner, u32 page)
{
	struct rules *rules = owner;

	return heap_span(rules->heap, page);
}

static const struct gcheap_type_record *read_type(void *owner, u32 type)
{
	const struct test_heap *heap = ((struct rules *)owner)->heap;

	return type && type <= heap_ctrl(heap)->counters.types ? heap_type(heap, type) : NULL;
}

static void hear(void *owner, u32 page, const char *format, va_list args)
{
	struct rules *rules = owner;
	char text[200];

	if (rules->broken)
		return;
	vsnprintf(text, sizeof(text), format, args);
	rules->broken = page == VERIFY_NO_PAGE ? wrong("%s", text) :
						 wrong("page %u: %s", page, text);
}

/* Bits are the tests' own to set. */
static const struct table_reader reader = {
	.info = read_info,
	.span = read_span,
	.type = read_type,
	.complain = hear,
};

static struct heap_tables tables_of(struct rules *rules)
{
	const struct gcheap_ctrl *ctrl = heap_ctrl(rules->heap);

	return (struct heap_tables){
		.reader = &reader,
		.owner = rules,
		.reserve_bytes = rules->heap->reserve,
		.heap_pages = ctrl->heap_pages,
		.layout = rules->heap->layout,
		.record_types = rules->heap->flags & GCHEAP_SETUP_RECORD_TYPES,
		.generation = (u16)ctrl->generation,
		.counters = &ctrl->counters,
	};
}

static const char *page_wrong(const struct test_heap *heap, __u32 page)
{
	struct rules rules = { .heap = heap };
	struct heap_tables tables = tables_of(&rules);

	verify_page(&tables, page);
	return rules.broken;
}

/* ---- what a request must have done ---------------------------------------------------- */

const char *span_wrong(const struct test_heap *heap, const struct gcheap_grant *grant,
		       __u32 size_class, bool noscan)
{
	return span_of_kind_wrong(heap, grant, size_class, noscan,
				  kind_of(heap->layout, size_class, noscan));
}

const char *span_of_kind_wrong(const struct test_heap *heap, const struct gcheap_grant *grant,
			       __u32 size_class, bool noscan, __u32 kind)
{
	const struct size_class *class = &size_classes[size_class];
	__u32 page = grant->page;
	const struct gcheap_span *span = heap_span(heap, page);
	__u64 info = heap_info(heap, page);

	if (!page || page + class->npages > heap_ctrl(heap)->heap_pages)
		return wrong("page %u is out of range", page);
	if (span_state(heap, page) != GCHEAP_SPAN_CACHED)
		return wrong("a granted span has state %u", span_state(heap, page));
	if (span->span_class != (size_class << 1 | noscan))
		return wrong("span class %u, not %u", span->span_class,
			     size_class << 1 | noscan);
	if (span->npages != class->npages)
		return wrong("%u pages, not %u", span->npages, class->npages);
	if (span->slots != slots_of(size_class, kind) || grant->slots != span->slots)
		return wrong("%u slots, %u granted, not %u", span->slots, grant->slots,
			     slots_of(size_class, kind));
	if (grant->free_slots != span->slots - slots_allocated(heap, page))
		return wrong("%u of %u slots granted as free, but alloc bits for %u",
			     grant->free_slots, span->slots, slots_allocated(heap, page));
	if (!(grant->flags & GCHEAP_GRANT_NEEDZERO) !=
	    !(span->state & GCHEAP_SPAN_NEEDZERO))
		return wrong("grant and descriptor disagree about zeroing");
	if (GCHEAP_PAGE_SLOT_BYTES(info) != class->bytes || GCHEAP_PAGE_KIND(info) != kind)
		return wrong("PAGES says %#llx", info);
	return page_wrong(heap, page);
}

const char *large_wrong(const struct test_heap *heap,
			const struct gcheap_alloc_large *large, __u64 bytes, bool noscan)
{
	__u64 npages = (bytes + GCHEAP_PAGE_BYTES - 1) >> GCHEAP_PAGE_SHIFT;
	__u32 page = large->out_page;
	const struct gcheap_span *span = heap_span(heap, page);

	if (!page || (__u64)page + npages > heap_ctrl(heap)->heap_pages)
		return wrong("page %u is out of range", page);
	if (large->out_npages != npages || span->npages != npages)
		return wrong("%u pages, %u in the descriptor, not %llu", large->out_npages,
			     span->npages, npages);
	if (span_state(heap, page) != GCHEAP_SPAN_LARGE)
		return wrong("a large span has state %u", span_state(heap, page));
	if (span->span_class != noscan)
		return wrong("span class %u", span->span_class);
	if (span->object_bytes != bytes)
		return wrong("object of %llu bytes, not %llu", span->object_bytes, bytes);
	if (span->type != large->type)
		return wrong("type %u, not %u", span->type, large->type);
	if (!bit_test(alloc_bits(heap), slot_bit(page, 0, 0)))
		return wrong("the object's alloc bit is clear");
	return page_wrong(heap, page);
}

const char *free_wrong(const struct test_heap *heap, __u32 page, __u32 npages)
{
	for (__u32 i = 0; i < npages; i++) {
		const char *error = page_wrong(heap, page + i);

		if (error)
			return error;
		if (span_state(heap, page + i) != GCHEAP_SPAN_FREE)
			return wrong("page %u: state %u", page + i, span_state(heap, page + i));
	}
	return NULL;
}

/*
 * The scavenger and the shrinker may take free memory between the two looks: what is
 * wrong stays wrong.
 */
#define LOOKS	100

static const char *counters_wrong(const struct test_heap *heap, struct gcheap_counters *counters)
{
	for (int i = 0; i < LOOKS; i++) {
		struct gcheap_counters published;
		int ret = cmd_stats(heap->fd, counters);

		if (ret)
			return wrong("STATS: %s", strerror(-ret));
		published = *(const volatile struct gcheap_counters *)&heap_ctrl(heap)->counters;
		counters_steady(&published);
		counters_steady(counters);
		if (!memcmp(counters, &published, sizeof(published)))
			return NULL;
	}
	return wrong("STATS and CTRL disagree");
}

const char *heap_wrong(const struct test_heap *heap)
{
	struct gcheap_counters counters;
	const char *different = counters_wrong(heap, &counters);
	struct rules rules = { .heap = heap };
	struct heap_tables tables = tables_of(&rules);

	if (different)
		return different;
	tables.counters = &counters;
	verify_tables(&tables);
	return rules.broken;
}
