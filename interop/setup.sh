# What every suite here needs: publish, the real clients, real builds, pytest. Sourced at the root of the repository; everything is
# installed from the package registries into .interop/, and what cannot be installed fails the suite.
set -euo pipefail
cache=$PWD/.interop
mkdir -p "$cache"
# Two suites that are started at once install one after the other.
exec 9>"$cache/setup.lock"
flock 9

need() { # need COMMAND DEBIAN-PACKAGES
    command -v "$1" >/dev/null && return
    echo "installing $2"
    { apt-get update && apt-get install -y --no-install-recommends $2; } >"$cache/apt.log" 2>&1 || { cat "$cache/apt.log"; echo "cannot install $2"; exit 1; }
}
need gpg gnupg
need gpgv gpgv
need curl curl
need faketime faketime
need python3 python3
need go golang-go

if [ -z "${PUBLISH:-}" ]; then
    .ci/cargo build --quiet
    PUBLISH=${CARGO_TARGET_DIR:-$PWD/target}/debug/publish
fi
export PUBLISH

if [ ! -x "$cache/venv/bin/pip" ]; then
    python3 -m venv "$cache/venv" 2>/dev/null || { rm -rf "$cache/venv"; apt-get install -y --no-install-recommends python3-venv >/dev/null; python3 -m venv "$cache/venv"; }
fi
"$cache/venv/bin/python" -c 'import tuf' 2>/dev/null || "$cache/venv/bin/pip" install --quiet 'tuf==7.0.1' 'securesystemslib[crypto]==1.6.0'
"$cache/venv/bin/python" -c 'import pytest, xdist' 2>/dev/null || "$cache/venv/bin/pip" install --quiet 'pytest==9.2.0' 'pytest-xdist==3.8.0'

# Real programs for six platforms, two versions: the wheels of ruff.
for version in 0.12.0 0.12.1; do
    for platform in linux-amd64:manylinux_2_17_x86_64 linux-arm64:manylinux_2_17_aarch64 darwin-amd64:macosx_10_12_x86_64 darwin-arm64:macosx_11_0_arm64 windows-amd64:win_amd64 windows-arm64:win_arm64; do
        target=$cache/dist/$version/${platform%%:*}/bin
        [ -d "$target" ] && continue
        wheels=$cache/wheels/$version-${platform%%:*}
        rm -rf "$wheels" && mkdir -p "$wheels"
        "$cache/venv/bin/pip" download --quiet --no-deps --only-binary=:all: --platform "${platform##*:}" -d "$wheels" "ruff==$version"
        python3 -m zipfile -e "$wheels"/ruff-*.whl "$wheels/unpacked"
        mkdir -p "$target.new"
        mv "$wheels"/unpacked/ruff-*.data/scripts/ruff* "$target.new/"
        mv "$target.new" "$target"
        rm -rf "$wheels"
    done
done

# The trdl client: yours, else the real one from the Go module proxy, else our imitation around the real client's own
# TUF library.
if [ -z "${TRDL:-}" ]; then
    TRDL=$cache/trdl
    # One refusal by the proxy stands for a day: four suites need not ask again.
    refused=$cache/trdl-refused
    if [ ! -x "$TRDL" ] && [ -n "$(find "$refused" -mmin -1440 2>/dev/null)" ]; then
        TRDL=$cache/trdl-imitation
    elif [ ! -x "$TRDL" ]; then
        rm -rf "$cache/trdl-module" && mkdir -p "$cache/trdl-module"
        if (cd "$cache/trdl-module" && go mod init trdl-module \
            && go mod edit -replace github.com/theupdateframework/go-tuf=github.com/werf/3p-go-tuf@v0.0.0-20230315082915-5fc159235553 \
            && go get github.com/werf/trdl/client/cmd/trdl@main && go build -o "$TRDL" github.com/werf/trdl/client/cmd/trdl) >"$cache/trdl.log" 2>&1; then
            echo "built the real trdl client"
        else
            TRDL=$cache/trdl-imitation
            touch "$refused"
            (cd interop/trdl-imitation && go build -o "$TRDL" .)
        fi
    fi
fi
(cd interop/trdl-imitation && go build -o "$cache/go-tuf" github.com/theupdateframework/go-tuf/cmd/tuf \
    && go build -o "$cache/tuf-client" github.com/theupdateframework/go-tuf/cmd/tuf-client)

# The suites call the trdl client through a wrapper that records each call, and end with report_trdl: which program it
# was, by what the Go linker wrote into it and by its own `version`, and how often it ran.
export TRDL_PROGRAM=$(realpath "$TRDL")
export TRDL_CALLS=$(mktemp)
export TRDL=$cache/counted/trdl
mkdir -p "$cache/counted"
cat >"$TRDL.new" <<'WRAPPER'
#!/bin/sh
echo "$1" >>"$TRDL_CALLS"
exec "$TRDL_PROGRAM" "$@"
WRAPPER
chmod +x "$TRDL.new" && mv "$TRDL.new" "$TRDL"
report_trdl() { # report_trdl PYTEST-ARGUMENTS...: a suite that ran in full must have called it
    local calls module version
    calls=$(wc -l <"$TRDL_CALLS")
    module=$(go version -m "$TRDL_PROGRAM" 2>/dev/null | awk '$1 == "mod" { print $2 }')
    version=$("$TRDL_PROGRAM" version 2>/dev/null | head -1)
    rm -f "$TRDL_CALLS"
    case $module in
        github.com/werf/trdl/client) echo "trdl client: the real one ($TRDL_PROGRAM, built from $module, version \"$version\"), called $calls times" ;;
        trdl-imitation)
            echo "trdl client: an IMITATION around the real client's own TUF library, called $calls times; the real one cannot be installed here."
            echo "             Check against yours with: TRDL=/path/to/trdl $0" ;;
        *) echo "trdl client: $TRDL_PROGRAM was not built from github.com/werf/trdl/client (\`go version -m\` shows \"$module\")"; return 1 ;;
    esac
    [ "$calls" -gt 0 ] || selects "$@" || { echo "no test called the trdl client"; return 1; }
}
selects() { # selects PYTEST-ARGUMENTS...: whether these run a part of a suite only
    local argument
    for argument; do
        case $argument in -k* | suites/*) return ;; esac
    done
    return 1
}

suite() { # suite NAME PYTEST-ARGUMENTS...: runs the tests in suites/NAME, and writes .interop/junit/NAME.xml
    local name=$1
    shift
    SERVERS=$(mktemp -d)
    export SERVERS
    trap stop_servers EXIT
    (
        cd interop
        PYTHONPYCACHEPREFIX=$cache/pycache exec "$cache/venv/bin/python" -m pytest -o testpaths="suites/$name" -o cache_dir="$cache/pytest" \
            --junitxml="$cache/junit/$name.xml" -o junit_suite_name="$name" "$@"
    )
}
stop_servers() { # Those that the tests have started, each in a directory of its name
    local directory program
    for directory in "$SERVERS"/*/; do
        program=$(basename "$directory")
        [ -x "interop/servers/${program%%-*}" ] || continue
        "interop/servers/${program%%-*}" down "$directory" || true
    done
    rm -rf "$SERVERS"
}
export INTEROP_CACHE=$cache
exec 9>&-
