#!/bin/sh
# Drives cmake/get_cifar.cmake with archives it makes itself, served as file:// URLs.
#
#   get_cifar_test.sh CMAKE SCRIPT
set -u
cmake=$1
script=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
  echo "FAILED: $*"
  cat out 2>/dev/null
  exit 1
}

# get STATUS ARGUMENT...: runs the script; a status other than 0 stands for any failure.
get() {
  wanted=$1
  shift
  status=0
  TAPESTRY_CIFAR_URL=$url "$cmake" "$@" -P "$script" >out 2>&1 || status=1
  [ "$status" = "$wanted" ] || fail "exit status $wanted expected, got $status: $*"
}
says() { tr -s ' \n' ' ' <out | grep -qF -e "$1" || fail "not said: $1"; }
# Nothing under OUT but what is named.
holds() {
  [ "$(ls -A data 2>/dev/null | tr '\n' ' ')" = "$1" ] || fail "data holds: $(ls -A data)"
}

mkdir -p source/cifar-100-binary
truncate -s 153700000 source/cifar-100-binary/train.bin
truncate -s 30740000 source/cifar-100-binary/test.bin
echo apple >source/cifar-100-binary/fine_label_names.txt
tar -C source -czf good.tar.gz cifar-100-binary
hash=$(sha256sum good.tar.gz | cut -d ' ' -f 1)

url=file://$work/good.tar.gz
get 1 -DOUT=data
says "could not be fetched, or is not what was expected"
says "from $url"
says "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec expected"
says "$hash came"
says "wget -O- https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz | tar -xz -C '$work/data'"
says "TAPESTRY_CIFAR_URL=file:///path/cifar-100-binary.tar.gz"
holds ""

url=file://$work/none.tar.gz
get 1 -DOUT=data -DSHA256="$hash"
says "status 37"
says "nothing that could be hashed came"
holds ""

tar -C source/cifar-100-binary -czf flat.tar.gz train.bin
url=file://$work/flat.tar.gz
get 1 -DOUT=data -DSHA256="$(sha256sum flat.tar.gz | cut -d ' ' -f 1)"
says "the archive must contain cifar-100-binary/"
holds ""

url=file://$work/good.tar.gz
get 0 -DOUT=data -DSHA256="$hash"
says "cifar-100-binary is ready"
holds "cifar-100-binary "
[ "$(cat data/cifar-100-binary/fine_label_names.txt)" = apple ] || fail "another name file"

url=file://$work/none.tar.gz
get 0 -DOUT=data
says "is there already"

truncate -s 5 data/cifar-100-binary/test.bin
get 1 -DOUT=data
says "exists but its files are missing or of other sizes: move it away first"

get 1 -DOUT=data -DNAME=cifar-1000
says "NAME must be cifar-100-binary or cifar-10-binary; got 'cifar-1000'"
get 1
says "OUT must name the folder to unpack into"
echo "get_cifar: all as it should be"
