// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * STOP and RESUME: threads that compute stand still, threads that sleep in a system call do
 * not notice, the registers of both are told, and whatever happens to the one who stops, the
 * others go on.
 */
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define MARK_REGISTER	0x5eed00000000c0deull
#define MARK_VECTOR	0x5eed00000000face
#define MARK_UPPER	0x5eed00000000beef	/* in the upper half of a 256-bit register */
#define THREADS		4
#define STACK_BYTES	(256u << 10)

/* ---- threads ------------------------------------------------------------------------ */

enum kind {
	BUSY,
	READ,
	POLL,
	EPOLL_WAIT,
	NANOSLEEP,
	FUTEX,
	ACCEPT,
	KINDS,
};

/**
 * struct runner - a thread to be stopped
 * @kind: what it does
 * @thread: the thread
 * @tid: its number; 0: it has not begun
 * @turns: how often a busy one has been round
 * @end: tells a busy one to end
 * @ret: what the call of another has returned, or -errno
 * @done: that has returned
 * @fds: what it reads from, and what to write to
 * @word: of its futex
 * @stack: its stack
 */
struct runner {
	enum kind kind;
	pthread_t thread;
	volatile pid_t tid;
	volatile __u64 turns;
	volatile __u8 end;
	int ret;
	volatile bool done;
	int fds[2];
	__u32 word;
	char *stack;
};

/* Goes round with marks in registers that nothing else has. */
__attribute__((noinline))
static void runner_turn(struct runner *runner)
{
#ifdef __x86_64__
	const __u64 marks[4] = { MARK_VECTOR, MARK_VECTOR, MARK_UPPER, MARK_UPPER };

	if (__builtin_cpu_supports("avx"))
		asm volatile("vmovups %0, %%ymm15" : : "m"(marks));
	else
		asm volatile("movups %0, %%xmm15" : : "m"(marks));
	asm volatile("movq %[mark], %%r12\n"
		     "1:	incq %[turns]\n"
		     "	cmpb $0, %[end]\n"
		     "	je 1b\n"
		     : [turns] "+m"(runner->turns)
		     : [mark] "r"(MARK_REGISTER), [end] "m"(runner->end)
		     : "r12", "memory", "cc");
#else
	while (!runner->end)
		runner->turns++;
#endif
}

static long runner_call(struct runner *runner)
{
	struct pollfd poll_fd = { .fd = runner->fds[0], .events = POLLIN };
	struct timespec time = { .tv_nsec = 400000000 };
	struct epoll_event event = { .events = EPOLLIN };
	char byte;
	int epoll;

	switch (runner->kind) {
	case READ:
		return read(runner->fds[0], &byte, 1);
	case POLL:
		return poll(&poll_fd, 1, -1);
	case EPOLL_WAIT:
		epoll = epoll_create1(0);
		epoll_ctl(epoll, EPOLL_CTL_ADD, runner->fds[0], &event);
		return epoll_wait(epoll, &event, 1, -1);
	case NANOSLEEP:
		return nanosleep(&time, NULL) + 1;
	case FUTEX:
		return syscall(SYS_futex, &runner->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) + 1;
	case ACCEPT:
		return accept(runner->fds[0], NULL, NULL) >= 0 ? 1 : -1;
	default:
		runner_turn(runner);
		return 1;
	}
}

static void *runner_main(void *arg)
{
	struct runner *runner = arg;
	long ret;

	runner->tid = (pid_t)syscall(SYS_gettid);
	ret = runner_call(runner);
	runner->ret = ret < 0 ? -errno : (int)ret;
	runner->done = true;
	return NULL;
}

/* The letter of /proc that tells what a thread does; 0: it is gone. */
static char thread_state(pid_t tid)
{
	char path[64], text[512];
	const char *end;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	if (text_read(path, text, sizeof(text)))
		return 0;
	end = strrchr(text, ')');
	return end ? end[2] : 0;
}

