// SPDX-License-Identifier: MIT
/*
 * Sources: from a type to the cache that its objects come from.
 *
 * In the SPAN layout a span of one mask or type saves an object's metadata, and
 * marking goes through it faster; but a type of which there are few objects would
 * leave its span next to empty, and the more types, the more such spans. Hence a
 * source begins with mixed spans, which all types of a class share, and gets spans of
 * its own when it has allocated SOURCE_OWN_SPANS of them between two flushes (a cycle
 * flushes): what its last span then wastes is no more than it has. When it has
 * allocated less than half a span between two flushes, it goes back to mixed spans,
 * and its cache, which is much larger than a source, is another's. No more than
 * SOURCES_OWN_MAX have own spans at a time: who is first has them.
 *
 * Where a span has one slot it cannot be shared, and a source has own spans at once:
 * it is the cache alone that comes and goes.
 *
 * The inline functions know nothing of this: a type in mixed mode has an entry
 * without free slots, so that each of its objects passes the slow path, which counts.
 * In the other layouts a source is no more than the cache that all types of a class
 * share.
 */
#include "thread.h"

#include <stdlib.h>
#include <string.h>

#include "layout/layout.h"
#include "slots.h"

#define SOURCE_OWN_SPANS	1u

/*
 * So many sources of a thread have own spans at a time: with more, the spans that are
 * allocated from in turns leave the cache of the processor, which costs more than the
 * metadata of a mixed span. Documentation/mixed-spans.md has the figures.
 */
#define SOURCES_OWN_MAX		64u

/* ---- keys ------------------------------------------------------------------- */

/* The key of spans for a type; @shared: that types share. */
static struct cache_key source_key(const struct gcheap *heap, gcheap_type type,
				   const struct gcheap_type_record *record, uint32_t size_class,
				   bool shared)
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

/* ---- sources ---------------------------------------------------------------- */

static struct source *source_alloc(struct thread *thread)
{
	struct source_block *block = thread->source_blocks;

