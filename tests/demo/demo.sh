#!/usr/bin/env bash
# make demo and make demo-stop: two real Tomcats behind a real httpd with this module, all of it below target/demo.
#
#   demo.sh run       set up, build, start, print the URL, stay until Ctrl-C; then stop everything
#   demo.sh stop      end the demo that runs elsewhere and clear what a killed one left behind
#   demo.sh start N   start Tomcat N (1 or 2) of the running demo again after it was killed
#
# MODULE=/path/mod_jk.so makes run load that module instead of building this one: the configuration is the same.
# Everything started is a child of `run` and dies with it, even if `run` is killed (setpriv --pdeathsig).
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly source_dir=$PWD/tests/demo
readonly state=$PWD/target/demo
readonly httpd_root=$state/httpd
readonly httpd=/usr/sbin/apache2
readonly tomcat_home=/usr/share/tomcat10
readonly examples=/usr/share/tomcat10-examples/examples
readonly tomcat_deadline=90
readonly first_port=8080 last_port=8179

step=0
step() {
    step=$((step + 1))
    printf '[%d/5] %s\n' "$step" "$*"
}
say() { printf '      %s\n' "$*"; }
die() {
    echo "demo: $*" >&2
    exit 1
}

# ---- processes --------------------------------------------------------------------------------------------------------

# When process $1 began, in clock ticks since boot: with its pid this names one process for good. A zombie has ended.
birth_of() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    stat=${stat##*) } # the name in parentheses may hold anything
    # shellcheck disable=SC2086  # fields are wanted
    set -- $stat
    [[ $1 != Z ]] && echo "${20}"
}

# Prints the pid of the recorded process $1, if that very process still runs.
pid_of() {
    local pid birth
    read -r pid birth 2>/dev/null <"$state/$1.pid" || return 1
    [[ -n $birth && $(birth_of "$pid") == "$birth" ]] && echo "$pid"
}

record() { # record <name> <pid>
    echo "$2 $(birth_of "$2")" >"$state/$1.pid"
}

end_process() { # end_process <name> <seconds it may take>
    local pid
    pid=$(pid_of "$1") || { rm -f "$state/$1.pid"; return 0; }
    kill -TERM "$pid" 2>/dev/null || true
    local tries=$(($2 * 10))
    while pid_of "$1" >/dev/null && ((tries-- > 0)); do sleep 0.1; done
    if pid_of "$1" >/dev/null; then
        say "$1 (pid $pid) did not stop in $2 s, killing it"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$state/$1.pid"
}

end_everything() {
    end_process httpd 15
    end_process tomcat1 15 &
    end_process tomcat2 15 &
    wait
    rm -f "$state/url" "$state"/start-* "$state/demo.pid"
}

start_child() { # start_child <name> <file for its output> <command>...
    # Own session: Ctrl-C reaches this script alone, which then stops things in order. fd 9 is the lock of `run`.
    setsid setpriv --pdeathsig TERM "${@:3}" >"$2" 2>&1 </dev/null 9>&- &
    record "$1" $!
    disown
}

# ---- Tomcat -----------------------------------------------------------------------------------------------------------

random_secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

tomcat_properties() { # tomcat_properties <n> <port>
    (umask 077 && cat >"$state/tomcat$1/conf/catalina.properties" <<PROPERTIES
common.loader="\${catalina.base}/lib","\${catalina.base}/lib/*.jar","\${catalina.home}/lib","\${catalina.home}/lib/*.jar"
tomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar
tomcat.util.scan.StandardJarScanFilter.jarsToScan=taglibs-standard-impl*.jar
ajp.port=$2
ajp.secret=$secret
jvm.route=tomcat$1
demo.counter=$source_dir/webapp
PROPERTIES
    )
}

