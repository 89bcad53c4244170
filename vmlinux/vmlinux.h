/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract with the kernel: every kernel type and field that vtrace reads, and nothing else.
 *
 * Kept by hand. Offsets are CO-RE relocated, so order and gaps do not matter; names and kinds do.
 * tests/unit/contract_test.cpp checks each declaration against a BTF file.
 *
 * Rules:
 *  - A plain struct holds fields that every supported kernel (5.10 and newer) has.
 *  - A field that was renamed or moved lives in flavours, `struct name___since_X_Y` and
 *    `struct name___until_X_Y`, with the kernel commit; it must match the kernels it names.
 *  - A field that depends on the kernel's configuration lives in `struct name___with_what`, with the option.
 *  - A type of one machine is named `struct name___x86_64` or `struct name___aarch64`.
 *  - Array lengths are upper bounds for the compiler; the kernel's own length counts.
 */
#ifndef VTRACE_VMLINUX_H
#define VTRACE_VMLINUX_H

#include <linux/bpf.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* ---- control groups: include/linux/cgroup-defs.h, include/linux/kernfs.h ---- */

typedef struct {
    int counter;
} atomic_t;

struct kernfs_node {
    atomic_t active;  /* negative once it is being removed */
    const char *name; /* one path component; read with bpf_probe_read_kernel_str */
    __u64 id;         /* equals st_ino of the directory (since 5.5, 67c0496e87d1) */
    void *priv;       /* of a directory of sysfs: its struct kobject */
};

struct cgroup_root {
    int hierarchy_id; /* 0 is the default (v2) hierarchy; first column of /proc/PID/cgroup */
};

struct cgroup;

struct cgroup_subsys_state {
    struct cgroup *cgroup;
    struct cgroup_subsys_state *parent; /* NULL at the root of a hierarchy */
};

struct cgroup {
    struct cgroup_subsys_state self;
    struct kernfs_node *kn;
    struct cgroup_root *root;
};

struct css_set {
    struct cgroup_subsys_state *subsys[16]; /* by enum cgroup_subsys_id */
    struct cgroup *dfl_cgrp;                /* the leaf in the default (v2) hierarchy */
};

/* Values depend on the kernel's configuration; relocated with bpf_core_enum_value. */
enum cgroup_subsys_id {
    cpu_cgrp_id = 1,
    io_cgrp_id = 3,     /* CONFIG_BLK_CGROUP */
    memory_cgrp_id = 4, /* CONFIG_MEMCG */
};

/* ---- scheduler: include/linux/sched.h, kernel/sched/sched.h ---- */

struct sched_info { /* CONFIG_SCHED_INFO; kernel/sched/stats.h says when each field is written */
    unsigned long pcount;            /* times the task was given a CPU after waiting for one */
    unsigned long long run_delay;    /* ns waited for a CPU, summed; /proc/PID/schedstat, field 2 */
    unsigned long long last_arrival; /* rq clock when the task was last given a CPU */
    unsigned long long last_queued;  /* rq clock when the present wait began, 0 while none */
};

struct cfs_rq;

struct list_head {
    struct list_head *next;
};

struct rq {
    __u64 clock;      /* ns; comparable between CPUs only as far as sched_clock is */
    __u64 clock_task; /* the same without steal and interrupts, where the kernel counts them */
    unsigned int nr_running; /* the running one included; throttled ones not */
    int cpu;                 /* CONFIG_SMP until 6.16 */
    __u64 clock_pelt;
    unsigned long lost_idle_time;
    struct list_head
        cfs_tasks; /* sched_entity.group_node of fair tasks, the running one included */
};

/* Only to find rq.cfs: the queue of all groups of a CPU. */
struct cfs_rq___with_runnable { /* in 6.12.y and since 6.14 (c2a295bffeaf) */
    unsigned int h_nr_queued;   /* tasks, with those that went to sleep and are queued still */
    unsigned int h_nr_runnable; /* tasks without those */
};

struct rq___with_runnable {
    struct cfs_rq___with_runnable cfs;
};

struct rq___with_steal {      /* CONFIG_PARAVIRT_TIME_ACCOUNTING */
    __u64 prev_steal_time_rq; /* ns that the hypervisor above took, since boot */
};

