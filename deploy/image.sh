#!/usr/bin/env bash
# Builds the image of deploy/Dockerfile around a binary that is there, without pulling anything: deploy/image.sh BINARY TAG
#
# The instructions are the Dockerfile's own, from its second FROM on. What its base image would bring (libc, libgcc, OpenSSL,
# certificate authorities, a user) is taken from this machine, which must be the Debian that the binary was built on.
# Further arguments go to buildah before its command, such as --root DIR.
set -euo pipefail
binary=$(realpath "$1")
tag=$2
shift 2
cd "$(dirname "$0")/.."

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
triplet=$(gcc -print-multiarch)
libraries=usr/lib/$triplet

# The stage "build" of the Dockerfile.
install -D -m 0755 "$binary" "$context/image/usr/local/bin/hookbus"
strip --strip-debug "$context/image/usr/local/bin/hookbus"
install -D -m 0644 "/$libraries/libz.so.1" -t "$context/image/$libraries"
mkdir "$context/data"

# The base image, as far as it is needed.
base=$context/base
mkdir -p "$base/$libraries" "$base/etc/ssl/certs"
install -d -m 1777 "$base/tmp"
ldd "$binary" | while read -r name _ file _; do
  case $name in
    linux-vdso*) ;;
    /*) install -D -m 0755 "$name" "$base$name" ;; # the loader has its path in every binary
    libz.so*) ;;                                   # not in the base, on purpose
    *) install -m 0755 "$file" -t "$base/$libraries" ;;
  esac
done
cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' > "$base/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$base/etc/group"
printf 'hosts: files dns\n' > "$base/etc/nsswitch.conf"

sed -n '/^FROM .*distroless/,$p' deploy/Dockerfile \
  | sed -e '1s|.*|FROM scratch\nCOPY base/ /|' -e 's|--from=build ||' -e 's|^COPY\(.*\) /image/|COPY\1 image/|' -e 's|^COPY\(.*\) /data|COPY\1 data|' \
  > "$context/Containerfile"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
buildah "$@" bud --isolation chroot --quiet --build-arg VERSION="$version" --build-arg REVISION="$revision" \
  --tag "$tag" --file "$context/Containerfile" "$context"
