# Set-up that the launchers share; read by them with `.`, not run by itself.
#
# Leaves the shell in the repository's root with Open MPI, OpenBLAS, libcrypto, libpng, libturbojpeg and a release build there, and these set:
#   murmur        the program
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
    pkg-config --exists libpng 2> /dev/null || missing="$missing libpng-dev"
    pkg-config --exists libturbojpeg 2> /dev/null || missing="$missing libturbojpeg0-dev"
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

cd "$(dirname "$0")/.."
find_swift
install_missing
start_ranks="mpirun -q --bind-to none --oversubscribe -n"
allow_root
murmur=.build/release/murmur

build_release() {
    echo "building in release (the first time takes minutes)"
    swift build -c release --product murmur
}
