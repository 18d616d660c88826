#pragma once

#include <pthread.h>

#include <boost/test/unit_test.hpp>
#include <exception>
#include <functional>

#include <tapestry/autograd/memory/allocator.h>

namespace tapestry::test {

/// Runs f on a thread with a stack of 256 KiB, the smallest in use; twice that where a sanitizer puts room between the
/// variables of every frame.
inline void on_a_small_stack(const std::function<void()>& f) {
  pthread_attr_t attributes;
  BOOST_REQUIRE(pthread_attr_init(&attributes) == 0);
  BOOST_REQUIRE(pthread_attr_setstacksize(&attributes, (detail::kUnderSanitizer ? 512 : 256) * 1024) == 0);
  struct Job {
    const std::function<void()>& f;
    std::exception_ptr error;
  } job{f, nullptr};
  pthread_t thread{};
  const auto run = [](void* argument) -> void* {
    auto& mine = *static_cast<Job*>(argument);
    try {
      mine.f();
    } catch (...) {
      mine.error = std::current_exception();
    }
    return nullptr;
  };
  // Assertions of Boost.Test are for one thread at a time: none here before the other has ended.
  const int refused = pthread_create(&thread, &attributes, run, &job);
  if (refused == 0) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  BOOST_REQUIRE(refused == 0);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace tapestry::test
