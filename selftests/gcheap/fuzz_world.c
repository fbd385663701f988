// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What else can be done to a heap, for the ABI fuzzer; see fuzz_abi.h. */
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/uio.h>

#include "../kselftest.h"
#include "gcheap_selftest.h"
#include "fuzz_abi.h"

/* ---- loads and stores -------------------------------------------------------- */

static __thread sigjmp_buf access_env;
static __thread volatile bool access_armed;

static void access_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!access_armed)
		fuzz_fail("signal %d, code %d, at %p", sig, info->si_code, info->si_addr);
	siglongjmp(access_env, sig);
}

/* Read a word, and write it: what it was, or @value. */
static int access_word(void *at, bool write, const __u64 *value)
{
	struct sigaction action = { .sa_sigaction = access_handler, .sa_flags = SA_SIGINFO };
	volatile __u64 *word = (void *)((uintptr_t)at & ~7ul);
	int sig;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sig = sigsetjmp(access_env, 1);
	if (!sig) {
		access_armed = true;
		if (value)
			*word = *value;
		else if (write)
			*word = *word;
		else
			(void)*word;
	}
	access_armed = false;
	return sig;
}

int fuzz_access(void *at, bool write)
{
	return access_word(at, write, NULL);
}

int fuzz_store(void *at, __u64 value)
{
	return access_word(at, true, &value);
}

/* Loads and stores where they come; only MARKS is really written. */
static void wild_access(struct fuzz_heap *fh, struct rng *rng)
{
	__u32 region = rng_below(rng, GCHEAP_REGIONS);
	char *base = fh->heap.region[region];
	__u64 bytes = fh->heap.region_bytes[region];
	bool write = one_in(rng, 2);
	int sig;

	if (!base || !bytes)
		return;
	for (int i = 0; i < 10; i++) {
		__u64 offset = rng_next(rng) % bytes;

		/* Often near the start, where things are. */
		offset >>= one_in(rng, 2) ? rng_below(rng, 24) : 0;
		sig = fuzz_access(base + offset, write);
		/* Another thread may have unmapped HEAP. */
		if (sig == SIGSEGV && !fuzz_alone && region == GCHEAP_REGION_HEAP)
			continue;
		if (sig && sig != SIGBUS && (sig != SIGSEGV || !write))
			fuzz_fail("an access to region %u at %#llx: signal %d", region, offset,
				  sig);
	}
	fuzz_note("%s region %u", write ? "wrote" : "read", region);
}

static void wild_marks(struct fuzz_heap *fh, struct rng *rng)
{
	__u64 *marks = fh->heap.region[GCHEAP_REGION_MARKS];
	const __u64 pages = fh->set_up ? heap_ctrl(&fh->heap)->heap_pages : 0;
	const __u64 start[] = {
		0, GCHEAP_MARKS_TABLE(fh->heap.reserve, 1),
		GCHEAP_MARKS_PAGE_MARKS(fh->heap.reserve),
		GCHEAP_MARKS_PAGE_SPECIALS(fh->heap.reserve),
	};

	if (!marks || !pages)
		return;
	fh->wild = true;
	for (int i = 0; i < 20; i++) {
		__u32 table = rng_below(rng, 4);
		__u64 bytes = table < 2 ? 64 * pages : pages / 8;
		__u64 *word = marks + (start[table] + (bytes ? rng_next(rng) % bytes : 0)) / 8;

		fuzz_store(word, one_in(rng, 2) ? rng_next(rng) : one_in(rng, 2) ? 0 : ~0ull);
	}
	fuzz_note("wild marks");
	/* What a lazy cycle has still to sweep lives or dies by what was written. */
	fuzz_request_settle(fh);
}

static void write_objects(struct fuzz_heap *fh, struct rng *rng)
{
	for (int i = 0; i < 10; i++) {
		__u32 page = fuzz_set_pick(one_in(rng, 2) ? &fh->cached : &fh->large, rng);

		if (page && page < FUZZ_PAGES && bit_test(fh->stamped, page))
			fuzz_write_stamp(fh, page);
	}
	fuzz_note("wrote to objects");
}

