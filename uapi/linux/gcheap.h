/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The interface between the gcheap kernel module and a process that has opened
 * /dev/gcheap: requests, mapped regions, and the tables inside those regions.
 *
 * One open file is one heap; it must be opened O_RDWR. The process that sends
 * GCHEAP_IOC_SETUP is the heap's owner; only its address space may send further
 * requests and map regions.
 *
 * Every request struct begins with its own size. The kernel accepts a shorter
 * struct that holds all required fields (missing fields read as zero) and a
 * longer one whose unknown tail is zero, so that old and new binaries work with
 * old and new modules. All fields below are required, except reserved ones at the
 * end, @out_abi of SETUP and the outputs of STATS. Later releases keep what a release
 * has: structs grow at their ends, enums and flags get further values, and the tables,
 * which have no size of their own, change only for programs that ask for a new flag. Common errors
 * of all requests:
 *
 *	ENOTTY		no such request
 *	EINVAL		size too small, a reserved field not zero, a value out
 *			of range
 *	E2BIG		the tail that this module does not know is not zero, or the
 *			struct is longer than 4 KiB
 *	EOPNOTSUPP	a flag that this module does not know
 *	EFAULT		the struct, or memory it points to, cannot be accessed
 *	EPERM		the caller is not the heap's owner (after fork or exec,
 *			or with a file descriptor received from the owner)
 *	ENXIO		the request came before GCHEAP_IOC_SETUP, or after the owner had
 *			unmapped HEAP with more memory than RLIMIT_MEMLOCK allows
 *	ENOMEM		no memory, a limit of a memory cgroup or of the module reached,
 *			or no room left in the reserve; while the owner has HEAP not
 *			mapped, also RLIMIT_MEMLOCK
 *	EINTR		a fatal signal arrived; the heap is consistent
 *
 * A request that fails changes nothing, with two exceptions. With ENOMEM, the pressure in
 * CTRL and what was left to sweep may have changed. And some requests are documented as
 * doing part of their work: these say how much, and the owner sends them again to go on.
 * The kernel finds out before the work whether it can write the struct, and arrays that
 * the struct points to. If the owner unmaps them in another thread while the request
 * runs, the request gets EFAULT after its work: SPANS and CTRL show what it did.
 *
 * open() itself fails with EINVAL if it is not O_RDWR, and with ENOMEM.
 */
#ifndef _UAPI_LINUX_GCHEAP_H
#define _UAPI_LINUX_GCHEAP_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/* ---- units ------------------------------------------------------------------ */

#define GCHEAP_PAGE_SHIFT	13	/* heap page: 8 KiB, the unit of spans */
#define GCHEAP_PAGE_BYTES	_BITUL(GCHEAP_PAGE_SHIFT)
#define GCHEAP_ARENA_SHIFT	26	/* arena: 64 MiB, alignment of a heap's base */
#define GCHEAP_ARENA_BYTES	_BITUL(GCHEAP_ARENA_SHIFT)
#define GCHEAP_GRANULE_SHIFT	4	/* mark and alloc bits: one per 16 bytes */

#define GCHEAP_CHUNK_SHIFT	23	/* chunk of a user arena: 8 MiB */
#define GCHEAP_CHUNK_BYTES	_BITUL(GCHEAP_CHUNK_SHIFT)

#define GCHEAP_RESERVE_DEFAULT	_BITULL(36)	/* 64 GiB */
#define GCHEAP_RESERVE_MIN	_BITULL(GCHEAP_ARENA_SHIFT)
#define GCHEAP_RESERVE_MAX	_BITULL(40)	/* 1 TiB */

/* ---- regions ---------------------------------------------------------------- */

/**
 * enum gcheap_region - what the file maps, each region at its own offset
 * @GCHEAP_REGION_HEAP: object memory, read-write. Mapped whole, once, shared.
 *	Page 0 is never handed out: page number 0 means "none" everywhere.
 * @GCHEAP_REGION_PAGES: one __u64 a heap page, read-only; see GCHEAP_PAGE_*.
 * @GCHEAP_REGION_SPANS: one struct gcheap_span a heap page, read-only.
 * @GCHEAP_REGION_TYPES: struct gcheap_type_record by type number, followed by
 *	the pointer masks, read-only.
 * @GCHEAP_REGION_MARKS: read-write; four bit tables one after the other: bit
 *	table 0, bit table 1, page marks, page specials. See GCHEAP_MARKS_*.
 * @GCHEAP_REGION_CTRL: struct gcheap_ctrl, read-only.
 * @GCHEAP_REGION_DIRTY: one bit a heap page, read-only: what TRACK found written;
 *	made by the first TRACK with GCHEAP_TRACK_BITMAP
 * @GCHEAP_REGION_BITMAP: two bits a word of HEAP, read-write; see GCHEAP_BITMAP_*.
 *	In a heap of another layout than GCHEAP_LAYOUT_BITMAP its length is 0,
 *	and it cannot be mapped
 * @GCHEAP_REGIONS: how many this version has; at most GCHEAP_REGIONS_MAX
 *
 * Read-only regions refuse PROT_WRITE and can never be made writable later.
 * All regions are MAP_SHARED, are not inherited by fork, and cannot be split,
 * grown or moved.
 *
 * An access to what is not there gets SIGBUS with code BUS_ADRERR, a system call EFAULT.
 * In HEAP, pages without memory are not there: those that were never handed out, and those
 * whose memory was taken away since. Of the tables, those parts are not there that speak
 * only of addresses which the heap has not grown over; of the bit tables of MARKS and of
 * BITMAP also those that speak only of an aligned 512 KiB without a page in use, whose
 * memory was given back. They are zero when a page of it is in use again, and none of
 * them goes while a cycle marks. MARKS, however, can be read in its whole length: what
 * is not there reads as zeros, and cannot be written. An access to a page of HEAP whose
 * memory has failed gets SIGBUS with code BUS_MCEERR_AR.
 *
 * Another process that holds the file may look: it may map PAGES, SPANS, TYPES,
 * CTRL and DIRTY read-only, and HEAP and BITMAP read-only in a heap of
 * GCHEAP_SETUP_SHARE_READ. How many such mappings one heap has is bounded. When the
 * owner has ended, its mappings get SIGBUS.
 *
 * While the owner has HEAP not mapped, what it has in memory counts as pinned, against
 * RLIMIT_MEMLOCK unless the owner has CAP_IPC_LOCK. If it is more when HEAP is unmapped,
 * all of it is given back, and the heap is of no more use.
 *
 * Errors of mmap(): ENXIO before GCHEAP_IOC_SETUP, when the owner has ended, or of HEAP
 * when it was given back; ENOSPC others than the owner have too many mappings; EPERM
 * what only the owner may map, or PROT_EXEC; EINVAL not MAP_SHARED, not a region's
 * offset or length, or an address of HEAP that is not a multiple of the arena size;
 * EACCES PROT_WRITE of a read-only region; EBUSY HEAP is mapped already.
 */
