// SPDX-License-Identifier: GPL-2.0-only
#include "record/recording.h"

#include "base/files.h"
#include "base/printable.h"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

namespace vtrace {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "vtrace-recording/";
constexpr std::string_view kVersion = "1";
constexpr uint32_t kMagic = 0x66727476;    // "vtrf"
constexpr uint64_t kLargest = 64ULL << 20; // of texts; as values JSON takes many times that
constexpr uint64_t kLargestHead = 1ULL << 20;
constexpr int kDeepest = 32; // nesting: a parser takes memory for each level
constexpr int kLevel = 3;    // zstd's own default

// Before the payload of each frame.
struct FrameHead {
    uint32_t magic = kMagic;
    uint32_t payload_crc = 0;
    uint64_t size = 0; // of the payload, compressed
    uint64_t unpacked = 0;
    uint32_t crc =
        0; // of all before it: a size that is another is not taken for the end of the file
    uint32_t zero = 0;
};
static_assert(sizeof(FrameHead) == 32);

uint32_t crc_of(std::string_view bytes)
{
    const auto* from = reinterpret_cast<const Bytef*>(bytes.data());
    return static_cast<uint32_t>(::crc32_z(0, from, bytes.size()));
}

uint32_t crc_of(const FrameHead& head)
{
    return crc_of({reinterpret_cast<const char*>(&head), offsetof(FrameHead, crc)});
}

// That JSON is not nested deeper than anything that vtrace writes.
bool is_flat(std::string_view text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && (c == '[' || c == '{') && ++depth > kDeepest)
            return false;
        else if (!quoted && (c == ']' || c == '}'))
            depth--;
    }
    return true;
}

Error damaged(const std::string& why)
{
    return {.what = "the recording is damaged: " + why,
            .hint = "what is before it can be had with --to"};
}

Result<std::string> packed(std::string_view text)
{
    std::string bytes(ZSTD_compressBound(text.size()), '\0');
    const size_t size = ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), kLevel);
    if (ZSTD_isError(size) != 0)
        return Error{.what =
                         std::string("cannot compress an interval: ") + ZSTD_getErrorName(size)};
    bytes.resize(size);
    return bytes;
}

// Piece by piece: memory is taken for what comes, not for what a header says.
std::optional<std::string> unpacked(std::string_view payload, uint64_t size)
{
    const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                          ZSTD_freeDStream);
    std::string piece(ZSTD_DStreamOutSize(), '\0');
    std::string text;
    ZSTD_inBuffer in{payload.data(), payload.size(), 0};
    for (size_t left = 1; left != 0;) {
        ZSTD_outBuffer out{piece.data(), piece.size(), 0};
        const size_t before = in.pos;
        left = ZSTD_decompressStream(stream.get(), &out, &in);
        if (ZSTD_isError(left) != 0 || text.size() + out.pos > size ||
            (out.pos == 0 && in.pos == before))
            return std::nullopt;
        text.append(piece, 0, out.pos);
    }
    return text.size() == size && in.pos == in.size ? std::optional(std::move(text)) : std::nullopt;
}

} // namespace

std::string save_interval(const Interval& interval)
{
    std::string text; // a line for each: there is no line break in JSON that is not written as one
    for (const Snapshot& snapshot : interval)
        text += save_snapshot(snapshot) + "\n";
    return text;
}

Result<Interval> load_interval(std::string_view text)
{
    Interval interval;
    if (!is_flat(text))
        return Error{.what = "it is nested too deep"};
    for (const std::string_view line : split(text, '\n')) {
        auto snapshot = load_snapshot(line);
        if (!snapshot)
            return snapshot.error();
        interval.push_back(std::move(*snapshot));
    }
    return interval;
}