prepare_tomcat() { # prepare_tomcat <n>
    local base=$state/tomcat$1 context=''
    rm -rf "$base"
    mkdir -p "$base"/{conf,lib,logs,temp,webapps,work}
    cp "$tomcat_home/etc/web.xml" "$base/conf/web.xml"
    if [[ -d $examples ]]; then context="<Context path=\"/examples\" docBase=\"$examples\"/>"; fi
    sed "s|<!--EXAMPLES-->|$context|" "$source_dir/server.xml" >"$base/conf/server.xml"
    tomcat_properties "$1" 0
}

launch_tomcat() { # launch_tomcat <n>
    local base=$state/tomcat$1
    start_child "tomcat$1" "$base/logs/catalina.out" env -u CLASSPATH -u JAVA_HOME -u JAVA_OPTS -u CATALINA_PID \
        JRE_HOME="$java_home" CATALINA_HOME="$tomcat_home" CATALINA_BASE="$base" CATALINA_TMPDIR="$base/temp" \
        CATALINA_OPTS='-Xmx128m -XX:+UseSerialGC -Djava.awt.headless=true' "$tomcat_home/bin/catalina.sh" run
}

# Waits until Tomcat <n> listens, and prints its AJP port: Tomcat's log names the one the system chose.
await_tomcat() {
    local log=$state/tomcat$1/logs/catalina.out until=$((SECONDS + tomcat_deadline)) port
    while ((SECONDS < until)); do
        if grep -q 'Server startup in' "$log" 2>/dev/null; then
            port=$(sed -n 's/.*Starting ProtocolHandler \["ajp-[^"]*-\([0-9]*\)"\].*/\1/p' "$log" | tail -n 1)
            [[ -n $port ]] || break
            echo "$port"
            return
        fi
        pid_of "tomcat$1" >/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    die "tomcat$1 did not start its AJP connector; its log: $log"
}

write_workers() { # write_workers <port of tomcat1> <port of tomcat2>
    mkdir -p "$httpd_root/conf"
    (umask 077 && cat >"$httpd_root/conf/workers.properties" <<WORKERS
# Written by tests/demo/demo.sh: the system chose the ports, the secret is made anew for each demo.
worker.list=lb

worker.lb.type=lb
worker.lb.balance_workers=tomcat1,tomcat2

# What both have in common. Without timeouts a backend that hangs would hold a thread of httpd for ever.
worker.template.type=ajp13
worker.template.host=127.0.0.1
worker.template.secret=$secret
worker.template.socket_connect_timeout=5000
worker.template.socket_timeout=300

# The name of a member is also its route, as in jvmRoute of Tomcat's server.xml.
worker.tomcat1.reference=worker.template
worker.tomcat1.port=$1
worker.tomcat2.reference=worker.template
worker.tomcat2.port=$2
WORKERS
    )
}

# ---- httpd ------------------------------------------------------------------------------------------------------------

