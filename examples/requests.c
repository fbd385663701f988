// SPDX-License-Identifier: MIT
/*
 * A server's loop: parse a request, build a tree of it, answer, and forget all but the answer.
 *
 *	requests [REQUESTS] [arenas|heap]
 *
 * Each request is text such as [12,"word",[7,"other"]]. What is made of it lives as long as the
 * request does: with arenas, it is allocated in one and ends with that, at once; without, cycles
 * find it dead. The answer, which a session keeps, is promoted to the heap. There are 50,000 sessions
 * with the last answers of each, which every cycle has to go through.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

#define SESSIONS	50000u
#define KEPT		4u
#define TEXT_MAX	4096u
#define DEPTH_MAX	6u

enum kind { NUMBER, WORD, LIST };

/**
 * struct value - a part of a request
 * @next: of the same list
 * @first: of a list: its first value
 * @word: of a word: its text
 * @number: of a number
 * @kind: what it is
 */
struct value {
	struct value *next;
	struct value *first;
	const char *word;
	uint64_t number;
	enum kind kind;
};

/**
 * struct answer - what is kept of a request
 * @longest: the longest word, a leaf
 * @sum: of all numbers
 * @values: how many there were
 */
struct answer {
	const char *longest;
	uint64_t sum;
	uint64_t values;
};

/* What one client has got: the heap's, and alive. */
struct session {
	struct answer *answers[KEPT];
	uint64_t requests;
};

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type value_type, answer_type, session_type;
static struct gcheap_arena *arena;	/* of this request; NULL: it takes from the heap */
static struct session *sessions[SESSIONS];

static void fail(const char *what)
{
	fprintf(stderr, "requests: %s: %s\n", what, gcheap_error());
	exit(1);
}

static void *checked(void *object)
{
	if (!object)
		fail("out of memory");
	return object;
}

/* ---- where a request's objects are ---------------------------------------------------- */

static void *new_object(gcheap_type type)
{
	return checked(arena ? gcheap_arena_alloc(arena, type) : gcheap_new(thread, type));
}

static char *new_text(size_t bytes)
{
	return checked(arena ? gcheap_arena_alloc_leaf(arena, bytes) :
			       gcheap_new_leaf(thread, bytes));
}

/* ---- requests ---------------------------------------------------------------------------- */

static uint64_t random_state = 42;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state % below);
}

/* What a client sends: a list, which may have others in it. Returns its length. */
static size_t request_make(char *text, size_t room, unsigned int depth)
{
	unsigned int count = 2 + draw(8), i;
	size_t used = 0;

	text[used++] = '[';
	for (i = 0; i < count && used + 64 < room; i++) {
		if (i)
			text[used++] = ',';
		switch (depth < DEPTH_MAX ? draw(3) : draw(2)) {
		case 0:
			used += (size_t)sprintf(text + used, "%u", draw(100000));
			break;
		case 1:
			used += (size_t)sprintf(text + used, "\"word%u\"", draw(1u << draw(30)));
			break;
		default:
			used += request_make(text + used, (room - used) / 2, depth + 1);
			break;
		}
	}
	text[used++] = ']';
	text[used] = 0;
	return used;
}

static struct value *parse(const char **at);

static const char *parse_word(const char **at)
{
	const char *begin = ++*at;
	size_t length;
	char *word;

	while (**at && **at != '"')
		++*at;
	length = (size_t)(*at - begin);
	if (**at)
		++*at;
	word = new_text(length + 1);
	memcpy(word, begin, length);
	return word;
}

static void parse_list(struct value *list, const char **at)
{
	struct value **link = &list->first;

	++*at;
	while (**at && **at != ']') {
		gcheap_store(thread, link, parse(at));
		link = &(*link)->next;
		if (**at == ',')
			++*at;
	}
	if (**at)
		++*at;
}

static struct value *parse(const char **at)
{
	struct value *value = new_object(value_type);

	if (**at == '[') {
		value->kind = LIST;
		parse_list(value, at);
	} else if (**at == '"') {
		value->kind = WORD;
		gcheap_store(thread, &value->word, (void *)parse_word(at));
	} else {
		value->kind = NUMBER;
		while (isdigit((unsigned char)**at))
			value->number = value->number * 10 + (uint64_t)(*(*at)++ - '0');
	}
	return value;
}

/* ---- answers ------------------------------------------------------------------------------- */

static void answer_add(struct answer *answer, const struct value *value)
{
	for (; value; value = value->next) {
		answer->values++;
		answer->sum += value->number;
		if (value->kind == WORD &&
		    (!answer->longest || strlen(value->word) > strlen(answer->longest)))
			gcheap_store(thread, &answer->longest, (void *)value->word);
		answer_add(answer, value->first);
	}
}

/* The answer, in the heap, with all it leads to. */
static struct answer *answer_keep(struct answer *answer)
{
	struct answer *kept = checked(gcheap_promote(thread, answer_type, answer, 1));

	if (kept->longest)
		gcheap_store(thread, &kept->longest,
			     checked(gcheap_promote(thread, 0, kept->longest,
						    strlen(kept->longest) + 1)));
	return kept;
}

static uint64_t serve(const char *text, bool with_arenas)
{
	struct session *session = sessions[draw(SESSIONS)];
	struct answer *answer;
	uint64_t sum;

	if (with_arenas && gcheap_arena_new(thread, &arena))
		fail("gcheap_arena_new");
	answer = new_object(answer_type);
	answer_add(answer, parse(&text));
	sum = answer->sum + answer->values;
	gcheap_store(thread, &session->answers[session->requests++ % KEPT], answer_keep(answer));
	if (arena && gcheap_arena_free(arena))
		fail("gcheap_arena_free");
	arena = NULL;
	return sum;
}

/* ---- main ------------------------------------------------------------------------------------ */

static void begin(void)
{
	unsigned int i;

	if (gcheap_open(NULL, &heap))
		fail("gcheap_open");
	if (gcheap_thread_attach(heap, &thread))
		fail("gcheap_thread_attach");
	value_type = GCHEAP_TYPE(heap, struct value, next, first, word);
	answer_type = GCHEAP_TYPE(heap, struct answer, longest);
	session_type = GCHEAP_TYPE(heap, struct session, answers);
	if (!value_type || !answer_type || !session_type)
		fail("types");
	if (gcheap_root_add(heap, sessions, SESSIONS) || gcheap_root_add(heap, &arena, 1))
		fail("gcheap_root_add");
	for (i = 0; i < SESSIONS; i++)
		sessions[i] = checked(gcheap_new(thread, session_type));
}

int main(int argc, char **argv)
{
	unsigned long requests = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000;
	bool with_arenas = argc < 3 || strcmp(argv[2], "heap");
	double start = figures_seconds();
	char text[TEXT_MAX];
	uint64_t sum = 0;
	unsigned long i;

	begin();
	for (i = 0; i < requests; i++) {
		request_make(text, sizeof(text), 0);
		sum += serve(text, with_arenas);
	}
	printf("%lu requests answered, with %s: all numbers are %" PRIu64 "\n", requests,
	       with_arenas ? "arenas" : "the heap alone", sum);
	if (figures_print(stdout, heap, start))
		fail("gcheap_stats");
	gcheap_close(heap);
	return 0;
}
