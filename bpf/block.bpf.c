/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Block I/O: how long requests waited and were served, and whose they were.
 *
 * One hook, on the completion: the kernel keeps when a request began and when it was issued, and its first bio
 * whose it is. What has not completed is found by looking at the requests of a queue.
 */
#include "common/cgroup.bpf.h"
#include "common/chunks.bpf.h"
#include "common/hist_add.bpf.h"
#include "vtrace/block.h"

const volatile __u32 block_chunk_slots = 1;
const volatile __u32 block_flag_io_stat = 0;   /* RQF_IO_STAT */
const volatile __u32 block_flag_flush_seq = 0; /* RQF_FLUSH_SEQ */
const volatile __u32 block_only_device = 0;    /* 0: all */
const volatile __u64 block_slower_ns = 0;      /* 0: single requests are not asked for */
const volatile bool block_pattern = false;

__u32 block_keep_issues = 0; /* set while running, as the kernel turns out not to keep them */
__u64 block_unsplit = 0;     /* requests that it did not keep them of */
__u32 block_epoch = 1;       /* counts reports */
__u64 block_map_full = 0;
__u64 block_clock_anomaly = 0;
__u64 block_slow_dropped = 0;
__u64 block_issues_dropped = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_request_key);
    __type(value, __u32);
} block_slots SEC(".maps");

/* Keys that were not asked for. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct vt_request_key);
    __type(value, __u8);
} block_excluded SEC(".maps");

/* First in, first out: a slot that was given back rests for as long as possible. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} block_free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_request_key);
} block_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_block_stat);
} block_first SEC(".maps");

/* As hist_chunk in common/histogram.bpf.h. */
struct block_chunk {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(struct vt_block_stat));
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct block_chunk);
} block_more SEC(".maps");

/* By number. A disk that is gone keeps its name until another one has the number. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u32);
    __type(value, struct vt_block_device);
} block_devices SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 18);
} block_slow SEC(".maps");

/* When requests were issued, where the kernel does not keep it. By address. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, __u64);
} block_issued SEC(".maps");

/* A field of what the verifier knows the type of, or of what a pointer points to that was read as a number. */
#define FIELD(known, pointer, field) ((known) ? (pointer)->field : BPF_CORE_READ(pointer, field))

static __always_inline struct gendisk *disk_of(struct request *rq, bool known)
{
    struct request___until_5_16 *old = (void *)rq;
    struct request_queue___since_5_15 *queue;

    if (bpf_core_field_exists(old->rq_disk))
        return FIELD(known, old, rq_disk);
    queue = (void *)FIELD(known, rq, q);
    return FIELD(known, queue, disk);
}

static __always_inline __u32 device_of(struct gendisk *disk, bool known)
{
    return FIELD(known, disk, major) << 20 | FIELD(known, disk, first_minor);
}

#define HAS(flags, flag) ((flags) >> bpf_core_enum_value(enum req_flag_bits, flag) & 1)

static __always_inline __u8 flags_of(__u32 opf)
{
    return (HAS(opf, __REQ_SYNC) ? VT_BLOCK_SYNC : 0) | (HAS(opf, __REQ_META) ? VT_BLOCK_META : 0) |
           (HAS(opf, __REQ_RAHEAD) ? VT_BLOCK_AHEAD : 0) | (HAS(opf, __REQ_FUA) ? VT_BLOCK_FUA : 0);
}

/*
 * What is written for the root cgroup without anybody waiting for it is what somebody dirtied some time ago: on v1,
 * and where a file system does not tell, the kernel does not know who.
 */
static __always_inline __u8 origin_of_root(__u32 opf)
{
    if (HAS(opf, __REQ_SWAP))
        return VT_BLOCK_SWAP;
    if ((opf & 0xff) != VT_REQ_OP_WRITE)
        return VT_BLOCK_OF_CGROUP;
    if (!HAS(opf, __REQ_SYNC))
        return VT_BLOCK_WRITEBACK;
    return HAS(opf, __REQ_META) ? VT_BLOCK_JOURNAL : VT_BLOCK_OF_CGROUP;
}