enum gcheap_region {
	GCHEAP_REGION_HEAP = 0,
	GCHEAP_REGION_PAGES = 1,
	GCHEAP_REGION_SPANS = 2,
	GCHEAP_REGION_TYPES = 3,
	GCHEAP_REGION_MARKS = 4,
	GCHEAP_REGION_CTRL = 5,
	GCHEAP_REGION_DIRTY = 6,
	GCHEAP_REGION_BITMAP = 7,
	GCHEAP_REGIONS = 8,
};

/* SETUP has room for the lengths of so many, so that further ones move none of its fields. */
#define GCHEAP_REGIONS_MAX	16

/* The mmap() offset of a region. 32-bit callers reach all of them with mmap2. */
#define GCHEAP_REGION_SHIFT	41
#define GCHEAP_REGION_OFFSET(region) ((__u64)(region) << GCHEAP_REGION_SHIFT)

/* ---- PAGES: what marking needs to know of a heap page, in one load ---------- */

/*
 *   63    60 59      56 55     54     48 47           32 31              0
 *  +--------+----------+------+---------+---------------+-----------------+
 *  | kind   | index in | no-  | size    | slot size     | reciprocal of   |
 *  |        | span     | scan | class   | in bytes      | the slot size   |
 *  +--------+----------+------+---------+---------------+-----------------+
 *
 * All zero: no span in use covers this page. For a page of a small-object span,
 * with d the byte offset of an address from the span's first page,
 * slot number = (d * reciprocal) >> 32. A page of a large span has kind
 * GCHEAP_KIND_LARGE, and only the no-scan bit besides: its span's descriptor
 * tells the rest.
 */
#define GCHEAP_PAGE_MAGIC(info)		((__u32)(info))
#define GCHEAP_PAGE_SLOT_BYTES(info)	((__u32)((info) >> 32) & 0xffff)
#define GCHEAP_PAGE_CLASS(info)		((__u32)((info) >> 48) & 0x7f)
#define GCHEAP_PAGE_NOSCAN		_BITULL(55)
#define GCHEAP_PAGE_INDEX(info)		((__u32)((info) >> 56) & 0xf)
#define GCHEAP_PAGE_KIND(info)		((__u32)((info) >> 60))

/**
 * enum gcheap_kind - where the pointer map of a span's objects is found
 * @GCHEAP_KIND_NONE: the page belongs to no span in use
 * @GCHEAP_KIND_NOSCAN: nowhere: small objects without pointers
 * @GCHEAP_KIND_MASK: the descriptor's @ptr_mask, one for every slot
 * @GCHEAP_KIND_TYPE: the descriptor's @type, one for every slot
 * @GCHEAP_KIND_HEAP_BITS: one bit a word, in the last 1/64 of the span
 * @GCHEAP_KIND_HEADER: a type word at the start of each slot
 * @GCHEAP_KIND_LARGE: one object in the span; its type is the descriptor's
 * @GCHEAP_KIND_FOOTER: a type word at the end of each slot
 * @GCHEAP_KIND_BITMAP: the BITMAP region: small objects of that layout. There,
 *	large ones have their map in the region too
 *
 * In a heap of GCHEAP_SETUP_RECORD_TYPES, slots of GCHEAP_KIND_BITMAP end in a type
 * word, and spans with the no-scan bit are of kind GCHEAP_KIND_TYPE, _HEADER, _FOOTER
 * or _BITMAP too: these tell the type, and nobody reads a pointer map.
 */
enum gcheap_kind {
	GCHEAP_KIND_NONE = 0,
	GCHEAP_KIND_NOSCAN = 1,
	GCHEAP_KIND_MASK = 2,
	GCHEAP_KIND_TYPE = 3,
	GCHEAP_KIND_HEAP_BITS = 4,
	GCHEAP_KIND_HEADER = 5,
	GCHEAP_KIND_LARGE = 6,
	GCHEAP_KIND_FOOTER = 7,
	GCHEAP_KIND_BITMAP = 8,
};

/* ---- SPANS ------------------------------------------------------------------ */

/**
 * enum gcheap_span_state - the low four bits of struct gcheap_span.state
 * @GCHEAP_SPAN_FREE: the page belongs to no span
 * @GCHEAP_SPAN_INNER: not the first page of its span; @first_page tells which is
 * @GCHEAP_SPAN_CENTRAL: small objects, kept by the kernel
 * @GCHEAP_SPAN_CACHED: small objects, handed to the owner by REFILL
 * @GCHEAP_SPAN_LARGE: one large object
 * @GCHEAP_SPAN_CHUNK: a chunk of a user arena, in use until CHUNK_FREE. What is
 *	in it, only the owner knows: its pages are of GCHEAP_KIND_NONE
 * @GCHEAP_SPAN_QUARANTINE: a freed chunk, or in a heap of
 *	GCHEAP_SETUP_FAULT_FREED a freed span: without memory, each access faults.
 *	The other fields say what it was; its pages are of GCHEAP_KIND_NONE
 * @GCHEAP_SPAN_READY: a chunk after CHUNK_READY: its addresses are kept for the
 *	next CHUNK_NEW. Without memory, too
 */
enum gcheap_span_state {
	GCHEAP_SPAN_FREE = 0,
	GCHEAP_SPAN_INNER = 1,
	GCHEAP_SPAN_CENTRAL = 2,
	GCHEAP_SPAN_CACHED = 3,
	GCHEAP_SPAN_LARGE = 4,
	GCHEAP_SPAN_CHUNK = 5,
	GCHEAP_SPAN_QUARANTINE = 6,
	GCHEAP_SPAN_READY = 7,
};

#define GCHEAP_SPAN_STATE_MASK	0x0f
#define GCHEAP_SPAN_NEEDZERO	0x10	/* free slots may hold old data */
#define GCHEAP_SPAN_LAZY	0x20	/* memory comes as it is touched: GCHEAP_ALLOC_LAZY */

/**
 * struct gcheap_span - the descriptor of the span that starts at a heap page
 * @state: enum gcheap_span_state and GCHEAP_SPAN_* flags
 * @span_class: size class x 2 + 1 if its objects hold no pointers
 * @slots: how many objects the span has room for; 0: a chunk
 * @npages: its length in heap pages
 * @first_page: for GCHEAP_SPAN_INNER: number of the span's first page
 * @generation: low 16 bits of the sweep generation at which it was last swept; of
 *	GCHEAP_SPAN_QUARANTINE: whose SWEEP_START it has to outlive
 * @allocated: slots in use when the kernel last counted them
 * @type: the type of its objects; 0 where the span does not know one. That of
 *	GCHEAP_KIND_MASK is known under GCHEAP_SETUP_RECORD_TYPES
 * @ptr_mask: GCHEAP_KIND_MASK: one bit a word, for a whole slot
 * @object_bytes: GCHEAP_SPAN_LARGE: bytes asked for
 * @next: the kernel's lists of spans: next page number, 0 at the end
 * @prev: previous page number, 0 at the head
 */