# Does anyone listen on port $1, on any address? The files under /proc/net exist without any tool installed.
port_is_taken() {
    local hex
    hex=$(printf '%04X' "$1")
    awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { taken = 1 } END { exit !taken }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# httpd never serves as root. Sets the options for its children: the person behind sudo, else the owner of the tree, else
# www-data; and where that user may not walk to the files, the children are locked into the ServerRoot.
choose_user() {
    httpd_options=(-C "Define ROOT \"$httpd_root\"")
    [[ $(id -u) == 0 ]] || return 0
    local user
    for user in "${SUDO_USER:-root}" "$(stat -c %U .)" www-data; do
        if [[ $user != root ]] && id "$user" >/dev/null 2>&1; then break; fi
    done
    httpd_options+=(-D STARTED_BY_ROOT -C "Define RUN_USER $user" -C "Define RUN_GROUP $(id -gn "$user")")
    if ! setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups \
        cat "$httpd_root/htdocs/index.html" >/dev/null 2>&1; then
        say "$user cannot read files below $PWD: httpd's children are locked into their ServerRoot (ChrootDir)"
        # -T: the document root is named as the children see it, so httpd's own check would not find it.
        httpd_options+=(-D CHROOT -T -C "Define LIBGCC $(compgen -G '/lib/*/libgcc_s.so.1' | head -n 1)")
    fi
}

prepare_httpd() {
    rm -rf "$httpd_root"
    mkdir -p "$httpd_root"/{conf,logs,run}
    cp -R "$source_dir/htdocs" "$httpd_root/htdocs"
    chmod -R a+rX "$httpd_root/htdocs"
}

# Starts httpd on the first free port from 8080 on; another program may take it in between, so a failed bind tries the next.
start_httpd() {
    local port output=$httpd_root/logs/start.log
    for ((port = first_port; port <= last_port; port++)); do
        port_is_taken "$port" && continue
        start_child httpd "$output" "$httpd" -d "$httpd_root" -f "$source_dir/httpd.conf" "${httpd_options[@]}" \
            -C "Define PORT $port" -C "Define MODULES \"$modules\"" -C "Define JK_MODULE \"$module\"" -D FOREGROUND
        if await_page "http://127.0.0.1:$port/counter/static/hello.txt"; then
            url=http://127.0.0.1:$port
            return
        fi
        if ! grep -qsi 'address already in use' "$output" "$httpd_root/logs/error.log"; then
            cat "$output" >&2
            tail -n 20 "$httpd_root"/logs/{error,mod_jk}.log >&2 2>/dev/null || true
            die "httpd did not start; its logs: $httpd_root/logs"
        fi
    done
    die "no free port between $first_port and $last_port"
}

# Waits until $1 answers 200, as long as httpd lives and 30 seconds are not over.
await_page() {
    local until=$((SECONDS + 30))
    while ((SECONDS < until)); do
        curl -fsS -o /dev/null --noproxy '*' --max-time 10 "$1" 2>"$state/curl.log" && return
        pid_of httpd >/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# ---- run, stop, start -------------------------------------------------------------------------------------------------

take_lock() {
    mkdir -p "$state"
    exec 9>>"$state/lock"
    if ! flock -n 9; then
        die "a demo of this tree runs already$(sed 's/^/: /' "$state/url" 2>/dev/null) (make demo-stop ends it)"
    fi
}

choose_module() {
    if [[ -n ${MODULE:-} ]]; then
        module=$(realpath -e "$MODULE") || die "MODULE=$MODULE: no such file"
        step "Building nothing: the module is $module"
        return
    fi
    step "Building the module (cargo build --release)"
    # In the background, because bash looks at signals only between commands, or in wait.
    cargo build --release --locked 9>&- &
    build=$!
    wait "$build" || die "the build failed; what cargo printed above says why"
    build=''
    module=$PWD/target/release/libmod_jk.so
    [[ -r $module ]] || die "cargo built no $module"
}

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    [[ -z ${build:-} ]] || kill "$build" 2>/dev/null || true
    echo
    echo "Stopping the demo"
    end_everything
    echo "Stopped; nothing is left running. Logs stay in target/demo."
    exit "$status"
}

print_what_to_try() {
    cat <<TRY

  $url/counter/   answers: open it in a browser, and reload

What to try next
  Sticky session:  curl -s -c target/demo/jar -b target/demo/jar $url/counter/count.jsp
                   again and again: one Tomcat, a growing counter; without -c and -b each session is new, the Tomcats take turns
  A Tomcat dies:   kill $(pid_of tomcat1)   is the end of tomcat1, kill $(pid_of tomcat2) that of tomcat2; take the one your session is on
                   reload: the other one answers and counts from 1, for sessions are not replicated here
                   tests/demo/demo.sh start 1 (or 2) brings it back
  Static file:     curl -i $url/counter/static/hello.txt   (JkUnMount leaves it to httpd)
$([[ ! -d $examples ]] || echo "  Examples:        $url/examples/")
  Logs:            tail -f target/demo/httpd/logs/mod_jk.log   (access.log names the worker of each request)
  Configuration:   tests/demo/httpd.conf, target/demo/httpd/conf/workers.properties
  Stop:            Ctrl-C here, or make demo-stop elsewhere
TRY
}

# Stays until httpd ends; reports a Tomcat that went away, starts one that `demo.sh start` asks for.
watch() {
    local n up=([1]=yes [2]=yes)
    while pid_of httpd >/dev/null; do
        for n in 1 2; do
            if [[ -e $state/start-$n ]] && ! pid_of "tomcat$n" >/dev/null; then
                rm -f "$state/start-$n"
                launch_tomcat "$n"
                await_tomcat "$n" >/dev/null
                echo "tomcat$n is up again. mod_jk tries it when its pause for failed members is over (recover_time, 60 s)."
                up[n]=yes
            elif [[ ${up[n]} == yes ]] && ! pid_of "tomcat$n" >/dev/null; then
                echo "tomcat$n has stopped: reload, and tomcat$((3 - n)) answers. tests/demo/demo.sh start $n brings it back."
                up[n]=no
            fi
        done
        sleep 0.3 &
        wait $!
    done
    tail -n 20 "$httpd_root/logs/error.log" >&2
    die "httpd has stopped by itself; its log: $httpd_root/logs/error.log"
}

run() {
    take_lock
    trap on_exit EXIT
    trap 'exit 0' INT TERM HUP
    record demo $$
    end_process httpd 15
    end_process tomcat1 15
    end_process tomcat2 15
    rm -f "$state"/start-*

    step "Looking for httpd, Tomcat, Java, Rust (make setup)"
    "$source_dir/setup.sh" demo 9>&- | sed 's/^/      /'
    java_home=$("$source_dir/find-java.sh")
    modules=$($(command -v apxs || command -v apxs2) -q LIBEXECDIR)
    choose_module

    step "Starting two Tomcats (Java from $java_home)"
    secret=$(random_secret)
    prepare_tomcat 1
    prepare_tomcat 2
    launch_tomcat 1
    launch_tomcat 2
    local n ports=()
    for n in 1 2; do
        ports[n]=$(await_tomcat "$n")
        say "tomcat$n listens for AJP on 127.0.0.1:${ports[n]}"
        tomcat_properties "$n" "${ports[n]}"
    done

    step "Starting httpd with $module"
    prepare_httpd
    write_workers "${ports[1]}" "${ports[2]}"
    choose_user
    start_httpd

    step "Asking for the first page"
    await_page "$url/counter/" || die "$url/counter/ does not answer ($(cat "$state/curl.log")); logs: $httpd_root/logs"
    echo "$url/counter/" >"$state/url"
    print_what_to_try
    watch
}

stop() {
    [[ -d $state ]] || { echo "No demo has run in this tree."; return; }
    exec 9>>"$state/lock"
    if ! flock -n 9; then
        local pid
        if pid=$(pid_of demo); then kill -TERM "$pid"; fi
        flock -w 60 9 || die "the demo (pid ${pid:-unknown}) did not end within 60 s"
        echo "The demo is stopped."
        return
    fi
    # The lock was free: no demo runs, but one that was killed may have left processes.
    local name left=no
    for name in httpd tomcat1 tomcat2; do
        if pid_of "$name" >/dev/null; then left=yes; fi
    done
    end_everything
    if [[ $left == yes ]]; then echo "What an earlier demo left running is stopped."; else echo "No demo is running."; fi
}

start() {
    [[ ${1:-} == [12] ]] || die "start which Tomcat, 1 or 2?"
    [[ -e $state/url ]] || die "no demo is running (make demo)"
    if pid_of "tomcat$1" >/dev/null; then die "tomcat$1 runs already (pid $(pid_of "tomcat$1"))"; fi
    touch "$state/start-$1"
    echo "Asked the running demo to start tomcat$1."
}

case ${1:-} in
run) run ;;
stop) stop ;;
start) start "${2:-}" ;;
*) die "usage: tests/demo/demo.sh run | stop | start 1|2" ;;
esac
