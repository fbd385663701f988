/* SPDX-License-Identifier: MIT */
/*
 * Functions of the program that a heap calls (hooks.c).
 */
#ifndef GCHEAP_LIB_HOOKS_H
#define GCHEAP_LIB_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcheap.h>

struct cycle;
struct entry_state;
struct hook;
struct thread;

/**
 * struct hooks - the hooks of a heap
 * @first: in the order in which they were added; grows at its end, under the world's lock
 * @beginning: of the thread whose cycle_begins() runs now; NULL: there is none. Others read it
 * @ended: figures of the last cycle, until who ran it takes them. The world's lock guards it
 */
struct hooks {
	struct hook *first;
	const struct entry_state *beginning;
	struct gcheap_cycle ended;
};

void hooks_destroy(struct hooks *hooks);

/* The world is stopped, and roots may be marked. */
void hooks_cycle_begins(struct gcheap *heap, struct thread *thread);

/* Keeps the figures of a cycle that has just ended, and been counted in heap->stats. */
void hooks_note(struct gcheap *heap, const struct cycle *cycle);

/* Gives the world's lock back, and tells the program of the cycle that ran under it, if one did. */
void hooks_unlock_world(struct thread *thread);

/* An allocation found no memory. Return: whether it is worth another cycle. */
bool hooks_out_of_memory(struct thread *thread, uint64_t bytes);

#endif /* GCHEAP_LIB_HOOKS_H */
