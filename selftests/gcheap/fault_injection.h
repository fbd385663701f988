/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The kernel's fault injection: makes allocations, and copies from and to user space,
 * fail in a thread that asks for it.
 *
 * Include it after gcheap_selftest.h.
 */
#ifndef GCHEAP_FAULT_INJECTION_H
#define GCHEAP_FAULT_INJECTION_H

/**
 * enum failure - what fails
 * @FAIL_ALLOCATION: one allocation
 * @FAIL_COPY: one allocation, or one copy
 * @FAIL_PAGES: pages, from one of them on
 * @FAIL_SLAB: slab objects, from one of them on
 */
enum failure {
	FAIL_ALLOCATION,
	FAIL_COPY,
	FAIL_PAGES,
	FAIL_SLAB,
};

/* Prepare it, for the calling thread; false: the kernel has none. */
bool injection_init(void);

/* Whether copies from and to user space count. */
bool copies_fail(bool fail);

/*
 * Let the n-th allocation of the calling thread fail, or none (0); and whether it has
 * come to that. It will not any more.
 */
void nth_set(unsigned int n);
bool nth_fired(void);

/* The same in another thread of this process: its file for it, or a negative errno. */
int nth_open(pid_t thread);
void nth_set_in(int file, unsigned int n);
bool nth_fired_in(int file);

/*
 * Let the @n-th of what the calling thread asks for fail. The end tells whether it came
 * to that, which is not known of FAIL_PAGES and FAIL_SLAB: false.
 */
bool failure_begin(enum failure failure, unsigned int n);
bool failure_end(enum failure failure);

#endif /* GCHEAP_FAULT_INJECTION_H */
