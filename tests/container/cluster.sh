#!/usr/bin/env bash
# make cluster, make cluster-stop: compose.yaml with images, ports and a subnet that are free here.
#   cluster.sh start   builds what is missing, replaces a cluster of an earlier run, waits until all answer, prints the URLs
#   cluster.sh stop    removes the cluster, and nothing else
# CLUSTER_PORT is the port of the balancer (8080); the two httpds get the next two. SUBNET is the first three numbers of the
# cluster's addresses, CLUSTER_PROJECT names another cluster.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/container/engine.sh
readonly project=${CLUSTER_PROJECT:-mod_jk-cluster} port=${CLUSTER_PORT:-8080} patience=${CLUSTER_PATIENCE:-180}
readonly log=target/image/$project.log

compose() {
    local command=(docker-compose)
    if docker compose version >/dev/null 2>&1; then command=(docker compose); fi
    command -v "${command[0]}" >/dev/null || die "neither 'docker compose' nor docker-compose is here (Debian: docker-compose)"
    "${command[@]}" -f compose.yaml -p "$project" "$@"
}

ours() { docker "$1" ls -q "${@:2}" --filter "label=com.docker.compose.project=$project" --filter "label=$label=cluster"; }

strangers() { # containers of others on the cluster's network
    local network
    for network in $(ours network); do
        docker network inspect -f '{{range $id, $it := .Containers}}{{println $id $it.Name}}{{end}}' "$network"
    done | grep -vFf <(ours container --no-trunc) | cut -d ' ' -f 2 | paste -sd ' ' || true
}

# By label, so that it also works on what a killed start left half done. False if there was nothing. A session of their own keeps
# the commands from a second Ctrl-C.
remove() {
    local containers networks complaint others
    mapfile -t containers < <(ours container --all)
    if [[ ${#containers[@]} -gt 0 ]]; then
        complaint=$(setsid -w docker rm -f -v "${containers[@]}" 2>&1) || die "containers stay: $(tail -n 1 <<<"$complaint")"
    fi
    others=$(strangers)
    [[ -z $others ]] || die "the network stays, because a container of somebody else's is on it: $others"
    mapfile -t networks < <(ours network)
    if [[ ${#networks[@]} -gt 0 ]]; then
        complaint=$(setsid -w docker network rm "${networks[@]}" 2>&1) || die "the network stays: $(tail -n 1 <<<"$complaint")"
    fi
    [[ ${#containers[@]} -gt 0 || ${#networks[@]} -gt 0 ]]
}

in_use() { # in_use <port>: the first of it and the next two that is taken, but not by the cluster itself
    local one
    for one in "$1" $(($1 + 1)) $(($1 + 2)); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$one") 2>/dev/null && [[ -z $(ours container --filter "publish=$one") ]]; then
            echo "$one"
            return
        fi
    done
}

choose_ports() {
    local taken other
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65533 ]] ||
        die "CLUSTER_PORT is '$port', not a number from 1 to 65533 (the two httpds get the next two)"
    taken=$(in_use "$port")
    if [[ -n $taken ]]; then
        for other in 18080 28080 38080 48080; do [[ -n $(in_use $other) ]] || break; done
        die "port $taken of 127.0.0.1 is in use: choose another with make cluster CLUSTER_PORT=$other"
    fi
    export PORT=$port PORT1=$((port + 1)) PORT2=$((port + 2))
}

overlaps() { # overlaps <three numbers> <address or subnet>: but for routes as wide as a default route
    local a b c d e f g length shift
    IFS=. read -r a b c <<<"$1"
    IFS=./ read -r d e f g length <<<"$2"
    shift=$((length == 0 || length > 24 ? 8 : 32 - length))
    ((shift <= 24 && ((a << 24) + (b << 16) + (c << 8)) >> shift == ((d << 24) + (e << 16) + (f << 8) + g) >> shift))
}

choose_subnet() { # the first subnet that neither the engine's networks nor this host's routes use
    local used number one
    if [[ -n ${SUBNET:-} ]]; then
        [[ $SUBNET =~ ^[0-9]{1,3}(\.[0-9]{1,3}){2}$ ]] || die "SUBNET is '$SUBNET', not the first three numbers of a subnet"
        return
    fi
    used=$({ docker network ls -q | xargs -r docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' && ip route; } 2>/dev/null |
        grep -oE '\b[0-9]+(\.[0-9]+){3}(/[0-9]+)?') || true
    for number in {251..200}; do
        for one in $used; do
            if overlaps "172.31.$number" "$one"; then continue 2; fi
        done
        export SUBNET=172.31.$number
        return
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

# The engine's own words when it refused, in one line. What follows them is compose's summary.
reason() {
    local words
    words=$(grep -v -e '^[[:space:]]*$' -e '^Encountered errors while' "$log" | tr -d '\r')
    { grep -iE 'error|cannot|failed|already|timed out|unhealthy|overlaps|invalid' <<<"$words" || echo "$words"; } | tail -n 1 | cut -c 1-300
}

start() {
    local one deadline others
    choose_ports
    need_engine
    compose version >/dev/null
    # What can be known before is known before the cluster that runs is removed.
    others=$(strangers)
    [[ -z $others ]] || die "the cluster that runs cannot be replaced: a container of somebody else's is on its network: $others"
    choose_subnet
    tests/container/image.sh tomcat httpd
    if remove; then say "removed what an earlier run had left"; fi
    trap 'trap "" INT TERM HUP PIPE; say "removing the half-started cluster" || true; remove || true' EXIT
    trap 'exit 130' INT TERM HUP PIPE
    say "starting three Tomcats, two httpds and the balancer (log: $log)"
    # In a shell of its own, whose output alone goes to the log.
    (compose up -d --no-build) >"$log" 2>&1 || die "the engine did not start it: $(reason)"
    deadline=$((SECONDS + patience))
    for one in "$PORT1" "$PORT2" "$PORT"; do
        until answers "$one"; do
            if [[ $SECONDS -ge $deadline ]]; then
                (compose logs --no-color) >>"$log" 2>&1 || true
                die "port $one does not answer within $patience s; what the containers said is in $log"
            fi
            sleep 0.2
        done
        say "port $one answers"
    done
    trap - EXIT INT TERM HUP PIPE
    cat <<END

The balancer:          http://127.0.0.1:$PORT/counter.jsp
httpd web1 and web2:   http://127.0.0.1:$PORT1/counter.jsp  http://127.0.0.1:$PORT2/counter.jsp
their status pages:    http://127.0.0.1:$PORT1/jkstatus  http://127.0.0.1:$PORT2/jkstatus
Drain an httpd:        http://127.0.0.1:$PORT/balancer-manager

A session, which counts on whichever httpd it comes through:
  curl -s -c /tmp/jar -b /tmp/jar http://127.0.0.1:$PORT/counter.jsp
Kill the Tomcat that "node=" names, and ask again (tomcat1, for instance):
  docker kill $(docker ps --format '{{.Names}}' --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=tomcat1)
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
