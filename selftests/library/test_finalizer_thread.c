// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -lgcc_s */
/*
 * GCHEAP_FINALIZER_THREAD: a thread of the library's own runs what is queued, comes when there is
 * something, and goes with the heap, or with the last thread of the program.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#define THREAD_NAME	"gcheap-finalize"

static struct fixture own;
static unsigned int calls, stage;
static pid_t ran_in;

static unsigned int load(const unsigned int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Waits, but not for ever; the thread is parked, as whoever waits should be. */
static bool comes_to(const unsigned int *word, unsigned int value)
{
	unsigned int i;

	gcheap_park(own.thread);
	for (i = 0; i < 200000 && load(word) < value; i++)
		usleep(100);
	gcheap_unpark(own.thread);
	return load(word) >= value;
}

static bool line_of(pid_t tid, const char *file, const char *begin, char *line, size_t bytes)
{
	char path[64];
	bool found = false;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, file);
	stream = fopen(path, "r");
	while (stream && !found && fgets(line, (int)bytes, stream))
		found = !strncmp(line, begin, strlen(begin));
	if (stream)
		fclose(stream);
	return found;
}

/* How many such threads the process has; @tid: receives one. */
static unsigned int finalizer_threads(pid_t *tid)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned int count = 0;
	char line[64];

	while ((entry = readdir(tasks))) {
		pid_t task = atoi(entry->d_name);

		if (!task || !line_of(task, "comm", THREAD_NAME, line, sizeof(line)))
			continue;
		count++;
		*tid = task;
	}
	closedir(tasks);
	return count;
}

/*
 * A thread that was joined is in /proc until the kernel is done with it, and a reader of that folder
 * may miss one while another goes.
 */
static bool no_thread_is_left(void)
{
	unsigned int i, none = 0;
	pid_t tid;

	for (i = 0; i < 20000 && none < 3; i++) {
		none = finalizer_threads(&tid) ? 0 : none + 1;
		if (!none)
			usleep(1000);
	}
	return none >= 3;
}

/* What pthread_create() says, below. */
static bool refuses;

static int own_setup(void **state)
{
	struct gcheap_config config = fixture_config();

	config.flags |= GCHEAP_FINALIZER_THREAD;
	calls = 0;
	stage = 0;
	ran_in = 0;
	refuses = false;
	fixture_open_with(&own, &config);
	*state = &own;
	return 0;
}

static int own_teardown(void **state)
{
	(void)state;
	if (own.heap)
		fixture_close(&own);
	assert_true(no_thread_is_left());
	return 0;
}

#define own_test(test)	cmocka_unit_test_setup_teardown(test, own_setup, own_teardown)

static void *leaf_with(struct fixture *f, void (*fn)(void *obj, void *arg), void *arg)
{
	void *leaf = gcheap_new_leaf(f->thread, 64);

	assert_non_null(leaf);
	assert_int_equal(gcheap_finalizer_set(f->heap, leaf, fn, arg), 0);
	return leaf;
}

static void drop_with(struct fixture *f, unsigned int count, void (*fn)(void *obj, void *arg))
{
	while (count--)
		leaf_with(f, fn, NULL);
}

static void counts(void *obj, void *arg)
{
	(void)obj;
	(void)arg;
	__atomic_store_n(&ran_in, gettid(), __ATOMIC_RELAXED);
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELEASE);
}

static void counts_cleanup(void *arg)
{
	counts(NULL, arg);
}

/* ---- what it does ------------------------------------------------------------------------ */

static void it_runs_what_is_queued(void **state)
{
	struct fixture *f = *state;
	uint64_t blocked = 0;
	char line[128];
	pid_t tid = 0;

	drop_with(f, 1000, counts);
	assert_int_equal(finalizer_threads(&tid), 0);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 1000));
	assert_int_equal(finalizer_threads(&tid), 1);
	assert_int_not_equal(ran_in, gettid());
	assert_int_equal(ran_in, tid);
	assert_true(line_of(tid, "status", "SigBlk:", line, sizeof(line)));
	assert_int_equal(sscanf(line, "SigBlk: %lx", &blocked), 1);
	/* Of the program's signals all, but for what cannot be. */
	assert_true(blocked & 1u << (SIGTERM - 1) && blocked & 1u << (SIGALRM - 1));
	while (stats_of(f->heap).finalizers_run < 1000)
		usleep(100);
	assert_int_equal(stats_of(f->heap).finalizers_run, 1000);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 0);
	assert_int_equal(stats_of(f->heap).finalizer_wait_ns, 0);

	/* The same thread runs what comes later. */
	drop_with(f, 10, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 1010));
	assert_int_equal(ran_in, tid);
}

