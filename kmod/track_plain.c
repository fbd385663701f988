// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking: most pages, of which there is nothing special to say.
 *
 * Nearly all pages are mapped for writing, and nobody but the heap and that mapping has a
 * reference to them: then the dirty bit of the page table entry is all there is to know.
 * This file looks at several such pages at a time, and leaves the first that is different
 * to track_harvest.c.
 *
 * It tests all that it asks of these pages at once. A further page costs a few
 * instructions, which matters because it holds the page tables' lock meanwhile.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/page_ref.h>

#include "compat.h"
#include "entries.h"
#include "module.h"
#include "track_plain.h"

#ifdef CONFIG_X86_64

#define GROUP	4u	/* pages that are looked at together: two heap pages */

/* Bits that entries of such pages have. */
#define PLAIN_SET	(_PAGE_PRESENT | _PAGE_RW)
/* And of their struct page, those that they do not have. */
#define PLAIN_CLEAR	(BIT(PG_dirty) | BIT(PG_head))

/* group_is_plain() and group_harvest() say it page by page. */
static_assert(GROUP == 2 << HEAP_PAGE_SHIFT);

/*
 * Whether the four are such pages. @any receives the bits that some of the entries
 * have. References are looked at before the page's flags: whoever drops one has set
 * PG_dirty before.
 */
static bool group_is_plain(const pte_t *ptep, struct page *const *pages, pteval_t *any)
{
	pteval_t entry0 = READ_ONCE(ptep[0].pte);
	pteval_t entry1 = READ_ONCE(ptep[1].pte);
	pteval_t entry2 = READ_ONCE(ptep[2].pte);
	pteval_t entry3 = READ_ONCE(ptep[3].pte);
	unsigned int refs0 = page_ref_count(pages[0]);
	unsigned int refs1 = page_ref_count(pages[1]);
	unsigned int refs2 = page_ref_count(pages[2]);
	unsigned int refs3 = page_ref_count(pages[3]);
	unsigned long flags = compat_page_flags(pages[0]) | compat_page_flags(pages[1]) |
			      compat_page_flags(pages[2]) | compat_page_flags(pages[3]);

	*any = entry0 | entry1 | entry2 | entry3;
	/* Two references are ours and that of the mapping; the pages of a huge one have others. */
	return !((~(entry0 & entry1 & entry2 & entry3) & PLAIN_SET) |
		 (*any & _PAGE_SPECIAL) | (flags & PLAIN_CLEAR) |
		 ((refs0 | refs1 | refs2 | refs3) ^ 2) | ((refs0 & refs1 & refs2 & refs3) ^ 2));
}

/*
 * Makes an entry clean. A processor changes an entry only to set a bit that it lacks,
 * and it looks again when it does, with the entry locked. So one that has both of its
 * bits can be replaced by an ordinary write; the page table's lock keeps all others
 * away.
 */
static void entry_clean(pte_t *ptep)
{
	const pteval_t both = _PAGE_ACCESSED | _PAGE_DIRTY;
	pte_t pte = READ_ONCE(*ptep);

	if ((pte.pte & both) == both) {
		WRITE_ONCE(ptep->pte, pte.pte & ~_PAGE_DIRTY);
		return;
	}
	while (pte_dirty(pte)) {
		if (entries_replace(ptep, &pte, pte_mkclean(pte)))
			break;
	}
}

/* Which of the two heap pages of a group are dirty; they are clean then. */
static unsigned long group_harvest(struct harvest *harvest, pte_t *ptep)
{
	unsigned long dirty = 0;
	unsigned int i;

	for (i = 0; i < GROUP; i++) {
		if (!(READ_ONCE(ptep[i].pte) & _PAGE_DIRTY))
			continue;
		dirty |= 1ul << (i >> HEAP_PAGE_SHIFT);
		if (harvest->rearm)
			entry_clean(&ptep[i]);
	}
	harvest->flush |= harvest->rearm;
	return dirty;
}

/*
 * Up to @count pages, of one word of the bitmap of answers, the first of which has the
 * bit @shift there. Return: how many were plain; @dirty receives the bits of those written.
 */
static unsigned long word_harvest(struct harvest *harvest, pte_t *ptep,
				  struct page *const *pages, unsigned long count,
				  unsigned int shift, unsigned long *dirty)
{
	unsigned long done;

	for (done = 0; count - done >= GROUP; done += GROUP) {
		pteval_t any;

		if (!group_is_plain(ptep + done, pages + done, &any))
			break;
		if (any & _PAGE_DIRTY)
			*dirty |= group_harvest(harvest, ptep + done) <<
				  (shift + (done >> HEAP_PAGE_SHIFT));
	}
	return done;
}

/**
 * harvest_plain() - look at pages with little ado
 * @harvest: the request; not one that protects pages
 * @ptep: the page table entry of the page @harvest->at, with the page table locked
 * @pages: the pages of the heap from there on
 * @count: how many there are, and entries
 *
 * Moves @harvest->at. It stays where it is when the page there, or one of the next
 * three, is not plain, when there may be too little room to report them, or when it is
 * not the first page of a heap page.
 */
void harvest_plain(struct harvest *harvest, pte_t *ptep, struct page *const *pages,
		   unsigned long count)
{
	unsigned long want, done;

	if (harvest->at % BIT(HEAP_PAGE_SHIFT))
		return;
	do {
		u32 page = harvest->at >> HEAP_PAGE_SHIFT;
		unsigned int shift = page % BITS_PER_LONG;
		unsigned long dirty = 0;

		if (!track_answer_has_much_room(&harvest->answer))
			return;
		want = min(count, (unsigned long)(BITS_PER_LONG - shift) << HEAP_PAGE_SHIFT);
		done = word_harvest(harvest, ptep, pages, want, shift, &dirty);
		if (dirty)
			track_answer_add_word(&harvest->answer, page - shift, dirty);
		harvest->at += done;
		ptep += done;
		pages += done;
		count -= done;
	} while (done && done == want);
}

#else

void harvest_plain(struct harvest *harvest, pte_t *ptep, struct page *const *pages,
		   unsigned long count)
{
}

#endif
