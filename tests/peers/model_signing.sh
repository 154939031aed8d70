#!/usr/bin/env bash
# OpenSSF Model Signing's own program, which the tests take as a peer, in an environment of its own in a cache folder:
# it brings twenty packages that nothing else here needs. tests/peers/model_signing.py finds it.
# tests/peers/install.sh calls this. PYTHON chooses the interpreter.
set -euo pipefail
out="${XDG_CACHE_HOME:-$HOME/.cache}/edge-cns/model-signing"
if [ -x "$out/bin/model_signing" ]; then
  exit 0
fi
"${PYTHON:-python3}" -m venv "$out"
"$out/bin/pip" install --quiet model-signing==1.1.1 'pyOpenSSL>=24' # which it imports and does not ask for
