#!/usr/bin/env bash
# Coverage-guided fuzzing on the stable toolchain: scripts/fuzz.sh smoke|faults|long [TARGET…]
#
# smoke: replays the corpora, shows that each target finds its planted fault, then 25 s of each target, two at a time.
# long:  MINUTES of each target (60), two at a time. faults: the planted faults alone.
#
# What is found lies in target/fuzz/found. Mend it, and move the input to fuzz/corpus/TARGET: it is replayed from then on.
# What covers more than the corpus does grows in target/fuzz/corpus and is where the next run begins.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?smoke, faults or long}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(verify json envelope journal config request)
work=target/fuzz
mkdir -p $work/found $work/logs

say() { printf 'fuzz: %s\n' "$*"; }

RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --package hookbus-fuzz --bins "${targets[@]/#/--bin=fuzz-}"

# In memory where there is such a folder.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" hookbus-fuzz.XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# One target, with libFuzzer's own options; the log is shown when it ends badly.
run() {
  local target=$1 log=target/fuzz/logs/$1
  shift
  mkdir -p "target/fuzz/corpus/$target"
  if target/debug/fuzz-"$target" -timeout=30 -rss_limit_mb=2048 -artifact_prefix="target/fuzz/found/$target-" -print_final_stats=1 \
    -dict="fuzz/dict/$target" "$@" "target/fuzz/corpus/$target" "fuzz/corpus/$target" >"$log" 2>&1; then
    printf 'fuzz: %-9s %s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: */runs /p; s/^#[0-9]*.*DONE.*\(cov: [0-9]* ft: [0-9]*\).*/\1/p' "$log" | tr '\n' ' ')"
  else
    printf 'fuzz: %s FAILED\n' "$target"
    grep -v '^#' "$log" | grep -v ' Uses: ' | tail -n 30
    return 1
  fi
}
export -f run

all() { printf '%s\n' "${targets[@]}" | xargs -P 2 -I TARGET bash -c 'run TARGET "$@"' bash "$@"; }

# Each target must panic at its planted fault, and soon.
faults() {
  local target log
  for target in "${targets[@]}"; do
    log=$work/logs/$target.fault
    mkdir "$TMPDIR/$target"
    if HOOKBUS_FUZZ_FAULT=1 target/debug/fuzz-"$target" -max_total_time=60 -artifact_prefix="$TMPDIR/" -dict="fuzz/dict/$target" \
      "$TMPDIR/$target" "fuzz/corpus/$target" >"$log" 2>&1 || ! grep -q "panicked at fuzz/src/$target.rs" "$log"; then
      say "$target does not find its planted fault"
      tail -n 20 "$log"
      return 1
    fi
  done
  say "each planted fault was found: ${targets[*]}"
}

case $what in
  smoke)
    all -runs=0
    faults
    all "-max_total_time=${SECONDS_EACH:-25}"
    ;;
  faults) faults ;;
  long) all "-max_total_time=$((${MINUTES:-60} * 60))" ;;
  *) say "smoke, faults or long"; exit 64 ;;
esac
