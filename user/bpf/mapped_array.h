// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace vtrace {

// A BPF array map with BPF_F_MMAPABLE, seen as memory: reading it costs no system call. The kernel
// writes while we read; words of up to 64 bits are read whole.
// T must be of a size that is a multiple of 8, as the map's values are padded to that.
template <typename T> class MappedArray {
public:
    static_assert(sizeof(T) % 8 == 0);

    MappedArray() = default;
    MappedArray(MappedArray&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0))
    {
    }
    MappedArray& operator=(MappedArray&& other) noexcept
    {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        return *this;
    }
    MappedArray(const MappedArray&) = delete;
    MappedArray& operator=(const MappedArray&) = delete;
    ~MappedArray()
    {
        if (data_ != nullptr)
            ::munmap(data_, bytes(count_));
    }

    // Maps all `count` values of the map, writable if `write`.
    static Result<MappedArray> map(int map_fd, size_t count, bool write = false)
    {
        const int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
        void* data = ::mmap(nullptr, bytes(count), protection, MAP_SHARED, map_fd, 0);
        if (data == MAP_FAILED)
            return errno_error("cannot map a BPF array");
        MappedArray array;
        array.data_ = static_cast<T*>(data);
        array.count_ = count;
        return array;
    }

    [[nodiscard]] std::span<T> values() { return {data_, count_}; }
    [[nodiscard]] std::span<const T> values() const { return {data_, count_}; }

private:
    static size_t bytes(size_t count)
    {
        const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
        return (count * sizeof(T) + page - 1) / page * page;
    }

    T* data_ = nullptr;
    size_t count_ = 0;
};

// Maps all values of a map of an object that is loaded.
template <typename T> Status map_all_of(MappedArray<T>& array, const bpf_map* of)
{
    auto mapped = MappedArray<T>::map(bpf_map__fd(of), bpf_map__max_entries(of));
    if (!mapped)
        return mapped.error();
    array = std::move(*mapped);
    return ok();
}

// A word that the kernel may be writing.
template <typename T> T load_relaxed(const T& word)
{
    return __atomic_load_n(&word, __ATOMIC_RELAXED);
}

} // namespace vtrace
