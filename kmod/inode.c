// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Inodes of heaps.
 *
 * Each heap has an inode of its own, so that its mappings can be found without
 * those of other heaps, which all are of the one inode of the device node. The
 * inodes belong to a file system that exists while a heap is open, and that
 * nobody can mount.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>

#include "inode.h"

#define GCHEAP_FS_MAGIC	0x67636870	/* "gchp" */

static int gcheap_fs_init_context(struct fs_context *context)
{
	return init_pseudo(context, GCHEAP_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type gcheap_fs = {
	.name = "gcheap",
	.owner = THIS_MODULE,
	.init_fs_context = gcheap_fs_init_context,
	.kill_sb = kill_anon_super,
};

/* Mounted by the first open and unmounted by the last release, for rmmod's sake. */
static struct vfsmount *gcheap_mount;
static int gcheap_mount_users;

/**
 * gcheap_inode_new() - make an inode whose mapping no other file has
 *
 * Context: may sleep.
 * Return: the inode, or an ERR_PTR().
 */
struct inode *gcheap_inode_new(void)
{
	struct inode *inode;
	int error;

	error = simple_pin_fs(&gcheap_fs, &gcheap_mount, &gcheap_mount_users);
	if (error)
		return ERR_PTR(error);
	inode = alloc_anon_inode(gcheap_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&gcheap_mount, &gcheap_mount_users);
		return inode;
	}
	/* No 2 MiB page is mapped by one entry that does not end before the file does. */
	i_size_write(inode, MAX_LFS_FILESIZE);
	return inode;
}

/**
 * gcheap_inode_free() - free what gcheap_inode_new() gave
 * @inode: the inode, which no file uses any more
 */
void gcheap_inode_free(struct inode *inode)
{
	iput(inode);
	simple_release_fs(&gcheap_mount, &gcheap_mount_users);
}
