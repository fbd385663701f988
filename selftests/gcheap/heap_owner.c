// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Owners of heaps that others look at; see heap_owner.h. */
#include "gcheap_selftest.h"
#include "heap_owner.h"

/* What the owner sends with the file. */
struct owner_says {
	__u64 region_bytes[GCHEAP_REGIONS];
	struct gcheap_alloc_large large;
};

int owned_open(struct test_heap *heap, __u32 flags, struct gcheap_alloc_large *large)
{
	int ret = heap_open_flags(heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE, flags);

	ret = ret ?: cmd_type_words(heap->fd, 8, 1, NULL);
	ret = ret ?: cmd_alloc_large(heap->fd, 0, OBJECT_BYTES, large);
	if (!ret)
		memset(heap_mem(heap, large->out_page), PATTERN, OBJECT_BYTES);
	return ret;
}

static int owner_obey(struct owner *owner, char order)
{
	char *mem = heap_mem(&owner->heap, owner->large.out_page);
	char *argv[] = { "owner", OWNER_SLEEPS, NULL };

	switch (order) {
	case 'a':	/* another object */
		return cmd_alloc_large(owner->heap.fd, 0, OBJECT_BYTES, NULL);
	case 'w':	/* other contents */
		memset(mem, PATTERN + 1, OBJECT_BYTES);
		return 0;
	case 'm':	/* the mapping anew */
		munmap(owner->heap.region[GCHEAP_REGION_HEAP], owner->heap.reserve);
		owner->heap.region[GCHEAP_REGION_HEAP] =
			region_map(&owner->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
		return !owner->heap.region[GCHEAP_REGION_HEAP];
	case 'u':	/* nothing mapped */
		heap_unmap(&owner->heap);
		return 0;
	case 'v':	/* all is well */
		return heap_wrong(&owner->heap) || !memory_is(mem, PATTERN, OBJECT_BYTES);
	case 'k':	/* keep the file over exec */
		return fcntl(owner->heap.fd, F_SETFD, 0);
	case 'x':
		execv("/proc/self/exe", argv);
		return 1;
	default:
		_exit(0);
	}
}

static void owner_main(struct owner *owner, __u32 flags)
{
	struct owner_says says;
	char byte;

	if (owned_open(&owner->heap, flags, &owner->large))
		_exit(1);
	memcpy(says.region_bytes, owner->heap.region_bytes, sizeof(says.region_bytes));
	says.large = owner->large;
	if (fd_send(owner->sock, owner->heap.fd) ||
	    write(owner->sock, &says, sizeof(says)) != sizeof(says))
		_exit(2);
	while (read(owner->sock, &byte, 1) == 1) {
		byte = owner_obey(owner, byte) ? '1' : '0';
		if (write(owner->sock, &byte, 1) != 1)
			_exit(3);
	}
	_exit(0);
}

int owner_start(struct owner *owner, struct test_heap *view, __u32 flags)
{
	struct owner_says says;
	int sv[2];

	memset(view, 0, sizeof(*view));
	view->fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		return -errno;
	owner->pid = fork();
	if (owner->pid < 0)
		return -errno;
	if (!owner->pid) {
		close(sv[0]);
		owner->sock = sv[1];
		owner_main(owner, flags);
	}
	close(sv[1]);
	owner->sock = sv[0];
	view->fd = fd_receive(sv[0]);
	if (view->fd < 0 || read(sv[0], &says, sizeof(says)) != sizeof(says))
		return -EIO;
	memcpy(view->region_bytes, says.region_bytes, sizeof(says.region_bytes));
	view->reserve = says.region_bytes[GCHEAP_REGION_HEAP];
	owner->large = says.large;
	return 0;
}

int owner_does(struct owner *owner, char order)
{
	char byte = 0;

	if (write(owner->sock, &order, 1) != 1 || read(owner->sock, &byte, 1) != 1)
		return -EIO;
	return byte == '0' ? 0 : -EINVAL;
}

int owner_execute(struct owner *owner)
{
	int ret = owner_does(owner, 'k');

	return ret ?: write(owner->sock, "x", 1) == 1 ? 0 : -EIO;
}

int owner_end(struct owner *owner, char how)
{
	int ret;

	if (how == 'K')
		kill(owner->pid, SIGKILL);
	else if (write(owner->sock, &how, 1) != 1)
		return -EIO;
	ret = child_wait(owner->pid);
	owner->pid = 0;
	return ret == -SIGKILL ? 0 : ret;
}

int view_map(struct test_heap *view, bool heap)
{
	for (int r = heap ? 0 : 1; r < GCHEAP_REGIONS; r++) {
		if (r == GCHEAP_REGION_MARKS || !view->region_bytes[r])
			continue;
		view->region[r] = region_map(view, r, PROT_READ);
		if (!view->region[r])
			return -errno;
	}
	return 0;
}

char *view_content(const struct test_heap *view, int r)
{
	switch (r) {
	case GCHEAP_REGION_HEAP:
		return heap_mem(view, 1);
	case GCHEAP_REGION_PAGES:
		return (char *)view->region[r] + sizeof(__u64);
	case GCHEAP_REGION_SPANS:
		return (char *)view->region[r] + sizeof(struct gcheap_span);
	default:
		return view->region[r];
	}
}
