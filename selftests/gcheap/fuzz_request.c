// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Requests of the ABI fuzzer; see fuzz_abi.h. */
#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "fuzz_abi.h"

static const char *const names[GCHEAP_OPS] = {
	"SETUP", "TYPE_ADD", "REFILL", "ALLOC_LARGE", "MARK_START", "SWEEP_START", "SWEEP",
	"STATS", "FREE_LARGE", "RECLAIM", "SCAVENGE", "CHUNK_NEW", "CHUNK_FREE", "CHUNK_READY",
	"TRACK", "STOP", "RESUME",
};

/* Whether an errno is among those that the interface documents for a request. */
static bool errno_documented(const struct fuzz_heap *fh, unsigned int op, int err)
{
	switch (err) {
	case 0:
	case EINVAL:
	case E2BIG:
	case EOPNOTSUPP:
	case EFAULT:
	case ENOMEM:
		return op < GCHEAP_OPS;
	case ENXIO:
		return !fh->set_up;
	case ENOTTY:
		return op >= GCHEAP_OPS;
	case ENOSPC:
	case ERANGE:
	case EFBIG:
	case EDOM:
	case ENOTUNIQ:
	case ENAMETOOLONG:
	case EILSEQ:
		return op == GCHEAP_OP_TYPE_ADD;
	case EOVERFLOW:
		return op == GCHEAP_OP_REFILL || op == GCHEAP_OP_ALLOC_LARGE ||
		       op == GCHEAP_OP_TRACK || op == GCHEAP_OP_STOP;
	case ESRCH:
		return op == GCHEAP_OP_STOP;
	case ETIMEDOUT:
		return op == GCHEAP_OP_STOP || op == GCHEAP_OP_RESUME;
	case EBUSY:
		return op == GCHEAP_OP_SETUP || op == GCHEAP_OP_MARK_START ||
		       op == GCHEAP_OP_SWEEP_START || op == GCHEAP_OP_FREE_LARGE ||
		       op == GCHEAP_OP_CHUNK_FREE || op == GCHEAP_OP_CHUNK_READY ||
		       op == GCHEAP_OP_STOP || op == GCHEAP_OP_RESUME;
	default:
		return false;
	}
}

static int send_request(struct fuzz_heap *fh, unsigned int op, void *request)
{
	int ret = fuzz_send(fh->heap.fd, op, request);

	__atomic_fetch_add(&fuzz_log->requests, 1, __ATOMIC_RELAXED);
	if (ret)
		__atomic_fetch_add(&fuzz_log->refused, 1, __ATOMIC_RELAXED);
	if (!errno_documented(fh, op, -ret))
		fuzz_fail("%s: errno %d", op < GCHEAP_OPS ? names[op] : "an unknown request", -ret);
	return ret;
}

/*
 * A request by the rules: it works, or fails as expected (0: it has to work), or
 * for want of memory. With other threads at the heap any documented errno is fine.
 */
static int send_right(struct fuzz_heap *fh, unsigned int op, void *request, int expected)
{
	int ret = send_request(fh, op, request);

	fuzz_note("%s: %d", names[op], -ret);
	if (fuzz_alone && ret != -ENOMEM && ret != -expected)
		fuzz_fail("%s: errno %d, not %d", names[op], -ret, expected);
	return ret;
}

/* ---- requests by the rules ---------------------------------------------------- */

