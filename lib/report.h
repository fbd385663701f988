/* SPDX-License-Identifier: MIT */
/*
 * What the library says on stderr (report.c).
 */
#ifndef GCHEAP_LIB_REPORT_H
#define GCHEAP_LIB_REPORT_H

/*
 * Writes a line or several to file descriptor 2, of up to 1 KiB. Takes no lock and no memory of
 * the C library, whose stderr may be in the hands of a thread that is stopped: @format has
 * integers, pointers and strings alone, for which vsnprintf() needs neither. errno stays.
 */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* GCHEAP_LIB_REPORT_H */
