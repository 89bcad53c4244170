// SPDX-License-Identifier: GPL-2.0-only
#include "base/fd.h"
#include "demo/loads.h"
#include "demo/scenario.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <thread>
#include <vector>

namespace vtrace {
namespace {

// A buffer of whole pages, as direct I/O needs it. Lives as long as its process.
Result<std::span<std::byte>> buffer_of(size_t bytes)
{
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED)
        return errno_error("cannot get memory");
    return std::span(static_cast<std::byte*>(at), bytes);
}

Result<Fd> open_disk(const Running& running, int flags)
{
    if (!running.disk)
        return Error{.what = "there is no disk"};
    Fd fd(::open(running.disk->path().c_str(), flags | O_CLOEXEC));
    if (!fd)
        return errno_error("cannot open " + running.disk->path());
    return fd;
}

// Where block number `i` is, round and round.
off_t place(const Running& running, uint64_t i, size_t block)
{
    return static_cast<off_t>(i * block % running.disk->bytes());
}

} // namespace

Load map_disk()
{
    return [](const Running& running, const Ready& ready) -> Status {
        constexpr uint64_t kPage = 4096;
        constexpr uint64_t kStride = 7919; // prime, so that all pages have their turn
        const auto fd = open_disk(running, O_RDONLY);
        if (!fd)
            return fd.error();
        const uint64_t bytes = running.disk->bytes();
        void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd->get(), 0);
        if (at == MAP_FAILED || ::madvise(at, bytes, MADV_RANDOM) != 0)
            return errno_error("cannot map " + running.disk->path());
        const volatile std::byte* const all = static_cast<std::byte*>(at);
        ready();
        for (uint64_t i = 0;; i++)
            static_cast<void>(all[i * kStride % (bytes / kPage) * kPage]);
    };
}

Load read_disk(size_t block, std::chrono::microseconds pause)
{
    return [=](const Running& running, const Ready& ready) -> Status {
        const auto fd = open_disk(running, O_RDONLY | O_DIRECT);
        const auto buffer = buffer_of(block);
        if (!fd || !buffer)
            return fd ? buffer.error() : fd.error();
        ready();
        for (uint64_t i = 0;; i++) {
            if (::pread(fd->get(), buffer->data(), block, place(running, i, block)) < 0)
                return errno_error("cannot read");
            std::this_thread::sleep_for(pause);
        }
    };
}

Load write_disk(size_t block, std::chrono::microseconds pause)
{
    return [=](const Running& running, const Ready& ready) -> Status {
        const auto fd = open_disk(running, O_WRONLY | O_DIRECT);
        const auto buffer = buffer_of(block);
        if (!fd || !buffer)
            return fd ? buffer.error() : fd.error();
        ready();
        for (uint64_t i = 0;; i++) {
            if (::pwrite(fd->get(), buffer->data(), block, place(running, i, block)) < 0)
                return errno_error("cannot write");
            std::this_thread::sleep_for(pause);
        }
    };
}

Load flood_disk(int depth, size_t block)
{
    return [=](const Running& running, const Ready& ready) -> Status {
        const auto fd = open_disk(running, O_WRONLY | O_DIRECT);
        const auto buffer = buffer_of(block);
        if (!fd || !buffer)
            return fd ? buffer.error() : fd.error();
        // One thread: many would wait for each other's CPU.
        aio_context_t context = 0;
        if (::syscall(SYS_io_setup, depth, &context) != 0)
            return errno_error("cannot begin asynchronous I/O");
        uint64_t next = 0;
        std::vector<iocb> writes(static_cast<size_t>(depth));
        const auto submit = [&](uint64_t number) {
            iocb& write = writes.at(number);
            write = {};
            write.aio_data = number;
            write.aio_lio_opcode = IOCB_CMD_PWRITE;
            write.aio_fildes = static_cast<uint32_t>(fd->get());
            write.aio_buf = reinterpret_cast<uint64_t>(buffer->data());
            write.aio_nbytes = block;
            write.aio_offset = place(running, next++, block);
            iocb* list = &write;
            return ::syscall(SYS_io_submit, context, 1, &list) == 1;
        };
        ready();
        for (uint64_t i = 0; i < writes.size(); i++) {
            if (!submit(i))
                return errno_error("cannot write");
        }
        for (;;) {
            io_event done{};
            const auto ended = ::syscall(SYS_io_getevents, context, 1, 1, &done, nullptr);
            if (ended < 0 ? errno != EINTR : !submit(done.data))
                return errno_error("cannot write");
        }
    };
}

} // namespace vtrace
