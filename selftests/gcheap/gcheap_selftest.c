// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Heaps, memory and the machine for the tests; see gcheap_selftest.h. */
#include <setjmp.h>
#include <time.h>

#include "gcheap_selftest.h"

/* ---- the module's worker ------------------------------------------------------ */

#define ZERO_AHEAD	PARAMETERS "zero_ahead_bytes"

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
	heap->flags = flags;
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
