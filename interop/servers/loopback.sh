# For the servers of the suites on loopback: free ports, start and stop, and waiting until a server answers. Sourced.

free_ports() { # free_ports COUNT: ports nobody listens on, outside the range that outgoing connections take theirs from
    python3 - "$1" <<'PYTHON'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", random.randint(10000, 30000)))
        held.append(listener)
    except OSError:
        listener.close()
print(*(listener.getsockname()[1] for listener in held))
PYTHON
}

wait_for() { # wait_for NAME SECONDS LOG COMMAND...: until the command succeeds; shows the end of the log when it never does
    local name=$1 until=$((SECONDS + $2)) log=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "$name did not answer in time; the end of its log ($log):" >&2
            tail -n 20 $log >&2 || true
            return 1
        fi
        sleep 0.2
    done
}

listens() { # listens PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start_server() { # start_server DIR COMMAND...: in the background, with its log and process id in DIR
    local directory=$1
    shift
    setsid "$@" </dev/null >"$directory/log" 2>&1 &
    echo $! >"$directory/pid"
}

stop_server() { # stop_server DIR
    [ ! -f "$1/pid" ] || kill "$(cat "$1/pid")" 2>/dev/null || true
}
