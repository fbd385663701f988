// SPDX-License-Identifier: MIT
/*
 * The configuration and the environment that overrides it. A setuid program
 * ignores the environment.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <linux/gcheap.h>

#include "environment.h"
#include "error.h"
#include "mark_kernel.h"

#define MARKERS_MAX	4096u

/* Fields of the first release: every program has them. */
#define CONFIG_BYTES_MIN \
	(offsetof(struct gcheap_config, memory_limit) + \
	 sizeof(((struct gcheap_config *)0)->memory_limit))

/* No release's struct is longer: a size that is not set reads no further. */
#define CONFIG_BYTES_MAX	4096u

/* ---- the program's configuration --------------------------------------------- */

/*
 * As requests to the kernel: a program made for an older library has a shorter
 * struct, one made for a newer library must not use what this one does not know.
 */
static int config_copy(const struct gcheap_config *from, struct gcheap_config *to)
{
	const unsigned char *bytes = (const unsigned char *)from;
	size_t known = from->size < sizeof(*to) ? from->size : sizeof(*to);
	size_t i;

	if (from->size < CONFIG_BYTES_MIN || from->size > CONFIG_BYTES_MAX)
		return error_set(-EINVAL, "gcheap_config.size is %zu: start from "
				 "GCHEAP_CONFIG_INIT, which sets it", from->size);
	for (i = known; i < from->size; i++) {
		if (bytes[i])
			return error_set(-E2BIG, "gcheap_config is of a newer libgcheap than this "
					 "one (%s), and uses a field that it does not have",
					 gcheap_version());
	}
	memcpy(to, from, known);
	to->size = sizeof(*to);
	return 0;
}

/* ---- the environment --------------------------------------------------------- */

static int variable_failed(const char *name, const char *value, const char *allowed)
{
	return error_set(-EINVAL, "environment: %s=%s: must be %s", name, value, allowed);
}

/* Index of a value in a list of names, or -1. */
static int name_index(const char *value, const char *const *names, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (!strcmp(value, names[i]))
			return i;
	}
	return -1;
}

