// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module with one mistake of each kind, made when it is loaded: does the debug
 * kernel notice? Named as ours, so that vm/run handles it in the same way.
 */

#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

static char *mistakes = "";
module_param(mistakes, charp, 0);
MODULE_PARM_DESC(mistakes, "names of what to do wrong, separated by commas");

static int zero;	/* which the compiler must not know */

static void use_after_free(void)
{
	char *p = kmalloc(100, GFP_KERNEL);

	kfree(p);
	WRITE_ONCE(p[READ_ONCE(zero)], 1);
}

static void vmalloc_overflow(void)
{
	char *p = vmalloc(100);

	WRITE_ONCE(p[100 + READ_ONCE(zero)], 1);
	vfree(p);
}

static void page_after_free(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	char *p = page_address(page);

	__free_page(page);
	(void)READ_ONCE(p[READ_ONCE(zero)]);
}

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);

static void lock_order(void)
{
	mutex_lock(&lock_a);
	mutex_lock(&lock_b);
	mutex_unlock(&lock_b);
	mutex_unlock(&lock_a);
	mutex_lock(&lock_b);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	mutex_unlock(&lock_b);
}

static DEFINE_SPINLOCK(spin);

static void sleep_in_atomic(void)
{
	spin_lock(&spin);
	might_sleep();
	spin_unlock(&spin);
}

static void __rcu *rcu_pointer;

static void rcu_unlocked(void)
{
	(void)rcu_dereference(rcu_pointer);
}

static void shift(void)
{
	WRITE_ONCE(zero, (1 << (40 + READ_ONCE(zero))) & 0);
}

static void leak(void)
{
	void *p = kmalloc(1000, GFP_KERNEL);

	memset(p, 1, 1000);
	OPTIMIZER_HIDE_VAR(p);
}

static void list_corruption(void)
{
	LIST_HEAD(head);
	struct list_head item;

	list_add(&item, &head);
	item.next = &item;
	list_del(&item);
}

static void nothing(struct work_struct *work)
{
}

static void object(void)
{
	struct delayed_work *delayed = kmalloc(sizeof(*delayed), GFP_KERNEL);

	INIT_DELAYED_WORK(delayed, nothing);
	schedule_delayed_work(delayed, 1000000);
	INIT_DELAYED_WORK(delayed, nothing);
	cancel_delayed_work_sync(delayed);
	kfree(delayed);
}

/* No mistake, but what fail-nth is for: it has to reach a module's allocations. */
static void failed_allocation(void)
{
#ifdef CONFIG_FAULT_INJECTION
	void *p = NULL;
	int n;

	/* Which of the allocations below is ours, debugging decides, which allocates too. */
	for (n = 1; n < 100 && (n == 1 || p); n++) {
		kfree(p);
		current->fail_nth = n;
		/* Those that may sleep do not fail unless debugfs says so. */
		p = kmalloc(100, GFP_NOWAIT);
		current->fail_nth = 0;
	}
	if (!p)
		pr_info("faulty: an allocation failed\n");
	kfree(p);
#endif
}

static long shared;

static noinline void race_write(void)
{
	shared++;
}

static int race(void *unused)
{
	while (!kthread_should_stop()) {
		race_write();
		cond_resched();
	}
	return 0;
}

static void racing_writes(void)
{
	struct task_struct *thread = kthread_run(race, NULL, "race");
	int i;

	if (IS_ERR(thread))
		return;
	for (i = 0; i < 100000; i++) {
		race_write();
		cond_resched();
	}
	kthread_stop(thread);
}

static const struct {
	const char *name;
	void (*make)(void);
} all[] = {
	{ "use_after_free", use_after_free }, { "vmalloc_overflow", vmalloc_overflow },
	{ "page_after_free", page_after_free }, { "sleep_in_atomic", sleep_in_atomic },
	{ "rcu_unlocked", rcu_unlocked }, { "shift", shift }, { "leak", leak }, { "list_corruption", list_corruption },
	{ "object", object }, { "lock_order", lock_order }, { "failed_allocation", failed_allocation },
	{ "racing_writes", racing_writes },
};

static int __init faulty_init(void)
{
	char *name, *rest = mistakes;
	int i;

	while ((name = strsep(&rest, ","))) {
		for (i = 0; i < ARRAY_SIZE(all); i++) {
			if (strcmp(name, all[i].name))
				continue;
			pr_info("faulty: %s\n", name);
			all[i].make();
		}
	}
	return 0;
}
module_init(faulty_init);

static void __exit faulty_exit(void)
{
}
module_exit(faulty_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("mistakes that a debug kernel must notice");
