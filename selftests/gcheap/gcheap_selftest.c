// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Requests, regions and memory for the tests; see gcheap_selftest.h. */
#include <setjmp.h>
#include <time.h>

#include "gcheap_ring.h"
#include "gcheap_selftest.h"

/* ---- the module's worker ------------------------------------------------------ */

#define ZERO_AHEAD	"/sys/module/gcheap/parameters/zero_ahead_bytes"

static char zero_ahead[32];
static pid_t zero_ahead_pid;

static void zero_ahead_write(const char *text)
{
	int fd = open(ZERO_AHEAD, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "# cannot write to " ZERO_AHEAD ": %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Tests count pages to the last, and the worker that zeroes some ahead of demand would
 * add to them at any time: it rests while a program runs that does not ask for it.
 */
static void __attribute__((constructor)) zero_ahead_stop(void)
{
	int fd = open(ZERO_AHEAD, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, zero_ahead, sizeof(zero_ahead) - 1) > 0) {
		zero_ahead_pid = getpid();
		zero_ahead_write("0");
	}
	close(fd);
}

static void __attribute__((destructor)) zero_ahead_restore(void)
{
	if (zero_ahead_pid == getpid())
		zero_ahead_write(zero_ahead);
}

/* ---- a heap ----------------------------------------------------------------- */

int device_open(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		int err = errno;

		fprintf(stderr, "# cannot open %s: %s\n", DEVICE, strerror(err));
		return -err;
	}
	return fd;
}

void *region_map(const struct test_heap *heap, enum gcheap_region region, int prot)
{
	void *p = mmap(NULL, heap->region_bytes[region], prot, MAP_SHARED, heap->fd,
		       (off_t)GCHEAP_REGION_OFFSET(region));

	return p == MAP_FAILED ? NULL : p;
}

int map_errno(int fd, size_t bytes, int prot, int flags, __u64 offset)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, bytes);
	return 0;
}

int heap_setup_flags(struct test_heap *heap, __u32 layout, __u64 reserve, __u32 flags)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.flags = flags,
		.layout = layout,
		.reserve_bytes = reserve,
	};
	int ret = cmd_send(heap->fd, GCHEAP_OP_SETUP, &setup);

	if (ret)
		return ret;
	memcpy(heap->region_bytes, setup.out_region_bytes, sizeof(heap->region_bytes));
	heap->layout = layout;
	heap->reserve = heap->region_bytes[GCHEAP_REGION_HEAP];
	return 0;
}

int heap_setup(struct test_heap *heap, __u32 layout, __u64 reserve)
{
	return heap_setup_flags(heap, layout, reserve, 0);
}

int heap_map(struct test_heap *heap)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		int prot = PROT_READ;

		if (!heap->region_bytes[r])
			continue;
		if (region_is_owners(r))
			prot |= PROT_WRITE;
		heap->region[r] = region_map(heap, r, prot);
		if (!heap->region[r])
			return -errno;
	}
	return 0;
}

void heap_unmap(struct test_heap *heap)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (heap->region[r])
			munmap(heap->region[r], heap->region_bytes[r]);
		heap->region[r] = NULL;
	}
}

int heap_open_flags(struct test_heap *heap, __u32 layout, __u64 reserve, __u32 flags)
{
	int ret;

	memset(heap, 0, sizeof(*heap));
	heap->fd = device_open();
	if (heap->fd < 0)
		return heap->fd;
	ret = heap_setup_flags(heap, layout, reserve, flags);
	if (!ret)
		ret = heap_map(heap);
	if (ret)
		heap_close(heap);
	return ret;
}

int heap_open(struct test_heap *heap, __u32 layout, __u64 reserve)
{
	return heap_open_flags(heap, layout, reserve, 0);
}

void heap_close(struct test_heap *heap)
{
	heap_unmap(heap);
	if (heap->fd >= 0)
		close(heap->fd);
	heap->fd = -1;
}

