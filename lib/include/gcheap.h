/* SPDX-License-Identifier: MIT */
/*
 * libgcheap: a typed, precise, garbage-collected heap for C programs and
 * language runtimes, whose pages, tables and sweep live in the gcheap kernel
 * module (/dev/gcheap), or in this process where the module is not loaded.
 *
 * Functions that can fail return 0 or a negative errno; allocation returns NULL
 * and sets errno. gcheap_error() tells a person what was wrong and what to do.
 * All of them that say what went wrong answer NULL for a heap or thread with EINVAL, and in a
 * child of fork() the parent's heap with EPERM. The library never exits, and aborts only on a
 * corrupted heap, after it has said what it found, and where. It prints nothing but that, what
 * was asked for (gcheap_verify(), GCHEAP_VERIFY, GCHEAP_FAULT_FREED, GCHEAP_TRACE), a line about a
 * thread that keeps a cycle waiting for a second, and, once a process, the name of a setting in
 * the environment that does not exist.
 *
 * WHAT IS SCANNED. An object is alive if a pointer to it is in memory that the collector
 * scans, or in an object that is alive. When only memory that is
 * NOT SCANNED leads to an object, the object is FREED, even if the program still uses it:
 *
 *	stack and registers of each attached	SCANNED with GCHEAP_CONSERVATIVE_STACKS,
 *	thread					which is the default; without it only the
 *						variables that GCHEAP_FRAME or
 *						GCHEAP_FRAME_AUTO names
 *	the stack of its signal handlers	SCANNED in the same way, as a stack of
 *						its own
 *	other stacks: coroutines, fibers	NOT SCANNED until gcheap_stack_add()
 *	REGISTERS OF A SUSPENDED CONTEXT	NOT SCANNED where swapcontext() and the like
 *	(ucontext_t, jmp_buf)			keep them in memory that is on none of
 *						these stacks, until
 *						gcheap_root_add_ambiguous()
 *	static variables of the program and	NOT SCANNED until gcheap_root_add_program()
 *	its libraries				adds all, or gcheap_root_add() one
 *	thread-local variables of an		NOT SCANNED until it calls
 *	attached thread				gcheap_root_add_tls()
 *	values of pthread_setspecific()		NEVER SCANNED: keep the pointer in a root, too
 *	what malloc() and mmap() return		NOT SCANNED until gcheap_root_add(),
 *						_typed() or _ambiguous()
 *	stacks and variables of threads that	NEVER SCANNED: keep the pointer in a root, too
 *	are not attached
 *	objects of a type			SCANNED where the type says pointer, and
 *						nowhere else: a pointer in a member that
 *						GCHEAP_TYPE does not name is not seen
 *	leaves, and types without pointers	NEVER SCANNED
 *
 * Documentation/stacks.md has this table with the reasons.
 *
 * A pointer is the address of an object, or of any byte of it; on stacks and in ambiguous
 * roots any word that looks like one counts, and so does that of its end. An address that was
 * XORed, tagged in its upper bits, or written to a file is no pointer.
 *
 * Threads: what takes a struct gcheap_thread is called by the thread that attached. What takes a
 * heap may be called by any thread at any time, attached or not, but for gcheap_close(), after
 * which nobody uses the heap, and gcheap_stack_remove().
 *
 * Names that end in an underscore are of the inline functions' making: they may
 * change with any release that changes the library's soname.
 */
#ifndef GCHEAP_H
#define GCHEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gcheap_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GCHEAP_API		__attribute__((visibility("default")))
#define GCHEAP_LIKELY_(x)	__builtin_expect(!!(x), 1)

/* ---- heap ------------------------------------------------------------------- */

struct gcheap;		/* one heap: one open of /dev/gcheap, or one local heap */
struct gcheap_thread;	/* one mutator thread attached to one heap */
typedef uint32_t gcheap_type;	/* 0 is never a type */

/**
 * enum gcheap_backend - where spans come from
 * @GCHEAP_BACKEND_AUTO: the device; local where /dev/gcheap does not exist, or this
 *	process has no permission to open it
 * @GCHEAP_BACKEND_DEVICE: the kernel module
 * @GCHEAP_BACKEND_LOCAL: anonymous memory of this process; its tables are not
 *	protected from wild stores
 */
enum gcheap_backend {
	GCHEAP_BACKEND_AUTO,
	GCHEAP_BACKEND_DEVICE,
	GCHEAP_BACKEND_LOCAL,
};

/**
 * enum gcheap_layout - where pointer metadata lives
 * @GCHEAP_LAYOUT_SPAN: one pointer mask or type a span: nothing an object
 * @GCHEAP_LAYOUT_HEADER: heap bits at the tail of spans for objects up to 512
 *	bytes, an 8-byte type header before larger ones
 * @GCHEAP_LAYOUT_FOOTER: as HEADER, but the type word at the end of the slot, so
 *	that objects keep the alignment of their slot
 * @GCHEAP_LAYOUT_BITMAP: two bits a word for the whole heap, beside it: objects are
 *	their slots
 *
 * <linux/gcheap.h> has the same enum: a program may include both headers, and needs only
 * this one.
 */
#ifndef _GCHEAP_LAYOUT
#define _GCHEAP_LAYOUT
enum gcheap_layout {
	GCHEAP_LAYOUT_SPAN = 0,
	GCHEAP_LAYOUT_HEADER = 1,
	GCHEAP_LAYOUT_FOOTER = 2,
	GCHEAP_LAYOUT_BITMAP = 3,
};
#endif

#define GCHEAP_CONSERVATIVE_STACKS	(1u << 0)	/* scan threads' stacks, registers */
#define GCHEAP_CONCURRENT		(1u << 1)	/* mark beside the mutators */
#define GCHEAP_WRITE_TRACKING		(1u << 2)	/* find stores by the pages' dirty bits */
/*
 * Memory of objects comes in 2 MiB pages, where there are any, and goes back to the
 * system as such. Documentation/memory.md says when that is worth it.
 */
#define GCHEAP_HUGE_PAGES		(1u << 3)
/*
 * Debug: memory of freed objects is taken away as soon as a whole span of them is
 * free, and each access gets SIGBUS (local backend: SIGSEGV) with the address, at
 * least until the next cycle has found no pointer there. The local backend has room for
 * so many runs of such pages (a quarter of vm.max_map_count), and says so once on stderr.
 */
#define GCHEAP_FAULT_FREED		(1u << 4)
#define GCHEAP_VERIFY			(1u << 5)	/* debug: check objects and cycles */
#define GCHEAP_GENERATIONAL		(1u << 6)	/* young cycles from dirty pages */
#define GCHEAP_RECORD_TYPES		(1u << 7)	/* every object's exact type can be found */
/* A thread of the library's own runs finalizers and cleanups: Documentation/specials.md. */
#define GCHEAP_FINALIZER_THREAD		(1u << 8)
/* All of a user arena faults when it is freed: gcheap_arena_free(). */
#define GCHEAP_ARENA_STRICT		(1u << 9)

/**
 * struct gcheap_config - how to open a heap; start from GCHEAP_CONFIG_INIT
 * @size: sizeof(struct gcheap_config). Begin with GCHEAP_CONFIG_INIT and change what should be
 *	different: zeros in all other fields mean no conservative stacks, and a cycle at each
 *	chance
 * @reserve_bytes: address space; a multiple of 64 MiB; 0: 64 GiB, and where there is
 *	less, as by ulimit -v or under valgrind, up to half of what there is
 * @backend: where spans come from
 * @layout: where pointer metadata lives
 * @flags: GCHEAP_CONSERVATIVE_STACKS and others; -EOPNOTSUPP for those that the
 *	library or the backend does not have
 * @markers: threads that mark, the one that runs the cycle included, 4096 at most; 0: as
 *	many as CPUs that the opening thread may use. The others are made before a cycle, when
 *	an earlier one had work for them or 32 MiB are in use; have all signals blocked; and end
 *	with the heap, or when the last thread has detached
 * @gc_percent: start a cycle when as much was allocated as the last one found live,
 *	times this / 100, but 1 to 24 MiB at least, as much as it takes for cycles to be a
 *	small part of the time; also when the last one is two minutes ago; -1: no cycle
 *	starts by growth, only by the limit, on request, under memory pressure, and when
 *	memory runs out
 * @memory_limit: soft limit in bytes for what is live and what was allocated
 *	since the last cycle, and for resident object memory: free memory above it goes
 *	back to the system. Cycles do not take more than half of the time to keep it; 0:
 *	none
 * @stop_signal: with conservative stacks, the real-time signal that stops threads which
 *	compute or block, where the module does not; 0: the first from SIGRTMIN + 5 on that
 *	has no handler; -1: none. One for the process: the first heap's counts
 * @reserved: 0
 *
 * The environment overrides it: GCHEAP_BACKEND=auto|device|local,
 * GCHEAP_LAYOUT=span|header|footer|bitmap, GCHEAP_RESERVE=<n>[KMG], GCHEAP_GC=<percent>|off,
 * GCHEAP_MEMLIMIT=<n>[KMG], GCHEAP_MARKERS=<n>, GCHEAP_ISA=portable|avx2|avx512,
 * GCHEAP_TRACE=gc, GCHEAP_VERIFY=1|0, GCHEAP_FAULT_FREED=1|0, GCHEAP_HUGE_PAGES=1|0,
 * GCHEAP_FINALIZER_THREAD=1|0, GCHEAP_ARENA_STRICT=1|0, GCHEAP_URING=1|0, GCHEAP_GUARDS=1|0,
 * GCHEAP_STOP_SIGNAL=<n>|off, GCHEAP_STOP=auto|kernel|signal.
 */
