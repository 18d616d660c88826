# Programs and scripts, run as a user would run them.

if(TARGET train_cifar100)
  foreach(case IN ITEMS quickstart tensors_and_gradients lecture custom_model training_loop custom_op custom_layer custom_data_set
          inference_and_files gradient_checks hessian_vector gradient_tests train instruction_set train_json train_threads
          train_models train_precision train_resume train_interrupt bad_flags bad_input)
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

if(TAPESTRY_INSTALL)
  add_test(NAME consumer/installed
           COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/consumer/installed_test.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
                   ${CMAKE_CURRENT_SOURCE_DIR}/consumer ${CMAKE_CXX_COMPILER})
  set_tests_properties(consumer/installed PROPERTIES TIMEOUT 300)
endif()
