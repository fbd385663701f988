// SPDX-License-Identifier: MIT
/*
 * Static and thread-local variables as roots: the program's, and those of libraries that
 * come and go. The library here has no code, and is written by the test itself.
 */
/* link: -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "library_test.h"

/* ---- a library ------------------------------------------------------------------------ */

#define LIBRARY_FILE_BYTES	2048u
#define LIBRARY_DATA		1024u		/* a variable in the file */
#define LIBRARY_ZEROED		10000u		/* a variable behind it */
#define LIBRARY_BYTES		16384u
#define LIBRARY_TLS_BYTES	64u

struct library {
	ElfW(Ehdr) header;
	ElfW(Phdr) segments[4];
	ElfW(Dyn) dynamic[10];
	ElfW(Sym) symbols[2];
	ElfW(Rela) relocation;
	uintptr_t got[2];		/* what that changes */
	char strings[8];
};

static void library_fill(struct library *library)
{
	const size_t symbols = offsetof(struct library, symbols);
	const size_t dynamic = offsetof(struct library, dynamic);
	const size_t strings = offsetof(struct library, strings);

	memcpy(library->header.e_ident, ELFMAG, SELFMAG);
	library->header.e_ident[EI_CLASS] = ELFCLASS64;
	library->header.e_ident[EI_DATA] = ELFDATA2LSB;
	library->header.e_ident[EI_VERSION] = EV_CURRENT;
	library->header.e_type = ET_DYN;
	library->header.e_machine = EM_X86_64;
	library->header.e_version = EV_CURRENT;
	library->header.e_phoff = offsetof(struct library, segments);
	library->header.e_ehsize = sizeof(library->header);
	library->header.e_phentsize = sizeof(library->segments[0]);
	library->header.e_phnum = 4;
	library->segments[0] = (ElfW(Phdr)) {
		.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_filesz = LIBRARY_FILE_BYTES,
		.p_memsz = LIBRARY_BYTES, .p_align = 4096,
	};
	library->segments[1] = (ElfW(Phdr)) {
		.p_type = PT_DYNAMIC, .p_flags = PF_R | PF_W, .p_offset = dynamic,
		.p_vaddr = dynamic, .p_filesz = sizeof(library->dynamic),
		.p_memsz = sizeof(library->dynamic), .p_align = 8,
	};
	library->segments[2] = (ElfW(Phdr)) {
		.p_type = PT_TLS, .p_flags = PF_R, .p_offset = LIBRARY_DATA,
		.p_vaddr = LIBRARY_DATA, .p_memsz = LIBRARY_TLS_BYTES, .p_align = 8,
	};
	library->segments[3] = (ElfW(Phdr)) { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W };
	library->dynamic[0] = (ElfW(Dyn)) { .d_tag = DT_STRTAB, .d_un.d_ptr = strings };
	library->dynamic[1] = (ElfW(Dyn)) { .d_tag = DT_SYMTAB, .d_un.d_ptr = symbols };
	library->dynamic[2] = (ElfW(Dyn)) {
		.d_tag = DT_STRSZ, .d_un.d_val = sizeof(library->strings),
	};
	library->dynamic[3] = (ElfW(Dyn)) {
		.d_tag = DT_SYMENT, .d_un.d_val = sizeof(ElfW(Sym)),
	};
}

/* Its code would find a thread-local variable at some distance from the thread pointer. */
static void library_relocate(struct library *library, unsigned int type, bool by_symbol)
{
	const size_t relocation = offsetof(struct library, relocation);

	library->symbols[1] = (ElfW(Sym)) {
		.st_info = ELF64_ST_INFO(STB_LOCAL, STT_TLS), .st_shndx = 1, .st_value = 8,
	};
	library->relocation = (ElfW(Rela)) {
		.r_offset = offsetof(struct library, got),
		.r_info = ELF64_R_INFO(by_symbol ? 1ul : 0ul, type), .r_addend = 16,
	};
	library->dynamic[4] = (ElfW(Dyn)) { .d_tag = DT_RELA, .d_un.d_ptr = relocation };
	library->dynamic[5] = (ElfW(Dyn)) {
		.d_tag = DT_RELASZ, .d_un.d_val = sizeof(library->relocation),
	};
	library->dynamic[6] = (ElfW(Dyn)) {
		.d_tag = DT_RELAENT, .d_un.d_val = sizeof(library->relocation),
	};
	if (type == R_X86_64_TPOFF64)
		library->dynamic[7] = (ElfW(Dyn)) {
			.d_tag = DT_FLAGS, .d_un.d_val = DF_STATIC_TLS,
		};
}

