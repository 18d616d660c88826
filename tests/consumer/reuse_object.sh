#!/bin/sh
# A compiler launcher for tests: takes the library's objects from another build of the same sources, which has them
# compiled with the same flags, and compiles everything else.
#   reuse_object.sh BUILD_FOLDER COMPILER ARGUMENT...
built=$1
shift
output=
previous=
for argument in "$@"; do
  [ "$previous" != -o ] || output=$argument
  previous=$argument
done
case $output in
  *CMakeFiles/tapestry.dir/*)
    object=$built/CMakeFiles/tapestry.dir/${output#*CMakeFiles/tapestry.dir/}
    if [ -f "$object" ]; then exec cp "$object" "$output"; fi
    echo "compiled anew: $output" ;;
esac
exec "$@"
