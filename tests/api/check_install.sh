#!/usr/bin/env bash
# The library as a product: installs what is built, and from the installed prefix alone builds outside/ by
# pkg-config and by CMake, as C11 and C++17, shared and static; then takes it all away again.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
if grep -q '^THALWEG_SANITIZE:[A-Z]*=.' "$BUILD/CMakeCache.txt"; then
  echo "skipped: a library with sanitizers is not for other programs"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*"; exit 1; }
run() { # from elsewhere, and with no help to find the library
  local line
  line=$(cd / && env -u LD_LIBRARY_PATH "$1") || fail "$1 failed"
  [[ $line == 'y = '* ]] || fail "$1 printed '$line'"
}

# Installed aside and moved: no path of the build, nor of the first prefix, may matter.
DESTDIR=$work/stage cmake --install "$BUILD" --prefix /opt/thalweg >"$work/log"
prefix=$work/moved
mv "$work/stage/opt/thalweg" "$prefix"
if grep -rl -e "$source" -e "$work" -e /opt/thalweg "$prefix"; then fail "these name folders of the build"; fi
soname=$(readelf -d "$prefix/lib/libthalweg.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$prefix/lib/$soname" ] || fail "soname $soname is no file"

# The command, and one version everywhere.
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
version=$(pkg-config --modversion thalweg)
[[ $(cd / && "$prefix/bin/thalweg" --version) == *"$version" ]] || fail "the command's version is not $version"
(cd / && "$prefix/bin/thalweg" graph practice >/dev/null) || fail "the installed command fails"

# The compiler's module is found beside the library, wherever that is.
if [ -e "$prefix/lib/libthalweg-llvm.so" ]; then
  (cd / && THALWEG_CACHE=$work/cache "$prefix/bin/thalweg" profile mlp --runs 1 >/dev/null)
  ls "$work"/cache/objects/*.twobj >/dev/null || fail "the installed command compiles nothing"
fi

# pkg-config. For the archive the linker takes every member, so that each name that one needs must be found.
strict='-O1 -Wall -Wextra -Wpedantic -Werror'
flags=$(pkg-config --cflags thalweg)
shared="$(pkg-config --libs thalweg) -Wl,-rpath,$prefix/lib"
static="$(pkg-config --static --libs thalweg)"
static=${static/-lthalweg/-Wl,--whole-archive -l:libthalweg.a -Wl,--no-whole-archive}
program=$source/tests/api/outside/line.c
for language in 'c -std=c11' 'c++ -std=c++17'; do
  for how in shared static; do
    compiler=${CC:-gcc}
    [[ $language == c++* ]] && compiler=${CXX:-g++}
    # Words apart on purpose: each variable holds several arguments.
    # shellcheck disable=SC2086
    $compiler -x $language $strict $flags "$program" -x none ${!how} -o "$work/line" ||
      fail "pkg-config: $compiler, $how"
    run "$work/line"
    [ $how = shared ] || ! readelf -d "$work/line" | grep -q libthalweg || fail "not linked statically"
  done
done

# CMake.
cmake -S "$source/tests/api/outside" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version" \
  >"$work/log" 2>&1 || { cat "$work/log"; fail "find_package(Thalweg $version)"; }
cmake --build "$work/cmake" >"$work/log" 2>&1 || { cat "$work/log"; fail "the CMake project"; }
for name in {c,cpp}_thalweg{,_static}; do run "$work/cmake/$name"; done

# And away.
"$source/scripts/uninstall" "$prefix" >/dev/null
left=$(find "$prefix" ! -type d)
[ -z "$left" ] || fail "left by uninstall: $left"
[ ! -e "$prefix/include/thalweg" ] || fail "uninstall left include/thalweg"