struct gcheap_span {
	__u8 state;
	__u8 span_class;
	__u16 slots;
	union {
		__u32 npages;
		__u32 first_page;
	};
	__u16 generation;
	__u16 allocated;
	__u32 type;
	union {
		__aligned_u64 ptr_mask;
		__aligned_u64 object_bytes;
	};
	__u32 next;
	__u32 prev;
};

/* ---- TYPES ------------------------------------------------------------------ */

#define GCHEAP_TYPES_MAX	65536u	/* type numbers are 1 ... 65535 */
#define GCHEAP_TYPE_NAME_MAX	255u	/* bytes of UTF-8, without the final zero */
#define GCHEAP_TYPE_ALIGN_MAX	8192u
#define GCHEAP_GC_PROG_MAX	65536u	/* bytes of a GC program */

/**
 * struct gcheap_type_record - one registered type
 * @bytes: size of one element; 0: no such type
 * @ptr_bytes: length of the prefix that may hold pointers; 0: no pointers
 * @mask_word: the first 64 words' pointer mask
 * @mask_offset: where in the region the whole mask stands, one bit a word, in
 *	little-endian 64-bit words, the last one padded with zeros; 0: the type
 *	has at most 64 pointer words, and @mask_word is all, or @program_bytes is
 *	not 0 and the type has no object
 * @name_offset: where in the region the name stands, ended by a zero byte
 * @align: alignment in bytes, a power of two
 * @flags: none yet
 * @program_offset: where in the region the GC program stands, if @program_bytes is
 *	not 0
 * @program_bytes: its length; 0: the mask stands in the region for ever, or in
 *	@mask_word. A type by program with a @ptr_bytes over
 *	GCHEAP_TYPE_MASK_KEPT_MAX has its mask there only while it has objects, all
 *	of them large, and not at all in a heap of GCHEAP_LAYOUT_BITMAP
 * @mask_users: how many objects it stands there for
 *
 * The record of type t stands at t * sizeof(struct gcheap_type_record).
 */
struct gcheap_type_record {
	__aligned_u64 bytes;
	__aligned_u64 ptr_bytes;
	__aligned_u64 mask_word;
	__aligned_u64 mask_offset;
	__aligned_u64 name_offset;
	__u32 align;
	__u32 flags;
	__aligned_u64 program_offset;
	__u32 program_bytes;
	__u32 mask_users;
};

#define GCHEAP_TYPE_MASK_KEPT_MAX	32768u	/* no small object is larger */

/* The parts of the region behind the records. */
#define GCHEAP_TYPES_DATA	((__u64)GCHEAP_TYPES_MAX * 64) /* masks, programs, names */
#define GCHEAP_TYPES_MASKS	(32ull << 20)	/* masks that go with the last object */
#define GCHEAP_TYPES_BYTES	(GCHEAP_TYPES_MASKS + (256ull << 20))

/* ---- MARKS ------------------------------------------------------------------ */

/*
 * Two bit tables with one bit for every 16 bytes of the reserve. One holds the
 * mark bits, the other the alloc bits; SWEEP_START swaps their roles (see
 * struct gcheap_ctrl.mark_table). The bit of a slot is that of the granule
 * (byte offset of the slot in the heap + 8) >> 4.
 * Then two tables with one bit a heap page, set at a span's first page: page
 * marks (a slot of the span is marked) and page specials.
 */
#define GCHEAP_MARKS_TABLE_BYTES(reserve)	((__u64)(reserve) >> 7)
#define GCHEAP_MARKS_PAGE_BYTES(reserve)	((__u64)(reserve) >> 16)
#define GCHEAP_MARKS_TABLE(reserve, table) \
	(GCHEAP_MARKS_TABLE_BYTES(reserve) * (table))
#define GCHEAP_MARKS_PAGE_MARKS(reserve)	GCHEAP_MARKS_TABLE(reserve, 2)
/* Both page tables start at a multiple of 4 KiB, whatever the reserve. */
#define GCHEAP_MARKS_PAGE_STRIDE(reserve) \
	((GCHEAP_MARKS_PAGE_BYTES(reserve) + 4095) & ~4095ull)
#define GCHEAP_MARKS_PAGE_SPECIALS(reserve) \
	(GCHEAP_MARKS_PAGE_MARKS(reserve) + GCHEAP_MARKS_PAGE_STRIDE(reserve))
#define GCHEAP_MARKS_BYTES(reserve) \
	(GCHEAP_MARKS_PAGE_SPECIALS(reserve) + GCHEAP_MARKS_PAGE_STRIDE(reserve))

/* ---- BITMAP ----------------------------------------------------------------- */

/*
 * Two bits for every word of the heap, in pairs of 64-bit words: one pair for each
 * 512 bytes. Bit i of the pair's first word is the pointer bit of word i there: it
 * may hold a pointer. Bit i of the second is its scan bit: this word or a later
 * one of the same object may. The bits of an object end with its first scan bit
 * that is 0, or with its slot, or of a large object with the last pointer word of
 * its last element; behind that they mean nothing.
 * The owner writes them, the module makes the memory and never looks.
 */
#define GCHEAP_BITMAP_GROUP_SHIFT	9	/* 512 bytes of heap have a pair */
#define GCHEAP_BITMAP_BYTES(reserve)	((__u64)(reserve) >> 5)

/* ---- CTRL ------------------------------------------------------------------- */

/**
 * enum gcheap_phase - what the heap is doing
 * @GCHEAP_PHASE_IDLE: between a SWEEP_START and the next MARK_START
 * @GCHEAP_PHASE_MARK: between MARK_START and SWEEP_START
 */
enum gcheap_phase {
	GCHEAP_PHASE_IDLE = 0,
	GCHEAP_PHASE_MARK = 1,
};

/**
 * struct gcheap_counters - figures of one heap, in CTRL and from STATS
 * @heap_pages: heap pages that exist: all page numbers in use are below this
 * @in_use_pages: heap pages of spans and chunks in use
 * @resident_bytes: object memory that is backed by physical pages
 * @table_bytes: memory of the mapped tables
 * @spans: spans in use, without chunks
 * @cached_spans: of these, spans handed to the owner
 * @unswept_spans: of these, spans that the current cycle has still to sweep
 * @swept_spans: spans swept one by one since SETUP
 * @freed_spans: spans freed since SETUP, by page marks or by their sweep
 * @freed_unread_spans: of these, spans freed by page marks alone
 * @refills: REFILL requests
 * @refilled_spans: spans handed out by them
 * @large_objects: large objects allocated since SETUP
 * @types: registered types
 * @free_bytes: memory of free heap pages, ready for reuse without a fault
 * @stock_bytes: memory that the heap holds and has not mapped anywhere
 * @huge_bytes: of @resident_bytes, what is in whole 2 MiB pages
 * @zeroed_bytes: memory that was zeroed ahead of demand since SETUP
 * @released_bytes: memory given back to the system since SETUP
 * @reclaimed_pages: heap pages of dead spans that allocations and RECLAIM have
 *	freed by page marks
 * @chunks: chunks of user arenas in use
 * @quarantined_pages: heap pages in GCHEAP_SPAN_QUARANTINE
 * @faults: page faults in HEAP that found memory, since SETUP, as of the last request
 * @bad_faults: the same, where no memory is
 * @tracks: TRACK requests
 * @dirty_pages: heap pages that they found written
 */
