// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/frame_names.h"

#include "base/fd.h"
#include "base/files.h"
#include "symbol/demangle.h"
#include "symbol/kernel_symbols.h"
#include "symbol/perf_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

namespace vtrace {
namespace {

// The file that is mapped, also one that was deleted or lies in another mount namespace. Where only root
// may do that, the file of that name, if it is still the same one.
Fd open_mapped(uint32_t pid, const Mapping& map, struct stat& status)
{
    const std::array paths{fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, map.start, map.end),
                           fmt::format("/proc/{}/root{}", pid, map.path)};
    for (const std::string& path : paths) {
        Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (fd && ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode) &&
            (&path == paths.data() || status.st_ino == map.inode))
            return fd;
    }
    return {};
}

FileKey key_of(const struct stat& status)
{
    return {status.st_dev, status.st_ino, status.st_size,
            status.st_ctim.tv_sec * int64_t{1'000'000'000} + status.st_ctim.tv_nsec};
}

// Where code is that no file has: what a compiler at run time writes to. Some share it, as
// a memfd or as no file at all (/dev/zero).
bool is_written_at_run_time(const Mapping& map)
{
    return map.path.empty() || map.path.starts_with("[anon") || map.path.starts_with("/memfd:") ||
           map.path == "/dev/zero";
}

} // namespace

const ElfSymbols* FrameNames::vdso()
{
    if (!vdso_) {
        // Every process has the same one. Which number this one has is a matter of PID namespaces.
        const uint64_t address = ::getauxval(AT_SYSINFO_EHDR);
        const auto text = read_file("/proc/self/maps");
        const auto maps = parse_maps(text ? *text : "");
        const Mapping* map = find_mapping(maps, address);
        if (map == nullptr)
            return nullptr;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel gives the address as a number
        const auto* image = reinterpret_cast<const char*>(address);
        auto read = ElfSymbols::read(image, map->end - map->start);
        if (!read)
            return nullptr;
        vdso_ = std::move(*read);
    }
    return &*vdso_;
}

const ElfSymbols* FrameNames::symbols_of(uint32_t pid, const Mapping& map)
{
    constexpr size_t kMostBytes = 256U << 20U;
    if (map.path == "[vdso]")
        return vdso();
    if (map.inode == 0)
        return nullptr;
    struct stat status {};
    const Fd fd = open_mapped(pid, map, status);
    if (!fd)
        return nullptr;
    const FileKey key = key_of(status);
    if (const auto known = files_.find(key); known != files_.end())
        return &known->second;
    auto read = ElfSymbols::read(fd.get());
    if (!read)
        return nullptr;
    if (file_bytes_ + read->bytes() > kMostBytes) {
        files_.clear();
        file_bytes_ = 0;
    }
    file_bytes_ += read->bytes();
    return &files_.emplace(key, std::move(*read)).first->second;
}

const SymbolTable& FrameNames::compiled_by(uint32_t pid)
{
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::seconds kReadAgain(1); // at the earliest: it may grow all the time
    constexpr size_t kMostProcesses = 256;
    constexpr size_t kMostBytes = 256U << 20U;
    const auto now = Clock::now();
    if (compiled_.size() > kMostProcesses || compiled_bytes_ > kMostBytes) {
        compiled_.clear();
        compiled_bytes_ = 0;
    }
    const auto [at, is_new] = compiled_.try_emplace(pid);
    CompiledCode& code = at->second;
    if (!is_new && now - code.read < kReadAgain)
        return code.table;
    code.read = now;
    struct stat status {};
    const Fd fd = open_perf_map(pid);
    if (fd)
        ::fstat(fd.get(), &status);
    if (const FileKey key = key_of(status); key != code.key) {
        compiled_bytes_ -= code.table.bytes();
        code.key = key;
        code.table = parse_perf_map(fd ? read_perf_map(fd) : "");
        compiled_bytes_ += code.table.bytes();
    }
    return code.table;
}

std::string FrameNames::user_frame(uint32_t pid, const Mapping& map, uint64_t address)
{
    const uint64_t offset = address - map.start + map.offset;
    if (const ElfSymbols* symbols = symbols_of(pid, map)) {
        if (const std::string_view name = symbols->find(offset); !name.empty())
            return demangled(std::string(name));
    }
    if (is_written_at_run_time(map)) {
        if (const std::string_view name = compiled_by(pid).find(address); !name.empty())
            return demangled(std::string(name));
    }
    if (map.path.empty())
        return "[anonymous]";
    if (map.path.front() == '[')
        return map.path;
    return fmt::format("[{}+{:#x}]", map.path.substr(map.path.rfind('/') + 1), offset);
}

std::vector<std::string> FrameNames::user(uint32_t pid, const std::vector<Mapping>& maps,
                                          std::span<const uint64_t> frames)
{
    std::vector<std::string> names;
    names.reserve(frames.size());
    for (size_t i = 0; i < frames.size(); i++) {
        // All but the first are where a call returns to: the next instruction, of another function if
        // the call is the last one.
        const uint64_t address = frames[i] - (i == 0 ? 0 : 1);
        const Mapping* map = find_mapping(maps, address);
        if (map == nullptr || !map->executable) {
            names.emplace_back("[unknown]");
            break;
        }
        names.push_back(user_frame(pid, *map, address));
    }
    return names;
}

std::vector<std::string> FrameNames::kernel(std::span<const uint64_t> frames)
{
    if (!kernel_) {
        const auto text = read_file("/proc/kallsyms");
        kernel_ = text ? parse_kallsyms(*text) : SymbolTable{};
    }
    std::vector<std::string> names;
    names.reserve(frames.size());
    for (const uint64_t frame : frames) {
        const std::string_view name = kernel_->find(frame - 1);
        names.push_back(name.empty() ? fmt::format("{:#x}", frame) : std::string(name));
    }
    return names;
}

} // namespace vtrace
