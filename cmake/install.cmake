# What `make install` puts where: command, library, headers, and the files by which pkg-config and CMake
# find them. The prefix may be chosen at install time and moved later: every path inside is relative.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Thalweg)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR}
  OUTPUT_VARIABLE bin_to_lib)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
  OUTPUT_VARIABLE pc_to_prefix)

# A dependency outside the system's folders is found at run time too.
set_target_properties(thalweg_shared PROPERTIES
  EXPORT_NAME thalweg INSTALL_RPATH $ORIGIN INSTALL_RPATH_USE_LINK_PATH ON)
set_target_properties(thalweg_static PROPERTIES EXPORT_NAME thalweg_static)
if(TARGET thalweg)
  set_target_properties(thalweg PROPERTIES
    INSTALL_RPATH $ORIGIN/${bin_to_lib} INSTALL_RPATH_USE_LINK_PATH ON)
endif()
# Two sets, since a program that uses the shared library need not have the dependencies' files.
install(TARGETS thalweg_shared EXPORT shared)
install(TARGETS thalweg_static EXPORT static)
if(TARGET thalweg_llvm)
  set_target_properties(thalweg_llvm PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS thalweg_llvm LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(EXPORT shared NAMESPACE Thalweg:: FILE ThalwegShared.cmake DESTINATION ${package_folder})
install(EXPORT static NAMESPACE Thalweg:: FILE ThalwegStatic.cmake DESTINATION ${package_folder})
install(DIRECTORY include/thalweg TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(FILES docs/thalweg.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

# -lNAME for each library, and where those lie that the linker would not find.
set(thalweg_link_folders "")
foreach(path ${DNNL_LIBRARY})
  cmake_path(GET path PARENT_PATH folder)
  if(NOT folder IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
    list(APPEND thalweg_link_folders ${folder})
  endif()
endforeach()
list(TRANSFORM thalweg_libraries PREPEND -l OUTPUT_VARIABLE link_flags)
list(TRANSFORM thalweg_link_folders PREPEND -L OUTPUT_VARIABLE folder_flags)
list(JOIN link_flags " " thalweg_libs_private)
list(JOIN folder_flags " " thalweg_folders_private)
list(JOIN thalweg_packages " " thalweg_requires_private)

configure_file(cmake/thalweg.pc.in ${PROJECT_BINARY_DIR}/thalweg.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/thalweg.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
configure_package_config_file(cmake/ThalwegConfig.cmake.in ${PROJECT_BINARY_DIR}/ThalwegConfig.cmake
  INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may break what the one before it had.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ThalwegConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ThalwegConfig.cmake ${PROJECT_BINARY_DIR}/ThalwegConfigVersion.cmake
  DESTINATION ${package_folder})

# The list that `make uninstall` goes by, in the prefix itself: it outlives the build folder.
install(CODE [[
  set(list "${CMAKE_INSTALL_PREFIX}/share/thalweg/installed.txt")
  string(REPLACE "${CMAKE_INSTALL_PREFIX}/" "" files "${CMAKE_INSTALL_MANIFEST_FILES}")
  list(APPEND files share/thalweg/installed.txt)
  list(SORT files)
  list(JOIN files "\n" files)
  file(WRITE "$ENV{DESTDIR}${list}" "${files}\n")
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES "${list}")
]])