/* Starts one; it computes, or sleeps, when this returns. */
static int runner_start(struct runner *runner, enum kind kind)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_attr_t attr;
	int ret;

	memset(runner, 0, sizeof(*runner));
	runner->kind = kind;
	if (kind == ACCEPT) {
		/* Abstract, and of this number's only thread. */
		snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "gcheap-stop-%d", getpid());
		runner->fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
		runner->fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(runner->fds[0], (struct sockaddr *)&addr, sizeof(addr)) ||
		    listen(runner->fds[0], 1))
			return -errno;
	} else if (pipe(runner->fds)) {
		return -errno;
	}
	runner->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	if (runner->stack == MAP_FAILED)
		return -errno;
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, runner->stack, STACK_BYTES);
	ret = pthread_create(&runner->thread, &attr, runner_main, runner);
	pthread_attr_destroy(&attr);
	if (ret)
		return -ret;
	while (kind == BUSY ? !runner->turns : !runner->tid || thread_state(runner->tid) != 'S')
		sched_yield();
	return 0;
}

/* Lets it end by what it waits for. */
static void runner_wake(struct runner *runner)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	runner->end = 1;
	switch (runner->kind) {
	case READ:
	case POLL:
	case EPOLL_WAIT:
		if (write(runner->fds[1], "", 1) != 1)
			perror("write");
		break;
	case FUTEX:
		syscall(SYS_futex, &runner->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		break;
	case ACCEPT:
		snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "gcheap-stop-%d", getpid());
		if (connect(runner->fds[1], (struct sockaddr *)&addr, sizeof(addr)))
			perror("connect");
		break;
	default:
		break;
	}
}

static int runner_join(struct runner *runner)
{
	pthread_join(runner->thread, NULL);
	close(runner->fds[0]);
	close(runner->fds[1]);
	munmap(runner->stack, STACK_BYTES);
	return runner->ret;
}

static int runner_end(struct runner *runner)
{
	runner_wake(runner);
	return runner_join(runner);
}

static bool in_stack(const struct runner *runner, __u64 sp)
{
	return sp - (uintptr_t)runner->stack < STACK_BYTES;
}

/* Whether a busy one goes round; some time is given to it. */
static bool goes_round(const struct runner *runner)
{
	__u64 turns = runner->turns;

	for (int i = 0; i < 2000; i++) {
		if (runner->turns != turns)
			return true;
		usleep(1000);
	}
	return false;
}

/* And whether it does not. */
static bool stands_still(const struct runner *runner)
{
	__u64 turns = runner->turns;

	usleep(20000);
	return runner->turns == turns;
}

/* ---- requests ----------------------------------------------------------------------- */

/**
 * struct stopping - a STOP and its arrays
 * @args: the request
 * @tids: who
 * @stopped: the answers
 */
struct stopping {
	struct gcheap_stop args;
	__u32 tids[THREADS];
	struct gcheap_stopped stopped[THREADS];
};

static void stop_of(struct stopping *stopping, const struct runner *runners, __u32 count)
{
	memset(stopping, 0, sizeof(*stopping));
	stopping->args.size = sizeof(stopping->args);
	stopping->args.count = count;
	stopping->args.tids = (uintptr_t)stopping->tids;
	stopping->args.stopped = (uintptr_t)stopping->stopped;
	stopping->args.stopped_bytes = sizeof(stopping->stopped[0]);
	for (__u32 i = 0; i < count; i++)
		stopping->tids[i] = runners[i].tid;
}

static int cmd_stop(int fd, struct stopping *stopping)
{
	return cmd_send(fd, GCHEAP_OP_STOP, &stopping->args);
}

static int cmd_resume(int fd, __u64 stop)
{
	struct gcheap_resume resume = { .size = sizeof(resume), .stop = stop };

	return cmd_send(fd, GCHEAP_OP_RESUME, &resume);
}

static bool holds(const __u64 *words, __u32 count, __u64 mark)
{
	for (__u32 i = 0; i < count; i++) {
		if (words[i] == mark)
			return true;
	}
	return false;
}