/* A decimal number up to @max, ended by one of @ends or the string's end. */
static bool number_parse(const char *value, uint64_t max, const char *ends, uint64_t *number,
			 const char **end)
{
	uint64_t n = 0;

	if (*value < '0' || *value > '9')
		return false;
	for (; *value >= '0' && *value <= '9'; value++) {
		uint64_t digit = (uint64_t)(*value - '0');

		if (n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (*value && !strchr(ends, *value))
		return false;
	*number = n;
	*end = value;
	return true;
}

static int read_backend(struct gcheap_config *config)
{
	static const char *const names[] = { "auto", "device", "local" };
	const char *value = environment_value("GCHEAP_BACKEND");
	int i;

	if (!value)
		return 0;
	i = name_index(value, names, 3);
	if (i < 0)
		return variable_failed("GCHEAP_BACKEND", value, "auto, device or local");
	config->backend = (enum gcheap_backend)i;
	return 0;
}

static int read_layout(struct gcheap_config *config)
{
	static const char *const names[] = { "span", "header", "footer", "bitmap" };
	const char *value = environment_value("GCHEAP_LAYOUT");
	int i;

	if (!value)
		return 0;
	i = name_index(value, names, 4);
	if (i < 0)
		return variable_failed("GCHEAP_LAYOUT", value, "span, header, footer or bitmap");
	config->layout = (enum gcheap_layout)i;
	return 0;
}

static int read_gc(struct gcheap_config *config)
{
	const char *value = environment_value("GCHEAP_GC");
	const char *end;
	uint64_t percent;

	if (!value)
		return 0;
	if (!strcmp(value, "off")) {
		config->gc_percent = -1;
		return 0;
	}
	if (!number_parse(value, INT32_MAX, "", &percent, &end))
		return variable_failed("GCHEAP_GC", value, "a percentage, 2147483647 at most, or "
				       "off");
	config->gc_percent = (int32_t)percent;
	return 0;
}

/* A number of bytes, with K, M, G or nothing after it. */
static bool bytes_parse(const char *value, uint64_t *bytes)
{
	unsigned int shift = 0;
	const char *end;

	if (!number_parse(value, UINT64_MAX, "KMG", bytes, &end))
		return false;
	if (*end) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
		if (end[1] || *bytes > UINT64_MAX >> shift)
			return false;
	}
	*bytes <<= shift;
	return true;
}

static int read_memlimit(struct gcheap_config *config)
{
	const char *value = environment_value("GCHEAP_MEMLIMIT");

	if (value && !bytes_parse(value, &config->memory_limit))
		return variable_failed("GCHEAP_MEMLIMIT", value,
				       "a number of bytes with K, M, G or nothing after it, less "
				       "than 2^64; 0: no limit");
	return 0;
}

static bool reserve_is_valid(uint64_t bytes)
{
	return !(bytes % GCHEAP_ARENA_BYTES) && bytes >= GCHEAP_RESERVE_MIN &&
	       bytes <= GCHEAP_RESERVE_MAX;
}

static int read_reserve(struct gcheap_config *config)
{
	const char *value = environment_value("GCHEAP_RESERVE");
	uint64_t bytes;

	if (!value)
		return 0;
	if (!bytes_parse(value, &bytes) || (bytes && !reserve_is_valid(bytes)))
		return variable_failed("GCHEAP_RESERVE", value, "a number of bytes with K, M, G or "
				       "nothing after it, a multiple of 64M and 1024G at most, or "
				       "0 for 64G or less");
	config->reserve_bytes = bytes;
	return 0;
}

static int read_markers(struct gcheap_config *config)
{
	const char *value = environment_value("GCHEAP_MARKERS");
	const char *end;
	uint64_t markers;

	if (!value)
		return 0;
	if (!number_parse(value, MARKERS_MAX, "", &markers, &end))
		return variable_failed("GCHEAP_MARKERS", value,
				       "a number of threads, 4096 at most; 0: one per CPU");
	config->markers = (uint32_t)markers;
	return 0;
}

static int read_isa(struct settings *settings)
{
	const char *value = environment_value("GCHEAP_ISA");
	const struct mark_kernel *kernel;

	if (!value)
		return 0;
	kernel = mark_kernel_named(value);
	if (!kernel)
		return variable_failed("GCHEAP_ISA", value, "portable, avx2 or avx512, of which a "
				       "machine that is no x86 has the first alone");
	if (!kernel->is_here())
		return error_set(-EOPNOTSUPP, "environment: GCHEAP_ISA=%s: this CPU does not have "
				 "it; without the variable the best that it has is used", value);
	settings->kernel = kernel;
	return 0;
}

static bool stop_signal_is_valid(int64_t number)
{
	return number == 0 || number == -1 || (number >= SIGRTMIN && number <= SIGRTMAX);
}

static int read_stop_signal(struct gcheap_config *config)
{
	const char *value = environment_value("GCHEAP_STOP_SIGNAL");
	const char *end;
	uint64_t number;

	if (!value)
		return 0;
	if (!strcmp(value, "off")) {
		config->stop_signal = -1;
		return 0;
	}
	if (!number_parse(value, SIGRTMAX, "", &number, &end) ||
	    !stop_signal_is_valid((int64_t)number))
		return variable_failed("GCHEAP_STOP_SIGNAL", value, "the number of a real-time "
				       "signal, 0 for one that is free, or off");
	config->stop_signal = (int32_t)number;
	return 0;
}

static int read_stop(struct settings *settings)
{
	static const char *const names[] = { "auto", "kernel", "signal" };
	const char *value = environment_value("GCHEAP_STOP");
	int i;

	if (!value)
		return 0;
	i = name_index(value, names, 3);
	if (i < 0)
		return variable_failed("GCHEAP_STOP", value, "auto, kernel or signal");
	settings->stop = (enum settings_stop)i;
	return 0;
}

/* A list of words with commas between them. */
static int read_trace(struct settings *settings)
{
	const char *value = environment_value("GCHEAP_TRACE");
	const char *at = value;

	while (at) {
		size_t length = strcspn(at, ",");

		if (length != 2 || memcmp(at, "gc", 2))
			return variable_failed("GCHEAP_TRACE", value, "gc");
		settings->trace_gc = true;
		at = at[length] ? at + length + 1 : NULL;
	}
	return 0;
}

/* A variable that sets a flag or clears it. */
static int read_flag(struct gcheap_config *config, const char *name, uint32_t flag)
{
	const char *value = environment_value(name);

	if (!value)
		return 0;
	if (!strcmp(value, "1"))
		config->flags |= flag;
	else if (!strcmp(value, "0"))
		config->flags &= ~flag;
	else
		return variable_failed(name, value, "1 or 0");
	return 0;
}

/* Not flags of the interface: what they change is not seen but by the clock and by tools. */
static int read_switch(const char *name, bool *on)
{
	const char *value = environment_value(name);

	if (!value)
		return 0;
	if (strcmp(value, "1") && strcmp(value, "0"))
		return variable_failed(name, value, "1 or 0");
	*on = value[0] == '1';
	return 0;
}

static int environment_read(struct settings *settings)
{
	struct gcheap_config *config = &settings->config;
	int error = read_backend(config);

	environment_report_unknown();
	if (!error)
		error = read_layout(config);
	if (!error)
		error = read_reserve(config);
	if (!error)
		error = read_gc(config);
	if (!error)
		error = read_memlimit(config);
	if (!error)
		error = read_markers(config);
	if (!error)
		error = read_isa(settings);
	if (!error)
		error = read_stop_signal(config);
	if (!error)
		error = read_stop(settings);
	if (!error)
		error = read_trace(settings);
	if (!error)
		error = read_flag(config, "GCHEAP_VERIFY", GCHEAP_VERIFY);
	if (!error)
		error = read_flag(config, "GCHEAP_FAULT_FREED", GCHEAP_FAULT_FREED);
	if (!error)
		error = read_flag(config, "GCHEAP_HUGE_PAGES", GCHEAP_HUGE_PAGES);
	if (!error)
		error = read_flag(config, "GCHEAP_FINALIZER_THREAD", GCHEAP_FINALIZER_THREAD);
	if (!error)
		error = read_flag(config, "GCHEAP_ARENA_STRICT", GCHEAP_ARENA_STRICT);
	if (!error)
		error = read_switch("GCHEAP_URING", &settings->uring);
	if (!error)
		error = read_switch("GCHEAP_GUARDS", &settings->guards);
	return error;
}

/* ---- checks ------------------------------------------------------------------ */

static int flags_check(uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} missing[] = {
		{ GCHEAP_CONCURRENT, "GCHEAP_CONCURRENT" },
		{ GCHEAP_WRITE_TRACKING, "GCHEAP_WRITE_TRACKING" },
		{ GCHEAP_GENERATIONAL, "GCHEAP_GENERATIONAL" },
	};
	uint32_t unknown = flags & ~(GCHEAP_CONSERVATIVE_STACKS | GCHEAP_VERIFY |
				     GCHEAP_FAULT_FREED | GCHEAP_HUGE_PAGES |
				     GCHEAP_RECORD_TYPES | GCHEAP_FINALIZER_THREAD |
				     GCHEAP_ARENA_STRICT);
	size_t i;

	for (i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
		if (flags & missing[i].flag)
			return error_set(-EOPNOTSUPP, "the flag %s is not supported yet: open the "
					 "heap without it", missing[i].name);
	}
	if (unknown)
		return error_set(-EOPNOTSUPP, "this libgcheap (%s) does not know the flags %#x",
				 gcheap_version(), unknown);
	return 0;
}

