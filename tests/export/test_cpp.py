"""The C++ block of docs/export.md: its syntax, against declarations of the part of onnxruntime that it uses."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECLARATIONS = """
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>
enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING };
enum OrtAllocatorType { OrtArenaAllocator };
enum OrtMemType { OrtMemTypeDefault };
struct OrtMemoryInfo;
namespace Ort {
struct Env { Env(OrtLoggingLevel level, const char* name); };
struct SessionOptions { SessionOptions(); explicit SessionOptions(std::nullptr_t); };
struct RunOptions { RunOptions(); explicit RunOptions(std::nullptr_t); };
struct MemoryInfo {
    static MemoryInfo CreateCpu(OrtAllocatorType type, OrtMemType mem_type);
    operator const OrtMemoryInfo*() const;
};
struct Value {
    template <typename T>
    static Value CreateTensor(const OrtMemoryInfo* info, T* data, size_t count, const int64_t* shape, size_t length);
    template <typename T> const T* GetTensorData() const;
};
struct Session {
    Session(const Env& env, const char* path, const SessionOptions& options);
    std::vector<Value> Run(const RunOptions& options, const char* const* input_names, const Value* inputs,
                           size_t input_count, const char* const* output_names, size_t output_count);
};
}  // namespace Ort
"""


def block():
    (found,) = re.findall(
        r"^```cpp\n(.*?)^```", (ROOT / "docs" / "export.md").read_text(), flags=re.DOTALL | re.MULTILINE
    )
    return found


def checked(source, folder):
    (folder / "onnxruntime_cxx_api.h").write_text(DECLARATIONS)
    (folder / "main.cpp").write_text(source)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{folder}", folder / "main.cpp"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_the_example_is_cpp(tmp_path):
    assert len(block().splitlines()) <= 36
    done = checked(block(), tmp_path)
    assert done.returncode == 0, done.stderr
    broken = checked(block().replace("session.Run(", "session.Ran("), tmp_path)
    assert "Ran" in broken.stderr
    assert broken.returncode != 0