static __always_inline struct cgroup *bio_cgroup(struct bio *bio, bool known)
{
    struct blkcg_gq *blkg = FIELD(known, bio, bi_blkg);
    struct blkcg *blkcg = FIELD(known, blkg, blkcg);

    return FIELD(known, blkcg, css.cgroup);
}

/* The key of a request, and the cgroup it is of; NULL if it is of none. */
static __always_inline struct cgroup *read_key(struct request *rq, struct gendisk *disk,
                                               struct vt_request_key *key, bool known)
{
    __u32 opf = FIELD(known, rq, cmd_flags);
    struct bio *bio = FIELD(known, rq, bio);
    struct cgroup *cgroup = NULL;

    key->device = device_of(disk, known);
    key->op = opf & 0xff;
    key->flags = flags_of(opf);
    key->origin = key->op == VT_REQ_OP_FLUSH ? VT_BLOCK_FLUSH : VT_BLOCK_NOBODY;
    if (bio)
        cgroup = bio_cgroup(bio, known);
    if (!cgroup)
        return NULL;
    key->origin = FIELD(known, cgroup, self.parent) ? VT_BLOCK_OF_CGROUP : origin_of_root(opf);
    if (key->origin == VT_BLOCK_OF_CGROUP) {
        struct kernfs_node *kn = FIELD(known, cgroup, kn);

        key->cgroup_id = FIELD(known, kn, id);
    }
    return cgroup;
}

static __always_inline bool is_wanted(struct vt_request_key *key, struct cgroup *cgroup)
{
    if (!key->device || (block_only_device && key->device != block_only_device))
        return false; /* what is of no disk are commands to a controller */
    return !cgroup_target ||
           (key->origin == VT_BLOCK_OF_CGROUP && cgroup && cgroup_selected(cgroup));
}

static __noinline __u32 take_slot(struct vt_request_key *key, struct cgroup *cgroup,
                                  struct gendisk *disk)
{
    struct vt_request_key none = {};
    struct vt_block_device device = {};
    __u32 slot, *known, number = key->device;
    __u8 one = 1;

    if (bpf_map_lookup_elem(&block_excluded, key))
        return VT_BLOCK_SLOT_EXCLUDED;
    if (!is_wanted(key, cgroup)) {
        bpf_map_update_elem(&block_excluded, key, &one, BPF_ANY);
        return VT_BLOCK_SLOT_EXCLUDED;
    }
    if (bpf_map_pop_elem(&block_free_slots, &slot))
        return VT_BLOCK_SLOT_OTHER;
    bpf_map_update_elem(&block_keys, &slot, key, BPF_ANY); /* before the first request in it */
    if (bpf_map_update_elem(&block_slots, key, &slot, BPF_NOEXIST)) {
        /* Another CPU was faster, or the hash is full. */
        bpf_map_update_elem(&block_keys, &slot, &none, BPF_ANY);
        bpf_map_push_elem(&block_free_slots, &slot, 0);
        known = bpf_map_lookup_elem(&block_slots, key);
        return known ? *known : VT_BLOCK_SLOT_OTHER;
    }
    bpf_probe_read_kernel(device.name, sizeof(device.name), disk->disk_name);
    bpf_map_update_elem(&block_devices, &number, &device, BPF_ANY);
    return slot;
}

static __always_inline __u32 slot_of(struct request *rq, struct vt_request_key *key)
{
    struct gendisk *disk = disk_of(rq, true);
    struct cgroup *cgroup = read_key(rq, disk, key, true);
    __u32 *known = bpf_map_lookup_elem(&block_slots, key);

    return known ? *known : take_slot(key, cgroup, disk);
}

static __always_inline struct vt_block_stat *block_stat(__u32 slot)
{
    return chunk_find(&block_first, &block_more, block_chunk_slots, slot);
}

