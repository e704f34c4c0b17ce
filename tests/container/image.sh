#!/usr/bin/env bash
# make image: builds mod_jk:latest (Debian's httpd with this module) from the Dockerfile. Words after it choose other images:
#   image.sh [httpd] [official] [tomcat]
# httpd     mod_jk           Debian's httpd with the module (the default)
# official  mod_jk:official  the official httpd image with the module
# tomcat    mod_jk-tomcat    the Tomcat of `make cluster` and of the tests
# base=NAME NAME             the base alone, under this name, unless there is such an image
#
# The bases are pulled from the registry. Where none can be reached, an equal one is made here and imported under the same name,
# with a label that says so; an image that is already there is taken as it is. Nothing else of the engine is touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/container/engine.sh

debian=debian:bookworm-slim
readonly official=httpd:2.4 mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly work=target/image
# What commands say when they reach nobody.
readonly unreachable='no such host|server misbehaving|failure (in name resolution|resolving)|could( not|n.t) (resolve|connect)|unable to connect|proxyconnect|connection (refused|timed out|reset)|(host|network) is unreachable|no route to host|(i/o|handshake) timeout|timeout exceeded|deadline exceeded|operation timed out'

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

# What the builds of this run share: the host's network, because package downloads must also work where the engine's own
# bridge leads nowhere; the proxies of this shell.
build() { # build <image> <what it is> <argument>...
    local image=$1 what=$2 log output cause
    shift 2
    log=$work/$(tr ':/' '--' <<<"$image").log
    say "building $image: $what (log: $log)"
    # In a session of its own, so that Ctrl-C comes to this script alone.
    setsid -w docker build "${classic[@]}" --network=host --tag "$image" --label "$label" \
        --build-arg http_proxy --build-arg https_proxy --build-arg no_proxy "$@" >"$log" 2>&1 && return
    output=$(sed -e 's/\x1b\[[0-9;]*m//g' -e '/^ *$/d' "$log")
    cause=$(grep -iE "$unreachable" <<<"$output" | tail -n 1) && die "no network: building $image failed: ${cause:0:200} (log: $log)"
    cause=$(grep -E '^(E: |error|.*: (fatal )?error)' <<<"$output" || grep -vE '^(The command|Removing intermediate)' <<<"$output")
    echo "image: building $image failed: $(tail -n 1 <<<"$cause" | cut -c 1-200) (log: $log, its end:)" >&2
    tail -n 25 <<<"$output" >&2
    exit 1
}

# A host that trusts certificates of its own (a company's proxy, say) shares them with the stage that downloads crates.
share_certificates() {
    mkdir -p "$work"
    rm -f "$work/ca-certificates.crt"
    if [[ -n ${SSL_CERT_FILE:-} ]]; then cp "$SSL_CERT_FILE" "$work/ca-certificates.crt"; fi
}

# The classic builder leaves the container of a step that failed, unless it is told not to.
classic=()
if [[ ${DOCKER_BUILDKIT:-} == 0 ]]; then classic=(--force-rm); fi

present() { docker image inspect "$1" >/dev/null 2>&1; }

# Pulls an image unless it is here; false if no registry can be reached.
pull() {
    local answer
    if present "$1"; then return; fi
    say "pulling $1"
    answer=$(docker pull -q "$1" 2>&1) && return
    answer=$(tail -n 1 <<<"$answer" | cut -c 1-300)
    grep -qiE "$unreachable" <<<"$answer" || die "$1 cannot be pulled: $answer"
    say "no registry answers with $1 ($answer); making an equal base"
    return 1
}

