// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Requests of the tests, by ioctl or by io_uring; see gcheap_selftest.h. */
#include "gcheap_ring.h"
#include "gcheap_selftest.h"

static int door_ioctl(int fd, unsigned int op, void *request)
{
	return ioctl(fd, GCHEAP_IOC(op), request) ? -errno : 0;
}

/* A ring for each thread; a forked child needs one of its own. */
int door_uring(int fd, unsigned int op, void *request)
{
	static __thread struct test_ring ring;
	static __thread pid_t owner;

	if (owner != getpid()) {
		int ret = ring_open(&ring, 4, 0);

		if (ret)
			return ret;
		owner = getpid();
	}
	return ring_send(&ring, fd, op, request, 0);
}

int (*cmd_door)(int fd, unsigned int op, void *request) = door_ioctl;

__attribute__((constructor))
static void door_choose(void)
{
	const char *name = getenv("GCHEAP_DOOR");

	if (name && !strcmp(name, "uring"))
		cmd_door = door_uring;
}

int cmd_send(int fd, unsigned int op, void *request)
{
	return cmd_door(fd, op, request);
}

int cmd_type_add(int fd, __u64 bytes, __u32 align, __u64 ptr_bytes, const void *mask,
		 const char *name, __u32 *type)
{
	struct gcheap_type_add add = {
		.size = sizeof(add),
		.bytes = bytes,
		.ptr_bytes = ptr_bytes,
		.align = align,
		.name_bytes = name ? (__u32)strlen(name) : 0,
		.name = (uintptr_t)name,
		.ptr_mask = (uintptr_t)mask,
	};
	int ret = cmd_send(fd, GCHEAP_OP_TYPE_ADD, &add);

	if (!ret && type)
		*type = add.out_type;
	return ret;
}

int cmd_type_words(int fd, __u32 words, __u64 mask, __u32 *type)
{
	__u8 bytes[1024] = { 0 };

	if (words > 8 * sizeof(bytes))
		return -EINVAL;
	memcpy(bytes, &mask, sizeof(mask));
	return cmd_type_add(fd, 8ull * words, 8, mask ? 8ull * words : 0,
			    mask ? bytes : NULL, "words", type);
}

int cmd_refill(int fd, __u32 type, __u32 size_class, __u32 want_bytes,
	       const __u32 *returns, __u32 return_count,
	       struct gcheap_grant *grants, __u32 grant_count, __u32 *granted)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.type = type,
		.size_class = size_class,
		.want_bytes = want_bytes,
		.return_count = return_count,
		.grant_count = grant_count,
		.returns = (uintptr_t)returns,
		.grants = (uintptr_t)grants,
	};
	int ret = cmd_send(fd, GCHEAP_OP_REFILL, &refill);

	if (!ret && granted)
		*granted = refill.out_granted;
	return ret;
}

int cmd_take(int fd, __u32 type, __u32 size_class, struct gcheap_grant *grant)
{
	__u32 granted = 0;
	int ret = cmd_refill(fd, type, size_class, 1, NULL, 0, grant, 1, &granted);

	return ret || granted == 1 ? ret : -ENODATA;
}

int cmd_take_flags(int fd, __u32 flags, __u32 type, __u32 size_class,
		   struct gcheap_grant *grant)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.flags = flags,
		.type = type,
		.size_class = size_class,
		.want_bytes = 1,
		.grant_count = 1,
		.grants = (uintptr_t)grant,
	};
	int ret = cmd_send(fd, GCHEAP_OP_REFILL, &refill);

	return ret || refill.out_granted == 1 ? ret : -ENODATA;
}

int cmd_give(int fd, const __u32 *pages, __u32 count)
{
	return cmd_refill(fd, 0, 0, 0, pages, count, NULL, 0, NULL);
}

int cmd_alloc_large_flags(int fd, __u32 flags, __u32 type, __u64 count,
			  struct gcheap_alloc_large *out)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.type = type,
		.count = count,
	};
	int ret = cmd_send(fd, GCHEAP_OP_ALLOC_LARGE, &alloc);

	if (!ret && out)
		*out = alloc;
	return ret;
}

int cmd_alloc_large(int fd, __u32 type, __u64 count, struct gcheap_alloc_large *out)
{
	return cmd_alloc_large_flags(fd, 0, type, count, out);
}

int cmd_mark_start(int fd, struct gcheap_mark_start *out)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };
	int ret = cmd_send(fd, GCHEAP_OP_MARK_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_sweep_start(int fd, struct gcheap_sweep_start *out)
{
	struct gcheap_sweep_start start = { .size = sizeof(start) };
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_sweep(int fd, __u64 max_spans, struct gcheap_sweep *out)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = max_spans };
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP, &sweep);

	if (!ret && out)
		*out = sweep;
	return ret;
}

int cmd_stats(int fd, struct gcheap_counters *out)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	int ret = cmd_send(fd, GCHEAP_OP_STATS, &stats);

	if (!ret)
		*out = stats.out_counters;
	return ret;
}

