// SPDX-License-Identifier: MIT
/*
 * The module stops threads, without a signal: what it leaves out is scanned all the same, what it
 * cannot do the signal does, and who is in the library is not kept there.
 *
 * Requests and the clock are this program's: it counts and changes them.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <linux/gcheap.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KEY	0x5ca1ab1e0ddba11ull
#define LEAF	64u
#define TAKEN	50000u
#define LARGE	((size_t)1 << 20)

/**
 * struct fake - what is done to requests and to the clock
 * @stops: how many STOP were sent
 * @resumes: how many RESUME
 * @stop_error: what STOP fails with, without being sent; 0: it is sent
 * @stop_state: what all threads are said to be; 0: what they are
 * @resume_error: what RESUME fails with, after it was sent
 * @marking_s: seconds by which the clock goes ahead at each MARK_START
 * @marks_held: a cycle began to mark with threads held
 * @clock_s: by how many it has gone ahead
 * @large_waits: an ALLOC_LARGE waits
 * @large_is_there: one does
 */
static struct fake {
	unsigned int stops, resumes;
	int stop_error;
	uint32_t stop_state;
	int resume_error;
	long marking_s;
	bool marks_held;
	long clock_s;
	bool large_waits;
	bool large_is_there;
} fake;

static long fake_stop(int fd, unsigned long request, struct gcheap_stop *stop)
{
	struct gcheap_stopped *stopped = (struct gcheap_stopped *)(uintptr_t)stop->stopped;
	long result;
	uint32_t i;

	__atomic_fetch_add(&fake.stops, 1, __ATOMIC_SEQ_CST);
	if (fake.stop_error) {
		errno = fake.stop_error;
		return -1;
	}
	result = syscall(SYS_ioctl, fd, request, stop);
	for (i = 0; !result && fake.stop_state && i < stop->count; i++)
		stopped[i].state = fake.stop_state;
	return result;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	long result;
	void *arg;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	if (request == GCHEAP_IOC_STOP)
		return (int)fake_stop(fd, request, arg);
	if (request == GCHEAP_IOC_MARK_START) {
		fake.clock_s += fake.marking_s;
		fake.marks_held |= fake.stops != fake.resumes;
	}
	if (request == GCHEAP_IOC_ALLOC_LARGE &&
	    __atomic_load_n(&fake.large_waits, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&fake.large_is_there, true, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&fake.large_waits, __ATOMIC_SEQ_CST))
			;
	}
	result = syscall(SYS_ioctl, fd, request, arg);
	if (request == GCHEAP_IOC_RESUME) {
		__atomic_fetch_add(&fake.resumes, 1, __ATOMIC_SEQ_CST);
		if (!result && fake.resume_error) {
			errno = fake.resume_error;
			return -1;
		}
	}
	return (int)result;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = (int)syscall(SYS_clock_gettime, clock, time);

	time->tv_sec += fake.clock_s;
	return result;
}

/**
 * struct side - a thread beside the one that collects
 * @f: the other's heap
 * @heap: the same
 * @run: what it does
 * @self: it
 * @waits: it is where it shall be stopped, soon
 * @shall_end: it goes on
 * @turns: how often one that computes has been round
 * @error: what went wrong
 */
struct side {
	struct fixture f;
	struct gcheap *heap;
	void (*run)(struct side *side, struct gcheap_thread *thread);
	pthread_t self;
	bool waits;
	bool shall_end;
	unsigned int turns;
	const char *error;
};

static void *side_main(void *arg)
{
	struct side *side = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(side->heap, &thread))
		abort();
	side->run(side, thread);
	gcheap_thread_detach(thread);
	return NULL;
}

/* False: the kernel stops no threads here. */
static bool side_begin(struct side *side, void (*run)(struct side *, struct gcheap_thread *))
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	memset(&fake, 0, sizeof(fake));
	memset(side, 0, sizeof(*side));
	config.gc_percent = -1;
	variable_set("GCHEAP_STOP", "kernel");
	if (gcheap_open(&config, &side->heap)) {
		assert_error_says("GCHEAP_STOP=kernel");
		return false;
	}
	side->f.heap = side->heap;
	assert_int_equal(gcheap_thread_attach(side->heap, &side->f.thread), 0);
	side->run = run;
	assert_int_equal(pthread_create(&side->self, NULL, side_main, side), 0);
	while (!__atomic_load_n(&side->waits, __ATOMIC_ACQUIRE))
		usleep(100);
	return true;
}