struct gcheap_counters {
	__aligned_u64 heap_pages;
	__aligned_u64 in_use_pages;
	__aligned_u64 resident_bytes;
	__aligned_u64 table_bytes;
	__aligned_u64 spans;
	__aligned_u64 cached_spans;
	__aligned_u64 unswept_spans;
	__aligned_u64 swept_spans;
	__aligned_u64 freed_spans;
	__aligned_u64 freed_unread_spans;
	__aligned_u64 refills;
	__aligned_u64 refilled_spans;
	__aligned_u64 large_objects;
	__aligned_u64 types;
	__aligned_u64 free_bytes;
	__aligned_u64 stock_bytes;
	__aligned_u64 huge_bytes;
	__aligned_u64 zeroed_bytes;
	__aligned_u64 released_bytes;
	__aligned_u64 reclaimed_pages;
	__aligned_u64 chunks;
	__aligned_u64 quarantined_pages;
	__aligned_u64 faults;
	__aligned_u64 bad_faults;
	__aligned_u64 tracks;
	__aligned_u64 dirty_pages;
};

/**
 * enum gcheap_pressure - how short of memory the system is, or the memory cgroup
 * @GCHEAP_PRESSURE_NONE: not known to be
 * @GCHEAP_PRESSURE_LOW: the kernel wanted memory, and has taken some of what this
 *	heap had free
 * @GCHEAP_PRESSURE_HIGH: it wanted more than the heaps it asked had free: a collection
 *	would help
 * @GCHEAP_PRESSURE_LIMIT: a request of this heap has failed for want of memory, or
 *	of reserve: with ENOMEM
 */
enum gcheap_pressure {
	GCHEAP_PRESSURE_NONE = 0,
	GCHEAP_PRESSURE_LOW = 1,
	GCHEAP_PRESSURE_HIGH = 2,
	GCHEAP_PRESSURE_LIMIT = 3,
};

/**
 * struct gcheap_ctrl - the state of one heap, for its owner to read
 * @abi: GCHEAP_ABI of the module
 * @layout: enum gcheap_layout
 * @generation: sweep generation, +2 at each SWEEP_START
 * @phase: enum gcheap_phase
 * @mark_table: which of the two bit tables holds the mark bits
 * @heap_pages: as in @counters, for a marker's range check; only grows
 * @pressure: enum gcheap_pressure. The file polls as EPOLLPRI while it is not
 *	GCHEAP_PRESSURE_NONE, which SCAVENGE and SWEEP_START make it; for every
 *	process that holds it, and as EPOLLHUP when the owner has ended
 * @pressure_sequence: one more at each event that raised @pressure or found it
 *	raised. Load it with acquire to see @pressure of this event or a later one
 * @counters_bytes: how much of @counters the module has: sizeof(struct gcheap_counters)
 *	of its own header. What is behind reads as 0
 * @reserved: zero; room for what comes
 * @counters: see struct gcheap_counters; exact between requests. It stands last, and
 *	grows at its end
 */
struct gcheap_ctrl {
	__u32 abi;
	__u32 layout;
	__u32 generation;
	__u32 phase;
	__u32 mark_table;
	__u32 heap_pages;
	__u32 pressure;
	__u32 pressure_sequence;
	__u32 counters_bytes;
	__u32 reserved[23];
	struct gcheap_counters counters;
};

/* ---- requests --------------------------------------------------------------- */

#define GCHEAP_ABI	1u

/* Free in Documentation/userspace-api/ioctl/ioctl-number.rst, with its neighbours. */
#define GCHEAP_IOC_TYPE	0xD7

enum gcheap_op {
	GCHEAP_OP_SETUP = 0,
	GCHEAP_OP_TYPE_ADD = 1,
	GCHEAP_OP_REFILL = 2,
	GCHEAP_OP_ALLOC_LARGE = 3,
	GCHEAP_OP_MARK_START = 4,
	GCHEAP_OP_SWEEP_START = 5,
	GCHEAP_OP_SWEEP = 6,
	GCHEAP_OP_STATS = 7,
	GCHEAP_OP_FREE_LARGE = 8,
	GCHEAP_OP_RECLAIM = 9,
	GCHEAP_OP_SCAVENGE = 10,
	GCHEAP_OP_CHUNK_NEW = 11,
	GCHEAP_OP_CHUNK_FREE = 12,
	GCHEAP_OP_CHUNK_READY = 13,
	GCHEAP_OP_TRACK = 14,
	GCHEAP_OP_STOP = 15,
	GCHEAP_OP_RESUME = 16,
	GCHEAP_OPS = 17,
};

#define GCHEAP_IOC(op)		_IO(GCHEAP_IOC_TYPE, op)
#define GCHEAP_IOC_SETUP	GCHEAP_IOC(GCHEAP_OP_SETUP)
#define GCHEAP_IOC_TYPE_ADD	GCHEAP_IOC(GCHEAP_OP_TYPE_ADD)
#define GCHEAP_IOC_REFILL	GCHEAP_IOC(GCHEAP_OP_REFILL)
#define GCHEAP_IOC_ALLOC_LARGE	GCHEAP_IOC(GCHEAP_OP_ALLOC_LARGE)
#define GCHEAP_IOC_MARK_START	GCHEAP_IOC(GCHEAP_OP_MARK_START)
#define GCHEAP_IOC_SWEEP_START	GCHEAP_IOC(GCHEAP_OP_SWEEP_START)
#define GCHEAP_IOC_SWEEP	GCHEAP_IOC(GCHEAP_OP_SWEEP)
#define GCHEAP_IOC_STATS	GCHEAP_IOC(GCHEAP_OP_STATS)
#define GCHEAP_IOC_FREE_LARGE	GCHEAP_IOC(GCHEAP_OP_FREE_LARGE)
#define GCHEAP_IOC_RECLAIM	GCHEAP_IOC(GCHEAP_OP_RECLAIM)
#define GCHEAP_IOC_SCAVENGE	GCHEAP_IOC(GCHEAP_OP_SCAVENGE)
#define GCHEAP_IOC_CHUNK_NEW	GCHEAP_IOC(GCHEAP_OP_CHUNK_NEW)
#define GCHEAP_IOC_CHUNK_FREE	GCHEAP_IOC(GCHEAP_OP_CHUNK_FREE)
#define GCHEAP_IOC_CHUNK_READY	GCHEAP_IOC(GCHEAP_OP_CHUNK_READY)
#define GCHEAP_IOC_TRACK	GCHEAP_IOC(GCHEAP_OP_TRACK)
#define GCHEAP_IOC_STOP		GCHEAP_IOC(GCHEAP_OP_STOP)
#define GCHEAP_IOC_RESUME	GCHEAP_IOC(GCHEAP_OP_RESUME)