int cmd_sweep_start_flags(int fd, __u32 flags, __u64 goal_bytes, struct gcheap_sweep_start *out)
{
	struct gcheap_sweep_start start = {
		.size = sizeof(start), .flags = flags, .goal_bytes = goal_bytes,
	};
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_free_large(int fd, __u32 page)
{
	struct gcheap_free_large request = { .size = sizeof(request), .page = page };

	return cmd_send(fd, GCHEAP_OP_FREE_LARGE, &request);
}

int cmd_reclaim(int fd, __u64 max_pages, struct gcheap_reclaim *out)
{
	struct gcheap_reclaim reclaim = { .size = sizeof(reclaim), .max_pages = max_pages };
	int ret = cmd_send(fd, GCHEAP_OP_RECLAIM, &reclaim);

	if (!ret && out)
		*out = reclaim;
	return ret;
}

int cmd_scavenge(int fd, __u64 max_bytes, struct gcheap_scavenge *out)
{
	struct gcheap_scavenge scavenge = { .size = sizeof(scavenge), .max_bytes = max_bytes };
	int ret = cmd_send(fd, GCHEAP_OP_SCAVENGE, &scavenge);

	if (!ret && out)
		*out = scavenge;
	return ret;
}

int cmd_chunk_new(int fd, struct gcheap_chunk_new *out)
{
	struct gcheap_chunk_new chunk = { .size = sizeof(chunk) };
	int ret = cmd_send(fd, GCHEAP_OP_CHUNK_NEW, &chunk);

	if (!ret && out)
		*out = chunk;
	return ret;
}

int cmd_chunk_free(int fd, __u32 page)
{
	struct gcheap_chunk_free chunk = { .size = sizeof(chunk), .page = page };

	return cmd_send(fd, GCHEAP_OP_CHUNK_FREE, &chunk);
}

int cmd_chunk_ready(int fd, __u32 page)
{
	struct gcheap_chunk_ready chunk = { .size = sizeof(chunk), .page = page };

	return cmd_send(fd, GCHEAP_OP_CHUNK_READY, &chunk);
}

int cmd_track(int fd, struct gcheap_track *track)
{
	track->size = sizeof(*track);
	return cmd_send(fd, GCHEAP_OP_TRACK, track);
}

__u32 request_bytes(unsigned int op)
{
	static const __u32 bytes[GCHEAP_OPS] = {
		[GCHEAP_OP_SETUP] = sizeof(struct gcheap_setup),
		[GCHEAP_OP_TYPE_ADD] = sizeof(struct gcheap_type_add),
		[GCHEAP_OP_REFILL] = sizeof(struct gcheap_refill),
		[GCHEAP_OP_ALLOC_LARGE] = sizeof(struct gcheap_alloc_large),
		[GCHEAP_OP_MARK_START] = sizeof(struct gcheap_mark_start),
		[GCHEAP_OP_SWEEP_START] = sizeof(struct gcheap_sweep_start),
		[GCHEAP_OP_SWEEP] = sizeof(struct gcheap_sweep),
		[GCHEAP_OP_STATS] = sizeof(struct gcheap_heap_stats),
		[GCHEAP_OP_FREE_LARGE] = sizeof(struct gcheap_free_large),
		[GCHEAP_OP_RECLAIM] = sizeof(struct gcheap_reclaim),
		[GCHEAP_OP_SCAVENGE] = sizeof(struct gcheap_scavenge),
		[GCHEAP_OP_CHUNK_NEW] = sizeof(struct gcheap_chunk_new),
		[GCHEAP_OP_CHUNK_FREE] = sizeof(struct gcheap_chunk_free),
		[GCHEAP_OP_CHUNK_READY] = sizeof(struct gcheap_chunk_ready),
		[GCHEAP_OP_TRACK] = sizeof(struct gcheap_track),
		[GCHEAP_OP_STOP] = sizeof(struct gcheap_stop),
		[GCHEAP_OP_RESUME] = sizeof(struct gcheap_resume),
	};

	return bytes[op];
}

__u32 request_flags(unsigned int op)
{
	switch (op) {
	case GCHEAP_OP_SETUP:
		return GCHEAP_SETUP_HUGE_PAGES | GCHEAP_SETUP_FAULT_FREED |
		       GCHEAP_SETUP_SHARE_READ | GCHEAP_SETUP_SNAPSHOTS |
		       GCHEAP_SETUP_RECORD_TYPES;
	case GCHEAP_OP_REFILL:
		return GCHEAP_REFILL_MIXED;
	case GCHEAP_OP_ALLOC_LARGE:
		return GCHEAP_ALLOC_LAZY;
	case GCHEAP_OP_SWEEP_START:
		return GCHEAP_SWEEP_START_LAZY;
	case GCHEAP_OP_TRACK:
		return GCHEAP_TRACK_BITMAP | GCHEAP_TRACK_PEEK | GCHEAP_TRACK_PROTECT;
	default:
		return 0;
	}
}

void request_valid(unsigned int op, union any_request *request,
		   struct gcheap_grant *grant)
{
	memset(request, 0, sizeof(*request));
	request->size = request_bytes(op);
	switch (op) {
	case GCHEAP_OP_SETUP:
		request->setup.reserve_bytes = SMALL_RESERVE;
		break;
	case GCHEAP_OP_TYPE_ADD:
		request->type_add.bytes = 16;
		request->type_add.align = 8;
		break;
	case GCHEAP_OP_REFILL:
		request->refill.size_class = CLASS_16;
		request->refill.want_bytes = 1;
		request->refill.grant_count = 1;
		request->refill.grants = (uintptr_t)grant;
		break;
	case GCHEAP_OP_ALLOC_LARGE:
		request->alloc_large.count = 40000;
		break;
	case GCHEAP_OP_SWEEP:
		request->sweep.max_spans = 1;
		break;
	case GCHEAP_OP_RECLAIM:
		request->reclaim.max_pages = 1;
		break;
	case GCHEAP_OP_SCAVENGE:
		request->scavenge.max_bytes = 1;
		break;
	case GCHEAP_OP_TRACK:
		request->track.flags = GCHEAP_TRACK_BITMAP;
		break;
	}
}