/* System calls that read from and write to the heap. */
static void system_calls(struct fuzz_heap *fh, struct rng *rng)
{
	__u32 page = fuzz_set_pick(one_in(rng, 2) ? &fh->cached : &fh->large, rng);
	char buffer[64], *at;
	int fds[2];

	if (!page || page >= FUZZ_PAGES || !bit_test(fh->stamped, page) || pipe(fds))
		return;
	at = heap_mem(&fh->heap, page);
	if (write(fds[1], at, 8) == 8 && read(fds[0], at, 8) != 8 && fuzz_alone)
		fuzz_fail("read(2) to page %u: errno %d", page, errno);
	bit_set(fh->dirty, page);
	close(fds[0]);
	close(fds[1]);
	if (one_in(rng, 2)) {
		struct iovec local = { buffer, sizeof(buffer) }, remote = { at, sizeof(buffer) };

		process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	}
	fuzz_note("system calls at page %u", page);
}

/* ---- mappings ------------------------------------------------------------------ */

static void map_again(struct fuzz_heap *fh, __u32 region)
{
	int prot = region_is_owners(region) ? PROT_READ | PROT_WRITE : PROT_READ;

	fh->heap.region[region] = region_map(&fh->heap, region, prot);
	if (!fh->heap.region[region])
		fuzz_fail("mmap of region %u: errno %d", region, errno);
}

/* Unmaps HEAP under the other threads' hands, and maps it again where it was. */
static void unmap_heap(struct fuzz_heap *fh)
{
	char *base = fh->heap.region[GCHEAP_REGION_HEAP];
	void *again;

	munmap(base, fh->heap.reserve);
	again = mmap(base, fh->heap.reserve, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED_NOREPLACE, fh->heap.fd,
		     (off_t)GCHEAP_REGION_OFFSET(GCHEAP_REGION_HEAP));
	fuzz_note("unmapped HEAP: %s", again == base ? "mapped again" : strerror(errno));
}

static void mappings(struct fuzz_heap *fh, struct rng *rng)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK,
		MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	__u32 region = rng_below(rng, GCHEAP_REGIONS);
	char *base = fh->heap.region[region];
	__u64 bytes = fh->heap.region_bytes[region];
	__u64 from, length;
	void *moved;
	int advice;

	if (!base || !bytes)
		return;
	from = rng_next(rng) % bytes & ~4095ull;
	length = (rng_next(rng) % (bytes - from) & ~4095ull) + 4096;
	/* Populating a reserve of zeros takes forever. */
	if (length > 1 << 20)
		length = 1 << 20;
	switch (rng_below(rng, 6)) {
	case 0:
		if (munmap(base, bytes))
			fuzz_fail("munmap of region %u: errno %d", region, errno);
		map_again(fh, region);
		fuzz_note("mapped region %u again", region);
		break;
	case 1:
		if (length < bytes && !munmap(base + from, length))
			fuzz_fail("munmap of a part of region %u", region);
		fuzz_note("munmap of a part of region %u", region);
		break;
	case 2:
		moved = mremap(base, bytes, one_in(rng, 2) ? bytes : length,
			       one_in(rng, 2) ? MREMAP_MAYMOVE : 0);
		if (moved != MAP_FAILED && moved != base)
			fuzz_fail("mremap has moved region %u", region);
		fuzz_note("mremap of region %u", region);
		break;
	case 3:
		if (!mprotect(base, bytes, (int)rng_below(rng, 4)) &&
		    mprotect(base, bytes, region_is_owners(region) ? PROT_READ | PROT_WRITE :
								     PROT_READ))
			fuzz_fail("mprotect of region %u: errno %d", region, errno);
		if (!region_is_owners(region) &&
		    !mprotect(base, bytes, PROT_READ | PROT_WRITE))
			fuzz_fail("region %u can be made writable", region);
		fuzz_note("mprotect of region %u", region);
		break;
	default:
		advice = advices[rng_below(rng, ARRAY_SIZE(advices))];
		madvise(base + from, length, advice);
		fuzz_note("madvise %d of region %u: %#llx + %#llx", advice, region, from, length);
		break;
	}
}