static void right_type_add(struct fuzz_heap *fh, struct rng *rng)
{
	__u32 words = 1 + rng_below(rng, one_in(rng, 4) ? 4000 : 60), type = 0;
	__u8 mask[512] = { 0 };
	struct gcheap_type_add add = {
		.size = sizeof(add),
		.bytes = 8ull * words,
		.align = 8,
		.name_bytes = rng_below(rng, 20),
		.name = (uintptr_t)"a type of this fuzzer",
	};
	bool pointers = !one_in(rng, 4);

	if (fh->type_count + 1 >= FUZZ_TYPES)
		return;
	if (pointers) {
		__u32 ptr_words = 1 + rng_below(rng, words);

		for (__u32 i = 0; i < ptr_words; i++)
			mask[i / 8] |= (__u8)(rng_below(rng, 2) << i % 8);
		add.ptr_bytes = 8ull * ptr_words;
		add.ptr_mask = (uintptr_t)mask;
	}
	if (send_right(fh, GCHEAP_OP_TYPE_ADD, &add, 0))
		return;
	type = add.out_type;
	if (fuzz_alone && type != fh->type_count + 1)
		fuzz_fail("type %u after %u types", type, fh->type_count);
	fh->type_count++;
	if (type < FUZZ_TYPES) {
		fh->types[type] = words;
		fh->noscan[type] = !pointers;
	}
}

/* The kind of what REFILL gives for a type, or for bytes: @type is 0. */
static __u32 refill_kind(const struct fuzz_heap *fh, __u32 class, __u32 type, bool mixed)
{
	bool noscan = !type || fh->noscan[type];

	if (!type || !(fh->flags & GCHEAP_SETUP_RECORD_TYPES))
		return kind_of(mixed ? GCHEAP_LAYOUT_HEADER : fh->heap.layout, class, noscan);
	switch (fh->heap.layout) {
	case GCHEAP_LAYOUT_SPAN:
		if (mixed)
			return GCHEAP_KIND_HEADER;
		return noscan ? GCHEAP_KIND_TYPE : kind_of(GCHEAP_LAYOUT_SPAN, class, false);
	case GCHEAP_LAYOUT_HEADER:
		return GCHEAP_KIND_HEADER;
	case GCHEAP_LAYOUT_FOOTER:
		return GCHEAP_KIND_FOOTER;
	default:
		return GCHEAP_KIND_BITMAP;
	}
}

/* Of a grant: what is wrong; spans of one type tell it. */
static const char *grant_wrong(const struct fuzz_heap *fh, const struct gcheap_refill *refill,
			       const struct gcheap_grant *grant)
{
	bool noscan = !refill->type || fh->noscan[refill->type];
	__u32 kind = refill_kind(fh, refill->size_class, refill->type, refill->flags);
	bool tells = kind == GCHEAP_KIND_TYPE ||
		     (kind == GCHEAP_KIND_MASK && fh->flags & GCHEAP_SETUP_RECORD_TYPES);
	const char *error = span_of_kind_wrong(&fh->heap, grant, refill->size_class, noscan, kind);

	if (!error && heap_span(&fh->heap, grant->page)->type != (tells ? refill->type : 0))
		error = "another type";
	return error;
}

static void right_refill(struct fuzz_heap *fh, struct rng *rng)
{
	__u32 class = SIZE_CLASS_MIN + rng_below(rng, SIZE_CLASSES - SIZE_CLASS_MIN);
	__u32 type = fh->type_count ? rng_below(rng, fh->type_count + 1) : 0;
	struct gcheap_grant grants[32];
	__u32 returns[32], returned = 0;
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.size_class = class,
		.grant_count = 1 + rng_below(rng, 32),
		.grants = (uintptr_t)grants,
		.returns = (uintptr_t)returns,
	};
	__u32 most = rng_below(rng, 32);

	/* What the layout adds is at most a word. */
	if (type < FUZZ_TYPES && fh->types[type] &&
	    8 * fh->types[type] + 8 <= size_classes[class].bytes)
		refill.type = type;
	if (fh->heap.layout == GCHEAP_LAYOUT_SPAN && one_in(rng, 3))
		refill.flags = GCHEAP_REFILL_MIXED;
	if (fh->cached.count < FUZZ_SPANS - 32 && !one_in(rng, 8))
		refill.want_bytes = one_in(rng, 3) ? 1 : rng_below(rng, 1 << 18) + 1;
	for (; returned < most && fh->cached.count; returned++) {
		returns[returned] = fuzz_set_pick(&fh->cached, rng);
		fuzz_set_remove(&fh->cached, returns[returned]);
	}
	refill.return_count = returned;
	if (send_right(fh, GCHEAP_OP_REFILL, &refill, 0)) {
		for (__u32 i = 0; i < returned; i++)
			fuzz_set_add(&fh->cached, returns[i]);
		return;
	}
	for (__u32 i = 0; i < returned; i++)
		fuzz_forget_stamp(fh, returns[i], 1);
	if (refill.want_bytes && (!refill.out_granted || refill.out_granted > refill.grant_count))
		fuzz_fail("REFILL: %u spans granted, for %u", refill.out_granted,
			  refill.grant_count);
	for (__u32 i = 0; i < refill.out_granted; i++) {
		__u32 page = grants[i].page;

		if (fuzz_alone && !fh->wild) {
			const char *error = grant_wrong(fh, &refill, &grants[i]);

			if (error)
				fuzz_fail("REFILL: %s", error);
		}
		fuzz_set_add(&fh->cached, page);
		fuzz_write_stamp(fh, page);
		if (!fh->wild && one_in(rng, 2))
			slot_alloc(&fh->heap, page, rng_below(rng, grants[i].slots));
		if (!fh->wild && one_in(rng, 8))
			span_fill(&fh->heap, page);
	}
}

