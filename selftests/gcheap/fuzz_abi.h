/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the parts of the ABI fuzzer share: the model of a heap, and the log of
 * what was done to it.
 *
 *	fuzz_abi.c	rounds: processes that fuzz, and what becomes of them
 *	fuzz_request.c	requests: right ones, whose result the model knows, and
 *			mutated ones
 *	fuzz_world.c	all that is not a request: mappings, memory, fork, files
 *	fuzz_door.c	how requests are sent: by ioctl() or io_uring
 *	fuzz_look.c	a process that has got the heaps' files, and looks
 *
 * Include it after gcheap_selftest.h.
 */
#ifndef GCHEAP_FUZZ_ABI_H
#define GCHEAP_FUZZ_ABI_H

#define FUZZ_HEAPS	3u
#define FUZZ_SPANS	192u		/* spans of one kind that the model follows */
#define FUZZ_TYPES	64u
#define FUZZ_PAGES	(2u << (GCHEAP_ARENA_SHIFT - GCHEAP_PAGE_SHIFT))

/**
 * struct fuzz_set - first pages of spans
 * @count: how many
 * @page: which
 */
struct fuzz_set {
	__u32 count;
	__u32 page[FUZZ_SPANS];
};

/**
 * struct fuzz_heap - a heap, and what must be there by the answers so far
 * @heap: the heap; @fd is -1 when there is none
 * @set_up: SETUP has worked
 * @flags: of SETUP
 * @marking: between MARK_START and SWEEP_START
 * @wild: mark state was written that says nothing true: what a sweep frees, and
 *	what a refill finds free, is not known any more
 * @cached: spans that the process has
 * @large: large objects, that it will keep alive
 * @chunks: chunks in use
 * @quarantined: freed chunks
 * @types: words of each type, by its number; 0: not known
 * @noscan: which of them hold no pointers
 * @type_count: types that there are
 * @stamped: one bit a heap page: its first word is fuzz_stamp()
 * @dirty: one bit a heap page: written since it was tracked last
 * @tracking: TRACK has worked once
 */
struct fuzz_heap {
	struct test_heap heap;
	bool set_up;
	__u32 flags;
	bool marking;
	bool wild;
	struct fuzz_set cached;
	struct fuzz_set large;
	struct fuzz_set chunks;
	struct fuzz_set quarantined;
	__u32 types[FUZZ_TYPES];
	bool noscan[FUZZ_TYPES];
	__u32 type_count;
	__u64 stamped[FUZZ_PAGES / 64];
	__u64 dirty[FUZZ_PAGES / 64];
	bool tracking;
};

/**
 * struct fuzz_log - what a round has done last; the parent reads it when the child is dead
 * @steps: steps so far
 * @requests: requests so far
 * @refused: how many of them failed
 * @line: the last steps, as a ring
 */
#define FUZZ_LINES	48u
#define FUZZ_LINE	160u
struct fuzz_log {
	__u64 steps;
	__u64 requests;
	__u64 refused;
	char line[FUZZ_LINES][FUZZ_LINE];
};

extern struct fuzz_log *fuzz_log;
extern __u64 fuzz_features;	/* GCHEAP_FEATURE_* of the module */
extern bool fuzz_alone;		/* no other thread sends requests: the model is exact */

/* Log a step; printed at once when FUZZ_TRACE is set. */
__attribute__((format(printf, 1, 2)))
void fuzz_note(const char *format, ...);

/* End the process: something is wrong. */
__attribute__((format(printf, 1, 2), noreturn))
void fuzz_fail(const char *format, ...);

static inline __u64 fuzz_stamp(__u32 page)
{
	return 0x5aa5000000000000ull | page;
}

static inline bool one_in(struct rng *rng, __u32 n)
{
	return !rng_below(rng, n);
}

void fuzz_set_add(struct fuzz_set *set, __u32 page);
bool fuzz_set_remove(struct fuzz_set *set, __u32 page);
/* One of them, or 0. */
__u32 fuzz_set_pick(const struct fuzz_set *set, struct rng *rng);

/* Mark a page that was handed out, and note that it was. */
void fuzz_write_stamp(struct fuzz_heap *fh, __u32 page);
void fuzz_forget_stamp(struct fuzz_heap *fh, __u32 page, __u32 npages);

/* Open, set up and map a heap of random kind. */
void fuzz_heap_open(struct fuzz_heap *fh, struct rng *rng);
void fuzz_heap_close(struct fuzz_heap *fh);

/* Compare the model, and the memory, with what the heap's tables say. */
void fuzz_heap_check(struct fuzz_heap *fh);
/* Make the model what the tables say. */
void fuzz_heap_resync(struct fuzz_heap *fh);

/* Sweep what a lazy cycle has left, whatever its page marks say, and make the model that. */
void fuzz_request_settle(struct fuzz_heap *fh);
void fuzz_request_right(struct fuzz_heap *fh, struct rng *rng);
void fuzz_request_mutated(struct fuzz_heap *fh, struct rng *rng);
void fuzz_world(struct fuzz_heap *fh, struct rng *rng);

/* Begin and end to send requests in this thread. */
void fuzz_door_init(__u64 seed);
void fuzz_door_exit(void);
/* As cmd_send(). */
int fuzz_send(int fd, unsigned int op, void *request);
/* Several at a time, which may be linked: their results; 0: it cannot be done here. */
__u32 fuzz_send_many(int fd, const unsigned int *ops, union any_request *requests, __u32 count,
		     int *results);

/* The process that looks: have one, and show it a heap. By one thread. */
void fuzz_looker_start(__u64 seed);
void fuzz_looker_show(struct fuzz_heap *fh);

/* A wild load or store; the signal that it raised, or 0. */
int fuzz_access(void *at, bool write);
int fuzz_store(void *at, __u64 value);

#endif /* GCHEAP_FUZZ_ABI_H */
