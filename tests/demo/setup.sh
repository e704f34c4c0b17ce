#!/usr/bin/env bash
# make setup: installs what the build, the demo and the tests need, and only what is missing. Asks nothing, starts and
# stops no service, touches no configuration of this machine. With everything present it takes a fraction of a second.
# As root or through sudo; on systems without apt-get it names what is missing and stops. `setup.sh demo` leaves out what only
# the tests need.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The oldest Rust that builds the crate: Cargo.toml is the one place that says so.
rust_needed=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
readonly rust_needed

readonly wanted_for=${1:-tests}

packages=() # Debian packages to install
missing=()  # the same in words, for systems without apt-get

say() { echo "setup: $*"; }
die() {
    echo "setup: $*" >&2
    exit 1
}

# Does any of these paths or patterns exist?
any_file() { compgen -G "$1" >/dev/null || { [[ $# -gt 1 ]] && any_file "${@:2}"; }; }

need() { # need <package> <what it is> <path or pattern>...
    any_file "${@:3}" && return
    packages+=("$1")
    missing+=("$2")
}

find_missing_files() {
    need apache2 "Apache httpd 2.4 with its event, worker and prefork MPMs" '/usr/sbin/apache2'
    need apache2-dev "httpd's headers and apxs" '/usr/bin/apxs' '/usr/bin/apxs2'
    need tomcat10 "Tomcat 10" '/usr/share/tomcat10/etc/web.xml'
    need tomcat10-examples "Tomcat's examples" '/usr/share/tomcat10-examples/examples/WEB-INF/web.xml'
    # bindgen loads libclang at build time and needs clang's own headers (stddef.h); both come with libclang-dev.
    need libclang-dev "libclang with its headers" '/usr/lib/llvm-*/lib/clang/*/include/stddef.h'
    need gcc "a C compiler" '/usr/bin/cc' '/usr/local/bin/cc'
    need libc6-dev "the C library's headers" '/usr/include/stdio.h'
    need curl "curl" '/usr/bin/curl' '/usr/local/bin/curl'
    need ca-certificates "certificates to fetch crates over TLS" '/etc/ssl/certs/ca-certificates.crt' '/etc/pki/tls/cert.pem'
    if ! tests/demo/find-java.sh >/dev/null 2>&1; then
        packages+=(default-jre-headless)
        missing+=("a Java runtime, 11 or newer")
    fi
    if [[ $wanted_for == tests ]]; then find_missing_for_tests; fi
}

find_missing_for_tests() {
    need ant "Apache Ant, for Tomcat's Ant tasks" '/usr/share/java/ant-launcher.jar'
    need chromium "Chromium, which opens the status pages" '/usr/bin/chromium' '/usr/bin/google-chrome'
    need chromium-driver "chromedriver, by which tests use Chromium" '/usr/bin/chromedriver' '/usr/local/bin/chromedriver'
    need fonts-dejavu-core "a font for the pictures of the pages" '/usr/share/fonts/*/*'
    if [[ ! -f $axe ]] && ! python3 -m pip --version >/dev/null 2>&1; then
        packages+=(python3-pip)
        missing+=("pip, which fetches axe-core")
    fi
}

# axe-core, the accessibility checker that runs inside the browser. Debian has no package of it, but PyPI has several that
# carry it; the wheel's checksum stands here, so it is this one file or none.
readonly axe=target/axe-core/0.1.8/axe_playwright_python/axe.min.js
fetch_axe() {
    [[ $wanted_for == tests && ! -f $axe ]] || return 0
    local folder=target/axe-core/wheel
    say "fetching axe-core from PyPI"
    mkdir -p "$folder"
    echo 'axe-playwright-python==0.1.8 --hash=sha256:fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8' >"$folder/list"
    python3 -m pip --disable-pip-version-check download -q --no-deps --only-binary :all: --require-hashes -d "$folder" -r "$folder/list" ||
        die "axe-core could not be fetched (python3 -m pip download axe-playwright-python==0.1.8)"
    python3 -m zipfile -e "$folder"/axe_playwright_python-0.1.8-*.whl "$folder/0.1.8"
    rm -rf target/axe-core/0.1.8
    mv "$folder/0.1.8" target/axe-core/
    rm -r "$folder"
    [[ -f $axe ]] || die "the wheel of axe-playwright-python holds no axe.min.js"
}

version_at_least() { [[ -n $1 && $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# One of cargo, rustc, clippy, rustfmt: is it there, and new enough?
rust_is_complete() {
    local version
    version=$(rustc --version 2>/dev/null | awk '{ print $2 }') || return 1
    version_at_least "${version%%-*}" "$rust_needed" &&
        cargo --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

candidate() { command -v apt-cache >/dev/null && apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# Chooses where Rust comes from. Debian's own rustc is older than the crate needs (12: 1.63, 13: 1.85), but Debian keeps a
# newer one for its browsers in the security archive: rustc-web and cargo-web, with clippy and rustfmt beside them as
# rust-web-clippy and rustfmt-web (12 and 13: 1.96). A rustup that is already here is the user's: told, not changed.
choose_rust() {
    local version
    if command -v rustup >/dev/null; then
        die "the Rust toolchain of rustup is older than $rust_needed or lacks a component; this mends it:
  rustup update stable && rustup default stable && rustup component add clippy rustfmt"
    fi
    version=$(candidate rustc)
    if version_at_least "${version%%[+~-]*}" "$rust_needed"; then
        packages+=(rustc cargo rust-clippy rustfmt)
        return
    fi
    version=$(candidate rustc-web)
    version_at_least "${version%%[+~-]*}" "$rust_needed" || die "no package of this Debian has Rust $rust_needed or newer
(looked for rustc and rustc-web; is the security archive among apt's sources?). Otherwise install Rust from
https://rustup.rs and run 'make setup' again."
    packages+=(rustc-web cargo-web rust-web-clippy rustfmt-web)
}

# Debian's install scripts start apache2 and tomcat10 unless /usr/sbin/policy-rc.d says no with status 101. If no such file
# exists, one is there for the time of the installation and removed again, however this script ends (one that a killed
# setup left behind is known by its mark).
readonly policy=/usr/sbin/policy-rc.d
readonly policy_mark='Put here by make setup'
forbid_service_starts() {
    if [[ -e $policy ]] && ! grep -qF "$policy_mark" "$policy"; then
        local status=0
        as_root "$policy" apache2 start >/dev/null 2>&1 || status=$?
        [[ $status == 101 ]] || die "$policy exists and lets packages start services, which setup must not cause.
Install these yourself and run 'make setup' again: ${packages[*]}"
        return
    fi
    trap 'as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n# %s for the time of one installation: no service is started or restarted.\nexit 101\n' "$policy_mark" |
        as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_service_starts() {
    [[ -n $(trap -p EXIT) ]] || return 0
    as_root rm -f "$policy"
    trap - EXIT INT TERM HUP
}

# --no-remove: an installation that would push out a package of the user's (an old rustc, say) fails instead.
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
        apt-get install -q -y --no-install-recommends --no-remove -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

install_packages() {
    [[ $rust_missing == no ]] || missing+=("Rust $rust_needed or newer with cargo, clippy and rustfmt")
    command -v apt-get >/dev/null || die "missing here:
$(printf '  %s\n' "${missing[@]}")
This system has no apt-get, so install them by its own means and run 'make setup' again."
    [[ $(id -u) == 0 ]] || command -v sudo >/dev/null || die "neither root nor sudo here; as root, 'make setup' installs what is missing:
$(printf '  %s\n' "${missing[@]}")"
    say "reading the package lists"
    as_root apt-get update -q || say "apt-get update failed; trying with the lists there are"
    if [[ $rust_missing == yes ]]; then choose_rust; fi
    if [[ -z $(candidate tomcat10-examples) ]]; then packages=("${packages[@]/#tomcat10-examples/}"); fi
    local wanted=() package
    for package in "${packages[@]}"; do [[ -z $package ]] || wanted+=("$package"); done
    say "installing ${wanted[*]} (no service is started)"
    forbid_service_starts
    # Slim images lack this folder, and the JRE's installation fails without it.
    [[ -d /usr/share/man/man1 ]] || as_root mkdir -p /usr/share/man/man1
    if [[ ${#wanted[@]} -gt 0 ]]; then apt_install "${wanted[@]}"; fi
    allow_service_starts
    if any_package apache2 tomcat10 "${wanted[@]}"; then
        say "Debian enables freshly installed services for the next boot; where that is not wanted:"
        say "  systemctl disable apache2 tomcat10"
    fi
}

any_package() { # any_package a b <installed>...
    local installed
    for installed in "${@:3}"; do [[ $installed == "$1" || $installed == "$2" ]] && return; done
    return 1
}

rust_missing=no
find_missing_files
rust_is_complete || rust_missing=yes
if [[ ${#packages[@]} == 0 && $rust_missing == no ]]; then
    fetch_axe
    say "everything is here"
    exit 0
fi
# The examples are a part of the demo, not a need: where there is no such package, they are left out.
if [[ ${packages[*]} == tomcat10-examples && $rust_missing == no && -z $(candidate tomcat10-examples) ]]; then
    fetch_axe
    say "everything is here but Tomcat's examples, of which there is no package"
    exit 0
fi
install_packages

packages=()
missing=()
find_missing_files
if [[ ${#packages[@]} -gt 0 && ${packages[*]} != tomcat10-examples ]]; then
    die "still missing after the installation:
$(printf '  %s\n' "${missing[@]}")"
fi
rust_is_complete || die "rustc is still older than $rust_needed or lacks cargo, clippy or rustfmt: $(command -v rustc || echo 'no rustc')"
fetch_axe
say "done"
