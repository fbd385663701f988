// SPDX-License-Identifier: MIT
/*
 * What stops threads, and system calls: which go on beside the signal, which end early, which get
 * none; that none notices the module; and what is said of threads that do not stop.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/**
 * struct blocked - a thread that blocks
 * @heap: where it is attached
 * @call: what it calls; 0 or -errno
 * @parks: it parks around that
 * @self: it
 * @tid: the same for the kernel; 0: not yet
 * @fds: pipes and sockets: @call waits for the first
 * @word: a futex
 * @result: what @call said
 * @has_ended: it did
 */
struct blocked {
	struct gcheap *heap;
	int (*call)(struct blocked *blocked);
	bool parks;
	pthread_t self;
	pid_t tid;
	int fds[2];
	uint32_t word;
	int result;
	bool has_ended;
};

static void *blocked_main(void *arg)
{
	struct blocked *blocked = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(blocked->heap, &thread))
		abort();
	if (blocked->parks)
		gcheap_park(thread);
	__atomic_store_n(&blocked->tid, gettid(), __ATOMIC_RELEASE);
	blocked->result = blocked->call(blocked);
	__atomic_store_n(&blocked->has_ended, true, __ATOMIC_RELEASE);
	gcheap_unpark(thread);
	gcheap_thread_detach(thread);
	return NULL;
}

/* Whether a thread sleeps in the kernel. */
static bool sleeps(pid_t tid)
{
	char path[64], text[512] = "";
	ssize_t bytes;
	char *at;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(bytes > 0);
	at = strrchr(text, ')');
	assert_non_null(at);
	return at[2] == 'S';
}

static void blocked_begin(struct blocked *blocked, struct fixture *f)
{
	blocked->heap = f->heap;
	assert_int_equal(pthread_create(&blocked->self, NULL, blocked_main, blocked), 0);
	while (!__atomic_load_n(&blocked->tid, __ATOMIC_ACQUIRE))
		usleep(100);
	while (!sleeps(blocked->tid))
		usleep(100);
}

static void blocked_join(struct blocked *blocked, struct fixture *f)
{
	gcheap_park(f->thread);
	pthread_join(blocked->self, NULL);
	gcheap_unpark(f->thread);
}

static void heap_open(struct fixture *f)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	config.gc_percent = -1;
	fixture_open_with(f, &config);
}

static int result_of(long result)
{
	return result < 0 ? -errno : 0;
}

/* ---- calls that go on ------------------------------------------------------------------ */

/* Cycles beside a call that ends when @release has been called, and not before. */
static void goes_on(struct blocked *blocked, void (*release)(struct blocked *blocked))
{
	struct fixture f;
	int i;

	heap_open(&f);
	blocked_begin(blocked, &f);
	for (i = 0; i < 20; i++) {
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_false(__atomic_load_n(&blocked->has_ended, __ATOMIC_ACQUIRE));
	}
	release(blocked);
	blocked_join(blocked, &f);
	assert_int_equal(blocked->result, 0);
	fixture_close(&f);
}

static int call_read(struct blocked *blocked)
{
	char byte;

	return result_of(read(blocked->fds[0], &byte, 1));
}

static void release_fd(struct blocked *blocked)
{
	assert_int_equal(write(blocked->fds[1], "x", 1), 1);
}

static void fds_make(struct blocked *blocked)
{
	assert_int_equal(pipe(blocked->fds), 0);
}

static void fds_close(const struct blocked *blocked)
{
	close(blocked->fds[0]);
	close(blocked->fds[1]);
}

static void read_goes_on(void **state)
{
	struct blocked blocked = { .call = call_read };

	(void)state;
	fds_make(&blocked);
	goes_on(&blocked, release_fd);
	fds_close(&blocked);
}

static int call_accept(struct blocked *blocked)
{
	int fd = accept(blocked->fds[0], NULL, NULL);

	if (fd >= 0)
		close(fd);
	return result_of(fd);
}

static void release_connect(struct blocked *blocked)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(blocked->fds[0], (void *)&address, &length), 0);
	assert_int_equal(connect(blocked->fds[1], (void *)&address, length), 0);
}

static void accept_goes_on(void **state)
{
	struct blocked blocked = { .call = call_accept };
	struct sockaddr any = { .sa_family = AF_UNIX };

	(void)state;
	blocked.fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	blocked.fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(blocked.fds[0] >= 0 && blocked.fds[1] >= 0);
	/* An address of the kernel's choice. */
	assert_int_equal(bind(blocked.fds[0], &any, sizeof(any.sa_family)), 0);
	assert_int_equal(listen(blocked.fds[0], 1), 0);
	goes_on(&blocked, release_connect);
	fds_close(&blocked);
}