struct gcheap_config {
	size_t size;
	uint64_t reserve_bytes;
	enum gcheap_backend backend;
	enum gcheap_layout layout;
	uint32_t flags;
	uint32_t markers;
	int32_t gc_percent;
	uint64_t memory_limit;
	int32_t stop_signal;
	int32_t reserved;
};

#define GCHEAP_CONFIG_INIT						\
	{ sizeof(struct gcheap_config), 0, GCHEAP_BACKEND_AUTO,		\
	  GCHEAP_LAYOUT_SPAN, GCHEAP_CONSERVATIVE_STACKS, 0, 100, 0, 0, 0 }

/**
 * gcheap_open() - open a heap
 * @config: how, or NULL for GCHEAP_CONFIG_INIT
 * @heap: receives the heap
 *
 * Return: 0; -EINVAL a bad value in @config or the environment; -E2BIG @config is of a
 * newer library, and uses what this one does not have; -EOPNOTSUPP a flag or layout
 * that is not there; -EPROTONOSUPPORT the module is of another release; -ENOMEM. Of
 * GCHEAP_BACKEND_DEVICE also -ENOENT, -ENODEV or -ENXIO there is no /dev/gcheap (load
 * the module), -EACCES or -EPERM no permission to open it (join the group gcheap).
 */
GCHEAP_API int gcheap_open(const struct gcheap_config *config, struct gcheap **heap);

/*
 * Close a heap: all objects are gone, and the handle of a thread that is attached;
 * finalizers do not run. NULL is allowed. With GCHEAP_FINALIZER_THREAD it waits until one that runs
 * in the library's own thread has returned; called by that one, it is refused (errno is EINVAL).
 */
GCHEAP_API void gcheap_close(struct gcheap *heap);

/* ---- threads ---------------------------------------------------------------- */

/*
 * One cache of slots of a kind. @free has a bit for each free slot of the
 * window, slot 0 lowest; @zero_bytes of a slot must be zeroed before use.
 */
struct gcheap_cache_ {
	uint64_t free;
	char *window;
	uint32_t slot_bytes;
	uint32_t zero_bytes;
	void *owner;
};

/* Leaves of up to 8 bytes, which share slots, have an entry in @leaves each. */
#define GCHEAP_TINY_MAX_	8
/* Larger ones up to 1024 bytes have one every 16. */
#define GCHEAP_LEAVES_		(GCHEAP_TINY_MAX_ + 1 + 64)

/*
 * Arrays of up to so many bytes have an entry for each number of elements, once there was one
 * of the type: @caches has @count of them, that for no elements included.
 */
#define GCHEAP_ARRAY_MAX_	1024
struct gcheap_arrays_ {
	size_t count;
	struct gcheap_cache_ **caches;
};

/*
 * What the inline functions know of a thread. @types has @type_count entries,
 * never NULL, and @arrays @array_types; a cache without free slots sends the caller to the
 * slow path.
 */
struct gcheap_thread {
	uint32_t type_count;
	uint32_t stop;
	struct gcheap_cache_ **types;
	struct gcheap_arrays_ *arrays;
	uint32_t array_types;
	uint32_t reserved;
	uintptr_t *frames;	/* the table of local roots, in words */
	struct gcheap_cache_ *leaves[GCHEAP_LEAVES_];
	size_t frames_used, frames_room;
	uintptr_t frames_begun;	/* how many: the newest one's number */
};

/**
 * gcheap_thread_attach() - let the calling thread use a heap
 * @heap: the heap
 * @thread: receives the handle, to be used by this thread only
 *
 * Any number of threads may be attached to a heap, and a thread to any number of heaps. A
 * cycle stops all threads of its heap: in gcheap_safepoint() or where they allocate, and with
 * conservative stacks wherever they are, by the module or by a signal (@stop_signal of the
 * configuration). Without these a thread that computes for long calls the first, and one that
 * blocks is parked meanwhile (gcheap_park()), or all others wait for it. A thread that ends is
 * detached.
 *
 * Return: 0; -EBUSY this thread is attached to the heap already; -ENOMEM; -EAGAIN no key
 * for thread-specific data is left; with conservative stacks, the error of the C library
 * when it does not know the calling thread's stack.
 */
GCHEAP_API int gcheap_thread_attach(struct gcheap *heap, struct gcheap_thread **thread);
/*
 * What the thread allocated stays in the heap; the handle is gone, and frames keep nothing
 * any more. Their blocks may end later, where the stack is known. NULL is allowed.
 */
GCHEAP_API void gcheap_thread_detach(struct gcheap_thread *thread);

/*
 * The calling thread's handle, for who does not know in which thread it runs, as finalizers may
 * not; NULL: it is not attached to the heap, or @heap is NULL.
 */
GCHEAP_API struct gcheap_thread *gcheap_thread_self(struct gcheap *heap);

/*
 * Between these two calls a cycle does not wait for the thread: it blocks, or works outside
 * of the heap. It must not read or write objects, roots or frames meanwhile, nor allocate,
 * nor return from the function that parked it. What it keeps on its stack is scanned.
 */
GCHEAP_API void gcheap_park(struct gcheap_thread *thread);
/* Waits until a cycle that runs has ended. */
GCHEAP_API void gcheap_unpark(struct gcheap_thread *thread);

/*
 * For loops that neither allocate nor collect for long: where others of this heap may stop the
 * thread. One that is attached to several heaps calls it for each; where it allocates, whichever
 * heap for, it stops for all of them.
 */
GCHEAP_API void gcheap_safepoint_slow_(struct gcheap_thread *thread);
static inline void gcheap_safepoint(struct gcheap_thread *thread)
{
	if (!GCHEAP_LIKELY_(!__atomic_load_n(&thread->stop, __ATOMIC_RELAXED)))
		gcheap_safepoint_slow_(thread);
}

/* ---- types ------------------------------------------------------------------ */

/**
 * struct gcheap_type_desc - what the collector must know of a type
 * @name: for people; at most 255 bytes of UTF-8
 * @size: bytes of an element, a multiple of @align
 * @align: a power of two, at most 8192; at least 8 where there are pointers
 * @ptr_bytes: length of the prefix that holds pointers; 0: no pointers
 * @ptr_mask: one bit a word, little-endian, for @ptr_bytes; or
 * @gc_prog: a GC program in Go's encoding, which emits these bits
 * @gc_prog_len: its length in bytes, at most 65536
 *
 * A GC program describes a long array in a few bytes: 0 ends it, a byte n from 1
 * to 127 emits the n bits packed in the bytes after it, 128 + n repeats the last n
 * bits as often as the varint after it says, and 128 the same with n a varint too.
 * It emits @ptr_bytes / 8 bits, no more and no fewer: where the array's last
 * element ends in scalars that the program covers, so does @ptr_bytes. It is checked
 * when the type is registered. Its bits are made then; those of more than 32 KiB of
 * pointers, with the type's first object, and go with the last. See gcheap(3).
 */
struct gcheap_type_desc {
	const char *name;
	size_t size, align;
	size_t ptr_bytes;
	const uint8_t *ptr_mask;
	const uint8_t *gc_prog;
	size_t gc_prog_len;
};

/**
 * gcheap_type_register() - add a type to a heap
 * @heap: the heap
 * @desc: the type; may go after the call
 * @type: receives its number
 *
 * Return: 0; -ERANGE @ptr_bytes over @size; -EDOM mask bits beyond @ptr_bytes;
 * -ENOTUNIQ both a mask and a program; -EFBIG more pointer words than a mask may
 * have bits (8 Mi); -ENAMETOOLONG and -EILSEQ the name; -EINVAL another value
 * against the rules, or a bad program; -ENOSPC too many types; -ENOMEM.
 */
GCHEAP_API int gcheap_type_register(struct gcheap *heap, const struct gcheap_type_desc *desc,
				    gcheap_type *type);

/* Which words of a struct hold pointers; see gcheap_types.h. */
struct gcheap_member_ {
	size_t offset, bytes;	/* of one run of pointers */
	size_t stride, count;	/* how many runs, from one to the next; count 0: one an item */
};
GCHEAP_API gcheap_type gcheap_type_members_(struct gcheap *heap, const char *name, size_t size,
					    size_t align, const struct gcheap_member_ *members,
					    size_t count);
GCHEAP_API gcheap_type gcheap_type_flexible_(struct gcheap *heap, const char *name,
					     size_t items_offset, size_t item_bytes, size_t items,
					     size_t align, const struct gcheap_member_ *members,
					     size_t count);

