/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The rules that a heap's tables keep at any moment between two requests: descriptors
 * against PAGES entries, lengths, states, slots, bits, and the counters.
 *
 * The library's gcheap_verify() goes by them, and so do the tests of the core and those
 * of the device. Each of them reads the tables in its own way, from its mapped regions or
 * from the structs of the core, and reports in its own way what is wrong: that is struct
 * table_reader. The module verifies nothing, and is built without this.
 *
 * What only one of them can see stays with it: the objects and roots of the library, the
 * lists and trees of the core, and what a request that a test has made must have done.
 */
#ifndef GCHEAP_VERIFY_TABLES_H
#define GCHEAP_VERIFY_TABLES_H

#include "base.h"

/* The page of a complaint that is about the heap as a whole. */
#define VERIFY_NO_PAGE	U32_MAX

/**
 * struct table_reader - how somebody reads a heap's tables, and hears what is wrong
 * @info: the PAGES entry of a page
 * @span: the descriptor of a page
 * @type: the record of a type; NULL: there is no type of this number
 * @bits: the MARK_WORDS_PER_PAGE words of the alloc bits of a page, or with @marks of the
 *	mark bits; NULL: there are none, which is as if all were zero. NULL instead of the
 *	function: what the bits say is not looked at, as the owner of the heap may set any
 * @page_mark: whether the page mark of a page is set; not called without @bits
 * @complain: something is wrong: a sentence, as vprintf() has it, about what begins at
 *	@page; or about the heap, with VERIFY_NO_PAGE
 *
 * Pages are always those of the heap. @owner is that of struct heap_tables.
 */
struct table_reader {
	u64 (*info)(void *owner, u32 page);
	const struct gcheap_span *(*span)(void *owner, u32 page);
	const struct gcheap_type_record *(*type)(void *owner, u32 type);
	const u64 *(*bits)(void *owner, bool marks, u32 page);
	bool (*page_mark)(void *owner, u32 page);
	void (*complain)(void *owner, u32 page, const char *format, va_list args);
};

/**
 * struct heap_tables - the tables of one heap
 * @reader: how they are read
 * @owner: what its functions are called with
 * @reserve_bytes: length of the heap's range of addresses
 * @heap_pages: how many pages of it are in the tables
 * @layout: enum gcheap_layout
 * @record_types: whether it is a heap of GCHEAP_SETUP_RECORD_TYPES
 * @generation: the sweep generation
 * @counters: what the kernel has counted
 */
struct heap_tables {
	const struct table_reader *reader;
	void *owner;
	u64 reserve_bytes;
	u32 heap_pages;
	u32 layout;
	bool record_types;
	u16 generation;
	const struct gcheap_counters *counters;
};

/* Complains of all that is wrong with the tables; sound ones are heard nothing of. */
void verify_tables(const struct heap_tables *tables);

/* The same for the span that begins at a page, or the free page, alone: without counters. */
void verify_page(const struct heap_tables *tables, u32 page);

#endif /* GCHEAP_VERIFY_TABLES_H */
