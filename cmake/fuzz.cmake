# tests/fuzz/fuzz_NAME.c is a fuzz target with the inputs tests/fuzz/corpus/NAME. With THALWEG_FUZZ it
# is linked with libFuzzer as build/fuzz/targets/NAME (needs clang; scripts/fuzz runs them); without, it
# becomes the test fuzz_NAME, which runs the corpus once.
add_library(thalweg_fuzz_support STATIC tests/fuzz/fuzz.c)
target_include_directories(thalweg_fuzz_support PUBLIC tests)
target_link_libraries(thalweg_fuzz_support PUBLIC thalweg_inside)
target_link_options(thalweg_fuzz_support INTERFACE -Wl,--wrap=mmap,--wrap=munmap)
add_custom_target(fuzz_targets)

file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${fuzz_sources})
  string(REGEX REPLACE ".*/fuzz_([^/]+)\\.c$" "\\1" name ${source})
  set(target fuzz_${name})
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE thalweg_fuzz_support)
  add_dependencies(fuzz_targets ${target})
  if(THALWEG_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/targets)
  else()
    target_sources(${target} PRIVATE tests/fuzz/replay.c)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    register_test(${source} NAME ${target}
      COMMAND ${target} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  endif()
endforeach()
