// SPDX-License-Identifier: MIT
/*
 * An interning table: equal strings are one object, for as long as anybody uses it.
 *
 *	intern [WORDS]
 *
 * The table has a weak reference to each string, which does not keep it. When nobody uses a string
 * any more a cycle finds it dead and clears the reference; the string's cleanup then takes the entry
 * out of the table. Cleanups run in the library's own thread (GCHEAP_FINALIZER_THREAD), so that
 * the program does nothing for that but take a lock.
 *
 * Two threads read text, so to speak: each draws WORDS words, most of them common, and holds the last
 * 10,000. Then they drop all, and the table is empty.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "figures.h"

#define THREADS		2u
#define HELD		10000u
#define BUCKETS_MIN	1024u
#define WORD_BYTES	32u
/* One of so many words is asked for once more, to see that it is the same object. */
#define CHECK_EVERY	64u

/**
 * struct entry - a string in the table
 * @next: in its bucket
 * @hash: of the string
 * @string: a weak reference to it
 */
struct entry {
	struct entry *next;
	uint64_t hash;
	struct gcheap_weak *string;
};

/*
 * The table. @lock guards it. Nobody allocates from the heap while he has it: a cycle may have to
 * wait for whoever waits for the lock.
 */
static struct {
	pthread_mutex_t lock;
	struct entry **buckets;
	size_t bucket_count;	/* a power of two */
	size_t count, most;
	size_t asked, made;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct gcheap *heap;

static void fail(const char *what)
{
	fprintf(stderr, "intern: %s: %s\n", what, gcheap_error());
	exit(1);
}

static void *checked(void *memory)
{
	if (!memory) {
		fputs("intern: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

/* ---- the table -------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 0x100000001b3;
	return hash ^ hash >> 32;
}

static struct entry **bucket_of(uint64_t hash)
{
	return &table.buckets[hash & (table.bucket_count - 1)];
}

/* The string, if it is there and alive. From here on the caller's stack keeps it. */
static char *find(struct gcheap_thread *thread, const char *text, uint64_t hash)
{
	const struct entry *entry;

	for (entry = *bucket_of(hash); entry; entry = entry->next) {
		char *string = entry->hash == hash ? gcheap_weak_get(thread, entry->string) : NULL;

		/* One that is dead may still have its entry: its cleanup has not run yet. */
		if (string && !strcmp(string, text))
			return string;
	}
	return NULL;
}

static void grow(void)
{
	size_t before = table.bucket_count, i;
	struct entry **old = table.buckets;

	table.bucket_count = before ? before * 2 : BUCKETS_MIN;
	table.buckets = checked(calloc(table.bucket_count, sizeof(*old)));
	for (i = 0; i < before; i++) {
		while (old[i]) {
			struct entry *entry = old[i];

			old[i] = entry->next;
			entry->next = *bucket_of(entry->hash);
			*bucket_of(entry->hash) = entry;
		}
	}
	free(old);
}

static void link_entry(struct entry *entry)
{
	if (table.count >= table.bucket_count)
		grow();
	entry->next = *bucket_of(entry->hash);
	*bucket_of(entry->hash) = entry;
	table.made++;
	if (++table.count > table.most)
		table.most = table.count;
}

/* A cleanup: the string of this entry is dead. It runs in the library's own thread. */
static void drop(void *arg)
{
	struct entry *entry = arg;
	struct entry **link;

	pthread_mutex_lock(&table.lock);
	for (link = bucket_of(entry->hash); *link != entry; link = &(*link)->next)
		;
	*link = entry->next;
	table.count--;
	pthread_mutex_unlock(&table.lock);
	gcheap_weak_free(heap, entry->string);
	free(entry);
}

/* The one object with this text. */
static char *intern(struct gcheap_thread *thread, const char *text)
{
	uint64_t hash = hash_of(text);
	struct entry *entry;
	char *string, *other;

	pthread_mutex_lock(&table.lock);
	table.asked++;
	string = find(thread, text, hash);
	pthread_mutex_unlock(&table.lock);
	if (string)
		return string;

	string = gcheap_new_leaf(thread, strlen(text) + 1);
	if (!string)
		fail("a string");
	strcpy(string, text);
	entry = checked(calloc(1, sizeof(*entry)));
	entry->hash = hash;
	if (gcheap_weak_new(heap, string, &entry->string))
		fail("a weak reference");
	pthread_mutex_lock(&table.lock);
	/* Another thread may have been quicker. */
	other = find(thread, text, hash);
	if (!other)
		link_entry(entry);
	pthread_mutex_unlock(&table.lock);
	if (other) {
		gcheap_weak_free(heap, entry->string);
		free(entry);
		return other;
	}
	if (gcheap_cleanup_add(heap, string, drop, entry))
		fail("a cleanup");
	return string;
}

/* ---- the work ----------------------------------------------------------------------- */

/* What a thread holds: the words that it has read last. */
struct page {
	char *words[HELD];
};

static gcheap_type page_type;

/**
 * struct reader - a thread that reads
 * @thread: it
 * @words: how many
 * @random: its random numbers
 * @differing: how many it held at the end that differ
 */
struct reader {
	pthread_t thread;
	size_t words;
	uint64_t random;
	size_t differing;
};

static uint64_t random_next(uint64_t *random)
{
	*random = *random * 6364136223846793005 + 1442695040888963407;
	return *random >> 33;
}

/* A word; the common ones are drawn as often as all of the rare ones together. */
static void word_draw(uint64_t *random, char *text)
{
	unsigned int rarity = (unsigned int)(random_next(random) % 20);

	snprintf(text, WORD_BYTES, "word-%u", (unsigned int)(random_next(random) % (2u << rarity)));
}

static int by_address(const void *a, const void *b)
{
	const char *one = *(char *const *)a, *other = *(char *const *)b;

	return one < other ? -1 : one > other;
}

/* Equal words are one object: how many objects are there? */
static size_t count_differing(const struct page *page)
{
	char **sorted = checked(malloc(sizeof(page->words)));
	size_t i, count = 0;

	memcpy(sorted, page->words, sizeof(page->words));
	qsort(sorted, HELD, sizeof(*sorted), by_address);
	for (i = 0; i < HELD; i++)
		count += sorted[i] && (!i || sorted[i] != sorted[i - 1]);
	free(sorted);
	return count;
}

static void *read_words(void *arg)
{
	struct reader *reader = arg;
	struct gcheap_thread *thread;
	char text[WORD_BYTES];
	struct page *page;
	size_t i;

	if (gcheap_thread_attach(heap, &thread))
		fail("a thread");
	page = gcheap_new(thread, page_type);
	if (!page)
		fail("a page");
	for (i = 0; i < reader->words; i++) {
		word_draw(&reader->random, text);
		page->words[i % HELD] = intern(thread, text);
		if (i % CHECK_EVERY == 0 && intern(thread, text) != page->words[i % HELD]) {
			fprintf(stderr, "intern: \"%s\" is two objects\n", text);
			exit(1);
		}
	}
	reader->differing = count_differing(page);
	gcheap_thread_detach(thread);
	return NULL;
}

/* Nobody uses any string now. Return: how many are left in the table. */
static size_t table_empties(struct gcheap_thread *thread)
{
	unsigned int tries;
	size_t left = 1;

	for (tries = 0; left && tries < 1000; tries++) {
		if (gcheap_collect(thread))
			fail("a collection");
		/* The library's thread runs the cleanups meanwhile; where there is none, this one. */
		if (gcheap_run_finalizers(thread) < 0)
			fail("cleanups");
		usleep(1000);
		pthread_mutex_lock(&table.lock);
		left = table.count;
		pthread_mutex_unlock(&table.lock);
	}
	return left;
}

int main(int argc, char **argv)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t words = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct reader readers[THREADS] = { 0 };
	double start = figures_seconds();
	struct gcheap_thread *thread;
	unsigned int i;
	size_t left;

	config.flags |= GCHEAP_FINALIZER_THREAD;
	if (gcheap_open(&config, &heap))
		fail("a heap");
	page_type = GCHEAP_TYPE(heap, struct page, words);
	if (!page_type)
		fail("a type");
	grow();
	for (i = 0; i < THREADS; i++) {
		readers[i].words = words;
		readers[i].random = i + 1;
		if (pthread_create(&readers[i].thread, NULL, read_words, &readers[i]))
			fail("a thread");
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(readers[i].thread, NULL);
		printf("reader %u: the last %zu words are %zu objects\n", i + 1,
		       words < HELD ? words : (size_t)HELD, readers[i].differing);
	}
	if (gcheap_thread_attach(heap, &thread))
		fail("a thread");
	left = table_empties(thread);
	printf("asked for %zu words, made %zu strings, at most %zu at a time; %zu are left\n",
	       table.asked, table.made, table.most, left);
	if (figures_print(stdout, heap, start))
		fail("figures");
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	free(table.buckets);
	return left != 0;
}
