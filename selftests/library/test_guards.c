// SPDX-License-Identifier: MIT
/*
 * Guards: a program under AddressSanitizer, or valgrind, is told where it uses memory
 * that was freed, was never handed out, or lies behind an object; and nothing else is
 * reported. This program runs itself for each access: in the flavour that is compiled for
 * AddressSanitizer as it is, in the other under valgrind, where there is one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

/* ---- what the child does ---------------------------------------------------------- */

struct node {
	struct node *next;
	uint64_t values[7];
};

static struct {
	struct node *node, *other, *array;
	char *leaf, *tiny, *large, *free_slot;
} objects;

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type type;

static void store(void *p)
{
	*(volatile char *)p = 1;
}

static void collect(void)
{
	if (gcheap_collect(thread) || gcheap_verify(heap))
		_exit(3);
}

/* All that a program may do: every byte of objects of many sizes, cycles between them. */
static void do_good(void)
{
	size_t i;

	for (i = 0; i < 3000; i++) {
		size_t bytes = 1 + i * 7 % 3000, count = 1 + i % 40;
		struct node *node = gcheap_new(thread, type);
		struct node *array = gcheap_new_array(thread, type, count);
		char *leaf = gcheap_new_leaf(thread, bytes);
		struct gcheap_object found;

		node->next = objects.node;
		node->values[6] = 1;
		objects.node = node;
		memset(array[count - 1].values, 1, sizeof(array->values));
		objects.array = array;
		memset(leaf, 1, bytes);
		objects.leaf = leaf;
		if (gcheap_find(heap, array, &found) || found.base != array)
			_exit(4);
		if (i % 500 == 0)
			collect();
		if (i % 1000 == 0)
			objects.node = NULL;
	}
}

static void do_behind_node(void)
{
	store(objects.node + 1);
}

static void do_behind_array(void)
{
	store(&objects.array[20].next);
}

static void do_behind_leaf(void)
{
	store(objects.leaf + 104);
}

static void do_behind_tiny(void)
{
	store(objects.tiny + 8);
}

static void do_behind_large(void)
{
	store(objects.large + 100000);
}

static void do_free_slot(void)
{
	store(objects.free_slot);
}

static void do_freed_node(void)
{
	struct node *node = objects.other;

	objects.other = NULL;
	collect();
	store(node);
}

static void do_freed_span(void)
{
	char *leaf = objects.leaf;

	objects.leaf = NULL;
	collect();
	store(leaf);
}

static void do_freed_large(void)
{
	char *large = objects.large;

	objects.large = NULL;
	collect();
	store(large + 50000);
}

static const struct access {
	const char *name;
	void (*run)(void);
	bool bad;
} accesses[] = {
	{ "good", do_good, false },
	{ "behind-node", do_behind_node, true },
	{ "behind-array", do_behind_array, true },
	{ "behind-leaf", do_behind_leaf, true },
	{ "behind-tiny", do_behind_tiny, true },
	{ "behind-large", do_behind_large, true },
	{ "free-slot", do_free_slot, true },
	{ "freed-node", do_freed_node, true },
	{ "freed-span", do_freed_span, true },
	{ "freed-large", do_freed_large, true },
};

static int child(const char *name)
{
	struct gcheap_config config = fixture_config();
	size_t i;

	config.gc_percent = -1;
	/* In a program that is not a test of something else, nothing has to be set for it. */
	unsetenv("GCHEAP_GUARDS");
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread))
		return 1;
	type = GCHEAP_TYPE(heap, struct node, next);
	if (gcheap_root_add_ambiguous(heap, &objects, sizeof(objects) - sizeof(char *)))
		return 1;
	objects.node = gcheap_new(thread, type);
	objects.other = gcheap_new(thread, type);
	objects.array = gcheap_new_array(thread, type, 20);
	objects.leaf = gcheap_new_leaf(thread, 104);
	objects.tiny = gcheap_new_leaf(thread, 8);
	objects.large = gcheap_new_leaf(thread, 100000);
	/* Two slots on: nobody has had it. */
	objects.free_slot = (char *)objects.other +
			    2 * ((char *)objects.other - (char *)objects.node);
	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		if (!strcmp(accesses[i].name, name))
			accesses[i].run();
	}
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}

/* ---- what the parent expects ------------------------------------------------------- */

#define REPORTED	99

/* Runs this program for one access; what it says is in @text. Returns its status. */
static int run(const char *name, char *text, size_t bytes)
{
	char output[] = "/tmp/gcheap-guards-XXXXXX";
	int fd = mkstemp(output);
	ssize_t length;
	int status;
	pid_t pid;

	assert_true(fd >= 0);
	unlink(output);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		setenv("ASAN_OPTIONS", "exitcode=99:abort_on_error=0", 1);
		dup2(fd, 1);
		dup2(fd, 2);
		if (UNDER_ASAN)
			execl("/proc/self/exe", "test_guards", name, NULL);
		else
			execlp("valgrind", "valgrind", "-q", "--error-exitcode=99",
			       program_invocation_name, name, NULL);
		_exit(77);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	length = pread(fd, text, bytes - 1, 0);
	close(fd);
	assert_true(length >= 0);
	text[length] = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_what_is_guarded_is_reported_and_nothing_else(void **state)
{
	static char text[16384];
	size_t l, i;

	(void)state;
	in_each_layout(l) {
		setenv("GCHEAP_LAYOUT", test_layouts[l].name, 1);
		for (i = 0; i < ARRAY_SIZE(accesses); i++) {
			int status;

			/* Valgrind is slow: all that is good, and one layout of the rest. */
			if (!UNDER_ASAN && l && accesses[i].bad)
				continue;
			status = run(accesses[i].name, text, sizeof(text));

			if (status == 77)
				skip_because("no valgrind is installed");
			if (status != (accesses[i].bad ? REPORTED : 0))
				fail_msg("%s: status %d: %s", accesses[i].name, status, text);
			if (accesses[i].bad &&
			    !strstr(text, UNDER_ASAN ? "use-after-poison" : "Invalid write"))
				fail_msg("%s: %s", accesses[i].name, text);
		}
	}
	unsetenv("GCHEAP_LAYOUT");
}

static void test_guards_can_be_turned_off(void **state)
{
	struct fixture f;
	char *leaf;

	(void)state;
	/* As all other tests have it. */
	fixture_open(&f);
	leaf = gcheap_new_leaf(f.thread, 100);
	assert_non_null(leaf);
	store(leaf + 104);
	assert_ptr_equal(gcheap_new_leaf(f.thread, 100), leaf + 112);
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_guarded_is_reported_and_nothing_else),
		cmocka_unit_test(test_guards_can_be_turned_off),
	};

	if (argc > 1)
		return child(argv[1]);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("guards", tests, NULL, NULL);
}