static __always_inline __u32 size_class(__u32 bytes)
{
    __u32 units = (bytes - 1) >> 9; /* so that 4096 bytes are in the class that ends there */
    __u32 class = bytes <= 512 ? 0 : vt_log2(units) + 1;

    return class < VT_BLOCK_SIZES ? class : VT_BLOCK_SIZES - 1;
}

static __noinline void report_slow(struct vt_slow_request *slow)
{
    if (bpf_ringbuf_output(&block_slow, slow, sizeof(*slow), BPF_RB_NO_WAKEUP))
        __sync_fetch_and_add(&block_slow_dropped, 1);
}

static __always_inline __u64 issued_at(struct request *rq)
{
    __u64 issued = rq->io_start_time_ns;

    if (block_keep_issues) {
        __u64 at = (__u64)rq, *kept = bpf_map_lookup_elem(&block_issued, &at);

        if (!kept)
            return issued;
        if (!issued)
            issued = *kept;
        bpf_map_delete_elem(&block_issued, &at);
    }
    return issued;
}

/*
 * (request, status, bytes). May come more than once for a request: as a part of it completes, and for one that
 * flushes the device's cache before or after its data.
 */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_complete, struct request *rq, int error, unsigned int bytes)
{
    struct vt_slow_request slow = {};
    bool whole = bytes >= rq->__data_len;
    __u64 now, start, issued = 0;
    __u32 rq_flags = rq->rq_flags;
    struct vt_block_stat *stat;
    __u32 slot;

    if (whole)
        issued = issued_at(rq);
    slot = slot_of(rq, &slow.key);
    if (slot == VT_BLOCK_SLOT_EXCLUDED)
        return 0;
    stat = block_stat(slot);
    if (!stat)
        return 0;
    stat->bytes += bytes;
    if (!whole)
        return 0;
    if (bytes)
        stat->sizes[size_class(bytes) & (VT_BLOCK_SIZES - 1)]++;
    /* The kernel counts a flush of the cache whether there are statistics or not: blk_account_io_flush(). */
    if (slow.key.op != VT_REQ_OP_FLUSH) {
        if (rq_flags & block_flag_flush_seq)
            return 0; /* its data; it comes again when the cache has been flushed */
        if (!(rq_flags & block_flag_io_stat))
            stat->unaccounted++;
    }
    stat->count++;
    if (slot == VT_BLOCK_SLOT_OTHER)
        __sync_fetch_and_add(&block_map_full, 1);
    stat->errors += error != 0;
    start = rq->start_time_ns;
    if (!start) {
        stat->untimed++;
        return 0;
    }
    now = bpf_ktime_get_ns();
    if (now < start || (issued && (now < issued || issued < start))) {
        __sync_fetch_and_add(&block_clock_anomaly, 1);
        return 0;
    }
    slow.total = now - start;
    hist_add_in(&stat->total, slow.total, 0, block_epoch);
    if (issued) {
        slow.queue = issued - start;
        slow.device = now - issued;
        hist_add_in(&stat->queue, slow.queue, 0, block_epoch);
        hist_add_in(&stat->device, slow.device, 0, block_epoch);
    } else if (bytes) { /* else it only waited for the cache to be flushed */
        stat->unsplit++;
        stat->unsplit_time += slow.total;
        __sync_fetch_and_add(&block_unsplit, 1);
    }
    if (block_slower_ns && slow.total >= block_slower_ns) {
        slow.end = now;
        slow.sector = rq->__sector;
        slow.bytes = bytes;
        slow.error = error;
        slow.unsplit = !issued;
        report_slow(&slow);
    }
    return 0;
}

