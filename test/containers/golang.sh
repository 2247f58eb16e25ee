#!/usr/bin/env bash
# Make the image that the Dockerfile builds in, for machines that reach no registry: Debian by debootstrap, and in it the Go of
# this machine. It is made once for each version of Go and of this script; Debian is kept in the user's cache. Needs root, buildah and debootstrap.
# Building in it needs no network, nor the certificates of this machine's proxies: mount Go's caches, as make buildah does.
#
#	test/containers/golang.sh docker.io/library/golang:1.26
set -euo pipefail

image=$1
want="$(go env GOVERSION) $(sha256sum <"$0")"
[ "$(buildah inspect --type image --format '{{index .OCIv1.Config.Labels "made-of"}}' "$image" 2>/dev/null)" != "$want" ] || exit 0

cache=${XDG_CACHE_HOME:-$HOME/.cache}/resnet18cloud/debian
debian=$cache/bookworm.tar
if [ ! -e "$debian" ]; then
	echo "fetching Debian, which takes a minute; it is kept in $cache"
	mkdir -p "$cache"
	root=$(mktemp -d)
	trap 'rm -rf "$root"' EXIT
	debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >"$cache/log" || { tail "$cache/log" >&2 && exit 1; }
	tar -C "$root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists -cf "$debian.part" .
	mv "$debian.part" "$debian"
fi

echo "making $image of Debian and $(go env GOVERSION)"
container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
files=$(buildah mount "$container")
tar -xf "$debian" -C "$files"
mkdir "$files/usr/local/go"
(cd "$(go env GOROOT)" && cp -r bin lib pkg src VERSION go.env "$files/usr/local/go")
# Modules come from the cache, which has what this machine's Go has checked.
buildah config --label made-of="$want" --env GOPATH=/go --env GOTOOLCHAIN=local --env GOPROXY=file:///go/pkg/mod/cache/download --env GOSUMDB=off \
	--env PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --workingdir /go "$container"
buildah commit --quiet "$container" "$image" >/dev/null
