/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VTRACE_COMMON_KERNEL_BPF_H
#define VTRACE_COMMON_KERNEL_BPF_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#endif