static int call_futex(struct blocked *blocked)
{
	int result = result_of(syscall(SYS_futex, &blocked->word, FUTEX_WAIT_PRIVATE, 0, NULL,
				       NULL, 0));

	/* It may have been on its way back into the call when the word changed. */
	return result == -EAGAIN ? 0 : result;
}

static void release_futex(struct blocked *blocked)
{
	__atomic_store_n(&blocked->word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &blocked->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_without_a_timeout_goes_on(void **state)
{
	struct blocked blocked = { .call = call_futex };

	(void)state;
	goes_on(&blocked, release_futex);
}

static int call_waitpid(struct blocked *blocked)
{
	return result_of(waitpid((pid_t)blocked->word, NULL, 0));
}

static void waitpid_goes_on(void **state)
{
	struct blocked blocked = { .call = call_waitpid };
	pid_t child;
	char byte;

	(void)state;
	fds_make(&blocked);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (read(blocked.fds[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	blocked.word = (uint32_t)child;
	goes_on(&blocked, release_fd);
	fds_close(&blocked);
}

/* ---- calls that end early -------------------------------------------------------------- */

/* So long that none of the tests waits for it: seconds. */
#define LONG	100000

static int call_poll(struct blocked *blocked)
{
	struct pollfd fd = { .fd = blocked->fds[0], .events = POLLIN };

	return result_of(poll(&fd, 1, -1));
}

static int call_select(struct blocked *blocked)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(blocked->fds[0], &set);
	return result_of(select(blocked->fds[0] + 1, &set, NULL, NULL, NULL));
}

static int call_epoll(struct blocked *blocked)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0);
	int result;

	if (epoll_ctl(fd, EPOLL_CTL_ADD, blocked->fds[0], &event))
		return -1;
	result = result_of(epoll_wait(fd, &event, 1, -1));
	close(fd);
	return result;
}

static int call_nanosleep(struct blocked *blocked)
{
	const struct timespec time = { .tv_sec = LONG };

	(void)blocked;
	return result_of(nanosleep(&time, NULL));
}

static int call_sleep_until(struct blocked *blocked)
{
	struct timespec time;

	(void)blocked;
	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += LONG;
	return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static int call_futex_timeout(struct blocked *blocked)
{
	const struct timespec time = { .tv_sec = LONG };

	return result_of(syscall(SYS_futex, &blocked->word, FUTEX_WAIT_PRIVATE, 0, &time, NULL,
				 0));
}

static int call_receive_timeout(struct blocked *blocked)
{
	const struct timeval time = { .tv_sec = LONG };
	char byte;

	if (setsockopt(blocked->fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)))
		return -1;
	return result_of(recv(blocked->fds[0], &byte, 1, 0));
}

static const struct ends_early {
	const char *name;
	int (*call)(struct blocked *blocked);
	/* Who parks is released by this; else the call would wait for ever. */
	void (*release)(struct blocked *blocked);
} ends_early[] = {
	{ "poll", call_poll, release_fd },
	{ "select", call_select, release_fd },
	{ "epoll_wait", call_epoll, release_fd },
	{ "futex with a timeout", call_futex_timeout, release_futex },
	{ "recv with SO_RCVTIMEO", call_receive_timeout, release_fd },
	{ "nanosleep", call_nanosleep, NULL },
	{ "clock_nanosleep", call_sleep_until, NULL },
};

static void early_begin(struct blocked *blocked, struct fixture *f, size_t i)
{
	*blocked = (struct blocked) { .call = ends_early[i].call };
	heap_open(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, blocked->fds), 0);
}

/* What Documentation/threads.md says that ends with EINTR does: else it says too much. */
static void some_calls_end_early(void **state)
{
	struct blocked blocked;
	struct fixture f;
	size_t i;

	(void)state;
	variable_set("GCHEAP_STOP", "signal");
	for (i = 0; i < ARRAY_SIZE(ends_early); i++) {
		early_begin(&blocked, &f, i);
		blocked_begin(&blocked, &f);
		assert_int_equal(gcheap_collect(f.thread), 0);
		blocked_join(&blocked, &f);
		if (blocked.result != -EINTR)
			fail_msg("%s: %d", ends_early[i].name, blocked.result);
		fds_close(&blocked);
		fixture_close(&f);
	}
}

static void nobody(int number)
{
	(void)number;
}

/* The same calls get no signal, or they would end. */
static void parked_threads_get_no_signal(void **state)
{
	struct sigaction end = { .sa_handler = nobody };
	struct blocked blocked;
	struct fixture f;
	size_t i;
	int n;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &end, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(ends_early); i++) {
		early_begin(&blocked, &f, i);
		blocked.parks = true;
		blocked_begin(&blocked, &f);
		for (n = 0; n < 20; n++) {
			assert_int_equal(gcheap_collect(f.thread), 0);
			if (__atomic_load_n(&blocked.has_ended, __ATOMIC_ACQUIRE))
				fail_msg("%s: it ended: %d", ends_early[i].name, blocked.result);
		}
		if (ends_early[i].release)
			ends_early[i].release(&blocked);
		else
			pthread_kill(blocked.self, SIGUSR1);
		blocked_join(&blocked, &f);
		if (blocked.result != (ends_early[i].release ? 0 : -EINTR))
			fail_msg("%s: %d", ends_early[i].name, blocked.result);
		fds_close(&blocked);
		fixture_close(&f);
	}
	signal(SIGUSR1, SIG_DFL);
}

