# The language, the warnings and the code generation of every C file in the tree.
include(CheckCCompilerFlag)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden) # public functions are marked TW_API
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_compile_definitions(_POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow=local -Wvla -Wundef -Wformat=2 -Wwrite-strings
  -Wpointer-arith -Wcast-align)
add_compile_options("$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes;-Wold-style-definition>")

# Nobody reads errno or traps after arithmetic, and saying so lets sqrt and selects vectorise. Fused
# multiply-adds must be asked for: gcc turns them off in ISO C mode. No -ffast-math: NaN and
# infinity mean something (masks are -inf), and sums keep their order.
add_compile_options(-fno-math-errno -fno-trapping-math -ffp-contract=fast)
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_DEBUG "-O1 -g" CACHE STRING "" FORCE)

if(THALWEG_NATIVE)
  check_c_compiler_flag(-march=native have_march_native)
  if(have_march_native)
    add_compile_options(-march=native)
  endif()
endif()

if(THALWEG_SANITIZE)
  # gcc's flow warnings go wrong on instrumented code; the release build has them as errors.
  set(warnings_are_errors OFF)
  add_compile_options(-fsanitize=${THALWEG_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${THALWEG_SANITIZE})
else()
  set(warnings_are_errors ON)
endif()
if(THALWEG_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "THALWEG_FUZZ needs clang, for libFuzzer; use the preset: cmake --preset fuzz")
  endif()
  set(warnings_are_errors OFF) # gcc's build has them as errors
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
option(CMAKE_COMPILE_WARNING_AS_ERROR "Warnings are errors" ${warnings_are_errors})
