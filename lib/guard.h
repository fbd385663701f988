/* SPDX-License-Identifier: MIT */
/*
 * Guards: AddressSanitizer and valgrind are told which memory of the heap the program
 * may access, in a process that has one of them.
 *
 * A slot is closed until it is allocated, and again from the sweep on that frees it. So
 * is the rest of it behind the bytes that were asked for, GUARD_BYTES at least. A use of
 * freed memory and a step over an object's end are therefore reported where they happen.
 * The library itself still reads what is closed: the marker takes a slot for as many
 * elements as fit, and what is behind the last is zero.
 *
 * The inline functions know nothing of this: where there are guards no cache ever has a
 * free slot for them, and each allocation takes the slow path.
 */
#ifndef GCHEAP_LIB_GUARD_H
#define GCHEAP_LIB_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;

/* What an object has behind it at least. */
#define GUARD_BYTES	16u

/* Before a function that reads what is closed, where the library itself is instrumented. */
#if defined(__SANITIZE_ADDRESS__)
#define GUARD_EXEMPT	__attribute__((no_sanitize_address))
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARD_EXEMPT	__attribute__((no_sanitize("address")))
#endif
#endif
#ifndef GUARD_EXEMPT
#define GUARD_EXEMPT
#endif

/* Whether somebody in this process listens. */
bool guard_is_wanted(void);

/* The same, and it is valgrind, which sees what the library itself does. */
bool guard_is_valgrind(void);

/* The program may access @bytes from @start on. */
void guard_open(const void *start, uint64_t bytes);

/* It may not any more. */
void guard_close(const void *start, uint64_t bytes);

/* Whether it may not; valgrind is not asked. */
bool guard_is_closed(const void *byte);

/**
 * guard_object() - a slot has become an object
 * @slot: the slot, which is open
 * @slot_bytes: its size
 * @object: the object in it
 * @bytes: what was asked for
 * @word_bytes: length of the type word at the slot's end
 */
void guard_object(const char *slot, uint64_t slot_bytes, const char *object, uint64_t bytes,
		  uint64_t word_bytes);

/* What is in an open object is nobody's: to use it before it is written is an error. */
void guard_unwritten(void *start, uint64_t bytes);

/**
 * guard_span() - a span without objects is used from now on
 * @start: its first byte
 * @bytes: its length
 * @slots_bytes: of its slots together; behind them there may be heap bits
 */
void guard_span(const char *start, uint64_t bytes, uint64_t slots_bytes);

/* A cycle has ended, and its sweep: closes all slots and pages that are free. */
void guard_sweep(const struct gcheap *heap);

/* The heap is about to end: its addresses will be somebody else's. */
void guard_end(const struct gcheap *heap);

/*
 * The library is about to read what is closed or was never written (false), and has done
 * so (true). They nest.
 */
void guard_reports(bool on);

/* A word that may never have been written, as one that was. */
uint64_t guard_word(uint64_t word);

#endif /* GCHEAP_LIB_GUARD_H */
