/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A heap's figures in /proc/PID/fdinfo: see fdinfo.c.
 */
#ifndef GCHEAP_FDINFO_H
#define GCHEAP_FDINFO_H

struct file;
struct seq_file;

void fdinfo_show(struct seq_file *seq, struct file *file);

#endif /* GCHEAP_FDINFO_H */