/* ---- processes ------------------------------------------------------------------- */

/* A child has no heap: each request gets EPERM, and what it can map it can only read. */
static void child_main(struct fuzz_heap *fh, struct rng *rng)
{
	union any_request request;
	struct gcheap_grant grant;

	alarm(120);
	for (int i = 0; i < 5; i++) {
		unsigned int op = rng_below(rng, GCHEAP_OPS);

		request_valid(op, &request, &grant);
		if (cmd_send(fh->heap.fd, op, &request) != -EPERM)
			_exit(2);
	}
	for (__u32 region = 0; region < GCHEAP_REGIONS; region++) {
		char *p = region_map(&fh->heap, region, PROT_READ);

		if (region_map(&fh->heap, region, PROT_READ | PROT_WRITE))
			_exit(3);
		if (!p)
			continue;
		fuzz_access(p + rng_next(rng) % fh->heap.region_bytes[region], false);
		if (!mprotect(p, fh->heap.region_bytes[region], PROT_READ | PROT_WRITE))
			_exit(4);
	}
	if (one_in(rng, 4))
		raise(SIGKILL);
	if (one_in(rng, 4))
		execl("/proc/self/exe", "fuzz_abi", "--nothing", NULL);
	_exit(0);
}

static void children(struct fuzz_heap *fh, struct rng *rng)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return;
	if (!child)
		child_main(fh, rng);
	/* Not both with the same numbers. */
	rng_next(rng);
	status = child_wait(child);
	fuzz_note("a child: %d", status);
	if (status && status != -SIGKILL)
		fuzz_fail("a child of the owner ended with %d", status);
}

/* ---- files ------------------------------------------------------------------------ */

static void read_all(const char *path)
{
	char buffer[4096];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int reads = 0;

	if (fd < 0)
		return;
	while (read(fd, buffer, sizeof(buffer)) > 0 && reads++ < 100)
		;
	close(fd);
}

static void read_tree(const char *path, int depth)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char below[512];

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR && depth)
			read_tree(below, depth - 1);
		else if (entry->d_type == DT_REG)
			read_all(below);
	}
	if (dir)
		closedir(dir);
}

static void look(struct fuzz_heap *fh, struct rng *rng)
{
	struct pollfd poll_fd = { .fd = fh->heap.fd, .events = POLLIN | POLLPRI | POLLOUT };
	char path[64];
	int fd;

	switch (rng_below(rng, 5)) {
	case 0:
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fh->heap.fd);
		read_all(path);
		break;
	case 1:
		read_tree("/sys/kernel/debug/gcheap", 2);
		break;
	case 2:
		poll(&poll_fd, 1, 0);
		break;
	case 3:
		read_tree("/sys/class/misc/gcheap", 0);
		read_all("/proc/self/smaps_rollup");
		break;
	case 4:
		/* The system asks for memory. */
		fd = one_in(rng, 4) ? open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC) : -1;
		if (fd >= 0) {
			if (write(fd, "2", 1) != 1)
				fuzz_note("drop_caches: errno %d", errno);
			close(fd);
		}
		break;
	}
	fuzz_note("looked");
}

void fuzz_world(struct fuzz_heap *fh, struct rng *rng)
{
	switch (rng_below(rng, 12)) {
	case 0 ... 2:
		write_objects(fh, rng);
		break;
	case 3:
		wild_access(fh, rng);
		break;
	case 4:
		if (one_in(rng, 10))
			wild_marks(fh, rng);
		break;
	case 5:
		system_calls(fh, rng);
		break;
	case 6 ... 8:
		/* Other threads use the mappings. */
		if (fuzz_alone)
			mappings(fh, rng);
		else if (one_in(rng, 8))
			unmap_heap(fh);
		break;
	case 9:
		if (one_in(rng, fuzz_alone ? 3 : 10))
			children(fh, rng);
		else if (fuzz_alone)
			fuzz_looker_show(fh);
		break;
	default:
		look(fh, rng);
		break;
	}
}