struct rq___with_irq {   /* CONFIG_IRQ_TIME_ACCOUNTING */
    __u64 prev_irq_time; /* ns in interrupts and softirqs outside ksoftirqd, since boot */
};

struct cfs_rq {
    struct rq *rq; /* CONFIG_FAIR_GROUP_SCHED */
    /* CONFIG_CFS_BANDWIDTH. By the quota of the group or of one above it; in rq_clock_pelt().
     * (In 5.10 before the stable kernels had 64eaf50731ac: throttled_clock_task, likewise.) */
    __u64 throttled_clock_pelt;      /* when the last throttling began; kept when it ends */
    __u64 throttled_clock_pelt_time; /* how long throttled in all, without what still runs */
    int throttle_count;              /* levels at which it is throttled now */
};

/* In rq->clock, and only while tasks are queued (since 6.6, 677ea015f231); since 6.18 from when
 * a task was throttled (eb962f251fbb). */
struct cfs_rq___since_6_6 {
    __u64 throttled_clock_self; /* when the throttling began that still runs, else 0 */
    __u64 throttled_clock_self_time;
};

struct sched_entity {
    struct list_head group_node; /* in rq.cfs_tasks */
    __u64 exec_start;            /* rq clock_task up to which sum_exec_runtime goes while it runs */
    __u64 sum_exec_runtime;      /* ns; /proc/PID/schedstat, field 1 */
    struct cfs_rq *cfs_rq;       /* CONFIG_FAIR_GROUP_SCHED; kept for real-time tasks, too */
};

/* The task sleeps but is still queued ("delayed dequeue", since 6.12, 152e11f6df29). */
struct sched_entity___since_6_12 {
    unsigned char sched_delayed;
};

/* 0 is TASK_RUNNING, which includes waiting for a CPU; renamed in 5.14, 2f064a59a11f. */
struct task_struct___until_5_13 {
    long state;
};

struct task_struct___since_5_14 {
    unsigned int __state;
};

/* Tasks are throttled, not queues, on their way back to user space (since 6.18, e1fad12dcb66). */
struct task_struct___since_6_18 {
    bool throttled;
};

/* CONFIG_SMP until 6.16; one byte since 7.2. Of the same name: told apart by bpf_core_field_size. */
struct task_struct___until_7_1 {
    int on_cpu;
};

struct task_struct___since_7_2 {
    __u8 on_cpu;
};

/* Of task_struct.flags. */
#define PF_WQ_WORKER 0x00000020
#define PF_KTHREAD 0x00200000

/* CONFIG_PSI (in_memstall was a flag until 5.6, 1066d1b6974e). */
struct task_struct___with_psi {
    unsigned int in_memstall : 1; /* it waits for memory: psi_memstall_enter() */
};

/* CONFIG_THREAD_INFO_IN_TASK: the first member of task_struct. */
struct thread_info___x86_64 {
    __u32 status; /* TS_COMPAT; arch/x86/include/asm/thread_info.h */
};

struct thread_info___aarch64 {
    unsigned long flags; /* TIF_32BIT; arch/arm64/include/asm/thread_info.h */
};

/* The registers of user space, saved at the end of the kernel's stack of the task. */
struct pt_regs___x86_64 {
    unsigned long bp;
    unsigned long si;
    unsigned long di;
    unsigned long orig_ax; /* number of the system call, -1 in none */
    unsigned long ip;
    unsigned long sp;
};

struct pt_regs___aarch64 {
    __u64 regs[31];
    __u64 orig_x0;
    __s32 syscallno; /* -1 in none */
};

/* A helper that finds them, whatever the layout of that stack (since 5.15, dd6e10fbd9fb). */
enum bpf_func_id___since_5_15 {
    BPF_FUNC_task_pt_regs___since_5_15 = 175,
};

struct inode {
    __u16 i_mode;
    unsigned int i_flags;
    void *i_private; /* in sysfs its struct kernfs_node */
};

struct file {
    struct inode *f_inode;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd; /* RCU, as the table itself */
};

struct files_struct {
    struct fdtable *fdt;
    struct file *fd_array[64]; /* where the table is that a process begins with */
};

