// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Heaps in the states that requests can find them in; see heap_states.h. */
#include <pthread.h>
#include <sys/syscall.h>

#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "heap_states.h"

#define OTHER_LARGE_BYTES	(100u << 10)

static int state_open(struct heap_state *state, __u32 flags, __u64 reserve)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.flags = flags,
		.layout = GCHEAP_LAYOUT_SPAN,
		.reserve_bytes = reserve,
	};
	int ret;

	memset(state, 0, sizeof(*state));
	state->heap.fd = device_open();
	if (state->heap.fd < 0)
		return state->heap.fd;
	ret = cmd_send(state->heap.fd, GCHEAP_OP_SETUP, &setup);
	if (!ret) {
		memcpy(state->heap.region_bytes, setup.out_region_bytes,
		       sizeof(state->heap.region_bytes));
		state->heap.layout = setup.layout;
		state->heap.flags = setup.flags;
		state->heap.reserve = setup.out_region_bytes[GCHEAP_REGION_HEAP];
		ret = heap_map(&state->heap);
	}
	if (ret)
		heap_close(&state->heap);
	return ret;
}

static int take_large(struct heap_state *state, __u32 bytes, int fill, __u32 *page)
{
	struct gcheap_alloc_large large;
	int ret = cmd_alloc_large(state->heap.fd, 0, bytes, &large);

	if (ret)
		return ret;
	memset(heap_mem(&state->heap, large.out_page), fill, bytes);
	*page = large.out_page;
	return 0;
}

/* Spans that the kernel keeps, with some slots in use, and holes between them. */
static int leave_spans(struct heap_state *state, __u32 type, __u32 size_class, __u32 count)
{
	struct gcheap_grant grants[32];
	__u32 pages[32], granted = 0;
	int ret = cmd_refill(state->heap.fd, type, size_class, ~0u, NULL, 0, grants, count,
			     &granted);

	for (__u32 i = 0; !ret && i < granted; i++) {
		pages[i] = grants[i].page;
		if (i % 3)
			slot_alloc(&state->heap, pages[i], i % grants[i].slots);
		if (i % 3 == 2)
			span_fill(&state->heap, pages[i]);
	}
	return ret ? ret : cmd_give(state->heap.fd, pages, granted);
}

static int state_use(struct heap_state *state)
{
	int fd = state->heap.fd;
	__u32 granted = 0, i;
	struct gcheap_grant grants[HEAP_STATE_CACHED];
	int ret = cmd_type_words(fd, 3, 5, &state->words);

	if (!ret)
		ret = cmd_type_words(fd, 300, 0x123456789abcdefull, &state->wide);
	if (!ret)
		ret = take_large(state, HEAP_STATE_LASTING_BYTES, 0x5c, &state->lasting);
	if (!ret)
		ret = leave_spans(state, state->words, CLASS_24, 12);
	if (!ret)
		ret = leave_spans(state, 0, CLASS_512, 12);
	for (i = 0; !ret && i < HEAP_STATE_LARGE; i++)
		ret = take_large(state, OTHER_LARGE_BYTES, 0x33, &state->large[i]);
	state->large_count = i;
	if (!ret)
		ret = cmd_refill(fd, state->words, CLASS_24, ~0u, NULL, 0, grants,
				 HEAP_STATE_CACHED, &granted);
	for (i = 0; !ret && i < granted; i++)
		state->cached[i] = grants[i].page;
	state->cached_count = granted;
	/* Memory that was used: an empty span and one with objects are freed and kept. */
	for (i = 2; !ret && i < granted; i++)
		slot_alloc(&state->heap, state->cached[i], grants[i].slots - 1);
	return ret;
}

/* The cached spans go back, and what little is marked survives. */
static int state_cycle(struct heap_state *state)
{
	int ret = cmd_mark_start(state->heap.fd, NULL);
	__u32 page;

	if (!ret)
		ret = cmd_give(state->heap.fd, state->cached, state->cached_count);
	state->cached_count = 0;
	for (page = 1; !ret && page < heap_ctrl(&state->heap)->heap_pages; page++) {
		if (span_state(&state->heap, page) == GCHEAP_SPAN_CENTRAL && page % 3)
			slot_mark(&state->heap, page, 0);
	}
	slot_mark(&state->heap, state->lasting, 0);
	slot_mark(&state->heap, state->large[0], 0);
	state->large_count = 1;
	return ret ? ret : cmd_sweep_start(state->heap.fd, NULL);
}

/* Large objects until the next one of a MiB does not fit the arena. */
static int state_fill_arena(struct heap_state *state)
{
	const __u32 end = (__u32)(GCHEAP_ARENA_BYTES >> GCHEAP_PAGE_SHIFT);
	const __u32 most = end - heap_ctrl(&state->heap)->heap_pages;
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = GCHEAP_ALLOC_LAZY,
		.count = (__u64)(most - 20) << GCHEAP_PAGE_SHIFT,
	};
	int ret = cmd_send(state->heap.fd, GCHEAP_OP_ALLOC_LARGE, &alloc);

	if (ret == -EOPNOTSUPP) {
		alloc.flags = 0;
		ret = cmd_send(state->heap.fd, GCHEAP_OP_ALLOC_LARGE, &alloc);
	}
	return ret;
}

static int state_chunks(struct heap_state *state)
{
	struct gcheap_chunk_new chunks[2];
	int ret = cmd_chunk_new(state->heap.fd, &chunks[0]);

	if (!ret)
		ret = cmd_chunk_new(state->heap.fd, &chunks[1]);
	if (!ret)
		ret = cmd_chunk_free(state->heap.fd, chunks[1].out_page);
	if (ret)
		return ret;
	state->chunk = chunks[0].out_page;
	state->quarantined = chunks[1].out_page;
	return 0;
}

