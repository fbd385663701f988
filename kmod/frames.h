/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Page frames from the system and to it, and limits: see frames.c.
 */
#ifndef GCHEAP_FRAMES_H
#define GCHEAP_FRAMES_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mutex.h>

#define FRAMES_LARGE_ORDER	9u	/* 2 MiB */
#define FRAMES_SMALL_ORDER	4u	/* 64 KiB */
#define FRAMES_SLACK		512u	/* pages that a memory cgroup shall have left */

struct gcheap_heap;

bool frames_charge(struct gcheap_heap *heap, unsigned int count);
void frames_uncharge(struct gcheap_heap *heap, unsigned long count);
int frames_slack_begin(unsigned int count, struct mutex **lock);
void frames_slack_end(struct mutex *lock);
void frames_init(void);
int frames_alloc(struct gcheap_heap *heap, unsigned int order, gfp_t gfp,
		 struct list_head *pages);
struct page *frames_alloc_huge(struct gcheap_heap *heap);
bool frames_huge_failed(struct page *head);
unsigned long frames_drop_failed(struct list_head *pages, struct list_head *bad);
unsigned long frames_put(struct gcheap_heap *heap, struct list_head *pages);
unsigned long frames_release(struct gcheap_heap *heap, struct list_head *pages);
unsigned long frames_release_blocks(struct gcheap_heap *heap, struct list_head *blocks);

#endif /* GCHEAP_FRAMES_H */
