/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the tests of TYPE_ADD share: their fixtures have a heap and a request @add.
 */
#ifndef GCHEAP_TYPES_TEST_H
#define GCHEAP_TYPES_TEST_H

#include "gcheap_selftest.h"

#define MASK_BYTES_MAX	0x100000u	/* 1 MiB: 64 MiB of pointers */

#define test_err_type(err) test_err_send(err, GCHEAP_OP_TYPE_ADD, &self->add)
#define test_cmd_type()	   ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_TYPE_ADD, &self->add))

static inline const char *type_name(const struct test_heap *heap, __u32 type)
{
	return (const char *)heap->region[GCHEAP_REGION_TYPES] +
	       heap_type(heap, type)->name_offset;
}

static inline const __u64 *type_mask(const struct test_heap *heap, __u32 type)
{
	return (const __u64 *)((const char *)heap->region[GCHEAP_REGION_TYPES] +
			       heap_type(heap, type)->mask_offset);
}

#endif /* GCHEAP_TYPES_TEST_H */
