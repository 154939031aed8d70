#!/usr/bin/env bash
# The C++ example programs of OpenIGTLink, which the tests take as peers: ImagerClient, ImagerServer, ReceiveServer.
# They come as sources in Debian's package and are built once, into a cache folder; tests/peers/openigtlink.py finds them.
# tests/peers/install.sh calls this, once the packages are there.
set -euo pipefail
out="${XDG_CACHE_HOME:-$HOME/.cache}/edge-cns/openigtlink"
programs=(ImagerClient ImagerServer ReceiveServer)
if [ -x "$out/ReceiveServer" ] && [ -f "$out/img/igtlTestImage5.raw" ]; then
  exit 0
fi
examples="$(dpkg -L openigtlink-examples | grep -m 1 '/Imager$' | xargs dirname)"
build="$(mktemp -d)"
trap 'rm -rf "$build"' EXIT
cat > "$build/CMakeLists.txt" << CMAKE
cmake_minimum_required(VERSION 3.10)
project(peers CXX)
find_package(OpenIGTLink REQUIRED)
include(\${OpenIGTLink_USE_FILE})
add_executable(ImagerClient $examples/Imager/ImagerClient.cxx)
add_executable(ImagerServer $examples/Imager/ImagerServer.cxx)
add_executable(ReceiveServer $examples/Receiver/ReceiveServer.cxx)
foreach(program ${programs[*]})
  target_link_libraries(\${program} OpenIGTLink)
endforeach()
CMAKE
cmake -S "$build" -B "$build/made" -DCMAKE_BUILD_TYPE=Release > /dev/null
cmake --build "$build/made" > /dev/null
mkdir -p "$out"
cp -r "$examples/Imager/img" "$out/"
cp "${programs[@]/#/$build/made/}" "$out/"
