// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A program that uses the whole of the interface, compiled with the header of any
 * release: what works for it with the module of the same release has to work with those
 * of others. Prints TAP. selftests/abi/run says which are tried together.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/gcheap.h>

#define RESERVE		GCHEAP_RESERVE_MIN
#define CLASS_64	6u

static unsigned int tests, failures;

static bool check(bool right, const char *what)
{
	tests++;
	failures += !right;
	printf("%sok %u - %s\n", right ? "" : "not ", tests, what);
	return right;
}

/* For what everything after it needs. */
static void need(bool right, const char *what)
{
	if (check(right, what))
		return;
	printf("Bail out! %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int send_op(int fd, unsigned int op, void *request)
{
	return ioctl(fd, GCHEAP_IOC(op), request) ? -errno : 0;
}

/* All requests begin with their size. */
#define REQUEST(type, ...)	{ .size = sizeof(struct type), __VA_ARGS__ }

static void *map(int fd, enum gcheap_region region, const struct gcheap_setup *setup)
{
	bool mine = region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_MARKS;

	return mmap(NULL, setup->out_region_bytes[region], PROT_READ | (mine ? PROT_WRITE : 0),
		    MAP_SHARED, fd, (off_t)GCHEAP_REGION_OFFSET(region));
}

/* A heap, and what of it is mapped. */
struct heap {
	int fd;
	char *memory;
	const volatile __u64 *pages;
	const volatile struct gcheap_span *spans;
	const volatile struct gcheap_ctrl *ctrl;
	__u64 *marks;
};

static void begin(struct heap *heap)
{
	struct gcheap_setup setup = REQUEST(gcheap_setup, .reserve_bytes = RESERVE);
	void *regions[5];

	heap->fd = open("/dev/gcheap", O_RDWR | O_CLOEXEC);
	need(heap->fd >= 0, "open");
	need(!send_op(heap->fd, GCHEAP_OP_SETUP, &setup), "SETUP");
	check(setup.out_abi == GCHEAP_ABI, "SETUP tells the ABI");
	check(setup.out_features & GCHEAP_FEATURE_LAYOUT_SPAN, "SETUP tells features");
	need(setup.out_region_bytes[GCHEAP_REGION_HEAP] == RESERVE, "SETUP tells regions");
#ifdef GCHEAP_LATER
	check(!setup.out_region_bytes[GCHEAP_REGION_LATER], "a region that is not there is empty");
	check(map(heap->fd, GCHEAP_REGION_LATER, &setup) == MAP_FAILED, "and cannot be mapped");
#endif
	regions[0] = map(heap->fd, GCHEAP_REGION_HEAP, &setup);
	regions[1] = map(heap->fd, GCHEAP_REGION_PAGES, &setup);
	regions[2] = map(heap->fd, GCHEAP_REGION_SPANS, &setup);
	regions[3] = map(heap->fd, GCHEAP_REGION_CTRL, &setup);
	regions[4] = map(heap->fd, GCHEAP_REGION_MARKS, &setup);
	for (int i = 0; i < 5; i++)
		need(regions[i] != MAP_FAILED, "mmap");
	heap->memory = regions[0];
	heap->pages = regions[1];
	heap->spans = regions[2];
	heap->ctrl = regions[3];
	heap->marks = regions[4];
	check(heap->ctrl->abi == GCHEAP_ABI, "CTRL tells the ABI");
	check(heap->ctrl->layout == GCHEAP_UAPI_LAYOUT_SPAN, "CTRL tells the layout");
	check(heap->ctrl->pressure == GCHEAP_PRESSURE_NONE, "CTRL tells the pressure");
}

static __u64 *table(struct heap *heap, __u32 number)
{
	return heap->marks + GCHEAP_MARKS_TABLE(RESERVE, number) / sizeof(__u64);
}

/* The first slot of a page is marked, or in use. */
static void set_first(__u64 *bits, __u32 page)
{
	__u64 bit = (((__u64)page << GCHEAP_PAGE_SHIFT) + 8) >> GCHEAP_GRANULE_SHIFT;

	bits[bit / 64] |= 1ull << bit % 64;
}

static __u32 small_objects(struct heap *heap)
{
	__u8 mask = 1;
	struct gcheap_type_add type = REQUEST(gcheap_type_add, .bytes = 64, .ptr_bytes = 8,
					      .align = 8, .name = (__u64)(unsigned long)"node",
					      .name_bytes = 4,
					      .ptr_mask = (__u64)(unsigned long)&mask);
	struct gcheap_grant grant = { 0 };
	struct gcheap_refill take = REQUEST(gcheap_refill, .size_class = CLASS_64,
					    .want_bytes = 1, .grant_count = 1,
					    .grants = (__u64)(unsigned long)&grant);
	struct gcheap_refill give = REQUEST(gcheap_refill, .return_count = 1,
					    .returns = (__u64)(unsigned long)&grant.page);

	need(!send_op(heap->fd, GCHEAP_OP_TYPE_ADD, &type), "TYPE_ADD");
	check(type.out_type == 1, "TYPE_ADD tells the type");
	take.type = type.out_type;
	need(!send_op(heap->fd, GCHEAP_OP_REFILL, &take), "REFILL");
	need(take.out_granted == 1 && grant.page, "REFILL grants a span");
	check(grant.free_slots == GCHEAP_PAGE_BYTES / 64, "REFILL tells of free slots");
	check(GCHEAP_PAGE_SLOT_BYTES(heap->pages[grant.page]) == 64, "PAGES tells of slots");
	check((heap->spans[grant.page].state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_CACHED,
	      "SPANS tells the state");
	memset(heap->memory + ((__u64)grant.page << GCHEAP_PAGE_SHIFT), 1, GCHEAP_PAGE_BYTES);
	set_first(table(heap, heap->ctrl->mark_table ^ 1), grant.page);
	check(!send_op(heap->fd, GCHEAP_OP_REFILL, &give), "REFILL takes a span back");
	check(heap->spans[grant.page].allocated == 1, "REFILL counts what is in use");
	return grant.page;
}

static void large_object(struct heap *heap)
{
	struct gcheap_alloc_large alloc = REQUEST(gcheap_alloc_large, .count = 1 << 20);
	struct gcheap_free_large end = REQUEST(gcheap_free_large);

	need(!send_op(heap->fd, GCHEAP_OP_ALLOC_LARGE, &alloc), "ALLOC_LARGE");
	check(alloc.out_npages == (1 << 20) / GCHEAP_PAGE_BYTES, "ALLOC_LARGE tells of pages");
	check(heap->spans[alloc.out_page].object_bytes == 1 << 20, "SPANS tells the size");
	heap->memory[(__u64)alloc.out_page << GCHEAP_PAGE_SHIFT] = 1;
	end.page = alloc.out_page;
	check(!send_op(heap->fd, GCHEAP_OP_FREE_LARGE, &end), "FREE_LARGE");
}

/* A cycle in which the first slot of @page lives. */
static void cycle(struct heap *heap, __u32 page)
{
	struct gcheap_mark_start mark = REQUEST(gcheap_mark_start);
	struct gcheap_sweep_start start = REQUEST(gcheap_sweep_start,
						  .flags = GCHEAP_SWEEP_START_LAZY,
						  .goal_bytes = 4 << 20);
	struct gcheap_reclaim reclaim = REQUEST(gcheap_reclaim, .max_pages = 1000);
	struct gcheap_sweep sweep = REQUEST(gcheap_sweep, .max_spans = 1000);
	__u32 generation = heap->ctrl->generation;
	__u64 *page_marks = heap->marks + GCHEAP_MARKS_PAGE_MARKS(RESERVE) / sizeof(__u64);

	need(!send_op(heap->fd, GCHEAP_OP_MARK_START, &mark), "MARK_START");
	check(heap->ctrl->phase == GCHEAP_PHASE_MARK, "CTRL tells the phase");
	check(mark.out_generation == generation, "MARK_START tells the generation");
	set_first(table(heap, mark.out_mark_table), page);
	page_marks[page / 64] |= 1ull << page % 64;
	need(!send_op(heap->fd, GCHEAP_OP_SWEEP_START, &start), "SWEEP_START");
	check(start.out_generation == generation + 2, "SWEEP_START steps the generation");
	check(heap->ctrl->generation == generation + 2, "CTRL tells the generation");
	check(start.out_unswept_spans == 1, "SWEEP_START tells what is to be swept");
	check(!send_op(heap->fd, GCHEAP_OP_RECLAIM, &reclaim) && !reclaim.out_left, "RECLAIM");
	check(!send_op(heap->fd, GCHEAP_OP_SWEEP, &sweep), "SWEEP");
	check(sweep.out_swept_spans == 1 && !sweep.out_freed_spans, "SWEEP tells what it did");
}

static void chunks_and_memory(struct heap *heap)
{
	struct gcheap_chunk_new new = REQUEST(gcheap_chunk_new);
	struct gcheap_chunk_free end = REQUEST(gcheap_chunk_free);
	struct gcheap_chunk_ready ready = REQUEST(gcheap_chunk_ready);
	struct gcheap_scavenge scavenge = REQUEST(gcheap_scavenge, .max_bytes = 1 << 30);
	struct gcheap_range ranges[4];
	struct gcheap_track track = REQUEST(gcheap_track, .range_count = 4,
					    .ranges = (__u64)(unsigned long)ranges);
	int ret;

	need(!send_op(heap->fd, GCHEAP_OP_CHUNK_NEW, &new), "CHUNK_NEW");
	end.page = new.out_page;
	ready.page = new.out_page;
	ret = send_op(heap->fd, GCHEAP_OP_TRACK, &track);
	check(ret == -EOPNOTSUPP || (!ret && track.out_end == heap->ctrl->heap_pages), "TRACK");
	check(!send_op(heap->fd, GCHEAP_OP_CHUNK_FREE, &end), "CHUNK_FREE");
	check(!send_op(heap->fd, GCHEAP_OP_CHUNK_READY, &ready), "CHUNK_READY");
	check(!send_op(heap->fd, GCHEAP_OP_SCAVENGE, &scavenge) && scavenge.out_bytes, "SCAVENGE");
}

static void figures(struct heap *heap)
{
	struct gcheap_heap_stats stats = REQUEST(gcheap_heap_stats);
	struct gcheap_counters shown;

	check(!send_op(heap->fd, GCHEAP_OP_STATS, &stats), "STATS");
	memcpy(&shown, (const void *)&heap->ctrl->counters, sizeof(shown));
	check(!memcmp(&shown, &stats.out_counters, sizeof(shown)), "STATS tells what CTRL does");
	check(shown.types == 1 && shown.large_objects == 1 && shown.spans == 1, "as it was");
	check(heap->ctrl->counters_bytes % sizeof(__u64) == 0, "CTRL tells how many there are");
#ifdef GCHEAP_LATER
	check(heap->ctrl->counters_bytes < sizeof(shown) && !shown.later_counter,
	      "a counter that is not there is 0");
	stats.later_field = 1;
	check(send_op(heap->fd, GCHEAP_OP_STATS, &stats) == -E2BIG,
	      "a field that is not known is refused unless it is 0");
#endif
}

int main(void)
{
	struct heap heap;
	__u32 page;

	printf("TAP version 13\n");
	begin(&heap);
	page = small_objects(&heap);
	large_object(&heap);
	cycle(&heap, page);
	chunks_and_memory(&heap);
	figures(&heap);
	close(heap.fd);
	printf("1..%u\n", tests);
	return failures ? 1 : 0;
}
