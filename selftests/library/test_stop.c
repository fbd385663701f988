// SPDX-License-Identifier: MIT
/*
 * Threads that are stopped anywhere: in the middle of an inlined allocation, of a computation,
 * of malloc(), printf() or dlopen(), waiting for a mutex.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#define KEY	0x5ca1ab1e0ddba11ull

struct node {
	struct node *next;
	uint64_t value;
	uint64_t sum;
};

/**
 * struct side - a thread beside the one that collects
 * @heap: of both
 * @type: of its nodes
 * @run: what it does until it shall end
 * @self: it
 * @shall_end: it ends soon
 * @begun: it is attached, and has done something
 * @work: how much it has done
 * @error: what went wrong
 */
struct side {
	struct gcheap *heap;
	gcheap_type type;
	void (*run)(struct side *side, struct gcheap_thread *thread);
	pthread_t self;
	bool shall_end;
	bool begun;
	uint64_t work;
	const char *error;
};

static bool side_goes_on(struct side *side)
{
	side->work++;
	__atomic_store_n(&side->begun, true, __ATOMIC_RELEASE);
	return !__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE) && !side->error;
}

static void *side_main(void *arg)
{
	struct side *side = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(side->heap, &thread)) {
		side->error = "cannot attach";
		__atomic_store_n(&side->begun, true, __ATOMIC_RELEASE);
		return NULL;
	}
	side->run(side, thread);
	gcheap_thread_detach(thread);
	return NULL;
}

static void heap_open(struct fixture *f)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	config.gc_percent = -1;
	fixture_open_with(f, &config);
}

/* The device's machine may be emulated: there is time for a fifth. */
static unsigned int times_longer(void)
{
	const char *backend = getenv("GCHEAP_BACKEND");

	return backend && !strcmp(backend, "device") ? 5 : 1;
}

