/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Inodes of heaps: see inode.c.
 */
#ifndef GCHEAP_INODE_H
#define GCHEAP_INODE_H

struct inode;

struct inode *gcheap_inode_new(void);
void gcheap_inode_free(struct inode *inode);

#endif /* GCHEAP_INODE_H */
