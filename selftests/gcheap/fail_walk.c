// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Walks through the failures that a request can meet; see fail_walk.h. */
#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "gcheap_ring.h"
#include "heap_states.h"
#include "fault_injection.h"
#include "fail_walk.h"

/* ---- what a request may leave ----------------------------------------------- */

/*
 * What a request that fails must leave as it was: all that the owner knows of the
 * heap. The heap may have become longer, and swept spans that it would have swept
 * anyway; both are then seen in the counters that are not looked at.
 */
struct known {
	__u64 counters[10];
	__u32 generation, phase, mark_table;
	__u32 swept;	/* all is: central spans count, too */
	__u64 spans_sum;
	__u64 objects_sum;
};

static __u64 sum_add(__u64 sum, __u64 value)
{
	return (sum ^ value) * 0x100000001b3ull + (sum >> 47);
}

/* @before: what was known before the request, or NULL */
static void known_take(const struct test_heap *heap, __u32 pages, const struct known *before,
		       struct known *known)
{
	const struct gcheap_ctrl *ctrl = heap_ctrl(heap);
	const struct gcheap_counters *now = &ctrl->counters;
	bool swept = before ? before->swept : !now->unswept_spans;

	*known = (struct known){
		.counters = {
			now->cached_spans, now->refills, now->refilled_spans, now->large_objects,
			now->types, now->chunks, now->quarantined_pages, now->tracks,
			swept ? now->spans : 0, swept ? now->in_use_pages : 0,
		},
		.generation = ctrl->generation,
		.phase = ctrl->phase,
		.mark_table = ctrl->mark_table,
		.swept = swept,
	};
	for (__u32 page = 1; page < pages; page++) {
		const struct gcheap_span *span = heap_span(heap, page);
		__u32 state = span_state(heap, page);

		if (state != GCHEAP_SPAN_CACHED && state != GCHEAP_SPAN_LARGE &&
		    state != GCHEAP_SPAN_CHUNK && state != GCHEAP_SPAN_QUARANTINE &&
		    (state != GCHEAP_SPAN_CENTRAL || !swept))
			continue;
		known->spans_sum = sum_add(known->spans_sum, page);
		known->spans_sum = sum_add(known->spans_sum, state << 8 | span->span_class);
		known->spans_sum = sum_add(known->spans_sum, span->npages);
		known->spans_sum = sum_add(known->spans_sum, span->type);
		known->spans_sum = sum_add(known->spans_sum, span->ptr_mask);
		if (state == GCHEAP_SPAN_CACHED || state == GCHEAP_SPAN_CENTRAL)
			known->objects_sum = sum_add(known->objects_sum,
						     slots_allocated(heap, page));
	}
}

