#!/usr/bin/env bash
# Prints the home of a Java runtime that Tomcat 10 can use (Java 11 or newer), or says on stderr that there is none.
# JAVA_HOME wins if it is usable; a stale one is passed over, so that it cannot break the demo or the tests.
set -euo pipefail

readonly needed=11

# The feature release of the runtime in $1 (17 for 17.0.15, 8 for 1.8.0); fails if there is none.
feature_release() {
    local version=''
    [[ -x $1/bin/java ]] || return 1
    if [[ -r $1/release ]]; then
        version=$(sed -n 's/^JAVA_VERSION="\{0,1\}\([0-9.]*\).*/\1/p' "$1/release")
    fi
    if [[ -z $version ]]; then
        version=$("$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9.]*\).*/\1/p' | head -n 1)
    fi
    version=${version#1.}
    [[ ${version%%.*} =~ ^[0-9]+$ ]] && echo "${version%%.*}"
}

candidates() {
    echo "${JAVA_HOME:-}"
    echo "${JRE_HOME:-}"
    echo /usr/lib/jvm/default-java
    if command -v java >/dev/null; then
        dirname "$(dirname "$(readlink -f "$(command -v java)")")"
    fi
    printf '%s\n' /usr/lib/jvm/*/
}

while IFS= read -r home; do
    home=${home%/}
    [[ -n $home ]] || continue
    if release=$(feature_release "$home") && ((release >= needed)); then
        echo "$home"
        exit 0
    fi
done < <(candidates)

echo "find-java.sh: no Java $needed or newer in JAVA_HOME, on the PATH or below /usr/lib/jvm; try 'make setup'" >&2
exit 1