static void what_is_freed_has_its_cleanups_run(void **state)
{
	struct fixture *f = *state;
	void *leaf = gcheap_new_leaf(f->thread, 64);

	assert_int_equal(gcheap_cleanup_add(f->heap, leaf, counts_cleanup, NULL), 0);
	gcheap_free(f->thread, leaf);
	assert_true(comes_to(&calls, 1));
	assert_int_not_equal(ran_in, gettid());
}

static void without_the_flag_there_is_none(void **state)
{
	struct fixture f;

	(void)state;
	calls = 0;
	fixture_open(&f);
	assert_null(gcheap_thread_self(NULL));
	assert_ptr_equal(gcheap_thread_self(f.heap), f.thread);
	drop_with(&f, 10, counts);
	assert_int_equal(gcheap_collect(f.thread), 0);
	usleep(10000);
	assert_true(no_thread_is_left());
	assert_int_equal(calls, 0);
	assert_int_equal(gcheap_run_finalizers(f.thread), 10);
	gcheap_thread_detach(f.thread);
	assert_null(gcheap_thread_self(f.heap));
	gcheap_close(f.heap);
}

static void the_environment_has_the_last_word(void **state)
{
	(void)state;
	own.heap = NULL;
	variable_set("GCHEAP_FINALIZER_THREAD", "1");
	calls = 0;
	fixture_open(&own);
	drop_with(&own, 1, counts);
	assert_int_equal(gcheap_collect(own.thread), 0);
	assert_true(comes_to(&calls, 1));
	assert_int_not_equal(ran_in, gettid());
	fixture_close(&own);

	variable_set("GCHEAP_FINALIZER_THREAD", "0");
	own_setup(state);
	drop_with(&own, 1, counts);
	assert_int_equal(gcheap_collect(own.thread), 0);
	assert_int_equal(gcheap_run_finalizers(own.thread), 1);
	assert_int_equal(ran_in, gettid());
	fixture_close(&own);

	variable_set("GCHEAP_FINALIZER_THREAD", "yes");
	assert_open_refused(NULL, EINVAL, "GCHEAP_FINALIZER_THREAD=yes: must be 1 or 0");
}

/* ---- what functions may do there ---------------------------------------------------------- */

static void allocates_and_collects(void *obj, void *arg)
{
	struct fixture f = { .heap = arg, .thread = gcheap_thread_self(arg) };

	if (!f.thread || gcheap_thread_attach(f.heap, &(struct gcheap_thread *){ NULL }) != -EBUSY)
		abort();
	drop_bytes(&f, 1 << 20);
	if (gcheap_collect(f.thread))
		abort();
	/* Once more, for the same object; and one for another. */
	if (__atomic_fetch_add(&stage, 1, __ATOMIC_RELAXED) < 5) {
		if (gcheap_finalizer_set(f.heap, obj, allocates_and_collects, arg))
			abort();
		leaf_with(&f, counts, NULL);
	}
	counts(NULL, NULL);
}

static void they_may_allocate_collect_and_set_others(void **state)
{
	struct fixture *f = *state;

	leaf_with(f, allocates_and_collects, f->heap);
	/* Each waits until its object is dead again; the cycles are those that they run, and these. */
	while (load(&calls) < 11) {
		assert_int_equal(gcheap_collect(f->thread), 0);
		comes_to(&calls, load(&calls) + 1 < 11 ? load(&calls) + 1 : 11);
	}
	assert_int_equal(gcheap_verify(f->heap), 0);
}

static void waits(void *obj, void *arg)
{
	struct gcheap_thread *thread = gcheap_thread_self(arg);

	(void)obj;
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	gcheap_park(thread);
	while (load(&stage) != 2)
		usleep(100);
	/* It may come back as it is. */
	counts(NULL, NULL);
}

static void they_may_block_and_forget_to_unpark(void **state)
{
	struct fixture *f = *state;

	leaf_with(f, waits, f->heap);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&stage, 1));
	drop_with(f, 5, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 5);
	usleep(2000);
	assert_true(stats_of(f->heap).finalizer_wait_ns >= 2000000);
	assert_int_equal(load(&calls), 0);
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	assert_true(comes_to(&calls, 6));
}

