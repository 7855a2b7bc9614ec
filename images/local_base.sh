#!/bin/sh
# A base image where there is no registry to pull one from: a minimal Debian with its own Python, as a local image.
# Prints its reference, for BASE. Needs root, debootstrap (on Ubuntu: debian-archive-keyring, too), and docker or podman.
set -eu
suite=bookworm
engine=${ENGINE:-podman}

# The mirror that this machine uses for the same Debian, if it does.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' "Codename: $suite" 2>/dev/null | head -n 1)
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root" # becomes the image's /

debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$root" ${mirror:+"$mirror"} >&2 # else debootstrap's own
id=$(tar -C "$root" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' --exclude='./var/cache/apt/*' \
  --exclude='./var/lib/apt/lists/*' --exclude=./var/log/bootstrap.log --exclude=./etc/resolv.conf --exclude=./etc/hostname \
  -c . | "$engine" import - 2>/dev/null | sed 's/^sha256://' | cut -c 1-16)
reference=localhost/helmholtz-base:$id # named by its content, so that another base gives other images another tag
"$engine" tag "$id" "$reference"
echo "$reference"