/* ---- allocation: memory is zeroed, but for _uninit ---------------------------- */

GCHEAP_API void *gcheap_new_slow_(struct gcheap_thread *thread, gcheap_type type);
GCHEAP_API void *gcheap_new_array_slow_(struct gcheap_thread *thread, gcheap_type type, size_t n);
GCHEAP_API void *gcheap_new_leaf_slow_(struct gcheap_thread *thread, size_t bytes);
GCHEAP_API void *gcheap_new_leaf_uninit_slow_(struct gcheap_thread *thread, size_t bytes);

/* The next free slot of a cache that has one, with what was in it. */
static inline char *gcheap_cache_take_(struct gcheap_cache_ *cache, uint64_t free)
{
	char *slot = cache->window +
		     (size_t)(unsigned int)__builtin_ctzll(free) * cache->slot_bytes;

	/*
	 * The address is in a register, or on the stack, before the slot is taken: who stops the
	 * thread in between finds it.
	 */
	__asm__ volatile("" : "+r"(slot) : : "memory");
	/* Atomic for who asks for figures. */
	__atomic_store_n(&cache->free, free & (free - 1), __ATOMIC_RELAXED);
	return slot;
}

/* How far ahead of an object memory is fetched that will be written: a few objects. */
#define GCHEAP_AHEAD_	1024

/*
 * Has a line brought to this core, to be written. It may be of no object, or no memory at all.
 * Compilers have the instruction only for some processors, and what they take instead, which
 * brings a line to be read, gains half as much; where it is not known it does nothing.
 */
static inline void gcheap_fetch_(const char *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m" (*line));
#else
	__builtin_prefetch(line, 1);
#endif
}

/*
 * The same, zeroed. Slots that it has to zero are multiples of 8 bytes. The memset()s have
 * constant lengths, which compilers turn into stores.
 */