static void ends_its_thread(void *obj, void *arg)
{
	counts(obj, arg);
	pthread_exit(NULL);
}

static void they_may_end_the_thread(void **state)
{
	struct fixture *f = *state;
	unsigned int i;
	pid_t tid, first;

	leaf_with(f, ends_its_thread, NULL);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 1));
	first = ran_in;
	drop_with(f, 20, ends_its_thread);
	drop_with(f, 20, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 41));
	assert_int_not_equal(ran_in, first);
	for (i = 0; i < 20000 && finalizer_threads(&tid) > 1; i++)
		usleep(1000);
	assert_true(finalizer_threads(&tid) <= 1);
	while (stats_of(f->heap).finalizers_run < 41)
		usleep(100);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 0);
}

static void detaches(void *obj, void *arg)
{
	counts(obj, NULL);
	gcheap_thread_detach(gcheap_thread_self(arg));
}

static void they_may_detach_the_thread(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < 10; i++)
		leaf_with(f, i % 3 ? counts : detaches, f->heap);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 10));
}

static void computes(void *obj, void *arg)
{
	unsigned int none = 0;

	(void)obj;
	(void)arg;
	__atomic_compare_exchange_n(&stage, &none, 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	while (load(&stage) != 2)
		;
	counts(NULL, NULL);
}

/* It has all signals blocked, but for the one that stops threads. */
static void they_may_compute_while_cycles_run(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct gcheap_stats stats;

	(void)state;
	if (UNDER_TSAN)
		skip_because("ThreadSanitizer delivers signals in calls alone, and there is none");
	config.flags |= GCHEAP_FINALIZER_THREAD;
	calls = 0;
	stage = 0;
	fixture_open_with(&own, &config);
	drop_with(&own, 10, computes);
	stack_wipe();
	while (!load(&stage)) {
		drop_bytes(&own, 1 << 20);
		assert_int_equal(gcheap_collect(own.thread), 0);
	}
	assert_int_equal(gcheap_collect(own.thread), 0);
	assert_int_equal(gcheap_collect(own.thread), 0);
	stats = stats_of(own.heap);
	assert_true(stats.pause_ns_max < 1000000000);
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	assert_true(comes_to(&calls, 1));
	fixture_close(&own);
}

static void reports(int signal)
{
	(void)signal;
	_exit(17);
}

static void goes_wrong(void *obj, void *arg)
{
	(void)obj;
	if (raise((int)(intptr_t)arg))
		abort();
	_exit(1);
}

/* Blocked, they would wait there, or end the process at once. */
static void what_goes_wrong_there_is_reported(void **state)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
	unsigned int i;
	int status;
	pid_t child;

	(void)state;
	if (UNDER_TSAN)
		skip_because("ThreadSanitizer lets the child of a process with threads make none");
	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		child = fork();
		if (!child) {
			own_setup((void **)&(void *){ NULL });
			signal(signals[i], reports);
			leaf_with(&own, goes_wrong, (void *)(intptr_t)signals[i]);
			_exit(gcheap_collect(own.thread) || !comes_to(&calls, 1) ? 2 : 3);
		}
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 17);
	}
}

/* ---- its end -------------------------------------------------------------------------------- */

static void sleeps(void *obj, void *arg)
{
	(void)obj;
	(void)arg;
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	usleep(100000);
	counts(NULL, NULL);
}

static void collects_late(void *obj, void *arg)
{
	sleeps(obj, arg);
	/* Whoever closes the heap is attached, and waits. */
	if (gcheap_collect(gcheap_thread_self(arg)))
		abort();
	counts(NULL, NULL);
}

static void close_waits_for_what_runs_alone(void **state)
{
	struct fixture *f = *state;
	void (*fn[])(void *obj, void *arg) = { sleeps, collects_late };
	unsigned int i;

	leaf_with(f, collects_late, f->heap);
	for (i = 0; i < 100; i++)
		leaf_with(f, fn[i % 2], f->heap);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&stage, 1));
	gcheap_close(f->heap);
	/* Two for one that collects. */
	assert_in_range(load(&calls), 1, 4);
	f->heap = NULL;
}

static void closes(void *obj, void *arg)
{
	(void)obj;
	errno = 0;
	gcheap_close(arg);
	if (errno != EINVAL || !strstr(gcheap_error(), "cannot close the heap"))
		abort();
	counts(NULL, NULL);
}

