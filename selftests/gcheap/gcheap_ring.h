/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Rings of io_uring by bare system calls, so that the tests need no library and
 * see what the kernel does, not what one hides.
 */
#ifndef GCHEAP_RING_H
#define GCHEAP_RING_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/io_uring.h>
#include <linux/types.h>

/* Not in the kernel headers of older systems. */
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER	(1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN	(1U << 13)
#endif

/**
 * struct test_ring - one ring, mapped
 * @fd: its file
 * @flags: IORING_SETUP_*
 * @entries: of the submission queue
 * @prepared: entries that ring_submit() will submit
 * @sqe_bytes: length of one
 * @sqes: the entries
 * @sq: mapping of the queues' heads and tails
 * @sq_bytes: its length
 * @sqes_bytes: length of @sqes
 * @params: what the kernel answered
 */
struct test_ring {
	int fd;
	__u32 flags;
	__u32 entries;
	__u32 prepared;
	size_t sqe_bytes;
	char *sqes;
	char *sq;
	size_t sq_bytes;
	size_t sqes_bytes;
	struct io_uring_params params;
};

/* 0 or a negative errno. */
int ring_open(struct test_ring *ring, __u32 entries, __u32 flags);
void ring_close(struct test_ring *ring);

/* The next entry, zeroed; there must be room. */
struct io_uring_sqe *ring_sqe(struct test_ring *ring, __u8 opcode, __u64 user_data);
/* A request as the next entry; flags may be set in it before ring_submit(). */
struct io_uring_sqe *ring_cmd(struct test_ring *ring, int fd, __u32 op, void *request,
			      __u64 user_data);

/* Submits what is prepared, and waits for so many completions: 0 or a negative errno. */
int ring_submit(struct test_ring *ring, unsigned int wait);

/* Takes a completion if there is one. */
bool ring_peek(struct test_ring *ring, struct io_uring_cqe *cqe);
/* Waits for one: 0 or a negative errno. */
int ring_wait(struct test_ring *ring, struct io_uring_cqe *cqe);

/* Submits one request and waits for it: its result. @sqe_flags: IOSQE_*. */
int ring_send(struct test_ring *ring, int fd, __u32 op, void *request, __u8 sqe_flags);

#endif /* GCHEAP_RING_H */
