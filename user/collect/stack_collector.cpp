// SPDX-License-Identifier: GPL-2.0-only
#include "collect/stack_collector.h"

#include "collect/reasons.h"
#include "collect/task_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <tuple>

namespace vtrace {
namespace {

constexpr const char* kUserNotTaken = "[user stack not taken]";
constexpr const char* kKernelNotTaken = "[kernel stack not taken]";
constexpr const char* kLost = "[stack lost]";
constexpr const char* kEnded = "[process ended]";
constexpr const char* kUnnamed = "[unknown]";

std::string comm_string(const char (&comm)[VT_COMM_LEN])
{
    return {comm, ::strnlen(comm, sizeof(comm))};
}

std::span<const uint64_t> frames_in(const vt_stack& stack)
{
    // The kernel's u64 is another type of the same size.
    static_assert(sizeof(stack.frames[0]) == sizeof(uint64_t));
    return {reinterpret_cast<const uint64_t*>(stack.frames),
            std::min<size_t>(stack.count, VT_FRAMES)};
}

ProcessImage image_of(const vt_stack& stack)
{
    return {.start_time = stack.start_time,
            .start_code = stack.start_code,
            .start_stack = stack.start_stack};
}

// All keys of a hash that nobody adds to.
template <typename Key> std::vector<Key> keys_of(int map)
{
    std::vector<Key> keys;
    Key key{};
    const Key* previous = nullptr;
    while (bpf_map_get_next_key(map, previous, &key) == 0) {
        keys.push_back(key);
        previous = &keys.back();
    }
    return keys;
}

// Blocks that differ only in where they lie in a function, or in whose slot it was, are one.
void merge_blocks(std::vector<Block>& blocks)
{
    const auto identity = [](const Block& b) {
        return std::tie(b.owner, b.tgid, b.comm, b.reason, b.user, b.kernel, b.tid);
    };
    std::ranges::sort(blocks,
                      [&](const Block& a, const Block& b) { return identity(a) < identity(b); });
    std::vector<Block> merged;
    for (Block& block : blocks) {
        if (merged.empty() || identity(merged.back()) != identity(block)) {
            merged.push_back(std::move(block));
            continue;
        }
        merged.back().count += block.count;
        merged.back().ns += block.ns;
        merged.back().max_ns = std::max(merged.back().max_ns, block.max_ns);
    }
    std::ranges::stable_sort(merged, std::greater{}, &Block::ns);
    blocks = std::move(merged);
}

} // namespace

void StackCollector::prepare(BpfObject& object, const StackConfig& config)
{
    auto& maps = object->maps;
    prepare_task_maps(
        maps.user_stacks, maps.user_stacks_hash,
        {.wanted = config.on, .task_storage = config.task_storage, .threads = config.threads});
    for (bpf_map* map : {maps.stack_frames, maps.stack_scratch, maps.new_stacks,
                         maps.block_totals_0, maps.block_totals_1, maps.block_window})
        bpf_map__set_autocreate(map, config.on);
    bpf_program__set_autoload(object->progs.sched_open_blocks, config.on);

    auto* rodata = object->rodata;
    rodata->stacks = config.on;
    rodata->block_min_ns = config.min_ns;
    rodata->block_max_ns = config.max_ns;
    rodata->blocked_only = config.blocked_only;
    std::random_device random;
    rodata->stack_seed = uint64_t{random()} << 32U | random();
}

Result<std::unique_ptr<StackCollector>> StackCollector::start(BpfObject& object,
                                                              const StackConfig& config)
{
    std::unique_ptr<StackCollector> self(new StackCollector(object, config));
    self->ring_.reset(
        ring_buffer__new(bpf_map__fd(object->maps.new_stacks), on_new_stack, self.get(), nullptr));
    if (!self->ring_)
        return errno_error("cannot read new stacks");
    auto attached = attach(object->progs.sched_open_blocks);
    if (!attached)
        return attached.error();
    self->open_blocks_ = std::move(*attached);
    return self;
}

int StackCollector::on_new_stack(void* self, void* data, size_t size)
{
    uint64_t id = 0;
    std::memcpy(&id, data, std::min(size, sizeof(id)));
    static_cast<StackCollector*>(self)->new_.push_back(id);
    return 0;
}

int StackCollector::map_of_window(uint64_t window) const
{
    auto& maps = (*object_)->maps;
    return bpf_map__fd(window % 2 == 0 ? maps.block_totals_0 : maps.block_totals_1);
}

// From now on blocks are added up in the other table. The kernel returns once no program uses this one.
Status StackCollector::next_window()
{
    const uint32_t zero = 0;
    const int next = map_of_window(window_ + 1);
    if (bpf_map_update_elem(bpf_map__fd((*object_)->maps.block_window), &zero, &next, BPF_ANY) != 0)
        return errno_error("cannot start a new table of stacks");
    window_++;
    return ok();
}

Status StackCollector::begin()
{
    if (auto next = next_window(); !next)
        return next;
    const int old = map_of_window(window_ - 1);
    for (const auto& key : keys_of<vt_block_key>(old))
        bpf_map_delete_elem(old, &key);
    before_ = (*object_)->bss->stack_losses;
    return ok();
}

void StackCollector::poll()
{
    ring_buffer__consume(ring_.get());
    name_new();
}

void StackCollector::name_new()
{
    const int map = bpf_map__fd((*object_)->maps.stack_frames);
    std::map<uint32_t, std::vector<std::pair<uint64_t, vt_stack>>> processes;
    for (const uint64_t id : new_) {
        vt_stack stack{};
        if (bpf_map_lookup_elem(map, &id, &stack) == 0)
            processes[stack.tgid].emplace_back(id, stack);
    }
    new_.clear();
    for (const auto& [pid, stacks] : processes)
        name_process(pid, stacks);
}

void StackCollector::name_process(uint32_t pid,
                                  const std::vector<std::pair<uint64_t, vt_stack>>& stacks)
{
    if (!knows_processes_) {
        for (const auto& [id, stack] : stacks) {
            named_[id].used = window_;
            named_[id].frames = {kUnnamed};
        }
        return;
    }
    const auto before = read_image(pid);
    const auto maps = read_maps(pid);
    for (const auto& [id, stack] : stacks) {
        Named& named = named_[id];
        named.used = window_;
        if (before && maps && *before == image_of(stack))
            named.frames = names_.user(pid, *maps, frames_in(stack));
        else
            named.frames = {kEnded};
    }
    // The maps may have been those of the next program in this process.
    const auto after = read_image(pid);
    if (before && after && *before == *after)
        return;
    for (const auto& [id, stack] : stacks)
        named_[id].frames = {kEnded};
}

const std::vector<std::string>& StackCollector::frames_of(uint64_t id, bool kernel)
{
    static const std::vector<std::string> none;
    static const std::vector<std::string> lost{kLost};
    static const std::vector<std::string> user_not_taken{kUserNotTaken};
    static const std::vector<std::string> kernel_not_taken{kKernelNotTaken};
    if (id == VT_STACK_NONE)
        return none;
    if (id == VT_STACK_NOT_TAKEN)
        return kernel ? kernel_not_taken : user_not_taken;
    const auto known = named_.find(id);
    if (known != named_.end()) {
        known->second.used = window_;
        return known->second.frames;
    }
    vt_stack stack{};
    if (id == VT_STACK_LOST ||
        bpf_map_lookup_elem(bpf_map__fd((*object_)->maps.stack_frames), &id, &stack) != 0)
        return lost;
    if (stack.tgid != 0)
        name_process(stack.tgid, {{id, stack}}); // its notice was lost
    else
        named_[id] = {.frames = names_.kernel(frames_in(stack)), .used = window_};
    return named_[id].frames;
}

// Makes room in the table of stacks. A program that has just found one there is in the window that is
// read next: until then its name is kept.
void StackCollector::forget_unused()
{
    constexpr uint64_t kKeep = 10; // reports
    const int map = bpf_map__fd((*object_)->maps.stack_frames);
    for (const auto& [id, named] : named_) {
        if (window_ - named.used == kKeep)
            bpf_map_delete_elem(map, &id);
    }
    std::erase_if(named_, [&](const auto& n) { return window_ - n.second.used > kKeep + 1; });
}

Block StackCollector::block_of(const vt_block_key& key, StackSnapshot& stacks,
                               const OwnerOf& owner_of)
{
    const auto intern = [&](const std::vector<std::string>& names) {
        std::vector<uint32_t> numbers;
        numbers.reserve(names.size());
        for (const std::string& name : names) {
            const auto [at, is_new] =
                interned_.try_emplace(name, static_cast<uint32_t>(stacks.frames.size()));
            if (is_new)
                stacks.frames.push_back(name);
            numbers.push_back(at->second);
        }
        return numbers;
    };
    return {.owner = owner_of(key.slot),
            .tgid = key.tgid,
            .comm = comm_string(key.comm),
            .reason = std::string(reason_name(key.reason)),
            .user = intern(frames_of(key.user_stack, false)),
            .kernel = intern(frames_of(key.kernel_stack, true))};
}

Status StackCollector::read_ended(int totals, StackSnapshot& stacks, const OwnerOf& owner_of)
{
    for (const auto& key : keys_of<vt_block_key>(totals)) {
        vt_block_total total{};
        if (bpf_map_lookup_elem(totals, &key, &total) != 0)
            return errno_error("cannot read the times of stacks");
        bpf_map_delete_elem(totals, &key);
        Block block = block_of(key, stacks, owner_of);
        block.count = total.count;
        block.ns = total.ns;
        block.max_ns = total.max;
        stacks.ended.push_back(std::move(block));
    }
    merge_blocks(stacks.ended);
    return ok();
}

Status StackCollector::read_open(StackSnapshot& stacks, const OwnerOf& owner_of)
{
    const auto open = run_iterator(open_blocks_.get(), "task");
    if (!open)
        return open.error();
    poll(); // it found new stacks
    for (size_t at = 0; at + sizeof(vt_open_block) <= open->size(); at += sizeof(vt_open_block)) {
        vt_open_block found{};
        std::memcpy(&found, open->data() + at, sizeof(found));
        Block block = block_of(found.key, stacks, owner_of);
        block.count = 1;
        block.ns = found.ns;
        block.max_ns = found.ns;
        block.tid = found.tid;
        stacks.open.push_back(std::move(block));
    }
    merge_blocks(stacks.open);
    return ok();
}

void StackCollector::read_losses(Loss& loss)
{
    const vt_stack_losses now = (*object_)->bss->stack_losses;
    loss.stacks_not_taken += now.not_taken - before_.not_taken;
    loss.stacks_lost += now.lost - before_.lost;
    loss.blocks_lost += now.blocks_lost - before_.blocks_lost;
    loss.blocks_lost_ns += now.blocks_lost_ns - before_.blocks_lost_ns;
    loss.stacks_unnoticed += now.unnoticed - before_.unnoticed;
    before_ = now;
    if (names_.kernel_hidden())
        loss.fallbacks.emplace_back(
            "the kernel hides its symbols (kernel.kptr_restrict): addresses serve");
    if (!knows_processes_)
        loss.fallbacks.emplace_back(
            "in a time namespace of its own vtrace cannot tell processes apart: "
            "their functions have no names");
}

Status StackCollector::read(Snapshot& snapshot, const OwnerOf& owner_of)
{
    StackSnapshot& stacks = snapshot.stacks;
    stacks.min_ns = config_.min_ns;
    stacks.max_ns = config_.max_ns;
    interned_.clear();
    const int totals = map_of_window(window_);
    if (auto next = next_window(); !next)
        return next;
    poll();
    if (auto read = read_ended(totals, stacks, owner_of); !read)
        return read;
    if (auto read = read_open(stacks, owner_of); !read)
        return read;
    read_losses(snapshot.loss);
    forget_unused();
    return ok();
}

} // namespace vtrace
