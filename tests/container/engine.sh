# shellcheck shell=bash
# What image.sh and cluster.sh share. Sourced; $0 is the script of the caller.
# Everything that they put into the engine has this label.
# shellcheck disable=SC2034 # for the callers
readonly label=org.mod-jk
# The classic builder understands all of the Dockerfiles, and is the only one where the client has no buildx.
if ! docker buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi

say() { echo "$(basename "$0" .sh): $*"; }
die() {
    echo "$(basename "$0" .sh): $*" >&2
    exit 1
}

need_engine() {
    command -v docker >/dev/null || die "there is no docker command here: install Docker (Debian: docker.io) and start its engine"
    local answer
    answer=$(docker version --format '{{.Server.Version}}' 2>&1) || die "no Docker engine answers: $(tail -n 1 <<<"$answer")"
}
