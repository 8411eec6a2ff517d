#!/bin/sh
# Runs a command beside a Redis or Valkey server that lives as long as the command: on a free port, without files but in a
# temporary folder. The command finds its URL in REDIS_URL.
#
#     examples/service/with-redis.sh sh -c 'cargo run -p readmostly-service -- serve --redis "$REDIS_URL"'
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT]..." >&2; exit 2; }
server=$(command -v redis-server || command -v valkey-server) || {
    echo "$0: no redis-server and no valkey-server in PATH; expected one to be installed" >&2
    exit 2
}
folder=$(mktemp -d)
process=
trap '[ -z "$process" ] || { kill "$process" 2>/dev/null && wait "$process" || :; }; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that is taken ends the server; then it gets another one.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000)) # below the ports that systems hand out themselves
    "$server" --bind 127.0.0.1 --port "$port" --save '' --appendonly no --daemonize no --dir "$folder" \
        --logfile "$folder/log" &
    process=$!
    until grep -q 'Ready to accept connections' "$folder/log" 2>/dev/null; do
        kill -0 "$process" 2>/dev/null || break
        sleep 0.05
    done
    if kill -0 "$process" 2>/dev/null; then break; fi
    process=
    rm -f "$folder/log"
done
[ -n "$process" ] || { echo "$0: $server does not start; expected one of ten ports to be free" >&2; exit 1; }

REDIS_URL="redis://127.0.0.1:$port/" "$@"