/**
 * struct gcheap_uring_cmd - a request by IORING_OP_URING_CMD
 * @request: address of the request's struct, the same as for ioctl()
 * @reserved: zero
 *
 * The command's cmd_op is enum gcheap_op, this is its payload, and the result of
 * the completion is 0 or a negative errno.
 */
struct gcheap_uring_cmd {
	__aligned_u64 request;
	__aligned_u64 reserved;
};

/*
 * Where pointer metadata lives; see Documentation/design.md. The library's <gcheap.h> has
 * the same enum, so that its programs need no other header; the guard lets a program
 * include both.
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

/* Other names of the same, which programs may have. */
#define GCHEAP_UAPI_LAYOUT_SPAN		GCHEAP_LAYOUT_SPAN
#define GCHEAP_UAPI_LAYOUT_HEADER	GCHEAP_LAYOUT_HEADER
#define GCHEAP_UAPI_LAYOUT_FOOTER	GCHEAP_LAYOUT_FOOTER
#define GCHEAP_UAPI_LAYOUT_BITMAP	GCHEAP_LAYOUT_BITMAP

/* Objects up to this size have heap bits in the layouts that use them. */
#define GCHEAP_HEAP_BITS_MAX	512u
/* The part of a span that its heap bits take: 1 bit a word. */
#define GCHEAP_HEAP_BITS_SHIFT	6

/* What SETUP tells that the module has on this machine: layouts, doors, flags, requests. */
#define GCHEAP_FEATURE_LAYOUT_SPAN	_BITULL(0)
#define GCHEAP_FEATURE_LAYOUT_HEADER	_BITULL(1)
#define GCHEAP_FEATURE_LAYOUT_FOOTER	_BITULL(2)
#define GCHEAP_FEATURE_LAYOUT_BITMAP	_BITULL(3)
#define GCHEAP_FEATURE_URING		_BITULL(8)
#define GCHEAP_FEATURE_HUGE_PAGES	_BITULL(9)
#define GCHEAP_FEATURE_FAULT_FREED	_BITULL(10)
#define GCHEAP_FEATURE_CHUNKS		_BITULL(11)
#define GCHEAP_FEATURE_TRACK		_BITULL(12)
#define GCHEAP_FEATURE_PRESSURE		_BITULL(13)
#define GCHEAP_FEATURE_STOP		_BITULL(14)

/* Flags of SETUP. */
#define GCHEAP_SETUP_HUGE_PAGES		_BITUL(0) /* memory in 2 MiB pages where it can be */
#define GCHEAP_SETUP_FAULT_FREED	_BITUL(1) /* freed spans fault for a cycle */
#define GCHEAP_SETUP_SHARE_READ		_BITUL(2) /* others may map HEAP to read it */
#define GCHEAP_SETUP_SNAPSHOTS		_BITUL(3) /* TRACK may write-protect pages */
/*
 * The type of each object of a type is known. In the SPAN layout, spans are of one
 * type, also where types have the same mask, and where they hold no pointers; else,
 * and in mixed spans, each small object has a type word, whatever its size, and that
 * of types without pointers too.
 */
#define GCHEAP_SETUP_RECORD_TYPES	_BITUL(4)

/**
 * struct gcheap_setup - GCHEAP_IOC_SETUP: make this open file a heap
 * @size: sizeof(struct gcheap_setup)
 * @flags: GCHEAP_SETUP_*
 * @layout: enum gcheap_layout
 * @reserved: zero
 * @reserve_bytes: address space of the heap, a multiple of the arena size from
 *	GCHEAP_RESERVE_MIN to GCHEAP_RESERVE_MAX; 0: GCHEAP_RESERVE_DEFAULT
 * @out_features: GCHEAP_FEATURE_* of the module
 * @out_region_bytes: length of each region, by enum gcheap_region; 0: the module does
 *	not have it
 * @out_abi: GCHEAP_ABI of the module
 * @out_reserved: zero
 *
 * The caller's address space becomes the heap's owner.
 *
 * Errors: EBUSY a heap already (the outputs are not written); EOPNOTSUPP a
 * layout that the module does not have, GCHEAP_SETUP_HUGE_PAGES where the kernel or the
 * processor has none, GCHEAP_SETUP_SNAPSHOTS where it cannot track writes, or both
 * together; EINVAL a bad @reserve_bytes.
 */
struct gcheap_setup {
	__u32 size;
	__u32 flags;
	__u32 layout;
	__u32 reserved;
	__aligned_u64 reserve_bytes;
	__aligned_u64 out_features;
	__aligned_u64 out_region_bytes[GCHEAP_REGIONS_MAX];
	__u32 out_abi;
	__u32 out_reserved;
};

/**
 * struct gcheap_type_add - GCHEAP_IOC_TYPE_ADD: register a type
 * @size: sizeof(struct gcheap_type_add)
 * @flags: none yet
 * @bytes: size of an element, not 0, a multiple of @align, at most GCHEAP_RESERVE_MAX
 * @ptr_bytes: length of the prefix that may hold pointers: a multiple of 8, at
 *	most @bytes; 0: the type holds no pointers
 * @align: a power of two, at most GCHEAP_TYPE_ALIGN_MAX; at least 8 when
 *	@ptr_bytes is not 0
 * @name_bytes: length of the name, at most GCHEAP_TYPE_NAME_MAX
 * @name: address of the name: UTF-8, no zero byte, not ended by one
 * @ptr_mask: address of @ptr_bytes / 64 bytes, rounded up: bit i % 8 of byte
 *	i / 8 tells whether word i is a pointer; bits beyond @ptr_bytes are zero
 * @gc_prog: address of a GC program that emits these bits
 * @gc_prog_bytes: its length, at most GCHEAP_GC_PROG_MAX; 0 when @gc_prog is 0
 * @out_type: the number of the new type
 *
 * One of @ptr_mask and @gc_prog is not 0 when @ptr_bytes is not 0, and neither
 * when it is.
 *
 * A GC program has the encoding of Go's compiler: instructions of one byte, some
 * with more bytes after it.
 *
 *	00000000		the end: no byte follows
 *	0nnnnnnn bits...	emit the n bits in the (n + 7) / 8 bytes that
 *				follow, the lowest first; the last byte's other
 *				bits are zero
 *	1nnnnnnn c		emit the last n bits again, c times
 *	10000000 n c		the same, for any n
 *
 * n and c after the first byte are varints: seven bits a byte, the lowest first,
 * the top bit set in all bytes but the last, in as few bytes as it takes. No
 * repeat is of 0 bits, or of more than have been emitted. All together are
 * @ptr_bytes / 8 bits. The program is checked here, and run once: here, or with a
 * @ptr_bytes over GCHEAP_TYPE_MASK_KEPT_MAX for the first object, whose ALLOC_LARGE
 * makes the mask, which goes with the last object. In all else the type is the same
 * as one with @ptr_mask.
 *
 * Errors: ERANGE @ptr_bytes over @bytes; EFBIG @ptr_bytes of more words than a
 * mask may have bits (8 Mi); EDOM bits of @ptr_mask beyond @ptr_bytes; ENOTUNIQ
 * both @ptr_mask and @gc_prog; ENAMETOOLONG @name_bytes over the limit; EILSEQ a
 * name that is not UTF-8; ENOSPC the type table, or its room for masks and names,
 * is full; EINVAL another value against the rules above, or a bad program.
 */
