// SPDX-License-Identifier: MIT
/*
 * The sweep in the background: one SWEEP as a command of io_uring, which a worker of
 * the kernel does on another CPU.
 *
 * The library looks for liburing when the program runs, so that it can be installed
 * without it. If liburing was not there at build time, or is not now, or the kernel gives
 * this process no ring, no sweep runs in the background, and nothing fails. None runs in
 * a static program either, into which dlopen() would load another C library.
 *
 * One command runs at a time, in a ring that is made with the first. The command writes
 * its outputs into struct ring, which therefore is not freed before the command's
 * completion has come. A child of fork() has the ring's file but not its queues, and only
 * closes it. A command that is late ends with its cycle or in the next one: it never
 * sweeps what the program has in its caches, and MARK_START leaves it nothing to do.
 *
 * Threads: the attached mutator alone starts a sweep, whoever closes the heap ends the
 * ring, and backend_sweep_finish() does not look at the ring.
 */
#define _GNU_SOURCE
#include "backend.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if __has_include(<liburing.h>)
#include <liburing.h>
#endif

/* liburing 2.2 and later, which know of IORING_OP_URING_CMD. */
#ifdef IORING_SETUP_CQE32

#include <dlfcn.h>
#include <errno.h>
#include <sys/auxv.h>

/* Where the payload of a command begins in its entry: no header of 2022 has its name. */
#define SQE_PAYLOAD	48

/**
 * struct ring - a ring for one heap's sweeps
 * @uring: liburing's
 * @library: of dlopen()
 * @get_sqe: io_uring_get_sqe(): inline in some releases, which may not be this one's
 * @wait: io_uring_wait_cqes()
 * @peek: io_uring_peek_batch_cqe()
 * @submit: io_uring_submit()
 * @exit: io_uring_queue_exit()
 * @sweep: the command's request
 * @is_under_way: it was submitted, and its completion not seen
 */
struct ring {
	struct io_uring uring;
	void *library;
	__typeof__(io_uring_get_sqe) *get_sqe;
	__typeof__(io_uring_wait_cqes) *wait;
	__typeof__(io_uring_peek_batch_cqe) *peek;
	__typeof__(io_uring_submit) *submit;
	__typeof__(io_uring_queue_exit) *exit;
	struct gcheap_sweep sweep;
	bool is_under_way;
};

/* ---- making one ---------------------------------------------------------------- */

static bool has_other_cpus(void)
{
	cpu_set_t cpus;

	/* It fails on machines with more CPUs than there is room for. */
	return sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) > 1;
}

/* 0, or a negative errno with no ring. */
static int ring_init(struct ring *ring)
{
	__typeof__(io_uring_queue_init) *init;
	__typeof__(io_uring_ring_dontfork) *dontfork;
	int error;

	init = (__typeof__(init))dlsym(ring->library, "io_uring_queue_init");
	dontfork = (__typeof__(dontfork))dlsym(ring->library, "io_uring_ring_dontfork");
	ring->get_sqe = (__typeof__(ring->get_sqe))dlsym(ring->library, "io_uring_get_sqe");
	ring->wait = (__typeof__(ring->wait))dlsym(ring->library, "io_uring_wait_cqes");
	ring->peek = (__typeof__(ring->peek))dlsym(ring->library, "io_uring_peek_batch_cqe");
	ring->submit = (__typeof__(ring->submit))dlsym(ring->library, "io_uring_submit");
	ring->exit = (__typeof__(ring->exit))dlsym(ring->library, "io_uring_queue_exit");
	if (!init || !dontfork || !ring->get_sqe || !ring->wait || !ring->peek ||
	    !ring->submit || !ring->exit)
		return -ENOENT;
	error = init(2, &ring->uring, 0);
	if (error)
		return error;
	error = dontfork(&ring->uring);
	if (error)
		ring->exit(&ring->uring);
	return error;
}

static struct ring *ring_make(void)
{
	int old_errno = errno;
	struct ring *ring;

