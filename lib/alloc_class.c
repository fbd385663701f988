// SPDX-License-Identifier: MIT
/*
 * Allocation classes: from a type to the cache that its objects come from.
 *
 * In the SPAN layout a span of one mask or type saves an object's metadata, and marking
 * goes through it faster; but a type of which there are few objects would leave its span
 * next to empty, and the more types, the more such spans. So an allocation class begins
 * with mixed spans, which all types of a size class share. It gets spans of its own when
 * it has allocated ALLOC_CLASS_OWN_SPANS of them between two flushes (a cycle flushes):
 * its last span then wastes no more than the class has. When it has allocated less than
 * half a span between two flushes, it goes back to mixed spans, and another class gets
 * its cache, which is much larger than the class itself. No more than
 * ALLOC_CLASSES_OWN_MAX have own spans at a time; the first to come have them.
 *
 * A span of one slot cannot be shared. Where spans are so, an allocation class has own
 * spans at once, and only its cache comes and goes.
 *
 * The inline functions know nothing of this: a type in mixed mode has an entry
 * without free slots, so that each of its objects passes the slow path, which counts.
 * In the other layouts an allocation class is no more than the cache that all types of
 * a size class share.
 */
#include "alloc_class.h"

#include <stdlib.h>
#include <string.h>

#include "fast_tables.h"
#include "layout/layout.h"
#include "slots.h"
#include "thread.h"

#define ALLOC_CLASS_OWN_SPANS	1u

/*
 * So many of a thread have own spans at a time: with more, the spans that are
 * allocated from in turns leave the cache of the processor, which costs more than the
 * metadata of a mixed span. Documentation/mixed-spans.md has the figures.
 */
#define ALLOC_CLASSES_OWN_MAX	64u

/* ---- keys ------------------------------------------------------------------- */

/* The key of spans for a type; @shared: that types share. */
static struct cache_key alloc_class_key(const struct gcheap *heap, gcheap_type type,
					const struct gcheap_type_record *record,
					uint32_t size_class, bool shared)
{
	struct cache_key key = {
		.size_class = (uint8_t)size_class,
		.noscan = !record->ptr_bytes,
	};

	if (!layout_knows_type(heap, record))
		;
	else if (shared || !heap->layout->own_spans)
		key.shared = 1;
	else if (size_class_bytes[size_class] <= GCHEAP_HEAP_BITS_MAX && !heap->view.record_types)
		key.mask = slot_mask(record, size_class_bytes[size_class]);
	else
		key.type = type;
	return key;
}

/* For REFILL: bytes are bytes, whose ever they are. */
static gcheap_type refill_type(const struct gcheap *heap, gcheap_type type,
			       const struct gcheap_type_record *record)
{
	return layout_knows_type(heap, record) ? type : 0;
}

/* ---- allocation classes ------------------------------------------------------- */

static struct alloc_class *alloc_class_make(struct thread *thread)
{
	struct alloc_class_block *block = thread->alloc_class_blocks;

	if (!block || thread->alloc_class_used == BLOCK_ALLOC_CLASSES) {
		block = calloc(1, sizeof(*block));
		if (!block)
			return NULL;
		thread_count_memory(thread, sizeof(*block));
		block->next = thread->alloc_class_blocks;
		thread->alloc_class_blocks = block;
		thread->alloc_class_used = 0;
	}
	return &block->classes[thread->alloc_class_used++];
}

/* Whether spans of this key are those of one mask or type. */
static bool key_is_own(const struct gcheap *heap, const struct cache_key *key)
{
	return heap->layout->own_spans && !key->shared && (key->type || !key->noscan);
}

static bool key_may_be_mixed(const struct gcheap *heap, const struct cache_key *key)
{
	return key_is_own(heap, key) && size_class_slots[key->size_class] > 1;
}

static struct alloc_class *alloc_class_get(struct thread *thread, gcheap_type type,
					   const struct gcheap_type_record *record,
					   uint32_t size_class)
{
	const struct gcheap *heap = thread->heap;
	struct cache_key key = alloc_class_key(heap, type, record, size_class, false);
	uint64_t hash = cache_key_hash(&key, THREAD_ALLOC_CLASSES_SHIFT);
	struct alloc_class **bucket = &thread->alloc_classes[hash];
	struct alloc_class *class;

	for (class = *bucket; class; class = class->hash_next) {
		if (cache_key_equal(&class->key, &key))
			return class;
	}
	class = alloc_class_make(thread);
	if (!class)
		return NULL;
	class->key = key;
	class->own_bytes = ((uint32_t)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT) *
			   ALLOC_CLASS_OWN_SPANS;
	class->is_mixed = key_may_be_mixed(heap, &key);
	class->hash_next = *bucket;
	*bucket = class;
	return class;
}

/* Gives an allocation class the cache of its own key. */
static bool alloc_class_own(struct thread *thread, struct alloc_class *class, gcheap_type type)
{
	struct cache *cache = cache_get(thread, &class->key, type);

	if (!cache)
		return false;
	if (key_is_own(thread->heap, &class->key))
		cache->alloc_class = class;
	class->cache = cache;
	class->is_mixed = false;
	return true;
}