/* ---- requests --------------------------------------------------------------- */

static int door_ioctl(int fd, unsigned int op, void *request)
{
	return ioctl(fd, GCHEAP_IOC(op), request) ? -errno : 0;
}

/* A ring for each thread; a forked child needs one of its own. */
int door_uring(int fd, unsigned int op, void *request)
{
	static __thread struct test_ring ring;
	static __thread pid_t owner;

	if (owner != getpid()) {
		int ret = ring_open(&ring, 4, 0);

		if (ret)
			return ret;
		owner = getpid();
	}
	return ring_send(&ring, fd, op, request, 0);
}

int (*cmd_door)(int fd, unsigned int op, void *request) = door_ioctl;

__attribute__((constructor))
static void door_choose(void)
{
	const char *name = getenv("GCHEAP_DOOR");

	if (name && !strcmp(name, "uring"))
		cmd_door = door_uring;
}

int cmd_send(int fd, unsigned int op, void *request)
{
	return cmd_door(fd, op, request);
}

int cmd_type_add(int fd, __u64 bytes, __u32 align, __u64 ptr_bytes, const void *mask,
		 const char *name, __u32 *type)
{
	struct gcheap_type_add add = {
		.size = sizeof(add),
		.bytes = bytes,
		.ptr_bytes = ptr_bytes,
		.align = align,
		.name_bytes = name ? (__u32)strlen(name) : 0,
		.name = (uintptr_t)name,
		.ptr_mask = (uintptr_t)mask,
	};
	int ret = cmd_send(fd, GCHEAP_OP_TYPE_ADD, &add);

	if (!ret && type)
		*type = add.out_type;
	return ret;
}

int cmd_type_words(int fd, __u32 words, __u64 mask, __u32 *type)
{
	__u8 bytes[1024] = { 0 };

	if (words > 8 * sizeof(bytes))
		return -EINVAL;
	memcpy(bytes, &mask, sizeof(mask));
	return cmd_type_add(fd, 8ull * words, 8, mask ? 8ull * words : 0,
			    mask ? bytes : NULL, "words", type);
}

int cmd_refill(int fd, __u32 type, __u32 size_class, __u32 want_bytes,
	       const __u32 *returns, __u32 return_count,
	       struct gcheap_grant *grants, __u32 grant_count, __u32 *granted)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.type = type,
		.size_class = size_class,
		.want_bytes = want_bytes,
		.return_count = return_count,
		.grant_count = grant_count,
		.returns = (uintptr_t)returns,
		.grants = (uintptr_t)grants,
	};
	int ret = cmd_send(fd, GCHEAP_OP_REFILL, &refill);

	if (!ret && granted)
		*granted = refill.out_granted;
	return ret;
}

int cmd_take(int fd, __u32 type, __u32 size_class, struct gcheap_grant *grant)
{
	__u32 granted = 0;
	int ret = cmd_refill(fd, type, size_class, 1, NULL, 0, grant, 1, &granted);

	return ret || granted == 1 ? ret : -ENODATA;
}

int cmd_take_flags(int fd, __u32 flags, __u32 type, __u32 size_class,
		   struct gcheap_grant *grant)
{
	struct gcheap_refill refill = {
		.size = sizeof(refill),
		.flags = flags,
		.type = type,
		.size_class = size_class,
		.want_bytes = 1,
		.grant_count = 1,
		.grants = (uintptr_t)grant,
	};
	int ret = cmd_send(fd, GCHEAP_OP_REFILL, &refill);

	return ret || refill.out_granted == 1 ? ret : -ENODATA;
}

int cmd_give(int fd, const __u32 *pages, __u32 count)
{
	return cmd_refill(fd, 0, 0, 0, pages, count, NULL, 0, NULL);
}

