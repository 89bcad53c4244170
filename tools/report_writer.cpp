// SPDX-License-Identifier: GPL-2.0-only
#include "tools/report_writer.h"

#include "render/json.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace vtrace {
namespace {

bool utf8_locale()
{
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            const std::string_view text = value;
            return text.find("UTF-8") != std::string_view::npos ||
                   text.find("utf8") != std::string_view::npos;
        }
    }
    return false;
}

} // namespace

TextStyle text_style(const Output& output, bool clock)
{
    TextStyle style{.utf8 = utf8_locale(), .clock = clock};
    winsize size{};
    if (::isatty(output.fd()) == 0)
        return style;
    const char* no_color = std::getenv("NO_COLOR"); // no-color.org: set and not empty
    style.colour = no_color == nullptr || *no_color == '\0';
    if (::ioctl(output.fd(), TIOCGWINSZ, &size) == 0 && size.ws_col != 0)
        style.width = size.ws_col;
    return style;
}

// Not fmt::print, which throws if stderr is closed.
void say(const std::string& text)
{
    static_cast<void>(std::fputs(text.c_str(), stderr));
}

Result<ReportWriter> ReportWriter::open(const ToolSpec& tool, const ToolOptions& options)
{
    auto output = Output::open(options.output);
    if (!output)
        return output.error();
    return ReportWriter(tool, options, std::move(*output));
}

std::string ReportWriter::render(const Report& report) const
{
    if (options_->json)
        return render_json(report, options_->overhead);
    if (options_->text())
        return render_text(report, style_, options_->overhead, tool_->text);
    say(ledger_text(report.loss, {})); // a folded line has no place for it
    return tool_->folded(report, style_);
}

Status ReportWriter::write(const Snapshot& snapshot)
{
    const std::string text = render(tool_->build(snapshot, *options_));
    const bool separate = std::exchange(written_, true) && options_->text();
    return output_.write((separate ? "\n" : "") + text);
}

} // namespace vtrace