/* ---- what it does ------------------------------------------------------------------- */

FIXTURE(stop) {
	struct test_heap heap;
	struct stopping stopping;
	struct runner runners[THREADS];
};

FIXTURE_SETUP(stop)
{
	int ret;

	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	stop_of(&self->stopping, NULL, 0);
	ret = cmd_stop(self->heap.fd, &self->stopping);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module cannot stop threads on this kernel");
	ASSERT_OK(ret);
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
}

FIXTURE_TEARDOWN(stop)
{
	heap_close(&self->heap);
}

TEST_F(stop, setup_tells_of_it)
{
	struct gcheap_setup setup = { .size = sizeof(setup), .reserve_bytes = SMALL_RESERVE };
	int fd = device_open();

	ASSERT_LE(0, fd);
	ASSERT_OK(cmd_send(fd, GCHEAP_OP_SETUP, &setup));
	EXPECT_TRUE(setup.out_features & GCHEAP_FEATURE_STOP);
	close(fd);
}

TEST_F(stop, busy_threads_stand_still_and_go_on)
{
	for (int i = 0; i < THREADS; i++)
		ASSERT_OK(runner_start(&self->runners[i], BUSY));
	for (int round = 0; round < 3; round++) {
		stop_of(&self->stopping, self->runners, THREADS);
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		EXPECT_EQ(0, self->stopping.args.out_gone);
		for (int i = 0; i < THREADS; i++) {
			const struct gcheap_stopped *stopped = &self->stopping.stopped[i];

			EXPECT_TRUE(stands_still(&self->runners[i]));
			EXPECT_EQ(self->runners[i].tid, stopped->tid);
			EXPECT_EQ(GCHEAP_STOP_USER, stopped->state);
			EXPECT_TRUE(in_stack(&self->runners[i], stopped->sp));
			EXPECT_NE(0, stopped->ip);
			EXPECT_EQ(0, stopped->reserved);
#ifdef __x86_64__
			EXPECT_TRUE(holds(stopped->registers, GCHEAP_STOP_REGISTERS,
					  MARK_REGISTER));
			EXPECT_LE(512, stopped->vector_bytes);
			EXPECT_TRUE(holds(stopped->vector, stopped->vector_bytes / 8,
					  MARK_VECTOR));
			EXPECT_EQ(!!__builtin_cpu_supports("avx"),
				  holds(stopped->vector, stopped->vector_bytes / 8, MARK_UPPER));
#endif
		}
		ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
		for (int i = 0; i < THREADS; i++)
			EXPECT_TRUE(goes_round(&self->runners[i]));
	}
	for (int i = 0; i < THREADS; i++)
		EXPECT_EQ(1, runner_end(&self->runners[i]));
}

TEST_F(stop, those_not_named_go_on)
{
	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	ASSERT_OK(runner_start(&self->runners[1], BUSY));
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	EXPECT_TRUE(goes_round(&self->runners[1]));
	EXPECT_TRUE(stands_still(&self->runners[0]));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(1, runner_end(&self->runners[i]));
}

/* A later version's program, whose structs are longer. */
TEST_F(stop, answers_may_be_farther_apart)
{
	static __u8 room[2][sizeof(struct gcheap_stopped) + 64];

	memset(room, 0x5a, sizeof(room));
	for (int i = 0; i < 2; i++)
		ASSERT_OK(runner_start(&self->runners[i], i ? READ : BUSY));
	stop_of(&self->stopping, self->runners, 2);
	self->stopping.args.stopped = (uintptr_t)room;
	self->stopping.args.stopped_bytes = sizeof(room[0]);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(self->runners[i].tid, ((struct gcheap_stopped *)room[i])->tid);
		EXPECT_TRUE(memory_is(room[i] + sizeof(struct gcheap_stopped), 0x5a, 64));
	}
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(1, runner_end(&self->runners[i]));
}

