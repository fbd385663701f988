// SPDX-License-Identifier: MIT
/*
 * Static and thread-local variables as roots.
 *
 * Each cycle asks the loader anew what is loaded, and marks while the loader enumerates
 * it: for that time no library is unloaded, and none is added. A cycle holds no lock of
 * the heap meanwhile, so that a thread may use the heap while it holds the loader's lock.
 *
 * Of a loaded file all segments that can be read and written are scanned, except what the
 * loader has made read-only after relocation, which the program cannot have changed.
 * Nothing else is left out: neither this library nor malloc() keeps the address of a
 * heap's object in a static variable.
 */
#define _GNU_SOURCE
#include "loaded.h"

#include <errno.h>
#include <link.h>
#include <unistd.h>

#include "entry.h"
#include "error.h"
#include "mark.h"
#include "mark_piece.h"
#include "stop_signal.h"
#include "thread.h"
#include "world.h"

/**
 * struct loaded - what the loader's callback needs
 * @heap: whose roots are read
 * @reader: by whom
 * @file: name of the loaded file
 * @thread: of thread-local storage: whose; else NULL
 */
struct loaded {
	struct gcheap *heap;
	struct loaded_reader *reader;
	const char *file;
	const struct thread *thread;
};

static void loaded_scan(struct loaded *loaded, uintptr_t start, uintptr_t end)
{
	struct loaded_part part = {
		.file = loaded->file, .thread = loaded->thread, .start = start, .end = end,
	};

	if (start < end)
		loaded->reader->part(loaded->reader, &part);
}

/* What the loader has protected: whole pages, as it does. */
static void relro_of(const struct dl_phdr_info *info, uintptr_t *start, uintptr_t *end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	size_t i;

	*start = 0;
	*end = 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_GNU_RELRO)
			continue;
		*start = (info->dlpi_addr + header->p_vaddr) & ~(page - 1);
		*end = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~(page - 1);
	}
}

static void scan_segments(struct loaded *loaded, const struct dl_phdr_info *info)
{
	uintptr_t relro, relro_end;
	size_t i;

	relro_of(info, &relro, &relro_end);
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + header->p_vaddr;
		uintptr_t end = start + header->p_memsz;

		if (header->p_type != PT_LOAD || (header->p_flags & (PF_R | PF_W)) != (PF_R | PF_W))
			continue;
		if (relro < end && relro_end > start) {
			loaded_scan(loaded, start, relro);
			start = relro_end;
		}
		loaded_scan(loaded, start, end);
	}
}

/* ---- thread-local variables beside the loader's table ----------------------------------- */

/*
 * The loader knows a thread's part of a library from __tls_get_addr()'s first call on.
 * Code of the initial-exec model, and that with TLS descriptors, does not call it: there
 * the library's variables are at one distance from all threads' pointers, and relocation
 * has told the code which. Here it is read where the code reads it. To call
 * __tls_get_addr() would make variables of libraries that the thread has not used, and
 * take a lock that dlclose() has while it waits for the one that is held here.
 */
#if defined(__x86_64__)

/**
 * struct relocations - what of a library's dynamic section is needed
 * @bytes: the lengths of @tables
 * @tables: its relocations
 * @symbols: their symbols
 */
struct relocations {
	size_t bytes[2];
	const ElfW(Rela) *tables[2];
	const ElfW(Sym) *symbols;
};

/* Some loaders leave addresses as they are in the file. */
static const void *dynamic_address(const struct dl_phdr_info *info, const ElfW(Dyn) *entry)
{
	uintptr_t at = entry->d_un.d_ptr;

	return (const void *)(at < info->dlpi_addr ? info->dlpi_addr + at : at);
}

static void relocations_find(const struct dl_phdr_info *info, const ElfW(Dyn) *entry,
			     struct relocations *found)
{
	for (; entry->d_tag != DT_NULL; entry++) {
		switch (entry->d_tag) {
		case DT_RELA:
			found->tables[0] = dynamic_address(info, entry);
			break;
		case DT_RELASZ:
			found->bytes[0] = entry->d_un.d_val;
			break;
		case DT_JMPREL:
			found->tables[1] = dynamic_address(info, entry);
			break;
		case DT_PLTRELSZ:
			found->bytes[1] = entry->d_un.d_val;
			break;
		case DT_SYMTAB:
			found->symbols = dynamic_address(info, entry);
			break;
		}
	}
}

/*
 * The distance that a relocation tells of, and whether it does: it is about one of the
 * library's own variables, and a descriptor does not lead to a function that allocates.
 */