debian_base() { # debian_base [name]
    local debian=${1:-$debian}
    if pull "$debian"; then return; fi
    local root
    command -v debootstrap >/dev/null || {
        command -v apt-get >/dev/null || die "$debian can neither be pulled nor made: there is no debootstrap here"
        say "installing debootstrap"
        as_root apt-get install -q -y --no-install-recommends debootstrap >"$work/debootstrap.log" 2>&1 ||
            { as_root apt-get update -q && as_root apt-get install -q -y --no-install-recommends debootstrap; } >"$work/debootstrap.log" 2>&1 ||
            die "$debian cannot be pulled, and debootstrap not be installed: $(tail -n 1 "$work/debootstrap.log")"
    }
    root=$(as_root mktemp -d "${TMPDIR:-/tmp}/mod_jk-base.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now
    trap "as_root rm -rf --one-file-system '$root'" EXIT
    say "debootstrap of bookworm from $mirror"
    as_root debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
        die "no network: $debian can neither be pulled nor made from $mirror ($(tail -n 1 "$work/debootstrap.log"))"
    as_root rm -f "$root/etc/apt/sources.list" "$root/etc/resolv.conf" "$root/etc/hostname"
    printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-updates "${mirror%/debian}/debian-security" bookworm-security |
        as_root tee "$root/etc/apt/sources.list" >/dev/null
    # What the slim images leave out.
    printf 'path-exclude /usr/share/%s\n' 'doc/*' 'man/*' 'locale/*' 'info/*' | as_root tee "$root/etc/dpkg/dpkg.cfg.d/docker" >/dev/null
    as_root tar -C "$root" --numeric-owner --exclude='./var/lib/apt/lists/*' --exclude='./var/cache/apt/*' --exclude='./var/log/*' \
        --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./dev/*' -c . |
        docker import --change 'CMD ["bash"]' --change "LABEL $label= $label.base=debootstrap" \
            --message 'made by make image; no registry could be reached' - "$debian" >/dev/null
    as_root rm -rf --one-file-system "$root"
    trap - EXIT
}

official_base() {
    if pull "$official"; then return; fi
    build "$official" "httpd from Debian's source, laid out like the official image" \
        --label "$label.base=debian-source" tests/container/httpd-base
}

# What does not wait for each other is built side by side; each part says itself what went wrong.
parts=()
beside() {
    "$@" &
    parts+=($!)
}
await_parts() {
    local part failed=
    for part in "${parts[@]}"; do wait "$part" || failed=yes; done
    parts=()
    [[ -z $failed ]] || exit 1
}
interrupt() { # Background jobs do not hear Ctrl-C. The part goes first, so that it has nothing to say about its build.
    local part builds
    trap '' INT TERM
    for part in "${parts[@]}"; do
        mapfile -t builds < <(pgrep -P "$part")
        kill "$part" "${builds[@]}" 2>/dev/null || true
    done
    say "interrupted" >&2
    exit 130
}
trap interrupt INT TERM

wanted=("$@")
if [[ $# == 0 ]]; then wanted=(httpd); fi
need_engine
share_certificates
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Where the sources are, for the labels: the remote's address without a user's name or password, as https where it is ssh.
source=$(git config --get remote.origin.url 2>/dev/null |
    sed -nE -e 's#^(https?://)([^/@]*@)?#\1#p' -e 's#^ssh://([^/@]*@)?([^/:]+)(:[0-9]+)?/#https://\2/#p' -e 's#^[^/@:]+@([^/:]+):#https://\1/#p') || source=
revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null) || revision=
labels=(--build-arg "VERSION=$version" --build-arg "SOURCE=$source" --build-arg "REVISION=$revision")

wants() { [[ " ${wanted[*]} " == *" $1 "* ]]; }
for image in "${wanted[@]}"; do
    case $image in
    httpd | official | tomcat) ;;
    base=*) debian_base "${image#base=}" ;;
    *) die "no image '$image': httpd, official or tomcat" ;;
    esac
done
if wants httpd || wants official || wants tomcat; then debian_base; fi
if wants tomcat; then beside build mod_jk-tomcat:latest "Debian's Tomcat 10, for the cluster and the tests" tests/container/tomcat; fi
if wants official; then beside official_base; fi
if wants httpd; then beside build mod_jk:latest "Debian's httpd with the module" "${labels[@]}" --target httpd .; fi
await_parts
if wants official; then
    beside build mod_jk:official "the official httpd image with the module" "${labels[@]}" --target official .
    await_parts
fi
say "done: $(docker image ls --filter "label=$label" --format '{{.Repository}}:{{.Tag}} ({{.Size}})' | grep '^mod_jk' | paste -sd ' ')"