/* @relocation: R_X86_64_NONE: it has none. */
static int library_file_with(unsigned int relocation, bool by_symbol)
{
	char content[LIBRARY_FILE_BYTES] = { 0 };
	struct library library = { .strings = "" };
	int fd = memfd_create("library", MFD_CLOEXEC);

	_Static_assert(sizeof(library) <= LIBRARY_DATA, "the variable lies behind it");
	assert_true(fd >= 0);
	library_fill(&library);
	if (relocation != R_X86_64_NONE)
		library_relocate(&library, relocation, by_symbol);
	memcpy(content, &library, sizeof(library));
	assert_int_equal(write(fd, content, sizeof(content)), sizeof(content));
	return fd;
}

static int library_file(void)
{
	return library_file_with(R_X86_64_NONE, false);
}

static void *library_open(int fd)
{
	char path[64];
	void *handle;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	handle = dlopen(path, RTLD_NOW);
	if (!handle)
		fail_msg("%s", dlerror());
	return handle;
}

static void **library_variable(void *handle, size_t offset)
{
	struct link_map *map;

	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	return (void **)(map->l_addr + offset);
}

/* What the compiler calls where code uses a library's thread-local variable. */
extern void *__tls_get_addr(size_t *module_and_offset);

static void **library_thread_local(void *handle)
{
	size_t module_and_offset[2] = { 0, 0 };

	assert_int_equal(dlinfo(handle, RTLD_DI_TLS_MODID, &module_and_offset[0]), 0);
	assert_int_not_equal(module_and_offset[0], 0);
	return __tls_get_addr(module_and_offset);
}

/* ---- roots ---------------------------------------------------------------------------- */

/* No compiler may see that nobody reads them. */
static void *volatile in_data[2] = { (void *)1, NULL };
static void *volatile in_bss;
static __thread void *volatile in_tls;
static __thread void *volatile in_tls_data[2] = { (void *)1, NULL };

static int teardown(void **state)
{
	in_data[1] = NULL;
	in_bss = NULL;
	in_tls = NULL;
	in_tls_data[1] = NULL;
	return fixture_teardown(state);
}

/* Not its first byte, which would be the end of the one before it. */
static void *new_leaf(struct fixture *f)
{
	char *leaf = gcheap_new_leaf(f->thread, 64);

	assert_non_null(leaf);
	return leaf + 5;
}

