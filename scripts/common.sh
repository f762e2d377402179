# What the scripts share. Sourced by them, run by nobody. The working folder is the project's root afterwards.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The folder may have been copied from elsewhere, where another Python is current: only one that answers counts.
python_answers() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

# Prints the first Python that is 3.12 or newer: by name, then pyenv's, then uv's.
find_python() {
  local candidate name
  for name in "${CASB_PYTHON:-}" python3.13 python3.12 python3.14 python3 python; do
    [ -n "$name" ] || continue
    candidate=$(command -v "$name" 2>/dev/null) || continue
    if python_answers "$candidate"; then printf '%s\n' "$candidate"; return; fi
  done
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
    if [ -x "$candidate" ] && python_answers "$candidate"; then printf '%s\n' "$candidate"; return; fi
  done
  if command -v uv >/dev/null 2>&1; then
    candidate=$(uv python find '>=3.12' 2>/dev/null) || candidate=
    if [ -n "$candidate" ] && python_answers "$candidate"; then printf '%s\n' "$candidate"; return; fi
  fi
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo "$@"
  else return 1
  fi
}

# need COMMAND[,COMMAND…] PACKAGE WHAT-FOR: installs the Debian package when none of the commands is there.
need() {
  local command
  for command in ${1//,/ }; do
    if command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ]; then return 0; fi
  done
  debian_package "$2" "$3" || fail "$3 needs ${1//,/ or }: install the package $2 (as root: apt-get install $2) and run this again"
}

# debian_package "PACKAGE…" WHAT-FOR: from Debian's packages, as root.
debian_package() {
  if command -v apt-get >/dev/null 2>&1; then
    say "installing $1 ($2)"
    if [ -z "${apt_updated:-}" ]; then
      as_root apt-get update -qq >&2 && apt_updated=yes || true
    fi
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >/dev/null; then return 0; fi
  fi
  return 1
}

# locked LOCK only|others NAME…: the lines of a lock file for these packages, or for all others.
locked() {
  local lock="$1" which="$2"; shift 2
  awk -v which="$which" -v names=" $* " '
    /^[a-zA-Z0-9]/ { name = $1; sub(/[=\[;].*/, "", name); listed = index(names, " " name " ") > 0 }
    (which == "only") == (listed > 0) { print }' "$lock"
}

need_node() {
  need node nodejs "the emulated identity provider"
  need npm npm "the emulated identity provider"
  node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 12) ? 0 : 1)' \
    || fail "Node.js $(node --version) is too old: the emulated identity provider needs 20.12 or newer"
}

# Servers that the tests start for themselves on loopback ports; those that Debian starts are not used.
need_servers() {
  need_peers
  [ -n "$(find /usr/lib/postgresql -name postgres -type f -print -quit 2>/dev/null)" ] \
    || debian_package postgresql "reports on PostgreSQL" || fail "the tests need PostgreSQL's server: apt-get install postgresql"
  need rsyslogd rsyslog "a sender of logs"
  need named-checkzone bind9-utils "the check of DNS zones"
  [ -n "$(find /usr/lib -path '*rsyslog/lmnsd_gtls.so' -print -quit 2>/dev/null)" ] \
    || debian_package rsyslog-gnutls "logs over TLS" || fail "the tests need rsyslog's TLS driver: apt-get install rsyslog-gnutls"
  need_syslog_ng
}

# Programs of others that open what we made or stand where a customer's would: one call for all that is missing.
need_peers() {
  local missing=() command package
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || [ -e "$command" ] || missing+=("$package")
  done <<'END'
redis-server redis-server
clamd clamav-daemon
clamdscan clamdscan
c-icap c-icap libc-icap-mod-virus-scan
haproxy haproxy
php php-cli
/usr/share/simplesamlphp simplesamlphp php-xml php-mbstring php-sqlite3 php-curl
qpdf qpdf
pdftotext poppler-utils
7z p7zip-full
age age
openssl openssl
soffice libreoffice-writer-nogui
/usr/lib/libreoffice/program/libsclo.so libreoffice-calc-nogui
/usr/lib/libreoffice/program/libsdlo.so libreoffice-impress-nogui
END
  [ ${#missing[@]} = 0 ] || debian_package "${missing[*]}" "peers of the tests" \
    || fail "the tests need these packages: apt-get install ${missing[*]}"
}

# The other well-known sender. Its package and rsyslog's exclude each other: it is unpacked into a folder of its own.
need_syslog_ng() {
  local place="${CASB_SYSLOG_NG:-$HOME/.cache/casb/syslog-ng}" library
  if command -v syslog-ng >/dev/null 2>&1 || [ -x /usr/sbin/syslog-ng ] || [ -x "$place/usr/sbin/syslog-ng" ]; then return 0; fi
  say "unpacking syslog-ng (a sender of logs)"
  [ -n "${apt_updated:-}" ] || { as_root apt-get update -qq >&2 && apt_updated=yes; } || true
  for library in $(apt-cache depends syslog-ng-core | sed -n 's/^  Depends: \(lib[a-z0-9.+-]*\)$/\1/p'); do
    dpkg -s "$library" >/dev/null 2>&1 || debian_package "$library" "syslog-ng" || true
  done
  local work; work=$(mktemp -d)
  (cd "$work" && apt-get download -qq syslog-ng-core >/dev/null 2>&1 && mkdir -p "$place" && dpkg -x ./*.deb "$place") \
    || fail "the tests need syslog-ng: unpack the package syslog-ng-core into $place, or name its folder in CASB_SYSLOG_NG"
  rm -rf "$work"
}

need_browser() {
  need chromium,chromium-browser,google-chrome chromium "a real browser"
  need certutil libnss3-tools "the browser's certificate store"
  # A browser without any font shows pages without words.
  [ -n "$(find /usr/share/fonts "$HOME/.fonts" "$HOME/.local/share/fonts" -name '*.[to]tf' -print -quit 2>/dev/null)" ] \
    || debian_package fonts-dejavu-core "words in the browser" || say "no font was found: pages may show no words"
}

# npm_install FOLDER: what its lock names, when that changed since the last time.
npm_install() {
  local stamp="$1/node_modules/.casb-stamp" wanted
  wanted=$(sha256sum <"$1/package-lock.json")
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
  say "installing the packages of $1"
  # Not --prefix: that moves npm's global configuration, too, and with it the machine's certificates.
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error >/dev/null)
  printf '%s\n' "$wanted" >"$stamp"
}

# python_apps FOLDER: an environment for the Python programs that its requirements.lock names, apart from ours.
python_apps() {
  local stamp="$1/.venv/.casb-stamp" wanted
  wanted=$(cat "$1/requirements.lock" .venv/pyvenv.cfg | sha256sum; pwd)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
  say "installing the Python programs of $1"
  rm -rf "$1/.venv"
  .venv/bin/python -m venv "$1/.venv"
  "$1/.venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: -r "$1/requirements.lock"
  printf '%s\n' "$wanted" >"$stamp"
}
