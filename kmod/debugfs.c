// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a heap consists of, in debugfs: a folder gcheap/PID-NUMBER for each open
 * file, PID being who opened it, with
 *
 *	spans		small-object spans by class and kind, then the others
 *	fragmentation	free runs of heap pages by size; memory that is not in use
 *	arenas		a line for each arena: which of its pages have what
 *
 * Pages are heap pages, of 8 KiB.
 *
 * A heap may be large, and its requests wait for its lock. So a reader gathers the
 * figures an arena at a time, and drops the lock in between. The figures of one arena are
 * of one moment; those of two arenas may be of two.
 *
 * debugfs calls a file's functions between debugfs_file_get() and debugfs_file_put();
 * debugfs_remove() waits for those that run and lets no other begin. The release of a
 * heap removes its folder first, so that the heap is there as long as they look at it.
 * Once the heap's owner has ended they find it empty.
 *
 * A kernel without debugfs needs no other code: each of its functions does nothing there.
 */
#include <linux/debugfs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "debugfs.h"
#include "extents.h"
#include "module.h"
#include "pages.h"

static struct dentry *debugfs_root;

/* ---- arena by arena ------------------------------------------------------------------ */

/* Locks a heap to look at an arena, if it has it; -ENOENT: it has no more. */
static int arena_lock(struct gcheap_heap *heap, u32 index)
{
	cond_resched();
	if (mutex_lock_killable(&heap->lock))
		return -EINTR;
	if (heap->live && (u64)index << ARENA_PAGES_SHIFT < heap->core.heap_pages)
		return 0;
	mutex_unlock(&heap->lock);
	return -ENOENT;
}

/* The pages of an arena that exist end here. */
static u32 arena_end(const struct gcheap_heap *heap, u32 index)
{
	return min_t(u32, (index + 1) << ARENA_PAGES_SHIFT, heap->core.heap_pages);
}

/*
 * The first page after @page that is not of the same span. While ALLOC_LARGE makes one,
 * its pages have descriptors already, but for the first, whose @npages is 0.
 */
static u32 span_next(struct gcheap_heap *heap, u32 page)
{
	const struct gcheap_span *span = heap_span(&heap->core, page);

	switch (span_state(span)) {
	case GCHEAP_SPAN_FREE:
		return page + 1;
	case GCHEAP_SPAN_INNER:
		return max(page + 1, span->first_page +
				     heap_span(&heap->core, span->first_page)->npages);
	default:
		return page + span->npages;
	}
}

/* ---- spans --------------------------------------------------------------------------- */

#define KINDS	(GCHEAP_KIND_BITMAP + 1)

struct span_figures {
	u64 spans;
	u64 pages;
	u64 cached;
	u64 unswept;
	u64 slots;
	u64 used;
};

/* Small spans by class and kind; others by state. */
struct span_table {
	struct span_figures small[SIZE_CLASSES * 2][KINDS];
	struct span_figures other[GCHEAP_SPAN_STATE_MASK + 1];
};

static void span_count_in(struct gcheap_heap *heap, u32 page, struct span_table *table)
{
	const struct gcheap_span *span = heap_span(&heap->core, page);
	enum gcheap_span_state state = span_state(span);
	u32 kind = GCHEAP_PAGE_KIND(*heap_info(&heap->core, page));
	struct span_figures *figures = &table->other[state];

	if (state == GCHEAP_SPAN_FREE || state == GCHEAP_SPAN_INNER)
		return;
	if ((state == GCHEAP_SPAN_CENTRAL || state == GCHEAP_SPAN_CACHED) && kind < KINDS)
		figures = &table->small[span->span_class][kind];
	figures->spans++;
	figures->pages += span->npages;
	figures->cached += state == GCHEAP_SPAN_CACHED;
	figures->unswept += state == GCHEAP_SPAN_CENTRAL &&
			    span->generation != heap_generation16(&heap->core);
	figures->slots += span->slots;
	figures->used += span->allocated;
}

