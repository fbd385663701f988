/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The functions of an open file: see file.c.
 */
#ifndef GCHEAP_FILE_H
#define GCHEAP_FILE_H

#include <linux/fs.h>

extern const struct file_operations gcheap_fops;

#endif /* GCHEAP_FILE_H */
