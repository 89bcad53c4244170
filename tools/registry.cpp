// SPDX-License-Identifier: GPL-2.0-only
#include "tools/registry.h"

#include "tools/biolatency.h"
#include "tools/blame.h"
#include "tools/cpudist.h"
#include "tools/iotop.h"
#include "tools/irqs.h"
#include "tools/kvmexit.h"
#include "tools/kvmio.h"
#include "tools/kvmirq.h"
#include "tools/kvmmem.h"
#include "tools/memstall.h"
#include "tools/netdrop.h"
#include "tools/netq.h"
#include "tools/offcputime.h"
#include "tools/runqlat.h"
#include "tools/runqlen.h"
#include "tools/states.h"
#include "tools/tcpconnlat.h"
#include "tools/tcplife.h"
#include "tools/tcpretrans.h"
#include "tools/tcprtt.h"
#include "tools/throttle.h"
#include "tools/vcpu.h"
#include "tools/vmcost.h"

#include <array>

namespace vtrace {

Measured measured_by(const ToolSpec& tool, const ToolOptions& options)
{
    Measured measured{.sched = tool.parts(options),
                      .kvm = tool.kvm,
                      .block = tool.block,
                      .memory = tool.memory,
                      .tcp = tool.tcp,
                      .irq = tool.irq,
                      .drops = tool.drops,
                      .netq = tool.netq,
                      .quotas = tool.quotas};
    measured.irq.soft |= measured.netq; // how late polls are
    measured.block.pattern = options.pattern;
    measured.tcp.first_bytes = options.ttfb;
    return measured;
}

std::span<const ToolSpec> tools()
{
    static const std::array specs = {
        runqlat_tool(),  blame_tool(),      cpudist_tool(), states_tool(),     throttle_tool(),
        runqlen_tool(),  offcputime_tool(), vmcost_tool(),  vcpu_tool(),       kvmexit_tool(),
        kvmio_tool(),    kvmirq_tool(),     kvmmem_tool(),  biolatency_tool(), iotop_tool(),
        memstall_tool(), tcpconnlat_tool(), tcprtt_tool(),  tcpretrans_tool(), tcplife_tool(),
        softirqs_tool(), hardirqs_tool(),   netdrop_tool(), tcpdrop_tool(),    netq_tool(),
    };
    return specs;
}

} // namespace vtrace