static bool distance_of(const struct dl_phdr_info *info, const struct relocations *relocations,
			const ElfW(Rela) *relocation, intptr_t *distance)
{
	const intptr_t *words = (const intptr_t *)(info->dlpi_addr + relocation->r_offset);
	const ElfW(Sym) *symbol = &relocations->symbols[ELF64_R_SYM(relocation->r_info)];

	switch (ELF64_R_TYPE(relocation->r_info)) {
	case R_X86_64_TPOFF64:
		*distance = words[0];
		break;
	case R_X86_64_TLSDESC:
		*distance = words[1];
		break;
	default:
		return false;
	}
	*distance -= relocation->r_addend;
	if (ELF64_R_SYM(relocation->r_info)) {
		if (symbol->st_shndx == SHN_UNDEF)
			return false;
		*distance -= (intptr_t)symbol->st_value;
	}
	/* They lie below the thread pointer. Others are addresses. */
	return *distance < 0;
}

static uintptr_t tls_beside(const struct dl_phdr_info *info, uintptr_t pointer)
{
	struct relocations relocations = { .symbols = NULL };
	intptr_t distance;
	size_t i, t;

	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			relocations_find(info, (const ElfW(Dyn) *)(info->dlpi_addr +
					 info->dlpi_phdr[i].p_vaddr), &relocations);
	}
	for (t = 0; relocations.symbols && t < 2; t++) {
		const ElfW(Rela) *table = relocations.tables[t];

		for (i = 0; table && i < relocations.bytes[t] / sizeof(*table); i++) {
			if (distance_of(info, &relocations, &table[i], &distance))
				return pointer + (uintptr_t)distance;
		}
	}
	return 0;
}

#else

static uintptr_t tls_beside(const struct dl_phdr_info *info, uintptr_t pointer)
{
	(void)info;
	(void)pointer;
	return 0;
}

#endif

/* ---- other threads ------------------------------------------------------------------------ */

/*
 * The loader tells where the calling thread's part of a library is. Another thread's is in
 * the table that its thread pointer leads to: C libraries for x86-64 and aarch64 have the
 * table's address in one of the first two words there, and its entries, by the number of
 * the library, have one word (musl) or two (glibc). Which of these it is, is found out by
 * what the loader says of the calling thread. A table may have old entries, of libraries
 * that are gone: what cannot be read is left out, and what can keeps a little too much.
 */

/* What glibc has in an entry whose memory there is not yet. */
#define TLS_NONE	UINTPTR_MAX

/* Most libraries that a table is looked through for. */
#define TLS_NUMBERS_MAX	4096u

uintptr_t loaded_thread_pointer(void)
{
#if defined(__x86_64__)
	uintptr_t pointer;

	/* It leads to itself. */
	__asm__ ("movq %%fs:0, %0" : "=r"(pointer));
	return pointer;
#elif defined(__aarch64__)
	uintptr_t pointer;

	__asm__ ("mrs %0, tpidr_el0" : "=r"(pointer));
	return pointer;
#else
	return 0;
#endif
}

static uintptr_t tls_entry(const struct tls_table *table, uintptr_t pointer, size_t number)
{
	const uintptr_t *words = ((uintptr_t *const *)pointer)[table->at];

	/* glibc has the table's length before it. */
	if (table->words == 2 && number > words[-2])
		return 0;
	if (table->words == 1 && number > words[0])
		return 0;
	return words[number * table->words] == TLS_NONE ? 0 : words[number * table->words];
}

/* Where the table is, and of what form, while the loader enumerates what it has. */
struct tls_search {
	struct tls_table *table;
	uintptr_t pointer;
	size_t right, wrong;
};

static int tls_compare(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct tls_search *search = arg;

	if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof(info->dlpi_tls_data) ||
	    !info->dlpi_tls_data || info->dlpi_tls_modid > TLS_NUMBERS_MAX)
		return 0;
	if (tls_entry(search->table, search->pointer, info->dlpi_tls_modid) ==
	    (uintptr_t)info->dlpi_tls_data)
		search->right++;
	else
		search->wrong++;
	return 0;
}

static void tls_table_find(struct thread *thread)
{
	static const struct tls_table tables[] = {
#if defined(__x86_64__)
		{ .at = 1, .words = 2 },
#ifndef __GLIBC__
		{ .at = 1, .words = 1 },
#endif
#elif defined(__aarch64__) && defined(__GLIBC__)
		{ .at = 0, .words = 2 },
#endif
		{ 0 },
	};
	size_t i;

	for (i = 0; tables[i].words; i++) {
		struct tls_search search = { &thread->tls_table, thread->pointer, 0, 0 };

		thread->tls_table = tables[i];
		dl_iterate_phdr(tls_compare, &search);
		if (search.right && !search.wrong)
			return;
	}
	thread->tls_table = tables[i];
}

/* A part of thread-local storage; that of a library which is gone may be gone. */
static void scan_block(struct loaded *loaded, uintptr_t start, size_t bytes)
{
	if (stack_readable_end((const char *)start, (const char *)start + bytes) ==
	    (const char *)start + bytes)
		loaded_scan(loaded, start, start + bytes);
}