static bool known_same(const struct known *a, const struct known *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Whether a request may end with this when memory, or a copy, fails. */
static bool errno_may(enum failure failure, int ret)
{
	return !ret || ret == -ENOMEM || (failure == FAIL_COPY && ret == -EFAULT);
}

/* ---- requests ---------------------------------------------------------------- */

/*
 * Whether a state has something for a request that others have not: what SETUP finds is
 * the same in all, and to map eight MiB again and again takes most of the time.
 */
static bool walk_is_new(const struct walk *walk)
{
	switch (walk->op) {
	case GCHEAP_OP_SETUP:
		return walk->kind == HEAP_STATE_NEW;
	case GCHEAP_OP_TYPE_ADD:
		return walk->kind == HEAP_STATE_NEW || walk->kind == HEAP_STATE_USED;
	case GCHEAP_OP_CHUNK_NEW:
		return walk->kind == HEAP_STATE_NEW || walk->kind == HEAP_STATE_UNMAPPED ||
		       walk->kind == HEAP_STATE_HUGE;
	case GCHEAP_OP_CHUNK_FREE:
	case GCHEAP_OP_CHUNK_READY:
	case GCHEAP_OP_SWEEP_START:
	case GCHEAP_OP_SCAVENGE:
		return true;
	default:
		return walk->kind != HEAP_STATE_CHUNKS;
	}
}

static int walk_send(struct walk *walk, int fd, void *request)
{
	unsigned int flags = walk->ring ? walk->ring->flags : 0;
	int ret;

	if (!walk->ring)
		return cmd_send(fd, walk->op, request);
	ret = ring_send(walk->ring, fd, walk->op, request, walk->worker ? IOSQE_ASYNC : 0);
	/* Memory for the entry itself: it is still in the queue. */
	if (ret == -EAGAIN) {
		ring_close(walk->ring);
		ret = ring_open(walk->ring, 8, flags);
		if (!ret)
			ret = -ENOMEM;
	}
	/* No worker could be made for it: it was not begun. */
	return ret == -ECANCELED ? -ENOMEM : ret;
}

static bool walk_begin(struct walk *walk, unsigned int n)
{
	if (!walk->worker)
		return failure_begin(walk->failure, n);
	copies_fail(walk->failure == FAIL_COPY);
	nth_set_in(walk->worker, n);
	return true;
}

static bool walk_end(struct walk *walk)
{
	return walk->worker ? nth_fired_in(walk->worker) : failure_end(walk->failure);
}

/* The heap is made anew each time that the request did something to it. */
const char *walk_request(struct walk *walk)
{
	static struct heap_state state;
	static struct state_request request;
	const enum failure failure = walk->failure;
	bool built = false, done = false;
	unsigned int n;

	if (!walk_is_new(walk))
		return NULL;
	/* Each single one; where all after it fail too, the tenth is much like the ninth. */
	for (n = 1; n <= WALK_MOST && !done; n += failure <= FAIL_COPY || n < 10 ? 1 : 1 + n / 8) {
		struct known before, after;
		const char *error;
		bool fired, same;
		__u32 pages;
		int ret;

		if (!built) {
			ret = heap_state_build(walk->kind, &state);
			if (ret)
				return wrong("the heap's state: errno %d", -ret);
			built = true;
		}
		if (!heap_state_request(&state, walk->op, &request))
			break;
		if (walk->op == GCHEAP_OP_SETUP) {
			heap_unmap(&state.heap);
			close(state.heap.fd);
			state.heap.fd = device_open();
			pages = 0;
		} else {
			pages = heap_ctrl(&state.heap)->heap_pages;
			known_take(&state.heap, pages, NULL, &before);
		}

		if (!walk_begin(walk, n))
			return "cannot make it fail";
		ret = walk_send(walk, state.heap.fd, &request.args);
		fired = walk_end(walk);

		/* Not in this module, or not in this state, whatever fails. */
		if ((ret == -EOPNOTSUPP || ret == -EBUSY || ret == -EINVAL) && !walk->no_memory)
			break;
		walk->no_memory |= ret == -ENOMEM;
		if (!errno_may(failure, ret))
			return wrong("n %u: errno %d", n, -ret);
		/* Pages and slab objects do not tell; the call succeeds when they are enough. */
		done = failure <= FAIL_COPY ? !fired : !ret;
		walk->ways += !done;
		if (failure <= FAIL_COPY && !fired && ret)
			return wrong("n %u: errno %d, and nothing failed", n, -ret);
		walk->errors += ret != 0;
		if (walk->op == GCHEAP_OP_SETUP) {
			/* It can be done again, when it was not. */
			if (ret && ret != -EFAULT) {
				ret = heap_setup(&state.heap, GCHEAP_LAYOUT_SPAN,
						 SMALL_RESERVE);
				if (ret)
					return wrong("n %u: again: errno %d", n, -ret);
			}
			heap_state_destroy(&state);
			built = false;
			continue;
		}
		known_take(&state.heap, pages, &before, &after);
		same = known_same(&before, &after);
		/* The answer is copied out when all is done: the owner sees it in the tables. */
		if (ret && ret != -EFAULT && !same)
			return wrong("n %u: errno %d, and the heap is another", n, -ret);
		if (state.heap.region[GCHEAP_REGION_HEAP] &&
		    state.lasting && !memory_is(heap_mem(&state.heap, state.lasting), 0x5c,
						HEAP_STATE_LASTING_BYTES))
			return wrong("n %u: an object is not what it was", n);
		error = heap_wrong(&state.heap);
		if (error)
			return error;
		if (!ret || !same) {
			/* And works, after all this. */
			ret = cmd_alloc_large(state.heap.fd, 0, 100000, NULL);
			if (ret)
				return wrong("n %u: ALLOC_LARGE after it: errno %d", n, -ret);
			heap_state_destroy(&state);
			built = false;
		}
	}
	if (n > WALK_MOST)
		return "no end";
	if (built) {
		int ret = 0;

		if (heap_ctrl(&state.heap)->phase == GCHEAP_PHASE_IDLE)
			ret = cmd_mark_start(state.heap.fd, NULL);
		if (!ret)
			ret = cmd_alloc_large(state.heap.fd, 0, 100000, NULL);
		heap_state_destroy(&state);
		if (ret)
			return wrong("the heap works no more: errno %d", -ret);
	}
	return NULL;
}