/* By slot: where the request that was issued last ends on the disk. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} block_last_end SEC(".maps");

static __always_inline void look_at_pattern(struct request *rq)
{
    struct vt_request_key key = {};
    __u32 slot = slot_of(rq, &key), length = rq->__data_len;
    __u64 sector = rq->__sector, *end;
    struct vt_block_stat *stat;

    if (slot == VT_BLOCK_SLOT_EXCLUDED || !length)
        return;
    end = bpf_map_lookup_elem(&block_last_end, &slot);
    stat = block_stat(slot);
    if (!end || !stat)
        return;
    if (*end && *end == sector) /* the first one is neither */
        stat->sequential++;
    else if (*end)
        stat->random++;
    *end = sector + (length >> 9);
}

/* (request): issued to the driver; only where it is asked for, or the kernel does not keep when */
SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_issue, struct request *rq)
{
    __u64 at = (__u64)rq, now;

    if (block_keep_issues) {
        now = bpf_ktime_get_ns();
        if (bpf_map_update_elem(&block_issued, &at, &now, BPF_ANY))
            __sync_fetch_and_add(&block_issues_dropped, 1);
    }
    if (block_pattern)
        look_at_pattern(rq);
    return 0;
}

/* (request): back from the driver to the queue */
SEC("tp_btf/block_rq_requeue")
int BPF_PROG(block_requeue, struct request *rq)
{
    struct vt_request_key key = {};
    struct vt_block_stat *stat;
    __u32 slot = slot_of(rq, &key);

    if (slot == VT_BLOCK_SLOT_EXCLUDED)
        return 0;
    stat = block_stat(slot);
    if (stat)
        stat->requeued++;
    return 0;
}

/* ---- what has not completed ---- */

struct vt_block_walk block_walk = {};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, VT_BLOCK_OPEN_MOST);
    __type(key, __u32);
    __type(value, struct vt_block_open);
} block_open SEC(".maps");

/* The hardware queue whose directory in sysfs the current process has open; NULL if it is being removed. */
static __always_inline struct blk_mq_hw_ctx *queue_at(__u32 fd)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    struct file **files = BPF_CORE_READ(task, files, fdt, fd), *file = NULL;
    struct kernfs_node *node;
    void *object;

    bpf_probe_read_kernel(&file, sizeof(file), files + fd);
    node = BPF_CORE_READ(file, f_inode, i_private);
    if (!node || BPF_CORE_READ(node, active.counter) < 0)
        return NULL;
    object = BPF_CORE_READ(node, priv);
    return object ? object - bpf_core_field_offset(struct blk_mq_hw_ctx, kobj) : NULL;
}

static __always_inline void add_open(struct vt_block_open *open)
{
    __u32 at = block_walk.open;

    if (at < VT_BLOCK_OPEN_MOST && !bpf_map_update_elem(&block_open, &at, open, BPF_ANY))
        block_walk.open = at + 1;
    else
        block_walk.cut = 1;
}

static __always_inline int references_of(struct request *rq)
{
    struct request___until_5_15 *old = (void *)rq;
    struct request___since_5_16 *new = (void *)rq;

    if (bpf_core_field_exists(old->ref.refs))
        return BPF_CORE_READ(old, ref.refs.counter);
    return BPF_CORE_READ(new, ref.counter);
}

/* Not static: the verifier then looks at it once, not at each turn of the loop. */
__noinline int look_at_request(__u64 request, __u64 queue)
{
    struct request *rq = (void *)request;
    struct vt_block_open open = {.count = 1};

    if (!references_of(rq) || (__u64)BPF_CORE_READ(rq, mq_hctx) != queue)
        return 0;
    read_key(rq, disk_of(rq, false), &open.key, false);
    /* One that is being made, or has completed. */
    if (open.key.origin == VT_BLOCK_NOBODY && open.key.op < VT_REQ_OP_DRV_IN)
        return 0;
    open.sector = BPF_CORE_READ(rq, __sector);
    open.bytes = BPF_CORE_READ(rq, __data_len);
    open.start = BPF_CORE_READ(rq, start_time_ns);
    open.stage = BPF_CORE_READ(rq, state) == bpf_core_enum_value(enum mq_rq_state, MQ_RQ_IDLE)
                     ? VT_BLOCK_QUEUED
                     : VT_BLOCK_ISSUED;
    if (open.stage == VT_BLOCK_ISSUED)
        open.issued = BPF_CORE_READ(rq, io_start_time_ns);
    add_open(&open);
    return 0;
}

