# find_package(tapestry), pkg-config, and the data script.
include(CMakePackageConfigHelpers)

install(TARGETS tapestry EXPORT tapestryTargets FILE_SET HEADERS)
install(EXPORT tapestryTargets NAMESPACE tapestry:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tapestry)
configure_package_config_file(cmake/tapestryConfig.cmake.in ${PROJECT_BINARY_DIR}/tapestryConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tapestry)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tapestryConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tapestryConfig.cmake ${PROJECT_BINARY_DIR}/tapestryConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tapestry)
# Relative to the file itself, so that the installed tree can be moved.
file(RELATIVE_PATH pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
# A static library leaves its own dependencies to whoever links it; `pkg-config --libs` names them, with and without
# --static. A shared one has them inside.
set(pc_requires "")
set(pc_libs "")
if(library_type STREQUAL STATIC_LIBRARY)
  set(pc_requires "fmt libhwy")
  if(TAPESTRY_PARALLEL STREQUAL tbb)
    string(APPEND pc_requires " tbb")
  endif()
  set(pc_libs " -pthread")
endif()
configure_file(cmake/tapestry.pc.in tapestry.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tapestry.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES cmake/get_cifar.cmake DESTINATION ${CMAKE_INSTALL_DATADIR}/tapestry)
