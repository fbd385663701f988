/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Reads and writes single words of the process that sends a request, several of them for
 * one user_access_begin().
 */
#ifndef GCHEAP_USER_H
#define GCHEAP_USER_H

#include <linux/types.h>
#include <linux/uaccess.h>

/*
 * Whether an answer will find room: memory of a page at most, so that it lies in two
 * at most. @first and @last are what is written to its ends.
 */
static inline bool user_is_writable(void __user *user, u32 first, size_t bytes, u8 last)
{
	return !put_user(first, (u32 __user *)user) &&
	       !put_user(last, (u8 __user *)user + bytes - 1);
}

/*
 * Requests are short: words one by one are faster than a call that is made for pages.
 * To open the door to user memory and close it costs more than they do, so what stands
 * together is done while it is open once.
 */

/* Reads words of 32 bits, and proves that other memory can be written; 0 bytes: none. */
static inline bool user_read_beside(void *to, const void __user *user, size_t bytes,
				    void __user *answer, size_t answer_bytes)
{
	size_t at;

	if (!access_ok(answer, answer_bytes) || !user_access_begin(user, bytes))
		return false;
	for (at = 0; at < bytes; at += sizeof(u32))
		unsafe_get_user(*(u32 *)(to + at), (const u32 __user *)(user + at), fault);
	if (answer_bytes) {
		unsafe_put_user(0, (u32 __user *)answer, fault);
		unsafe_put_user(0, (u8 __user *)answer + answer_bytes - 1, fault);
	}
	user_access_end();
	return true;

fault:
	user_access_end();
	return false;
}

static inline bool user_write(void __user *user, const void *from, size_t bytes)
{
	size_t at;

	if (!user_write_access_begin(user, bytes))
		return false;
	for (at = 0; bytes - at >= sizeof(u64); at += sizeof(u64))
		unsafe_put_user(*(const u64 *)(from + at), (u64 __user *)(user + at), fault);
	for (; at < bytes; at++)
		unsafe_put_user(*(const u8 *)(from + at), (u8 __user *)(user + at), fault);
	user_write_access_end();
	return true;

fault:
	user_write_access_end();
	return false;
}

#endif /* GCHEAP_USER_H */