static void side_end(struct side *side)
{
	__atomic_store_n(&side->shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(side->f.thread);
	pthread_join(side->self, NULL);
	gcheap_unpark(side->f.thread);
	fixture_close(&side->f);
	if (side->error)
		fail_msg("%s", side->error);
}

#define SKIP_BECAUSE	"no module stops threads here"

static void wait_for_end(struct side *side)
{
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE))
		__atomic_fetch_add(&side->turns, 1, __ATOMIC_RELAXED);
}

/* Waits until one that the signal had stopped goes round again: it needs another stop then. */
static void goes_round(const struct side *side)
{
	unsigned int turns = __atomic_load_n(&side->turns, __ATOMIC_RELAXED);

	while (__atomic_load_n(&side->turns, __ATOMIC_RELAXED) == turns)
		usleep(100);
}

static void compute(struct side *side, struct gcheap_thread *thread)
{
	(void)thread;
	wait_for_end(side);
}

/* ---- what is scanned ----------------------------------------------------------------- */

/* Runs cycles, and takes all memory that they free; all threads were stopped by the kernel. */
static void cycles_beside(void (*run)(struct side *side, struct gcheap_thread *thread))
{
	struct side side;
	unsigned int i;

	if (!side_begin(&side, run))
		skip_because(SKIP_BECAUSE);
	for (i = 0; i < 5; i++)
		assert_int_equal(gcheap_collect(side.f.thread), 0);
	assert_true(fake.stops >= 1);
	assert_int_equal(fake.stops, fake.resumes);
	for (i = 0; i < TAKEN; i++) {
		void *leaf = gcheap_new_leaf(side.f.thread, LEAF);

		assert_non_null(leaf);
		memset(leaf, 0xff, LEAF);
	}
	side_end(&side);
}

static void compute_with_all_blocked(struct side *side, struct gcheap_thread *thread)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	compute(side, thread);
}

static void who_blocks_all_signals_is_stopped(void **state)
{
	(void)state;
	cycles_beside(compute_with_all_blocked);
}

/* An object's address, with all bits turned over, of which nothing else is left. */
static __attribute__((noinline)) uintptr_t hidden_leaf(struct gcheap_thread *thread)
{
	uint64_t *leaf = gcheap_new_leaf(thread, LEAF);
	uintptr_t hidden = ~(uintptr_t)leaf;
	int i;

	if (!leaf)
		abort();
	*leaf = KEY;
	/* The last one is held, because it might still be on its way. */
	for (i = 0; i < 3; i++)
		gcheap_new_leaf(thread, LEAF);
	__asm__ volatile("" : "=r"(leaf) : "0"(NULL));
	return hidden;
}

#if defined(__x86_64__)

static void leaf_check(struct side *side, uintptr_t leaf)
{
	if (*(const uint64_t *)leaf != KEY)
		side->error = "its object was freed";
}

/* The address is in a general register. */
static void wait_with_register(struct side *side, struct gcheap_thread *thread)
{
	uintptr_t word = hidden_leaf(thread);

	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, %[end]\n\t"
			 "je 1b"
			 : [word] "+r"(word) : [end] "m"(side->shall_end) : "memory", "cc");
	leaf_check(side, word);
}

static void registers_are_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_with_register);
}

/* In a vector register. */
static void wait_with_vector(struct side *side, struct gcheap_thread *thread)
{
	uintptr_t word = hidden_leaf(thread);

	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n\t"
			 "movq %[word], %%xmm9\n\t"
			 "xorl %k[word], %k[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, %[end]\n\t"
			 "je 1b\n\t"
			 "movq %%xmm9, %[word]\n\t"
			 "pxor %%xmm9, %%xmm9"
			 : [word] "+r"(word) : [end] "m"(side->shall_end)
			 : "memory", "cc", "xmm9");
	leaf_check(side, word);
}

