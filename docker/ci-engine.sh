#!/bin/sh
# Sees to it that a Docker engine answers and that a Python base image is there, for CI machines that have neither.
# Installs and starts Debian's engine; pulls the base image, or makes one by base.sh where no registry can be reached.
# Harmless where both are there already.
# Prints the name of the base image: docker build --build-arg BASE="$(docker/ci-engine.sh)" …
set -eu
here=$(dirname "$0")
log=${TMPDIR:-/tmp}/dockerd.log

answers() { docker version >/dev/null 2>&1; }

packages=
command -v dockerd >/dev/null || answers || packages="docker.io"
command -v mmdebstrap >/dev/null || command -v debootstrap >/dev/null || packages="$packages mmdebstrap"
if [ -n "$packages" ]; then
    apt-get update -qq >&2
    [ -z "$(apt-cache search --names-only '^docker-cli$')" ] || packages="$packages docker-cli"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages ca-certificates iptables >&2
fi

if ! answers; then
    nohup dockerd >"$log" 2>&1 </dev/null &
    tries=0
    until answers; do
        tries=$((tries + 1))
        if [ $tries -gt 60 ]; then
            tail -5 "$log" >&2
            exit 1
        fi
        sleep 0.5
    done
fi

base=$(docker images --format '{{.Repository}}:{{.Tag}}' 'python' | grep -E '^python:3\.[0-9]+-slim$' | sort -Vr | head -1)
if [ -z "$base" ] && timeout 90 docker pull -q python:3.12-slim >&2; then
    base=python:3.12-slim
fi
[ -n "$base" ] || base=$("$here/base.sh")
echo "$base"
