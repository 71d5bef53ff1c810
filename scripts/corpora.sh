#!/usr/bin/env bash
# Gets what `make oracle` needs beyond scripts/setup.sh, and nothing twice: PostgreSQL's
# own regression SQL with its library, from Debian's source package. All of it goes to $GATEPOST_TOOLS. Starts no service;
# apt's own lists and sources are left as they are.
set -euo pipefail
umask 022

tools=${GATEPOST_TOOLS:-/opt/gatepost-tools}

say() { printf 'corpora: %s\n' "$*"; }
die() { printf 'corpora: %s\n' "$*" >&2; exit 1; }

# Runs a command silently; shows what it said only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then tail -n 50 "$log" >&2; fi
  rm -f "$log"
  [ "$status" -eq 0 ] || die "failed ($status): $*"
}

# --- PostgreSQL's regression SQL -------------------------------------------------------------------------------------

# Writes what apt knows binary packages from as sources of source packages.
source_lists() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' "$file"
  done >"$1/oracle.list"
  for file in /etc/apt/sources.list.d/debian*.sources; do
    [ -f "$file" ] && sed 's/^Types: .*/Types: deb-src/' "$file" >"$1/$(basename "$file")"
  done
  true
}

# Newest first: a mirror may not have every version that its list names.
download_source() {
  local apt=$1/apt version
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
  source_lists "$apt/parts"
  local options=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$apt/parts" -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=root" -o "Acquire::Retries=3")
  quietly apt-get "${options[@]}" -qq update
  for version in $(apt-cache "${options[@]}" showsrc postgresql-15 | sed -n 's/^Version: //p' | sort -rV | uniq); do
    (cd "$1" && apt-get "${options[@]}" -qq source --download-only "postgresql-15=$version" >"$apt/log" 2>&1) && return 0
  done
  cat "$apt/log" >&2
  die "apt has no source package of postgresql-15 that can be downloaded"
}

install_regression() {
  local folder=$tools/regression-15 archive
  rm -rf "$folder"
  mkdir -p "$folder/source"
  download_source "$folder"
  archive=$(find "$folder" -maxdepth 1 -name 'postgresql-15_*.orig.tar.*' | head -n 1)
  tar -C "$folder/source" --strip-components=1 -xf "$archive"
  say "building the regression library"
  (
    cd "$folder/source"
    quietly ./configure --quiet --without-readline --without-zlib --without-icu
    quietly make -s -C src/backend generated-headers
    quietly make -s -C src/port all
    quietly make -s -C src/common all
    quietly make -s -C src/test/regress regress.so autoinc.so refint.so
  )
  cp -a "$folder/source/src/test/regress/." "$folder/"
  rm -rf "$folder/source" "$folder/apt" "$folder"/postgresql-15_*
  chmod -R a+rX "$folder"
}

# --- in order --------------------------------------------------------------------------------------------------------

# step NAME FUNCTION INPUT...: runs FUNCTION unless it ran before with the same inputs.
step() {
  local name=$1 run=$2 stamp=$tools/.stamp-$1 state
  shift 2
  state=$(cat "$0" "$@" | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then return 0; fi
  say "$name"
  rm -f "$stamp"
  "$run"
  printf '%s\n' "$state" >"$stamp"
}

[ -x "$tools/bin/node" ] || die "\"$tools/bin/node\" is not there: run \`make setup\` first"
exec 9>"$tools/.lock"
flock 9
step regression-15 install_regression