static int config_check(struct gcheap_config *config)
{
	if (config->backend > GCHEAP_BACKEND_LOCAL)
		return error_set(-EINVAL, "%u is no backend: use an enum gcheap_backend",
				 (unsigned int)config->backend);
	if (config->layout > GCHEAP_LAYOUT_BITMAP)
		return error_set(-EINVAL, "%u is no layout: use an enum gcheap_layout",
				 (unsigned int)config->layout);
	if (!config->reserve_bytes)
		config->reserve_bytes = GCHEAP_RESERVE_DEFAULT;
	if (!reserve_is_valid(config->reserve_bytes))
		return error_set(-EINVAL, "reserve_bytes is %llu: must be a multiple of 64 MiB, "
				 "1 TiB at most, or 0 for 64 GiB or less",
				 (unsigned long long)config->reserve_bytes);
	if (config->markers > MARKERS_MAX)
		return error_set(-EINVAL, "markers is %u: %u at most; 0: one per CPU",
				 config->markers, MARKERS_MAX);
	if (config->gc_percent < -1)
		return error_set(-EINVAL, "gc_percent is %d: a percentage, or -1 for no cycles by "
				 "growth", config->gc_percent);
	if (!stop_signal_is_valid(config->stop_signal))
		return error_set(-EINVAL, "stop_signal is %d: the number of a real-time signal (%d "
				 "to %d), 0 for one that is free, or -1 for none",
				 config->stop_signal, SIGRTMIN, SIGRTMAX);
	if (config->reserved)
		return error_set(-EINVAL, "reserved is %d: must be 0", config->reserved);
	return flags_check(config->flags);
}

int settings_read(const struct gcheap_config *config, struct settings *settings)
{
	int error = 0;

	*settings = (struct settings) { .config = GCHEAP_CONFIG_INIT, .uring = true,
					.guards = true };
	if (config)
		error = config_copy(config, &settings->config);
	if (!error)
		error = environment_read(settings);
	settings->any_reserve = !settings->config.reserve_bytes;
	if (!error)
		error = config_check(&settings->config);
	return error;
}
