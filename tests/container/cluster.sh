#!/usr/bin/env bash
# make cluster, make cluster-stop: compose.yaml with images, ports and a subnet that are free here.
#   cluster.sh start   builds what is missing, replaces a cluster of an earlier run, waits until all answer, prints the URLs
#   cluster.sh stop    removes the cluster, and nothing else
# CLUSTER_PORT is the port of the balancer (8080); the two httpds get the next two. CLUSTER_PROJECT names another cluster.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/container/engine.sh
readonly project=${CLUSTER_PROJECT:-mod_jk-cluster} port=${CLUSTER_PORT:-8080} patience=${CLUSTER_PATIENCE:-180}
export PORT=$port PORT1=$((port + 1)) PORT2=$((port + 2))

compose() {
    local command=(docker-compose)
    if docker compose version >/dev/null 2>&1; then command=(docker compose); fi
    command -v "${command[0]}" >/dev/null || die "neither 'docker compose' nor docker-compose is here (Debian: docker-compose)"
    "${command[@]}" -f compose.yaml -p "$project" "$@"
}

ours() { docker "$1" ls -q "${@:2}" --filter "label=com.docker.compose.project=$project" --filter "label=$label=cluster"; }

# By label, so that it also works on what a killed start left half done.
remove() {
    local containers networks
    mapfile -t containers < <(ours container --all)
    if [[ ${#containers[@]} -gt 0 ]]; then docker rm -f -v "${containers[@]}" >/dev/null; fi
    mapfile -t networks < <(ours network)
    if [[ ${#networks[@]} -gt 0 ]]; then docker network rm "${networks[@]}" >/dev/null; fi
    [[ ${#containers[@]} -gt 0 || ${#networks[@]} -gt 0 ]]
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

choose_subnet() { # the first subnet that neither the engine's networks nor this host's routes use
    local used number
    if [[ -n ${SUBNET:-} ]]; then return; fi
    used=$(docker network ls -q | xargs -r docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' && ip route 2>/dev/null) || true
    for number in {251..200}; do
        if ! grep -qE "(^|[ ])172\.31\.($number|0)\." <<<"$used"; then
            export SUBNET=172.31.$number
            return
        fi
    done
    die "no free subnet below 172.31: set SUBNET to the first three numbers of one"
}

answers() { # answers <port>: does a Tomcat's page come, whole?
    local line
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET /counter.jsp HTTP/1.0\r\n\r\n' >&3
    while read -r -t 5 line <&3; do
        case $line in HTTP/1.?\ 200*) exec 3>&-; return 0 ;; HTTP/*) break ;; esac
    done
    exec 3>&-
    return 1
}

# The engine's own words when it refused, in one line.
reason() { grep -iE 'error|cannot|failed|already|timed out|unhealthy' "$1" | tail -n 1 | tr -d '\r' | cut -c 1-300; }

start() {
    need_engine
    compose version >/dev/null
    mkdir -p target/image
    if remove; then say "removed what an earlier run had left"; fi
    local one deadline
    for one in "$PORT" "$PORT1" "$PORT2"; do
        port_is_free "$one" || die "port $one of 127.0.0.1 is in use: choose another with make cluster CLUSTER_PORT=18080"
    done
    tests/container/image.sh tomcat httpd
    choose_subnet
    trap 'say "removing the half-started cluster"; remove || true' EXIT
    trap 'exit 130' INT TERM HUP
    say "starting three Tomcats, two httpds and the balancer (log: target/image/$project.log)"
    compose up -d --no-build >"target/image/$project.log" 2>&1 || die "the engine did not start it: $(reason "target/image/$project.log")"
    deadline=$((SECONDS + patience))
    for one in "$PORT1" "$PORT2" "$PORT"; do
        until answers "$one"; do
            [[ $SECONDS -lt $deadline ]] || die "port $one does not answer within $patience s: docker-compose -p $project logs"
            sleep 0.2
        done
        say "port $one answers"
    done
    trap - EXIT INT TERM HUP
    cat <<END

The balancer:          http://127.0.0.1:$PORT/counter.jsp
httpd web1 and web2:   http://127.0.0.1:$PORT1/counter.jsp  http://127.0.0.1:$PORT2/counter.jsp
their status pages:    http://127.0.0.1:$PORT1/jkstatus  http://127.0.0.1:$PORT2/jkstatus
Drain an httpd:        http://127.0.0.1:$PORT/balancer-manager

A session, which counts on whichever httpd it comes through:
  curl -s -c /tmp/jar -b /tmp/jar http://127.0.0.1:$PORT/counter.jsp
Kill its Tomcat and ask again:   docker kill $(docker ps -q --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=tomcat1)
End it:                          make cluster-stop
END
}

case ${1:-} in
start) start ;;
stop)
    need_engine
    if remove; then say "the cluster is removed"; else say "there is no cluster"; fi
    ;;
*) die "start or stop" ;;
esac