#define AT_ONCE 8

/* Of a run by user space: (descriptor, number of the first request to look at). */
SEC("raw_tp/block_rq_complete")
int BPF_PROG(block_find_open, __u64 fd, __u64 from)
{
    struct blk_mq_hw_ctx *queue = queue_at(fd);
    struct request **requests, *some[AT_ONCE] = {};
    __u32 of_scheduler, number = from, end;
    struct blk_mq_tags *scheduled, *tags;

    block_walk.open = 0;
    block_walk.requests = 0;
    block_walk.next = 0;
    if (!queue)
        return 0;
    /* With a scheduler requests have its tags; those that pass it by, the driver's. */
    scheduled = BPF_CORE_READ(queue, sched_tags);
    tags = BPF_CORE_READ(queue, tags);
    of_scheduler = scheduled ? BPF_CORE_READ(scheduled, nr_tags) : 0;
    end = of_scheduler + BPF_CORE_READ(tags, nr_tags);
    block_walk.requests = end;
    if (!number)
        look_at_request((__u64)BPF_CORE_READ(queue, fq, flush_rq), (__u64)queue);
    if (number < of_scheduler) {
        requests = BPF_CORE_READ(scheduled, static_rqs) + number;
        end = of_scheduler;
    } else {
        requests = BPF_CORE_READ(tags, static_rqs) + (number - of_scheduler);
    }
    for (int i = 0; i < VT_BLOCK_WALK_STEP / AT_ONCE && number < end; i++) {
        bpf_probe_read_kernel(some, sizeof(some), requests + i * AT_ONCE);
#pragma clang loop unroll(full)
        for (int k = 0; k < AT_ONCE; k++, number++) {
            if (number < end)
                look_at_request((__u64)some[k], (__u64)queue);
        }
    }
    block_walk.next = number < end ? number : end;
    return 0;
}

static __always_inline __u32 bios_held(struct throtl_grp *group)
{
    struct throtl_service_queue___until_6_15 *old = (void *)&group->service_queue;
    struct throtl_service_queue___since_6_16 *queue = (void *)&group->service_queue;

    if (bpf_core_field_exists(old->nr_queued))
        return BPF_CORE_READ(old, nr_queued[0]) + BPF_CORE_READ(old, nr_queued[1]);
    return BPF_CORE_READ(queue, nr_queued_bps[0]) + BPF_CORE_READ(queue, nr_queued_bps[1]) +
           BPF_CORE_READ(queue, nr_queued_iops[0]) + BPF_CORE_READ(queue, nr_queued_iops[1]);
}

/* The limits of a cgroup on a device, among what all policies keep of it; NULL if it has none. */
static __always_inline struct throtl_grp *limits_of(struct blkcg_gq *blkg, struct throtl_data *td)
{
    for (int policy = 0; policy < 6; policy++) {
        struct throtl_grp *group = NULL;

        bpf_core_read(&group, sizeof(group), &blkg->pd[policy]);
        if (group && BPF_CORE_READ(group, td) == td)
            return group;
    }
    return NULL;
}

/* What is not static is verified on its own, called or not (until 6.7): it asks itself for the types it needs. */
__noinline int look_at_cgroup(__u64 on_queue, __u64 limits)
{
    struct blkcg_gq *blkg = (void *)on_queue;
    struct vt_block_open open = {.stage = VT_BLOCK_HELD_BY_LIMIT};
    struct throtl_grp *group;

    if (!bpf_core_type_exists(struct throtl_grp))
        return 0;
    group = limits_of(blkg, (void *)limits);
    if (!group)
        return 0;
    open.count = bios_held(group);
    open.key.cgroup_id = BPF_CORE_READ(blkg, blkcg, css.cgroup, kn, id);
    if (open.count)
        add_open(&open);
    return 0;
}