int cmd_alloc_large_flags(int fd, __u32 flags, __u32 type, __u64 count,
			  struct gcheap_alloc_large *out)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.type = type,
		.count = count,
	};
	int ret = cmd_send(fd, GCHEAP_OP_ALLOC_LARGE, &alloc);

	if (!ret && out)
		*out = alloc;
	return ret;
}

int cmd_alloc_large(int fd, __u32 type, __u64 count, struct gcheap_alloc_large *out)
{
	return cmd_alloc_large_flags(fd, 0, type, count, out);
}

int cmd_mark_start(int fd, struct gcheap_mark_start *out)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };
	int ret = cmd_send(fd, GCHEAP_OP_MARK_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_sweep_start(int fd, struct gcheap_sweep_start *out)
{
	struct gcheap_sweep_start start = { .size = sizeof(start) };
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_sweep(int fd, __u64 max_spans, struct gcheap_sweep *out)
{
	struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = max_spans };
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP, &sweep);

	if (!ret && out)
		*out = sweep;
	return ret;
}

int cmd_stats(int fd, struct gcheap_counters *out)
{
	struct gcheap_heap_stats stats = { .size = sizeof(stats) };
	int ret = cmd_send(fd, GCHEAP_OP_STATS, &stats);

	if (!ret)
		*out = stats.out_counters;
	return ret;
}

int cmd_sweep_start_flags(int fd, __u32 flags, __u64 goal_bytes, struct gcheap_sweep_start *out)
{
	struct gcheap_sweep_start start = {
		.size = sizeof(start), .flags = flags, .goal_bytes = goal_bytes,
	};
	int ret = cmd_send(fd, GCHEAP_OP_SWEEP_START, &start);

	if (!ret && out)
		*out = start;
	return ret;
}

int cmd_free_large(int fd, __u32 page)
{
	struct gcheap_free_large request = { .size = sizeof(request), .page = page };

	return cmd_send(fd, GCHEAP_OP_FREE_LARGE, &request);
}

int cmd_reclaim(int fd, __u64 max_pages, struct gcheap_reclaim *out)
{
	struct gcheap_reclaim reclaim = { .size = sizeof(reclaim), .max_pages = max_pages };
	int ret = cmd_send(fd, GCHEAP_OP_RECLAIM, &reclaim);

	if (!ret && out)
		*out = reclaim;
	return ret;
}

int cmd_scavenge(int fd, __u64 max_bytes, struct gcheap_scavenge *out)
{
	struct gcheap_scavenge scavenge = { .size = sizeof(scavenge), .max_bytes = max_bytes };
	int ret = cmd_send(fd, GCHEAP_OP_SCAVENGE, &scavenge);

	if (!ret && out)
		*out = scavenge;
	return ret;
}

int cmd_chunk_new(int fd, struct gcheap_chunk_new *out)
{
	struct gcheap_chunk_new chunk = { .size = sizeof(chunk) };
	int ret = cmd_send(fd, GCHEAP_OP_CHUNK_NEW, &chunk);

	if (!ret && out)
		*out = chunk;
	return ret;
}

int cmd_chunk_free(int fd, __u32 page)
{
	struct gcheap_chunk_free chunk = { .size = sizeof(chunk), .page = page };

	return cmd_send(fd, GCHEAP_OP_CHUNK_FREE, &chunk);
}

int cmd_chunk_ready(int fd, __u32 page)
{
	struct gcheap_chunk_ready chunk = { .size = sizeof(chunk), .page = page };

	return cmd_send(fd, GCHEAP_OP_CHUNK_READY, &chunk);
}

int cmd_track(int fd, struct gcheap_track *track)
{
	track->size = sizeof(*track);
	return cmd_send(fd, GCHEAP_OP_TRACK, track);
}

