/* SPDX-License-Identifier: MIT */
/*
 * Systems that take turns, each in a process of its own, which waits for requests: none disturbs
 * another by more than the caches they share.
 */
#ifndef GCHEAP_BENCH_TURNS_H
#define GCHEAP_BENCH_TURNS_H

#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/**
 * struct turn - a process that a system runs in
 * @child: it
 * @to: requests to it; in it, its answers
 * @from: its answers; in it, requests
 */
struct turn {
	pid_t child;
	int to, from;
};

/* Makes the process. Returns 1 in it, which then serves and ends by itself. */
static inline int turn_begin(struct turn *turn)
{
	int to[2], from[2];

	fflush(stdout);
	if (pipe(to) || pipe(from))
		bench_fail("pipe", "no descriptors");
	turn->child = fork();
	if (turn->child < 0)
		bench_fail("fork", "no process");
	turn->to = turn->child ? to[1] : from[1];
	turn->from = turn->child ? from[0] : to[0];
	close(turn->child ? to[0] : to[1]);
	close(turn->child ? from[1] : from[0]);
	return !turn->child;
}

static inline void turn_send(const struct turn *turn, const void *message, size_t bytes)
{
	if (write(turn->to, message, bytes) != (ssize_t)bytes)
		bench_fail("a system's process", "has ended");
}

/* Returns 0 when the other side has ended. */
static inline int turn_receive(const struct turn *turn, void *message, size_t bytes)
{
	return read(turn->from, message, bytes) == (ssize_t)bytes;
}

/* Sends a request and waits for its answer. */
static inline void turn_ask(const struct turn *turn, const void *request, size_t request_bytes,
			    void *answer, size_t answer_bytes)
{
	turn_send(turn, request, request_bytes);
	if (!turn_receive(turn, answer, answer_bytes))
		bench_fail("a system's process", "did not end well");
}

/*
 * No more requests: waits until it has ended. The last process that was made first, because each
 * has the pipes of those before it.
 */
static inline void turn_end(const struct turn *turn)
{
	int status;

	close(turn->to);
	close(turn->from);
	if (waitpid(turn->child, &status, 0) != turn->child || status)
		bench_fail("a system's process", "did not end well");
}

#endif /* GCHEAP_BENCH_TURNS_H */
