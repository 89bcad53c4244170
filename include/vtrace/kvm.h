/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/kvm.bpf.c and user/collect/kvm_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_KVM_H
#define VTRACE_KVM_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_KVM_SLOT_OTHER 0U /* of events that found no slot: counted, not told apart */

/* What a figure is about. */
enum vt_kvm_kind {
    VT_KVM_EXIT = 1, /* from the guest, until it is entered again; by reason */
    VT_KVM_USER,     /* to the VMM, where kvm_exit does not fire; by KVM_EXIT_* */
    VT_KVM_PIO,      /* by port; of a write with VT_KVM_WRITE */
    VT_KVM_MMIO,     /* by address, likewise */
    VT_KVM_EVENT,    /* by enum vt_kvm_event */
    VT_KVM_VECTOR, /* an interrupt injected, by vector; the time is from its message to the guest's entry */
    VT_KVM_MSI,   /* a message that asks for an interrupt, by vector: of the VM, not of a vCPU */
    VT_KVM_UNMAP, /* memory taken out of the guest's reach; of the VM. The amount is in bytes */
};

enum vt_kvm_event {
    VT_KVM_CPUID = 1,
    VT_KVM_MSR,
    VT_KVM_EMULATION,
    VT_KVM_HALT_POLLED, /* halts that ended while KVM polled */
    VT_KVM_HALT_SLEPT,  /* halts that slept; the time is of both */
    VT_KVM_HYPERCALL,
    VT_KVM_ENDED, /* the thread; the amount is its time in the guest, in ns */
};

/* Of vt_kvm_key.flags. */
#define VT_KVM_IS_MMIO 1 /* of an exit: the access was emulated */
#define VT_KVM_WRITE 2

/* Of vt_kvm_key.isa: the kernel's KVM_ISA_VMX and KVM_ISA_SVM, and the others. */
#define VT_KVM_VMX 1
#define VT_KVM_SVM 2
#define VT_KVM_ARM64 3
#define VT_KVM_TO_USER 4

/* On arm64 the code of an exit is its exception class, or this and how the guest came to an end without one. */
#define VT_KVM_ARM_OTHER 0x100

struct vt_kvm_key {
    __u64 code;
    __u64 vm;  /* vt_vm_id() of the VMM */
    __u32 tid; /* of the vCPU's thread; 0: of the VM as a whole */
    __u8 kind; /* enum vt_kvm_kind */
    __u8 isa;
    __u8 flags;
    __u8 zero;
};

/* Figures of one key. Written by the thread of the vCPU, else with atomics. Only ever grow. */
struct vt_kvm_stat {
    __u64 count;
    __u64 kernel;  /* of the time: on a CPU, in the kernel */
    __u64 vmm;     /* from the exit to the VMM on, but for waits */
    __u64 blocked; /* asleep in the kernel */
    __u64 waited;  /* for a CPU */
    __u64 to_vmm;  /* how many of them went to the VMM */
    __u64 amount;
    __u64 unused;
    struct vt_hist time;
};

/* What the kernel's accounts of a thread say at one moment. */
struct vt_kvm_account {
    __u64 off;    /* rq clock less the time on a CPU: grows by the time off it */
    __u64 waited; /* sched_info.run_delay */
};

/*
 * A slot as it was looked up last, with what was counted since: the same memory as the rest of the vCPU, where the
 * figures' own is cold after each exit.
 */
struct vt_kvm_known {
    __u64 code;
    __u64 count; /* events that vt_kvm_stat.count has not yet */
    __u32 slot;  /* 0: empty */
    __u8 kind;
    __u8 isa;
    __u8 flags;
    __u8 zero;
};

#define VT_KVM_KNOWN 16 /* a power of 2 */
#define VT_KVM_PROBES 8 /* places that a thread may have */

/* A thread that runs a vCPU. Written by itself. 512 bytes. */
struct vt_vcpu {
    __u32 tid;     /* 0: nobody is here */
    __u32 io_slot; /* of the access that the exit is for; 0: of none */
    __u64 vm;
    __u64 exited;  /* CLOCK_MONOTONIC: the exit that has not ended; 0: none, or it was not seen */
    __u64 to_user; /* of that exit: when it went to the VMM; 0: it did not */
    __u64 code;    /* of that exit */
    __u8 isa;      /* of that exit, as the next one */
    __u8 flags;
    __u8 excluded; /* of a VM that was not asked for */
    __u8 zero[5];
    __u64 entered;     /* 0: it is not in the guest, as far as is known */
    __u64 guest;       /* time in the guest, summed; without the stay that has not ended */
    __u64 asked;       /* when the interrupt that was injected last was asked for; 0 is not known */
    __u32 vector_slot; /* of that one; 0: none since the last entry */
    __u32 unused;
    struct vt_kvm_account at_exit;
    struct vt_kvm_account at_user;
    struct vt_kvm_known known[VT_KVM_KNOWN];
};

/* Where the reason of an exit is, from a struct kvm_vcpu: in it, or in what a pointer in it points to. In bytes. */
struct vt_kvm_place {
    __u32 pointer; /* 0: none, as a vCPU begins with something else */
    __u32 offset;
    __u32 size; /* 4 or 8; 0: not known */
};

/* An interrupt that a message has asked for. */
struct vt_kvm_asked {
    __u64 vm;
    __u64 vector;
};

#endif