/* A thread that its process has stopped forty times and more is still one thread's work. */
TEST_F_TIMEOUT(stop, a_thousand_times, 300)
{
	const int rounds = 1000 / (int)kernel_slowness();

	for (int i = 0; i < THREADS; i++)
		ASSERT_OK(runner_start(&self->runners[i], i % 2 ? READ : BUSY));
	for (int round = 0; round < rounds; round++) {
		stop_of(&self->stopping, self->runners, THREADS);
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping)) {
			TH_LOG("round %d", round);
		}
		ASSERT_EQ(2, self->stopping.args.out_blocked);
		ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	}
	for (int i = 0; i < THREADS; i++)
		EXPECT_EQ(1, runner_end(&self->runners[i]));
}

TEST_F(stop, heap_works_meanwhile)
{
	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	ASSERT_OK(cmd_alloc_large(self->heap.fd, 0, 1 << 20, NULL));
	ASSERT_OK(cmd_mark_start(self->heap.fd, NULL));
	ASSERT_OK(cmd_sweep_start(self->heap.fd, NULL));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_end(&self->runners[0]));
}

/* ---- system calls ------------------------------------------------------------------- */

FIXTURE(stop_call) {
	struct test_heap heap;
	struct stopping stopping;
	struct runner runner;
};

FIXTURE_VARIANT(stop_call) {
	enum kind kind;
};

FIXTURE_VARIANT_ADD(stop_call, read) {
	.kind = READ,
};

FIXTURE_VARIANT_ADD(stop_call, poll) {
	.kind = POLL,
};

FIXTURE_VARIANT_ADD(stop_call, epoll_wait) {
	.kind = EPOLL_WAIT,
};

FIXTURE_VARIANT_ADD(stop_call, nanosleep) {
	.kind = NANOSLEEP,
};

FIXTURE_VARIANT_ADD(stop_call, futex) {
	.kind = FUTEX,
};

FIXTURE_VARIANT_ADD(stop_call, accept) {
	.kind = ACCEPT,
};

FIXTURE_SETUP(stop_call)
{
	int ret;

	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	stop_of(&self->stopping, NULL, 0);
	ret = cmd_stop(self->heap.fd, &self->stopping);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module cannot stop threads on this kernel");
	ASSERT_OK(ret);
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	ASSERT_OK(runner_start(&self->runner, variant->kind));
}

FIXTURE_TEARDOWN(stop_call)
{
	heap_close(&self->heap);
}

TEST_F(stop_call, that_sleeps_does_not_notice)
{
	for (int round = 0; round < 10; round++) {
		stop_of(&self->stopping, &self->runner, 1);
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		/* A short sleep may just have ended. */
		if (variant->kind != NANOSLEEP) {
			EXPECT_EQ(1, self->stopping.args.out_blocked);
			EXPECT_EQ(GCHEAP_STOP_BLOCKED, self->stopping.stopped[0].state);
			EXPECT_EQ(0, self->stopping.stopped[0].vector_bytes);
		}
		EXPECT_TRUE(in_stack(&self->runner, self->stopping.stopped[0].sp));
		EXPECT_NE(0, self->stopping.stopped[0].ip);
		ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	}
	if (variant->kind != NANOSLEEP) {
		EXPECT_EQ('S', thread_state(self->runner.tid));
		EXPECT_FALSE(self->runner.done);
	}
	/* No EINTR. */
	EXPECT_EQ(1, runner_end(&self->runner));
}

TEST_F(stop_call, that_ends_meanwhile_returns_after_it)
{
	stop_of(&self->stopping, &self->runner, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	runner_wake(&self->runner);
	usleep(variant->kind == NANOSLEEP ? 600000 : 50000);
	EXPECT_FALSE(self->runner.done);
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_join(&self->runner));
}

/* The work of a stop that is over is still there, and the next stop makes use of it. */
TEST_F(stop_call, that_ends_after_it_is_not_held)
{
	stop_of(&self->stopping, &self->runner, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_end(&self->runner));
}

