// SPDX-License-Identifier: MIT
/*
 * Gifts: how work moves from one marker to another, and how they find that there is no more.
 */
#define _GNU_SOURCE
#include "mark_share.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

/* Looks before a marker without work goes to sleep: some 20 us. */
#define SPINS	500u

static void word_wait(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void word_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- boxes -------------------------------------------------------------------- */

static bool box_change(struct mark_box *box, uint32_t from, uint32_t to)
{
	return __atomic_load_n(&box->state, __ATOMIC_RELAXED) == from &&
	       __atomic_compare_exchange_n(&box->state, &from, to, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* Something has changed that the box's marker waits for: it sees that, or is woken. */
static void box_kick(struct mark_box *box)
{
	__atomic_fetch_add(&box->kicks, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&box->sleeps, __ATOMIC_SEQ_CST))
		word_wake(&box->kicks);
}

void mark_give(struct marker *marker)
{
	struct mark_team *team = marker->team;
	uint32_t i;

	if (!marker->has_coarse && !mark_stack_exceeds(&marker->stack, MARK_GIVE_BYTES))
		return;
	marker->has_coarse = false;
	for (i = 0; i < team->size && !mark_stack_empty(&marker->stack); i++) {
		struct mark_box *box = &team->markers[i]->box;

		if (!box_change(box, BOX_OPEN, BOX_FILLING))
			continue;
		box->count = mark_stack_give(&marker->stack, box->entries, MARK_GIFT_MAX);
		__atomic_fetch_add(&team->busy, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&box->state, BOX_FULL, __ATOMIC_SEQ_CST);
		box_kick(box);
		return;
	}
}

/* Fetch a gift; the stack is empty, and a segment has more room. */
static bool box_fetch(struct marker *marker, struct mark_box *box, uint32_t then)
{
	struct mark_stack *stack = &marker->stack;

	if (!box_change(box, BOX_FULL, BOX_TAKING))
		return false;
	memcpy(stack->top, box->entries, box->count * sizeof(*box->entries));
	stack->top += box->count;
	__atomic_store_n(&box->state, then, __ATOMIC_RELEASE);
	return true;
}

/* Take what was given to another that has not come for it. */
static bool take_back(struct marker *marker)
{
	struct mark_team *team = marker->team;
	uint32_t i;

	for (i = 0; i < team->size; i++) {
		if (!box_fetch(marker, &team->markers[i]->box, BOX_OPEN))
			continue;
		/* The gift was counted, and so is its new owner. */
		__atomic_fetch_sub(&team->busy, 1, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

/* ---- without work --------------------------------------------------------------- */

static bool all_is_done(const struct marker *marker)
{
	const struct mark_team *team = marker->team;

	if (marker->number)
		return __atomic_load_n(&team->quits, __ATOMIC_SEQ_CST);
	return !__atomic_load_n(&team->busy, __ATOMIC_ACQUIRE);
}

/* False: there is no gift, and nothing has happened that ends the wait. */
static bool look(struct marker *marker, bool *has_gift)
{
	*has_gift = box_fetch(marker, &marker->box, BOX_CLOSED);
	return *has_gift || all_is_done(marker);
}

bool mark_share_wait(struct marker *marker)
{
	struct mark_team *team = marker->team;
	struct mark_box *box = &marker->box;
	unsigned int spins = 0;
	bool has_gift;

	while (!look(marker, &has_gift)) {
		uint32_t kicks;

		if (spins++ < SPINS) {
			cpu_relax();
			continue;
		}
		kicks = __atomic_load_n(&box->kicks, __ATOMIC_SEQ_CST);
		__atomic_store_n(&box->sleeps, 1, __ATOMIC_SEQ_CST);
		if (look(marker, &has_gift)) {
			__atomic_store_n(&box->sleeps, 0, __ATOMIC_RELAXED);
			break;
		}
		word_wait(&box->kicks, kicks);
		__atomic_store_n(&box->sleeps, 0, __ATOMIC_RELAXED);
	}
	__atomic_fetch_sub(&team->idle, 1, __ATOMIC_RELAXED);
	if (has_gift)
		marker->since_ns = clock_ns();
	return has_gift;
}

bool mark_share_more(struct marker *marker)
{
	struct mark_team *team = marker->team;

	if (take_back(marker))
		return true;
	marker->busy_ns += clock_ns() - marker->since_ns;
	__atomic_store_n(&marker->box.state, BOX_OPEN, __ATOMIC_RELEASE);
	__atomic_fetch_add(&team->idle, 1, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&team->busy, 1, __ATOMIC_SEQ_CST) == 0 && marker->number)
		box_kick(&team->markers[0]->box);
	return mark_share_wait(marker);
}

/* ---- begin and end --------------------------------------------------------------- */

void mark_share_begin(struct marker *marker)
{
	marker->team->busy = 1;
	marker->is_shared = true;
	marker->since_ns = clock_ns();
	mark_give(marker);
}

void mark_share_end(struct marker *marker)
{
	marker->box.state = BOX_CLOSED;
	marker->is_shared = false;
}

void mark_share_quit(struct marker *marker)
{
	box_kick(&marker->box);
}