	if (!block || thread->source_used == BLOCK_SOURCES) {
		block = calloc(1, sizeof(*block));
		if (!block)
			return NULL;
		block->next = thread->source_blocks;
		thread->source_blocks = block;
		thread->source_used = 0;
	}
	return &block->sources[thread->source_used++];
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

static struct source *source_get(struct thread *thread, gcheap_type type,
				 const struct gcheap_type_record *record, uint32_t size_class)
{
	const struct gcheap *heap = thread->heap;
	struct cache_key key = source_key(heap, type, record, size_class, false);
	struct source **bucket = &thread->sources[cache_key_hash(&key, THREAD_SOURCES_SHIFT)];
	struct source *source;

	for (source = *bucket; source; source = source->hash_next) {
		if (cache_key_equal(&source->key, &key))
			return source;
	}
	source = source_alloc(thread);
	if (!source)
		return NULL;
	source->key = key;
	source->own_bytes = ((uint32_t)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT) *
			    SOURCE_OWN_SPANS;
	source->is_mixed = key_may_be_mixed(heap, &key);
	source->hash_next = *bucket;
	*bucket = source;
	return source;
}

/* Gives a source the cache of its own key. */
static bool source_own(struct thread *thread, struct source *source, gcheap_type type)
{
	struct cache *cache = cache_get(thread, &source->key, type);

	if (!cache)
		return false;
	if (key_is_own(thread->heap, &source->key))
		cache->source = source;
	source->cache = cache;
	source->is_mixed = false;
	return true;
}

/* ---- the thread's tables ------------------------------------------------------ */

/* What the inline functions allocate, nothing is written for, and nobody verifies. */
static struct gcheap_cache_ *fast_cache(const struct thread *thread, const struct source *source)
{
	if (source->is_mixed || source->key.shared || heap_is_checked(thread->heap))
		return &thread_no_slots;
	return &source->cache->fast;
}

struct cache *source_mixed_cache(struct thread *thread, gcheap_type type,
				 const struct gcheap_type_record *record, uint64_t bytes)
{
	const struct gcheap *heap = thread->heap;
	uint32_t size_class = layout_size_class(heap, record, bytes, true);
	struct cache_key key = source_key(heap, type, record, size_class, true);

	return cache_get(thread, &key, type);
}

struct source *source_of_array(struct thread *thread, gcheap_type type,
			       const struct gcheap_type_record *record, uint32_t size_class)
{
	struct source_memo *memo = &thread->memos[(type * 31 + size_class) % THREAD_MEMOS];
	struct source *source = memo->source;

	if (memo->type != type || memo->size_class != size_class) {
		source = source_get(thread, type, record, size_class);
		if (!source)
			return NULL;
		*memo = (struct source_memo) { type, size_class, source };
	}
	/* A new one, or one that a flush took the cache from. */
	if (!source->is_mixed && !source->cache &&
	    !source_own(thread, source, refill_type(thread->heap, type, record)))
		return NULL;
	return source;
}

struct source *source_of_type(struct thread *thread, gcheap_type type,
			      const struct gcheap_type_record *record, uint32_t size_class)
{
	struct source *source = source_of_array(thread, type, record, size_class);

	if (!source)
		return NULL;
	if (source->is_mixed && !source->cache) {
		source->cache = source_mixed_cache(thread, type, record, record->bytes);
		if (!source->cache)
			return NULL;
	}
	thread->type_sources[type] = source;
	thread->type_next[type] = source->first_type;
	source->first_type = type;
	thread->fast.types[type] = fast_cache(thread, source);
	return source;
}

/* ---- from mixed spans to own ones, and back ------------------------------------ */

void source_count(struct thread *thread, struct source *source, gcheap_type type,
		  uint32_t slot_bytes)
{
	gcheap_type with;

	if (source->flush != thread->flushes) {
		source->flush = thread->flushes;
		source->mixed_bytes = 0;
	}
	if (source->mixed_bytes < source->own_bytes)
		source->mixed_bytes += slot_bytes;
	if (source->mixed_bytes < source->own_bytes || thread->own_sources == SOURCES_OWN_MAX)
		return;
	/* Without memory for a cache it stays what it is. */
	source->mixed_bytes = 0;
	if (!source_own(thread, source, type))
		return;
	thread->own_sources++;
	for (with = source->first_type; with; with = thread->type_next[with])
		thread->fast.types[with] = fast_cache(thread, source);
}

/* Its cache goes; its types find out with their next object where that comes from. */
static void source_disown(struct thread *thread, struct source *source)
{
	gcheap_type type = source->first_type;

	while (type) {
		gcheap_type next = thread->type_next[type];

		thread->fast.types[type] = &thread_no_slots;
		thread->type_sources[type] = NULL;
		thread->type_next[type] = 0;
		type = next;
	}
	source->first_type = 0;
	source->cache = NULL;
	source->is_mixed = key_may_be_mixed(thread->heap, &source->key);
	thread->own_sources -= source->is_mixed;
}

void sources_flushed(struct thread *thread)
{
	struct cache *cache, *next;

	for (cache = thread->caches; cache; cache = next) {
		next = cache->next;
		if (!cache->source || !cache->is_idle)
			continue;
		/* Of what was allocated since the last flush, some was in mixed spans. */
		if (cache->source->flush + 1 == thread->flushes)
			continue;
		/* Who waits for this flush to fill a cache goes on with it after. */
		if (cache == thread->filling)
			continue;
		source_disown(thread, cache->source);
		cache_release(thread, cache);
	}
}

/* ---- memory ------------------------------------------------------------------ */

void sources_free(struct thread *thread)
{
	while (thread->source_blocks) {
		struct source_block *block = thread->source_blocks;

		thread->source_blocks = block->next;
		free(block);
	}
}

uint64_t sources_memory(const struct thread *thread)
{
	const struct source_block *block;
	uint64_t bytes = 0;

	for (block = thread->source_blocks; block; block = block->next)
		bytes += sizeof(*block);
	return bytes;
}
