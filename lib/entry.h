/* SPDX-License-Identifier: MIT */
/*
 * Whether a thread is in the library (entry.c).
 *
 * A signal that stops a thread for a cycle (world.h) may come at any time. In the program the
 * thread stops there and then. In the library it may have locks, or its caches in the middle
 * of a change: the handler then leaves it alone, and the thread stops when it leaves the
 * library. So all functions that a program calls begin with LIBRARY_ENTRY, but for those that
 * touch nothing. They may call each other.
 */
#ifndef GCHEAP_LIB_ENTRY_H
#define GCHEAP_LIB_ENTRY_H

#include <signal.h>
#include <stdbool.h>

/**
 * struct entry_state - what a thread and the signal handlers that run in it share
 * @depth: how many functions of the library it is in
 * @entries: how often it has come into the library
 * @asked: a handler found it in the library, and it shall stop when it leaves
 */
struct entry_state {
	volatile sig_atomic_t depth;
	volatile unsigned int entries;
	volatile sig_atomic_t asked;
};

/* The handler reads it: it is in the block that a thread begins with, not made at first use. */
extern __thread struct entry_state entry_state __attribute__((tls_model("initial-exec")));

/* What is done when a thread leaves that was asked to stop (world.c). */
extern void (*entry_leave)(void);

struct entry {
	char unused;
};

static inline struct entry entry_begin(void)
{
	entry_state.entries++;
	entry_state.depth++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return (struct entry) { 0 };
}

static inline void entry_end(struct entry *entry)
{
	(void)entry;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	entry_state.depth--;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* From here on a handler stops the thread itself. One that came before has asked. */
	if (__builtin_expect(entry_state.asked, 0) && !entry_state.depth)
		__atomic_load_n(&entry_leave, __ATOMIC_RELAXED)();
}

#define LIBRARY_ENTRY								\
	struct entry entry_ __attribute__((cleanup(entry_end), unused)) = entry_begin()

#endif /* GCHEAP_LIB_ENTRY_H */