/* Which cgroups' own limits hold bios back. */
__noinline int look_at_limits(__u64 disk)
{
    struct request_queue *queue = (void *)disk;
    struct list_head *head, *at;
    struct throtl_data *td;

    if (!bpf_core_field_exists(queue->td))
        return 0;
    td = BPF_CORE_READ(queue, td);
    if (!td || !(BPF_CORE_READ(td, nr_queued[0]) + BPF_CORE_READ(td, nr_queued[1])))
        return 0;
    head = (void *)queue + bpf_core_field_offset(struct request_queue, blkg_list);
    at = BPF_CORE_READ(head, next);
    for (int i = 0; i < VT_BLOCK_WALK_CGROUPS && at && at != head; i++) {
        struct list_head *next = BPF_CORE_READ(at, next);

        look_at_cgroup((__u64)at - bpf_core_field_offset(struct blkcg_gq, q_node), (__u64)td);
        at = next;
    }
    block_walk.cut |= at != head;
    return 0;
}

__noinline int look_at_share(__u64 active)
{
    struct vt_block_open open = {.stage = VT_BLOCK_HELD_BY_COST, .count = 1};
    struct list_head *waiters, *first;
    struct ioc_gq *group;

    if (!bpf_core_type_exists(struct ioc_gq))
        return 0;
    group = (void *)active - bpf_core_field_offset(struct ioc_gq, active_list);
    waiters = (void *)group + bpf_core_field_offset(struct ioc_gq, waitq.head);
    first = BPF_CORE_READ(waiters, next);
    open.key.cgroup_id = BPF_CORE_READ(group, pd.blkg, blkcg, css.cgroup, kn, id);
    if (first && first != waiters)
        add_open(&open);
    return 0;
}

/* Which cgroups iocost holds back: tasks wait for each in a queue of its own. */
__noinline int look_at_cost(__u64 qos)
{
    struct list_head *head, *at;
    struct ioc *cost;

    if (!bpf_core_type_exists(struct ioc))
        return 0;
    cost = (void *)qos - bpf_core_field_offset(struct ioc, rqos);
    head = (void *)cost + bpf_core_field_offset(struct ioc, active_iocgs);
    at = BPF_CORE_READ(head, next);
    for (int i = 0; i < VT_BLOCK_WALK_CGROUPS && at && at != head; i++) {
        struct list_head *next = BPF_CORE_READ(at, next);

        if (next == at)
            return 0; /* it was taken out meanwhile */
        look_at_share((__u64)at);
        at = next;
    }
    block_walk.cut |= at != head;
    return 0;
}

static __always_inline bool is_flusher(struct worker *worker)
{
    const char flush[] = {'f', 'l', 'u', 's', 'h', '-'};
    char does[sizeof(flush)] = {};

    bpf_core_read(does, sizeof(does), &worker->desc);
#pragma clang loop unroll(full)
    for (__u32 i = 0; i < sizeof(flush); i++) {
        if (does[i] != flush[i])
            return false;
    }
    return true;
}

/* The cgroup whose pages a thread of the kernel writes back; NULL if it does not do that. */
static __always_inline struct cgroup *flushed_cgroup(struct task_struct *task)
{
    struct task_struct___until_5_16 *old = (void *)task;
    struct task_struct___since_5_17 *new = (void *)task;
    struct bdi_writeback *pages;
    struct kthread *thread;
    struct worker *worker;

    if (!(BPF_CORE_READ(task, flags) & PF_WQ_WORKER))
        return NULL;
    if (bpf_core_field_exists(new->worker_private))
        thread = BPF_CORE_READ(new, worker_private);
    else
        thread = BPF_CORE_READ(old, set_child_tid);
    worker = BPF_CORE_READ(thread, data);
    pages = (void *)BPF_CORE_READ(worker, current_work) -
            bpf_core_field_offset(struct bdi_writeback, dwork.work);
    if (!is_flusher(worker) || !bpf_core_field_exists(pages->blkcg_css))
        return NULL;
    return BPF_CORE_READ(pages, blkcg_css, cgroup);
}

