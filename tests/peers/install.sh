#!/usr/bin/env bash
# What only the tests against real peers need, on Debian or Ubuntu; tests whose peer is absent skip and say so.
# Usage, as root: tests/peers/install.sh
set -euo pipefail
packages=(
  # An RTSP server, driven from the system's Python: tests/peers/rtsp_server.py
  python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly
  glib-networking openssl # for rtsps://
  # An OpenCV that was built with GStreamer, for gst://; PyPI's is not
  python3-opencv
  # The operator's page in a browser, and a window on a screen that nobody sees
  chromium chromium-driver xvfb
  # The C SDK: compilers, sanitizers, a memory checker
  cmake make g++ pkg-config valgrind clang clang-tidy
  # A Cortex-M55: compiler and emulator
  gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
  # DICOM: storescu, storescp and compressors; dciodvfy
  dcmtk dicom3tools
  # A virtual environment of the system's Python
  python3-venv
  # OpenIGTLink: the C++ library and its example programs, as sources
  libopenigtlink-dev openigtlink-examples
)
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${packages[@]}"
"$(dirname "$0")/openigtlink.sh"   # builds the examples, once
"$(dirname "$0")/model_signing.sh" # OpenSSF Model Signing, in an environment of its own
