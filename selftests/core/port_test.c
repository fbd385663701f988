// SPDX-License-Identifier: MIT
/*
 * The port of the core's unit tests.
 */
#include <stdlib.h>

#include "port_test.h"

struct port_test port_test;

void port_test_reset(void)
{
	u64 blocks = port_test.blocks;

	port_test = (struct port_test){ .blocks = blocks };
}

void port_test_fail(u64 n, bool fail_all)
{
	port_test.calls = 0;
	port_test.failures = 0;
	port_test.fail_at = n;
	port_test.fail_all = fail_all;
}

void port_test_interrupt(u64 n)
{
	port_test.interrupt_calls = 0;
	port_test.interrupt_at = n;
}

/* Counts a call that may fail, and tells whether it does. */
static bool call_fails(void)
{
	bool fails;

	port_test.calls++;
	fails = port_test.fail_at && (port_test.calls == port_test.fail_at ||
				      (port_test.fail_all && port_test.calls > port_test.fail_at));
	port_test.failures += fails;
	return fails;
}

static void *zalloc_or_abort(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory)
		abort();
	return memory;
}

/* ---- the port --------------------------------------------------------------- */

void *port_zalloc(size_t bytes)
{
	if (call_fails())
		return NULL;
	port_test.blocks++;
	return zalloc_or_abort(1, bytes);
}

void port_free(void *memory)
{
	if (memory)
		port_test.blocks--;
	free(memory);
}

void *port_table_page(struct heap *heap, enum gcheap_region region, u64 offset)
{
	struct test_heap *th = (struct test_heap *)heap;
	u64 index = offset / PORT_TABLE_PAGE_BYTES;

	assert(region != GCHEAP_REGION_HEAP && offset % PORT_TABLE_PAGE_BYTES == 0);
	assert(index < th->table_pages[region]);
	if (!th->tables[region][index]) {
		if (call_fails())
			return NULL;
		/* A block of its own, so that the sanitizer sees its end. */
		th->tables[region][index] = zalloc_or_abort(1, PORT_TABLE_PAGE_BYTES);
		th->tables_made++;
	}
	return th->tables[region][index];
}

void port_table_pages_free(struct heap *heap, enum gcheap_region region, u64 offset, u32 count)
{
	struct test_heap *th = (struct test_heap *)heap;
	u64 first = offset / PORT_TABLE_PAGE_BYTES;

	assert(region == GCHEAP_REGION_TYPES || region == GCHEAP_REGION_MARKS ||
	       region == GCHEAP_REGION_BITMAP);
	assert(offset % PORT_TABLE_PAGE_BYTES == 0 && count);
	assert(first + count <= th->table_pages[region]);
	for (u64 i = first; i < first + count; i++) {
		th->tables_made -= !!th->tables[region][i];
		free(th->tables[region][i]);
		th->tables[region][i] = NULL;
	}
}

int port_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	struct test_heap *th = (struct test_heap *)heap;
	u32 missing;

	assert(page && npages && page + npages <= heap->page_heap.reserve_pages);
	missing = npages - test_heap_count_backed(th, page, npages);
	if (!missing)
		return 0;
	if (call_fails())
		return -ENOMEM;
	if (port_test.page_limit && th->backed_pages + missing > port_test.page_limit)
		return -ENOMEM;
	for (u32 i = page; i < page + npages; i++)
		th->backed[i / 64] |= 1ull << i % 64;
	th->backed_pages += missing;
	*needzero |= port_test.old_data;
	return 0;
}

/* Pages that lose their memory are not in use; or do not exist, after a failed growth. */
static bool may_depopulate(struct heap *heap, u32 page)
{
	const struct gcheap_span *span;

	if (page >= heap->heap_pages)
		return true;
	span = heap_span(heap, page);
	if (span_state(span) == GCHEAP_SPAN_INNER)
		span = heap_span(heap, span->first_page);
	return span_state(span) == GCHEAP_SPAN_FREE || span_state(span) == GCHEAP_SPAN_QUARANTINE;
}

void port_depopulate(struct heap *heap, u32 page, u32 npages)
{
	struct test_heap *th = (struct test_heap *)heap;

	assert(page && npages && page + npages <= heap->page_heap.reserve_pages);
	th->depopulates++;
	th->backed_pages -= test_heap_count_backed(th, page, npages);
	for (u32 i = page; i < page + npages; i++) {
		assert(may_depopulate(heap, i));
		th->backed[i / 64] &= ~(1ull << i % 64);
		if (i == port_test.broken_page && !port_test.broken_stays)
			port_test.broken_page = 0;
	}
}

int port_lazy(struct heap *heap, u32 page, u32 npages, bool lazy)
{
	struct test_heap *th = (struct test_heap *)heap;
	u32 i;

	assert(page && npages && page + npages <= heap->page_heap.end);
	for (i = page; i < page + npages; i++)
		assert((th->lazy[i / 64] >> i % 64 & 1) != lazy);
	if (lazy) {
		assert(!test_heap_count_backed(th, page, npages));
		if (call_fails())
			return -ENOMEM;
	}
	for (i = page; i < page + npages; i++)
		th->lazy[i / 64] ^= 1ull << i % 64;
	return 0;
}

