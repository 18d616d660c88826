# Programs and scripts, run as a user would run them.

if(TARGET train_cifar100)
  foreach(case IN ITEMS quickstart custom_op gradcheck hessian_vector edge_filter train instruction_set train_json train_threads
          train_models train_precision train_resume train_interrupt bad_flags bad_input)
    add_test(NAME examples/${case}
             COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/examples/examples_test.sh ${PROJECT_BINARY_DIR}/bin ${case})
    set_tests_properties(examples/${case} PROPERTIES TIMEOUT 300)
  endforeach()
endif()

add_test(NAME datasets/get_cifar
         COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/datasets/get_cifar_test.sh ${CMAKE_COMMAND}
                 ${PROJECT_SOURCE_DIR}/cmake/get_cifar.cmake)

if(TAPESTRY_INSTALL)
  add_test(NAME consumer/installed
           COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/consumer/installed_test.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
                   ${CMAKE_CURRENT_SOURCE_DIR}/consumer ${CMAKE_CXX_COMPILER})
  set_tests_properties(consumer/installed PROPERTIES TIMEOUT 300)
endif()