	/* No dynamic linker was loaded with the program: it is static. */
	if (!getauxval(AT_BASE))
		return NULL;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		goto out;
	ring->library = dlopen("liburing.so.2", RTLD_NOW | RTLD_LOCAL);
	if (!ring->library)
		goto free_ring;
	if (ring_init(ring))
		goto close_library;
	return ring;

close_library:
	dlclose(ring->library);
free_ring:
	free(ring);
out:
	errno = old_errno;
	return NULL;
}

/* ---- its command --------------------------------------------------------------- */

static void ring_completed(struct ring *ring, struct io_uring_cqe *cqe, struct backend *backend)
{
	/*
	 * EINTR: the thread that submitted it has ended. Anything else, from a security
	 * module for instance, would come each time.
	 */
	if (cqe->res < 0 && cqe->res != -EINTR)
		backend->sweeps_here = true;
	io_uring_cqe_seen(&ring->uring, cqe);
	ring->is_under_way = false;
}

static bool ring_is_idle(struct backend *backend)
{
	struct ring *ring = backend->ring;
	struct io_uring_cqe *cqe;

	if (ring->is_under_way && ring->peek(&ring->uring, &cqe, 1))
		ring_completed(ring, cqe, backend);
	return !ring->is_under_way && !backend->sweeps_here;
}

static bool ring_submit(struct backend *backend)
{
	struct ring *ring = backend->ring;
	struct gcheap_uring_cmd payload = { .request = (uintptr_t)&ring->sweep };
	struct io_uring_sqe *sqe = ring->get_sqe(&ring->uring);

	if (!sqe)
		return false;
	ring->sweep = (struct gcheap_sweep) {
		.size = sizeof(ring->sweep),
		.max_spans = UINT64_MAX,
	};
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_ASYNC;
	sqe->fd = backend->fd;
	sqe->off = GCHEAP_OP_SWEEP;
	memcpy((char *)sqe + SQE_PAYLOAD, &payload, sizeof(payload));
	ring->is_under_way = ring->submit(&ring->uring) == 1;
	return ring->is_under_way;
}

void backend_ring_end(struct backend *backend, bool here)
{
	struct ring *ring = backend->ring;
	struct io_uring_cqe *cqe;
	int error = 0;

	if (!ring)
		return;
	backend->ring = NULL;
	if (!here) {
		/*
		 * The queues are not there: other memory may be in their place. liburing
		 * stays: another thread of the parent's may have been in dlopen().
		 */
		close(ring->uring.ring_fd);
		free(ring);
		return;
	}
	while (ring->is_under_way) {
		error = ring->wait(&ring->uring, &cqe, 1, NULL, NULL);
		if (!error)
			ring_completed(ring, cqe, backend);
		else if (error != -EINTR && error != -EAGAIN)
			return;		/* the kernel may still write to it */
	}
	ring->exit(&ring->uring);
	dlclose(ring->library);
	free(ring);
}

#else /* no liburing */

static struct ring *ring_make(void)
{
	return NULL;
}

static bool ring_is_idle(struct backend *backend)
{
	return !backend->ring;
}

static bool ring_submit(struct backend *backend)
{
	return backend->ring;
}

static bool has_other_cpus(void)
{
	return false;
}

void backend_ring_end(struct backend *backend, bool here)
{
	(void)backend;
	(void)here;
}

#endif

/* ---- what the rest of the library asks for --------------------------------------- */

bool backend_can_sweep_in_background(struct backend *backend)
{
	if (backend->sweeps_here || !(backend->features & GCHEAP_FEATURE_URING))
		return false;
	if (!backend->ring) {
		backend->ring = has_other_cpus() ? ring_make() : NULL;
		backend->sweeps_here = !backend->ring;
		return backend->ring;
	}
	return ring_is_idle(backend);
}

bool backend_sweep_in_background(struct backend *backend)
{
	__atomic_fetch_add(&backend->requests, 1, __ATOMIC_RELAXED);
	if (ring_submit(backend))
		return true;
	/* What it holds of an entry goes with it. */
	backend_ring_end(backend, true);
	backend->sweeps_here = true;
	return false;
}

int backend_sweep_finish(struct backend *backend)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = UINT64_MAX };

	if (!__atomic_load_n(&backend->is_sweep_lazy, __ATOMIC_ACQUIRE))
		return 0;
	return backend_request(backend, GCHEAP_OP_SWEEP, &sweep);
}
