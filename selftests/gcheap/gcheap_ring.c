// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Rings of io_uring by bare system calls; see gcheap_ring.h. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/gcheap.h>

#include "gcheap_ring.h"

static int ring_enter(int fd, unsigned int submit, unsigned int wait, unsigned int flags)
{
	long ret;

	do {
		ret = syscall(__NR_io_uring_enter, fd, submit, wait, flags, NULL, 0);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : (int)ret;
}

static __u32 *ring_word(struct test_ring *ring, __u32 offset)
{
	return (__u32 *)(ring->sq + offset);
}

int ring_open(struct test_ring *ring, __u32 entries, __u32 flags)
{
	struct io_uring_params *params = &ring->params;
	size_t cq_bytes;
	__u32 i;

	memset(ring, 0, sizeof(*ring));
	params->flags = flags;
	params->sq_thread_idle = 50;
	ring->fd = (int)syscall(__NR_io_uring_setup, entries, params);
	if (ring->fd < 0)
		return -errno;
	ring->flags = flags;
	ring->entries = params->sq_entries;
	ring->sqe_bytes = flags & IORING_SETUP_SQE128 ? 128 : 64;

	/* Both queues are one mapping (IORING_FEAT_SINGLE_MMAP). */
	ring->sq_bytes = params->sq_off.array + params->sq_entries * sizeof(__u32);
	cq_bytes = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	if (ring->sq_bytes < cq_bytes)
		ring->sq_bytes = cq_bytes;
	ring->sq = mmap(NULL, ring->sq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			ring->fd, IORING_OFF_SQ_RING);
	if (ring->sq == MAP_FAILED)
		goto close_fd;
	ring->sqes_bytes = params->sq_entries * ring->sqe_bytes;
	ring->sqes = mmap(NULL, ring->sqes_bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->sqes == MAP_FAILED)
		goto unmap_sq;
	for (i = 0; i < params->sq_entries; i++)
		ring_word(ring, params->sq_off.array)[i] = i;
	return 0;

unmap_sq:
	munmap(ring->sq, ring->sq_bytes);
close_fd:
	close(ring->fd);
	ring->fd = -1;
	return -ENOMEM;
}

void ring_close(struct test_ring *ring)
{
	if (ring->fd < 0)
		return;
	munmap(ring->sqes, ring->sqes_bytes);
	munmap(ring->sq, ring->sq_bytes);
	close(ring->fd);
	ring->fd = -1;
}

struct io_uring_sqe *ring_sqe(struct test_ring *ring, __u8 opcode, __u64 user_data)
{
	__u32 tail = *ring_word(ring, ring->params.sq_off.tail) + ring->prepared++;
	struct io_uring_sqe *sqe =
		(void *)(ring->sqes + (tail & (ring->entries - 1)) * ring->sqe_bytes);

	memset(sqe, 0, ring->sqe_bytes);
	sqe->opcode = opcode;
	sqe->user_data = user_data;
	return sqe;
}

struct io_uring_sqe *ring_cmd(struct test_ring *ring, int fd, __u32 op, void *request,
			      __u64 user_data)
{
	struct io_uring_sqe *sqe = ring_sqe(ring, IORING_OP_URING_CMD, user_data);
	struct gcheap_uring_cmd payload = { .request = (uintptr_t)request };

	sqe->fd = fd;
	sqe->off = op;
	/* Where the command's payload begins: its name is not in all headers. */
	memcpy((char *)sqe + 48, &payload, sizeof(payload));
	return sqe;
}

int ring_submit(struct test_ring *ring, unsigned int wait)
{
	__u32 *tail = ring_word(ring, ring->params.sq_off.tail);
	__u32 prepared = ring->prepared;
	unsigned int flags = wait ? IORING_ENTER_GETEVENTS : 0;
	int ret;

	ring->prepared = 0;
	__atomic_store_n(tail, *tail + prepared, __ATOMIC_RELEASE);
	if (ring->flags & IORING_SETUP_SQPOLL) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(ring_word(ring, ring->params.sq_off.flags),
				    __ATOMIC_RELAXED) & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
		if (!flags)
			return 0;
		ret = ring_enter(ring->fd, prepared, wait, flags);
		return ret < 0 ? ret : 0;
	}
	/* The kernel stops at an entry that it refuses, and goes on when asked again. */
	while (prepared) {
		ret = ring_enter(ring->fd, prepared, 0, 0);
		if (ret < 0)
			return ret;
		prepared -= ret;
	}
	if (wait) {
		ret = ring_enter(ring->fd, 0, wait, flags);
		if (ret < 0)
			return ret;
	}
	return 0;
}

bool ring_peek(struct test_ring *ring, struct io_uring_cqe *cqe)
{
	__u32 *head = ring_word(ring, ring->params.cq_off.head);
	__u32 tail = __atomic_load_n(ring_word(ring, ring->params.cq_off.tail),
				     __ATOMIC_ACQUIRE);
	const struct io_uring_cqe *cqes = (void *)(ring->sq + ring->params.cq_off.cqes);

	if (*head == tail)
		return false;
	*cqe = cqes[*head & (ring->params.cq_entries - 1)];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

int ring_wait(struct test_ring *ring, struct io_uring_cqe *cqe)
{
	while (!ring_peek(ring, cqe)) {
		int ret = ring_enter(ring->fd, 0, 1, IORING_ENTER_GETEVENTS);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int ring_send(struct test_ring *ring, int fd, __u32 op, void *request, __u8 sqe_flags)
{
	struct io_uring_cqe cqe;
	int ret;

	ring_cmd(ring, fd, op, request, 0)->flags = sqe_flags;
	ret = ring_submit(ring, 0);
	if (!ret)
		ret = ring_wait(ring, &cqe);
	return ret ? ret : cqe.res;
}
