/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Mappings of tables: see mapping_tables.c.
 */
#ifndef GCHEAP_MAPPING_TABLES_H
#define GCHEAP_MAPPING_TABLES_H

#include <linux/gcheap.h>

struct vm_area_struct;

int mapping_tables_mmap(enum gcheap_region region, struct vm_area_struct *vma);
void mapping_tables_look(struct vm_area_struct *vma);

#endif /* GCHEAP_MAPPING_TABLES_H */
