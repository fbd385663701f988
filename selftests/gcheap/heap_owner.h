/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A heap whose owner is another process, and what this one may see of it.
 *
 * Include it after gcheap_selftest.h.
 */
#ifndef HEAP_OWNER_H
#define HEAP_OWNER_H

#define OBJECT_BYTES	(2u << 20)
#define PATTERN		0x6b

/*
 * The owner is a child that does what it is told by one byte, and answers by one
 * when it is done. This process has nothing but the file.
 */
struct owner {
	pid_t pid;
	int sock;
	struct test_heap heap;		/* in the child */
	struct gcheap_alloc_large large;
};

/* A heap with a type, and an object of OBJECT_BYTES bytes PATTERN: 0 or a negative errno. */
int owned_open(struct test_heap *heap, __u32 flags, struct gcheap_alloc_large *large);

/* Starts an owner; @view is what this process gets of its heap. 0 or a negative errno. */
int owner_start(struct owner *owner, struct test_heap *view, __u32 flags);

/*
 * Has it do something, and waits until it has. 0 or a negative errno:
 *
 *	'a'	allocates another object
 *	'w'	writes other contents, PATTERN + 1
 *	'm'	maps HEAP anew
 *	'u'	unmaps all
 *	'v'	looks whether all is well
 */
int owner_does(struct owner *owner, char order);
/*
 * Has it execute this program with OWNER_SLEEPS, which main() has to know, and keep the
 * file. It may not have done so yet.
 */
#define OWNER_SLEEPS	"--sleep"
int owner_execute(struct owner *owner);
/* Ends it: 'K' by a signal, 'q' by an order. 0 or a negative errno. */
int owner_end(struct owner *owner, char how);

/* Maps what one may map, with HEAP or without: 0 or a negative errno. */
int view_map(struct test_heap *view, bool heap);
/* A place of each region that has contents. */
char *view_content(const struct test_heap *view, int r);

#define test_err_view(err, r, prot, flags) \
	EXPECT_EQ(err, map_errno(self->view.fd, self->view.region_bytes[r], prot, flags, \
				 GCHEAP_REGION_OFFSET(r)))

#endif /* HEAP_OWNER_H */