/* ---- requests that are wrong ---------------------------------------------------------- */

#define test_err_stop(err) do { \
	test_err(err, cmd_stop(self->heap.fd, &self->stopping)); \
	EXPECT_TRUE(goes_round(&self->runners[0])); \
	stop_of(&self->stopping, self->runners, 2); \
} while (0)

TEST_F(stop, test_err)
{
	char *hole = memory_before_hole(8);
	struct runner gone;

	for (int i = 0; i < 2; i++)
		ASSERT_OK(runner_start(&self->runners[i], BUSY));
	ASSERT_OK(runner_start(&gone, BUSY));
	EXPECT_EQ(1, runner_end(&gone));

	stop_of(&self->stopping, self->runners, 2);
	self->stopping.args.flags = 1;
	test_err_stop(EOPNOTSUPP);
	self->stopping.args.tids = 0;
	test_err_stop(EFAULT);
	self->stopping.args.tids = (uintptr_t)hole + 4;
	test_err_stop(EFAULT);
	self->stopping.args.tids = 0xffff888000000000ull;
	test_err_stop(EFAULT);
	self->stopping.args.stopped = 0;
	test_err_stop(EFAULT);
	self->stopping.args.stopped = (uintptr_t)hole;
	test_err_stop(EFAULT);
	self->stopping.args.stopped = 0xffff888000000000ull;
	test_err_stop(EFAULT);
	self->stopping.args.stopped = ~7ull;
	test_err_stop(EFAULT);
	/* It is read-only. */
	self->stopping.args.stopped = (uintptr_t)heap_ctrl(&self->heap);
	test_err_stop(EFAULT);
	self->stopping.args.count = GCHEAP_STOP_MAX + 1;
	test_err_stop(EOVERFLOW);
	self->stopping.args.count = ~0u;
	test_err_stop(EOVERFLOW);
	self->stopping.args.stopped_bytes = sizeof(struct gcheap_stopped) - 8;
	test_err_stop(EINVAL);
	self->stopping.args.stopped_bytes = sizeof(struct gcheap_stopped) + 4;
	test_err_stop(EINVAL);
	self->stopping.args.stopped_bytes = GCHEAP_STOPPED_MAX + 8;
	test_err_stop(EINVAL);
	self->stopping.args.stopped_bytes = 0;
	test_err_stop(EINVAL);
	self->stopping.args.wait_ms = GCHEAP_STOP_WAIT_MAX + 1;
	test_err_stop(EINVAL);
	self->stopping.args.hold_ms = GCHEAP_STOP_HOLD_MAX + 1;
	test_err_stop(EINVAL);
	/* The second of them is wrong: the first is not stopped either. */
	self->stopping.tids[1] = 0;
	test_err_stop(ESRCH);
	self->stopping.tids[1] = 1;
	test_err_stop(ESRCH);
	self->stopping.tids[1] = getppid();
	test_err_stop(ESRCH);
	self->stopping.tids[1] = ~0u;
	test_err_stop(ESRCH);
	self->stopping.tids[1] = gone.tid;
	test_err_stop(ESRCH);
	self->stopping.tids[1] = self->stopping.tids[0];
	test_err_stop(EINVAL);
	if (cmd_door != door_uring) {
		self->stopping.tids[1] = (__u32)syscall(SYS_gettid);
		test_err_stop(EINVAL);
	}
	/* And after all this it works. */
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(1, runner_end(&self->runners[i]));
}

TEST_F(stop, test_err_twice_of_one_that_sleeps)
{
	ASSERT_OK(runner_start(&self->runners[0], READ));
	/* Once its work is queued, and once not. */
	for (int round = 0; round < 2; round++) {
		stop_of(&self->stopping, self->runners, 2);
		self->stopping.tids[1] = self->stopping.tids[0];
		EXPECT_ERR(EINVAL, cmd_stop(self->heap.fd, &self->stopping));
		stop_of(&self->stopping, self->runners, 1);
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	}
	EXPECT_EQ(1, runner_end(&self->runners[0]));
}

