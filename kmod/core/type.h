/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The type table: validates type descriptions and stores them in the TYPES
 * region, where the process can read but never write them. Types are added,
 * never changed or removed.
 */
#ifndef GCHEAP_CORE_TYPE_H
#define GCHEAP_CORE_TYPE_H

#include "heap.h"

void type_table_init(struct type_table *table);
void type_table_destroy(struct type_table *table);

/**
 * type_check() - validate the numbers of a request to add a type
 * @add: the request; its addresses are not looked at
 *
 * Done before anything is copied from the process, so that no copy is larger
 * than the limits allow.
 *
 * Return: 0, -EINVAL, or -EOPNOTSUPP for an unknown flag.
 */
int type_check(const struct gcheap_type_add *add);

/* Bytes of the pointer mask of a request that type_check() has passed. */
u32 type_mask_bytes(const struct gcheap_type_add *add);

/* Bytes of what it gives to tell pointers from scalars: the mask, or a program. */
u32 type_map_bytes(const struct gcheap_type_add *add);

/**
 * type_add() - register a type
 * @heap: the heap
 * @add: a request that type_check() has passed; receives @out_type
 * @name: its name, @add->name_bytes long
 * @map: its pointer mask, or the GC program when @add->gc_prog is not 0,
 *	type_map_bytes() long; not read when that is 0
 *
 * A type that was added by a program differs from one that was added by a mask only
 * in how long its mask is there, see type_mask_hold().
 *
 * Return: 0; -EINVAL a bad name, mask or program; -ENOSPC no room; -ENOMEM;
 * -EINTR a fatal signal arrived while the program ran.
 */
int type_add(struct heap *heap, struct gcheap_type_add *add, const char *name,
	     const u8 *map);

/* The record of a type, or NULL when there is none of this number. */
const struct gcheap_type_record *type_find(struct heap *heap, u32 type);

/* The same for type_mask.c, which writes to it. */
struct gcheap_type_record *type_record(struct heap *heap, u32 type);

/* Copy from and to TYPES, where the table pages have been made. */
void type_data_read(struct heap *heap, u64 offset, void *to, u64 bytes);
void type_data_write(struct heap *heap, u64 offset, const void *from, u64 bytes);

#endif /* GCHEAP_CORE_TYPE_H */
