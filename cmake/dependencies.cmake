# What the library stands on, as one target: thalweg_dependencies.
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(cjson REQUIRED IMPORTED_TARGET libcjson)

# Not by oneDNN's own package file: Debian's asks for OpenCL, which a CPU build does not need.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)

add_library(thalweg_dependencies INTERFACE)
target_include_directories(thalweg_dependencies INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(thalweg_dependencies INTERFACE
  ${DNNL_LIBRARY} PkgConfig::cjson ZLIB::ZLIB Threads::Threads m)

# Pictures, each kind where its library is; reading one without it says so.
if(THALWEG_PNG)
  find_package(PNG)
endif()
if(PNG_FOUND)
  target_link_libraries(thalweg_dependencies INTERFACE PNG::PNG)
  set_property(SOURCE src/io/image_png.c APPEND PROPERTY COMPILE_DEFINITIONS THALWEG_HAVE_PNG=1)
else()
  message(STATUS "Without libpng: image folders read no PNG files")
endif()
if(THALWEG_JPEG)
  find_package(JPEG)
endif()
if(JPEG_FOUND)
  target_link_libraries(thalweg_dependencies INTERFACE JPEG::JPEG)
  set_property(SOURCE src/io/image_jpeg.c APPEND PROPERTY COMPILE_DEFINITIONS THALWEG_HAVE_JPEG=1)
else()
  message(STATUS "Without libjpeg: image folders read no JPEG files")
endif()

# Machine code. By llvm-config, since LLVM's own package file asks for libraries that this does not need.
set(LLVM_FOUND OFF)
if(THALWEG_LLVM)
  find_program(LLVM_CONFIG NAMES llvm-config-19)
  if(LLVM_CONFIG)
    foreach(what includedir libdir version)
      execute_process(COMMAND ${LLVM_CONFIG} --${what} OUTPUT_VARIABLE llvm_${what}
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    find_path(LLVM_INCLUDE_DIR llvm-c/Core.h HINTS ${llvm_includedir} NO_DEFAULT_PATH)
    find_library(LLVM_LIBRARY NAMES LLVM-19 LLVM HINTS ${llvm_libdir} NO_DEFAULT_PATH)
    if(LLVM_INCLUDE_DIR AND LLVM_LIBRARY)
      set(LLVM_FOUND ON)
    endif()
  endif()
endif()
if(LLVM_FOUND)
  add_library(thalweg_llvm_dependencies INTERFACE)
  target_include_directories(thalweg_llvm_dependencies SYSTEM INTERFACE ${LLVM_INCLUDE_DIR})
  target_link_libraries(thalweg_llvm_dependencies INTERFACE ${LLVM_LIBRARY})
  set(llvm_definitions THALWEG_LLVM_VERSION="${llvm_version}"
    THALWEG_LLVM_PLUGIN="${CMAKE_SHARED_MODULE_PREFIX}thalweg-llvm${CMAKE_SHARED_MODULE_SUFFIX}"
    THALWEG_LIBRARY_FOLDER="${CMAKE_INSTALL_LIBDIR}"
    THALWEG_INSTALLED_FOLDER="${CMAKE_INSTALL_FULL_LIBDIR}")
  set_property(SOURCE src/codegen/machine_code.c src/codegen/machine_target.c
    APPEND PROPERTY COMPILE_DEFINITIONS ${llvm_definitions})
else()
  message(STATUS "Without LLVM: no machine code is generated, plain kernels serve")
endif()

# oneDNN's threads are OpenMP's; tw_parallel_for goes over them once a primitive runs on several.
find_package(OpenMP REQUIRED COMPONENTS C)
if(THALWEG_OPENMP)
  target_link_libraries(thalweg_dependencies INTERFACE OpenMP::OpenMP_C)
  add_compile_definitions(TW_THREADS_OPENMP=1)
else()
  # Only to tell oneDNN to run on one thread.
  target_link_libraries(thalweg_dependencies INTERFACE ${OpenMP_C_LIBRARIES})
endif()

# The same by name, for thalweg.pc and ThalwegConfig.cmake: who links the static library needs packages
# of pkg-config, and libraries that have none.
set(thalweg_packages libcjson zlib)
foreach(optional PNG JPEG)
  if(${optional}_FOUND)
    string(TOLOWER lib${optional} package)
    list(APPEND thalweg_packages ${package})
  endif()
endforeach()
set(thalweg_libraries dnnl ${OpenMP_C_LIB_NAMES} m)