struct mm_struct {
    unsigned long start_code;  /* /proc/PID/stat, field 26 */
    unsigned long start_stack; /* and 28 */
};

struct task_struct {
    struct sched_entity se;
    struct sched_info sched_info;
    void *stack;
    unsigned int in_iowait : 1; /* in io_schedule() */
    unsigned int frozen : 1;    /* by the freezer of cgroup v2 (since 5.2, 76f969e8948d) */
    __u64 utime;                /* ns, by ticks unless CONFIG_VIRT_CPU_ACCOUNTING_*; with gtime */
    __u64 stime;
    __u64 gtime;
    unsigned long nvcsw;        /* times that it left its CPU to wait for something */
    struct files_struct *files; /* NULL in a thread of the kernel */
    int pid;
    int tgid;
    int prio; /* below 100: real-time or deadline */
    unsigned int flags;
    struct task_struct *group_leader;
    __u64 start_boottime; /* ns; /proc/PID/stat shows it in 1/100 s (since 5.5, cf25e24db61c) */
    __u64 start_time;
    char comm[16];
    __u64 self_exec_id;   /* u32 before 5.7 (d1e7fd6462ca) */
    struct mm_struct *mm; /* NULL in a thread of the kernel, and in one that ends */
    struct css_set *cgroups;
};

/* ---- block devices: include/linux/blk-mq.h, block/blk-mq.h, block/blk-cgroup.h ---- */

struct blkcg {
    struct cgroup_subsys_state css;
};

struct blkg_policy_data;

struct blkcg_gq { /* a cgroup on a queue; of the nearest cgroup upwards that has the controller */
    struct list_head q_node;
    struct blkcg *blkcg;
    struct blkg_policy_data *pd[6]; /* by policy; until 6.18 six at most */
};

struct bio {
    struct blkcg_gq *bi_blkg;
};

struct gendisk {
    int major;
    int first_minor;
    char disk_name[32];
};

struct throtl_data;
struct rq_qos;

struct request_queue {
    struct list_head blkg_list;
    struct throtl_data
        *td; /* CONFIG_BLK_DEV_THROTTLING; NULL before the first limit (since 6.10) */
    struct rq_qos *rq_qos;
};

struct request_queue___since_5_15 { /* d152c682f03c */
    struct gendisk *disk;
};

struct request___until_5_16 { /* f3fa33acca9f */
    struct gendisk *rq_disk;
};

enum mq_rq_state {
    MQ_RQ_IDLE = 0, /* not with the driver */
};

struct blk_mq_hw_ctx;

struct request {
    struct request_queue *q;
    struct blk_mq_hw_ctx *mq_hctx;
    unsigned int cmd_flags;  /* enum req_op in the lowest 8 bits, and bits of enum req_flag_bits */
    unsigned int rq_flags;   /* bits that were no enum until 6.11: user/bpf/block_layout.cpp */
    unsigned int __data_len; /* bytes that have not completed */
    __u64 __sector;          /* likewise; moves on with partial completions */
    struct bio *bio;         /* the first that has not completed */
    __u64 start_time_ns;     /* CLOCK_MONOTONIC, allocated; 0 without I/O statistics */
    __u64 io_start_time_ns;  /* given to the driver, for the last time; 0 if nobody asked for it */
    enum mq_rq_state state;
};

struct refcount_struct {
    atomic_t refs;
};

struct request___until_5_15 {
    struct refcount_struct ref; /* 0: free */
};

struct request___since_5_16 { /* 0a467d0fdd95 */
    atomic_t ref;
};

enum req_flag_bits {
    __REQ_SYNC = 11,
    __REQ_META = 12,
    __REQ_FUA = 17,
    __REQ_RAHEAD = 19,
    __REQ_SWAP = 24,
};

/* Requests of one hardware queue, or of an I/O scheduler for it. */
struct blk_mq_tags {
    unsigned int nr_tags;
    struct request **static_rqs;
};

struct blk_flush_queue {
    struct request *flush_rq; /* not among those of the tags */
};

struct kobject {
    const char *name;
};

