/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The words that common/ and kmod/core are written in: integer types, bit
 * operations, checked arithmetic, under the names that the kernel's headers give them.
 *
 * Both folders are compiled for the kernel module and for the library. In the kernel
 * these are its own headers; in user space base_user.h defines what is used of them.
 *
 * What stands in common/ is shared by module and library: numbers, arithmetic on the
 * mapped tables, and the interpreter of GC programs. It allocates nothing, knows no
 * heap, and calls nobody: all others may include it.
 */
#ifndef GCHEAP_BASE_H
#define GCHEAP_BASE_H

#ifdef __KERNEL__
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/stdarg.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include "base_user.h"
#endif

#include <linux/gcheap.h>

#endif /* GCHEAP_BASE_H */