/* What waits here are writes of pages, and discards. */
static __always_inline void key_of_waiter(struct vt_request_key *key, struct task_struct *task)
{
    __u64 io = bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id);
    bool of_kernel = BPF_CORE_READ(task, flags) & PF_KTHREAD;
    struct cgroup *cgroup = of_kernel ? flushed_cgroup(task) : read_controller_cgroup(task, io);

    key->origin = VT_BLOCK_NOBODY;
    if (!cgroup)
        return;
    key->origin =
        of_kernel && !BPF_CORE_READ(cgroup, self.parent) ? VT_BLOCK_WRITEBACK : VT_BLOCK_OF_CGROUP;
    if (key->origin == VT_BLOCK_OF_CGROUP)
        key->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
}

__noinline int look_at_waiter(__u64 entry, __u64 queue)
{
    struct rq_qos_wait_data *wait =
        (void *)entry - bpf_core_field_offset(struct rq_qos_wait_data, wq.entry);
    struct rq_qos_wait_data___until_6_14 *old = (void *)wait;
    struct vt_block_open open = {.stage = VT_BLOCK_HELD_BY_WBT, .count = 1};
    struct task_struct *task;

    if (bpf_core_field_exists(old->task))
        task = BPF_CORE_READ(old, task);
    else
        task = BPF_CORE_READ(wait, wq.private);
    /* One that does not wait any more has something else on its stack. */
    if (!task || (__u64)BPF_CORE_READ(wait, rqw) != queue)
        return 0;
    key_of_waiter(&open.key, task);
    add_open(&open);
    return 0;
}

__noinline int look_at_waiters(__u64 queue)
{
    struct list_head *head = (void *)queue + bpf_core_field_offset(struct rq_wait, wait.head);
    struct list_head *at = BPF_CORE_READ(head, next), *next;

    for (int i = 0; i < VT_BLOCK_WALK_WAITERS && at && at != head; i++) {
        next = BPF_CORE_READ(at, next);
        look_at_waiter((__u64)at, queue);
        if (next == at)
            return 0; /* it was taken out meanwhile */
        at = next;
    }
    block_walk.cut |= at && at != head;
    return 0;
}

/* Whom the kernel lets wait for the sake of others, by means that a disk may have more than one of. */
__noinline int look_at_qos(__u64 disk)
{
    struct rq_qos *qos = BPF_CORE_READ((struct request_queue *)disk, rq_qos);
    struct rq_wb *throttling;

    for (int i = 0; i < 4 && qos; i++) {
        __u32 id = BPF_CORE_READ(qos, id);

        if (bpf_core_type_exists(struct ioc) &&
            id == bpf_core_enum_value(enum rq_qos_id, RQ_QOS_COST))
            look_at_cost((__u64)qos);
        if (bpf_core_type_exists(struct rq_wb) &&
            id == bpf_core_enum_value(enum rq_qos_id, RQ_QOS_WBT)) {
            throttling = (void *)qos - bpf_core_field_offset(struct rq_wb, rqos);
            look_at_waiters((__u64)&throttling->rq_wait[0]);
            look_at_waiters((__u64)&throttling->rq_wait[1]);
            look_at_waiters((__u64)&throttling->rq_wait[2]);
        }
        qos = BPF_CORE_READ(qos, next);
    }
    return 0;
}

/* Of a run by user space: (descriptor). Whose bios are held back on the disk before they are requests. */
SEC("raw_tp/block_rq_complete")
int BPF_PROG(block_find_held, __u64 fd)
{
    struct blk_mq_hw_ctx *queue = queue_at(fd);
    struct request_queue *disk;

    block_walk.open = 0;
    block_walk.cut = 0;
    if (!queue)
        return 0;
    disk = BPF_CORE_READ(queue, queue);
    look_at_limits((__u64)disk);
    look_at_qos((__u64)disk);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
