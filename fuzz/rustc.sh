#!/usr/bin/env bash
# Stands before rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): the code that is fuzzed counts its edges and
# shows what it compares. Dependencies are those that are built for the tests. Stable rustc takes all of this.
set -euo pipefail
case " $* " in
  *" --crate-name hookbus "*" --crate-type lib "* | *" --crate-name journal "*)
    exec "$@" -Copt-level=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares ;;
  *" --crate-name hookbus_fuzz "*) exec "$@" -Copt-level=1 ;;
  *) exec "$@" ;;
esac
