// SPDX-License-Identifier: MIT
/*
 * Marker threads. They are attached to no heap, so that no cycle waits for them or signals them,
 * and all signals are blocked in them: those are the program's affair. They call nothing that
 * takes a lock of the C library while a cycle marks, as threads may have such locks that are
 * stopped.
 */
#define _GNU_SOURCE
#include "mark_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "mark_share.h"
#include "mark_trace.h"
#include "uncancelled.h"

/* A marker needs little: no recursion, and its buffers are not on it. */
#define STACK_BYTES	(256u << 10)
/* Of a thread's name, its end included: the kernel has no more. */
#define NAME_BYTES	16u

struct marker *mark_helper_new(const struct marker *first, uint32_t number)
{
	struct marker *marker = aligned_alloc(64, (sizeof(*marker) + 63) / 64 * 64);

	if (!marker)
		return NULL;
	memset(marker, 0, sizeof(*marker));
	if (mark_stack_init(&marker->stack, &first->team->budget)) {
		free(marker);
		return NULL;
	}
	marker->heap = first->heap;
	marker->view = first->view;
	marker->team = first->team;
	marker->kernel = first->kernel;
	marker->number = number;
	marker->is_shared = true;
	marker->is_draining = true;
	marker->box.state = BOX_OPEN;
	memcpy(marker->slots, first->slots, sizeof(marker->slots));
	return marker;
}

void mark_helper_free(struct marker *marker)
{
	mark_stack_destroy(&marker->stack);
	free(marker);
}

static void *helper_main(void *argument)
{
	/* Valgrind asks each thread. */
	guard_reports(false);
	mark_help(argument);
	return NULL;
}

static int thread_create(pthread_t *thread, struct marker *marker)
{
	pthread_attr_t attr;
	int error = pthread_attr_init(&attr);

	if (error)
		return error;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	error = pthread_create(thread, &attr, helper_main, marker);
	pthread_attr_destroy(&attr);
	/* Thread-local variables of the program may take more. */
	return error ? pthread_create(thread, NULL, helper_main, marker) : 0;
}

static bool helper_make(struct marker *first, uint32_t number)
{
	struct mark_team *team = first->team;
	struct marker *marker = mark_helper_new(first, number);
	char name[NAME_BYTES + 8];

	if (!marker)
		return false;
	team->markers[number] = marker;
	if (thread_create(&team->threads[number], marker)) {
		mark_helper_free(marker);
		return false;
	}
	snprintf(name, sizeof(name), "gcheap-mark/%u", number);
	name[NAME_BYTES - 1] = 0;
	pthread_setname_np(team->threads[number], name);
	return true;
}

void mark_threads_make(struct marker *first)
{
	struct mark_team *team = first->team;
	sigset_t all, before;

	if (team->size > 1 || team->has_failed)
		return;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before))
		return;
	while (team->size < team->wanted && helper_make(first, team->size)) {
		team->size++;
		__atomic_fetch_add(&team->idle, 1, __ATOMIC_RELAXED);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* Not again before each cycle. */
	team->has_failed = team->size < team->wanted;
}

void mark_threads_end(struct marker *first, bool are_here)
{
	UNCANCELLED;
	struct mark_team *team = first->team;
	uint32_t i;

	__atomic_store_n(&team->quits, 1, __ATOMIC_SEQ_CST);
	for (i = 1; are_here && i < team->size; i++)
		mark_share_quit(team->markers[i]);
	for (i = 1; i < team->size; i++) {
		if (are_here)
			pthread_join(team->threads[i], NULL);
		mark_helper_free(team->markers[i]);
	}
	team->size = 1;
	__atomic_store_n(&team->quits, 0, __ATOMIC_RELAXED);
}
