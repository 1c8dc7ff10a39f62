#!/usr/bin/env bash
# Brings what the console's test opens its page with: Debian's Chromium without a window, and in target/tools/browser the
# packages that drive it and judge how the page can be used. Does nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."
browser=$PWD/target/tools/browser

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Ubuntu has no such package; a browser that is there serves as well.
browsers=(chromium-headless-shell chromium google-chrome)
if ! command -v "${browsers[@]}" >/dev/null; then
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends chromium-headless-shell >/dev/null
fi

# puppeteer-core 25 wants a newer Node than Debian 12 has.
wanted="puppeteer-core@24.43.1 axe-core@4.14.1"
if [ "$(cat "$browser/installed" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$browser"
  # shellcheck disable=SC2086 # a list of words
  npm install --silent --no-fund --no-audit --no-package-lock --prefix "$browser" $wanted
  echo "$wanted" > "$browser/installed"
fi
command -v "${browsers[@]}" | head -n 1 > "$browser/executable"
