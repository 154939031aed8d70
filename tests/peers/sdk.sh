#!/usr/bin/env bash
# What the tests of the C SDK need beside a compiler, on Debian or Ubuntu: tests/peers/install.sh calls this.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get install -q -y --no-install-recommends cmake make g++ pkg-config valgrind clang clang-tidy
