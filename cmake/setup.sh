# For run.sh and test.sh, which source it from the root of the project: packages and builds.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# install_packages NAME...: installs the Debian packages that are missing. Only apt runs as root.
install_packages() {
  if ! command -v dpkg >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "This is no Debian system; please see that these are installed: $*" >&2
    return 0
  fi
  missing=$(for p in "$@"; do dpkg -s "$p" 2>/dev/null | grep -q '^Status: .* installed$' || echo "$p"; done | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  sudo=
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "These packages are missing, and there is neither root nor sudo to install them. As root, run:" >&2
      echo "  apt-get install $missing" >&2
      exit 1
    fi
    sudo=sudo
  fi
  say "Installing $missing"
  $sudo apt-get -o DPkg::Lock::Timeout=300 -qq update
  # shellcheck disable=SC2086  # a list of words
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq install -y \
    --no-install-recommends $missing >/dev/null
}

required_packages="g++ cmake ninja-build libtbb-dev libfmt-dev libboost-test-dev libstb-dev libhwy-dev nlohmann-json3-dev libcli11-dev ca-certificates"
# What tests use beside: an installed library is asked for by pkg-config too.
test_packages="pkg-config"

# One compiler needs up to 1.5 GiB.
jobs() {
  cpus=$(nproc)
  by_memory=$(awk '/MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo)
  [ "$by_memory" -ge 1 ] || by_memory=1
  if [ "$by_memory" -lt "$cpus" ]; then echo "$by_memory"; else echo "$cpus"; fi
}

# build PRESET [TARGET...]: configures and builds; the log is shown when it fails.
build() {
  preset=$1
  shift
  say "Building ($preset)"
  mkdir -p build
  cmake --preset "$preset" >build/configure.log 2>&1 || { cat build/configure.log >&2; return 1; }
  if [ $# -gt 0 ]; then set -- --target "$@"; fi
  cmake --build --preset "$preset" -j "$(jobs)" "$@"
}
