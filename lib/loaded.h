/* SPDX-License-Identifier: MIT */
/*
 * Memory that the program loader knows: static variables of the program and its
 * libraries, and threads' thread-local storage (loaded.c).
 */
#ifndef GCHEAP_LIB_LOADED_H
#define GCHEAP_LIB_LOADED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gcheap;
struct thread;

/**
 * struct tls_table - where a thread has the addresses of its thread-local storage
 * @at: the word at its thread pointer that leads to the table
 * @words: of an entry; 0: it is not known
 */
struct tls_table {
	size_t at;
	size_t words;
};

/**
 * struct loaded_part - some memory that the loader knows
 * @file: name of the loaded file that it is of; "": the program itself
 * @thread: whose thread-local storage it is; NULL: static variables
 * @start: where it begins
 * @end: one past its last byte
 */
struct loaded_part {
	const char *file;
	const struct thread *thread;
	uintptr_t start;
	uintptr_t end;
};

/**
 * struct loaded_reader - who reads that memory
 * @part: called with each part, which holds for as long as that takes
 * @file_ends: called behind the last one of a file, which stays loaded until then; or NULL
 */
struct loaded_reader {
	void (*part)(struct loaded_reader *reader, const struct loaded_part *part);
	void (*file_ends)(struct loaded_reader *reader);
};

/*
 * Has all of that memory read that was added. The heap's threads all rest, but for the calling
 * one.
 */
void loaded_read(struct gcheap *heap, struct loaded_reader *reader);

/**
 * loaded_mark() - mark what that memory leads to, as far as it was added
 * @heap: whose threads all rest, but for the calling one
 *
 * Return: how many bytes it went through.
 */
uint64_t loaded_mark(struct gcheap *heap);

/**
 * loaded_stop() - do something while all threads of a heap are stopped but the calling one
 * @heap: whose world's lock is held
 * @self: the calling thread's handle
 * @run: what; it may call loaded_read()
 * @arg: for @run
 *
 * None of the threads has the loader's lock meanwhile, which loaded_read() takes, and nobody else
 * gets it: who has it may wait for what a stopped thread has.
 */
void loaded_stop(struct gcheap *heap, const struct thread *self, void (*run)(void *arg), void *arg);

/* Whether all of it can be found that is not of the calling thread, @self. */
bool loaded_is_known(const struct gcheap *heap, const struct thread *self);

/* The calling thread's pointer, from which thread-local storage is found; 0: it is not known. */
uintptr_t loaded_thread_pointer(void);

#endif /* GCHEAP_LIB_LOADED_H */