__u32 request_bytes(unsigned int op)
{
	static const __u32 bytes[GCHEAP_OPS] = {
		[GCHEAP_OP_SETUP] = sizeof(struct gcheap_setup),
		[GCHEAP_OP_TYPE_ADD] = sizeof(struct gcheap_type_add),
		[GCHEAP_OP_REFILL] = sizeof(struct gcheap_refill),
		[GCHEAP_OP_ALLOC_LARGE] = sizeof(struct gcheap_alloc_large),
		[GCHEAP_OP_MARK_START] = sizeof(struct gcheap_mark_start),
		[GCHEAP_OP_SWEEP_START] = sizeof(struct gcheap_sweep_start),
		[GCHEAP_OP_SWEEP] = sizeof(struct gcheap_sweep),
		[GCHEAP_OP_STATS] = sizeof(struct gcheap_heap_stats),
		[GCHEAP_OP_FREE_LARGE] = sizeof(struct gcheap_free_large),
		[GCHEAP_OP_RECLAIM] = sizeof(struct gcheap_reclaim),
		[GCHEAP_OP_SCAVENGE] = sizeof(struct gcheap_scavenge),
		[GCHEAP_OP_CHUNK_NEW] = sizeof(struct gcheap_chunk_new),
		[GCHEAP_OP_CHUNK_FREE] = sizeof(struct gcheap_chunk_free),
		[GCHEAP_OP_CHUNK_READY] = sizeof(struct gcheap_chunk_ready),
		[GCHEAP_OP_TRACK] = sizeof(struct gcheap_track),
	};

	return bytes[op];
}

__u32 request_flags(unsigned int op)
{
	switch (op) {
	case GCHEAP_OP_SETUP:
		return GCHEAP_SETUP_HUGE_PAGES | GCHEAP_SETUP_FAULT_FREED |
		       GCHEAP_SETUP_SHARE_READ | GCHEAP_SETUP_SNAPSHOTS |
		       GCHEAP_SETUP_RECORD_TYPES;
	case GCHEAP_OP_REFILL:
		return GCHEAP_REFILL_MIXED;
	case GCHEAP_OP_ALLOC_LARGE:
		return GCHEAP_ALLOC_LAZY;
	case GCHEAP_OP_SWEEP_START:
		return GCHEAP_SWEEP_START_LAZY;
	case GCHEAP_OP_TRACK:
		return GCHEAP_TRACK_BITMAP | GCHEAP_TRACK_PEEK | GCHEAP_TRACK_PROTECT;
	default:
		return 0;
	}
}

void request_valid(unsigned int op, union any_request *request,
		   struct gcheap_grant *grant)
{
	memset(request, 0, sizeof(*request));
	request->size = request_bytes(op);
	switch (op) {
	case GCHEAP_OP_SETUP:
		request->setup.reserve_bytes = SMALL_RESERVE;
		break;
	case GCHEAP_OP_TYPE_ADD:
		request->type_add.bytes = 16;
		request->type_add.align = 8;
		break;
	case GCHEAP_OP_REFILL:
		request->refill.size_class = CLASS_16;
		request->refill.want_bytes = 1;
		request->refill.grant_count = 1;
		request->refill.grants = (uintptr_t)grant;
		break;
	case GCHEAP_OP_ALLOC_LARGE:
		request->alloc_large.count = 40000;
		break;
	case GCHEAP_OP_SWEEP:
		request->sweep.max_spans = 1;
		break;
	case GCHEAP_OP_RECLAIM:
		request->reclaim.max_pages = 1;
		break;
	case GCHEAP_OP_SCAVENGE:
		request->scavenge.max_bytes = 1;
		break;
	case GCHEAP_OP_TRACK:
		request->track.flags = GCHEAP_TRACK_BITMAP;
		break;
	}
}

/* ---- memory ----------------------------------------------------------------- */

bool memory_is(const void *memory, int byte, size_t bytes)
{
	const char *p = memory;

	return !bytes || (p[0] == (char)byte && !memcmp(p, p + 1, bytes - 1));
}

static sigjmp_buf probe_env;
static siginfo_t probe_info;