TEST_F(stop, test_err_resume)
{
	struct gcheap_resume resume = { .size = sizeof(resume), .flags = 1 };
	struct test_heap other;
	__u64 stop;

	ASSERT_OK(heap_open(&other, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	EXPECT_ERR(EINVAL, cmd_resume(other.fd, 0));
	EXPECT_ERR(EINVAL, cmd_resume(other.fd, 1));
	EXPECT_ERR(EOPNOTSUPP, cmd_send(self->heap.fd, GCHEAP_OP_RESUME, &resume));
	EXPECT_ERR(EINVAL, cmd_resume(self->heap.fd, 0));
	EXPECT_ERR(EINVAL, cmd_resume(self->heap.fd, ~0ull));
	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	stop = self->stopping.args.out_stop;
	EXPECT_ERR(EINVAL, cmd_resume(self->heap.fd, stop + 1));
	EXPECT_ERR(ETIMEDOUT, cmd_resume(self->heap.fd, stop - 1));
	/* One stop of a process at a time. */
	EXPECT_ERR(EBUSY, cmd_stop(self->heap.fd, &self->stopping));
	EXPECT_ERR(EBUSY, cmd_stop(other.fd, &self->stopping));
	EXPECT_ERR(EINVAL, cmd_resume(other.fd, stop));
	EXPECT_TRUE(stands_still(&self->runners[0]));
	ASSERT_OK(cmd_resume(self->heap.fd, stop));
	EXPECT_ERR(ETIMEDOUT, cmd_resume(self->heap.fd, stop));
	EXPECT_TRUE(goes_round(&self->runners[0]));
	ASSERT_OK(cmd_stop(other.fd, &self->stopping));
	ASSERT_OK(cmd_resume(other.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_end(&self->runners[0]));
	heap_close(&other);
}

/* ---- ends that are not a RESUME ------------------------------------------------------ */

TEST_F(stop, held_too_long_goes_on_and_resume_tells)
{
	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	stop_of(&self->stopping, self->runners, 1);
	self->stopping.args.wait_ms = 1000;
	self->stopping.args.hold_ms = 1;
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	EXPECT_TRUE(goes_round(&self->runners[0]));
	EXPECT_ERR(ETIMEDOUT, cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_end(&self->runners[0]));
}

/* Nobody has gone on, so nothing has happened to the stop, but others may have theirs. */
TEST_F(stop, held_too_long_of_those_that_sleep_is_no_harm)
{
	__u64 stop;

	ASSERT_OK(runner_start(&self->runners[0], READ));
	for (int round = 0; round < 2; round++) {
		stop_of(&self->stopping, self->runners, 1);
		self->stopping.args.wait_ms = 1;
		self->stopping.args.hold_ms = 1;
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		usleep(100000);
		stop = self->stopping.args.out_stop;
		if (!round) {
			EXPECT_OK(cmd_resume(self->heap.fd, stop));
			continue;
		}
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		EXPECT_ERR(ETIMEDOUT, cmd_resume(self->heap.fd, stop));
	}
	EXPECT_EQ(1, runner_end(&self->runners[0]));
}

TEST_F(stop, ends_when_a_descriptor_is_closed)
{
	int copy = dup(self->heap.fd);

	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	close(copy);
	EXPECT_TRUE(goes_round(&self->runners[0]));
	EXPECT_ERR(ETIMEDOUT, cmd_resume(self->heap.fd, self->stopping.args.out_stop));

	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	heap_close(&self->heap);
	EXPECT_TRUE(goes_round(&self->runners[0]));
	EXPECT_EQ(1, runner_end(&self->runners[0]));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
}

static int close_main(void *arg)
{
	close(*(int *)arg);
	return 0;
}

TEST_F(stop, goes_on_when_a_child_closes_its_descriptor)
{
	static char stack[64 << 10] __attribute__((aligned(64)));
	const int flags[] = { 0, CLONE_VM };

	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	for (int i = 0; i < 2; i++) {
		pid_t child;

		stop_of(&self->stopping, self->runners, 1);
		ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
		child = clone(close_main, stack + sizeof(stack), flags[i] | SIGCHLD,
			      &self->heap.fd);
		ASSERT_LT(0, child);
		EXPECT_EQ(0, child_wait(child));
		EXPECT_TRUE(stands_still(&self->runners[0]));
		EXPECT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	}
	EXPECT_EQ(1, runner_end(&self->runners[0]));
}

enum end {
	END_KILL,
	END_EXIT,
	END_EXEC,
	END_SEGV,
	ENDS,
};

/* A process that stops its threads, and ends. */
static int end_child(enum end end)
{
	char *argv[] = { "stop_test", "--nothing", NULL };
	static struct runner runners[THREADS];
	static struct stopping stopping;
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE))
		return 1;
	for (int i = 0; i < THREADS; i++) {
		if (runner_start(&runners[i], i % 2 ? READ : BUSY))
			return 2;
	}
	stop_of(&stopping, runners, THREADS);
	stopping.args.hold_ms = GCHEAP_STOP_HOLD_MAX;
	if (cmd_stop(heap.fd, &stopping))
		return 3;
	switch (end) {
	case END_KILL:
		kill(getpid(), SIGKILL);
		return 4;
	case END_EXEC:
		fcntl(heap.fd, F_SETFD, 0);
		execv("/proc/self/exe", argv);
		return 5;
	case END_SEGV:
		signal(SIGSEGV, SIG_DFL);
		kill(getpid(), SIGSEGV);
		return 6;
	default:
		_exit(0);
	}
}

TEST_F(stop, process_can_end_meanwhile)
{
	/* That of another program is its own matter. */
	static const int statuses[ENDS] = { -SIGKILL, 0, 0, -SIGSEGV };

	for (int end = 0; end < ENDS; end++) {
		pid_t child = fork();
		int status;

		ASSERT_LE(0, child);
		if (!child)
			_exit(end_child(end));
		status = child_wait(child);
		if (end == END_EXEC && status >= 0)
			status = 0;
		EXPECT_EQ(statuses[end], status);
	}
}

/* SIGSTOP of one who has stopped others: they keep it from being complete, but not for ever. */
static int stopped_child(void)
{
	static struct runner runner;
	static struct stopping stopping;
	struct test_heap heap;

	if (heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE) || runner_start(&runner, BUSY))
		return 1;
	stop_of(&stopping, &runner, 1);
	stopping.args.hold_ms = 200;
	if (cmd_stop(heap.fd, &stopping))
		return 2;
	raise(SIGSTOP);
	return cmd_resume(heap.fd, stopping.args.out_stop) == -ETIMEDOUT ? 0 : 3;
}