static void right_alloc_large(struct fuzz_heap *fh, struct rng *rng)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.count = 1 + rng_below(rng, one_in(rng, 8) ? 6 << 20 : 300000),
	};
	__u32 type = fh->type_count ? rng_below(rng, fh->type_count + 1) : 0;
	__u64 bytes = alloc.count;
	const char *error;

	if (fh->large.count >= FUZZ_SPANS - 1)
		return;
	if (type < FUZZ_TYPES && fh->types[type]) {
		alloc.type = type;
		alloc.count = 1 + alloc.count / (8 * fh->types[type]);
		bytes = 8 * fh->types[type] * alloc.count;
	}
	if (one_in(rng, 10)) {
		alloc.flags = GCHEAP_ALLOC_LAZY;
		if (send_request(fh, GCHEAP_OP_ALLOC_LARGE, &alloc))
			return;
	} else if (send_right(fh, GCHEAP_OP_ALLOC_LARGE, &alloc, 0)) {
		return;
	}
	error = fuzz_alone && !fh->wild ?
		large_wrong(&fh->heap, &alloc, bytes, !alloc.type || fh->noscan[alloc.type]) :
		NULL;
	if (error)
		fuzz_fail("ALLOC_LARGE: %s", error);
	fuzz_set_add(&fh->large, alloc.out_page);
	if (!(alloc.flags & GCHEAP_ALLOC_LAZY))
		fuzz_write_stamp(fh, alloc.out_page);
}

static void right_mark_start(struct fuzz_heap *fh)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };

	if (!send_right(fh, GCHEAP_OP_MARK_START, &start, fh->marking ? EBUSY : 0))
		fh->marking = true;
}

/* Ends a cycle, after all that lives was marked. */
static void right_sweep_start(struct fuzz_heap *fh, struct rng *rng)
{
	struct gcheap_sweep_start start = { .size = sizeof(start) };
	int expected = !fh->marking ? EINVAL : fh->cached.count ? EBUSY : 0;

	if (fh->marking && fuzz_alone) {
		struct fuzz_set dead = { 0 };

		for (__u32 i = 0; i < fh->large.count; i++) {
			if (one_in(rng, 3))
				fuzz_set_add(&dead, fh->large.page[i]);
			else
				slot_mark(&fh->heap, fh->large.page[i], 0);
		}
		for (__u32 i = 0; !expected && i < dead.count; i++) {
			fuzz_set_remove(&fh->large, dead.page[i]);
			fuzz_forget_stamp(fh, dead.page[i], 1);
		}
		if (expected) {
			for (__u32 i = 0; i < dead.count; i++)
				slot_mark(&fh->heap, dead.page[i], 0);
		}
	}
	if (one_in(rng, 3))
		start.goal_bytes = rng_next(rng) >> rng_below(rng, 64);
	if (one_in(rng, 3)) {
		start.flags = GCHEAP_SWEEP_START_LAZY;
		if (send_request(fh, GCHEAP_OP_SWEEP_START, &start) != -EOPNOTSUPP) {
			fuzz_note("SWEEP_START, lazy");
			goto done;
		}
		start.flags = 0;
	}
	send_right(fh, GCHEAP_OP_SWEEP_START, &start, expected);
done:
	fh->marking = heap_ctrl(&fh->heap)->phase == GCHEAP_PHASE_MARK;
	if (fuzz_alone && !expected && fh->marking)
		fuzz_fail("SWEEP_START: the cycle is not over");
}