static int state_track(struct heap_state *state)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	int ret = cmd_track(state->heap.fd, &track);

	for (__u32 i = 0; !ret && i < state->cached_count; i += 2)
		*heap_mem(&state->heap, state->cached[i]) = 1;
	return ret;
}

int heap_state_build(enum heap_state_kind kind, struct heap_state *state)
{
	__u64 reserve = kind == HEAP_STATE_HUGE ? 4 * SMALL_RESERVE : 2 * SMALL_RESERVE;
	__u32 flags = 0;
	int ret;

	if (kind == HEAP_STATE_HUGE)
		flags = GCHEAP_SETUP_HUGE_PAGES;
	if (kind == HEAP_STATE_FAULT_FREED)
		flags = GCHEAP_SETUP_FAULT_FREED;
	ret = state_open(state, flags, reserve);
	if (ret || kind == HEAP_STATE_NEW)
		return ret;
	ret = state_use(state);
	if (!ret) {
		switch (kind) {
		case HEAP_STATE_MARKING:
			ret = cmd_mark_start(state->heap.fd, NULL);
			if (!ret)
				ret = cmd_give(state->heap.fd, state->cached, state->cached_count);
			state->cached_count = 0;
			break;
		case HEAP_STATE_UNSWEPT:
		case HEAP_STATE_FAULT_FREED:
			ret = state_cycle(state);
			break;
		case HEAP_STATE_ARENA_END:
			ret = state_fill_arena(state);
			break;
		case HEAP_STATE_UNMAPPED:
			if (munmap(state->heap.region[GCHEAP_REGION_HEAP], state->heap.reserve))
				ret = -errno;
			state->heap.region[GCHEAP_REGION_HEAP] = NULL;
			break;
		case HEAP_STATE_CHUNKS:
			ret = state_chunks(state);
			break;
		case HEAP_STATE_TRACKED:
			ret = state_track(state);
			break;
		default:
			break;
		}
	}
	if (ret)
		heap_close(&state->heap);
	return ret;
}

void heap_state_destroy(struct heap_state *state)
{
	heap_close(&state->heap);
}

/* ---- requests --------------------------------------------------------------- */

static void refill_much(const struct heap_state *state, struct state_request *request)
{
	struct gcheap_refill *refill = &request->args.refill;

	memcpy(request->returns, state->cached, sizeof(request->returns));
	refill->type = state->words;
	refill->size_class = state->words ? CLASS_24 : CLASS_1024;
	refill->want_bytes = 100000;
	refill->return_count = state->cached_count;
	refill->returns = (uintptr_t)request->returns;
	refill->grant_count = ARRAY_SIZE(request->grants);
	refill->grants = (uintptr_t)request->grants;
}

static void *sleeper_main(void *arg)
{
	*(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

/* A thread of this process that sleeps for ever; 0: it cannot be made. */
static pid_t sleeper(void)
{
	static volatile pid_t tid;
	static pid_t process;
	pthread_t thread;

	if (process == getpid())
		return tid;
	tid = 0;
	if (pthread_create(&thread, NULL, sleeper_main, (void *)&tid))
		return 0;
	while (!tid)
		sched_yield();
	process = getpid();
	return tid;
}

bool heap_state_request(const struct heap_state *state, unsigned int op,
			struct state_request *request)
{
	union any_request *args = &request->args;

	memset(request, 0, sizeof(*request));
	request_valid(op, args, request->grants);
	switch (op) {
	case GCHEAP_OP_TYPE_ADD:
		memset(request->mask, 0x55, sizeof(request->mask));
		memset(request->name, 'n', sizeof(request->name));
		args->type_add.bytes = 64 * sizeof(request->mask);
		args->type_add.ptr_bytes = args->type_add.bytes;
		args->type_add.ptr_mask = (uintptr_t)request->mask;
		args->type_add.name = (uintptr_t)request->name;
		args->type_add.name_bytes = sizeof(request->name);
		return true;
	case GCHEAP_OP_REFILL:
		refill_much(state, request);
		return true;
	case GCHEAP_OP_ALLOC_LARGE:
		args->alloc_large.type = state->wide;
		args->alloc_large.count = state->wide ? 150 : 300000;
		return true;
	case GCHEAP_OP_SWEEP:
		args->sweep.max_spans = 1000;
		return true;
	case GCHEAP_OP_FREE_LARGE:
		args->free_large.page = state->large[0];
		return state->large_count;
	case GCHEAP_OP_RECLAIM:
		args->reclaim.max_pages = 1000;
		return true;
	case GCHEAP_OP_SCAVENGE:
		args->scavenge.max_bytes = ~0ull;
		return true;
	case GCHEAP_OP_CHUNK_FREE:
		args->chunk_free.page = state->chunk;
		return state->chunk;
	case GCHEAP_OP_CHUNK_READY:
		args->chunk_ready.page = state->quarantined;
		return state->quarantined;
	case GCHEAP_OP_TRACK:
		args->track.ranges = (uintptr_t)request->ranges;
		args->track.range_count = ARRAY_SIZE(request->ranges);
		return true;
	case GCHEAP_OP_STOP:
		request->tid = sleeper();
		args->stop.tids = (uintptr_t)&request->tid;
		args->stop.stopped = (uintptr_t)&request->stopped;
		args->stop.count = 1;
		args->stop.stopped_bytes = sizeof(request->stopped);
		return request->tid;
	case GCHEAP_OP_RESUME:
		/* Nothing in it can fail. */
		return false;
	default:
		return true;
	}
}