static void vector_registers_are_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_with_vector);
}

/* Below the stack pointer. */
static void wait_in_red_zone(struct side *side, struct gcheap_thread *thread)
{
	uintptr_t word = hidden_leaf(thread);

	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n\t"
			 "movq %[word], -64(%%rsp)\n\t"
			 "xorl %k[word], %k[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, (%[end])\n\t"
			 "je 1b\n\t"
			 "movq -64(%%rsp), %[word]\n\t"
			 "movq $0, -64(%%rsp)"
			 : [word] "+&r"(word) : [end] "r"(&side->shall_end) : "memory", "cc");
	leaf_check(side, word);
}

static void the_red_zone_is_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_in_red_zone);
}

/* On a stack of signal handlers, which lies above where the handler has come. */
static struct side *handled;

static void handler(int number)
{
	(void)number;
	wait_for_end(handled);
}

static __attribute__((noinline)) void raise_below(struct side *side, uintptr_t hidden)
{
	volatile uintptr_t word = ~hidden;

	stack_wipe();
	/* No register has it, so that the handler's frame has none. */
	pthread_kill(pthread_self(), SIGUSR1);
	leaf_check(side, word);
}

static void wait_on_signal_stack(struct side *side, struct gcheap_thread *thread)
{
	static const struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	char room[64 << 10] __attribute__((aligned(16)));
	stack_t stack = { .ss_sp = room, .ss_size = sizeof(room) };

	memset(room, 0, sizeof(room));
	handled = side;
	if (sigaction(SIGUSR1, &action, NULL) || sigaltstack(&stack, NULL))
		abort();
	raise_below(side, hidden_leaf(thread));
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
}

static void what_a_handler_has_interrupted_is_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_on_signal_stack);
}

#endif

/* ---- who is in the library ----------------------------------------------------------- */

static void wait_in_library(struct side *side, struct gcheap_thread *thread)
{
	__atomic_store_n(&fake.large_waits, true, __ATOMIC_SEQ_CST);
	side->waits = true;
	if (!gcheap_new_leaf(thread, LARGE))
		side->error = "cannot allocate";
}

static void *release_later(void *has_ended)
{
	usleep(300000);
	/* The cycle has not, as long as the other thread is in the library. */
	if (__atomic_load_n((bool *)has_ended, __ATOMIC_SEQ_CST))
		has_ended = NULL;
	__atomic_store_n(&fake.large_waits, false, __ATOMIC_SEQ_CST);
	return has_ended;
}

static void who_is_in_the_library_leaves_it_first(void **state)
{
	bool has_ended = false;
	pthread_t releaser;
	struct side side;
	void *result;

	(void)state;
	if (!side_begin(&side, wait_in_library))
		skip_because(SKIP_BECAUSE);
	while (!__atomic_load_n(&fake.large_is_there, __ATOMIC_SEQ_CST))
		usleep(100);
	assert_int_equal(pthread_create(&releaser, NULL, release_later, &has_ended), 0);
	assert_int_equal(gcheap_collect(side.f.thread), 0);
	__atomic_store_n(&has_ended, true, __ATOMIC_SEQ_CST);
	pthread_join(releaser, &result);
	assert_non_null(result);
	assert_true(fake.stops > 1);
	assert_int_equal(fake.stops, fake.resumes);
	side_end(&side);
}

/* ---- what the kernel cannot do --------------------------------------------------------- */

/* Whatever STOP fails with, the signal stops the thread. */
static void err_stop(void **state)
{
	static const int errors[] = { EBUSY, EOPNOTSUPP, ENOMEM, ETIMEDOUT, ESRCH, EOVERFLOW };
	struct side side;
	size_t i;

	(void)state;
	if (!side_begin(&side, compute))
		skip_because(SKIP_BECAUSE);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		fake.stops = 0;
		fake.stop_error = errors[i];
		goes_round(&side);
		assert_int_equal(gcheap_collect(side.f.thread), 0);
		assert_true(fake.stops >= 1);
		assert_int_equal(fake.resumes, 0);
		/* That was for one stop. */
		fake.stop_error = 0;
		goes_round(&side);
		assert_int_equal(gcheap_collect(side.f.thread), 0);
		assert_true(fake.resumes >= 1);
		fake.resumes = 0;
	}
	side_end(&side);
}

