// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/tracefs.h"

#include "base/fd.h"
#include "base/files.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

namespace vtrace {
namespace {

Fd detached_tracefs()
{
    const Fd context(static_cast<int>(::syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC)));
    if (!context ||
        ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return {};
    return Fd(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
}

Result<uint64_t> tracepoint_id(const std::string& event)
{
    const std::string file = "/events/" + event + "/id";
    auto text = read_file("/sys/kernel/tracing" + file);
    if (!text) {
        const Fd mount = detached_tracefs();
        if (!mount)
            return errno_error("cannot look at the tracepoint " + event);
        text = read_file("/proc/self/fd/" + std::to_string(mount.get()) + file);
    }
    if (!text)
        return text.error();
    const std::string_view digits = *text;
    uint64_t id = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), id).ec != std::errc{})
        return Error{.what = "the tracepoint " + event + " has no number"};
    return id;
}

} // namespace

Result<Link> attach_tracepoint(bpf_program* program, const std::string& event)
{
    const auto id = tracepoint_id(event);
    if (!id)
        return id.error();
    perf_event_attr attributes = {};
    attributes.type = PERF_TYPE_TRACEPOINT;
    attributes.size = sizeof(attributes);
    attributes.config = *id;
    // Of any CPU: the program runs on all.
    const Fd fd(static_cast<int>(
        ::syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!fd)
        return errno_error("cannot open the tracepoint " + event);
    // The link has the event from here on.
    Link link(bpf_program__attach_perf_event(program, ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)));
    if (!link)
        return errno_error("cannot attach to the tracepoint " + event);
    return link;
}

} // namespace vtrace
