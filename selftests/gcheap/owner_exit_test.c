// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The end of an owner at any point of any request: several threads send requests of
 * all kinds while the process is killed, exits, or executes another program, with its
 * file held by others or not. Nothing of the heap is left, and no thread hangs.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define THREADS	3
#define ROUNDS	24

/* ---- requests of all kinds ---------------------------------------------------------- */

struct sender {
	struct test_heap *heap;
	struct rng rng;
	pthread_t thread;
};

/*
 * One request; most work. Pages are guessed, so that some of the requests that name
 * one hit a span that another thread has made.
 */
static void send_any(struct sender *sender)
{
	struct rng *rng = &sender->rng;
	struct test_heap *heap = sender->heap;
	unsigned int op = rng_below(rng, GCHEAP_OPS);
	__u32 page = 1 + rng_below(rng, 4096);
	struct gcheap_range ranges[64];
	struct gcheap_grant grants[64];
	union any_request request;
	__u32 pages[64], count;

	request_valid(op, &request, grants);
	switch (op) {
	case GCHEAP_OP_REFILL:
		count = 0;
		if (!cmd_refill(heap->fd, 0, SIZE_CLASS_MIN + rng_below(rng, 60), 1 << 17, NULL, 0,
				grants, 64, &count)) {
			for (__u32 i = 0; i < count; i++) {
				pages[i] = grants[i].page;
				memset(heap_mem(heap, pages[i]), 1, 64);
				if (rng_below(rng, 2))
					slot_alloc(heap, pages[i], 0);
			}
			cmd_give(heap->fd, pages, count);
		}
		return;
	case GCHEAP_OP_ALLOC_LARGE:
		request.alloc_large.count = 1 + rng_below(rng, 4 << 20);
		break;
	case GCHEAP_OP_SWEEP_START:
		request.sweep_start.flags = rng_below(rng, 2) ? GCHEAP_SWEEP_START_LAZY : 0;
		request.sweep_start.goal_bytes = 1 << 20;
		break;
	case GCHEAP_OP_SWEEP:
		request.sweep.max_spans = 1 + rng_below(rng, 1000);
		break;
	case GCHEAP_OP_FREE_LARGE:
		request.free_large.page = page;
		break;
	case GCHEAP_OP_RECLAIM:
		request.reclaim.max_pages = 1 + rng_below(rng, 1000);
		break;
	case GCHEAP_OP_SCAVENGE:
		request.scavenge.max_bytes = 1 + rng_below(rng, 8 << 20);
		break;
	case GCHEAP_OP_CHUNK_FREE:
	case GCHEAP_OP_CHUNK_READY:
		request.chunk_free.page = page & ~(__u32)1023;
		break;
	case GCHEAP_OP_TRACK:
		request.track.flags |= rng_below(rng, 2) ? GCHEAP_TRACK_PEEK : 0;
		request.track.ranges = (uintptr_t)ranges;
		request.track.range_count = 64;
		break;
	}
	cmd_send(heap->fd, op, &request);
	/* HEAP comes and goes, so that pages fault in all ways. */
	if (!rng_below(rng, 20))
		madvise(heap->region[GCHEAP_REGION_HEAP], heap->reserve, MADV_DONTNEED);
}

static void *sender_main(void *arg)
{
	for (;;)
		send_any(arg);
	return NULL;
}

/* ---- a process that ends while it sends them ------------------------------------------ */

enum end {
	END_KILL,	/* SIGKILL from outside */
	END_EXIT,	/* exit_group() of one thread */
	END_EXEC,	/* execve() of one thread; the file stays open */
	END_UNMAP,	/* munmap() of all regions before it exits */
	END_SEGV,	/* a fault of one thread */
	ENDS,
};

static void end_here(struct test_heap *heap, enum end end)
{
	char *argv[] = { "owner_exit_test", "--nothing", NULL };

	switch (end) {
	case END_KILL:
		for (;;)
			pause();
	case END_EXEC:
		fcntl(heap->fd, F_SETFD, 0);
		execv("/proc/self/exe", argv);
		_exit(1);
	case END_UNMAP:
		for (int r = GCHEAP_REGIONS; r--; )
			munmap(heap->region[r], heap->region_bytes[r]);
		_exit(0);
	case END_SEGV:
		signal(SIGSEGV, SIG_DFL);
		kill(getpid(), SIGSEGV);
		for (;;)
			pause();
	default:
		_exit(0);
	}
}

static void process_main(int sock, enum end end, struct rng *rng)
{
	const struct timespec wait = { .tv_nsec = 1000 * rng_below(rng, 60000) };
	struct sender senders[THREADS];
	struct test_heap heap;

	if (heap_open_flags(&heap, GCHEAP_LAYOUT_SPAN, 8 * SMALL_RESERVE,
			    GCHEAP_SETUP_SHARE_READ) ||
	    cmd_type_words(heap.fd, 8, 1, NULL) || fd_send(sock, heap.fd))
		_exit(100);
	/* Its threads fault where they touch what others have freed; that is no matter. */
	signal(SIGBUS, SIG_DFL);
	for (int i = 0; i < THREADS; i++) {
		senders[i].heap = &heap;
		rng_init(&senders[i].rng, rng_next(rng));
		if (pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]))
			_exit(101);
	}
	nanosleep(&wait, NULL);
	end_here(&heap, end);
}

FIXTURE(end) {
	struct machine before;
};

FIXTURE_VARIANT(end) {
	enum end end;
};

FIXTURE_VARIANT_ADD(end, by_sigkill) {
	.end = END_KILL,
};

FIXTURE_VARIANT_ADD(end, by_exit) {
	.end = END_EXIT,
};

FIXTURE_VARIANT_ADD(end, by_exec) {
	.end = END_EXEC,
};

FIXTURE_VARIANT_ADD(end, by_exit_after_munmap) {
	.end = END_UNMAP,
};

FIXTURE_VARIANT_ADD(end, by_a_fatal_signal_of_its_own) {
	.end = END_SEGV,
};

FIXTURE_SETUP(end)
{
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(end)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

TEST_F_TIMEOUT(end, leaves_nothing_at_any_point_of_any_request, 300)
{
	struct rng rng;

	rng_init_printed(&rng, "end");
	for (int round = 0; round < ROUNDS; round++) {
		const struct timespec wait = { .tv_nsec = 1000 * rng_below(&rng, 60000) };
		struct machine left = self->before;
		int sv[2], fd, ret;
		pid_t child;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
		rng_next(&rng);
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			process_main(sv[1], variant->end, &rng);
		fd = fd_receive(sv[0]);
		ASSERT_LE(0, fd);
		/* Every other time the file is held by this process until after the end. */
		if (round % 2)
			close(fd);
		else
			left.heaps++;
		if (variant->end == END_KILL) {
			nanosleep(&wait, NULL);
			kill(child, SIGKILL);
		}
		ret = child_wait(child);
		/* A thread may have touched memory that another had taken from it. */
		ASSERT_TRUE(ret == 0 || ret == -SIGKILL || ret == -SIGSEGV || ret == -SIGBUS) {
			TH_LOG("the process ended with %d", ret);
		}
		ASSERT_TRUE(machine_back_to(&left));
		if (!(round % 2))
			close(fd);
		ASSERT_TRUE(machine_back_to(&self->before));
		close(sv[0]);
		close(sv[1]);
	}
}

int main(int argc, char **argv)
{
	/* What a process does after it has executed itself. */
	if (argc == 2 && !strcmp(argv[1], "--nothing"))
		return 0;
	return test_harness_run(argc, argv);
}
