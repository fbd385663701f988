/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Write tracking of pages that are nothing special: see track_plain.c.
 */
#ifndef GCHEAP_TRACK_PLAIN_H
#define GCHEAP_TRACK_PLAIN_H

#include <linux/mm.h>

#include "harvest.h"

void harvest_plain(struct harvest *harvest, pte_t *ptep, struct page *const *pages,
		   unsigned long count);

#endif /* GCHEAP_TRACK_PLAIN_H */