/* Collects so often beside @count threads that @run, and checks what they say. */
static void collect_beside(void (*run)(struct side *side, struct gcheap_thread *thread),
			   unsigned int count, unsigned int cycles)
{
	struct side sides[8] = { 0 };
	struct fixture f;
	unsigned int i;

	heap_open(&f);
	for (i = 0; i < count; i++) {
		sides[i].heap = f.heap;
		sides[i].type = type_with_mask(f.heap, sizeof(struct node), 8, 1);
		sides[i].run = run;
		assert_int_equal(pthread_create(&sides[i].self, NULL, side_main, &sides[i]), 0);
	}
	for (i = 0; i < count; i++) {
		while (!__atomic_load_n(&sides[i].begun, __ATOMIC_ACQUIRE))
			usleep(100);
	}
	for (i = 0; i < cycles / times_longer(); i++)
		assert_int_equal(gcheap_collect(f.thread), 0);
	for (i = 0; i < count; i++)
		__atomic_store_n(&sides[i].shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(f.thread);
	for (i = 0; i < count; i++)
		pthread_join(sides[i].self, NULL);
	gcheap_unpark(f.thread);
	for (i = 0; i < count; i++) {
		if (sides[i].error)
			fail_msg("thread %u, after %llu: %s", i,
				 (unsigned long long)sides[i].work, sides[i].error);
	}
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

/* ---- computing ------------------------------------------------------------------------- */

/* Neither allocates nor looks; its object is in a variable. */
static void compute(struct side *side, struct gcheap_thread *thread)
{
	struct node *node = gcheap_new(thread, side->type);

	if (!node) {
		side->error = "cannot allocate";
		return;
	}
	node->value = 1;
	while (side_goes_on(side))
		node->value += 2;
	if (!(node->value & 1))
		side->error = "its object was freed";
}

static void threads_that_compute_are_stopped(void **state)
{
	(void)state;
	collect_beside(compute, 4, 200);
}

/* ---- allocating ------------------------------------------------------------------------ */

/* A list is made and looked through; all but the last few are dropped. */
static void allocate(struct side *side, struct gcheap_thread *thread)
{
	struct node *lists[16] = { NULL };
	uint64_t seed = (uintptr_t)side;

	while (side_goes_on(side)) {
		uint64_t random = random_next(&seed);
		struct node **list = &lists[random % 16];
		uint64_t length = random / 16 % 100;
		const struct node *node;

		for (node = *list; node; node = node->next) {
			if (node->sum != (node->value ^ KEY))
				side->error = "a node was overwritten";
		}
		*list = NULL;
		while (length--) {
			struct node *new = gcheap_new(thread, side->type);
			uint64_t *leaf = gcheap_new_leaf(thread, 48);

			if (!new || !leaf) {
				side->error = "cannot allocate";
				return;
			}
			if (new->next || new->value || new->sum || *leaf || leaf[5]) {
				side->error = "memory was not zeroed, or is another's";
				return;
			}
			*leaf = random;
			leaf[5] = random;
			new->next = *list;
			new->value = random;
			new->sum = random ^ KEY;
			*list = new;
			if (*leaf != random || leaf[5] != random)
				side->error = "a leaf is another's, too";
		}
	}
}

static void threads_that_allocate_are_stopped_anywhere(void **state)
{
	(void)state;
	collect_beside(allocate, 4, 500);
}

#if defined(__x86_64__)

/* ---- registers ---------------------------------------------------------------------------- */

/* Its object is in a register, and nowhere else, while it waits. */
static __attribute__((noinline)) void wait_with_register(struct side *side,
							 struct gcheap_thread *thread)
{
	struct node *node = gcheap_new(thread, side->type);
	uintptr_t hidden;
	int i;

	if (!node) {
		side->error = "cannot allocate";
		return;
	}
	node->value = KEY;
	hidden = ~(uintptr_t)node;
	/* The last one is held, because it might still be on its way. */
	for (i = 0; i < 3; i++)
		gcheap_new(thread, side->type);
	__asm__ volatile("" : "=r"(node) : "0"(NULL));
	stack_wipe();
	side_goes_on(side);
	__asm__ volatile("notq %[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, %[end]\n\t"
			 "je 1b\n\t"
			 "notq %[word]"
			 : [word] "+r"(hidden) : [end] "m"(side->shall_end) : "memory", "cc");
	node = (struct node *)~hidden;
	/* The other thread has used all memory that was free. */
	if (node->value != KEY || node->next)
		side->error = "its object was freed";
}

/* Where its cache is its own, two slots are alive with it that are held. */
static void registers_of_stopped_threads_are_scanned(void **state)
{
	struct side side = { .run = wait_with_register };
	struct fixture f;
	int i;

	(void)state;
	heap_open(&f);
	side.heap = f.heap;
	side.type = type_with_mask(f.heap, sizeof(struct node), 8, 1);
	assert_int_equal(pthread_create(&side.self, NULL, side_main, &side), 0);
	while (!__atomic_load_n(&side.begun, __ATOMIC_ACQUIRE))
		usleep(100);
	for (i = 0; i < 5; i++)
		assert_true(live_after_collect(&f) >= 1);
	/* Not busy_type(), which stops the other one for each object. */
	for (i = 0; i < 20000; i++)
		assert_non_null(gcheap_new(f.thread, side.type));
	__atomic_store_n(&side.shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(f.thread);
	pthread_join(side.self, NULL);
	gcheap_unpark(f.thread);
	if (side.error)
		fail_msg("%s", side.error);
	fixture_close(&f);
}

/* ---- allocating, instruction by instruction --------------------------------------------- */

/*
 * The processor's trap flag brings a SIGTRAP after each instruction of an allocation. At one of
 * them the handler waits while another thread runs a cycle, which stops this one there, and takes
 * all memory that it finds free. The object that is allocated then must be nobody else's.
 */

/* Free memory that there is, for the other thread to take all of; and room for its objects. */
#define FREE_BYTES	((uint64_t)512 << 10)
#define TAKEN		(FREE_BYTES / 8 * 2)
#define GCHEAP_PAGE	((uintptr_t)8192)

/**
 * struct stepping - both threads of the test
 * @f: this one's
 * @type: of the objects
 * @leaf: they are leaves of so many bytes; 0: of @type
 * @count_each: arrays of so many of @type; 0: single ones
 * @uninit: the leaves are not zeroed
 * @step: instructions of the allocation so far
 * @target: at which the other thread's turn is
 * @was_reached: there was such an instruction
 * @turn: 1: the other's; 0: this one's; 2: it shall end
 * @taken: the other's objects, a root
 * @page: the page of the heap that this one allocates from
 * @kept: the other's objects on that page, all bits turned over
 * @count: how many
 * @error: of the other thread
 */
static struct stepping {
	struct fixture f;
	gcheap_type type;
	size_t leaf;
	size_t count_each;
	bool uninit;
	unsigned int step, target;
	bool was_reached;
	uint32_t turn;
	uint64_t *taken[TAKEN];
	uintptr_t page;
	uintptr_t kept[GCHEAP_PAGE / 8];
	size_t count;
	const char *error;
} stepping;

extern const char __start_stepped_text[], __stop_stepped_text[];

/* All that is in here is stepped through, and nothing else. */
static __attribute__((noinline, section("stepped_text"))) void *
stepped_new(struct gcheap_thread *thread, gcheap_type type, size_t leaf)
{
	if (stepping.count_each)
		return gcheap_new_array(thread, type, stepping.count_each);
	if (stepping.uninit)
		return gcheap_new_leaf_uninit(thread, leaf);
	return leaf ? gcheap_new_leaf(thread, leaf) : gcheap_new(thread, type);
}

#define TRAP_FLAG	0x100

static void stepped_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	const char *pc = (const char *)at->uc_mcontext.gregs[REG_RIP];

	(void)number;
	(void)info;
	if (pc < __start_stepped_text || pc >= __stop_stepped_text ||
	    stepping.step++ != stepping.target)
		return;
	stepping.was_reached = true;
	__atomic_store_n(&stepping.turn, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&stepping.turn, __ATOMIC_SEQ_CST))
		;
	/* What comes now may be all of the library. */
	at->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void trap_flag(bool on)
{
	if (on)
		__asm__ volatile("subq $128, %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
				 "addq $128, %%rsp" : : : "memory", "cc");
	else
		__asm__ volatile("subq $128, %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t"
				 "addq $128, %%rsp" : : : "memory", "cc");
}

static void *take_all(void *arg)
{
	struct gcheap_thread *thread;
	uint32_t turn;
	size_t i;

	(void)arg;
	if (gcheap_thread_attach(stepping.f.heap, &thread))
		abort();
	while ((turn = __atomic_load_n(&stepping.turn, __ATOMIC_SEQ_CST)) != 2) {
		if (!turn) {
			gcheap_safepoint(thread);
			continue;
		}
		if (gcheap_collect(thread))
			stepping.error = "cannot collect";
		stepping.count = 0;
		for (i = 0; i < TAKEN; i++) {
			uint64_t *object = stepped_new(thread, stepping.type, stepping.leaf);

			stepping.taken[i] = object;
			if (!object)
				break;
			object[0] = 0;
			if ((uintptr_t)object / GCHEAP_PAGE == stepping.page)
				stepping.kept[stepping.count++] = ~(uintptr_t)object;
		}
		if (i < 1000 || i == TAKEN)
			stepping.error = "it did not take all";
		/* All others are dropped: this one's thread wants memory, too. */
		for (i = 0; i < TAKEN; i++) {
			if ((uintptr_t)stepping.taken[i] / GCHEAP_PAGE != stepping.page)
				stepping.taken[i] = NULL;
		}
		__atomic_store_n(&stepping.turn, 0, __ATOMIC_SEQ_CST);
	}
	gcheap_thread_detach(thread);
	return NULL;
}

static bool is_the_others(const void *object)
{
	size_t i;

	for (i = 0; i < stepping.count; i++) {
		if (stepping.kept[i] == ~(uintptr_t)object)
			return true;
	}
	return false;
}

/* One object, with the other's turn at instruction @target. False: there is none. */
static bool step_one(unsigned int target)
{
	struct gcheap_thread *thread = stepping.f.thread;
	uint64_t *volatile object;
	size_t i;

	/* A window is open, and some of it is used. */
	for (i = 0; i < 3; i++) {
		object = stepped_new(thread, stepping.type, stepping.leaf);
		assert_non_null(object);
		stepping.page = (uintptr_t)object / GCHEAP_PAGE;
	}
	stepping.step = 0;
	stepping.target = target;
	stepping.was_reached = false;
	trap_flag(true);
	object = stepped_new(thread, stepping.type, stepping.leaf);
	trap_flag(false);
	if (!stepping.was_reached)
		return false;
	if (stepping.error)
		fail_msg("instruction %u: %s", target, stepping.error);
	assert_non_null(object);
	if (!stepping.uninit)
		assert_int_equal(object[0], 0);
	if (is_the_others(object))
		fail_msg("instruction %u: the object is another's, too", target);
	/* It goes on as if nothing had been. */
	for (i = 0; i < 200; i++) {
		uint64_t *next = stepped_new(thread, stepping.type, stepping.leaf);

		assert_non_null(next);
		assert_ptr_not_equal(next, object);
		if (is_the_others(next))
			fail_msg("instruction %u: a later object is another's, too", target);
	}
	return true;
}

static void step_all(size_t leaf, size_t count_each, bool uninit)
{
	struct sigaction trap = { .sa_sigaction = stepped_trap, .sa_flags = SA_SIGINFO };
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	static void *most;
	unsigned int target = 0, i;
	pthread_t other;

	memset(&stepping, 0, sizeof(stepping));
	config.gc_percent = -1;
	config.reserve_bytes = 64ull << 20;
	fixture_open_with(&stepping.f, &config);
	/* All but a little is in use. */
	assert_int_equal(gcheap_root_add(stepping.f.heap, &most, 1), 0);
	most = gcheap_new_leaf(stepping.f.thread, config.reserve_bytes - FREE_BYTES);
	assert_non_null(most);
	stepping.type = type_with_mask(stepping.f.heap, sizeof(struct node), 8, 1);
	stepping.leaf = leaf;
	stepping.count_each = count_each;
	stepping.uninit = uninit;
	/* A precise one: an ambiguous pointer keeps the object before its own, too. */
	assert_int_equal(gcheap_root_add(stepping.f.heap, stepping.taken, TAKEN), 0);
	/* So many that they have spans of their own. */
	for (i = 0; i < 2000; i++)
		assert_non_null(stepped_new(stepping.f.thread, stepping.type, leaf));
	assert_int_equal(sigaction(SIGTRAP, &trap, NULL), 0);
	assert_int_equal(pthread_create(&other, NULL, take_all, NULL), 0);
	while (step_one(target))
		target += times_longer();
	/* Where each array takes the slow path, there are few. */
	assert_true(target > (count_each ? 4 : 10));
	__atomic_store_n(&stepping.turn, 2, __ATOMIC_SEQ_CST);
	gcheap_park(stepping.f.thread);
	pthread_join(other, NULL);
	gcheap_unpark(stepping.f.thread);
	signal(SIGTRAP, SIG_DFL);
	fixture_close(&stepping.f);
}

static void allocation_may_be_stopped_at_each_instruction(void **state)
{
	(void)state;
	if (UNDER_ASAN)
		skip_because("with guards no allocation is inlined");
	step_all(0, 0, false);
	step_all(64, 0, false);
	step_all(64, 0, true);
	/* Which share a slot. */
	step_all(8, 0, false);
	step_all(8, 0, true);
	/* Arrays: one of one, and one of several. */
	step_all(0, 1, false);
	step_all(0, 4, false);
}

#endif

/* ---- with locks of the C library ----------------------------------------------------------- */

static void use_malloc(struct side *side, struct gcheap_thread *thread)
{
	(void)thread;
	while (side_goes_on(side)) {
		void *volatile memory = malloc(1 + side->work % 5000);

		free(memory);
	}
}

static void threads_in_malloc_are_stopped(void **state)
{
	(void)state;
	collect_beside(use_malloc, 2, 2000);
}

static void use_printf(struct side *side, struct gcheap_thread *thread)
{
	FILE *null = fopen("/dev/null", "w");

	(void)thread;
	if (!null) {
		side->error = "no /dev/null";
		return;
	}
	while (side_goes_on(side))
		fprintf(null, "%llu %f\n", (unsigned long long)side->work, (double)side->work);
	fclose(null);
}

static void threads_in_printf_are_stopped(void **state)
{
	(void)state;
	collect_beside(use_printf, 2, 1000);
}

static void use_loader(struct side *side, struct gcheap_thread *thread)
{
	/* Cycles take the loader's lock, too. */
	if (gcheap_root_add_program(side->heap) || gcheap_root_add_tls(thread))
		side->error = "cannot add roots";
	while (side_goes_on(side)) {
		void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);

		/* A virtual machine may have none: what is loaded is looked for at least. */
		if (!library)
			library = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
		if (!library || !dlsym(library, "abort") || dlclose(library))
			side->error = "cannot load a library";
	}
}

static void threads_in_the_loader_are_stopped(void **state)
{
	(void)state;
	collect_beside(use_loader, 2, 500);
}

/* ---- blocked in the C library -------------------------------------------------------------- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void block_in_mutex(struct side *side, struct gcheap_thread *thread)
{
	(void)thread;
	side_goes_on(side);
	if (pthread_mutex_lock(&held))
		side->error = "pthread_mutex_lock";
	pthread_mutex_unlock(&held);
}

static void *release_later(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&held);
	usleep(300000);
	pthread_mutex_unlock(&held);
	return NULL;
}

static void mutexes_go_on(void **state)
{
	pthread_t holder;

	(void)state;
	assert_int_equal(pthread_create(&holder, NULL, release_later, NULL), 0);
	usleep(50000);
	collect_beside(block_in_mutex, 2, 100);
	pthread_join(holder, NULL);
}

/* ---- the signal --------------------------------------------------------------------------- */

static void err_signals(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	(void)state;
	config.stop_signal = SIGUSR1;
	assert_open_refused(&config, EINVAL, "real-time signal");
	config.stop_signal = SIGRTMAX + 1;
	assert_open_refused(&config, EINVAL, "real-time signal");
	config.stop_signal = SIGRTMAX;
	/* Another was chosen by the tests before. */
	assert_open_refused(&config, EBUSY, "already");
	config.stop_signal = -1;
	assert_opens(&config);
	variable_set("GCHEAP_STOP_SIGNAL", "9");
	config.stop_signal = 0;
	assert_open_refused(&config, EINVAL, "GCHEAP_STOP_SIGNAL=9");
	variable_set("GCHEAP_STOP_SIGNAL", "off");
	assert_opens(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_that_compute_are_stopped),
		cmocka_unit_test(threads_that_allocate_are_stopped_anywhere),
#if defined(__x86_64__)
		cmocka_unit_test(registers_of_stopped_threads_are_scanned),
		cmocka_unit_test(allocation_may_be_stopped_at_each_instruction),
#endif
		cmocka_unit_test(threads_in_malloc_are_stopped),
		cmocka_unit_test(threads_in_printf_are_stopped),
		cmocka_unit_test(threads_in_the_loader_are_stopped),
		cmocka_unit_test(mutexes_go_on),
		cmocka_unit_test_teardown(err_signals, variables_restore),
	};

	return run_in_all_layouts("stop", tests);
}