static void spans_print(struct seq_file *seq, const struct span_table *table)
{
	static const char *const kinds[KINDS] = {
		"none", "noscan", "mask", "type", "heap_bits", "header", "large", "footer",
		"bitmap",
	};
	static const char *const states[] = {
		[GCHEAP_SPAN_LARGE] = "large",
		[GCHEAP_SPAN_CHUNK] = "chunk",
		[GCHEAP_SPAN_QUARANTINE] = "quarantine",
		[GCHEAP_SPAN_READY] = "ready",
	};
	u32 class, kind, state;

	seq_puts(seq, "# class slot_bytes kind noscan spans pages cached unswept slots used free_slots\n");
	for (class = 0; class < SIZE_CLASSES * 2; class++) {
		for (kind = 0; kind < KINDS; kind++) {
			const struct span_figures *figures = &table->small[class][kind];

			if (!figures->spans)
				continue;
			seq_printf(seq, "%u %u %s %u %llu %llu %llu %llu %llu %llu %llu\n",
				   SPAN_CLASS_SIZE(class),
				   size_class_bytes[SPAN_CLASS_SIZE(class)], kinds[kind],
				   SPAN_CLASS_NOSCAN(class), figures->spans, figures->pages,
				   figures->cached, figures->unswept, figures->slots,
				   figures->used, figures->slots - figures->used);
		}
	}
	seq_puts(seq, "# state spans pages\n");
	for (state = 0; state < ARRAY_SIZE(states); state++) {
		if (states[state])
			seq_printf(seq, "%s %llu %llu\n", states[state],
				   table->other[state].spans, table->other[state].pages);
	}
}

static int spans_show(struct seq_file *seq, void *unused)
{
	struct gcheap_heap *heap = seq->private;
	struct span_table *table = kvzalloc(sizeof(*table), GCHEAP_GFP);
	u32 arena, page, from = 0;
	int error;

	if (!table)
		return -ENOMEM;
	for (arena = 0; !(error = arena_lock(heap, arena)); arena++) {
		u32 end = arena_end(heap, arena);

		/* A span that was counted with the last arena may reach into this one. */
		page = max(from, arena << ARENA_PAGES_SHIFT);
		if (page < end && span_state(heap_span(&heap->core, page)) == GCHEAP_SPAN_INNER)
			page = span_next(heap, page);
		for (; page < end; page = span_next(heap, page))
			span_count_in(heap, page, table);
		from = page;
		mutex_unlock(&heap->lock);
	}
	if (error == -ENOENT) {
		spans_print(seq, table);
		error = 0;
	}
	kvfree(table);
	return error;
}
DEFINE_SHOW_ATTRIBUTE(spans);

/* ---- fragmentation ------------------------------------------------------------------- */

#define RUN_SIZES	32	/* by the logarithm of a run's length */

struct free_runs {
	u64 runs[RUN_SIZES];
	u64 pages[RUN_SIZES];
	u64 total;
	u64 longest;
};

static void runs_add(struct free_runs *runs, u64 npages)
{
	u32 size = npages ? ilog2(npages) : 0;

	if (!npages)
		return;
	runs->runs[size]++;
	runs->pages[size] += npages;
	runs->total += npages;
	runs->longest = max(runs->longest, npages);
}

static int fragmentation_show(struct seq_file *seq, void *unused)
{
	struct gcheap_heap *heap = seq->private;
	struct gcheap_counters counters = {};
	struct free_runs *runs = kzalloc(sizeof(*runs), GCHEAP_GFP);
	u32 arena, page, size;
	u64 run = 0;	/* the free pages just before @page */
	int error;

	if (!runs)
		return -ENOMEM;
	for (arena = 0; !(error = arena_lock(heap, arena)); arena++) {
		u32 end = arena_end(heap, arena);

		for (page = arena << ARENA_PAGES_SHIFT; page < end; page++) {
			if (page_heap_is_free(&heap->core.page_heap, page)) {
				run++;
				continue;
			}
			runs_add(runs, run);
			run = 0;
		}
		pages_counters(heap);
		counters = heap->core.counters;
		mutex_unlock(&heap->lock);
	}
	if (error != -ENOENT)
		goto free_runs;
	error = 0;
	runs_add(runs, run);
	seq_puts(seq, "# run_pages runs pages\n");
	for (size = 0; size < RUN_SIZES; size++) {
		if (runs->runs[size])
			seq_printf(seq, "%llu-%llu %llu %llu\n", 1ull << size, (2ull << size) - 1,
				   runs->runs[size], runs->pages[size]);
	}
	seq_printf(seq, "free_pages %llu\nlongest_run_pages %llu\n", runs->total, runs->longest);
	seq_printf(seq, "free_backed_bytes %llu\nstock_bytes %llu\ntable_bytes %llu\n",
		   counters.free_bytes, counters.stock_bytes, counters.table_bytes);
free_runs:
	kfree(runs);
	return error;
}
DEFINE_SHOW_ATTRIBUTE(fragmentation);

