// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Another process, to which the ABI fuzzer passes the files of its heaps, see
 * fuzz_abi.h. It was never the owner's child while there was a heap. It maps what it
 * may, reads there while the owner goes on, and finds all else refused.
 */
#include <poll.h>
#include <sys/prctl.h>

#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "fuzz_abi.h"

#define LOOKED	3	/* heaps that it holds at a time */

static int looker_sock = -1;

struct looked {
	int fd;
	char *region[GCHEAP_REGIONS];
	__u64 bytes[GCHEAP_REGIONS];
};

static void looked_drop(struct looked *looked)
{
	if (looked->fd < 0)
		return;
	for (__u32 r = 0; r < GCHEAP_REGIONS; r++) {
		if (looked->region[r])
			munmap(looked->region[r], looked->bytes[r]);
	}
	close(looked->fd);
	looked->fd = -1;
}

/* All that can be mapped, and a request or two; the length of each region comes after the file. */
static void looked_take(struct looked *looked, int sock, struct rng *rng)
{
	memset(looked, 0, sizeof(*looked));
	looked->fd = fd_receive(sock);
	if (looked->fd < 0 || read(sock, looked->bytes, sizeof(looked->bytes)) !=
			      (ssize_t)sizeof(looked->bytes))
		_exit(0);
	for (__u32 r = 0; r < GCHEAP_REGIONS; r++) {
		struct test_heap heap = { .fd = looked->fd };

		memcpy(heap.region_bytes, looked->bytes, sizeof(heap.region_bytes));
		if (!looked->bytes[r])
			continue;
		if (region_map(&heap, r, PROT_READ | PROT_WRITE))
			_exit(2);
		looked->region[r] = region_map(&heap, r, PROT_READ);
		if (looked->region[r] &&
		    !mprotect(looked->region[r], looked->bytes[r], PROT_READ | PROT_WRITE))
			_exit(3);
	}
	for (int i = 0; i < 3; i++) {
		union any_request request;
		struct gcheap_grant grant;
		unsigned int op = rng_below(rng, GCHEAP_OPS);

		request_valid(op, &request, &grant);
		if (cmd_send(looked->fd, op, &request) != -EPERM)
			_exit(4);
	}
}

static void looked_read(const struct looked *looked, struct rng *rng)
{
	__u32 r = rng_below(rng, GCHEAP_REGIONS);
	__u64 at;
	int sig;

	if (looked->fd < 0 || !looked->region[r])
		return;
	at = rng_next(rng) % looked->bytes[r] >> (one_in(rng, 2) ? rng_below(rng, 24) : 0);
	sig = fuzz_access(looked->region[r] + at, false);
	/* Where nothing is, and everywhere when the owner has ended. */
	if (sig && sig != SIGBUS)
		_exit(5);
}

static void looker_main(int sock, __u64 seed)
{
	struct looked looked[LOOKED];
	struct rng rng;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rng_init(&rng, seed);
	for (int i = 0; i < LOOKED; i++)
		looked[i].fd = -1;
	for (;;) {
		struct pollfd poll_fd = { .fd = sock, .events = POLLIN };
		struct looked *one = &looked[rng_below(&rng, LOOKED)];

		if (poll(&poll_fd, 1, 1) == 1) {
			looked_drop(one);
			looked_take(one, sock, &rng);
			if (write(sock, "", 1) != 1)
				_exit(0);
		}
		for (int i = 0; i < LOOKED; i++)
			looked_read(&looked[i], &rng);
	}
}

void fuzz_looker_start(__u64 seed)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		fuzz_fail("socketpair: errno %d", errno);
	child = fork();
	if (child < 0)
		fuzz_fail("fork: errno %d", errno);
	if (!child) {
		close(pair[0]);
		looker_main(pair[1], seed);
	}
	close(pair[1]);
	looker_sock = pair[0];
}

void fuzz_looker_show(struct fuzz_heap *fh)
{
	char byte;

	if (looker_sock < 0 || !fh->set_up)
		return;
	if (fd_send(looker_sock, fh->heap.fd) ||
	    write(looker_sock, fh->heap.region_bytes, sizeof(fh->heap.region_bytes)) !=
	    (ssize_t)sizeof(fh->heap.region_bytes) || read(looker_sock, &byte, 1) != 1)
		fuzz_fail("who got the heap's file has ended: it found what should not be");
	fuzz_note("passed the heap's file on");
}
