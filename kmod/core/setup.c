// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The making and the end of a heap.
 */
#include "setup.h"

#include "arena.h"
#include "central.h"
#include "counters.h"
#include "page_heap.h"
#include "port.h"
#include "scavenge.h"
#include "type.h"

static_assert(GCHEAP_REGIONS <= GCHEAP_REGIONS_MAX);

int heap_setup_check(struct gcheap_setup *setup, u32 flags, u64 features)
{
	u64 reserve = setup->reserve_bytes;
	u64 pages;

	if (setup->flags & ~(flags | GCHEAP_SETUP_RECORD_TYPES))
		return -EOPNOTSUPP;
	if (setup->reserved)
		return -EINVAL;
	if (setup->layout > GCHEAP_LAYOUT_BITMAP)
		return -EOPNOTSUPP;
	if (!reserve)
		reserve = GCHEAP_RESERVE_DEFAULT;
	if (reserve < GCHEAP_RESERVE_MIN || reserve > GCHEAP_RESERVE_MAX ||
	    reserve % GCHEAP_ARENA_BYTES)
		return -EINVAL;

	pages = reserve >> GCHEAP_PAGE_SHIFT;
	setup->reserve_bytes = reserve;
	setup->out_features = GCHEAP_FEATURE_LAYOUT_SPAN | GCHEAP_FEATURE_LAYOUT_HEADER |
			      GCHEAP_FEATURE_LAYOUT_FOOTER | GCHEAP_FEATURE_LAYOUT_BITMAP |
			      features;
	memset(setup->out_region_bytes, 0, sizeof(setup->out_region_bytes));
	setup->out_region_bytes[GCHEAP_REGION_HEAP] = reserve;
	setup->out_region_bytes[GCHEAP_REGION_PAGES] = pages * sizeof(u64);
	setup->out_region_bytes[GCHEAP_REGION_SPANS] = pages * sizeof(struct gcheap_span);
	setup->out_region_bytes[GCHEAP_REGION_TYPES] = GCHEAP_TYPES_BYTES;
	setup->out_region_bytes[GCHEAP_REGION_MARKS] = GCHEAP_MARKS_BYTES(reserve);
	setup->out_region_bytes[GCHEAP_REGION_CTRL] = PORT_TABLE_PAGE_BYTES;
	setup->out_region_bytes[GCHEAP_REGION_DIRTY] =
		round_up(pages / 8, (u64)PORT_TABLE_PAGE_BYTES);
	setup->out_region_bytes[GCHEAP_REGION_BITMAP] =
		setup->layout == GCHEAP_LAYOUT_BITMAP ? GCHEAP_BITMAP_BYTES(reserve) : 0;
	setup->out_abi = GCHEAP_ABI;
	setup->out_reserved = 0;
	return 0;
}

int heap_init(struct heap *heap, const struct gcheap_setup *setup)
{
	int error;

	heap->layout = setup->layout;
	heap->flags = setup->flags;
	heap->reserve_bytes = setup->reserve_bytes;
	heap->phase = GCHEAP_PHASE_IDLE;
	type_table_init(&heap->types);

	heap->ctrl = port_table_page(heap, GCHEAP_REGION_CTRL, 0);
	if (!heap->ctrl)
		return -ENOMEM;
	error = central_table_init(&heap->centrals);
	if (error)
		return error;
	heap->arenas = port_zalloc((size_t)(heap->reserve_bytes >> GCHEAP_ARENA_SHIFT) *
				   sizeof(*heap->arenas));
	if (!heap->arenas) {
		error = -ENOMEM;
		goto destroy_centrals;
	}
	error = bit_index_init(&heap->in_use_arenas,
			       (u32)(heap->reserve_bytes >> GCHEAP_ARENA_SHIFT));
	if (error)
		goto free_arenas;
	error = page_heap_init(&heap->page_heap,
			       (u32)(heap->reserve_bytes >> GCHEAP_PAGE_SHIFT), port_cpus());
	if (error)
		goto destroy_in_use;
	heap->scavenge_ranges = port_zalloc(SCAVENGE_RANGES * sizeof(*heap->scavenge_ranges));
	if (!heap->scavenge_ranges) {
		error = -ENOMEM;
		goto destroy_page_heap;
	}
	heap_publish(heap);
	return 0;

destroy_page_heap:
	page_heap_destroy(&heap->page_heap);
destroy_in_use:
	bit_index_destroy(&heap->in_use_arenas);
free_arenas:
	port_free(heap->arenas);
	heap->arenas = NULL;
destroy_centrals:
	central_table_destroy(&heap->centrals);
	return error;
}

void heap_destroy(struct heap *heap)
{
	type_table_destroy(&heap->types);
	central_table_destroy(&heap->centrals);
	port_free(heap->scavenge_ranges);
	page_heap_destroy(&heap->page_heap);
	arenas_destroy(heap);
	heap->ctrl = NULL;
}
