#!/usr/bin/env bash
# programs/: what users write, as the interface was drawn up, compiles unchanged: as C11 without a warning, and
# type-checks as C++17, where -fpermissive stands for what C++ itself lacks of C: conversion of void *, and
# the address of a compound literal. (outside/line.c is the strict C++17 program.)
set -euo pipefail
cd "$(dirname "$0")"
bad=0
for program in programs/*.c; do
  "${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -I../../include -c "$program" -o /dev/null || bad=1
  "${CXX:-g++}" -x c++ -std=gnu++17 -fpermissive -w -I../../include -c "$program" -o /dev/null || bad=1
done
exit $bad