struct blk_mq_hw_ctx {
    struct request_queue *queue;
    unsigned int queue_num;
    struct blk_flush_queue *fq;
    struct blk_mq_tags *tags;
    struct blk_mq_tags *sched_tags; /* NULL without an I/O scheduler */
    struct kobject kobj;            /* /sys/block/DISK/mq/N */
};

/* ---- limits of cgroups on devices: block/blk-throttle.h ---- */

/* Bios that wait here, reads and writes; by the limit that holds them since 6.16 (28ad83b774a6). */
struct throtl_service_queue___until_6_15 {
    unsigned int nr_queued[2];
};

struct throtl_service_queue___since_6_16 {
    unsigned int nr_queued_bps[2];
    unsigned int nr_queued_iops[2];
};

struct throtl_service_queue {
    struct throtl_service_queue *parent_sq;
};

struct throtl_grp {
    struct throtl_data *td;
    struct throtl_service_queue service_queue;
};

struct throtl_data {
    unsigned int nr_queued[2]; /* bios that wait anywhere on the device */
};

/* ---- what else lets bios wait: block/blk-rq-qos.h, block/blk-iocost.c, block/blk-wbt.c ---- */

enum rq_qos_id {
    RQ_QOS_WBT = 0,
    RQ_QOS_COST = 2,
};

struct rq_qos { /* of a disk, one for each kind that is on */
    enum rq_qos_id id;
    struct rq_qos *next;
};

struct wait_queue_head {
    struct list_head head;
};

struct wait_queue_entry {
    void *private; /* the task */
    struct list_head entry;
};

struct blkg_policy_data {
    struct blkcg_gq *blkg;
};

struct ioc { /* CONFIG_BLK_CGROUP_IOCOST */
    struct rq_qos rqos;
    struct list_head active_iocgs; /* cgroups that wait are in it */
};

struct ioc_gq { /* a cgroup on a disk with iocost */
    struct blkg_policy_data pd;
    struct list_head active_list;
    struct wait_queue_head waitq;
};

struct rq_wait {
    struct wait_queue_head wait;
};

struct rq_wb { /* CONFIG_BLK_WBT */
    struct rq_qos rqos;
    struct rq_wait rq_wait[3]; /* of writeback, of memory reclaim, of discards */
};

struct rq_qos_wait_data { /* on the stack of a task that waits */
    struct wait_queue_entry wq;
    struct rq_wait *rqw;
};

struct rq_qos_wait_data___until_6_14 { /* a052bfa636bb: since then wq.private, which was not set */
    struct task_struct *task;
};

/* ---- whose pages a thread of the kernel writes: kernel/workqueue_internal.h, kernel/kthread.c ---- */

struct task_struct___until_5_16 { /* e32cf5dfbe22 */
    void *set_child_tid;          /* of a thread of the kernel: its struct kthread */
};

struct task_struct___since_5_17 {
    void *worker_private;
};

struct kthread {
    void *data; /* of a worker: its struct worker */
};

struct work_struct {
    struct list_head entry;
};

struct worker {
    struct work_struct *current_work;
    char desc[32]; /* "flush-MAJOR:MINOR" for as long as it runs wb_workfn() */
};

struct delayed_work {
    struct work_struct work;
};

/* Dirty pages of a disk, and of a cgroup: include/linux/backing-dev-defs.h. */
struct bdi_writeback {
    struct delayed_work dwork;
    struct cgroup_subsys_state *blkcg_css; /* CONFIG_CGROUP_WRITEBACK */
};

/* ---- interrupts: include/linux/interrupt.h ---- */

struct irqaction {
    const char *name; /* /proc/interrupts, the last columns */
};

/* ---- sockets: include/net/sock.h, include/linux/cgroup-defs.h ---- */

struct ns_common {
    unsigned int inum; /* equals st_ino of /proc/PID/ns/net */
};

struct net {
    struct ns_common ns;
};

typedef struct {
    struct net *net; /* CONFIG_NET_NS */
} possible_net_t;

struct sock;

struct sock_common {
    unsigned short skc_family;        /* AF_* */
    volatile unsigned char skc_state; /* BPF_TCP_* */
    possible_net_t skc_net;
    struct sock *skc_listener; /* of BPF_TCP_NEW_SYN_RECV only */
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;           /* the local port, in the order of the host */
    unsigned long skc_flags; /* enum sock_flags, by bit */
};

