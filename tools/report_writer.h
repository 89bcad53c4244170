// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/output.h"
#include "base/result.h"
#include "model/snapshot.h"
#include "render/text.h"
#include "tools/registry.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vtrace {

// How text is to look in this output: its width and colours where it is a terminal.
TextStyle text_style(const Output& output, bool clock);

// On stderr, for people.
void say(const std::string& text);

// Puts the reports of a tool into an output.
class ReportWriter {
public:
    // What is given must outlive it.
    static Result<ReportWriter> open(const ToolSpec& tool, const ToolOptions& options);

    // The report of one window; text of several has an empty line between.
    Status write(const Snapshot& snapshot);

    Status write(std::string_view text) { return output_.write(text); }
    [[nodiscard]] const TextStyle& style() const { return style_; }

private:
    ReportWriter(const ToolSpec& tool, const ToolOptions& options, Output output)
        : tool_(&tool), options_(&options), output_(std::move(output)),
          style_(text_style(output_, options.timestamp))
    {
    }
    [[nodiscard]] std::string render(const Report& report) const;

    const ToolSpec* tool_;
    const ToolOptions* options_;
    Output output_;
    TextStyle style_;
    bool written_ = false; // a report
};

} // namespace vtrace
