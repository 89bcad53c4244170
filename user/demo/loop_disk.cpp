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
#include <chrono>
#include <thread>
#include <utility>

namespace vtrace {
namespace {

constexpr auto kControl = "/dev/loop-control";
// The demos' own numbers: far above what the kernel hands out.
constexpr int kFirst = 900;
constexpr int kLast = 907;

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

// False while something still looks at it: udev does so at each change.
bool removed(const Fd& control, int number)
{
    return ::ioctl(control.get(), LOOP_CTL_REMOVE, number) == 0 || errno != EBUSY;
}

Status choose_scheduler(int number, const std::string& scheduler)
{
    const std::string file = fmt::format("/sys/block/loop{}/queue/scheduler", number);
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd || ::write(fd.get(), scheduler.data(), scheduler.size()) < 0)
        return not_possible("cannot write " + scheduler + " to " + file);
    return ok();
}

Status attach(const Fd& device, const Fd& file, int number)
{
    loop_config config{};
    config.fd = static_cast<uint32_t>(file.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) != 0)
        return not_possible("cannot set up " + device_path(number));
    return ok();
}

} // namespace

LoopDisk::LoopDisk(Fd device, int number, uint64_t bytes)
    : device_(std::move(device)), number_(number), bytes_(bytes), path_(device_path(number))
{
}

Result<LoopDisk> LoopDisk::create(uint64_t bytes, const std::string& scheduler)
{
    const Fd file(::memfd_create("vtrace-demo", MFD_CLOEXEC));
    if (!file || ::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0)
        return errno_error("cannot make a file in memory");
    const Fd control(::open(kControl, O_RDWR | O_CLOEXEC));
    if (!control)
        return not_possible(fmt::format("cannot open {}", kControl));
    for (int number = kFirst; number <= kLast; number++) {
        // One that is in use stays: that of another demo.
        removed(control, number);
        if (::ioctl(control.get(), LOOP_CTL_ADD, number) < 0) {
            if (errno == EEXIST)
                continue;
            return not_possible("cannot make a loop device");
        }
        // From here on it ends with this object.
        LoopDisk disk(Fd(::open(device_path(number).c_str(), O_RDWR | O_CLOEXEC)), number, bytes);
        if (!disk.device_) {
            Error error = not_possible("cannot open " + disk.path_);
            removed(control, number); // what was not opened does not end with it
            return error;
        }
        if (!scheduler.empty()) {
            if (auto chosen = choose_scheduler(number, scheduler); !chosen)
                return chosen.error();
        }
        if (auto attached = attach(disk.device_, file, number); !attached)
            return attached.error();
        return disk;
    }
    return Error{.what = fmt::format("the loop devices {} to {} are in use", kFirst, kLast),
                 .exit = ExitCode::kNotPossible};
}

LoopDisk::~LoopDisk()
{
    constexpr auto kEvery = std::chrono::milliseconds(10);
    constexpr int kTries = 100;
    if (!device_)
        return;
    device_ = Fd();
    const Fd control(::open(kControl, O_RDWR | O_CLOEXEC));
    for (int i = 0; i < kTries && !removed(control, number_); i++)
        std::this_thread::sleep_for(kEvery);
}

Result<std::string> LoopDisk::device_number() const
{
    struct stat st = {};
    if (::fstat(device_.get(), &st) != 0)
        return errno_error("cannot look at " + path_);
    return fmt::format("{}:{}", major(st.st_rdev), minor(st.st_rdev));
}

} // namespace vtrace
