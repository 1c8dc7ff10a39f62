#!/usr/bin/env bash
# Breaks the code of the given rooms of src and crates in one place at a time, and lists the changes that no unit test of
# theirs notices (target/mutants.out/missed.txt). Some are harmless, such as a larger buffer; each of the others is a test to write.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/tools/cargo

# Built once, without the optimisation that a tool does not need.
if [ ! -x "$tools/bin/cargo-mutants" ]; then
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --root "$tools" --target-dir "$tools-build" cargo-mutants@27.1.0
  rm -rf "$tools-build"
fi

files=()
for room in "$@"; do
  files+=(--file "src/$room.rs" --file "src/$room/**" --file "crates/$room/src/**")
done
# It works on a copy, which starts with what is built already. Status 2 says that some changes were not noticed.
PROPTEST_CASES=${PROPTEST_CASES:-16} "$tools/bin/cargo-mutants" mutants --workspace --copy-target true --gitignore true \
  --timeout 120 --output target "${files[@]}" -- --lib || [ $? -eq 2 ]
