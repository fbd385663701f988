/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a heap consists of, in debugfs: see debugfs.c.
 */
#ifndef GCHEAP_DEBUGFS_H
#define GCHEAP_DEBUGFS_H

struct gcheap_heap;

void gcheap_debugfs_init(void);
void gcheap_debugfs_exit(void);
void gcheap_debugfs_open(struct gcheap_heap *heap);
void gcheap_debugfs_release(struct gcheap_heap *heap);

#endif /* GCHEAP_DEBUGFS_H */