/* ---- the thread's tables ------------------------------------------------------ */

/* They write no metadata and verify nothing: where one of these is needed, they see none. */
struct gcheap_cache_ *alloc_class_fast_cache(const struct thread *thread,
					     const struct alloc_class *class)
{
	if (class->is_mixed || class->key.shared || heap_is_checked(thread->heap))
		return &cache_no_slots;
	return cache_fast(class->cache);
}

struct cache *alloc_class_mixed_cache(struct thread *thread, gcheap_type type,
				      const struct gcheap_type_record *record, uint64_t bytes)
{
	const struct gcheap *heap = thread->heap;
	uint32_t size_class = layout_size_class(heap, record, bytes, true);
	struct cache_key key = alloc_class_key(heap, type, record, size_class, true);

	return cache_get(thread, &key, type);
}

struct alloc_class *alloc_class_of_array(struct thread *thread, gcheap_type type,
					 const struct gcheap_type_record *record,
					 uint32_t size_class)
{
	struct alloc_class_memo *memo = &thread->memos[(type * 31 + size_class) % THREAD_MEMOS];
	struct alloc_class *class = memo->class;

	if (memo->type != type || memo->size_class != size_class) {
		class = alloc_class_get(thread, type, record, size_class);
		if (!class)
			return NULL;
		*memo = (struct alloc_class_memo) { type, size_class, class };
	}
	/* A new one, or one that a flush took the cache from. */
	if (!class->is_mixed && !class->cache &&
	    !alloc_class_own(thread, class, refill_type(thread->heap, type, record)))
		return NULL;
	return class;
}

struct alloc_class *alloc_class_of_type(struct thread *thread, gcheap_type type,
					const struct gcheap_type_record *record,
					uint32_t size_class)
{
	struct alloc_class *class = alloc_class_of_array(thread, type, record, size_class);

	if (!class)
		return NULL;
	if (class->is_mixed && !class->cache) {
		class->cache = alloc_class_mixed_cache(thread, type, record, record->bytes);
		if (!class->cache)
			return NULL;
	}
	thread->type_alloc_classes[type] = class;
	thread->type_next[type] = class->first_type;
	class->first_type = type;
	thread->fast.types[type] = alloc_class_fast_cache(thread, class);
	return class;
}

/* ---- from mixed spans to own ones, and back ------------------------------------ */

void alloc_class_count(struct thread *thread, struct alloc_class *class, gcheap_type type,
		       uint32_t slot_bytes)
{
	gcheap_type with;

	if (class->flush != thread->flushes) {
		class->flush = thread->flushes;
		class->mixed_bytes = 0;
	}
	if (class->mixed_bytes < class->own_bytes)
		class->mixed_bytes += slot_bytes;
	if (class->mixed_bytes < class->own_bytes ||
	    thread->own_alloc_classes == ALLOC_CLASSES_OWN_MAX)
		return;
	/* Without memory for a cache it stays what it is. */
	class->mixed_bytes = 0;
	if (!alloc_class_own(thread, class, type))
		return;
	thread->own_alloc_classes++;
	for (with = class->first_type; with; with = thread->type_next[with])
		thread->fast.types[with] = alloc_class_fast_cache(thread, class);
}

/* Its cache goes; its types find out with their next object where that comes from. */
static void alloc_class_disown(struct thread *thread, struct alloc_class *class)
{
	gcheap_type type = class->first_type;

	while (type) {
		gcheap_type next = thread->type_next[type];

		thread->fast.types[type] = &cache_no_slots;
		thread->type_alloc_classes[type] = NULL;
		thread->type_next[type] = 0;
		type = next;
	}
	class->first_type = 0;
	class->cache = NULL;
	class->is_mixed = key_may_be_mixed(thread->heap, &class->key);
	thread->own_alloc_classes -= class->is_mixed;
}

/* Whether there was too little use for own spans between the last two flushes. */
static bool cache_shall_leave(const struct thread *thread, const struct cache *cache)
{
	if (!cache->alloc_class || !cache->is_idle)
		return false;
	/* Of what was allocated since the last flush, some was in mixed spans. */
	if (cache->alloc_class->flush + 1 == thread->flushes)
		return false;
	/* Whoever waits for this flush to fill a cache goes on with it after. */
	return cache != thread->filling;
}

void alloc_classes_flushed(struct thread *thread)
{
	struct cache *cache, *next;
	bool any = false;

	for (cache = thread->caches; cache; cache = cache->next) {
		cache->is_leaving = cache_shall_leave(thread, cache);
		if (cache->is_leaving)
			alloc_class_disown(thread, cache->alloc_class);
		any |= cache->is_leaving;
	}
	if (!any)
		return;
	fast_tables_forget_leaving(thread);
	for (cache = thread->caches; cache; cache = next) {
		next = cache->next;
		if (cache->is_leaving)
			cache_release(thread, cache);
	}
}

/* ---- memory ------------------------------------------------------------------ */

void alloc_classes_free(struct thread *thread)
{
	while (thread->alloc_class_blocks) {
		struct alloc_class_block *block = thread->alloc_class_blocks;

		thread->alloc_class_blocks = block->next;
		free(block);
	}
}