struct gcheap_type_add {
	__u32 size;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 ptr_bytes;
	__u32 align;
	__u32 name_bytes;
	__aligned_u64 name;
	__aligned_u64 ptr_mask;
	__aligned_u64 gc_prog;
	__u32 gc_prog_bytes;
	__u32 out_type;
};

/**
 * struct gcheap_grant - a span that REFILL hands out
 * @page: number of its first heap page
 * @free_slots: how many of its slots are free, by the alloc bits
 * @slots: how many slots it has
 * @flags: GCHEAP_GRANT_*
 */
struct gcheap_grant {
	__u32 page;
	__u32 free_slots;
	__u32 slots;
	__u32 flags;
};

#define GCHEAP_GRANT_NEEDZERO	_BITUL(0)	/* free slots may hold old data */

#define GCHEAP_REFILL_MAX	256u	/* returns, and grants, of one request */

/*
 * REFILL: spans that all types of the class share, of the kinds that the HEADER layout
 * has: heap bits up to GCHEAP_HEAP_BITS_MAX, a type word before larger objects. For
 * types of which there are few objects: spans of their own would be next to empty.
 * Only in the SPAN layout.
 */
#define GCHEAP_REFILL_MIXED	_BITUL(0)

/**
 * struct gcheap_refill - GCHEAP_IOC_REFILL: return spans and take others
 * @size: sizeof(struct gcheap_refill)
 * @flags: GCHEAP_REFILL_MIXED or 0
 * @type: the type to allocate, or 0 for objects without pointers
 * @size_class: of the spans to take; its slots must hold an element of @type
 *	and its type word where the kind has one: 8 bytes; of GCHEAP_KIND_HEADER as
 *	many as @type's alignment, if that is more
 * @want_bytes: take spans until their free slots have this many bytes; 0: take
 *	none (@type and @size_class are then ignored)
 * @return_count: length of @returns, at most GCHEAP_REFILL_MAX
 * @grant_count: length of @grants, at most GCHEAP_REFILL_MAX
 * @returns: address of __u32 page numbers: first pages of cached spans that the
 *	owner gives back, whose alloc bits say which slots are in use
 * @grants: address of struct gcheap_grant: receives the spans taken
 * @out_granted: how many were taken
 *
 * Spans come empty before fragmented, unless most slots of their kind are free
 * already, and as many as fit @grants; fewer than asked for is no error as long as
 * there is one. They are backed by memory before the request returns. Returned spans
 * without an object are freed.
 *
 * Errors: EINVAL a page that is no cached span, or stands twice, @want_bytes but no
 * room in @grants, a size class or type that does not exist, slots too small for the
 * type, or GCHEAP_REFILL_MIXED in another layout than SPAN; EOVERFLOW @return_count or
 * @grant_count over the limit. ENOMEM not one span could be had (out of memory or of
 * reserve): @returns are still cached, and can be returned alone.
 */
struct gcheap_refill {
	__u32 size;
	__u32 flags;
	__u32 type;
	__u32 size_class;
	__u32 want_bytes;
	__u32 return_count;
	__u32 grant_count;
	__u32 out_granted;
	__aligned_u64 returns;
	__aligned_u64 grants;
};

/*
 * ALLOC_LARGE: back the object by memory as it is touched by its owner. A touch that
 * finds none gets SIGBUS, a system call EFAULT: for objects of which most will never
 * be used. The memory is zero.
 */
#define GCHEAP_ALLOC_LAZY	_BITUL(0)

/**
 * struct gcheap_alloc_large - GCHEAP_IOC_ALLOC_LARGE: a span for one object
 * @size: sizeof(struct gcheap_alloc_large)
 * @flags: GCHEAP_ALLOC_LAZY or 0
 * @type: element type, or 0 for bytes without pointers
 * @reserved: zero
 * @count: number of elements, or bytes when @type is 0; not 0
 * @out_page: number of the span's first heap page; the object starts there
 * @out_npages: its length in heap pages
 * @out_flags: GCHEAP_GRANT_NEEDZERO
 * @out_reserved: zero
 *
 * The object's alloc bit is set. If it is the first of a type whose mask goes with
 * its objects, the mask is made: ENOMEM may be for that, too.
 *
 * Errors: EINVAL no such type, or @count is 0; EOVERFLOW @count elements are
 * more bytes than any heap has.
 */
struct gcheap_alloc_large {
	__u32 size;
	__u32 flags;
	__u32 type;
	__u32 reserved;
	__aligned_u64 count;
	__u32 out_page;
	__u32 out_npages;
	__u32 out_flags;
	__u32 out_reserved;
};

/**
 * struct gcheap_mark_start - GCHEAP_IOC_MARK_START: begin a cycle
 * @size: sizeof(struct gcheap_mark_start)
 * @flags: none yet
 * @out_generation: the current sweep generation
 * @out_mark_table: which bit table holds the mark bits
 * @out_swept_spans: spans swept to finish the last cycle
 *
 * Finishes the last sweep and clears the mark bits and page marks of all spans. Other
 * requests have their turn meanwhile: the owner sets no mark before this one has ended.
 *
 * Errors: EBUSY a cycle has begun already. EINTR part of the sweep is done.
 */
struct gcheap_mark_start {
	__u32 size;
	__u32 flags;
	__u32 out_generation;
	__u32 out_mark_table;
	__aligned_u64 out_swept_spans;
};

/*
 * SWEEP_START: free no span now. Dead spans are found by allocations before they
 * grow the heap, by RECLAIM, by SWEEP, and at last by the next MARK_START.
 */
#define GCHEAP_SWEEP_START_LAZY	_BITUL(0)

/**
 * struct gcheap_sweep_start - GCHEAP_IOC_SWEEP_START: marking is complete
 * @size: sizeof(struct gcheap_sweep_start)
 * @flags: GCHEAP_SWEEP_START_LAZY or 0
 * @out_generation: the new sweep generation
 * @out_mark_table: which bit table will hold the next cycle's mark bits
 * @out_freed_spans: spans freed because no page mark was set for them
 * @out_freed_pages: their length in heap pages
 * @out_unswept_spans: spans left to sweep, by REFILL as it needs them or SWEEP;
 *	after a lazy one all spans
 * @goal_bytes: the heap's size, in bytes of spans in use without chunks, at which the
 *	owner means to start the next cycle; 0: not known. REFILL and ALLOC_LARGE sweep
 *	in proportion to what they hand out, so that all is swept by then; and of free
 *	memory, what makes the heap larger than this and a tenth goes back to the system
 *	in the background
 *
 * The mark bits become the alloc bits.
 *
 * Errors: EINVAL no MARK_START before; EBUSY spans are cached: return them
 * first, their alloc bits are needed no more after this request. EINTR all is done but
 * to free what is dead, which is left as by a lazy one.
 */
