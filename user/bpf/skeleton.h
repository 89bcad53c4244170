// SPDX-License-Identifier: GPL-2.0-only
#pragma once

// Variables of the programs are of these types.
#include "vtrace/block.h"
#include "vtrace/drop.h"
#include "vtrace/irq.h"
#include "vtrace/kvm.h"
#include "vtrace/mem.h"
#include "vtrace/netq.h"
#include "vtrace/sched.h"
#include "vtrace/stacks.h"
#include "vtrace/states.h"
#include "vtrace/tcp.h"

// bpftool copies C's name of the type into a header that C++ reads, too.
#define _Bool bool
#include "vtrace.skel.h"
#undef _Bool
