# Fetches CIFAR-100 or CIFAR-10 in the binary version, checks it and unpacks it.
#
#   cmake -DOUT=data -P get_cifar.cmake                           CIFAR-100 into data/cifar-100-binary/
#   cmake -DOUT=data -DNAME=cifar-10-binary -P get_cifar.cmake    CIFAR-10 into data/cifar-10-batches-bin/
#
# The environment's TAPESTRY_CIFAR_URL names another source: a mirror, or file:///media/usb/cifar-100-binary.tar.gz.
# SHA256 is the expected hash, where it is not that of the published archive. Nothing is fetched when the files are
# there already with the right sizes.
cmake_minimum_required(VERSION 3.25)

if(NOT DEFINED OUT)
  message(FATAL_ERROR "get_cifar: OUT must name the folder to unpack into: cmake -DOUT=data -P ${CMAKE_CURRENT_LIST_FILE}")
endif()
if(NOT DEFINED NAME)
  set(NAME cifar-100-binary)
endif()
if(NAME STREQUAL "cifar-100-binary")
  set(folder cifar-100-binary)
  set(published 58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec)
  set(members train.bin:153700000 test.bin:30740000)
elseif(NAME STREQUAL "cifar-10-binary")
  set(folder cifar-10-batches-bin)
  set(published c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd)
  set(members data_batch_1.bin:30730000 data_batch_2.bin:30730000 data_batch_3.bin:30730000 data_batch_4.bin:30730000
              data_batch_5.bin:30730000 test_batch.bin:30730000)
else()
  message(FATAL_ERROR "get_cifar: NAME must be cifar-100-binary or cifar-10-binary; got '${NAME}'")
endif()
if(NOT DEFINED SHA256)
  set(SHA256 ${published})
endif()
get_filename_component(OUT "${OUT}" ABSOLUTE)
set(target "${OUT}/${folder}")

set(complete TRUE)
foreach(member IN LISTS members)
  string(REPLACE ":" ";" member ${member})
  list(GET member 0 file)
  list(GET member 1 expected_size)
  set(size 0)
  if(EXISTS "${target}/${file}")
    file(SIZE "${target}/${file}" size)
  endif()
  if(NOT size EQUAL expected_size)
    set(complete FALSE)
  endif()
endforeach()
if(complete)
  message(STATUS "get_cifar: ${target} is there already")
  return()
endif()
if(EXISTS "${target}")
  message(FATAL_ERROR "get_cifar: ${target} exists but its files are missing or of other sizes: move it away first")
endif()

set(url "https://www.cs.toronto.edu/~kriz/${NAME}.tar.gz")
if(DEFINED ENV{TAPESTRY_CIFAR_URL})
  set(url "$ENV{TAPESTRY_CIFAR_URL}")
endif()
# Names of this process's own: of two that run at once, each unpacks what it checked, and the first rename wins.
string(RANDOM LENGTH 8 suffix)
set(part "${OUT}/${NAME}.tar.gz.${suffix}.part")
set(unpacked "${OUT}/.unpack-${suffix}")
file(GLOB stale "${OUT}/${NAME}.tar.gz.*.part" "${OUT}/.unpack-*")
if(stale)
  message(STATUS "get_cifar: left by an interrupted run, may be deleted: ${stale}")
endif()
file(MAKE_DIRECTORY "${OUT}")
message(STATUS "get_cifar: fetching ${url}")
file(DOWNLOAD "${url}" "${part}" TLS_VERIFY ON SHOW_PROGRESS INACTIVITY_TIMEOUT 60 STATUS status)
list(GET status 0 code)
list(GET status 1 reason)
set(hash "nothing that could be hashed")
if(code EQUAL 0)
  file(SHA256 "${part}" hash)
endif()
if(NOT hash STREQUAL SHA256)
  file(REMOVE "${part}")
  message(FATAL_ERROR "get_cifar: the data could not be fetched, or is not what was expected\n"
    "  from      ${url}\n"
    "  status    ${code} (${reason})\n"
    "  SHA-256   ${SHA256} expected\n"
    "            ${hash} came\n"
    "  by hand   mkdir -p '${OUT}' && wget -O- https://www.cs.toronto.edu/~kriz/${NAME}.tar.gz | tar -xz -C '${OUT}'\n"
    "            so that ${target}/ holds the .bin files\n"
    "  offline   fetch the archive on another machine and give its path:\n"
    "            TAPESTRY_CIFAR_URL=file:///path/${NAME}.tar.gz "
    "cmake -DOUT='${OUT}' -DNAME=${NAME} -P '${CMAKE_CURRENT_LIST_FILE}'\n"
    "            or train without it: the data set tapestry::datasets::Patterns needs no files\n")
endif()

file(ARCHIVE_EXTRACT INPUT "${part}" DESTINATION "${unpacked}")
if(NOT EXISTS "${unpacked}/${folder}")
  file(REMOVE_RECURSE "${part}" "${unpacked}")
  message(FATAL_ERROR "get_cifar: the archive must contain ${folder}/; ${url} does not")
endif()
file(RENAME "${unpacked}/${folder}" "${target}" RESULT renamed)
file(REMOVE_RECURSE "${part}" "${unpacked}")
if(NOT renamed EQUAL 0)
  message(FATAL_ERROR "get_cifar: ${target} could not be made: ${renamed}")
endif()
message(STATUS "get_cifar: ${target} is ready")
