# The pages in docs/ and the reference of all public headers as one site: cmake --build ... --target docs
find_package(Doxygen 1.9 QUIET)
set(docs_folder ${PROJECT_BINARY_DIR}/docs)
if(NOT DOXYGEN_FOUND)
  # A target that says what it needs is easier to find than one that is not there.
  add_custom_target(docs COMMAND ${CMAKE_COMMAND} -E echo "docs needs Doxygen 1.9 or later: apt-get install doxygen"
                    COMMAND ${CMAKE_COMMAND} -E false VERBATIM)
  return()
endif()
# Headers are read where they are called <tapestry/...>, as users spell them.
configure_file(${PROJECT_SOURCE_DIR}/docs/Doxyfile.in ${docs_folder}/Doxyfile @ONLY)
add_custom_target(docs COMMAND ${CMAKE_COMMAND} -E rm -rf ${docs_folder}/html
                  COMMAND ${CMAKE_COMMAND} -E make_directory ${docs_folder}
                  COMMAND ${DOXYGEN_EXECUTABLE} ${docs_folder}/Doxyfile
                  COMMAND ${CMAKE_COMMAND} -E echo "The documentation is in ${docs_folder}/html/index.html"
                  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
