// SPDX-License-Identifier: GPL-2.0-only
// The smallest virtual machine whose exits are known beforehand.
//
//   kvm_guest PIO_WRITES [CPUIDS] [HALTS]
//
// One vCPU, in the main thread, and one page of memory with code that writes PIO_WRITES times to an
// I/O port, executes CPUID as often as CPUIDS and HLT as often as HALTS, and ends with a write to an
// address without memory. There is no interrupt controller: every HLT, too, ends in this process.
//
// It says "ready" when the machine is there. Each line on stdin is one round of all that, answered by
// a line with what this process saw of it:
//
//   pio=100 hlt=3 mmio=1 interrupted=0 other=0
//
// `interrupted` is how often a signal ended KVM_RUN. The process ends with stdin. Exit codes: 3 if
// there is no /dev/kvm, 2 for a wrong command line, 1 for anything else.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr uint64_t kPage = 0x1000; // where the code lies, for the guest
constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kNothing = 0x3000; // no memory there

// Real mode. Each loop counts down in a register that CPUID leaves alone.
constexpr uint8_t kCode[] = {
    0x66, 0x85, 0xf6, // pio:   test esi, esi
    0x74, 0x06,       //        jz cpuid
    0xe6, 0xe0,       //        out 0xe0, al
    0x66, 0x4e,       //        dec esi
    0xeb, 0xf5,       //        jmp pio
    0x66, 0x85, 0xff, // cpuid: test edi, edi
    0x74, 0x06,       //        jz halt
    0x0f, 0xa2,       //        cpuid
    0x66, 0x4f,       //        dec edi
    0xeb, 0xf5,       //        jmp cpuid
    0x66, 0x85, 0xed, // halt:  test ebp, ebp
    0x74, 0x05,       //        jz end
    0xf4,             //        hlt
    0x66, 0x4d,       //        dec ebp
    0xeb, 0xf6,       //        jmp halt
    0xa2, 0x00, 0x30, // end:   mov [kNothing], al
};

struct Work {
    uint64_t pio = 0;
    uint64_t cpuid = 0;
    uint64_t hlt = 0;
};

struct Seen {
    uint64_t pio = 0;
    uint64_t hlt = 0;
    uint64_t mmio = 0;
    uint64_t interrupted = 0;
    uint64_t other = 0;
};

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "kvm_guest: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

template <typename Argument>
int call(int fd, unsigned long request, const char* name, Argument argument)
{
    const int result = ::ioctl(fd, request, argument);
    if (result < 0)
        fail(name);
    return result;
}

// The machine lives as long as the process, and so do its descriptors and mappings.
class Guest {
public:
    Guest();

    Seen round(const Work& work);

private:
    void start(const Work& work) const;
    void check_done() const;

    int vcpu_ = -1;
    kvm_run* run_ = nullptr;
};

void* map(size_t size, int flags, int fd, const char* name)
{
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        fail(name);
    return at;
}

Guest::Guest()
{
    const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        std::fprintf(stderr, "kvm_guest: /dev/kvm: %s\n", std::strerror(errno));
        std::exit(3);
    }
    const int vm = call(kvm, KVM_CREATE_VM, "KVM_CREATE_VM", 0);
    // Intel without unrestricted guests needs it for real mode, the others ignore it.
    ::ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);

    void* page = map(kPageSize, MAP_SHARED | MAP_ANONYMOUS, -1, "guest memory");
    std::memcpy(page, kCode, sizeof(kCode));
    kvm_userspace_memory_region region{};
    region.guest_phys_addr = kPage;
    region.memory_size = kPageSize;
    region.userspace_addr = reinterpret_cast<uint64_t>(page);
    call(vm, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);

    vcpu_ = call(vm, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", 0);
    const int size = call(kvm, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0);
    run_ = static_cast<kvm_run*>(map(static_cast<size_t>(size), MAP_SHARED, vcpu_, "kvm_run"));

    kvm_sregs special{};
    call(vcpu_, KVM_GET_SREGS, "KVM_GET_SREGS", &special);
    special.cs.base = 0;
    special.cs.selector = 0;
    call(vcpu_, KVM_SET_SREGS, "KVM_SET_SREGS", &special);
}

void Guest::start(const Work& work) const
{
    kvm_regs registers{};
    registers.rip = kPage;
    registers.rflags = 2; // the bit that is always set
    registers.rsi = work.pio;
    registers.rdi = work.cpuid;
    registers.rbp = work.hlt;
    call(vcpu_, KVM_SET_REGS, "KVM_SET_REGS", &registers);
}

// The guest's own account: all three counters have reached zero.
void Guest::check_done() const
{
    kvm_regs registers{};
    call(vcpu_, KVM_GET_REGS, "KVM_GET_REGS", &registers);
    if (registers.rsi != 0 || registers.rdi != 0 || registers.rbp != 0) {
        std::fprintf(stderr, "kvm_guest: the guest ended before its work was done\n");
        std::exit(1);
    }
}

Seen Guest::round(const Work& work)
{
    start(work);
    Seen seen;
    while (seen.mmio == 0) {
        if (::ioctl(vcpu_, KVM_RUN, 0) != 0) {
            if (errno != EINTR)
                fail("KVM_RUN");
            seen.interrupted++;
            continue;
        }
        switch (run_->exit_reason) {
        case KVM_EXIT_IO: seen.pio++; break;
        case KVM_EXIT_HLT: seen.hlt++; break;
        case KVM_EXIT_MMIO: seen.mmio++; break;
        case KVM_EXIT_FAIL_ENTRY:
        case KVM_EXIT_INTERNAL_ERROR:
        case KVM_EXIT_SHUTDOWN:
            std::fprintf(stderr, "kvm_guest: the guest died, KVM exit reason %u\n",
                         run_->exit_reason);
            std::exit(1);
        default: seen.other++;
        }
    }
    if (run_->mmio.phys_addr != kNothing) {
        std::fprintf(stderr, "kvm_guest: the guest went astray\n");
        std::exit(1);
    }
    // KVM finishes the write when it is entered again; told to leave at once, it does no more than that.
    run_->immediate_exit = 1;
    if (::ioctl(vcpu_, KVM_RUN, 0) == 0 || errno != EINTR)
        fail("KVM_RUN to finish");
    run_->immediate_exit = 0;
    check_done();
    return seen;
}

// A count, for a 32-bit register.
uint64_t count(const char* text)
{
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > UINT32_MAX) {
        std::fprintf(stderr, "kvm_guest: not a count: %s\n", text);
        std::exit(2);
    }
    return value;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 2 || argc > 4) {
        std::fprintf(stderr, "usage: kvm_guest PIO_WRITES [CPUIDS] [HALTS]\n");
        return 2;
    }
    Work work;
    work.pio = count(argv[1]);
    work.cpuid = argc > 2 ? count(argv[2]) : 0;
    work.hlt = argc > 3 ? count(argv[3]) : 0;

    Guest guest;
    std::puts("ready");
    std::fflush(stdout);
    char line[16];
    while (std::fgets(line, sizeof(line), stdin) != nullptr) {
        const Seen seen = guest.round(work);
        std::printf("pio=%llu hlt=%llu mmio=%llu interrupted=%llu other=%llu\n",
                    static_cast<unsigned long long>(seen.pio),
                    static_cast<unsigned long long>(seen.hlt),
                    static_cast<unsigned long long>(seen.mmio),
                    static_cast<unsigned long long>(seen.interrupted),
                    static_cast<unsigned long long>(seen.other));
        std::fflush(stdout);
    }
    return 0;
}
