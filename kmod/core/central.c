// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Central lists.
 */
#include "central.h"

#include "port.h"
#include "span_free.h"
#include "type.h"

int central_table_init(struct central_table *table)
{
	memset(table, 0, sizeof(*table));
	table->last = &table->first;
	table->shift = CENTRAL_BUCKETS_SHIFT;
	table->buckets = port_zalloc(sizeof(*table->buckets) << table->shift);
	return table->buckets ? 0 : -ENOMEM;
}

void central_table_destroy(struct central_table *table)
{
	struct central *central = table->first;

	while (central) {
		struct central *next = central->all_next;

		port_free(central);
		central = next;
	}
	port_free(table->buckets);
	memset(table, 0, sizeof(*table));
}

static bool key_equal(const struct span_key *a, const struct span_key *b)
{
	return a->mask == b->mask && a->type == b->type && a->span_class == b->span_class &&
	       a->kind == b->kind;
}

static struct central **key_bucket(struct central **buckets, u32 shift,
				   const struct span_key *key)
{
	/* Fibonacci hashing: the golden ratio's bits spread the sum's. */
	u64 sum = key->mask ^ (u64)key->type << 20 ^ (u64)key->span_class << 8 ^ key->kind;

	return &buckets[(sum ^ sum >> 32) * 0x9e3779b97f4a7c15ull >> (64 - shift)];
}

/* Where the pointer maps of a type's objects are, in slots of a class. */
static enum gcheap_kind central_kind(const struct heap *heap,
				     const struct gcheap_type_record *record, u32 size_class,
				     bool mixed)
{
	bool record_types = heap->flags & GCHEAP_SETUP_RECORD_TYPES;
	bool small = size_class_bytes[size_class] <= GCHEAP_HEAP_BITS_MAX;

	if (!record || (!record->ptr_bytes && !record_types))
		return GCHEAP_KIND_NOSCAN;
	if (heap->layout == GCHEAP_LAYOUT_SPAN && !mixed)
		return small && record->ptr_bytes ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE;
	if (heap->layout == GCHEAP_LAYOUT_BITMAP)
		return GCHEAP_KIND_BITMAP;
	if (small && !record_types)
		return GCHEAP_KIND_HEAP_BITS;
	return heap->layout == GCHEAP_LAYOUT_FOOTER ? GCHEAP_KIND_FOOTER : GCHEAP_KIND_HEADER;
}

/* Bytes of a slot that are not the object's: before it, or behind. */
static u64 type_word_bytes(const struct heap *heap, u8 kind,
			   const struct gcheap_type_record *record)
{
	if (kind == GCHEAP_KIND_HEADER)
		return max_t(u64, record->align, 8);
	if (kind == GCHEAP_KIND_BITMAP)
		return heap->flags & GCHEAP_SETUP_RECORD_TYPES ? 8 : 0;
	return kind == GCHEAP_KIND_FOOTER ? 8 : 0;
}

int central_key_make(struct heap *heap, u32 type, u32 size_class, u32 flags,
		     struct span_key *key)
{
	bool mixed = flags & GCHEAP_REFILL_MIXED;
	const struct gcheap_type_record *record = NULL;
	u64 needed = 0;

	if (size_class < SIZE_CLASS_MIN || size_class >= SIZE_CLASSES)
		return -EINVAL;
	size_class = (u32)array_index_nospec(size_class, SIZE_CLASSES);
	if (type) {
		record = type_find(heap, type);
		if (!record)
			return -EINVAL;
		needed = record->bytes;
	}
	memset(key, 0, sizeof(*key));
	key->kind = (u8)central_kind(heap, record, size_class, mixed);
	key->span_class = SPAN_CLASS(size_class, !record || !record->ptr_bytes);
	if (record)
		needed += type_word_bytes(heap, key->kind, record);
	if (needed > size_class_bytes[size_class])
		return -EINVAL;
	if (key->kind == GCHEAP_KIND_MASK)
		key->mask = slot_mask(record, size_class_bytes[size_class]);
	if (key->kind == GCHEAP_KIND_TYPE ||
	    (key->kind == GCHEAP_KIND_MASK && heap->flags & GCHEAP_SETUP_RECORD_TYPES))
		key->type = type;
	return 0;
}

struct central *central_find(struct heap *heap, const struct span_key *key)
{
	struct central_table *table = &heap->centrals;
	struct central *central = table->found;