static void closes_detached(void *obj, void *arg)
{
	gcheap_thread_detach(gcheap_thread_self(arg));
	closes(obj, arg);
}

static void closes_attached_anew(void *obj, void *arg)
{
	struct gcheap_thread *thread;

	gcheap_thread_detach(gcheap_thread_self(arg));
	if (gcheap_thread_attach(arg, &thread))
		abort();
	closes(obj, arg);
}

static void err_close_in_a_finalizer(void **state)
{
	struct fixture *f = *state;

	leaf_with(f, closes, f->heap);
	leaf_with(f, closes_detached, f->heap);
	leaf_with(f, closes_attached_anew, f->heap);
	drop_with(f, 3, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 6));
}

/* It is not taken for the program's. */
static void one_that_a_finalizer_attached_goes_too(void **state)
{
	struct fixture *f = *state;

	leaf_with(f, closes_attached_anew, f->heap);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 1));
	gcheap_thread_detach(f->thread);
	f->thread = NULL;
	assert_true(no_thread_is_left());
}

/* The library calls this one. Others look for a cancellation only if they wait. */
__attribute__((visibility("default")))
int pthread_join(pthread_t thread, void **result)
{
	int (*next)(pthread_t, void **) = (__typeof__(next))dlsym(RTLD_NEXT, "pthread_join");

	pthread_testcancel();
	return next(thread, result);
}

static void *closes_cancelled(void *heap)
{
	pthread_cancel(pthread_self());
	gcheap_close(heap);
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	pthread_testcancel();
	return NULL;
}

static void close_ends_before_its_thread_does(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *result;

	drop_with(f, 1, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 1));
	gcheap_thread_detach(f->thread);
	assert_int_equal(pthread_create(&thread, NULL, closes_cancelled, f->heap), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(load(&stage), 1);
	f->heap = NULL;
}

static void it_goes_with_the_last_thread_of_the_program(void **state)
{
	struct fixture *f = *state;
	struct gcheap_thread *thread;

	drop_with(f, 50, sleeps);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&stage, 1));
	drop_with(f, 1, counts);
	gcheap_thread_detach(f->thread);
	f->thread = NULL;
	/* What is queued is run before. */
	assert_true(no_thread_is_left());
	assert_int_equal(load(&calls), 50);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 0);

	assert_int_equal(gcheap_thread_attach(f->heap, &thread), 0);
	f->thread = thread;
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 51));
}

/* ---- fork --------------------------------------------------------------------------------------- */

static int child_main(struct fixture *f)
{
	struct gcheap_config config = fixture_config();
	pid_t tid;

	if (finalizer_threads(&tid))
		return 1;
	gcheap_close(f->heap);
	/* ThreadSanitizer lets the child of a process with threads make none. */
	if (UNDER_TSAN)
		return 0;
	config.flags |= GCHEAP_FINALIZER_THREAD;
	calls = 0;
	fixture_open_with(&own, &config);
	drop_with(&own, 10, counts);
	if (gcheap_collect(own.thread) || !comes_to(&calls, 10))
		return 2;
	fixture_close(&own);
	return 0;
}

static void a_child_of_fork_has_none(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	drop_with(f, 10, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 10));
	child = fork();
	if (!child)
		_exit(child_main(f));
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	drop_with(f, 10, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 20));
}

static void forks(void *obj, void *arg)
{
	pid_t child = fork();
	int status;

	(void)obj;
	if (!child) {
		/* The thread goes on in the child, alone, and ends that. */
		gcheap_close(arg);
		return;
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		abort();
	counts(NULL, NULL);
}

static void they_may_fork(void **state)
{
	struct fixture *f = *state;

	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("sanitizers have more to do at the end of a process");
	leaf_with(f, forks, f->heap);
	drop_with(f, 3, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 4));
}

/* A process whose main() has ended, and no other thread of its own. */
static void process_ends(void)
{
	own_setup((void **)&(void *){ NULL });
	drop_with(&own, 3, counts);
	if (gcheap_collect(own.thread) || !comes_to(&calls, 3))
		_exit(1);
	drop_with(&own, 3, sleeps);
	if (gcheap_collect(own.thread))
		_exit(2);
	pthread_exit(NULL);
}