static void right_free_large(struct fuzz_heap *fh, struct rng *rng)
{
	struct gcheap_free_large request = { .size = sizeof(request) };

	request.page = fuzz_set_pick(&fh->large, rng);
	if (!request.page)
		return;
	if (!fuzz_alone)
		fuzz_set_remove(&fh->large, request.page);
	fuzz_forget_stamp(fh, request.page, 1);
	if (!send_right(fh, GCHEAP_OP_FREE_LARGE, &request, fh->marking ? EBUSY : 0))
		fuzz_set_remove(&fh->large, request.page);
}

static void right_bounded(struct fuzz_heap *fh, struct rng *rng, unsigned int op)
{
	union any_request request;
	struct gcheap_grant grant;

	request_valid(op, &request, &grant);
	/* All three have the bound at the same place. */
	request.sweep.max_spans = 1 + (rng_next(rng) >> rng_below(rng, 64));
	if (!request.sweep.max_spans)
		request.sweep.max_spans = 1;
	if (send_request(fh, op, &request) == -EINVAL)
		fuzz_fail("%s: EINVAL", names[op]);
	fuzz_note("%s", names[op]);
}

static void right_chunk(struct fuzz_heap *fh, struct rng *rng)
{
	struct gcheap_chunk_new new = { .size = sizeof(new) };
	struct gcheap_chunk_free free = { .size = sizeof(free) };
	struct gcheap_chunk_ready ready = { .size = sizeof(ready) };

	if (!(fuzz_features & GCHEAP_FEATURE_CHUNKS))
		return;
	switch (rng_below(rng, 3)) {
	case 0:
		if (fh->chunks.count + fh->quarantined.count >= 4 ||
		    send_right(fh, GCHEAP_OP_CHUNK_NEW, &new, 0))
			break;
		if (new.out_page % (GCHEAP_CHUNK_BYTES >> GCHEAP_PAGE_SHIFT))
			fuzz_fail("CHUNK_NEW: a chunk at page %u", new.out_page);
		fuzz_set_add(&fh->chunks, new.out_page);
		fuzz_write_stamp(fh, new.out_page);
		break;
	case 1:
		free.page = fuzz_set_pick(&fh->chunks, rng);
		if (!free.page || send_right(fh, GCHEAP_OP_CHUNK_FREE, &free, 0))
			break;
		fuzz_set_remove(&fh->chunks, free.page);
		fuzz_forget_stamp(fh, free.page, 1);
		fuzz_set_add(&fh->quarantined, free.page);
		if (fuzz_alone && fuzz_access(heap_mem(&fh->heap, free.page), true) != SIGBUS)
			fuzz_fail("the chunk at page %u was freed and does not fault", free.page);
		break;
	case 2:
		ready.page = fuzz_set_pick(&fh->quarantined, rng);
		if (!ready.page ||
		    send_right(fh, GCHEAP_OP_CHUNK_READY, &ready, fh->marking ? EBUSY : 0))
			break;
		fuzz_set_remove(&fh->quarantined, ready.page);
		break;
	}
}