/* A thread's part; of a library that it has not used yet there may be none. */
static void scan_tls(struct loaded *loaded, const struct dl_phdr_info *info,
		     const struct thread *thread)
{
	bool is_self = pthread_equal(thread->self, pthread_self());
	uintptr_t start = is_self ? (uintptr_t)info->dlpi_tls_data : 0;
	size_t i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_TLS)
			continue;
		if (!start && !is_self)
			start = tls_entry(&thread->tls_table, thread->pointer,
					  info->dlpi_tls_modid);
		if (!start)
			start = tls_beside(info, thread->pointer);
		if (!start)
			continue;
		if (is_self)
			loaded_scan(loaded, start, start + info->dlpi_phdr[i].p_memsz);
		else
			scan_block(loaded, start, info->dlpi_phdr[i].p_memsz);
	}
}

static int loaded_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool has_tls = size >= offsetof(struct dl_phdr_info, dlpi_tls_data) +
			       sizeof(info->dlpi_tls_data);
	struct loaded *loaded = arg;
	const struct thread *thread;

	loaded->file = info->dlpi_name ? info->dlpi_name : "";
	loaded->thread = NULL;
	if (loaded->heap->program_is_root)
		scan_segments(loaded, info);
	for (thread = loaded->heap->world.threads; thread && has_tls; thread = thread->next) {
		loaded->thread = thread;
		if (thread->tls_is_root)
			scan_tls(loaded, info, thread);
	}
	/* It may be unloaded when the loader has told of all. */
	if (loaded->reader->file_ends)
		loaded->reader->file_ends(loaded->reader);
	return 0;
}

static bool any_is_root(const struct gcheap *heap)
{
	const struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread->tls_is_root)
			return true;
	}
	return heap->program_is_root;
}

struct loaded_stop {
	struct world_wait wait;
	bool have_stopped;
	void (*run)(void *arg);
	void *arg;
};

static int stop_and_run(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct loaded_stop *stop = arg;

	(void)info;
	(void)size;
	stop->have_stopped = world_stop_try(&stop->wait);
	if (stop->have_stopped)
		stop->run(stop->arg);
	/* That is all. */
	return 1;
}

void loaded_stop(struct gcheap *heap, const struct thread *self, void (*run)(void *arg), void *arg)
{
	struct loaded_stop stop = { .run = run, .arg = arg };

	world_stop_begin(&stop.wait, heap, self);
	for (;;) {
		/* Without a signal, one that waits for that lock would never come to rest. */
		if (!stop_signal_is_used(heap) || !any_is_root(heap) ||
		    !dl_iterate_phdr(stop_and_run, &stop))
			stop_and_run(NULL, 0, &stop);
		if (stop.have_stopped)
			break;
		world_stop_pause(&stop.wait);
	}
	world_start(heap, self);
}

void loaded_read(struct gcheap *heap, struct loaded_reader *reader)
{
	struct loaded loaded = { .heap = heap, .reader = reader };

	if (any_is_root(heap))
		dl_iterate_phdr(loaded_object, &loaded);
}

/**
 * struct loaded_marking - the reader that marks
 * @reader: what loaded_read() calls; first
 * @marker: with what
 * @bytes: how many were gone through
 */
struct loaded_marking {
	struct loaded_reader reader;
	struct marker *marker;
	uint64_t bytes;
};

static void mark_part(struct loaded_reader *reader, const struct loaded_part *part)
{
	struct loaded_marking *marking = (struct loaded_marking *)reader;

	mark_ambiguous(marking->marker, (const void *)part->start, part->end - part->start);
	marking->bytes += part->end - part->start;
}

static void mark_file_ends(struct loaded_reader *reader)
{
	mark_gathered(((struct loaded_marking *)reader)->marker);
}

uint64_t loaded_mark(struct gcheap *heap)
{
	struct loaded_marking marking = {
		.reader = { .part = mark_part, .file_ends = mark_file_ends },
		.marker = heap->marker,
	};

	loaded_read(heap, &marking.reader);
	return marking.bytes;
}

bool loaded_is_known(const struct gcheap *heap, const struct thread *self)
{
	const struct thread *thread;

	for (thread = heap->world.threads; thread; thread = thread->next) {
		if (thread != self && thread->tls_is_root && !thread->tls_table.words)
			return false;
	}
	return true;
}

int gcheap_root_add_program(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	int error = heap_check(heap);

	if (error)
		return error;
	__atomic_store_n(&heap->program_is_root, true, __ATOMIC_RELAXED);
	return 0;
}

int gcheap_root_add_tls(struct gcheap_thread *fast)
{
	LIBRARY_ENTRY;
	struct thread *thread = (struct thread *)fast;
	int error;

	if (!thread)
		return error_set(-EINVAL, "the thread is NULL: attach one with "
				 "gcheap_thread_attach()");
	error = heap_check(thread->heap);
	if (error)
		return error;
	if (!pthread_equal(thread->self, pthread_self()))
		return error_set(-EPERM, "thread-local storage is added by the thread whose it is");
	/* A cycle that holds the loader's lock waits for this thread to leave the library. */
	world_lock(thread->heap);
	tls_table_find(thread);
	thread->tls_is_root = true;
	world_unlock(thread->heap);
	return 0;
}