static void test_static_variables_are_no_roots_unless_they_are_added(void **state)
{
	struct fixture *f = *state;

	in_data[1] = new_leaf(f);
	in_bss = new_leaf(f);
	in_tls = new_leaf(f);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_the_programs_variables_are_roots(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(gcheap_root_add_program(f->heap), 0);
	/* Twice is as once. */
	assert_int_equal(gcheap_root_add_program(f->heap), 0);
	in_data[1] = new_leaf(f);
	in_bss = new_leaf(f);
	new_leaf(f);
	assert_int_equal(live_after_collect(f), 2);
	in_data[1] = NULL;
	assert_int_equal(live_after_collect(f), 1);
	in_bss = NULL;
	assert_int_equal(live_after_collect(f), 0);
}

static void test_the_threads_variables_are_roots(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(gcheap_root_add_tls(f->thread), 0);
	in_tls = new_leaf(f);
	in_tls_data[1] = new_leaf(f);
	in_bss = new_leaf(f);
	assert_int_equal(live_after_collect(f), 2);
	in_tls = NULL;
	in_tls_data[1] = NULL;
	assert_int_equal(live_after_collect(f), 0);
}

static void *use_on_thread(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	assert_int_equal(gcheap_root_add_tls(f->thread), 0);
	in_tls = new_leaf(f);
	assert_int_equal(live_after_collect(f), 1);
	gcheap_thread_detach(f->thread);
	return NULL;
}

static void test_each_thread_has_variables_of_its_own(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	in_tls = new_leaf(f);
	gcheap_thread_detach(f->thread);
	assert_int_equal(pthread_create(&thread, NULL, use_on_thread, f), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* With the thread's detaching its variables are no roots any more. */
	assert_int_equal(gcheap_thread_attach(f->heap, &f->thread), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static void test_libraries_that_come_and_go_are_noticed(void **state)
{
	struct fixture *f = *state;
	int fd = library_file();
	int round;

	assert_int_equal(gcheap_root_add_program(f->heap), 0);
	assert_int_equal(gcheap_root_add_tls(f->thread), 0);
	for (round = 0; round < 3; round++) {
		void *library = library_open(fd);

		*library_variable(library, LIBRARY_DATA) = new_leaf(f);
		*library_variable(library, LIBRARY_ZEROED) = new_leaf(f);
		assert_int_equal(live_after_collect(f), 2);
		/* A thread that has not used it has no variables in it. */
		*library_thread_local(library) = new_leaf(f);
		assert_int_equal(live_after_collect(f), 3);
		*library_variable(library, LIBRARY_DATA) = NULL;
		assert_int_equal(live_after_collect(f), 2);
		assert_int_equal(dlclose(library), 0);
		/* What is not there any more is neither read nor kept. */
		assert_int_equal(live_after_collect(f), 0);
	}
	close(fd);
}

static void **thread_pointer(void)
{
	void **pointer;

	__asm__ ("movq %%fs:0, %0" : "=r"(pointer));
	return pointer;
}

/* The first and the last word of its variables, found as its code would. */
static void use_beside_the_table(struct fixture *f, unsigned int relocation, bool by_symbol)
{
	int fd = library_file_with(relocation, by_symbol);
	void *library = library_open(fd);
	size_t word = offsetof(struct library, got) + (relocation == R_X86_64_TLSDESC ? 8 : 0);
	intptr_t distance = *(intptr_t *)library_variable(library, word);
	char *variable = (char *)thread_pointer() + distance;

	assert_true(distance < 0);
	if (by_symbol)
		variable -= 8;
	variable -= 16;
	*(void **)(void *)variable = new_leaf(f);
	*(void **)(void *)(variable + LIBRARY_TLS_BYTES - 8) = new_leaf(f);
	assert_int_equal(live_after_collect(f), 2);
	*(void **)(void *)variable = NULL;
	*(void **)(void *)(variable + LIBRARY_TLS_BYTES - 8) = NULL;
	assert_int_equal(live_after_collect(f), 0);
	assert_int_equal(dlclose(library), 0);
	close(fd);
}

static void test_variables_that_code_finds_by_the_thread_pointer_are_roots(void **state)
{
	static const unsigned int relocations[] = { R_X86_64_TPOFF64, R_X86_64_TLSDESC };
	struct fixture *f = *state;
	size_t i;

	assert_int_equal(gcheap_root_add_tls(f->thread), 0);
	for (i = 0; i < ARRAY_SIZE(relocations); i++) {
		use_beside_the_table(f, relocations[i], false);
		use_beside_the_table(f, relocations[i], true);
	}
}

/* ---- while another thread loads ---------------------------------------------------------- */

static struct {
	struct fixture *f;
	int fd;
	bool stop;
	unsigned int rounds;
} loading;

static void *load_and_unload(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&loading.stop, __ATOMIC_ACQUIRE)) {
		dlclose(library_open(loading.fd));
		__atomic_fetch_add(&loading.rounds, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *root;

/* In the loader's lock: no cycle holds a lock of the heap while it waits for that. */
static int add_and_remove(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)info;
	(void)size;
	(void)arg;
	assert_int_equal(gcheap_root_add(loading.f->heap, &root, 1), 0);
	assert_int_equal(gcheap_root_remove(loading.f->heap, &root), 0);
	return 0;
}

static void *use_in_callbacks(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&loading.stop, __ATOMIC_ACQUIRE))
		dl_iterate_phdr(add_and_remove, NULL);
	return NULL;
}

static void test_cycles_run_while_other_threads_load_libraries(void **state)
{
	pthread_t loader, caller;
	unsigned int cycles;

	loading.f = *state;
	loading.fd = library_file();
	loading.stop = false;
	loading.rounds = 0;
	assert_int_equal(gcheap_root_add_program(loading.f->heap), 0);
	in_bss = new_leaf(loading.f);
	assert_int_equal(pthread_create(&loader, NULL, load_and_unload, NULL), 0);
	assert_int_equal(pthread_create(&caller, NULL, use_in_callbacks, NULL), 0);
	for (cycles = 0; cycles < 200 ||
	     __atomic_load_n(&loading.rounds, __ATOMIC_ACQUIRE) < 20; cycles++)
		assert_int_equal(live_after_collect(loading.f), 1);
	__atomic_store_n(&loading.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(loader, NULL), 0);
	assert_int_equal(pthread_join(caller, NULL), 0);
	close(loading.fd);
}

/* ---- errors ------------------------------------------------------------------------------ */

static void *add_of_another(void *arg)
{
	struct fixture *f = arg;

	assert_refused(gcheap_root_add_tls(f->thread), EPERM, "the thread whose it is");
	return NULL;
}

static void test_err_loaded_roots(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_refused(gcheap_root_add_program(NULL), EINVAL, "heap is NULL");
	assert_refused(gcheap_root_add_tls(NULL), EINVAL, "thread is NULL");
	assert_int_equal(pthread_create(&thread, NULL, add_of_another, f), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	in_tls = new_leaf(f);
	assert_int_equal(live_after_collect(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, teardown)
		TEST(test_static_variables_are_no_roots_unless_they_are_added),
		TEST(test_the_programs_variables_are_roots),
		TEST(test_the_threads_variables_are_roots),
		TEST(test_each_thread_has_variables_of_its_own),
		TEST(test_libraries_that_come_and_go_are_noticed),
		TEST(test_variables_that_code_finds_by_the_thread_pointer_are_roots),
		TEST(test_cycles_run_while_other_threads_load_libraries),
		TEST(test_err_loaded_roots),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("loaded", tests, NULL, NULL);
}
