/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Walks through the failures that a request can meet: for each n until the request has
 * no n-th allocation, a heap is brought into a state, the request is sent, its n-th
 * allocation fails, and it has done all of its work or none of it.
 *
 * Include it after gcheap_selftest.h, gcheap_ring.h, heap_states.h and
 * fault_injection.h.
 */
#ifndef GCHEAP_FAIL_WALK_H
#define GCHEAP_FAIL_WALK_H

#define WALK_MOST	4000	/* a walk that is still not at its end goes in circles */

/**
 * struct walk - one walk
 * @kind: state of the heap
 * @failure: what fails
 * @op: the request
 * @ring: it is sent by this ring; NULL: by ioctl()
 * @worker: fail-nth of the ring's worker, which does it; 0: the sender does
 * @errors: how often the request failed
 * @no_memory: also with ENOMEM
 * @ways: how many failures were tried
 */
struct walk {
	enum heap_state_kind kind;
	enum failure failure;
	unsigned int op;
	struct test_ring *ring;
	int worker;
	unsigned int errors;
	bool no_memory;
	unsigned int ways;
};

/* What is wrong, or NULL. */
const char *walk_request(struct walk *walk);

#endif /* GCHEAP_FAIL_WALK_H */