/* ---- arenas -------------------------------------------------------------------------- */

/* The position of the file is the index of an arena, after a line of titles. */
static void *arenas_start(struct seq_file *seq, loff_t *pos)
{
	int error;

	if (!*pos)
		return SEQ_START_TOKEN;
	error = *pos > U32_MAX >> ARENA_PAGES_SHIFT ? -ENOENT :
		arena_lock(seq->private, (u32)*pos - 1);
	if (error)
		return error == -ENOENT ? NULL : ERR_PTR(error);
	return pos;
}

/* One line at a time: the lock is dropped after each, where seq_file calls stop. */
static void *arenas_next(struct seq_file *seq, void *v, loff_t *pos)
{
	struct gcheap_heap *heap = seq->private;

	++*pos;
	if (v != SEQ_START_TOKEN)
		mutex_unlock(&heap->lock);
	return arenas_start(seq, pos);
}

static void arenas_stop(struct seq_file *seq, void *v)
{
	struct gcheap_heap *heap = seq->private;

	if (!IS_ERR_OR_NULL(v) && v != SEQ_START_TOKEN)
		mutex_unlock(&heap->lock);
}

static bool page_has_memory(struct gcheap_heap *heap, u32 page)
{
	return pages_find(heap, (unsigned long)page << (GCHEAP_PAGE_SHIFT - PAGE_SHIFT));
}

static int arenas_show(struct seq_file *seq, void *v)
{
	struct gcheap_heap *heap = seq->private;
	u32 used = 0, free = 0, free_backed = 0, backed = 0;
	u32 arena, page, end;

	if (v == SEQ_START_TOKEN) {
		seq_puts(seq, "# arena first_page used free backed free_backed\n");
		return 0;
	}
	arena = (u32)*(loff_t *)v - 1;
	end = arena_end(heap, arena);
	for (page = arena << ARENA_PAGES_SHIFT; page < end; page++) {
		bool has = page_has_memory(heap, page);

		backed += has;
		if (page_heap_is_free(&heap->core.page_heap, page)) {
			free++;
			free_backed += has;
		} else if (page) {
			used++;
		}
	}
	seq_printf(seq, "%u %u %u %u %u %u\n", arena, arena << ARENA_PAGES_SHIFT, used, free,
		   backed, free_backed);
	return 0;
}

static const struct seq_operations arenas_sops = {
	.start = arenas_start,
	.next = arenas_next,
	.stop = arenas_stop,
	.show = arenas_show,
};
DEFINE_SEQ_ATTRIBUTE(arenas);

/* ---- life ---------------------------------------------------------------------------- */

/**
 * gcheap_debugfs_open() - make a heap's folder
 * @heap: the heap; it has its number
 *
 * Where that fails, the heap works without.
 */
void gcheap_debugfs_open(struct gcheap_heap *heap)
{
	char name[32];

	snprintf(name, sizeof(name), "%d-%u", task_tgid_nr(current), heap->id);
	heap->debugfs = debugfs_create_dir(name, debugfs_root);
	debugfs_create_file("spans", 0400, heap->debugfs, heap, &spans_fops);
	debugfs_create_file("fragmentation", 0400, heap->debugfs, heap, &fragmentation_fops);
	debugfs_create_file("arenas", 0400, heap->debugfs, heap, &arenas_fops);
}

/**
 * gcheap_debugfs_release() - remove a heap's folder
 * @heap: the heap; nobody looks at it by debugfs when this returns
 *
 * Context: may sleep; no lock is held.
 */
void gcheap_debugfs_release(struct gcheap_heap *heap)
{
	debugfs_remove(heap->debugfs);
}

void gcheap_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir("gcheap", NULL);
}

void gcheap_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}
