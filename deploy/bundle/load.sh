#!/bin/sh
# Checks a bundle of Intramuros against a public key, every byte of it, and only then unpacks it and loads its images.
# Needs: sh, the usual small tools, tar, sha256sum, openssl 3, and for --containerd ctr. Nothing is fetched. docs/install.md tells the rest.
set -eu
umask 022

usage() {
  cat >&2 <<'TEXT'
usage: sh load.sh BUNDLE --key PUBLIC_KEY.pem [--out FOLDER] [WHERE]
  --key FILE          the public key (Ed25519, PEM) of whoever made the bundle, from elsewhere than the bundle
  --out FOLDER        where to unpack; it must not exist (default: the bundle's own name)
WHERE, if images are to be loaded:
  --containerd        into this node's containerd (run it on each node, as root; CTR names the program, default: ctr)
  --registry HOST[:PORT][/PREFIX]   into a registry, with further options:
      --ca FILE               PEM of the CA of its certificate
      --user NAME --password-file FILE
      --plain-http            without TLS, for a registry on this machine
TEXT
  exit 2
}
fail() { echo "load.sh: $*" >&2; exit 1; }

case ${1:-} in "" | -*) usage ;; esac
bundle=$1; shift
key= out= where= registry= ca= user= password_file= plain=
while [ $# -gt 0 ]; do
  case $1 in
    --containerd) where=containerd; shift; continue ;;
    --plain-http) plain=yes; shift; continue ;;
    --key | --out | --registry | --ca | --user | --password-file) [ $# -ge 2 ] || usage ;;
    *) usage ;;
  esac
  case $1 in
    --key) key=$2 ;;
    --out) out=$2 ;;
    --registry) where=registry registry=$2 ;;
    --ca) ca=$2 ;;
    --user) user=$2 ;;
    --password-file) password_file=$2 ;;
  esac
  shift 2
done
[ -n "$key" ] || usage
[ -r "$bundle" ] || fail "$bundle can't be read"
[ -r "$key" ] || fail "the key $key can't be read"
case $registry in *://*) fail "--registry takes HOST[:PORT][/PREFIX], without ${registry%%://*}://" ;; esac
[ -z "$ca" ] || [ -r "$ca" ] || fail "the CA $ca can't be read"
[ -z "$password_file" ] || [ -r "$password_file" ] || fail "the password file $password_file can't be read"
[ -n "$out" ] || out=$(basename "$bundle" .bundle)
out=${out%/}
for tool in tar sha256sum openssl; do
  command -v "$tool" > /dev/null || fail "this machine has no program $tool"
done
case $(openssl version) in
  "OpenSSL 0"* | "OpenSSL 1"* | LibreSSL*) fail "$(openssl version) can't check Ed25519 signatures of files: OpenSSL 3 is needed" ;;
esac
[ "$where" != containerd ] || command -v ${CTR:-ctr} > /dev/null || fail "this machine has no program ${CTR:-ctr}: is containerd here? CTR=\"k3s ctr\" is k3s'"
[ ! -e "$out" ] || fail "$out exists already: remove it, or name another folder with --out"

openssl pkey -pubin -in "$key" -noout 2> /dev/null || fail "$key is no public key in PEM (-----BEGIN PUBLIC KEY-----)"

# The first kilobyte is a tar entry with the signature, which is of all that follows.
work=$(mktemp -d "$out.load-XXXXXX") || fail "nothing can be written beside $out"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
head -c 512 "$bundle" > "$work/header"
head -c 1024 "$bundle" | tail -c 448 | tr -d '\0' > "$work/padding"
head -c 576 "$bundle" | tail -c 64 > "$work/signature"
[ "$(head -c 9 "$work/header")" = SIGNATURE ] || fail "$bundle is no bundle of Intramuros"
[ "$(sha256sum < "$work/header" | cut -c 1-64)" = @HEADER@ ] && [ ! -s "$work/padding" ] || fail "$bundle was changed: its first bytes are not those of a bundle"
digest=$(tail -c +1025 "$bundle" | sha256sum | cut -c 1-64)
printf 'intramuros-bundle-v1\n%s\n' "$digest" > "$work/message"
openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/message" -sigfile "$work/signature" > /dev/null 2>&1 ||
  fail "$bundle is not what the owner of the key in $key signed: it was changed, cut short, or signed by somebody else. Nothing was unpacked."
echo "The bundle is whole, and signed by the key in $key (SHA-256 of what is signed: $digest)."

# All of it or nothing: it gets its name when it is there.
mkdir "$work/tree"
tar -xf "$bundle" -C "$work/tree" --no-same-owner --no-same-permissions || fail "it could not be unpacked (is the disk full?). Nothing was kept."
(cd "$work/tree" && sha256sum --quiet --strict -c SHA256SUMS) || fail "a file is not what it was when it was signed: does the disk fail? Nothing was kept."
mv "$work/tree" "$out"
echo "It is unpacked in $out."

again="Images were not all loaded. When that is mended: rm -rf $out, and the same command again."
case $where in
  containerd)
    for image in "$out"/images/*.tar; do
      ${CTR:-ctr} --namespace k8s.io images import --digests=false "$image" > /dev/null || fail "containerd did not take $image. $again"
      echo "loaded $(basename "$image" .tar)"
    done
    ;;
  registry)
    set -- "$registry"
    [ -z "$ca" ] || set -- "$@" --ca "$ca"
    [ -z "$user" ] || set -- "$@" --user "$user"
    [ -z "$password_file" ] || set -- "$@" --password-file "$password_file"
    [ -z "$plain" ] || set -- "$@" --plain-http
    for image in "$out"/images/*.tar; do
      mkdir "$work/layout"
      tar -xmf "$image" -C "$work/layout" --no-same-owner || fail "$image could not be unpacked (is the disk full?). $again"
      "$out/tools/push-images" "$work/layout" "$@" || fail "$again"
      rm -rf "$work/layout"
    done
    ;;
esac
echo "Next: $out/docs/install.md"
