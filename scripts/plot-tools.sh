#!/usr/bin/env bash
# Brings what draws the dashboard's picture into target/plot; does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -d target/plot/matplotlib ]; then
  python3 -m pip install --quiet --no-warn-conflicts --root-user-action=ignore --target target/plot 'matplotlib==3.11.2'
fi