static void probe_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	probe_info = *info;
	siglongjmp(probe_env, sig);
}

int probe(void *addr, bool write, siginfo_t *info)
{
	struct sigaction action = { .sa_sigaction = probe_handler, .sa_flags = SA_SIGINFO };
	struct sigaction old_bus, old_segv;
	volatile char *p = addr;
	int sig;

	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segv);
	sig = sigsetjmp(probe_env, 1);
	if (!sig) {
		char byte = *p;

		if (write)
			*p = byte;
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	if (sig && info)
		*info = probe_info;
	return sig;
}

int child_probe(void *addr, bool write)
{
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (!child)
		_exit(probe(addr, write, NULL));
	return child_wait(child);
}

int child_wait(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int read_into(void *addr, size_t bytes)
{
	int fd = open("/dev/zero", O_RDONLY);
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	n = read(fd, addr, bytes);
	ret = n < 0 ? -errno : n == (ssize_t)bytes ? 0 : -ENODATA;
	close(fd);
	return ret;
}

void *memory_before_hole(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t length = (bytes + page - 1) / page * page;
	char *p = mmap(NULL, length + page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + length, page, PROT_NONE))
		return NULL;
	return p + length - bytes;
}

void *memory_readonly(const void *content, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	memcpy(p, content, bytes);
	return mprotect(p, bytes, PROT_READ) ? NULL : p;
}

int fd_send(int sock, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

int fd_receive(int sock)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* ---- the machine ------------------------------------------------------------ */

long long sysfs_number(const char *name)
{
	char path[128], text[32] = "";
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), "/sys/class/misc/gcheap/%s", name);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	got = fgets(text, sizeof(text), file);
	fclose(file);
	return got ? strtoll(text, NULL, 10) : -EIO;
}

int machine_take(struct machine *machine)
{
	machine->heaps = sysfs_number("heaps");
	machine->object_bytes = sysfs_number("object_bytes");
	machine->table_bytes = sysfs_number("table_bytes");
	if (machine->heaps < 0)
		return (int)machine->heaps;
	if (machine->object_bytes < 0)
		return (int)machine->object_bytes;
	return machine->table_bytes < 0 ? (int)machine->table_bytes : 0;
}

bool machine_back_to(const struct machine *machine)
{
	const struct timespec wait = { .tv_nsec = 10 * 1000 * 1000 };
	struct machine now = { 0 };

	for (int i = 0; i < 500; i++) {
		if (!machine_take(&now) && now.heaps == machine->heaps &&
		    now.object_bytes == machine->object_bytes &&
		    now.table_bytes == machine->table_bytes)
			return true;
		nanosleep(&wait, NULL);
	}
	fprintf(stderr, "# before: %lld heaps, %lld + %lld bytes; now: %lld, %lld + %lld\n",
		machine->heaps, machine->object_bytes, machine->table_bytes,
		now.heaps, now.object_bytes, now.table_bytes);
	return false;
}

__u64 now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000 + (__u64)now.tv_nsec / 1000;
}

void rng_init(struct rng *rng, __u64 seed)
{
	rng->state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (int i = 0; i < 8; i++)
		rng_next(rng);
}

void rng_init_printed(struct rng *rng, const char *who)
{
	const char *text = getenv("GCHEAP_SEED");
	__u64 seed;

	if (text)
		seed = strtoull(text, NULL, 0);
	else
		seed = (__u64)time(NULL) << 16 ^ (__u64)getpid();
	fprintf(stderr, "# %s: GCHEAP_SEED=%llu\n", who, seed);
	rng_init(rng, seed);
}

__u64 rng_next(struct rng *rng)
{
	__u64 x = rng->state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	rng->state = x;
	return x * 0x2545f4914f6cdd1dull;
}

__u32 rng_below(struct rng *rng, __u32 n)
{
	return (__u32)((rng_next(rng) >> 32) * n >> 32);
}