static void threads_that_are_said_to_be_gone_get_the_signal(void **state)
{
	struct side side;

	(void)state;
	if (!side_begin(&side, compute))
		skip_because(SKIP_BECAUSE);
	fake.stop_state = GCHEAP_STOP_GONE;
	assert_int_equal(gcheap_collect(side.f.thread), 0);
	assert_true(fake.stops >= 1);
	assert_int_equal(fake.stops, fake.resumes);
	assert_false(fake.marks_held);
	side_end(&side);
}

/* A cycle in which threads may have gone on frees nothing; the next ones go by the signal. */
static void err_held_too_long(void **state)
{
	uint64_t live;
	struct side side;

	(void)state;
	if (!side_begin(&side, compute))
		skip_because(SKIP_BECAUSE);
	assert_non_null(gcheap_new_leaf(side.f.thread, LARGE));
	live = stats_of(side.heap).cycles;
	fake.marking_s = 31;
	assert_refused(gcheap_collect(side.f.thread), ETIMEDOUT, "30 seconds");
	assert_int_equal(stats_of(side.heap).cycles, live);
	assert_true(fake.stops >= 1);
	assert_int_equal(fake.stops, fake.resumes);
	fake.stops = 0;
	goes_round(&side);
	assert_int_equal(gcheap_collect(side.f.thread), 0);
	assert_int_equal(fake.stops, 0);
	assert_int_equal(stats_of(side.heap).cycles, live + 1);
	assert_int_equal(gcheap_verify(side.heap), 0);
	fake.marking_s = 0;
	side_end(&side);
}

static void err_resume(void **state)
{
	struct side side;

	(void)state;
	if (!side_begin(&side, compute))
		skip_because(SKIP_BECAUSE);
	fake.resume_error = ETIMEDOUT;
	assert_int_equal(gcheap_collect(side.f.thread), 0);
	assert_true(fake.stops >= 1);
	fake.stops = 0;
	goes_round(&side);
	assert_int_equal(gcheap_collect(side.f.thread), 0);
	assert_int_equal(fake.stops, 0);
	side_end(&side);
}

/* ---- the setting ------------------------------------------------------------------------ */

static void the_signal_can_be_chosen(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct side side;

	(void)state;
	variable_set("GCHEAP_STOP", "never");
	assert_open_refused(&config, EINVAL, "GCHEAP_STOP=never: must be auto, kernel or signal");
	variable_set("GCHEAP_STOP", "kernel");
	variable_set("GCHEAP_STOP_SIGNAL", "off");
	assert_open_refused(&config, EINVAL, "leave out one of the two");
	variable_set("GCHEAP_STOP_SIGNAL", NULL);
	if (!side_begin(&side, compute))
		skip_because(SKIP_BECAUSE);
	side_end(&side);
	variable_set("GCHEAP_STOP", "signal");
	memset(&fake, 0, sizeof(fake));
	assert_opens(&config);
	assert_int_equal(fake.stops, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(who_blocks_all_signals_is_stopped, variables_restore),
#if defined(__x86_64__)
		cmocka_unit_test_teardown(registers_are_scanned, variables_restore),
		cmocka_unit_test_teardown(vector_registers_are_scanned, variables_restore),
		cmocka_unit_test_teardown(the_red_zone_is_scanned, variables_restore),
		cmocka_unit_test_teardown(what_a_handler_has_interrupted_is_scanned,
					  variables_restore),
#endif
		cmocka_unit_test_teardown(who_is_in_the_library_leaves_it_first,
					  variables_restore),
		cmocka_unit_test_teardown(err_stop, variables_restore),
		cmocka_unit_test_teardown(threads_that_are_said_to_be_gone_get_the_signal,
					  variables_restore),
		cmocka_unit_test_teardown(err_held_too_long, variables_restore),
		cmocka_unit_test_teardown(err_resume, variables_restore),
		cmocka_unit_test_teardown(the_signal_can_be_chosen, variables_restore),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stop_kernel", tests, NULL, NULL);
}