TEST_F(stop, job_control_waits_for_the_held_only_so_long)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child)
		_exit(stopped_child());
	ASSERT_EQ(child, waitpid(child, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	kill(child, SIGCONT);
	EXPECT_EQ(0, child_wait(child));
}

/* ---- threads that come and go, and that stop each other --------------------------------- */

static void *short_main(void *arg)
{
	*(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
	return NULL;
}

TEST_F_TIMEOUT(stop, of_threads_that_end_finds_them_gone, 120)
{
	__u32 gone = 0, stopped = 0, missing = 0;

	for (int round = 0; round < rounds_here(400); round++) {
		volatile pid_t tid = 0;
		pthread_t thread;
		int ret;

		ASSERT_EQ(0, pthread_create(&thread, NULL, short_main, (void *)&tid));
		while (!tid)
			sched_yield();
		stop_of(&self->stopping, NULL, 0);
		self->stopping.args.count = 1;
		self->stopping.tids[0] = tid;
		ret = cmd_stop(self->heap.fd, &self->stopping);
		if (ret) {
			ASSERT_EQ(-ESRCH, ret);
			missing++;
		} else {
			if (self->stopping.args.out_gone)
				gone++;
			else
				stopped++;
			ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
		}
		pthread_join(thread, NULL);
	}
	TH_LOG("%u were stopped, %u gone, %u not there", stopped, gone, missing);
}

struct rival {
	int fd;
	volatile pid_t tid;
	volatile pid_t *other;
	int rounds;
	int stops;
	int error;
};

static void *rival_main(void *arg)
{
	struct rival *rival = arg;
	struct stopping stopping;

	rival->tid = (pid_t)syscall(SYS_gettid);
	while (!*rival->other)
		sched_yield();
	for (int round = 0; round < rival->rounds && !rival->error; round++) {
		int ret;

		stop_of(&stopping, NULL, 0);
		stopping.args.count = 1;
		stopping.tids[0] = *rival->other;
		ret = cmd_stop(rival->fd, &stopping);
		if (!ret) {
			rival->stops++;
			ret = cmd_resume(rival->fd, stopping.args.out_stop);
		}
		/* ESRCH: the other has ended. */
		if (ret && ret != -EBUSY && ret != -ESRCH)
			rival->error = ret;
	}
	return NULL;
}

TEST_F_TIMEOUT(stop, two_that_stop_each_other, 120)
{
	struct rival rivals[2] = { };
	struct test_heap other;
	pthread_t threads[2];

	ASSERT_OK(heap_open(&other, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	for (int i = 0; i < 2; i++) {
		rivals[i].fd = i ? other.fd : self->heap.fd;
		rivals[i].other = &rivals[!i].tid;
		rivals[i].rounds = rounds_here(1000);
	}
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, rival_main, &rivals[i]));
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, rivals[i].error);
		TH_LOG("%d of %d", rivals[i].stops, rivals[i].rounds);
	}
	heap_close(&other);
}

