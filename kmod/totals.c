// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What all heaps together hold. Whoever gives a heap memory, or takes it away, adds and
 * subtracts here; main.c shows the figures in sysfs.
 *
 * They are variables of a file of their own, below all files that count, as main.c is
 * above them all.
 */
#include "totals.h"

atomic_long_t gcheap_heaps;
atomic64_t gcheap_object_bytes;
atomic64_t gcheap_stock_bytes;
atomic64_t gcheap_table_bytes;