static void a_process_ends_with_its_last_thread(void **state)
{
	pid_t child, ended = 0;
	unsigned int i;
	int status = -1;

	(void)state;
	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("sanitizers have threads of their own");
	child = fork();
	if (!child)
		process_ends();
	assert_true(child > 0);
	for (i = 0; i < 20000 && !ended; i++) {
		usleep(1000);
		ended = waitpid(child, &status, WNOHANG);
	}
	if (!ended) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
	assert_int_equal(status, 0);
}

/* ---- errors ------------------------------------------------------------------------------------- */

/* The library calls this one. The C library keeps old stacks, so that no limit makes it fail. */
__attribute__((visibility("default")))
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(__typeof__(next))dlsym(RTLD_NEXT, "pthread_create");

	return refuses ? EAGAIN : next(thread, attr, start, arg);
}

static void where_it_cannot_be_made_they_stay_queued(void **state)
{
	struct fixture *f = *state;

	drop_with(f, 20, counts);
	refuses = true;
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 20);
	assert_true(no_thread_is_left());
	assert_int_equal(gcheap_run_finalizers(f->thread), 20);
	assert_int_equal(ran_in, gettid());

	drop_with(f, 20, counts);
	assert_int_equal(gcheap_collect(f->thread), 0);
	refuses = false;
	assert_int_equal(load(&calls), 20);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 20);
	/* A later cycle tries again. */
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(comes_to(&calls, 40));
	assert_int_not_equal(ran_in, gettid());
}

/* ---- many threads --------------------------------------------------------------------------------- */

#define THREADS		4u
#define EACH		3000u

static void *drops_some(void *arg)
{
	struct fixture f = { .heap = arg };
	unsigned int i;

	if (gcheap_thread_attach(f.heap, &f.thread))
		abort();
	for (i = 0; i < EACH; i++) {
		void *leaf = gcheap_new_leaf(f.thread, 64);

		if (!leaf || gcheap_finalizer_set(f.heap, leaf, i % 500 ? counts : ends_its_thread,
						  NULL))
			abort();
		if (i % 300 == 299 && gcheap_collect(f.thread))
			abort();
		if (i % 700 == 699 && gcheap_run_finalizers(f.thread) < 0)
			abort();
	}
	gcheap_thread_detach(f.thread);
	return NULL;
}

static void *drops_some_again(void *arg)
{
	unsigned int i;

	/* A function that it runs may end one of these threads, too. */
	for (i = 0; i < 3; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, drops_some, arg) || pthread_join(thread, NULL))
			abort();
	}
	return NULL;
}

static void many_threads_share_it(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	unsigned int i, round;

	gcheap_park(f->thread);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, drops_some_again, f->heap), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	gcheap_unpark(f->thread);
	for (round = 0; round < 3; round++)
		assert_int_equal(gcheap_collect(f->thread), 0);
	for (i = 0; i < 100000 && stats_of(f->heap).finalizers_queued; i++)
		usleep(100);
	assert_int_equal(stats_of(f->heap).finalizers_queued, 0);
	assert_int_equal(gcheap_verify(f->heap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		own_test(it_runs_what_is_queued),
		own_test(what_is_freed_has_its_cleanups_run),
		cmocka_unit_test(without_the_flag_there_is_none),
		cmocka_unit_test_teardown(the_environment_has_the_last_word, variables_restore),
		own_test(they_may_allocate_collect_and_set_others),
		own_test(they_may_block_and_forget_to_unpark),
		own_test(they_may_end_the_thread),
		own_test(they_may_detach_the_thread),
		cmocka_unit_test(they_may_compute_while_cycles_run),
		cmocka_unit_test(what_goes_wrong_there_is_reported),
		own_test(close_waits_for_what_runs_alone),
		own_test(err_close_in_a_finalizer),
		own_test(close_ends_before_its_thread_does),
		own_test(one_that_a_finalizer_attached_goes_too),
		own_test(it_goes_with_the_last_thread_of_the_program),
		own_test(a_child_of_fork_has_none),
		own_test(they_may_fork),
		cmocka_unit_test(a_process_ends_with_its_last_thread),
		own_test(where_it_cannot_be_made_they_stay_queued),
		own_test(many_threads_share_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	/* What is dead is there until somebody asks for a cycle. */
	setenv("GCHEAP_GC", "off", 1);
	return cmocka_run_group_tests_name("the finalizer thread", tests, NULL, NULL);
}
