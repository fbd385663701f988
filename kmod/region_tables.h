/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Mappings of tables: see region_tables.c.
 */
#ifndef GCHEAP_REGION_TABLES_H
#define GCHEAP_REGION_TABLES_H

#include <linux/gcheap.h>

struct vm_area_struct;

int region_tables_mmap(enum gcheap_region region, struct vm_area_struct *vma);
void region_tables_look(struct vm_area_struct *vma);

#endif /* GCHEAP_REGION_TABLES_H */
