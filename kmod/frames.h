/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page frames from the system and to it, and limits: see frames.c.
 */
#ifndef GCHEAP_FRAMES_H
#define GCHEAP_FRAMES_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mutex.h>

#define SUPPLY_LARGE_ORDER	9u	/* 2 MiB */
#define SUPPLY_SMALL_ORDER	4u	/* 64 KiB */
#define SUPPLY_SLACK		512u	/* pages that a memory cgroup shall have left */

struct gcheap_heap;

bool supply_charge(struct gcheap_heap *heap, unsigned int count);
void supply_uncharge(struct gcheap_heap *heap, unsigned long count);
int supply_slack_begin(unsigned int count, struct mutex **lock);
void supply_slack_end(struct mutex *lock);
void supply_init(void);
int supply_block(struct gcheap_heap *heap, unsigned int order, gfp_t gfp,
		 struct list_head *pages);
struct page *supply_huge(struct gcheap_heap *heap);
bool poison_in_block(struct page *head);
unsigned long list_drop_poisoned(struct list_head *pages, struct list_head *bad);
unsigned long pages_put(struct gcheap_heap *heap, struct list_head *pages);
unsigned long supply_release(struct gcheap_heap *heap, struct list_head *pages);
unsigned long supply_release_blocks(struct gcheap_heap *heap, struct list_head *blocks);

#endif /* GCHEAP_FRAMES_H */
