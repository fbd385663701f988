// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The module: the device node /dev/gcheap, and what all heaps together hold in
 * /sys/class/misc/gcheap/:
 *
 *	heaps		open files
 *	object_bytes	object memory, backed by pages
 *	stock_bytes	pages that heaps keep beside that
 *	table_bytes	mapped tables
 *
 * All four are zero when nobody has the device open. A file counts until it is
 * released, its memory until that is free.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "debugfs.h"
#include "file.h"
#include "frames.h"
#include "module.h"
#include "pressure.h"
#include "stop.h"
#include "totals.h"
#include "track_selftest.h"
#include "zero_ahead.h"

#if BITS_PER_LONG != 64
#error "gcheap needs a 64-bit kernel; 32-bit programs can use it on one"
#endif

static ssize_t heaps_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read(&gcheap_heaps));
}
static DEVICE_ATTR_RO(heaps);

static ssize_t object_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", (long long)atomic64_read(&gcheap_object_bytes));
}
static DEVICE_ATTR_RO(object_bytes);

static ssize_t stock_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", (long long)atomic64_read(&gcheap_stock_bytes));
}
static DEVICE_ATTR_RO(stock_bytes);

static ssize_t table_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", (long long)atomic64_read(&gcheap_table_bytes));
}
static DEVICE_ATTR_RO(table_bytes);

static struct attribute *gcheap_attrs[] = {
	&dev_attr_heaps.attr,
	&dev_attr_object_bytes.attr,
	&dev_attr_stock_bytes.attr,
	&dev_attr_table_bytes.attr,
	NULL,
};
ATTRIBUTE_GROUPS(gcheap);

/* The mode is a hint to devtmpfs; a udev rule adds the group. */
static struct miscdevice gcheap_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gcheap",
	.nodename = "gcheap",
	.mode = 0660,
	.fops = &gcheap_fops,
	.groups = gcheap_groups,
};

static int __init gcheap_init(void)
{
	int error;

	BUILD_BUG_ON(PAGE_SIZE != PORT_TABLE_PAGE_BYTES);

	frames_init();
	error = zero_ahead_start();
	if (error) {
		pr_err("cannot start the worker: error %d\n", error);
		return error;
	}
	gcheap_debugfs_init();
	error = pressure_init();
	if (error)
		goto exit_debugfs;
	error = misc_register(&gcheap_device);
	if (error) {
		pr_err("cannot register the device: error %d\n", error);
		goto exit_pressure;
	}
	/* Last: what it uses of the module is put when the caller leaves the kernel. */
	track_init();
	return 0;

exit_pressure:
	pressure_exit();
exit_debugfs:
	gcheap_debugfs_exit();
	zero_ahead_stop();
	return error;
}

static void __exit gcheap_exit(void)
{
	misc_deregister(&gcheap_device);
	pressure_exit();
	gcheap_debugfs_exit();
	zero_ahead_stop();
	stop_exit();
	WARN_ON_ONCE(atomic64_read(&gcheap_object_bytes));
	WARN_ON_ONCE(atomic64_read(&gcheap_stock_bytes));
	WARN_ON_ONCE(atomic64_read(&gcheap_table_bytes));
}

module_init(gcheap_init);
module_exit(gcheap_exit);

MODULE_DESCRIPTION("Typed, precise garbage-collected heaps");
MODULE_AUTHOR("The gcheap authors");
MODULE_LICENSE("Dual MIT/GPL");
#ifdef GCHEAP_VERSION
MODULE_VERSION(GCHEAP_VERSION);
#endif
