/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Heaps in the states that requests can find them in, for tests that send every
 * request to every one of them.
 *
 * Include it after gcheap_selftest.h.
 */
#ifndef GCHEAP_HEAP_STATES_H
#define GCHEAP_HEAP_STATES_H

/**
 * enum heap_state_kind - what a heap has seen
 * @HEAP_STATE_NEW: SETUP and mmap, no request
 * @HEAP_STATE_USED: types, cached and returned spans, large objects, holes
 * @HEAP_STATE_MARKING: as USED, in a cycle, and no span is cached
 * @HEAP_STATE_UNSWEPT: as USED, after a SWEEP_START that has left much to sweep
 * @HEAP_STATE_ARENA_END: as USED, and what comes next is in another arena
 * @HEAP_STATE_UNMAPPED: as USED, with HEAP not mapped
 * @HEAP_STATE_CHUNKS: as USED, with chunks in use and in quarantine
 * @HEAP_STATE_TRACKED: as USED, with pages that are tracked and written
 * @HEAP_STATE_HUGE: as USED, of GCHEAP_SETUP_HUGE_PAGES
 * @HEAP_STATE_FAULT_FREED: as UNSWEPT, of GCHEAP_SETUP_FAULT_FREED
 * @HEAP_STATES: how many there are
 */
enum heap_state_kind {
	HEAP_STATE_NEW,
	HEAP_STATE_USED,
	HEAP_STATE_MARKING,
	HEAP_STATE_UNSWEPT,
	HEAP_STATE_ARENA_END,
	HEAP_STATE_UNMAPPED,
	HEAP_STATE_CHUNKS,
	HEAP_STATE_TRACKED,
	HEAP_STATE_HUGE,
	HEAP_STATE_FAULT_FREED,
	HEAP_STATES,
};

#define HEAP_STATE_CACHED	6
#define HEAP_STATE_LARGE	4

/**
 * struct heap_state - a heap, and what a request can be about
 * @heap: the heap
 * @words: type of three words, with pointers; 0: there is none
 * @wide: type of 300 words, with pointers
 * @cached: first pages of cached spans, the first two of them empty
 * @cached_count: how many
 * @large: first pages of large objects
 * @large_count: how many
 * @lasting: one of them, that no request is about: filled with 0x5c
 * @chunk: page of a chunk in use; 0: there is none
 * @quarantined: page of a freed chunk; 0: there is none
 */
struct heap_state {
	struct test_heap heap;
	__u32 words;
	__u32 wide;
	__u32 cached[HEAP_STATE_CACHED];
	__u32 cached_count;
	__u32 large[HEAP_STATE_LARGE];
	__u32 large_count;
	__u32 lasting;
	__u32 chunk;
	__u32 quarantined;
};

#define HEAP_STATE_LASTING_BYTES	(200u << 10)

/* Make one: 0, -EOPNOTSUPP when the module has no such thing, or another errno. */
int heap_state_build(enum heap_state_kind kind, struct heap_state *state);
void heap_state_destroy(struct heap_state *state);

/**
 * struct state_request - a request with much to do in a state, with its arrays
 * @args: the request
 */
struct state_request {
	union any_request args;
	struct gcheap_grant grants[16];
	__u32 returns[HEAP_STATE_CACHED];
	struct gcheap_range ranges[64];
	struct gcheap_stopped stopped;
	__u32 tid;
	__u8 mask[1024];
	char name[64];
};

/* Fill one in. Whether there is such a request in this state. */
bool heap_state_request(const struct heap_state *state, unsigned int op,
			struct state_request *request);

#endif /* GCHEAP_HEAP_STATES_H */
