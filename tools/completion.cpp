// SPDX-License-Identifier: GPL-2.0-only
#include "tools/completion.h"

#include "base/printable.h"
#include "demo/scenario.h"
#include "tools/command_options.h"

#include <optional>
#include <set>

namespace vtrace {
namespace {

const CLI::App* find_subcommand(const CLI::App& app, const std::string& name)
{
    for (const CLI::App* sub : app.get_subcommands({})) {
        if (sub->get_name() == name)
            return sub;
    }
    return nullptr;
}

// A name as a shell's word. Anything else than these could mean something to it.
std::string escaped(const std::string& name)
{
    constexpr std::string_view kPlain = "_-./@%+,:=";
    std::string word;
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80 && std::isalnum(byte) == 0 && kPlain.find(c) == std::string_view::npos)
            word += '\\';
        word += c;
    }
    return word;
}

// A word with its escapes undone. Nothing for one in quotes: there a shell has other rules.
std::optional<std::string> unescaped(const std::string& word)
{
    std::string name;
    for (size_t i = 0; i < word.size(); i++) {
        if (word[i] == '\'' || word[i] == '"' || word[i] == '$' || word[i] == '`')
            return std::nullopt;
        if (word[i] == '\\' && ++i == word.size())
            return std::nullopt;
        name += word[i];
    }
    return name;
}

// What `word`, which begins with `option`, can be with each name of this kind that is known.
std::vector<std::string> with_names(const std::string& option, std::string_view kind,
                                    const std::string& word, const KnownNames& known)
{
    const auto typed = unescaped(word.substr(option.size()));
    if (!typed)
        return {};
    std::set<std::string> words; // names may be the same
    for (const std::string& name : known(std::string(kind), *typed)) {
        if (!name.empty() && printable(name) == name)
            words.insert(option + escaped(name));
    }
    return {words.begin(), words.end()};
}

bool takes_value(const CLI::App& app, const std::string& word)
{
    const CLI::Option* option = app.get_option_no_throw(word);
    return option != nullptr && option->get_expected_min() > 0;
}

// What may stand behind `before` in place of `word`.
std::vector<std::string> words_of(const CLI::App& sub, const std::string& before,
                                  const std::string& word, const KnownNames& known)
{
    const ToolSpec* tool = find_tool(sub.get_name());
    if (before == "--format")
        return formats(tool);
    if (before == kDiskFlag && takes_value(sub, before))
        return with_names("", kDisk, word, known);
    if (takes_value(sub, before))
        return {};
    if (word.starts_with("--format=")) {
        std::vector<std::string> words = formats(tool);
        for (std::string& format : words)
            format.insert(0, "--format=");
        return words;
    }
    for (const TargetFlag& target : kTargets) {
        const std::string flag = flag_of(target);
        if (word.starts_with(flag + "=") && sub.get_option_no_throw(flag) != nullptr)
            return with_names(flag + "=", target.kind, word, known);
    }
    const std::string disk = std::string(kDiskFlag) + "=";
    if (word.starts_with(disk) && takes_value(sub, std::string(kDiskFlag)))
        return with_names(disk, kDisk, word, known);
    std::vector<std::string> options;
    for (const CLI::Option* option : sub.get_options()) {
        for (const std::string& name : option->get_lnames())
            options.push_back("--" + name);
    }
    for (const CLI::App* nested : sub.get_subcommands({}))
        options.push_back(nested->get_name());
    if (sub.get_name() == kDemo) {
        for (const Scenario& scenario : scenarios())
            options.emplace_back(scenario.name);
    }
    return options;
}

} // namespace

std::string complete(const std::vector<std::string>& words, const KnownNames& known)
{
    Parser parser;
    const std::string last = words.empty() ? "" : words.back();
    std::vector<std::string> candidates;
    if (words.size() <= 1) {
        for (const CLI::App* sub : parser.app.get_subcommands({}))
            candidates.push_back(sub->get_name());
        candidates.insert(candidates.end(), {"--help", "--version"});
    } else if (const CLI::App* sub = find_subcommand(parser.app, words.front())) {
        for (const std::string& word : words) {
            if (words.front() == kReport && find_subcommand(*sub, word) != nullptr)
                sub = find_subcommand(*sub, word);
        }
        candidates = words_of(*sub, words[words.size() - 2], last, known);
    }
    std::string text;
    for (const std::string& candidate : candidates) {
        if (candidate.starts_with(last))
            text += candidate + "\n";
    }
    return text;
}

std::string_view bash_completion()
{
    return R"(# bash completion for vtrace: source <(vtrace completion)
_vtrace()
{
    local rest=${COMP_LINE:0:COMP_POINT} words=() space word i
    COMPREPLY=()
    # Bash splits at = and : as well: what has no space before it belongs to the word before.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        space=${rest%%[![:space:]]*}
        rest=${rest#"$space"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$rest
        if [[ $i -gt 0 && ! $space ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        rest=${rest#"$word"}
    done
    ((${#words[@]} > 1)) || return
    word=${words[-1]}
    if [[ ${words[-2]} == --output || $word == --output=* || ${words[-2]} == -o ||
          ${words[-2]} == --record || $word == --record=* ||
          ( ${words[1]} == report && ${#words[@]} -eq 3 ) ||
          ( ${words[1]} == compare && $word != -* && ${words[-2]} != --* ) ]]; then
        compopt -o default
        return
    fi
    # What is before the part that readline replaces is not to be repeated.
    [[ $word == *"$2" ]] || return
    while IFS= read -r rest; do
        COMPREPLY+=("${rest:${#word}-${#2}}")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    # One with others below it is not the end of a path.
    [[ ${COMPREPLY[0]-} != */ ]] || compopt -o nospace
}
complete -F _vtrace vtrace
)";
}

} // namespace vtrace
