/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Commands of io_uring that are in flight for long, for the tests of what ends
 * meanwhile: one allocation of much memory, or thousands of requests. The kernel
 * may write its answers at any time, when the ring has gone too, so they go to
 * memory that stays.
 *
 * Include it after gcheap_ring.h and gcheap_selftest.h.
 */
#ifndef LONG_REQUESTS_H
#define LONG_REQUESTS_H

/* Of the heaps in which they are sent: there is room for all. */
#define LONG_RESERVE	(1ull << 30)

/* ---- one large allocation ----------------------------------------------------- */

/* Takes a second or more to populate: much longer than to end a process does. */
#define LARGE_BYTES	((384ull << 20) / (kernel_slowness() > 1 ? 2 : 1))

/* How long it takes when nobody disturbs it, in microseconds; 0: it fails. */
__u64 large_us(const struct test_heap *heap);
/*
 * Sends it with user_data 1, and lets it come to about an eighth where it takes @full
 * microseconds. One at a time: 0 or a negative errno.
 */
int large_begin(struct test_ring *ring, int fd, __u64 full);
/* When it was done: frees what it allocated. 0 or a negative errno. */
int large_undo(int fd);

/* ---- thousands of requests ---------------------------------------------------- */

#define MANY_MOST	4096u
#define MANY		(MANY_MOST / kernel_slowness())	/* commands at a time */

/* Submits MANY of all kinds, done by workers and not: 0 or a negative errno. */
int submit_many(struct test_ring *ring, int fd);

#endif /* LONG_REQUESTS_H */