/* How often a thread has gone to sleep. */
static unsigned long sleeps_of(pid_t tid)
{
	char path[64], line[128];
	unsigned long count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %lu", &count);
	fclose(file);
	return count;
}

/* The module stops threads without a signal: the same calls do not even wake. */
static void no_call_ends_when_the_kernel_stops_threads(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct sigaction end = { .sa_handler = nobody };
	struct blocked blocked;
	struct gcheap *heap;
	unsigned long count;
	struct fixture f;
	size_t i;
	int n;

	(void)state;
	variable_set("GCHEAP_STOP", "kernel");
	if (gcheap_open(&config, &heap))
		skip_because("no module stops threads here");
	gcheap_close(heap);
	assert_int_equal(sigaction(SIGUSR1, &end, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(ends_early); i++) {
		early_begin(&blocked, &f, i);
		blocked_begin(&blocked, &f);
		/* That it is about to sleep is seen before it does. */
		usleep(20000);
		count = sleeps_of(blocked.tid);
		assert_true(count > 0);
		for (n = 0; n < 20; n++) {
			assert_int_equal(gcheap_collect(f.thread), 0);
			if (__atomic_load_n(&blocked.has_ended, __ATOMIC_ACQUIRE))
				fail_msg("%s: it ended: %d", ends_early[i].name, blocked.result);
		}
		if (sleeps_of(blocked.tid) != count)
			fail_msg("%s: it was woken", ends_early[i].name);
		if (ends_early[i].release)
			ends_early[i].release(&blocked);
		else
			pthread_kill(blocked.self, SIGUSR1);
		blocked_join(&blocked, &f);
		if (blocked.result != (ends_early[i].release ? 0 : -EINTR))
			fail_msg("%s: %d", ends_early[i].name, blocked.result);
		fds_close(&blocked);
		fixture_close(&f);
	}
	signal(SIGUSR1, SIG_DFL);
}

/* ---- threads that do not stop ----------------------------------------------------------- */

/* stderr goes to a pipe, which is read up to a line with @words. */
static void wait_for_words(int fd, const char *words)
{
	char text[4096] = "";
	size_t used = 0;

	while (!strstr(text, words)) {
		ssize_t bytes = read(fd, text + used, sizeof(text) - used - 1);

		if (bytes <= 0 || used + (size_t)bytes >= sizeof(text) - 1)
			fail_msg("\"%s\" does not say \"%s\"", text, words);
		used += (size_t)bytes;
		text[used] = 0;
	}
}

/**
 * struct late - a thread that keeps a cycle waiting, and that which runs it
 * @f: the other's
 * @run: what the one does until it shall end
 * @late: it
 * @collector: the other
 * @tid: the one's
 * @shall_end: it ends soon
 * @pipe: what it may block in
 * @error: of the cycle
 */
static struct late {
	struct fixture f;
	void (*run)(struct late *late, struct gcheap_thread *thread);
	pthread_t self, collector;
	pid_t tid;
	bool shall_end;
	int pipe[2];
	int error;
} late;

static void *late_main(void *arg)
{
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(late.f.heap, &thread))
		abort();
	late.run(arg, thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void *collector_main(void *unused)
{
	struct gcheap_thread *thread;

	(void)unused;
	if (gcheap_thread_attach(late.f.heap, &thread))
		abort();
	late.error = gcheap_collect(thread);
	gcheap_thread_detach(thread);
	return NULL;
}

/*
 * A thread that does not stop is named, with @words; then @release has it stop. The main thread
 * is parked: it is not waited for.
 */
static void named_with(void (*run)(struct late *late, struct gcheap_thread *thread),
		       int stop_signal, const char *words, void (*release)(void))
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	int said[2], old;

	config.gc_percent = -1;
	config.stop_signal = stop_signal;
	memset(&late, 0, sizeof(late));
	fixture_open_with(&late.f, &config);
	late.run = run;
	assert_int_equal(pipe(late.pipe), 0);
	assert_int_equal(pipe(said), 0);
	old = dup(STDERR_FILENO);
	dup2(said[1], STDERR_FILENO);
	gcheap_park(late.f.thread);
	assert_int_equal(pthread_create(&late.self, NULL, late_main, &late), 0);
	while (!__atomic_load_n(&late.tid, __ATOMIC_ACQUIRE))
		usleep(100);
	assert_int_equal(pthread_create(&late.collector, NULL, collector_main, NULL), 0);
	wait_for_words(said[0], words);
	dup2(old, STDERR_FILENO);
	release();
	pthread_join(late.collector, NULL);
	__atomic_store_n(&late.shall_end, true, __ATOMIC_RELEASE);
	close(late.pipe[1]);
	pthread_join(late.self, NULL);
	gcheap_unpark(late.f.thread);
	assert_int_equal(late.error, 0);
	close(late.pipe[0]);
	close(said[0]);
	close(said[1]);
	close(old);
	fixture_close(&late.f);
}

static void end_late(void)
{
	__atomic_store_n(&late.shall_end, true, __ATOMIC_RELEASE);
	if (write(late.pipe[1], "x", 1) != 1)
		abort();
}

static void compute(struct late *this, struct gcheap_thread *thread)
{
	(void)thread;
	__atomic_store_n(&this->tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&this->shall_end, __ATOMIC_ACQUIRE))
		;
}