bool test_heap_is_lazy(const struct test_heap *th, u32 page)
{
	return th->lazy[page / 64] >> page % 64 & 1;
}

bool test_heap_touch(struct test_heap *th, u32 page)
{
	if (!test_heap_is_lazy(th, page))
		return test_heap_backed(th, page, 1);
	if (!test_heap_backed(th, page, 1)) {
		th->backed[page / 64] |= 1ull << page % 64;
		th->backed_pages++;
	}
	return true;
}

u64 port_release(struct heap *heap, const struct gcheap_range *ranges, u32 count)
{
	struct test_heap *th = (struct test_heap *)heap;
	u32 before = th->backed_pages;

	for (u32 i = 0; i < count; i++) {
		/* From the highest down, none of them next to another. */
		if (i)
			assert(ranges[i].page + ranges[i].npages < ranges[i - 1].page);
		assert(test_heap_backed(th, ranges[i].page, ranges[i].npages));
		port_depopulate(heap, ranges[i].page, ranges[i].npages);
	}
	port_test.releases++;
	port_test.release_ranges += count;
	return (u64)(before - th->backed_pages) << GCHEAP_PAGE_SHIFT;
}

bool port_may_populate(struct heap *heap, u32 npages)
{
	(void)heap;
	(void)npages;
	return true;
}

bool port_broken(struct heap *heap, u32 page, u32 npages)
{
	(void)heap;
	return port_test.broken_page && port_test.broken_page - page < npages;
}

u64 port_trim(struct heap *heap, u64 max_bytes)
{
	u64 bytes = min_t(u64, port_test.stock_bytes, max_bytes);

	(void)heap;
	port_test.stock_bytes -= bytes;
	return bytes;
}

void port_counters(struct heap *heap)
{
	(void)heap;
}

u32 port_cpus(void)
{
	return port_test.cpus;
}

u32 port_cpu(void)
{
	assert(port_test.cpu < port_test.cpus);
	return port_test.cpu;
}

bool port_interrupted(void)
{
	port_test.interrupt_calls++;
	return port_test.interrupt_at && port_test.interrupt_calls >= port_test.interrupt_at;
}

/* ---- heaps ------------------------------------------------------------------ */

static void test_heap_free(struct test_heap *th)
{
	u64 i;

	for (u32 region = 0; region < GCHEAP_REGIONS; region++) {
		for (i = 0; th->tables_made && i < th->table_pages[region]; i++) {
			if (th->tables[region][i])
				th->tables_made--;
			free(th->tables[region][i]);
		}
		free(th->tables[region]);
	}
	free(th->backed);
	free(th->lazy);
	free(th);
}

struct test_heap *test_heap_new(u32 layout, u64 reserve_bytes, int *error)
{
	return test_heap_new_flags(layout, reserve_bytes, 0, error);
}

struct test_heap *test_heap_new_flags(u32 layout, u64 reserve_bytes, u32 flags, int *error)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.flags = flags,
		.layout = layout,
		.reserve_bytes = reserve_bytes,
	};
	struct test_heap *th = zalloc_or_abort(1, sizeof(*th));

	*error = heap_setup_check(&setup, flags, 0);
	if (*error) {
		free(th);
		return NULL;
	}
	for (u32 region = 1; region < GCHEAP_REGIONS; region++) {
		th->table_pages[region] = DIV_ROUND_UP(setup.out_region_bytes[region],
						       PORT_TABLE_PAGE_BYTES);
		th->tables[region] = zalloc_or_abort(th->table_pages[region], sizeof(void *));
	}
	th->backed = zalloc_or_abort(setup.reserve_bytes >> GCHEAP_PAGE_SHIFT >> 6, sizeof(u64));
	th->lazy = zalloc_or_abort(setup.reserve_bytes >> GCHEAP_PAGE_SHIFT >> 6, sizeof(u64));
	*error = heap_init(&th->heap, &setup);
	if (*error) {
		test_heap_free(th);
		return NULL;
	}
	return th;
}

void test_heap_destroy(struct test_heap *th)
{
	heap_destroy(&th->heap);
	test_heap_free(th);
}

u32 test_heap_count_backed(const struct test_heap *th, u32 page, u32 npages)
{
	u32 count = 0;

	for (u32 i = page; i < page + npages; i++)
		count += th->backed[i / 64] >> i % 64 & 1;
	return count;
}

bool test_heap_backed(const struct test_heap *th, u32 page, u32 npages)
{
	return test_heap_count_backed(th, page, npages) == npages;
}

void *test_heap_table(struct test_heap *th, enum gcheap_region region, u64 offset)
{
	char *page = th->tables[region][offset / PORT_TABLE_PAGE_BYTES];

	return page ? page + offset % PORT_TABLE_PAGE_BYTES : NULL;
}