struct gcheap_sweep_start {
	__u32 size;
	__u32 flags;
	__u32 out_generation;
	__u32 out_mark_table;
	__aligned_u64 out_freed_spans;
	__aligned_u64 out_freed_pages;
	__aligned_u64 out_unswept_spans;
	__aligned_u64 goal_bytes;
};

/**
 * struct gcheap_sweep - GCHEAP_IOC_SWEEP: sweep some spans
 * @size: sizeof(struct gcheap_sweep)
 * @flags: none yet
 * @max_spans: stop after this many
 * @out_swept_spans: how many were swept
 * @out_freed_spans: how many of these had no object left and were freed
 * @out_unswept_spans: how many are left; with those of large objects, dead or not,
 *	as long as not all of what a lazy SWEEP_START has left was looked at
 *
 * Dead spans that need no look at their mark bits come first.
 *
 * Errors: EINVAL @max_spans is 0. EINTR part of the work is done.
 */
struct gcheap_sweep {
	__u32 size;
	__u32 flags;
	__aligned_u64 max_spans;
	__aligned_u64 out_swept_spans;
	__aligned_u64 out_freed_spans;
	__aligned_u64 out_unswept_spans;
};

/**
 * struct gcheap_heap_stats - GCHEAP_IOC_STATS: the heap's figures
 * @size: sizeof(struct gcheap_heap_stats)
 * @flags: none yet
 * @out_counters: the figures
 */
struct gcheap_heap_stats {
	__u32 size;
	__u32 flags;
	struct gcheap_counters out_counters;
};

/**
 * struct gcheap_free_large - GCHEAP_IOC_FREE_LARGE: free a large object now
 * @size: sizeof(struct gcheap_free_large)
 * @flags: none yet
 * @page: first page of its span
 * @reserved: zero
 *
 * Errors: EINVAL no large span begins at @page; EBUSY while a cycle marks.
 */
struct gcheap_free_large {
	__u32 size;
	__u32 flags;
	__u32 page;
	__u32 reserved;
};

/**
 * struct gcheap_reclaim - GCHEAP_IOC_RECLAIM: free dead spans
 * @size: sizeof(struct gcheap_reclaim)
 * @flags: none yet
 * @max_pages: stop when so many heap pages have been freed
 * @out_pages: how many were
 * @out_left: heap pages that are still to be looked at, 0: there is no dead span
 *
 * What a lazy SWEEP_START has left. Goes on where the last one, or an allocation,
 * has stopped.
 *
 * Errors: EINVAL @max_pages is 0. EINTR part of the work is done.
 */
struct gcheap_reclaim {
	__u32 size;
	__u32 flags;
	__aligned_u64 max_pages;
	__aligned_u64 out_pages;
	__aligned_u64 out_left;
};

/**
 * struct gcheap_scavenge - GCHEAP_IOC_SCAVENGE: give free memory back
 * @size: sizeof(struct gcheap_scavenge)
 * @flags: none yet
 * @max_bytes: stop when so much was given back
 * @out_bytes: how much was
 * @out_free_bytes: memory of free pages, and stock, that is left
 *
 * Tables go with the memory, as said at enum gcheap_region; they do not count here.
 * Ends the state of pressure (see struct gcheap_ctrl).
 *
 * Errors: EINVAL @max_bytes is 0. EINTR part of the work is done.
 */
struct gcheap_scavenge {
	__u32 size;
	__u32 flags;
	__aligned_u64 max_bytes;
	__aligned_u64 out_bytes;
	__aligned_u64 out_free_bytes;
};

/**
 * struct gcheap_chunk_new - GCHEAP_IOC_CHUNK_NEW: a chunk for a user arena
 * @size: sizeof(struct gcheap_chunk_new)
 * @flags: none yet
 * @out_page: number of its first heap page; the chunk is aligned to its size
 * @out_flags: GCHEAP_GRANT_NEEDZERO
 *
 * Chunks are not swept: each stays until CHUNK_FREE. ENOMEM is also for a reserve
 * that has no 8 MiB in a row, aligned, left.
 */
struct gcheap_chunk_new {
	__u32 size;
	__u32 flags;
	__u32 out_page;
	__u32 out_flags;
};

/**
 * struct gcheap_chunk_free - GCHEAP_IOC_CHUNK_FREE: end a chunk
 * @size: sizeof(struct gcheap_chunk_free)
 * @flags: none yet
 * @page: first page of the chunk
 * @reserved: zero
 *
 * After it, an access to the chunk gets SIGBUS with code BUS_ADRERR and the address, a
 * system call EFAULT. Its addresses are not used again before CHUNK_READY.
 *
 * Errors: EINVAL no chunk in use begins at @page: it may have been freed before.
 */
struct gcheap_chunk_free {
	__u32 size;
	__u32 flags;
	__u32 page;
	__u32 reserved;
};

/**
 * struct gcheap_chunk_ready - GCHEAP_IOC_CHUNK_READY: no pointer leads there
 * @size: sizeof(struct gcheap_chunk_ready)
 * @flags: none yet
 * @page: first page of a freed chunk
 * @reserved: zero
 *
 * The collector has marked the whole heap and found no pointer into the freed
 * chunk: its addresses may be used again.
 *
 * Errors: EINVAL no chunk in quarantine begins at @page; EBUSY while a cycle
 * marks.
 */
struct gcheap_chunk_ready {
	__u32 size;
	__u32 flags;
	__u32 page;
	__u32 reserved;
};

/* TRACK: set the bits of the range in DIRTY, and clear those of clean pages. */
#define GCHEAP_TRACK_BITMAP	_BITUL(0)
/* TRACK: do not re-arm: the same pages are reported again. */
#define GCHEAP_TRACK_PEEK	_BITUL(1)
/*
 * TRACK: write-protect the pages, so that the first write to each is known when it
 * happens. Clears the bits of the range in DIRTY; from then on, until the next TRACK
 * with this flag or GCHEAP_TRACK_BITMAP, the bit of a page that was protected is set
 * before a write to it is done. A page that is pinned has its bit set at once. Not
 * with other flags, and only in a heap of GCHEAP_SETUP_SNAPSHOTS; @ranges may be left
 * out.
 */
#define GCHEAP_TRACK_PROTECT	_BITUL(2)

/**
 * struct gcheap_range - heap pages that follow each other
 * @page: the first
 * @npages: how many
 */
struct gcheap_range {
	__u32 page;
	__u32 npages;
};

#define GCHEAP_TRACK_RANGES_MAX	65536u