/* No write is lost: each page that was written, of a span with pointers, is reported. */
static void track_check(struct fuzz_heap *fh, const struct gcheap_track *track,
			const struct gcheap_range *ranges)
{
	static __u64 found[FUZZ_PAGES / 64];
	__u32 end = track->out_end < FUZZ_PAGES ? track->out_end : FUZZ_PAGES;

	memset(found, 0, sizeof(found));
	for (__u32 r = 0; r < track->out_range_count; r++) {
		for (__u32 i = 0; i < ranges[r].npages && ranges[r].page + i < FUZZ_PAGES; i++)
			bit_set(found, ranges[r].page + i);
	}
	for (__u32 page = 1; page < end; page++) {
		__u64 info = heap_info(&fh->heap, page);
		bool scanned = info && !(info & GCHEAP_PAGE_NOSCAN);

		if (!bit_test(fh->dirty, page))
			continue;
		if (scanned && fh->tracking && !bit_test(found, page))
			fuzz_fail("TRACK: page %u was written and is not reported", page);
		if (!(track->flags & GCHEAP_TRACK_PEEK))
			bit_clear(fh->dirty, page);
	}
}

static void right_track(struct fuzz_heap *fh, struct rng *rng)
{
	static struct gcheap_range ranges[4096];
	struct gcheap_track track = {
		.size = sizeof(track),
		.ranges = (uintptr_t)ranges,
		.range_count = ARRAY_SIZE(ranges),
	};

	if (!(fuzz_features & GCHEAP_FEATURE_TRACK) || !fuzz_alone)
		return;
	if (fh->flags & GCHEAP_SETUP_SNAPSHOTS && one_in(rng, 2)) {
		track.flags = GCHEAP_TRACK_PROTECT;
	} else {
		if (one_in(rng, 2))
			track.flags |= GCHEAP_TRACK_BITMAP;
		if (one_in(rng, 4))
			track.flags |= GCHEAP_TRACK_PEEK;
	}
	if (send_right(fh, GCHEAP_OP_TRACK, &track, 0))
		return;
	track_check(fh, &track, ranges);
	fh->tracking = true;
}

static void right_setup_again(struct fuzz_heap *fh)
{
	struct gcheap_setup setup = { .size = sizeof(setup) };

	send_right(fh, GCHEAP_OP_SETUP, &setup, EBUSY);
}

static void right_stats(struct fuzz_heap *fh)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };

	send_right(fh, GCHEAP_OP_STATS, &stats, 0);
}

void fuzz_request_right(struct fuzz_heap *fh, struct rng *rng)
{
	switch (rng_below(rng, 24)) {
	case 0:
		right_type_add(fh, rng);
		break;
	case 1 ... 7:
		right_refill(fh, rng);
		break;
	case 8 ... 10:
		right_alloc_large(fh, rng);
		break;
	case 11:
	case 12:
		right_mark_start(fh);
		break;
	case 13 ... 15:
		right_sweep_start(fh, rng);
		break;
	case 16:
		right_bounded(fh, rng, GCHEAP_OP_SWEEP);
		break;
	case 17:
		if (fuzz_features & GCHEAP_FEATURE_CHUNKS)
			right_bounded(fh, rng, GCHEAP_OP_RECLAIM);
		break;
	case 18:
		right_bounded(fh, rng, GCHEAP_OP_SCAVENGE);
		break;
	case 19:
		right_free_large(fh, rng);
		break;
	case 20:
	case 21:
		right_chunk(fh, rng);
		break;
	case 22:
		right_track(fh, rng);
		break;
	case 23:
		if (one_in(rng, 2))
			right_setup_again(fh);
		else
			right_stats(fh);
		break;
	}
}

/* ---- mutated requests ----------------------------------------------------------- */