static void compute_with_all_blocked(struct late *this, struct gcheap_thread *thread)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	compute(this, thread);
}

static void block_in_read(struct late *this, struct gcheap_thread *thread)
{
	char byte;

	(void)thread;
	__atomic_store_n(&this->tid, gettid(), __ATOMIC_RELEASE);
	if (read(this->pipe[0], &byte, 1) != 1)
		abort();
}

static void who_blocks_the_signal_is_named(void **state)
{
	(void)state;
	variable_set("GCHEAP_STOP", "signal");
	named_with(compute_with_all_blocked, 0,
		   "in the program, computing (state R); it blocks signal ", end_late);
}

static void who_computes_without_a_signal_is_named(void **state)
{
	(void)state;
	named_with(compute, -1, "in the program, computing (state R); no signal stops threads",
		   end_late);
}

static void who_blocks_without_a_signal_is_named(void **state)
{
	(void)state;
	named_with(block_in_read, -1, "in the program, in system call 0, called at 0x", end_late);
}

static void who_is_named_is_named_by_its_name(void **state)
{
	char name[32];

	(void)state;
	snprintf(name, sizeof(name), "(test_stop_calls)");
	named_with(block_in_read, -1, name, end_late);
}

static struct rlimit pending;

static void pending_back(void)
{
	if (setrlimit(RLIMIT_SIGPENDING, &pending))
		abort();
}

/* Until there is room for signals, the cycle waits, and then it goes on. */
static void signals_that_have_no_room_are_sent_again(void **state)
{
	struct rlimit none;

	(void)state;
	variable_set("GCHEAP_STOP", "signal");
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &pending), 0);
	none = (struct rlimit) { .rlim_cur = 0, .rlim_max = pending.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	named_with(compute, 0, "raise RLIMIT_SIGPENDING", pending_back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_goes_on),
		cmocka_unit_test(accept_goes_on),
		cmocka_unit_test(futex_without_a_timeout_goes_on),
		cmocka_unit_test(waitpid_goes_on),
		cmocka_unit_test_teardown(some_calls_end_early, variables_restore),
		cmocka_unit_test_teardown(no_call_ends_when_the_kernel_stops_threads,
					  variables_restore),
		cmocka_unit_test(parked_threads_get_no_signal),
		cmocka_unit_test_teardown(who_blocks_the_signal_is_named, variables_restore),
		cmocka_unit_test(who_computes_without_a_signal_is_named),
		cmocka_unit_test(who_blocks_without_a_signal_is_named),
		cmocka_unit_test(who_is_named_is_named_by_its_name),
		cmocka_unit_test_teardown(signals_that_have_no_room_are_sent_again,
					  variables_restore),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stop_calls", tests, NULL, NULL);
}
