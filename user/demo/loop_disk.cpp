// SPDX-License-Identifier: GPL-2.0-only
#include "demo/loop_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace vtrace {
namespace {

constexpr std::string_view kControl = "/dev/loop-control";

std::string device_path(int number)
{
    return "/dev/loop" + std::to_string(number);
}

Error not_possible(std::string what)
{
    Error error = errno_error(std::move(what), "the demos of disks need root and loop devices");
    error.exit = ExitCode::kNotPossible;
    return error;
}

std::set<std::string> block_devices()
{
    std::set<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at("/sys/block", error), end; !error && at != end;
         at.increment(error))
        names.insert(at->path().filename());
    return names;
}

} // namespace

LoopDisk::LoopDisk(Fd device, int number, bool is_new, uint64_t bytes)
    : device_(std::move(device)), number_(number), is_new_(is_new), bytes_(bytes),
      path_(device_path(number))
{
}

Result<LoopDisk> LoopDisk::create(uint64_t bytes)
{
    const Fd file(::memfd_create("vtrace-demo", MFD_CLOEXEC));
    if (!file || ::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0)
        return errno_error("cannot make a file in memory");
    const Fd control(::open(std::string(kControl).c_str(), O_RDWR | O_CLOEXEC));
    if (!control)
        return not_possible(fmt::format("cannot open {}", kControl));
    const auto before = block_devices();
    // Another process can be faster with a free one.
    constexpr int kTries = 20;
    for (int i = 0; i < kTries; i++) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0)
            return not_possible("there is no free loop device");
        Fd device(::open(device_path(number).c_str(), O_RDWR | O_CLOEXEC));
        if (!device)
            return not_possible("cannot open " + device_path(number));
        loop_config config{};
        config.fd = static_cast<uint32_t>(file.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0)
            return LoopDisk(std::move(device), number,
                            !before.contains("loop" + std::to_string(number)), bytes);
        if (errno != EBUSY)
            return not_possible("cannot set up " + device_path(number));
    }
    return not_possible("every free loop device is taken at once");
}

LoopDisk::~LoopDisk()
{
    if (!device_)
        return;
    device_ = Fd();
    const Fd control(::open(std::string(kControl).c_str(), O_RDWR | O_CLOEXEC));
    if (is_new_ && control)
        ::ioctl(control.get(), LOOP_CTL_REMOVE, number_);
}

Result<std::string> LoopDisk::device_number() const
{
    struct stat st = {};
    if (::fstat(device_.get(), &st) != 0)
        return errno_error("cannot look at " + path_);
    return fmt::format("{}:{}", major(st.st_rdev), minor(st.st_rdev));
}

} // namespace vtrace