struct sock {
    struct sock_common __sk_common; /* all that short forms of a socket have */
    __u16 sk_protocol;              /* IPPROTO_* */
    __u8 sk_kern_sock : 1;
    int sk_err;
};

struct in6_addr {
    union {
        __u8 u6_addr8[16];
    } in6_u;
};

struct sock_common___with_ipv6 { /* CONFIG_IPV6 */
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
};

/* In the default (v2) hierarchy; a pointer of its own since 8520e224f547. */
struct sock_cgroup_data___until_5_14 {
    __u64 val; /* struct cgroup *, unless one of the two lowest bits is set */
};

struct sock___until_5_14 {
    struct sock_cgroup_data___until_5_14 sk_cgrp_data; /* CONFIG_SOCK_CGROUP_DATA */
};

struct sock_cgroup_data___since_5_15 {
    struct cgroup *cgroup;
};

struct sock___since_5_15 {
    struct sock_cgroup_data___since_5_15 sk_cgrp_data;
};

/* ---- TCP: include/linux/tcp.h, include/net/inet_sock.h, inet_connection_sock.h, tcp.h ---- */

struct inet_sock {
    __be16 inet_sport;
};

struct inet_connection_sock {
    __u8 icsk_ca_state : 5; /* enum tcp_ca_state */
    __u8 icsk_pending;      /* ICSK_TIME_* */
};

struct tcp_sock {
    struct inet_connection_sock inet_conn;
    __u64 bytes_sent; /* of payload, with what was sent again */
    __u64 bytes_retrans;
    __u64 bytes_received; /* of payload, and one for a FIN */
    __u64 bytes_acked;    /* of payload, and one for a SYN of its own and for a FIN */
    __u32 segs_out;
    __u32 segs_in;
    __u32 total_retrans; /* segments */
    __u32 snd_una;
    __u32 snd_nxt;
    __u32 write_seq; /* of the next byte that the application writes */
    __u32 srtt_us;   /* eighths of a microsecond; 0: there was no round trip yet */
};

struct tcp_skb_cb { /* in sk_buff::cb of what TCP has received */
    __u32 seq;
    __u32 end_seq;
};

/* As they are in the header, of 16 bits since 2c2f08d31d2f. */
struct tcp_skb_cb___until_6_14 {
    __u8 tcp_flags;
};

struct tcp_skb_cb___since_6_15 {
    __u16 tcp_flags;
};

/* ---- packets: include/linux/{skbuff,netdevice}.h, include/net/{dst,sch_generic}.h ---- */

struct Qdisc_ops {
    char id[16];
};

struct Qdisc {
    void *enqueue; /* NULL of `noqueue` */
    const struct Qdisc_ops *ops;
};

struct net_device {
    char name[16];
    int ifindex;
    unsigned int mtu;
    struct Qdisc *qdisc;
    possible_net_t nd_net;
};

struct netdev_queue {
    struct net_device *dev;
};

struct napi_struct {
    struct net_device *dev; /* NULL: the backlog of a CPU */
};

struct dst_entry {
    struct net_device *dev;
};

struct sk_buff {
    struct sk_buff *next; /* of those that are handed on together */
    struct net_device *dev;
    struct sock *sk;           /* that it is of, or for */
    unsigned long _skb_refdst; /* struct dst_entry *, and flags in the lowest bits */
    unsigned int len;          /* bytes */
    int skb_iif;               /* number of the device that it came in by */
    __be16 protocol;           /* ETH_P_* */
    __u16 network_header;      /* from `head` on */
    unsigned char *head;
    char cb[48];
};

/* ---- BPF iterators: kernel/bpf/task_iter.c ---- */

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__tcp { /* of the network namespace that it was made in */
    struct bpf_iter_meta *meta;
    struct sock_common *sk_common; /* NULL in the call that ends an iteration */
};

struct bpf_iter__bpf_map_elem {
    struct bpf_iter_meta *meta;
    void *key; /* NULL in the call that ends an iteration */
    void *value;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task; /* NULL in the call that ends an iteration */
};

#pragma clang attribute pop

#endif