static inline void *gcheap_cache_next_(struct gcheap_cache_ *cache, uint64_t free)
{
	size_t bytes = cache->zero_bytes;
	char *slot = gcheap_cache_take_(cache, free);
	char *at = slot;

	gcheap_fetch_(slot + GCHEAP_AHEAD_);
	if (bytes >= 32) {
		for (; bytes > 64; bytes -= 32) {
			__builtin_memset(at, 0, 32);
			at += 32;
			/* Keeps the compiler from making a call of the whole loop. */
			__asm__ volatile("" : "+r"(at));
		}
		/* The last 64, or less: then the two overlap. Up to there it is no loop. */
		__builtin_memset(at, 0, 32);
		__builtin_memset(at + bytes - 32, 0, 32);
	} else {
		if (bytes & 16) {
			__builtin_memset(at, 0, 16);
			at += 16;
		}
		if (bytes & 8)
			__builtin_memset(at, 0, 8);
	}
	/* The zeros are visible before any store of the slot's address. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return slot;
}

/**
 * gcheap_new() - allocate one object
 * @thread: the calling thread
 * @type: its type
 *
 * Context: may collect: pointers that only this thread knows must be in roots, a
 * frame, or, with conservative stacks, anywhere on the stack or in registers; not in
 * static, thread-local or malloc'd memory that is no root.
 * Return: the object, zeroed; NULL with errno ENOMEM, EINVAL for a bad type, or because a
 * cycle is due on a stack that is not known, or EPERM after fork().
 */
static inline void *gcheap_new(struct gcheap_thread *thread, gcheap_type type)
{
	if (GCHEAP_LIKELY_(thread && type < thread->type_count)) {
		struct gcheap_cache_ *cache = thread->types[type];
		uint64_t free = cache->free;

		if (GCHEAP_LIKELY_(free))
			return gcheap_cache_next_(cache, free);
	}
	return gcheap_new_slow_(thread, type);
}

/* Allocate an array of @n elements; @n is not 0. As gcheap_new(). */
static inline void *gcheap_new_array(struct gcheap_thread *thread, gcheap_type type, size_t n)
{
	if (__builtin_constant_p(n) && n == 1)
		return gcheap_new(thread, type);
	if (GCHEAP_LIKELY_(thread && type < thread->array_types &&
			   n < thread->arrays[type].count)) {
		struct gcheap_cache_ *cache = thread->arrays[type].caches[n];
		uint64_t free = cache->free;

		if (GCHEAP_LIKELY_(free))
			return gcheap_cache_next_(cache, free);
	}
	return gcheap_new_array_slow_(thread, type, n);
}

/* The number of a leaf's entry; GCHEAP_LEAVES_ or more: it has none. */
static inline size_t gcheap_leaf_entry_(size_t bytes)
{
	return bytes > GCHEAP_TINY_MAX_ ? (bytes - 1) / 16 + GCHEAP_TINY_MAX_ + 1 : bytes;
}

/*
 * Allocate memory without pointers; @bytes is not 0. Aligned to 16; up to 8 bytes to
 * the next power of two, because these share slots: gcheap_find() tells of the slot.
 * As gcheap_new().
 */
static inline void *gcheap_new_leaf(struct gcheap_thread *thread, size_t bytes)
{
	size_t entry = gcheap_leaf_entry_(bytes);

	if (GCHEAP_LIKELY_(thread && entry < GCHEAP_LEAVES_)) {
		struct gcheap_cache_ *cache = thread->leaves[entry];
		uint64_t free = cache->free;

		if (GCHEAP_LIKELY_(free))
			return gcheap_cache_next_(cache, free);
	}
	return gcheap_new_leaf_slow_(thread, bytes);
}

/*
 * The same for whoever writes all of it anyway: what is in it is unspecified, and may be what
 * another object has left. With GCHEAP_VERIFY or a sanitizer it is never zero.
 */
static inline void *gcheap_new_leaf_uninit(struct gcheap_thread *thread, size_t bytes)
{
	size_t entry = gcheap_leaf_entry_(bytes);

	if (GCHEAP_LIKELY_(thread && entry < GCHEAP_LEAVES_)) {
		struct gcheap_cache_ *cache = thread->leaves[entry];
		uint64_t free = cache->free;

		if (GCHEAP_LIKELY_(free))
			return gcheap_cache_take_(cache, free);
	}
	return gcheap_new_leaf_uninit_slow_(thread, bytes);
}

/**
 * gcheap_realloc() - have an object with another number of elements
 * @thread: the calling thread
 * @type: of the elements; 0: a leaf, whose elements are bytes
 * @obj: an object of this type, as it was allocated, or NULL: there is none yet
 * @n: how many; not 0
 *
 * The object stays where it is if its slot has room for them, and is not more than twice as
 * large. Else there is a new one with the same contents, as far as they fit, and the old one
 * stays valid until nothing leads to it any more. It holds what it held, whoever has changed
 * it; what is new is zeroed, but in a leaf of gcheap_new_leaf_uninit(), and behind an
 * object without pointers of up to 8 bytes, where it is unspecified.
 *
 * Another type than the object's is refused where its pages tell that; else the object is of
 * @type afterwards. So a struct with a flexible array does not grow by it: of GCHEAP_FLEXIBLE_TYPE
 * there is a type for each length. Make a new one, and copy.
 *
 * Context: as gcheap_new().
 * Return: the object; NULL with errno ENOMEM, EINVAL @type, @obj or @n is wrong, or EPERM
 * after fork(), and @obj is as it was.
 */
GCHEAP_API void *gcheap_realloc(struct gcheap_thread *thread, gcheap_type type, void *obj,
				size_t n);

/**
 * gcheap_free() - give an object back before a cycle finds that it is dead
 * @thread: the calling thread
 * @obj: the object, as it was allocated; NULL is allowed
 *
 * For those who know that nothing leads to it any more: its memory may be handed out again
 * at once, and a pointer to it that is left then leads to what is there. A large object's
 * goes back at once, a smaller one's if the calling thread holds the memory around it; else,
 * and where objects share a slot, a cycle frees it as if it had not been given back. What is
 * no object of the heap, an address inside of one, or an object that is known to be free is
 * refused: errno is EINVAL, gcheap_error() says why, and nothing is done; of an object that is
 * pinned, EBUSY. Otherwise errno is left alone.
 */
GCHEAP_API void gcheap_free(struct gcheap_thread *thread, void *obj);

/* ---- user arenas ------------------------------------------------------------ */

/*
 * What the inline functions know of a type: @shape is its bytes, and in the upper half its
 * alignment less 1. It is 0 of those that take the slow path: of more than 64 words, or aligned to
 * more than 16 bytes, and those that no arena had yet; and is written last.
 */
struct gcheap_arena_type_ {
	uint64_t mask;
	uint64_t shape;
};

#define GCHEAP_ARENA_TYPES_	65536u
#define GCHEAP_ARENA_GROUP_	512u	/* bytes that two words of @bits speak of */

/*
 * A user arena: objects that are freed together, and whose memory is taken away then. This is its
 * handle, an object of the heap, which programs keep as they keep others, and read nothing of.
 *
 * @front and @back are where the next object begins, or the next leaf ends, and @front_end and
 * @back_end what they may not pass without a look; @chunk is what they are in, and @bits what says
 * what is where in it. All are NULL where the slow path has to find a chunk. @references keeps the
 * arena's chunks, and its objects that are too large for one.
 */
struct gcheap_arena {
	uintptr_t owner;
	char *front, *front_end;
	char *back, *back_end;
	char *chunk;
	uint64_t *bits;
	const struct gcheap_arena_type_ *types;
	struct gcheap *heap;
	void *record;
	uint64_t number;
	void *references;
};

/**
 * gcheap_arena_new() - make a user arena
 * @thread: the calling thread, which is the one that may use it
 * @arena: receives the handle
 *
 * For objects whose end is known, as those of one request: gcheap_arena_free() ends all of them at
 * once, and no cycle has to find that they are dead. Until then they are objects like others: they
 * may lead to the heap, to other arenas, and be led to from there, and a pointer to any of them
 * keeps all of the arena's chunk that it is in. The arena lives until it is freed, and as long as
 * something leads to the handle; when that has died, its chunks go as soon as cycles find no
 * pointer into them. Documentation/arenas.md.
 *
 * Context: as gcheap_new().
 * Return: 0; -ENOMEM; -EINVAL @thread or @arena is NULL, or the thread may not allocate now; -EPERM
 * this is a child of fork(), in which handles cannot be read.
 */
GCHEAP_API int gcheap_arena_new(struct gcheap_thread *thread, struct gcheap_arena **arena);

/* Whose thread this is, as far as inline functions can tell. */
static inline uintptr_t gcheap_thread_pointer_(void)
{
	uintptr_t pointer;

#if defined(__x86_64__)
	__asm__("movq %%fs:0, %0" : "=r" (pointer));
#elif defined(__aarch64__)
	__asm__("mrs %0, tpidr_el0" : "=r" (pointer));
#else
	/* Nobody's: the slow path knows it. */
	pointer = 1;
#endif
	return pointer;
}

GCHEAP_API void *gcheap_arena_alloc_slow_(struct gcheap_arena *arena, gcheap_type type);
GCHEAP_API void *gcheap_arena_alloc_leaf_slow_(struct gcheap_arena *arena, size_t bytes);

/**
 * gcheap_arena_alloc() - allocate one object in an arena
 * @arena: the arena
 * @type: of the object
 *
 * Objects of more than 2 MiB are in the heap, and kept by the arena.
 *
 * Context: as gcheap_new(), in the thread that the arena belongs to.
 * Return: the object, zeroed; NULL with errno ENOMEM; EINVAL @arena is NULL or freed, or no type of
 * the heap; EBUSY the arena is another thread's: gcheap_arena_hand_over().
 */
static inline void *gcheap_arena_alloc(struct gcheap_arena *arena, gcheap_type type)
{
	const struct gcheap_arena_type_ *known;
	uint64_t *bits, word, shape;
	char *object;

	if (!GCHEAP_LIKELY_(arena && type < GCHEAP_ARENA_TYPES_ &&
			    __atomic_load_n(&arena->owner, __ATOMIC_RELAXED) ==
			    gcheap_thread_pointer_()))
		return gcheap_arena_alloc_slow_(arena, type);
	known = &arena->types[type];
	shape = __atomic_load_n(&known->shape, __ATOMIC_ACQUIRE);
	object = (char *)(((uintptr_t)arena->front + (shape >> 32)) & ~(uintptr_t)(shape >> 32));
	/* Without memory both are NULL. */
	if (!GCHEAP_LIKELY_((uint64_t)(uint32_t)shape - 1 <
			    (uint64_t)(arena->front_end - object)))
		return gcheap_arena_alloc_slow_(arena, type);
	word = (uint64_t)(object - arena->chunk) / 8;
	bits = arena->bits + word / 64 * 2;
	bits[0] |= known->mask << word % 64;
	/* What is behind the last group has room. */
	bits[2] |= known->mask >> 1 >> (63 - word % 64);
	bits[1] |= 1ull << word % 64;
	/* A cycle may begin anywhere: it reads the bits of what is before @front. */
	__atomic_store_n(&arena->front, object + (uint32_t)shape, __ATOMIC_RELEASE);
	return object;
}

/* An array of @n elements, @n not 0. As gcheap_arena_alloc(). */
GCHEAP_API void *gcheap_arena_alloc_array(struct gcheap_arena *arena, gcheap_type type, size_t n);

/* Memory without pointers, of @bytes, not 0, aligned to 16. As gcheap_arena_alloc(). */
static inline void *gcheap_arena_alloc_leaf(struct gcheap_arena *arena, size_t bytes)
{
	uint64_t word;
	char *leaf;

	if (!GCHEAP_LIKELY_(arena && __atomic_load_n(&arena->owner, __ATOMIC_RELAXED) ==
				     gcheap_thread_pointer_() &&
			    bytes - 1 < (size_t)(arena->back - arena->back_end)))
		return gcheap_arena_alloc_leaf_slow_(arena, bytes);
	leaf = (char *)((uintptr_t)(arena->back - bytes) & ~(uintptr_t)15);
	word = (uint64_t)(leaf - arena->chunk) / 8;
	arena->bits[word / 64 * 2 + 1] |= 1ull << word % 64;
	__atomic_store_n(&arena->back, leaf, __ATOMIC_RELEASE);
	return leaf;
}

/**
 * gcheap_arena_free() - end all objects of an arena
 * @arena: the arena; NULL is allowed
 *
 * Each access to them faults from then on (SIGBUS; local backend: SIGSEGV; a system call gets
 * EFAULT), until a cycle has found no pointer to where they were. Those in the chunk that the arena
 * allocated from last do not fault, but stay as they are, unless the heap has GCHEAP_ARENA_STRICT:
 * the next arena goes on with what is free of that chunk. The handle stays an object of the heap.
 *
 * Context: the thread that the arena belongs to.
 * Return: 0; -EINVAL it is freed already; -EBUSY it is another thread's; -EPERM as of
 * gcheap_arena_new(); what the backend said: then a cycle does what is left.
 */
GCHEAP_API int gcheap_arena_free(struct gcheap_arena *arena);

/*
 * Have an arena belong to another thread, @to. It is given away by the thread that it belongs to;
 * when that has detached, any thread of the heap may take it. The two see to it that what one has
 * written is there for the other. 0; -EINVAL it is freed, or @to is NULL or of another heap;
 * -EBUSY.
 */
GCHEAP_API int gcheap_arena_hand_over(struct gcheap_arena *arena, struct gcheap_thread *to);

/**
 * gcheap_promote() - have a value outlive its arena
 * @thread: the calling thread
 * @type: of the elements; 0: a leaf, whose elements are bytes
 * @obj: the first one, anywhere in an arena, or in an object of the heap
 * @n: how many; not 0
 *
 * The copy is an object of the heap. Pointers in it lead where those of @obj lead: what they lead
 * to in an arena is to be promoted for itself, and the pointers changed. What is in the heap is not
 * copied.
 *
 * Context: as gcheap_new().
 * Return: the copy, or @obj of the heap; NULL with errno ENOMEM; EINVAL @obj is in neither, or is
 * freed, or is not all of what an arena has handed out, or no type of the heap; EPERM.
 */
GCHEAP_API void *gcheap_promote(struct gcheap_thread *thread, gcheap_type type, const void *obj,
				size_t n);

/**
 * gcheap_explain() - say what is, or was, at an address
 * @address: any
 * @text: receives one line, without its end
 * @bytes: room in it; 128 are enough
 *
 * For handlers of SIGSEGV and SIGBUS, in which it may be called, with the address that has faulted:
 * "in user arena 7, freed 3 cycles ago by thread 12". What other threads do meanwhile may make it
 * tell of the moment before.
 *
 * Return: 0; -ENOENT it is in no heap of this process, which @text says, too.
 */
GCHEAP_API int gcheap_explain(const void *address, char *text, size_t bytes);

/* The number by which messages name it: from 1 on, by heap. Freed arenas keep it. */
GCHEAP_API uint64_t gcheap_arena_number(const struct gcheap_arena *arena);

/* ---- roots ------------------------------------------------------------------ */

/*
 * Roots: memory outside the heap that is scanned, see WHAT IS SCANNED above. Memory that is
 * added stays readable until it is removed. Each of these returns 0; -EINVAL a length of 0, an
 * address that is NULL or not aligned to 8, or no type of the heap; -ENOMEM.
 */
/* @n pointer slots, precise: each holds NULL or the address of an object. */
GCHEAP_API int gcheap_root_add(struct gcheap *heap, void *slots, size_t n);
/* @n elements of a type outside the heap. */
GCHEAP_API int gcheap_root_add_typed(struct gcheap *heap, void *start, gcheap_type type, size_t n);
/* Memory of which any aligned word may be a pointer to or into an object. */
GCHEAP_API int gcheap_root_add_ambiguous(struct gcheap *heap, const void *start, size_t bytes);
/* Remove the root that was added with this address, the last of several; -ENOENT. */
GCHEAP_API int gcheap_root_remove(struct gcheap *heap, const void *start);

/*
 * All that the program and its shared libraries keep in static variables, as ambiguous
 * roots, until the heap is closed: what is loaded when a cycle runs, so also libraries
 * that come later, and not those that have gone. 0.
 */
GCHEAP_API int gcheap_root_add_program(struct gcheap *heap);
/*
 * The thread-local variables of the calling thread, which is the attached one, as
 * ambiguous roots, until it detaches: those of the program, and of each library that the
 * thread has used one of, if the library's own code did. 0; -EPERM another thread calls.
 */
GCHEAP_API int gcheap_root_add_tls(struct gcheap_thread *thread);

/*
 * Precise local roots: GCHEAP_FRAME(thread, a, b) makes the pointer variables a
 * and b, 32 at most, roots until GCHEAP_FRAME_END(thread) in the same block. With
 * GCHEAP_FRAME_AUTO(thread, a, b) they are until the block is left, however it is left,
 * by return, break, continue, goto or a C++ exception. longjmp() passes by both: whoever
 * calls setjmp() calls gcheap_frame_save() before, and gcheap_frame_restore() where it
 * has come back. An end that was skipped all the same is noticed when the block is
 * entered again, when an outer one ends, and by each cycle that runs above the place of
 * the block on a stack that is known (gcheap_stack_add()), or once something else was
 * written there. Until then the variables' places are roots, whatever lies there: without
 * gcheap_frame_restore(), GCHEAP_VERIFY may find a bad pointer.
 *
 * GCHEAP_FRAME cannot fail: where there is no memory for one, gcheap_collect() is
 * -ENOMEM, and so is the first allocation for which a cycle is due, until it has ended.
 *
 * What is no pointer variable does not compile: for arrays there is gcheap_root_add().
 * @thread is evaluated more than once.
 */
struct gcheap_frame_ {
	struct gcheap_thread *thread;
	uintptr_t number;	/* of all that the thread has begun; 0: it has no entry */
	bool is_lost;		/* there was no memory for it */
};
#define GCHEAP_FRAME_WORDS_	4	/* of an entry of the table, beside the variables */
GCHEAP_API void gcheap_frame_begin_slow_(struct gcheap_frame_ *frame,
					 struct gcheap_thread *thread, void *const *slots,
					 size_t count);
GCHEAP_API void gcheap_frame_end_slow_(struct gcheap_frame_ *frame);

static inline void gcheap_frame_begin_(struct gcheap_frame_ *frame, struct gcheap_thread *thread,
				       void *const *slots, size_t count)
{
	size_t used = thread->frames_used;
	uintptr_t *entry = thread->frames + used;
	size_t total = count + GCHEAP_FRAME_WORDS_;

	/* The newest entry is of an outer block: its struct has a higher address. */
	if (!GCHEAP_LIKELY_(total <= thread->frames_room - used &&
			    (!used || entry[-2] > (uintptr_t)frame))) {
		gcheap_frame_begin_slow_(frame, thread, slots, count);
		return;
	}
	frame->thread = thread;
	frame->number = ++thread->frames_begun;
	frame->is_lost = false;
	entry[0] = total;
	__builtin_memcpy(entry + 1, slots, count * sizeof(*slots));
	entry[total - 3] = frame->number;
	entry[total - 2] = (uintptr_t)frame;
	entry[total - 1] = total;
	thread->frames_used = used + total;
}

static inline void gcheap_frame_end_(struct gcheap_frame_ *frame)
{
	struct gcheap_thread *thread = frame->thread;
	size_t used = thread->frames_used;

	if (GCHEAP_LIKELY_(used && thread->frames[used - 3] == frame->number))
		thread->frames_used = used - thread->frames[used - 1];
	else
		gcheap_frame_end_slow_(frame);
}

/* Frames may be nested: the names are hidden on purpose. */
#define GCHEAP_QUIET_(...)							\
	_Pragma("GCC diagnostic push")						\
	_Pragma("GCC diagnostic ignored \"-Wshadow\"")				\
	__VA_ARGS__								\
	_Pragma("GCC diagnostic pop")
#define GCHEAP_ADDRESS_(x, v)	(void *)((char *)&(v) + GCHEAP_CHECK_VARIABLE_(v))
#define GCHEAP_FRAME_BEGIN_(attribute, thread, ...)				\
	GCHEAP_QUIET_(struct gcheap_frame_ gcheap_frame_ attribute;		\
		      void *const gcheap_frame_slots_[] = {			\
			GCHEAP_EACH_(GCHEAP_ADDRESS_, _, __VA_ARGS__)		\
		      };)							\
	gcheap_frame_begin_(&gcheap_frame_, (thread), gcheap_frame_slots_,	\
			    sizeof(gcheap_frame_slots_) / sizeof(gcheap_frame_slots_[0]))
#define GCHEAP_FRAME(thread, ...)						\
	GCHEAP_FRAME_BEGIN_(, thread, __VA_ARGS__)
#define GCHEAP_FRAME_AUTO(thread, ...)						\
	GCHEAP_FRAME_BEGIN_(__attribute__((cleanup(gcheap_frame_end_))), thread, __VA_ARGS__)
#define GCHEAP_FRAME_END(thread) ((void)(thread), gcheap_frame_end_(&gcheap_frame_))

/* The newest frame of this stack, for gcheap_frame_restore(); NULL: there is none. */
GCHEAP_API struct gcheap_frame_ *gcheap_frame_save(struct gcheap_thread *thread);
/*
 * Ends the frames of this stack that were begun since @saved was saved; none on a stack
 * that is not known.
 */
GCHEAP_API void gcheap_frame_restore(struct gcheap_thread *thread, struct gcheap_frame_ *saved);

/* ---- stacks ----------------------------------------------------------------- */

/*
 * A thread's own stack is known, and that of its signal handlers. Stacks that a program
 * switches to by itself (coroutines, fibers, contexts) are declared before they are first
 * run on, without guard pages, and removed before their memory goes. With
 * GCHEAP_CONSERVATIVE_STACKS the one that the thread runs on is scanned from the stack
 * pointer, all others whole, the thread's own too while it runs on another. On a stack
 * that is not declared no cycle runs: gcheap_collect() is -EINVAL then, and so is the
 * first allocation for which one is due. But a stack inside a known one is taken
 * for that, unless makecontext() made it: DECLARE IT. Documentation/stacks.md.
 *
 * swapcontext() keeps registers in the ucontext_t, and a compiler keeps pointers in
 * registers: A CONTEXT THAT IS NOT ITSELF ON A DECLARED STACK HAS TO BE A ROOT WHILE IT IS
 * SUSPENDED, gcheap_root_add_ambiguous(heap, &context, sizeof(context)); also that of the
 * thread's own stack. Switches that push registers on the stack that they leave need none.
 */

/**
 * gcheap_stack_add() - declare a stack
 * @heap: the heap
 * @low: its lowest address, of any alignment
 * @bytes: its length
 *
 * It may lie inside of another, such as the thread's own: a local array.
 *
 * Return: 0; -EINVAL NULL, a length of 0, or it overlaps a part of another; -EEXIST there
 * is one at @low; -EFAULT it cannot be read; -ENOMEM.
 */
GCHEAP_API int gcheap_stack_add(struct gcheap *heap, void *low, size_t bytes);
/*
 * Forget a stack, and the frames on it: 0; -EBUSY the calling thread runs on it; -ENOENT there
 * is none at @low. No other thread may run on it.
 */
GCHEAP_API int gcheap_stack_remove(struct gcheap *heap, void *low);

/* ---- stores ----------------------------------------------------------------- */

/* Store a pointer in an object. Needed in concurrent mode; cheap elsewhere. */
static inline void gcheap_store(struct gcheap_thread *thread, void *slot_addr, void *value)
{
	(void)thread;
	__atomic_store_n((void **)slot_addr, value, __ATOMIC_RELAXED);
}

/*
 * Copy @n elements that may overlap, or clear them. With a type that does not exist, with more
 * elements than any heap has, or after fork(), they do nothing: errno and gcheap_error() say so.
 */
GCHEAP_API void gcheap_copy(struct gcheap_thread *thread, gcheap_type type, void *dst,
			    const void *src, size_t n);
GCHEAP_API void gcheap_clear(struct gcheap_thread *thread, gcheap_type type, void *dst, size_t n);

/* ---- collection ------------------------------------------------------------- */

/*
 * Run a full cycle: marked and swept on return. -EINVAL with conservative stacks on a stack that is
 * not known, and where the thread may run none (parked, in a hook); -ETIMEDOUT threads were held
 * for too long, and nothing was freed; -ENOMEM a frame was lost for want of memory; -EOPNOTSUPP
 * another thread's thread-local storage cannot be found; else what the backend said.
 */
GCHEAP_API int gcheap_collect(struct gcheap_thread *thread);

/*
 * When cycles start by themselves, changed while the heap is in use. Any thread may call
 * these, attached or not; they wait for a cycle that runs. 0; -EINVAL.
 *
 * As gcheap_config.gc_percent: growth that starts a cycle; -1: none does.
 */
GCHEAP_API int gcheap_set_gc_percent(struct gcheap *heap, int32_t percent);
/* What it is now; -1 with errno EINVAL or EPERM where the heap is none. */
GCHEAP_API int32_t gcheap_gc_percent(struct gcheap *heap);
/* As gcheap_config.memory_limit; 0: none. Free memory above it is given back at once. */
GCHEAP_API int gcheap_set_memory_limit(struct gcheap *heap, uint64_t bytes);
GCHEAP_API uint64_t gcheap_memory_limit(struct gcheap *heap);
/*
 * Between these two no cycle starts by itself, nor for want of memory: allocation fails
 * then with ENOMEM. gcheap_collect() runs one all the same. Counted: as many calls of the
 * second as of the first, by any threads; one too many does nothing, and gcheap_error()
 * says so.
 */
GCHEAP_API void gcheap_disable(struct gcheap *heap);
GCHEAP_API void gcheap_enable(struct gcheap *heap);

/*
 * Give free memory back to the system: that of pages without an object on them, as
 * the last cycle has left it, and most of the tables of such pages. Any thread may call
 * it, attached or not.
 */
GCHEAP_API int gcheap_trim(struct gcheap *heap);

/* ---- hooks ------------------------------------------------------------------ */

/*
 * Why a cycle ran: somebody asked for it; the heap had grown; it would have been more than the
 * memory limit; the system was short of memory; an allocation found none; the last cycle was long
 * ago.
 */
enum gcheap_cycle_reason {
	GCHEAP_CYCLE_REQUEST = 1,
	GCHEAP_CYCLE_GROWTH = 2,
	GCHEAP_CYCLE_LIMIT = 3,
	GCHEAP_CYCLE_PRESSURE = 4,
	GCHEAP_CYCLE_MEMORY = 5,
	GCHEAP_CYCLE_IDLE = 6,
};

/**
 * struct gcheap_cycle - figures of one cycle
 * @size: sizeof(struct gcheap_cycle) of the library
 * @number: the first one is 1
 * @reason: why it ran
 * @markers: how many markers there were, the thread that ran the cycle included
 * @start_ns: when it began, after the heap was opened
 * @stop_ns: until all threads had stopped; they went on after this and the next four
 * @flush_ns: until their caches were flushed
 * @roots_ns: until the roots were read
 * @mark_ns: until what these lead to was marked
 * @sweep_ns: until the sweep had begun, and with few spans ended
 * @root_bytes: roots, frames and stacks that were read
 * @before_bytes: what was alive after the cycle before, and what was taken since
 * @live_bytes: what is alive
 * @live_objects: the same in objects
 * @goal_bytes: with how much the next cycle begins; UINT64_MAX: growth begins none
 * @freed_spans: spans without a live object; UINT64_MAX: they are being freed now
 */
struct gcheap_cycle {
	size_t size;
	uint64_t number;
	enum gcheap_cycle_reason reason;
	uint32_t markers;
	uint64_t start_ns;
	uint64_t stop_ns;
	uint64_t flush_ns;
	uint64_t roots_ns;
	uint64_t mark_ns;
	uint64_t sweep_ns;
	uint64_t root_bytes;
	uint64_t before_bytes;
	uint64_t live_bytes;
	uint64_t live_objects;
	uint64_t goal_bytes;
	uint64_t freed_spans;
};

/**
 * struct gcheap_hooks - what a heap calls, and when
 * @size: sizeof(struct gcheap_hooks)
 * @cycle_begins: in each cycle, before roots are read. All threads of the heap are stopped,
 *	wherever they were: nothing may be called that takes a lock or memory, and of the library
 *	gcheap_hook_mark() alone. One that fails begins, and does not end
 * @cycle_ends: after a cycle, when the threads go on
 * @out_of_memory: before an allocation fails for want of @bytes, after a cycle has not helped: for
 *	who can drop what leads to objects. Another cycle, and another try, follow
 * @arg: for all of them
 *
 * Each may be NULL. They are called by the thread that runs the cycle, or that allocates.
 * @cycle_ends and @out_of_memory may do what they like but allocate and collect by that thread's
 * handle, run finalizers by it, detach it, and add hooks, all of which is refused; and but wait for
 * other threads of the heap, which may wait for this one, close the heap, and leave by longjmp() or
 * an exception. Two threads may be in them at a time. They are meant to note a figure, to wake a
 * thread, to empty a table.
 */
struct gcheap_hooks {
	size_t size;
	void (*cycle_begins)(struct gcheap *heap, void *arg);
	void (*cycle_ends)(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg);
	void (*out_of_memory)(struct gcheap *heap, size_t bytes, void *arg);
	void *arg;
};

/**
 * gcheap_hooks_add() - have a heap call functions of the program
 * @heap: the heap
 * @hooks: which; copied
 *
 * Several may be added; they are called in that order, until the heap is closed. Any thread may
 * add some, but from a hook.
 *
 * Return: 0; -EINVAL @heap or @hooks is NULL, has a size that no release has, or no function, or a
 * hook of the calling thread runs; -E2BIG @hooks is of a newer library and uses what this one does
 * not know; -EPERM this is a child of fork(); -ENOMEM.
 */
GCHEAP_API int gcheap_hooks_add(struct gcheap *heap, const struct gcheap_hooks *hooks);

/**
 * gcheap_hook_mark() - have words that only the program finds be roots of the cycle that begins
 * @heap: the heap
 * @slots: @n pointers to objects, or NULL
 * @n: how many
 *
 * Return: 0; -EINVAL @heap is NULL, or the caller is not in cycle_begins().
 */
GCHEAP_API int gcheap_hook_mark(struct gcheap *heap, void *const *slots, size_t n);

/* ---- specials --------------------------------------------------------------- */

/*
 * What may be said of a single object, whatever its type: Documentation/specials.md. Objects are
 * named by the address that allocation returned; another one, or an object that is free, is
 * -EINVAL. Any thread may call these, attached or not, for an object that is reachable meanwhile;
 * they wait for a cycle that runs. When they fail, the object is as it was.
 */

/*
 * Pin an object: it is a root, and keeps what it leads to, until it was unpinned as often as
 * pinned. gcheap_free() refuses it; where gcheap_realloc() makes a new object, the old one stays
 * pinned, and the new one is not. 0; -ENOMEM.
 */
GCHEAP_API int gcheap_pin(struct gcheap *heap, void *obj);
/* 0; -ENOENT it is not pinned. */
GCHEAP_API int gcheap_unpin(struct gcheap *heap, void *obj);

/*
 * Allocate an object of @n elements that is a root itself, until gcheap_free(); with type 0, a leaf
 * of @n bytes. As gcheap_new_array().
 */
GCHEAP_API void *gcheap_new_uncollectable(struct gcheap_thread *thread, gcheap_type type, size_t n);

/**
 * gcheap_finalizer_set() - have a function run before an object is freed
 * @heap: the heap
 * @obj: the object
 * @fn: called with the object and @arg; NULL: nothing is to run any more, if something was
 * @arg: for @fn; when it leads into the heap it is a root until @fn has returned: neither it nor
 *	what it leads to may lead to @obj, which would never die
 *
 * When a cycle finds that nothing leads to the object, @fn is queued, and runs once, in
 * gcheap_run_finalizers(). Until it has returned the object lives, and all it leads to; afterwards
 * it is an object like any other, which @fn may have stored somewhere, and for which it may have
 * set a finalizer again. Of dead objects that lead to each other those run first to which none of
 * the others leads, and the next when a later cycle finds them dead; those that lead to themselves,
 * over others or directly, never run. An object has one finalizer: a second call replaces it.
 * gcheap_free() ends it; so does gcheap_close(): none runs then.
 *
 * Return: 0; -ENOMEM, and an earlier one is still set; -EINVAL.
 */
GCHEAP_API int gcheap_finalizer_set(struct gcheap *heap, void *obj,
				    void (*fn)(void *obj, void *arg), void *arg);

/*
 * Have a function run after an object has died, with an argument that is not it: as a finalizer,
 * but that the object is freed, and may be part of a cycle. An object may have any number; they
 * run in no order. Where it has a finalizer, too, that runs first, and they are queued by a later
 * cycle. gcheap_free() queues them. @arg is a root as a finalizer's is; when it is @obj, or leads
 * into it, that is noticed: 0; -EINVAL so, or @fn is NULL; -ENOMEM.
 */
GCHEAP_API int gcheap_cleanup_add(struct gcheap *heap, void *obj, void (*fn)(void *arg), void *arg);
/* Take one back; of several, any. It looks through all of the object's. 0; -ENOENT. */
GCHEAP_API int gcheap_cleanup_remove(struct gcheap *heap, void *obj, void (*fn)(void *arg),
				     void *arg);

/**
 * gcheap_run_finalizers() - run what is queued
 * @thread: the calling thread, in which they run, one after the other
 *
 * Finalizers and cleanups may do what a program may: allocate, collect, wait for others, call this,
 * and end the thread. They must not close the heap. What they queue is left to the next call.
 * Any number of threads may call it at a time. With GCHEAP_FINALIZER_THREAD the library has a
 * thread that does so, which gcheap_thread_self() has the handle of there, and this need not be
 * called.
 *
 * Return: how many have run; -EINVAL.
 */
GCHEAP_API int gcheap_run_finalizers(struct gcheap_thread *thread);

/**
 * gcheap_finalizer_cycles() - objects that are dead, and whose finalizers never run
 * @heap: the heap
 * @objects: receives one object of each cycle among objects that the last collection found
 * @n: room there
 *
 * A cycle to which another one leads, or an object that is to be finalized before, may be missing;
 * and an object that only waits for the finalizer of another, whose key leads here, may be named.
 *
 * Return: how many there are, which may be more than @n; -EINVAL.
 */
GCHEAP_API int gcheap_finalizer_cycles(struct gcheap *heap, void **objects, size_t n);

struct gcheap_weak;	/* a weak reference to an object */

/**
 * gcheap_weak_new() - have a weak reference to an object
 * @heap: the heap
 * @obj: the object
 * @weak: receives the reference
 *
 * It does not keep the object, and is cleared by the cycle that finds the object dead, before the
 * object's finalizer runs, for good. All who ask for the same object get the same reference, which
 * is itself an object of the heap, a leaf: it is alive until everyone who has asked has called
 * gcheap_weak_free(), and for as long as something leads to it, so that objects may have pointers
 * to references. It is not given to gcheap_free(). gcheap_free() of the object clears it.
 *
 * Context: as gcheap_new(): the calling thread is attached to the heap, unless there is a reference
 * already.
 * Return: 0; -ENOMEM; -EINVAL, also for a thread that is not attached.
 */
GCHEAP_API int gcheap_weak_new(struct gcheap *heap, void *obj, struct gcheap_weak **weak);
/* The same, but it leads to the object until that is freed: finalizers run before. */
GCHEAP_API int gcheap_weak_new_long(struct gcheap *heap, void *obj, struct gcheap_weak **weak);
/* The object, or NULL: it is dead. From here on it is the caller's to keep in a root. */
GCHEAP_API void *gcheap_weak_get(struct gcheap_thread *thread, struct gcheap_weak *weak);
/* Gives a reference back, once for each time that it was asked for; NULL is allowed. */
GCHEAP_API void gcheap_weak_free(struct gcheap *heap, struct gcheap_weak *weak);

/**
 * gcheap_ephemeron_add() - keep a value as long as a key lives
 * @heap: the heap
 * @key: an object
 * @value: any pointer, as in an object
 *
 * It does not keep the key, not even where the value leads to it. A key may have several, and a
 * pair may be added several times. It lasts until gcheap_ephemeron_remove(), gcheap_free() of the
 * key, or the cycle in which that is freed: a key that its finalizer keeps, keeps its values.
 *
 * Context: any thread.
 * Return: 0; -ENOMEM; -EINVAL no object begins at @key.
 */
GCHEAP_API int gcheap_ephemeron_add(struct gcheap *heap, void *key, void *value);
/*
 * Takes one such pair back: 0; -ENOENT there is none; -EINVAL. The time grows with the number of
 * @key's ephemerons.
 */
GCHEAP_API int gcheap_ephemeron_remove(struct gcheap *heap, void *key, void *value);

struct gcheap_weak_map;	/* a table from objects to values that live as long as these */

/**
 * gcheap_weak_map_new() - make a weak map
 * @heap: the heap
 * @owner: the object that has the map, or NULL
 * @map: receives the map
 *
 * Its keys are objects, by identity, which it does not keep. A key's value lives as long as the
 * key, though it may lead to the key, and the entry goes with that. With an owner, values live as
 * long as both the key and the owner, and the map is freed with the owner: so a language's weak map
 * may be an object that has the pointer to one, and be collected though a value leads to it. A map
 * that has gone with its owner must not be used, or freed, by a cleanup of that: a finalizer finds
 * it. gcheap_weak_map_free() frees any map before; without an owner it lasts until that, or until
 * the heap is closed. The map is no object: it need not be named in a type.
 *
 * Context: any thread; any number of threads may use a map at the same time, but
 * gcheap_weak_map_get() only if they are attached.
 * Return: 0; -ENOMEM; -EINVAL no object begins at @owner, or @map is NULL.
 */
GCHEAP_API int gcheap_weak_map_new(struct gcheap *heap, void *owner, struct gcheap_weak_map **map);
/* Takes all keys out, and frees the map; NULL is allowed. */
GCHEAP_API void gcheap_weak_map_free(struct gcheap_weak_map *map);
/*
 * Gives a key a value instead of what it had: any pointer or word, as gcheap_ephemeron_add(), but
 * NULL: 0; -ENOMEM; -EINVAL so, or no object begins at @key.
 */
GCHEAP_API int gcheap_weak_map_set(struct gcheap_weak_map *map, void *key, void *value);
/* A key's value, from here on the caller's to keep in a root; NULL: it has none, or no map. */
GCHEAP_API void *gcheap_weak_map_get(struct gcheap_thread *thread, struct gcheap_weak_map *map,
				     const void *key);
/* Takes a key out: 0; -ENOENT it is none, whatever it is; -EINVAL the map is NULL. */
GCHEAP_API int gcheap_weak_map_remove(struct gcheap_weak_map *map, const void *key);
/* How many keys it has: those that no cycle has found dead. */
GCHEAP_API uint64_t gcheap_weak_map_count(struct gcheap_weak_map *map);

/**
 * gcheap_is_reachable() - run a cycle, and tell whether roots led to an object
 * @thread: the calling thread
 * @obj: the object, which no cycle has freed yet
 *
 * For tests of what keeps objects alive. With conservative stacks, the address that the caller has
 * is such a root itself. When the object was not reachable, it may be gone on return.
 *
 * Return: 1, 0; -EINVAL @obj is none, or the thread cannot run a cycle (gcheap_collect()).
 */
GCHEAP_API int gcheap_is_reachable(struct gcheap_thread *thread, const void *obj);

/* ---- looking inside --------------------------------------------------------- */

/**
 * struct gcheap_object - what gcheap_find() tells of an object
 * @base: its address
 * @size: usable bytes from @base: the slot less inline metadata
 * @type: its type; 0 where the layout does not record it, which may be so of objects of
 *	up to 512 bytes, of those without pointers, and in BITMAP. With
 *	GCHEAP_RECORD_TYPES only leaves have 0
 * @flags: GCHEAP_OBJECT_*
 */
struct gcheap_object {
	void *base;
	size_t size;
	gcheap_type type;
	unsigned int flags;
};

#define GCHEAP_OBJECT_NOSCAN	(1u << 0)	/* holds no pointers */
#define GCHEAP_OBJECT_LARGE	(1u << 1)	/* has a span of its own */

/*
 * Find the object that any interior pointer points into; -ENOENT. Objects of up to 8
 * bytes without pointers share a slot of 16, and are found as one.
 */
GCHEAP_API int gcheap_find(struct gcheap *heap, const void *p, struct gcheap_object *out);

/**
 * gcheap_walk() - go through all objects
 * @heap: the heap
 * @fn: called with each object, as gcheap_find() tells of it; what it returns, if not 0, ends the
 *	walk
 * @arg: for @fn
 *
 * Objects are those that no cycle has found dead: run one before for those that are alive. Each
 * that there is when the walk begins and when it ends is seen once; of those made meanwhile, some
 * are. Objects that share a slot are seen as one, in the order of their addresses with all others;
 * what user arenas have is not seen.
 *
 * The other threads go on, and are stopped for a moment every 512 objects, which live until the
 * next ones are looked at. So @fn may allocate, collect, drop what leads to its object, wait for
 * other threads, and walk; it may not close the heap, end its thread, or leave by longjmp() or an
 * exception. What somebody gives back by gcheap_free() meanwhile, or makes, @fn may still, or
 * already, be called with. It is called by the calling thread, which need not be attached.
 *
 * Return: 0; what @fn returned; -EINVAL @heap or @fn is NULL; -EPERM this is a child of fork();
 * -ENOMEM; -ETIMEDOUT as gcheap_collect(); what the backend said when it did not finish a sweep.
 */
GCHEAP_API int gcheap_walk(struct gcheap *heap,
			   int (*fn)(const struct gcheap_object *object, void *arg), void *arg);

/**
 * enum gcheap_holder_kind - what can point to an object, so that it lives
 * @GCHEAP_HOLDER_OBJECT: an object of the heap
 * @GCHEAP_HOLDER_ROOT: pointers of gcheap_root_add()
 * @GCHEAP_HOLDER_ROOT_TYPED: elements of gcheap_root_add_typed()
 * @GCHEAP_HOLDER_ROOT_AMBIGUOUS: memory of gcheap_root_add_ambiguous()
 * @GCHEAP_HOLDER_FRAME: a variable of GCHEAP_FRAME
 * @GCHEAP_HOLDER_STACK: a stack
 * @GCHEAP_HOLDER_REGISTERS: what a thread has in registers
 * @GCHEAP_HOLDER_PROGRAM: static variables (gcheap_root_add_program())
 * @GCHEAP_HOLDER_TLS: thread-local variables (gcheap_root_add_tls())
 * @GCHEAP_HOLDER_PIN: it is pinned
 * @GCHEAP_HOLDER_UNCOLLECTABLE: it was allocated as a root
 * @GCHEAP_HOLDER_FINALIZER: its finalizer is queued, or runs
 * @GCHEAP_HOLDER_ARGUMENT: the argument of a finalizer or cleanup that is set, queued, or runs
 * @GCHEAP_HOLDER_WEAK: it is a weak reference that somebody has; what that refers to is not held
 * @GCHEAP_HOLDER_EPHEMERON: it is a value of a key, by an ephemeron or in a weak map
 * @GCHEAP_HOLDER_ARENA: an object of a user arena; which one, the heap does not know
 */
enum gcheap_holder_kind {
	GCHEAP_HOLDER_OBJECT = 1,
	GCHEAP_HOLDER_ROOT = 2,
	GCHEAP_HOLDER_ROOT_TYPED = 3,
	GCHEAP_HOLDER_ROOT_AMBIGUOUS = 4,
	GCHEAP_HOLDER_FRAME = 5,
	GCHEAP_HOLDER_STACK = 6,
	GCHEAP_HOLDER_REGISTERS = 7,
	GCHEAP_HOLDER_PROGRAM = 8,
	GCHEAP_HOLDER_TLS = 9,
	GCHEAP_HOLDER_PIN = 10,
	GCHEAP_HOLDER_UNCOLLECTABLE = 11,
	GCHEAP_HOLDER_FINALIZER = 12,
	GCHEAP_HOLDER_ARGUMENT = 13,
	GCHEAP_HOLDER_WEAK = 14,
	GCHEAP_HOLDER_EPHEMERON = 15,
	GCHEAP_HOLDER_ARENA = 16,
};

/**
 * struct gcheap_holder - one thing that points to an object
 * @size: sizeof(struct gcheap_holder) of the library
 * @kind: what it is
 * @slot: the word that has the pointer; NULL: there is none that the program knows
 * @pointer: what is there: the object's address, one inside of it, or, where any word may be
 *	a pointer, the one behind its end
 * @object: the object that has the word, or the key whose value it is; zeros of other kinds
 * @name: for people: the kind; of stacks, registers and frames with the thread's number and
 *	name, of static and thread-local variables with the loaded file. It lasts as long as the
 *	call that gets it
 */
struct gcheap_holder {
	size_t size;
	enum gcheap_holder_kind kind;
	const void *slot;
	const void *pointer;
	struct gcheap_object object;
	const char *name;
};

/**
 * gcheap_holders() - who points to an object
 * @heap: the heap
 * @obj: the object's address, or any inside of it
 * @fn: called with each holder: roots first, then objects in the order of their addresses;
 *	what it returns, if not 0, ends this
 * @arg: for @fn
 *
 * For whoever asks why an object does not die. A holder is a word that a cycle would find the
 * object by; one with several such words is told several times. Objects are those that no cycle
 * has found dead: run one before, or dead ones may be among the holders. Of objects that share a
 * slot, what points to any holds all. With conservative stacks, the caller's own variables are
 * holders, too. What gcheap_hook_mark() marks in each cycle is not found.
 *
 * All threads are stopped while all of the heap and its roots are read once, which takes about as
 * long as a cycle; then they go on, and @fn is called. It may do what gcheap_walk() allows, and
 * call this, to go on to a root; until it has returned for the last time the holders are alive. The
 * calling thread need not be attached; its stack is read if it is.
 *
 * Return: 0; what @fn returned; -ENOENT @obj leads to no object; -EINVAL @heap or @fn is NULL, or a
 * thread is on a stack that is not known; -EPERM this is a child of fork(); -ENOMEM; -EOPNOTSUPP
 * and -ETIMEDOUT as gcheap_collect(); what the backend said when it did not finish a sweep.
 */
GCHEAP_API int gcheap_holders(struct gcheap *heap, const void *obj,
			      int (*fn)(const struct gcheap_holder *holder, void *arg), void *arg);

/**
 * gcheap_roundup() - how many bytes can be had for the price of some
 * @heap: the heap
 * @size: bytes of an object, or of an array
 * @noscan: of gcheap_new_leaf(), and of types without pointers; false: of types with
 *	pointers, and with GCHEAP_RECORD_TYPES of all types
 *
 * For whoever lets an array grow: to ask for less than the result saves nothing, but
 * for 17 to 24 bytes of a type without pointers that asks for no alignment of 16. It is
 * the size of the slot less what the layout needs of it. What is allocated may be
 * used as far as it was asked for, and no further: the first objects of a type may
 * come from other slots than later ones.
 *
 * Return: the bytes, at least @size; 0: @size is 0, or with errno EPERM or EINVAL, the
 * heap is not this process's, or NULL.
 */
GCHEAP_API size_t gcheap_roundup(struct gcheap *heap, size_t size, bool noscan);

/**
 * gcheap_pointer_mask() - which words of an object the collector sees as pointers
 * @heap: the heap
 * @obj: the object
 * @mask: receives 0 or 1 a word
 * @words: length of @mask
 *
 * The zeroed tail of a slot may repeat the element's mask.
 *
 * Return: the number of words up to the last pointer, at most @words; -ENOENT @obj leads
 * to no object; -EINVAL it is not a word of one.
 */
GCHEAP_API int gcheap_pointer_mask(struct gcheap *heap, const void *obj, uint8_t *mask,
				   size_t words);

/**
 * struct gcheap_stats - figures of a heap, since it was opened
 * @size: sizeof(struct gcheap_stats), set by the caller
 * @cycles: collections completed
 * @live_bytes: in slots found live by the last cycle
 * @live_objects: objects found live by the last cycle
 * @allocated_bytes: bytes of slots allocated
 * @allocated_objects: objects allocated
 * @mapped_bytes: heap pages that exist
 * @resident_bytes: object memory backed by physical pages
 * @free_bytes: heap pages that belong to no span, and are not in quarantine
 * @metadata_bytes: tables, and library memory for threads and marking
 * @pause_ns_max: longest stop of the mutator
 * @pause_ns_total: all stops together
 * @mark_ns_total: time in marking
 * @sweep_ns_total: time in SWEEP_START and sweeping
 * @mark_bytes_total: bytes marked live, all cycles together
 * @swept_spans: spans swept one by one
 * @freed_spans: spans freed; this, @swept_spans, @free_bytes and @resident_bytes change while
 *	a sweep runs in the background
 * @requests: system calls made to the backend; calls of its logic where it is local
 * @specials: what objects have that is special: one of each kind an object
 * @finalizers_queued: finalizers and cleanups that wait for a thread to run them
 * @finalizers_run: those that have run
 * @finalizer_wait_ns: for how long the first of those that wait has waited
 * @finalizer_cycles: cycles among objects with finalizers that the last collection found, which
 *	never run (gcheap_finalizer_cycles())
 * @arena_chunks: chunks of user arenas, 8 MiB each, that are in use or left to the next arena
 * @arena_live_bytes: of @live_bytes, what the last cycle found in these
 */
struct gcheap_stats {
	size_t size;
	uint64_t cycles, live_bytes, live_objects, allocated_bytes, allocated_objects;
	uint64_t mapped_bytes, resident_bytes, free_bytes, metadata_bytes;
	uint64_t pause_ns_max, pause_ns_total, mark_ns_total, sweep_ns_total;
	uint64_t mark_bytes_total, swept_spans, freed_spans, requests;
	uint64_t specials, finalizers_queued, finalizers_run, finalizer_wait_ns, finalizer_cycles;
	uint64_t arena_chunks, arena_live_bytes;
};
GCHEAP_API int gcheap_stats_get(struct gcheap *heap, struct gcheap_stats *out);
/* The same. In C++ a function would hide the struct. */
#ifdef __cplusplus
#define gcheap_stats(...) gcheap_stats_get(__VA_ARGS__)
#else
GCHEAP_API int gcheap_stats(struct gcheap *heap, struct gcheap_stats *out);
#endif

/* Check the whole heap, and that each pointer into it leads to an object: 0, or -EUCLEAN and a
 * report on stderr.
 */
GCHEAP_API int gcheap_verify(struct gcheap *heap);

GCHEAP_API int gcheap_fd(struct gcheap *heap);	/* the device fd for poll(), or -1 */
GCHEAP_API enum gcheap_backend gcheap_backend(struct gcheap *heap);
GCHEAP_API const char *gcheap_version(void);
/* One line for people about this thread's last failed call: what was wrong, what to do. */
GCHEAP_API const char *gcheap_error(void);

#ifdef __cplusplus
}
#endif

#endif /* GCHEAP_H */
