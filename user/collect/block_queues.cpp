// SPDX-License-Identifier: GPL-2.0-only
#include "collect/block_queues.h"

#include "base/files.h"
#include "base/numbers.h"
#include "base/printable.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace vtrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDisks = "/sys/block";

std::vector<fs::path> entries_of(const fs::path& directory)
{
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        found.push_back(at->path());
    std::ranges::sort(found);
    return found;
}

// "8:0".
std::optional<uint32_t> device_number(std::string_view text)
{
    const auto parts = split(trimmed(text), ':');
    if (parts.size() != 2)
        return std::nullopt;
    const auto major = whole_number(parts[0]);
    const auto minor = whole_number(parts[1]);
    constexpr uint64_t kMajors = 1U << 12;
    constexpr uint64_t kMinors = 1U << 20;
    if (!major || !minor || *major >= kMajors || *minor >= kMinors)
        return std::nullopt;
    return static_cast<uint32_t>(*major << 20 | *minor);
}

std::optional<Disk> disk_at(const fs::path& directory)
{
    std::error_code error;
    const bool has_queues = fs::exists(directory / "mq", error);
    const auto text = read_file(directory / "dev");
    const auto number = text ? device_number(*text) : std::nullopt;
    if (!number && !has_queues)
        return std::nullopt;
    return Disk{
        .number = number.value_or(0), .name = directory.filename(), .bio_based = !has_queues};
}

// One without a sector (a loop device without a file, a drive without a medium) has no I/O.
bool has_no_sector(const fs::path& directory)
{
    const auto size = read_file(directory / "size");
    return size && trimmed(*size) == "0";
}

uint64_t inode_of(const fs::path& path)
{
    struct stat st = {};
    return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// A descriptor for each queue of each disk: the limit that is meant for select(2) is too low for that.
void raise_descriptor_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

} // namespace

std::vector<Disk> disks_present()
{
    std::vector<Disk> disks;
    for (const fs::path& directory : entries_of(kDisks)) {
        if (auto disk = disk_at(directory))
            disks.push_back(std::move(*disk));
    }
    return disks;
}

Result<Disk> find_disk(const std::string& name)
{
    constexpr std::string_view kDev = "/dev/";
    const std::string wanted = name.starts_with(kDev) ? name.substr(kDev.size()) : name;
    const auto number = device_number(wanted);
    std::string names;
    for (Disk& disk : disks_present()) {
        std::error_code error;
        if (disk.number == 0)
            continue;
        const bool part = !wanted.empty() && wanted.find('/') == std::string::npos &&
                          wanted != "." && wanted != ".." &&
                          fs::exists(fs::path(kDisks) / disk.name / wanted / "partition", error);
        if (disk.name == wanted || part || (number && *number == disk.number))
            return std::move(disk);
        names += (names.empty() ? "" : ", ") + printable(disk.name);
    }
    return Error{.what = "--dev " + printable(name) + ": no such disk",
                 .hint = names.empty() ? "there is no disk at all" : "there are: " + names,
                 .exit = ExitCode::kUsage};
}

Result<BlockQueues> BlockQueues::start(BpfObject& object)
{
    raise_descriptor_limit();
    BlockQueues queues(object);
    auto open =
        MappedArray<vt_block_open>::map(bpf_map__fd(object->maps.block_open), VT_BLOCK_OPEN_MOST);
    if (!open)
        return open.error();
    queues.open_ = std::move(*open);
    queues.update();
    return queues;
}

void BlockQueues::update()
{
    std::map<std::string, Queue> now;
    closed_ = 0;
    for (const fs::path& directory : entries_of(kDisks)) {
        const auto disk = disk_at(directory);
        if (!disk || disk->bio_based || has_no_sector(directory))
            continue;
        bool first = true;
        for (const fs::path& path : entries_of(directory / "mq")) {
            const uint64_t inode = inode_of(path);
            const auto known = queues_.find(path);
            Queue queue;
            if (known != queues_.end() && known->second.inode == inode)
                queue.directory = std::move(known->second.directory);
            else
                queue.directory = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!queue.directory) {
                closed_++;
                continue;
            }
            queue.inode = inode;
            queue.device = disk->number;
            queue.first = std::exchange(first, false);
            now.emplace(path, std::move(queue));
        }
    }
    queues_ = std::move(now);
}

bool BlockQueues::run(bpf_program* program, uint32_t fd, uint32_t from)
{
    std::array<uint64_t, 2> arguments = {fd, from};
    bpf_test_run_opts options = {};
    options.sz = sizeof(options);
    options.ctx_in = arguments.data();
    options.ctx_size_in = sizeof(arguments);
    if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0)
        return true;
    failed_++;
    return false;
}

void BlockQueues::each_found(uint32_t device, const Found& found)
{
    const uint32_t count = std::min<uint32_t>((*object_)->bss->block_walk.open, VT_BLOCK_OPEN_MOST);
    for (uint32_t i = 0; i < count; i++) {
        vt_block_open open = open_.values()[i];
        if (device != 0)
            open.key.device = device;
        found(open);
    }
}

void BlockQueues::walk(uint32_t device, bool held, const Found& found)
{
    auto& progs = (*object_)->progs;
    const vt_block_walk& walked = (*object_)->bss->block_walk;
    for (const auto& [path, queue] : queues_) {
        if (device != 0 && queue.device != device)
            continue;
        const auto fd = static_cast<uint32_t>(queue.directory.get());
        if (held && queue.first && run(progs.block_find_held, fd, 0)) {
            failed_ += walked.cut != 0 ? 1 : 0;
            each_found(queue.device, found);
        }
        for (uint32_t from = 0; run(progs.block_find_open, fd, from); from = walked.next) {
            each_found(queue.device, found);
            if (walked.next <= from || walked.next >= walked.requests)
                break;
        }
    }
}

} // namespace vtrace
