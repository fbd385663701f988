// SPDX-License-Identifier: MIT
/*
 * Threads that fork, and threads that end, while another one stops them all: parents and
 * children go on.
 */
#include "library_test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOPS		400u
#define STOPS_DEVICE	60u
#define OBJECTS		200u

/**
 * struct forking - what the threads share
 * @heap: the heap that is collected
 * @forks: how many children have ended well
 * @ended: how many threads have ended, attached
 * @is_over: they shall end
 * @error: what went wrong; NULL: nothing
 */
struct forking {
	struct gcheap *heap;
	unsigned int forks;
	unsigned int ended;
	bool is_over;
	const char *error;
};

static bool goes_on(const struct forking *forking)
{
	return !__atomic_load_n(&forking->is_over, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&forking->error, __ATOMIC_RELAXED);
}

static void went_wrong(struct forking *forking, const char *error)
{
	__atomic_store_n(&forking->error, error, __ATOMIC_RELAXED);
}

/* A child has no heap, whatever its parent was doing, and may have one of its own. */
static int child_main(struct gcheap_thread *parents)
{
	struct gcheap_thread *thread;
	struct gcheap *heap;

	free(malloc(1000));
	if (gcheap_new_leaf(parents, 64) || errno != EPERM)
		return 1;
	if (gcheap_open(NULL, &heap) || gcheap_thread_attach(heap, &thread) ||
	    !gcheap_new_leaf(thread, 64) || gcheap_collect(thread))
		return 2;
	gcheap_close(heap);
	return 0;
}

static void *fork_all_the_time(void *arg)
{
	struct forking *forking = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(forking->heap, &thread)) {
		went_wrong(forking, "cannot attach");
		return NULL;
	}
	while (goes_on(forking)) {
		int status;
		pid_t child;

		if (!gcheap_new_leaf(thread, 64))
			went_wrong(forking, "no memory");
		child = fork();
		if (!child)
			_exit(child_main(thread));
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			went_wrong(forking, "a child did not end well");
		__atomic_fetch_add(&forking->forks, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *end_attached(void *arg)
{
	struct forking *forking = arg;
	struct gcheap_thread *thread;
	unsigned int i;

	if (gcheap_thread_attach(forking->heap, &thread)) {
		went_wrong(forking, "cannot attach");
		return NULL;
	}
	for (i = 0; i < OBJECTS; i++) {
		if (!gcheap_new_leaf(thread, 64))
			went_wrong(forking, "no memory");
	}
	return NULL;
}

static void *end_all_the_time(void *arg)
{
	struct forking *forking = arg;

	while (goes_on(forking)) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, end_attached, forking)) {
			went_wrong(forking, "no thread");
			break;
		}
		pthread_join(thread, NULL);
		__atomic_fetch_add(&forking->ended, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void threads_fork_and_end_while_they_are_stopped(void **state)
{
	void *(*const mains[])(void *) = { fork_all_the_time, fork_all_the_time,
					   end_all_the_time };
	struct forking forking = { 0 };
	pthread_t threads[ARRAY_SIZE(mains)];
	struct gcheap_thread *thread;
	unsigned int stops, i;

	(void)state;
	assert_int_equal(gcheap_open(NULL, &forking.heap), 0);
	assert_int_equal(gcheap_thread_attach(forking.heap, &thread), 0);
	stops = gcheap_backend(forking.heap) == GCHEAP_BACKEND_DEVICE ? STOPS_DEVICE : STOPS;
	for (i = 0; i < ARRAY_SIZE(mains); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, mains[i], &forking), 0);
	/* Until each of them has done what the others may disturb. */
	for (i = 0; goes_on(&forking) &&
	     (i < stops || !__atomic_load_n(&forking.forks, __ATOMIC_RELAXED) ||
	      !__atomic_load_n(&forking.ended, __ATOMIC_RELAXED)); i++) {
		assert_int_equal(gcheap_collect(thread), 0);
		usleep(500);
	}
	__atomic_store_n(&forking.is_over, true, __ATOMIC_RELEASE);
	gcheap_park(thread);
	for (i = 0; i < ARRAY_SIZE(mains); i++)
		pthread_join(threads[i], NULL);
	gcheap_unpark(thread);
	print_message("# %u children, %u threads\n", forking.forks, forking.ended);
	if (forking.error)
		fail_msg("%s", forking.error);
	gcheap_close(forking.heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_fork_and_end_while_they_are_stopped),
	};

	return run_in_all_layouts("stop_fork", tests);
}
