/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What all heaps together hold, for sysfs: see totals.c.
 */
#ifndef GCHEAP_TOTALS_H
#define GCHEAP_TOTALS_H

#include <linux/atomic.h>

extern atomic_long_t gcheap_heaps;	/* open files */

/* In bytes. */
extern atomic64_t gcheap_object_bytes;
extern atomic64_t gcheap_stock_bytes;
extern atomic64_t gcheap_table_bytes;

#endif /* GCHEAP_TOTALS_H */
