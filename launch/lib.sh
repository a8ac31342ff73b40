# Set-up that the launchers share; read by them with `.`, not run by itself.
#
# Leaves the shell in the repository's root with Open MPI, OpenBLAS, libcrypto, PCRE2, libpng, libturbojpeg, zlib, libzstd, liblzma and a release build there, and these set:
#   murmur        the program: that of MURMUR in the environment, which is then not built, or the release build
#   start_ranks   how ranks are started: `$start_ranks 2 command…` (mpirun, quiet, not bound to cores)

set -eu

fail() {
    echo "error: $*" >&2
    exit 2
}

# Says what it does and does it as root: directly, through sudo, or not at all.
install_packages() {
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        fail "these packages are missing: $*; install them as root:
    apt-get update && apt-get install -y $*"
    fi
    command -v apt-get > /dev/null ||
        fail "these packages are missing, and there is no apt-get here: $*"
    echo "installing with apt-get${as_root:+ through sudo}: $*"
    # The lists of a fresh machine are empty; without a network the ones that are there may do.
    $as_root apt-get update -q > /dev/null || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" > /dev/null ||
        fail "apt-get could not install them; install by hand:
    ${as_root:+$as_root }apt-get update && ${as_root:+$as_root }apt-get install -y $*"
}

install_missing() {
    missing=""
    command -v mpirun > /dev/null || missing="$missing openmpi-bin"
    command -v pkg-config > /dev/null || missing="$missing pkg-config"
    pkg-config --exists ompi-c 2> /dev/null || missing="$missing libopenmpi-dev"
    pkg-config --exists openblas 2> /dev/null || missing="$missing libopenblas-dev"
    pkg-config --exists libcrypto 2> /dev/null || missing="$missing libssl-dev"
    pkg-config --exists libpcre2-8 2> /dev/null || missing="$missing libpcre2-dev"
    pkg-config --exists libpng 2> /dev/null || missing="$missing libpng-dev"
    pkg-config --exists libturbojpeg 2> /dev/null || missing="$missing libturbojpeg0-dev"
    pkg-config --exists zlib 2> /dev/null || missing="$missing zlib1g-dev"
    pkg-config --exists libzstd 2> /dev/null || missing="$missing libzstd-dev"
    pkg-config --exists liblzma 2> /dev/null || missing="$missing liblzma-dev"
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || install_packages $missing
}

find_swift() {
    command -v swift > /dev/null ||
        fail "swift is not on the path; install the toolchain from https://www.swift.org/install
    and put its usr/bin first: export PATH=/path/to/swift/usr/bin:\$PATH"
}

# Containers run as root, which Open MPI refuses unless told: by variables for the tests, by a flag in the
# commands that are shown.
allow_root() {
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        start_ranks="mpirun --allow-run-as-root ${start_ranks#mpirun }"
    fi
}

# A Python that has torch and transformers, in `python`: that of MURMUR_PYTHON, or a virtual environment in .build/peers,
# which is made where it is missing. `find_peer_python MODULE…` names what it has to have.
find_peer_python() {
    needs=$(echo "$*" | sed 's/ /, /g')
    if [ -n "${MURMUR_PYTHON:-}" ]; then
        python=$MURMUR_PYTHON
        "$python" -c "import $needs" 2> /dev/null ||
            fail "MURMUR_PYTHON: expected a Python with $needs, found $python; unset it, and one is made"
        return 0
    fi
    python=$PWD/.build/peers/bin/python3
    ! "$python" -c "import $needs" 2> /dev/null || return 0
    command -v python3 > /dev/null || install_packages python3
    echo "making .build/peers: transformers, torch, tokenizers and their kind (hundreds of MB)"
    rm -rf .build/peers
    python3 -m venv .build/peers > /dev/null 2>&1 || {
        rm -rf .build/peers
        install_packages python3-venv
        python3 -m venv .build/peers > /dev/null 2>&1 ||
            fail "python3 -m venv .build/peers: expected a virtual environment, found none; MURMUR_PYTHON names another Python"
    }
    "$python" -m pip install -q --disable-pip-version-check \
        transformers tokenizers safetensors torch==2.13.0 sentencepiece protobuf tiktoken rs-bpe || {
        rm -rf .build/peers
        fail "pip could not install torch and transformers; the package index is needed once,
    or MURMUR_PYTHON, a Python that has $needs"
    }
}

cd "$(dirname "$0")/.."
[ -n "${MURMUR:-}" ] || find_swift
install_missing
start_ranks="mpirun -q --bind-to none --oversubscribe -n"
allow_root
# shellcheck disable=SC2034 # of who reads this
murmur=${MURMUR:-.build/release/murmur}

build_release() {
    if [ -n "${MURMUR:-}" ]; then
        [ -x "$MURMUR" ] || fail "MURMUR: expected a program, found $MURMUR"
        return 0
    fi
    echo "building in release (the first time takes minutes)"
    swift build -c release --product murmur
}
