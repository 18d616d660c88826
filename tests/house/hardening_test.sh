#!/bin/sh
# Reads from the programs of the release build that they are hardened (docs/security.md): what the flags in the preset
# promise must be in the files.
#
#   hardening_test.sh READELF PROGRAM...
set -u
readelf=$1
shift
failed=0
checked=
for program in "$@"; do
  name=$(basename "$program")
  wrong=
  "$readelf" -hW "$program" | grep -q 'Type: *DYN' || wrong="$wrong, no position-independent program"
  "$readelf" -lW "$program" | grep -q 'GNU_RELRO' || wrong="$wrong, relocations stay writable (no RELRO)"
  "$readelf" -dW "$program" | grep -Eq 'BIND_NOW|Flags:.* NOW' || wrong="$wrong, symbols are resolved lazily (no BIND_NOW)"
  "$readelf" -lW "$program" | grep 'GNU_STACK' | grep -q 'RWE' && wrong="$wrong, the stack is executable"
  "$readelf" -sW --dyn-syms "$program" | grep -q '__stack_chk_fail' || wrong="$wrong, no stack protector"
  # A small program may call no function that has a checked form: that one of the programs does is enough.
  "$readelf" -sW --dyn-syms "$program" | grep -Eq '__(mem|str|vsn|sn|read|f?printf|v?f?printf|fread)[a-z]*_chk' &&
    checked=yes
  if [ -n "$wrong" ]; then
    echo "FAILED: $name: ${wrong#, }"
    failed=1
  else
    echo "$name: position-independent, RELRO, BIND_NOW, stack protector, no executable stack"
  fi
done
if [ -z "$checked" ]; then
  echo "FAILED: no program calls checked functions (_FORTIFY_SOURCE)"
  failed=1
fi
exit $failed