std::string save_head(const RecordingHead& head)
{
    Json left_out = Json::array();
    for (const LeftOut& tool : head.left_out)
        left_out.push_back({{"tool", tool.tool}, {"why", tool.why}});
    const Json json = {{"vtrace", head.vtrace},
                       {"tools", head.tools},
                       {"left_out", left_out},
                       {"options", head.options}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<RecordingHead> load_head(std::string_view text)
{
    if (text.size() > kLargestHead || !is_flat(text))
        return Error{.what = "it is too large, or nested too deep"};
    // The library reports by exceptions; they end here.
    try {
        const Json json = Json::parse(text);
        RecordingHead head{.vtrace = json.at("vtrace").get<std::string>(),
                           .tools = json.at("tools").get<std::vector<std::vector<std::string>>>(),
                           .options = json.at("options").get<std::string>()};
        for (const Json& tool : json.at("left_out"))
            head.left_out.push_back({.tool = tool.at("tool").get<std::string>(),
                                     .why = tool.at("why").get<std::string>()});
        return head;
    } catch (const std::exception& e) {
        return Error{.what = e.what()};
    }
}

Result<RecordingWriter> RecordingWriter::create(const std::string& path, const RecordingHead& head)
{
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file)
        return errno_error("cannot make the recording " + printable(path),
                           errno == EEXIST ? "give another name, or remove it" : "");
    RecordingWriter writer(std::move(file), path);
    std::string line(kFormat);
    line.append(kVersion).append("\n");
    if (auto written = write_all(writer.file_.get(), line, path); !written)
        return written.error();
    writer.bytes_ = line.size();
    if (auto written = writer.write(save_head(head)); !written)
        return written.error();
    return writer;
}

Status RecordingWriter::write(std::string_view text)
{
    if (text.size() > kLargest)
        return Error{.what = "an interval is too large for " + printable(path_),
                     .hint = "give a target, or fewer --tools"};
    const auto payload = packed(text);
    if (!payload)
        return payload.error();
    FrameHead head{
        .payload_crc = crc_of(*payload), .size = payload->size(), .unpacked = text.size()};
    head.crc = crc_of(head);
    std::string frame(sizeof(head), '\0');
    std::memcpy(frame.data(), &head, sizeof(head));
    frame += *payload;
    if (auto written = write_all(file_.get(), frame, path_); !written)
        return written;
    if (::fdatasync(file_.get()) != 0 && errno != EINVAL) // a pipe or a device has no disk
        return errno_error("cannot write " + printable(path_));
    bytes_ += frame.size();
    return ok();
}

Status RecordingWriter::add(const Interval& interval)
{
    return write(save_interval(interval));
}

Result<RecordingReader> RecordingReader::open(std::string_view bytes)
{
    constexpr size_t kLongestVersion = 20;
    const size_t end = bytes.substr(0, kFormat.size() + kLongestVersion).find('\n');
    if (!bytes.starts_with(kFormat) || end == std::string_view::npos)
        return Error{.what = "this is no recording of vtrace",
                     .hint = "`vtrace record` makes them",
                     .exit = ExitCode::kUsage};
    const std::string_view version = bytes.substr(kFormat.size(), end - kFormat.size());
    if (version != kVersion)
        return Error{.what = "this recording has format " + printable(version) +
                             ", this vtrace reads " + std::string(kVersion),
                     .hint = "use the vtrace that made it",
                     .exit = ExitCode::kUsage};
    RecordingReader reader(bytes.substr(end + 1));
    const auto text = reader.frame();
    if (!text)
        return text.error();
    if (!*text)
        return Error{.what = "the recording ends before its first interval"};
    auto head = load_head(**text);
    if (!head)
        return damaged("its head says " + printable(head.error().what));
    reader.head_ = std::move(*head);
    return reader;
}

// The text of the next frame; none at the end.
Result<std::optional<std::string>> RecordingReader::frame()
{
    FrameHead head;
    if (rest_.size() < sizeof(head)) {
        cut_ = !rest_.empty();
        return std::optional<std::string>();
    }
    const std::string where =
        frames_ == 0 ? "in its head " : "in its interval " + std::to_string(frames_) + " ";
    std::memcpy(&head, rest_.data(), sizeof(head));
    if (head.magic != kMagic || head.crc != crc_of(head) || head.zero != 0)
        return damaged(where + "no frame begins where one should");
    if (head.size > kLargest || head.unpacked > kLargest)
        return damaged(where + "a frame is too large");
    if (rest_.size() - sizeof(head) < head.size) {
        cut_ = true;
        rest_ = {};
        return std::optional<std::string>();
    }
    const std::string_view payload = rest_.substr(sizeof(head), head.size);
    if (crc_of(payload) != head.payload_crc)
        return damaged(where + "the checksum is another");
    auto text = unpacked(payload, head.unpacked);
    if (!text)
        return damaged(where + "is what zstd cannot unpack");
    rest_.remove_prefix(sizeof(head) + head.size);
    frames_++;
    return text;
}

Result<std::optional<Interval>> RecordingReader::next()
{
    const auto text = frame();
    if (!text)
        return text.error();
    if (!*text)
        return std::optional<Interval>();
    auto interval = load_interval(**text);
    if (!interval)
        return damaged("its interval " + std::to_string(frames_ - 1) +
                       " is none: " + printable(interval.error().what));
    if (interval->size() != head_.tools.size())
        return damaged("its interval " + std::to_string(frames_ - 1) +
                       " has another number of snapshots than its head says");
    return std::optional<Interval>(std::move(*interval));
}

} // namespace vtrace
