/* SPDX-License-Identifier: MIT */
/*
 * Rest: how a thread says that it does not touch a heap, and waits until it may again (rest.c).
 *
 * One thread of the system may be attached to several heaps. While it waits for one, or works for
 * one, it rests for all others, and it begins to run for all of them at once: a thread that waits
 * for a cycle of one heap is at rest for a cycle of another one, however the two began.
 */
#ifndef GCHEAP_LIB_REST_H
#define GCHEAP_LIB_REST_H

#include <stdbool.h>
#include <stdint.h>

#include "library.h"

struct thread;

/*
 * The calling system thread's handles, of all heaps, linked by struct thread.own_next. The
 * signal's handler reads them, where the loader must not be called to find them.
 */
extern __thread struct thread *rest_own_threads __attribute__((tls_model("initial-exec")));

/* In a loop that waits. */
static inline void rest_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Sleeps while a word has a value, and perhaps less long; at most @ns nanoseconds, if not 0. */
void rest_word_wait(uint32_t *word, uint32_t value, uint64_t ns);
void rest_word_wake(uint32_t *word);

/**
 * rest_note() - note where the calling thread can be read from
 * @thread: its handle
 * @sp: its stack pointer; what it has in registers is above
 *
 * Frames that have ended below @sp are dropped. Return: false: it is on no known stack.
 */
bool rest_note(struct thread *thread, const char *sp);

/* A handle of the calling thread rests from here on, all about it being noted. */
void rest_publish(struct thread *thread);

/*
 * The calling thread rests from here on for all its heaps but @heap (NULL: for all), unless it is
 * parked there. What it has in registers is above @sp.
 */
void rest_begin(const struct gcheap *heap, const char *sp);

/*
 * It runs again for all that it rests for but those where it is parked, when no cycle of any of
 * them wants it to rest.
 */
void rest_end(void);

/* The calling thread's handle of a heap; NULL: it is not attached. */
struct thread *rest_self(const struct gcheap *heap);

/* The calling thread's handles: one more, and one less. */
void rest_own_add(struct thread *thread);
void rest_own_remove(const struct thread *thread);

/* Frees those whose heaps other threads have closed. */
void rest_own_reap(void);

#endif /* GCHEAP_LIB_REST_H */
