// SPDX-License-Identifier: GPL-2.0-only
#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace vtrace {
namespace {

TEST(Result, HoldsAValue)
{
    Result<std::string> result = std::string("value");
    ASSERT_TRUE(result);
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(*result, "value");
    EXPECT_EQ(result->size(), 5u);
    *result += "!";
    EXPECT_EQ(result.value(), "value!");
}

TEST(Result, HoldsAnError)
{
    const Result<int> result = Error{.what = "cannot", .exit = ExitCode::kUsage};
    ASSERT_FALSE(result);
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(result.error().what, "cannot");
    EXPECT_EQ(result.error().exit, ExitCode::kUsage);
}

TEST(Result, MovesWhatCannotBeCopied)
{
    Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
    ASSERT_TRUE(result);
    const std::unique_ptr<int> moved = std::move(*result);
    EXPECT_EQ(*moved, 7);
}

TEST(Status, OkIsNoError)
{
    EXPECT_TRUE(ok().has_value());
}

TEST(Error, MessageIsOneLineOfWhatWhyHint)
{
    EXPECT_EQ(Error{.what = "cannot open x"}.message(), "cannot open x");
    EXPECT_EQ((Error{.what = "cannot open x", .code = ENOENT}).message(),
              std::string("cannot open x: ") + std::strerror(ENOENT));
    EXPECT_EQ((Error{.what = "cannot open x", .code = ENOENT, .hint = "make it"}).message(),
              std::string("cannot open x: ") + std::strerror(ENOENT) + "; make it");
    EXPECT_EQ((Error{.what = "wrong", .hint = "see --help"}).message(), "wrong; see --help");
}

TEST(Error, TakesErrno)
{
    errno = EPERM;
    const Error error = errno_error("cannot load", "run as root");
    EXPECT_EQ(error.code, EPERM);
    EXPECT_EQ(error.what, "cannot load");
    EXPECT_EQ(error.hint, "run as root");
    EXPECT_EQ(error.exit, ExitCode::kFailed);
}

TEST(ExitCode, IsWhatUsersWereTold)
{
    EXPECT_EQ(static_cast<int>(ExitCode::kDone), 0);
    EXPECT_EQ(static_cast<int>(ExitCode::kFailed), 1);
    EXPECT_EQ(static_cast<int>(ExitCode::kUsage), 2);
    EXPECT_EQ(static_cast<int>(ExitCode::kNotPossible), 3);
}

} // namespace
} // namespace vtrace
