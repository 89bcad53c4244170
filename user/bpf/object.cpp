// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object.h"

#include "base/files.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace vtrace {
namespace {

constexpr size_t kLogLimit = 65536;

std::string& log_buffer()
{
    static std::string log;
    return log;
}

int keep_message(libbpf_print_level level, const char* format, va_list args)
{
    if (level == LIBBPF_DEBUG)
        return 0;
    // The kernel's log of a program is one message, whose end says what is wrong.
    va_list counted;
    va_copy(counted, args);
    const int length = std::vsnprintf(nullptr, 0, format, counted);
    va_end(counted);
    std::string line(static_cast<size_t>(std::max(length, 0)), '\0');
    static_cast<void>(std::vsnprintf(line.data(), line.size() + 1, format, args));
    std::string& log = log_buffer();
    log += line;
    if (log.size() > kLogLimit)
        log.erase(0, log.size() - kLogLimit);
    return length;
}

} // namespace

void capture_libbpf_log()
{
    libbpf_set_print(keep_message);
}

const std::string& libbpf_log()
{
    return log_buffer();
}

Result<BpfObject> BpfObject::open()
{
    BpfObject object(vtrace_bpf::open());
    if (!object.skeleton_)
        return errno_error("cannot open vtrace's BPF object");
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object->obj)
        bpf_program__set_autoload(program, false);
    return object;
}

Status BpfObject::load()
{
    const int error = vtrace_bpf::load(skeleton_.get());
    if (error == 0)
        return ok();
    return Error{.what = "the kernel refused vtrace's BPF programs",
                 .code = -error,
                 .hint = "`vtrace check` says what is missing, --verbose what the kernel said"};
}

std::vector<ProgramCost> BpfObject::costs(uint64_t& recursion_misses) const
{
    std::vector<ProgramCost> costs;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton_->obj) {
        const int fd = bpf_program__fd(program);
        bpf_prog_info info = {};
        __u32 size = sizeof(info);
        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) != 0)
            continue;
        costs.push_back({.name = bpf_program__name(program),
                         .run_cnt = info.run_cnt,
                         .run_time_ns = info.run_time_ns});
        recursion_misses += info.recursion_misses;
    }
    return costs;
}

Result<Link> attach(bpf_program* program)
{
    Link link(bpf_program__attach(program));
    if (!link)
        return errno_error(std::string("cannot attach ") + bpf_program__section_name(program));
    return link;
}

Result<std::string> run_iterator(bpf_link* link, const std::string& name)
{
    const Fd fd(bpf_iter_create(bpf_link__fd(link)));
    if (!fd)
        return errno_error("cannot run the iterator " + name);
    return read_fd(fd.get(), "the iterator " + name);
}

Result<Fd> enable_bpf_stats()
{
    Fd fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!fd) {
        Error error = errno_error("cannot time BPF programs", "--overhead needs CAP_SYS_ADMIN");
        if (error.code == EPERM)
            error.exit = ExitCode::kNotPossible;
        return error;
    }
    return fd;
}

} // namespace vtrace