/* ---- threads that cannot be stopped ------------------------------------------------------ */

static void *toucher_main(void *arg)
{
	volatile char *page = arg;

	return (void *)(uintptr_t)*page;
}

/*
 * A page fault that takes as long as another thread pleases: who sleeps in it may have
 * pointers in vector registers.
 */
TEST_F(stop, of_a_thread_in_a_long_page_fault_fails)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = { };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffd_msg message;
	pthread_t thread;
	pid_t tid = 0;
	char *page, path[64], text[4096];

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &range));
	ASSERT_OK(runner_start(&self->runners[0], BUSY));
	ASSERT_EQ(0, pthread_create(&thread, NULL, toucher_main, page));
	ASSERT_EQ((ssize_t)sizeof(message), read(uffd, &message, sizeof(message)));
	/* Its number is the last of the process's. */
	for (int i = getpid() + 1; i < getpid() + 1000; i++) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", i);
		if (!text_read(path, text, sizeof(text)))
			tid = i;
	}
	ASSERT_LT(0, tid);

	stop_of(&self->stopping, self->runners, 2);
	self->stopping.tids[1] = tid;
	self->stopping.args.wait_ms = 50;
	EXPECT_ERR(ETIMEDOUT, cmd_stop(self->heap.fd, &self->stopping));
	EXPECT_EQ(GCHEAP_STOP_USER, self->stopping.stopped[0].state);
	EXPECT_EQ(GCHEAP_STOP_RUNNING, self->stopping.stopped[1].state);
	EXPECT_EQ(tid, self->stopping.stopped[1].tid);
	EXPECT_TRUE(goes_round(&self->runners[0]));
	zero.range = range.range;
	EXPECT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	/* Its work was of a stop that is over. */
	pthread_join(thread, NULL);
	stop_of(&self->stopping, self->runners, 1);
	ASSERT_OK(cmd_stop(self->heap.fd, &self->stopping));
	ASSERT_OK(cmd_resume(self->heap.fd, self->stopping.args.out_stop));
	EXPECT_EQ(1, runner_end(&self->runners[0]));
	munmap(page, 4096);
	close(uffd);
}

TEST_HARNESS_MAIN