	if (central && key_equal(&central->key, key))
		return central;
	central = *key_bucket(table->buckets, table->shift, key);
	while (central && !key_equal(&central->key, key))
		central = central->hash_next;
	if (central)
		table->found = central;
	return central;
}

/* A longer table where there is memory for it; else the chains grow longer. */
static void table_grow(struct central_table *table)
{
	u32 shift = table->shift + 1;
	struct central **buckets = port_zalloc(sizeof(*buckets) << shift);
	struct central *central;

	if (!buckets)
		return;
	for (central = table->first; central; central = central->all_next) {
		struct central **bucket = key_bucket(buckets, shift, &central->key);

		central->hash_next = *bucket;
		*bucket = central;
	}
	port_free(table->buckets);
	table->buckets = buckets;
	table->shift = shift;
}

struct central *central_get(struct heap *heap, const struct span_key *key)
{
	struct central_table *table = &heap->centrals;
	struct central *central = central_find(heap, key);
	struct central **bucket;

	if (central)
		return central;
	central = port_zalloc(sizeof(*central));
	if (!central)
		return NULL;
	if (table->count >> table->shift)
		table_grow(table);
	central->key = *key;
	bucket = key_bucket(table->buckets, table->shift, key);
	central->hash_next = *bucket;
	*bucket = central;
	*table->last = central;
	table->last = &central->all_next;
	table->count++;
	return central;
}

struct central *central_of_span(struct heap *heap, u32 page)
{
	const struct gcheap_span *span = heap_span(heap, page);
	u8 kind = (u8)GCHEAP_PAGE_KIND(*heap_info(heap, page));
	struct central *found = heap->centrals.found;
	struct span_key key;

	/* Spans of one central come one after the other. */
	if (found && found->key.mask == span->ptr_mask && found->key.type == span->type &&
	    found->key.span_class == span->span_class && found->key.kind == kind)
		return found;
	key = (struct span_key) {
		.mask = span->ptr_mask,
		.type = span->type,
		.span_class = span->span_class,
		.kind = kind,
	};

	return central_find(heap, &key);
}

/* Which of the two pairs of lists a span is on. */
static u32 central_which(const struct gcheap_span *span)
{
	return (span->generation / 2) & 1;
}

static u32 *central_list(struct central *central, const struct gcheap_span *span)
{
	u32 which = central_which(span);

	return span->allocated == span->slots ? &central->full[which] : &central->partial[which];
}

void central_insert(struct heap *heap, struct central *central, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);
	u32 *head = central_list(central, span);

	span->prev = 0;
	span->next = *head;
	if (*head)
		heap_span(heap, *head)->prev = page;
	*head = page;
	central->used_slots[central_which(span)] += span->allocated;
	central->free_slots[central_which(span)] += span->slots - span->allocated;
	span_set_state(span, GCHEAP_SPAN_CENTRAL);
}

void central_remove(struct heap *heap, struct central *central, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	if (span->prev)
		heap_span(heap, span->prev)->next = span->next;
	else
		*central_list(central, span) = span->next;
	if (span->next)
		heap_span(heap, span->next)->prev = span->prev;
	central->used_slots[central_which(span)] -= span->allocated;
	central->free_slots[central_which(span)] -= span->slots - span->allocated;
	span->next = 0;
	span->prev = 0;
}

u32 central_first_unswept(const struct heap *heap, const struct central *central)
{
	u32 unswept = central_swept_lists(heap) ^ 1;

	return central->partial[unswept] ? central->partial[unswept] : central->full[unswept];
}

u32 central_take(struct heap *heap, struct central *central)
{
	u32 page = central->partial[central_swept_lists(heap)];

	/* What has objects left, but its free slots may be in memory that has failed. */
	while (unlikely(heap->has_broken) && page &&
	       port_broken(heap, page, heap_span(heap, page)->npages))
		page = heap_span(heap, page)->next;
	if (!page)
		return 0;
	central_remove(heap, central, page);
	span_set_state(heap_span(heap, page), GCHEAP_SPAN_CACHED);
	heap->counters.cached_spans++;
	return page;
}

void central_give(struct heap *heap, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	heap->counters.cached_spans--;
	span->allocated = (u16)span_count(heap, page, heap_alloc_table(heap));
	if (!span->allocated) {
		span_free(heap, page);
		return;
	}
	/* Its free slots have been used by now, or will be: they hold old data. */
	span->state |= GCHEAP_SPAN_NEEDZERO;
	central_insert(heap, central_of_span(heap, page), page);
}