/* A number of the kind that goes wrong. */
static __u64 odd_number(const struct fuzz_heap *fh, struct rng *rng)
{
	static const __u64 edges[] = {
		0, 1, 2, 7, 8, 9, 15, 16, 63, 64, 65, 67, 68, 127, 128, 255, 256, 257, 4095, 4096,
		4097, 8191, 8192, 8193, 65535, 65536, 65537, 1u << 26, 0x7fffffff, 0x80000000,
		0xffffffff, 1ull << 32, (1ull << 36) - 1, 1ull << 36, 1ull << 40, 1ull << 47,
		~0ull >> 1, 1ull << 63, ~0ull, ~0ull - 7, ~0ull - 4095,
	};

	switch (rng_below(rng, 6)) {
	case 0:
		return fuzz_set_pick(&fh->cached, rng);
	case 1:
		return fuzz_set_pick(&fh->large, rng) + rng_below(rng, 2);
	case 2:
		return fuzz_set_pick(one_in(rng, 2) ? &fh->chunks : &fh->quarantined, rng);
	case 3:
		return edges[rng_below(rng, ARRAY_SIZE(edges))];
	case 4:
		return rng_below(rng, fh->heap.region[GCHEAP_REGION_CTRL] ?
				 heap_ctrl(&fh->heap)->heap_pages + 2 : 100);
	default:
		return rng_next(rng) >> rng_below(rng, 64);
	}
}

/* An address: of good memory, bad memory, or the heap's own. */
static __u64 odd_address(struct fuzz_heap *fh, struct rng *rng)
{
	static char good[8192];
	__u32 region = rng_below(rng, GCHEAP_REGIONS);

	switch (rng_below(rng, 8)) {
	case 0:
		return 0;
	case 1:
		return 0xffff888000000000ull + rng_below(rng, 1 << 20);
	case 2:
		return rng_next(rng);
	case 3:
		/* A region, also where it is not backed or read-only. */
		return (uintptr_t)fh->heap.region[region] +
		       rng_next(rng) % (fh->heap.region_bytes[region] | 1);
	case 4:
		/* CTRL and SPANS are read-only: no request writes into them. */
		return (uintptr_t)fh->heap.region[GCHEAP_REGION_CTRL];
	default:
		memset(good, (int)rng_below(rng, 256), 64);
		return (uintptr_t)good + rng_below(rng, 64);
	}
}

/* Which of a request's 64-bit words are addresses. */
static bool is_address(unsigned int op, size_t offset)
{
	switch (op) {
	case GCHEAP_OP_TYPE_ADD:
		return offset == offsetof(struct gcheap_type_add, name) ||
		       offset == offsetof(struct gcheap_type_add, ptr_mask) ||
		       offset == offsetof(struct gcheap_type_add, gc_prog);
	case GCHEAP_OP_REFILL:
		return offset == offsetof(struct gcheap_refill, returns) ||
		       offset == offsetof(struct gcheap_refill, grants);
	case GCHEAP_OP_TRACK:
		return offset == offsetof(struct gcheap_track, ranges);
	case GCHEAP_OP_STOP:
		return offset == offsetof(struct gcheap_stop, tids) ||
		       offset == offsetof(struct gcheap_stop, stopped);
	default:
		return false;
	}
}

static void mutate(struct fuzz_heap *fh, struct rng *rng, unsigned int op,
		   union any_request *request)
{
	__u32 bytes = request_bytes(op);
	size_t offset = 4 * rng_below(rng, bytes / 4);
	__u64 value;

	if (is_address(op, offset) || is_address(op, offset - 4)) {
		offset &= ~7ul;
		value = odd_address(fh, rng);
		memcpy(request->bytes + offset, &value, 8);
		return;
	}
	switch (rng_below(rng, 5)) {
	case 0:
		request->bytes[rng_below(rng, bytes)] ^= (__u8)(1u << rng_below(rng, 8));
		break;
	case 1:
		/* Sizes: prefixes, and tails. */
		request->size = one_in(rng, 3) ? (__u32)odd_number(fh, rng) :
			rng_below(rng, bytes + 32);
		break;
	case 2:
		request->flags = (__u32)rng_next(rng) >> rng_below(rng, 32);
		break;
	default:
		value = odd_number(fh, rng);
		memcpy(request->bytes + offset, &value, one_in(rng, 2) && offset % 8 == 0 ? 8 : 4);
		break;
	}
}

