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

/* Memory for its answer, which forked children share: 0 or a negative errno. First. */
int large_init(void);
/*
 * Sends it with user_data 1, and waits until an eighth of the memory is there, or it is
 * done. One at a time, when no other heap of the machine gets memory or gives it back: 0
 * or a negative errno.
 */
int large_begin(struct test_ring *ring, int fd);
/* Whether it was done; also one of a child. */
bool large_done(void);
/* When it was, or is about to be: frees what it allocated. 0 or a negative errno. */
int large_undo(int fd);

/* ---- thousands of requests ---------------------------------------------------- */

#define MANY_MOST	4096u
#define MANY		(MANY_MOST / kernel_slowness())	/* commands at a time */

/* Submits MANY of all kinds, done by workers and not: 0 or a negative errno. */
int submit_many(struct test_ring *ring, int fd);

#endif /* LONG_REQUESTS_H */
