#!/bin/sh
# Makes a stand-in for an official Python image out of Debian packages, for machines that reach no image registry.
#
#   docker/base.sh            builds python:3.11-slim on Debian 12 (the Python that the release has), and prints the name
#   docker/base.sh trixie     builds the one of another release
#
# Needs root, debootstrap or mmdebstrap, and a Docker engine. Takes about a minute.
set -eu
. /etc/os-release
suite=${1:-${VERSION_CODENAME:-bookworm}}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

builder=$(command -v mmdebstrap || command -v debootstrap)  # the first is the faster one
"$builder" --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" >&2

# After ca-certificates is configured, so that a certificate of the machine's own proxy is trusted inside too.
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \
    "$root"/usr/share/locale/* "$root"/var/log/*

version=$(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
bundle=/etc/ssl/certs/ca-certificates.crt
tar -C "$root" -c . | docker import \
    -c 'ENV PATH=/usr/local/bin:/usr/bin:/bin' -c 'ENV LANG=C.UTF-8' \
    -c "ENV SSL_CERT_FILE=$bundle" -c "ENV PIP_CERT=$bundle" \
    -c 'CMD ["python3"]' - "python:$version-slim" >&2
echo "python:$version-slim"