/* Some at a time, in any order if they are not linked; each has an errno that it may have. */
static void mutated_together(struct fuzz_heap *fh, struct rng *rng)
{
	static __thread struct gcheap_grant grants[4][GCHEAP_REFILL_MAX];
	static __thread union any_request requests[4];
	unsigned int ops[4];
	__u32 count = 2 + rng_below(rng, 3);
	int results[4];

	for (__u32 i = 0; i < count; i++) {
		do {
			ops[i] = rng_below(rng, GCHEAP_OPS);
		} while (ops[i] == GCHEAP_OP_ALLOC_LARGE || ops[i] == GCHEAP_OP_SWEEP_START ||
			 ops[i] == GCHEAP_OP_MARK_START);
		request_valid(ops[i], &requests[i], grants[i]);
		if (one_in(rng, 2))
			mutate(fh, rng, ops[i], &requests[i]);
	}
	count = fuzz_send_many(fh->heap.fd, ops, requests, count, results);
	for (__u32 i = 0; i < count; i++) {
		__atomic_fetch_add(&fuzz_log->requests, 1, __ATOMIC_RELAXED);
		if (results[i] != -ECANCELED && !errno_documented(fh, ops[i], -results[i]))
			fuzz_fail("%s, %u of %u: errno %d", names[ops[i]], i, count, -results[i]);
	}
	fuzz_note("%u at a time", count);
	if (fuzz_alone)
		fuzz_heap_resync(fh);
}

void fuzz_request_settle(struct fuzz_heap *fh)
{
	struct gcheap_reclaim all = { .size = sizeof(all), .max_pages = ~0ull };

	send_request(fh, GCHEAP_OP_RECLAIM, &all);
	if (fuzz_alone)
		fuzz_heap_resync(fh);
}

void fuzz_request_mutated(struct fuzz_heap *fh, struct rng *rng)
{
	static const __u32 seldom = GCHEAP_OP_MARK_START;
	unsigned int op = rng_below(rng, GCHEAP_OPS + (one_in(rng, 20) ? 200 : 0));
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	union any_request request = { 0 };
	void *at = &request;
	__u32 changes;
	int ret;

	if (fh->set_up && one_in(rng, 10)) {
		mutated_together(fh, rng);
		return;
	}
	/* Cycles that begin by chance only keep the model from knowing what lives. */
	if (op == seldom && !one_in(rng, 8))
		op = GCHEAP_OP_REFILL;
	if (op < GCHEAP_OPS) {
		request_valid(op, &request, grants);
		for (changes = 1 + rng_below(rng, 3); changes; changes--)
			mutate(fh, rng, op, &request);
	}
	/* Not more memory than the machine has for all. */
	if (op == GCHEAP_OP_ALLOC_LARGE && request.alloc_large.count > 8 << 20 &&
	    request.alloc_large.count < 1ull << 34)
		request.alloc_large.count %= 8 << 20;
	if (one_in(rng, 16))
		at = (void *)(uintptr_t)odd_address(fh, rng);
	fuzz_note("op %u at %s: size %u flags %#x %#llx %#llx %#llx %#llx %#llx", op,
		  at == &request ? "home" : "odd place", request.size, request.flags,
		  *(__u64 *)(request.bytes + 8), *(__u64 *)(request.bytes + 16),
		  *(__u64 *)(request.bytes + 24), *(__u64 *)(request.bytes + 32),
		  *(__u64 *)(request.bytes + 40));
	ret = send_request(fh, op, at);
	if ((ret && ret != -EFAULT) || op == GCHEAP_OP_STATS)
		return;
	/* Nobody had marked what lives. */
	if (op == GCHEAP_OP_SWEEP_START)
		fuzz_request_settle(fh);
	else if (fuzz_alone)
		fuzz_heap_resync(fh);
}
