# Programs and scripts, run as a user would run them.

if(TARGET train_cifar100)
  foreach(case IN ITEMS quickstart tensors_and_gradients lecture custom_model training_loop custom_op custom_layer custom_data_set
          inference_and_files gradient_checks hessian_vector gradient_tests differential_equations learning_to_learn
          private_gradients neural_ode wasserstein curvature flat_minima learning_rate characters train instruction_set
          train_json train_threads train_models train_precision train_resume train_interrupt train_kill train_trouble
          bad_flags bad_input)
    add_test(NAME examples/${case}
             COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/examples/examples_test.sh ${PROJECT_BINARY_DIR}/bin ${case})
    set_tests_properties(examples/${case} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
  if(TAPESTRY_INSTALL)
    add_test(NAME examples/copied_out
             COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/examples/copied_out_test.sh ${PROJECT_SOURCE_DIR}/examples
                     ${CMAKE_CXX_COMPILER} ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR})
    set_tests_properties(examples/copied_out PROPERTIES TIMEOUT 600 PROCESSORS 2 SKIP_RETURN_CODE 77)
  endif()
endif()

add_test(NAME datasets/get_cifar
         COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/datasets/get_cifar_test.sh ${CMAKE_COMMAND}
                 ${PROJECT_SOURCE_DIR}/cmake/get_cifar.cmake)

add_test(NAME house/include_graph COMMAND include_graph)
# Every page and every public name, with warnings as errors; where there is no Doxygen, cmake/docs.cmake says so.
if(TARGET docs)
  add_test(NAME house/reference COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target docs)
  set_tests_properties(house/reference PROPERTIES TIMEOUT 300)
endif()
# The preset `release` hardens what it builds (docs/security.md); other builds have the flags that they are given.
if(CMAKE_CXX_FLAGS MATCHES "stack-protector" AND CMAKE_READELF AND TARGET train_cifar100)
  add_test(NAME house/hardening
           COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/house/hardening_test.sh ${CMAKE_READELF}
                   $<TARGET_FILE:train_cifar100> $<TARGET_FILE:quickstart>)
endif()
if(TARGET quickstart)
  get_target_property(quickstart_source quickstart SOURCES)
  add_test(NAME house/header_weight
           COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/house/header_weight.sh ${PROJECT_SOURCE_DIR}
                   ${PROJECT_BINARY_DIR}/include ${CMAKE_CXX_COMPILER} ${quickstart_source})
  set_tests_properties(house/header_weight PROPERTIES TIMEOUT 300)
endif()

# A user's project, with the library installed elsewhere and with the library as a part of it.
set(consumer_arguments ${CMAKE_COMMAND} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
if(TAPESTRY_INSTALL)
  foreach(variant IN ITEMS static shared)
    add_test(NAME consumer/installed_${variant}
             COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/consumer/installed_test.sh ${variant} ${consumer_arguments})
    set_tests_properties(consumer/installed_${variant} PROPERTIES TIMEOUT 300)
  endforeach()
endif()
add_test(NAME consumer/subdirectory
         COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/consumer/subdirectory_test.sh ${consumer_arguments})
set_tests_properties(consumer/subdirectory PROPERTIES TIMEOUT 300)
