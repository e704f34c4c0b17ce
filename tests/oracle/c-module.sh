#!/usr/bin/env bash
# Puts Debian's mod_jk.so (package libapache2-mod-jk) at target/oracle/mod_jk.so for `make oracle`. Nothing is installed:
# the package is downloaded and unpacked below target/. Where that cannot be done, an installed package is taken, but only
# if dpkg says that its file is the package's own (`make install` puts ours in the same place).
# Set ORACLE_C_MODULE to the path of another C module to compare with that.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly package=libapache2-mod-jk module=usr/lib/apache2/modules/mod_jk.so wanted=target/oracle/mod_jk.so

die() {
    echo "oracle: $*" >&2
    exit 1
}

unpack() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    rm -rf target/oracle/package
    mkdir -p target/oracle/package
    # apt's own downloader drops its rights and then cannot write here; that is a notice, not a failure.
    (cd target/oracle/package && apt-get download -q "$package" 2>/dev/null) || return 1
    dpkg-deb -x target/oracle/package/"$package"_*.deb target/oracle/package
    install -m 0644 target/oracle/package/"$module" "$wanted"
}

installed() {
    [[ -f /$module ]] && command -v dpkg >/dev/null && dpkg-query -L "$package" >/dev/null 2>&1 || return 1
    ! dpkg --verify "$package" 2>/dev/null | grep -q "/$module" || return 1
    install -m 0644 "/$module" "$wanted"
}

if [[ -n ${ORACLE_C_MODULE:-} ]]; then
    [[ -f $ORACLE_C_MODULE ]] || die "ORACLE_C_MODULE=$ORACLE_C_MODULE is no file"
    exit 0
fi
if [[ ! -f $wanted ]]; then
    mkdir -p target/oracle
    unpack || installed ||
        die "cannot get $package: no apt-get with package lists (run apt-get update), and no untouched installed package.
Unpack it elsewhere and set ORACLE_C_MODULE to its mod_jk.so."
fi
grep -qa 'mod_jk/1\.2\.' "$wanted" || die "$wanted is not the C mod_jk"
echo "oracle: comparing with $(grep -ao 'mod_jk/1\.2\.[0-9]*' "$wanted" | head -n 1) at $wanted"
