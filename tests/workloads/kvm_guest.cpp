// SPDX-License-Identifier: GPL-2.0-only
// The smallest virtual machine whose exits are known beforehand.
//
//   kvm_guest PIO_WRITES [CPUIDS] [HALTS] [OPTION]...
//
//   --mmio N          N writes to an address without memory (kSink), each ends in this process
//   --timer-halts N   N times HLT that KVM itself waits in, each ended by an interrupt; not with HALTS
//   --halt-us U       which comes U microseconds after the guest has announced the HLT (2000)
//   --spin-ms N       at last the guest spins, until N milliseconds after the round began
//   --vmm-sleep-us N  this process sleeps N microseconds on each KVM_EXIT_IO
//   --vcpus N         N vCPUs (up to 64), each does all of that
//
// One vCPU, in the main thread; or several, each in a thread named as QEMU does, `CPU 0/KVM` and so on.
// Two pages of memory with code that writes PIO_WRITES times to an I/O port, does the writes of --mmio,
// executes CPUID as often as CPUIDS and HLT as often as HALTS (or --timer-halts), spins, and ends with
// a write to another address without memory (kNothing). Without --timer-halts there is no interrupt
// controller: every HLT, too, ends in this process.
//
// It says "ready" when the machine is there. Each line on stdin is one round of all that, answered by
// a line with what this process saw of it, summed over the vCPUs:
//
//   pio=100 hlt=3 mmio=1 interrupted=0 other=0 slept_ns=0 injected=0 halted_ns=0 wall_ns=912345
//   cpu_ns=901234                                                        (all of it on one line)
//
//   pio          KVM_EXIT_IO: PIO_WRITES, and one write (to kAnnounce) before each of --timer-halts
//   hlt          KVM_EXIT_HLT: HALTS
//   mmio         KVM_EXIT_MMIO: --mmio, and the one that ends the round
//   interrupted  how often a signal ended KVM_RUN; pio + hlt + mmio + interrupted + other + 1 per vCPU
//                is how often KVM_RUN returned (the last finishes the write that ends the round)
//   slept_ns     how long --vmm-sleep-us really slept
//   injected     interrupts sent: --timer-halts
//   halted_ns    the time from each announcement to its interrupt, --halt-us at the least
//   wall_ns      how long the round took each vCPU
//   cpu_ns       CPU time of the vCPUs' threads in the round, the guest's included
//
// halted_ns begins right before the KVM_RUN that goes on to the HLT and ends right before the interrupt
// is sent. KVM's wait begins later by the way to the HLT and ends later by the wakeup.
//
// Each of --timer-halts is exactly one HLT and one wait in KVM:
// - The guest announces it with interrupts off, then does `sti; hlt; cli`. STI holds interrupts back for
//   one instruction, so that one that comes early, too, is taken after the HLT. But then KVM would not
//   wait: it looks for interrupts first.
// - So none comes early: at its time, what sends it looks whether the vCPU's thread sleeps, and if not,
//   waits until it does. Between announcement and HLT the thread only runs (or wants to). With
//   --halt-us below KVM's halt_poll_ns, the interrupt thus comes after the polling.
// - A signal (SIGSTOP, a debugger) ends the wait, which then begins again: one HLT, two waits.
// For the tracepoints, each has an EOI, too: a kvm_mmio to 0xfee000b0 where the APIC is not virtualised.
//
// The process ends with stdin. Exit codes: 4 if KVM has no interrupt controller for --timer-halts, 3 if
// there is no /dev/kvm, 2 for a wrong command line, 1 for anything else.
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace {

// The guest's memory, as the guest sees it: a page of code, a page of data.
constexpr uint16_t kCode = 0x1000;
constexpr uint16_t kVectors = 0x1800; // where interrupts go: offset and segment of each
constexpr uint16_t kHandler = 0x1c00;
constexpr uint16_t kSpin = 0x2000;      // a byte: the guest spins while it is not 0
constexpr uint16_t kMemoryEnd = 0x3000; // the stacks are below
constexpr size_t kMemorySize = kMemoryEnd - kCode;
constexpr size_t kStackSize = 32;
constexpr uint64_t kMaxVcpus = 64;

// No memory there.
constexpr uint64_t kNothing = 0x3000;
constexpr uint64_t kSink = 0x4000;

constexpr uint16_t kAnnounce = 0xe1; // the port
constexpr uint8_t kVector = 0x20;
constexpr uint32_t kApic = 0xfee00000;
constexpr size_t kApicSpurious = 0xf0;
constexpr char kApicEnabled = 1; // bit 8 of that register: bit 0 of its second byte

// Real mode. Each block ends where the next begins, and counts down in a register that nothing else in
// it changes.
using Block = std::vector<uint8_t>;

const Block kPioBlock = {
    0x66, 0x85, 0xf6, // next: test esi, esi
    0x74, 0x06,       //       jz end
    0xe6, 0xe0,       //       out 0xe0, al
    0x66, 0x4e,       //       dec esi
    0xeb, 0xf5,       //       jmp next
};

const Block kMmioBlock = {
    0x66, 0x85, 0xdb, // next: test ebx, ebx
    0x74, 0x07,       //       jz end
    0xa2, 0x00, 0x40, //       mov [kSink], al
    0x66, 0x4b,       //       dec ebx
    0xeb, 0xf4,       //       jmp next
};

// It changes eax, ebx, ecx and edx.
const Block kCpuidBlock = {
    0x66, 0x85, 0xff, // next: test edi, edi
    0x74, 0x06,       //       jz end
    0x0f, 0xa2,       //       cpuid
    0x66, 0x4f,       //       dec edi
    0xeb, 0xf5,       //       jmp next
};

const Block kHaltBlock = {
    0x66, 0x85, 0xed, // next: test ebp, ebp
    0x74, 0x05,       //       jz end
    0xf4,             //       hlt
    0x66, 0x4d,       //       dec ebp
    0xeb, 0xf6,       //       jmp next
};

const Block kTimerHaltBlock = {
    0x66, 0x85, 0xed, // next: test ebp, ebp
    0x74, 0x09,       //       jz end
    0xe6, 0xe1,       //       out kAnnounce, al
    0xfb,             //       sti
    0xf4,             //       hlt
    0xfa,             //       cli
    0x66, 0x4d,       //       dec ebp
    0xeb, 0xf2,       //       jmp next
};

const Block kSpinBlock = {
    0x80, 0x3e, 0x00, 0x20, 0x00, // next: cmp byte [kSpin], 0
    0x75, 0xf9,                   //       jne next
};

const Block kEndBlock = {
    0xa2, 0x00, 0x30, // mov [kNothing], al
};

const Block kHandlerBlock = {
    0x26, 0x66, 0xa3, 0xb0, 0x00, // mov es:[0xb0], eax: the APIC's end of interrupt
    0xcf,                         // iret
};

struct Work {
    uint64_t pio = 0;
    uint64_t cpuid = 0;
    uint64_t hlt = 0;
    uint64_t mmio = 0;
    uint64_t timer_halts = 0;
    uint64_t halt_us = 2000;
    uint64_t spin_ms = 0;
    uint64_t vmm_sleep_us = 0;
    uint64_t vcpus = 1;
};

struct Seen {
    uint64_t pio = 0;
    uint64_t hlt = 0;
    uint64_t mmio = 0;
    uint64_t interrupted = 0;
    uint64_t other = 0;
    uint64_t slept_ns = 0;
    uint64_t injected = 0;
    uint64_t halted_ns = 0;
    uint64_t wall_ns = 0;
    uint64_t cpu_ns = 0;

    void add(const Seen& more);
};

void Seen::add(const Seen& more)
{
    pio += more.pio;
    hlt += more.hlt;
    mmio += more.mmio;
    interrupted += more.interrupted;
    other += more.other;
    slept_ns += more.slept_ns;
    injected += more.injected;
    halted_ns += more.halted_ns;
    wall_ns += more.wall_ns;
    cpu_ns += more.cpu_ns;
}

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "kvm_guest: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

[[noreturn]] void give_up(const char* why)
{
    std::fprintf(stderr, "kvm_guest: %s\n", why);
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

uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC)
{
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

void sleep_until(uint64_t ns)
{
    const timespec t{static_cast<time_t>(ns / 1'000'000'000),
                     static_cast<long>(ns % 1'000'000'000)};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
}

void* map(size_t size, int flags, int fd, const char* name)
{
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        fail(name);
    return at;
}

// Everything below lives as long as the process, and so do its threads, descriptors and mappings.

// A thread that ends the halts of a vCPU. It is not started by the vCPU's thread: for a moment it would
// have its name.
class Waker {
public:
    Waker(int vm, uint32_t vcpu, uint64_t halt_us);

    // The calling thread is the vCPU's.
    void watch();
    // The guest is about to halt.
    void announce();

    uint64_t injected() const { return injected_; }
    uint64_t halted_ns() const { return halted_ns_; }

private:
    void run();
    void inject();
    void wait_for_sleep() const;
    bool vcpu_sleeps() const;

    int vm_;
    uint32_t vcpu_;
    uint64_t halt_ns_;
    int stat_ = -1; // of the vCPU's thread
    uint64_t announced_ = 0;
    std::binary_semaphore halting_{0};
    std::atomic<uint64_t> injected_{0};
    std::atomic<uint64_t> halted_ns_{0};
};

Waker::Waker(int vm, uint32_t vcpu, uint64_t halt_us)
    : vm_(vm), vcpu_(vcpu), halt_ns_(halt_us * 1000)
{
    std::thread(&Waker::run, this).detach();
}

void Waker::watch()
{
    const std::string stat = "/proc/self/task/" + std::to_string(::gettid()) + "/stat";
    stat_ = ::open(stat.c_str(), O_RDONLY | O_CLOEXEC);
    if (stat_ < 0)
        fail(stat.c_str());
}

void Waker::announce()
{
    announced_ = now_ns();
    halting_.release();
}

void Waker::run()
{
    ::pthread_setname_np(::pthread_self(), "waker");
    while (true) {
        halting_.acquire();
        sleep_until(announced_ + halt_ns_);
        wait_for_sleep();
        inject();
    }
}

// The figures come first: the interrupt lets the vCPU go on, and read them.
void Waker::inject()
{
    kvm_msi message{};
    message.address_lo = kApic | vcpu_ << 12;
    message.data = kVector;
    injected_++;
    halted_ns_ += now_ns() - announced_;
    if (call(vm_, KVM_SIGNAL_MSI, "KVM_SIGNAL_MSI", &message) == 0)
        give_up("the guest takes no interrupts");
}

void Waker::wait_for_sleep() const
{
    constexpr uint64_t kPatience = 30'000'000'000;
    constexpr uint64_t kEvery = 20'000;
    const uint64_t start = now_ns();
    while (!vcpu_sleeps()) {
        if (now_ns() > start + kPatience)
            give_up("the guest does not halt");
        sleep_until(now_ns() + kEvery);
    }
}

bool Waker::vcpu_sleeps() const
{
    char text[512];
    const ssize_t size = ::pread(stat_, text, sizeof(text) - 1, 0);
    if (size <= 0)
        fail("/proc/self/task/TID/stat");
    text[size] = '\0';
    const char* name_end = std::strrchr(text, ')');
    return name_end != nullptr && std::strncmp(name_end, ") S", 3) == 0;
}

// Ends the spinning of all vCPUs.
class SpinEnd {
public:
    SpinEnd(uint8_t& spin, uint64_t ms);

    void begin();

private:
    void run();

    std::atomic_ref<uint8_t> spin_;
    uint64_t ns_;
    uint64_t end_ = 0;
    std::binary_semaphore begun_{0};
};

SpinEnd::SpinEnd(uint8_t& spin, uint64_t ms) : spin_(spin), ns_(ms * 1'000'000)
{
    std::thread(&SpinEnd::run, this).detach();
}

void SpinEnd::begin()
{
    spin_ = 1;
    end_ = now_ns() + ns_;
    begun_.release();
}

void SpinEnd::run()
{
    ::pthread_setname_np(::pthread_self(), "spin-end");
    while (true) {
        begun_.acquire();
        sleep_until(end_);
        spin_ = 0;
    }
}

class Vcpu {
public:
    Vcpu(int kvm, int vm, uint32_t index, const Work& work);

    // In the thread that calls round().
    void settle()
    {
        if (waker_)
            waker_->watch();
    }
    Seen round();

private:
    void set_segments() const;
    void take_interrupts() const;
    void start() const;
    void run(Seen& seen);
    bool handle_exit(Seen& seen);
    void handle_io(Seen& seen);
    bool handle_mmio(Seen& seen) const;
    void finish();
    void check_done() const;

    int vcpu_;
    uint32_t index_;
    const Work& work_;
    kvm_run* run_;
    std::optional<Waker> waker_;
};

Vcpu::Vcpu(int kvm, int vm, uint32_t index, const Work& work)
    : vcpu_(call(vm, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", index)), index_(index), work_(work)
{
    const int size = call(kvm, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0);
    run_ = static_cast<kvm_run*>(map(static_cast<size_t>(size), MAP_SHARED, vcpu_, "kvm_run"));
    set_segments();
    if (work_.timer_halts > 0) {
        take_interrupts();
        waker_.emplace(vm, index, work_.halt_us);
    }
}

void Vcpu::set_segments() const
{
    kvm_sregs special{};
    call(vcpu_, KVM_GET_SREGS, "KVM_GET_SREGS", &special);
    special.cs.base = 0;
    special.cs.selector = 0;
    if (work_.timer_halts > 0) {
        special.es.base = kApic; // for the handler, in reach of real mode
        special.idt.base = kVectors;
    }
    call(vcpu_, KVM_SET_SREGS, "KVM_SET_SREGS", &special);
}

void Vcpu::take_interrupts() const
{
    kvm_lapic_state apic{};
    call(vcpu_, KVM_GET_LAPIC, "KVM_GET_LAPIC", &apic);
    apic.regs[kApicSpurious + 1] |= kApicEnabled;
    call(vcpu_, KVM_SET_LAPIC, "KVM_SET_LAPIC", &apic);
    // All but the first would wait for the first to start them.
    kvm_mp_state state{KVM_MP_STATE_RUNNABLE};
    call(vcpu_, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", &state);
}

void Vcpu::start() const
{
    kvm_regs registers{};
    registers.rip = kCode;
    registers.rsp = kMemoryEnd - kStackSize * index_;
    registers.rflags = 2; // the bit that is always set
    registers.rsi = work_.pio;
    registers.rbx = work_.mmio;
    registers.rdi = work_.cpuid;
    registers.rbp = work_.hlt + work_.timer_halts; // one of them is 0
    call(vcpu_, KVM_SET_REGS, "KVM_SET_REGS", &registers);
}

// The guest's own account: its counters have reached zero.
void Vcpu::check_done() const
{
    kvm_regs registers{};
    call(vcpu_, KVM_GET_REGS, "KVM_GET_REGS", &registers);
    if (registers.rsi != 0 || registers.rdi != 0 || registers.rbp != 0)
        give_up("the guest ended before its work was done");
}

Seen Vcpu::round()
{
    start();
    const uint64_t injected = waker_ ? waker_->injected() : 0;
    const uint64_t halted_ns = waker_ ? waker_->halted_ns() : 0;
    const uint64_t wall = now_ns();
    const uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    Seen seen;
    run(seen);
    finish();
    seen.cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    seen.wall_ns = now_ns() - wall;
    seen.injected = waker_ ? waker_->injected() - injected : 0;
    seen.halted_ns = waker_ ? waker_->halted_ns() - halted_ns : 0;
    check_done();
    return seen;
}

void Vcpu::run(Seen& seen)
{
    bool ended = false;
    while (!ended) {
        if (::ioctl(vcpu_, KVM_RUN, 0) == 0) {
            ended = handle_exit(seen);
        } else {
            if (errno != EINTR)
                fail("KVM_RUN");
            seen.interrupted++;
        }
    }
}

// True for the exit that ends the round.
bool Vcpu::handle_exit(Seen& seen)
{
    switch (run_->exit_reason) {
    case KVM_EXIT_IO: handle_io(seen); break;
    case KVM_EXIT_HLT: seen.hlt++; break;
    case KVM_EXIT_MMIO: return handle_mmio(seen);
    case KVM_EXIT_FAIL_ENTRY:
    case KVM_EXIT_INTERNAL_ERROR:
    case KVM_EXIT_SHUTDOWN:
        std::fprintf(stderr, "kvm_guest: the guest died, KVM exit reason %u\n", run_->exit_reason);
        std::exit(1);
    default: seen.other++;
    }
    return false;
}

void Vcpu::handle_io(Seen& seen)
{
    seen.pio++;
    if (work_.vmm_sleep_us > 0) {
        const uint64_t start = now_ns();
        sleep_until(start + work_.vmm_sleep_us * 1000);
        seen.slept_ns += now_ns() - start;
    }
    if (waker_ && run_->io.port == kAnnounce)
        waker_->announce();
}

bool Vcpu::handle_mmio(Seen& seen) const
{
    seen.mmio++;
    const uint64_t address = run_->mmio.phys_addr;
    if (address != kNothing && address != kSink)
        give_up("the guest went astray");
    return address == kNothing;
}

// KVM finishes the write when it is entered again; told to leave at once, it does no more than that.
void Vcpu::finish()
{
    run_->immediate_exit = 1;
    if (::ioctl(vcpu_, KVM_RUN, 0) == 0 || errno != EINTR)
        fail("KVM_RUN to finish");
    run_->immediate_exit = 0;
}

// A vCPU in a thread of its own.
class VcpuThread {
public:
    VcpuThread(Vcpu& vcpu, uint32_t index);

    void begin() { begun_.release(); }
    Seen end();

private:
    void run(uint32_t index);

    Vcpu& vcpu_;
    Seen seen_;
    std::binary_semaphore begun_{0};
    std::binary_semaphore ended_{0};
};

VcpuThread::VcpuThread(Vcpu& vcpu, uint32_t index) : vcpu_(vcpu)
{
    std::thread(&VcpuThread::run, this, index).detach();
    ended_.acquire(); // it is settled
}

Seen VcpuThread::end()
{
    ended_.acquire();
    return seen_;
}

void VcpuThread::run(uint32_t index)
{
    const std::string name = "CPU " + std::to_string(index) + "/KVM";
    ::pthread_setname_np(::pthread_self(), name.c_str());
    vcpu_.settle();
    while (true) {
        ended_.release();
        begun_.acquire();
        seen_ = vcpu_.round();
    }
}

class Guest {
public:
    explicit Guest(const Work& work);

    Seen round();

private:
    uint8_t* create_memory(int vm) const;
    void create_vcpus(int kvm, int vm);

    const Work& work_;
    std::optional<SpinEnd> spin_end_;
    std::vector<std::unique_ptr<Vcpu>> vcpus_;
    std::vector<std::unique_ptr<VcpuThread>> threads_; // none for a single vCPU
};

int open_kvm()
{
    const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        std::fprintf(stderr, "kvm_guest: /dev/kvm: %s\n", std::strerror(errno));
        std::exit(3);
    }
    return kvm;
}

void create_interrupt_controller(int vm)
{
    if (::ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_SIGNAL_MSI) <= 0)
        errno = ENOTSUP;
    else if (::ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0)
        return;
    std::fprintf(stderr, "kvm_guest: KVM has no interrupt controller: %s\n", std::strerror(errno));
    std::exit(4);
}

Block code(const Work& work)
{
    const bool timer = work.timer_halts > 0;
    Block all;
    for (const Block& block :
         {kPioBlock, kMmioBlock, kCpuidBlock, timer ? kTimerHaltBlock : kHaltBlock,
          work.spin_ms > 0 ? kSpinBlock : Block{}, kEndBlock})
        std::copy(block.begin(), block.end(), std::back_inserter(all));
    return all;
}

Guest::Guest(const Work& work) : work_(work)
{
    const int kvm = open_kvm();
    const int vm = call(kvm, KVM_CREATE_VM, "KVM_CREATE_VM", 0);
    // Intel without unrestricted guests needs it for real mode, the others ignore it.
    ::ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);
    if (work_.timer_halts > 0)
        create_interrupt_controller(vm);
    uint8_t* memory = create_memory(vm);
    if (work_.spin_ms > 0)
        spin_end_.emplace(memory[kSpin - kCode], work_.spin_ms);
    create_vcpus(kvm, vm);
}

uint8_t* Guest::create_memory(int vm) const
{
    auto* memory =
        static_cast<uint8_t*>(map(kMemorySize, MAP_SHARED | MAP_ANONYMOUS, -1, "guest memory"));
    const auto put = [memory](uint16_t where, const Block& block) {
        std::copy(block.begin(), block.end(), memory + (where - kCode));
    };
    put(kCode, code(work_));
    put(kVectors + kVector * 4, {kHandler & 0xff, kHandler >> 8, 0, 0});
    put(kHandler, kHandlerBlock);

    kvm_userspace_memory_region region{};
    region.guest_phys_addr = kCode;
    region.memory_size = kMemorySize;
    region.userspace_addr = reinterpret_cast<uint64_t>(memory);
    call(vm, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
    return memory;
}

void Guest::create_vcpus(int kvm, int vm)
{
    for (uint32_t i = 0; i < work_.vcpus; i++)
        vcpus_.push_back(std::make_unique<Vcpu>(kvm, vm, i, work_));
    if (work_.vcpus == 1) {
        vcpus_[0]->settle();
        return;
    }
    for (uint32_t i = 0; i < work_.vcpus; i++)
        threads_.push_back(std::make_unique<VcpuThread>(*vcpus_[i], i));
}

Seen Guest::round()
{
    if (spin_end_)
        spin_end_->begin();
    if (threads_.empty())
        return vcpus_[0]->round();
    for (const auto& thread : threads_)
        thread->begin();
    Seen all;
    for (const auto& thread : threads_)
        all.add(thread->end());
    return all;
}

// ---- the command line ----

[[noreturn]] void usage()
{
    std::fputs("usage: kvm_guest PIO_WRITES [CPUIDS] [HALTS] [--mmio N] [--timer-halts N]\n"
               "                 [--halt-us U] [--spin-ms N] [--vmm-sleep-us N] [--vcpus N]\n",
               stderr);
    std::exit(2);
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

// The options; the index of the first argument that is none.
int parse_options(int argc, char** argv, Work& work)
{
    constexpr option kOptions[] = {
        {"mmio", required_argument, nullptr, 'm'},
        {"timer-halts", required_argument, nullptr, 't'},
        {"halt-us", required_argument, nullptr, 'h'},
        {"spin-ms", required_argument, nullptr, 's'},
        {"vmm-sleep-us", required_argument, nullptr, 'v'},
        {"vcpus", required_argument, nullptr, 'c'},
        {},
    };
    for (int which = 0; (which = ::getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
        switch (which) {
        case 'm': work.mmio = count(optarg); break;
        case 't': work.timer_halts = count(optarg); break;
        case 'h': work.halt_us = count(optarg); break;
        case 's': work.spin_ms = count(optarg); break;
        case 'v': work.vmm_sleep_us = count(optarg); break;
        case 'c': work.vcpus = count(optarg); break;
        default: usage();
        }
    }
    return optind;
}

Work parse(int argc, char** argv)
{
    Work work;
    const int first = parse_options(argc, argv, work);
    const int counts = argc - first;
    if (counts < 1 || counts > 3)
        usage();
    work.pio = count(argv[first]);
    work.cpuid = counts > 1 ? count(argv[first + 1]) : 0;
    work.hlt = counts > 2 ? count(argv[first + 2]) : 0;
    if (work.hlt > 0 && work.timer_halts > 0)
        usage();
    if (work.vcpus < 1 || work.vcpus > kMaxVcpus)
        usage();
    return work;
}

void print(const Seen& seen)
{
    const struct {
        const char* name;
        uint64_t value;
    } figures[] = {
        {"pio", seen.pio},           {"hlt", seen.hlt},
        {"mmio", seen.mmio},         {"interrupted", seen.interrupted},
        {"other", seen.other},       {"slept_ns", seen.slept_ns},
        {"injected", seen.injected}, {"halted_ns", seen.halted_ns},
        {"wall_ns", seen.wall_ns},   {"cpu_ns", seen.cpu_ns},
    };
    const char* separator = "";
    for (const auto& figure : figures) {
        std::printf("%s%s=%llu", separator, figure.name,
                    static_cast<unsigned long long>(figure.value));
        separator = " ";
    }
    std::puts("");
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv)
{
    const Work work = parse(argc, argv);
    Guest guest(work);
    std::puts("ready");
    std::fflush(stdout);
    char line[16];
    while (std::fgets(line, sizeof(line), stdin) != nullptr)
        print(guest.round());
    std::_Exit(0); // its threads still use the guest
}