/**
 * struct gcheap_track - GCHEAP_IOC_TRACK: which pages were written, and re-arm
 * @size: sizeof(struct gcheap_track)
 * @flags: GCHEAP_TRACK_*
 * @page: first heap page of the range
 * @npages: its length; 0: to the end of the heap
 * @ranges: address of struct gcheap_range: receives the dirty pages, in order
 * @range_count: length of @ranges, at most GCHEAP_TRACK_RANGES_MAX
 * @out_range_count: how many were written there
 * @out_dirty_pages: how many pages were dirty
 * @out_end: the range was done up to this page; short of its end when @ranges was
 *	full, or with EINTR
 *
 * A heap page is dirty when it was written since the last TRACK that re-armed it,
 * or since it was handed out; also by a system call. A page that is pinned, for
 * direct I/O for instance, is dirty as long as it is, and once more. Only pages of
 * spans with pointers are reported, and those of chunks. A write that races with the
 * request is in its report, and then visible when it returns, or in the next one. In
 * a heap of GCHEAP_SETUP_HUGE_PAGES, all heap pages of a 2 MiB page are dirty
 * together, also while it is not mapped, and re-armed by a request whose range has
 * all of it.
 *
 * Errors: EOPNOTSUPP the module found at load time that it cannot track writes on
 * this machine, or GCHEAP_TRACK_PROTECT without GCHEAP_SETUP_SNAPSHOTS; EINVAL a
 * range that is not in the heap, nowhere to write the answer, or
 * GCHEAP_TRACK_PROTECT with another flag; EOVERFLOW @range_count over the limit.
 */
struct gcheap_track {
	__u32 size;
	__u32 flags;
	__u32 page;
	__u32 npages;
	__aligned_u64 ranges;
	__u32 range_count;
	__u32 out_range_count;
	__u32 out_dirty_pages;
	__u32 out_end;
};

/**
 * enum gcheap_stop_state - what STOP has found a thread to be
 * @GCHEAP_STOP_RUNNING: not stopped when the request ran out of time
 * @GCHEAP_STOP_USER: it has come to the boundary between its own code and the kernel, and
 *	waits there
 * @GCHEAP_STOP_BLOCKED: it sleeps in a system call, of which it knows nothing of the stop
 *	before it comes to that boundary, where it will wait
 * @GCHEAP_STOP_GONE: it has ended, or is about to without another instruction of its own
 */
enum gcheap_stop_state {
	GCHEAP_STOP_RUNNING = 0,
	GCHEAP_STOP_USER = 1,
	GCHEAP_STOP_BLOCKED = 2,
	GCHEAP_STOP_GONE = 3,
};

#define GCHEAP_STOP_REGISTERS	32u	/* words */
#define GCHEAP_STOP_VECTOR	352u	/* words */

/**
 * struct gcheap_stopped - one thread of a STOP
 * @tid: which, as named by the request
 * @state: enum gcheap_stop_state; of GCHEAP_STOP_RUNNING and _GONE, the rest is zero
 * @sp: its stack pointer
 * @ip: where it goes on
 * @flags: its processor flags
 * @vector_bytes: how much of @vector was written
 * @reserved: zero
 * @registers: its other general registers, and zeros; on x86-64 rax, rbx, rcx, rdx, rsi,
 *	rdi, rbp, r8 to r15
 * @vector: vector registers, and what the processor saves with them: on x86-64 the
 *	beginning of the XSAVE area in its standard format. Of GCHEAP_STOP_BLOCKED nothing,
 *	as functions that make system calls have no values there. Tiles of AMX, which hold no
 *	pointers, do not find room
 *
 * Whoever looks for pointers looks at @sp and above, and at all words of @registers and of
 * the first @vector_bytes of @vector.
 */
struct gcheap_stopped {
	__u32 tid;
	__u32 state;
	__aligned_u64 sp;
	__aligned_u64 ip;
	__aligned_u64 flags;
	__u32 vector_bytes;
	__u32 reserved;
	__aligned_u64 registers[GCHEAP_STOP_REGISTERS];
	__aligned_u64 vector[GCHEAP_STOP_VECTOR];
};

#define GCHEAP_STOP_MAX		4096u	/* threads of one STOP */
#define GCHEAP_STOPPED_MAX	65536u	/* of @stopped_bytes */
#define GCHEAP_STOP_WAIT_MAX	60000u	/* milliseconds */
#define GCHEAP_STOP_HOLD_MAX	60000u

/**
 * struct gcheap_stop - GCHEAP_IOC_STOP: stop threads of the caller's process
 * @size: sizeof(struct gcheap_stop)
 * @flags: none yet
 * @tids: address of __u32[@count]: thread ids as gettid() tells them, each once, not
 *	the caller's own
 * @stopped: address of @count times @stopped_bytes: receives a struct gcheap_stopped for
 *	each thread, in their order
 * @count: how many, at most GCHEAP_STOP_MAX; 0: nobody is stopped, but nobody else can
 *	stop threads
 * @stopped_bytes: from one struct gcheap_stopped to the next: a multiple of 8, at least
 *	the size of this version's, at most GCHEAP_STOPPED_MAX
 * @wait_ms: how long to wait for the threads, in milliseconds, at most
 *	GCHEAP_STOP_WAIT_MAX; 0: a second
 * @hold_ms: how long they are held after that time at most: then they go on, whatever
 *	RESUME says. At most GCHEAP_STOP_HOLD_MAX; 0: ten seconds
 * @out_stop: number of this stop, for RESUME
 * @out_blocked: how many sleep in a system call
 * @out_gone: how many are gone
 *
 * No thread that was named executes an instruction of its own from the end of this request
 * to RESUME. There is no signal, and no system call is interrupted. What a system call does
 * to memory, it may do meanwhile. A thread that sleeps in the kernel for another reason than
 * a system call, as a page fault, is waited for.
 *
 * The stop also ends when a thread of the process closes a descriptor of the heap. A process
 * can have one stop at a time, whichever of its heaps it is by. Sent by a ring, this is for
 * a worker, so that the submitter can be stopped by its own request.
 *
 * Errors: EOPNOTSUPP the module cannot do it with this kernel (GCHEAP_FEATURE_STOP tells),
 * or an unknown flag; EBUSY the address space has a stop; ESRCH a thread is not there, or
 * not of this process; EINVAL one that stands twice, is the caller, or one of the kernel's,
 * or a number against the rules above; EOVERFLOW @count over the limit; ETIMEDOUT not all of
 * them have stopped in time: @stopped tells which have not; EFAULT @stopped cannot be
 * written. After any error, no thread is stopped.
 */
struct gcheap_stop {
	__u32 size;
	__u32 flags;
	__aligned_u64 tids;
	__aligned_u64 stopped;
	__u32 count;
	__u32 stopped_bytes;
	__u32 wait_ms;
	__u32 hold_ms;
	__aligned_u64 out_stop;
	__u32 out_blocked;
	__u32 out_gone;
};

/**
 * struct gcheap_resume - GCHEAP_IOC_RESUME: let stopped threads go on
 * @size: sizeof(struct gcheap_resume)
 * @flags: none yet
 * @stop: @out_stop of the STOP
 *
 * Errors: EINVAL the heap had no such stop; ETIMEDOUT it has ended before: the threads
 * were held too long, or resumed, or a descriptor was closed. What the caller has found
 * in the heap may not be true. EBUSY a STOP is waiting for threads; EOPNOTSUPP as STOP.
 */
struct gcheap_resume {
	__u32 size;
	__u32 flags;
	__aligned_u64 stop;
};

#endif /* _UAPI_LINUX_GCHEAP_H */
