#include <support/expect.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/background_task.h>
#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/precision.h>
#include <tapestry/ops/reduce.h>

/// Loops on several threads, and several threads that record and play. Workers write into buffers and atomics; only the
/// main thread asserts.
BOOST_AUTO_TEST_SUITE(parallel_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// f() with each of these numbers of threads.
template <class F>
void with_threads(const F& f) {
  const int outer = num_threads();
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    f(threads);
  }
  set_num_threads(outer);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_element_is_visited_once_in_chunks_that_depend_on_sizes_only) {
  with_threads([](int threads) {
    for (const Index n : {0, 1, 9, 10, 11, 99, 100, 101, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
      std::atomic<int> wrong{0};
      parallel_for(n, 10, [&](Index begin, Index end) {
        if (begin % 10 != 0 || end != std::min(begin + 10, n)) ++wrong;
        for (Index i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      const bool once = std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; });
      BOOST_TEST((once && wrong == 0), n << " elements, " << threads << " threads");
    }
  });
}

BOOST_AUTO_TEST_CASE(reductions_add_up_in_the_same_order_on_any_number_of_threads) {
  std::vector<double> v(100'000);
  Generator g(3);
  for (double& x : v) x = g.normal() * 1e10;
  std::vector<double> sums;
  with_threads([&](int) {
    for (int repeat = 0; repeat < 5; ++repeat) {
      sums.push_back(parallel_reduce(
          static_cast<Index>(v.size()), 777, 0.0,
          [&](Index begin, Index end) {
            double sum = 0;
            for (Index i = begin; i < end; ++i) sum += v[static_cast<std::size_t>(i)];
            return sum;
          },
          [](double a, double b) { return a + b; }));
    }
  });
  for (const double sum : sums) BOOST_TEST(sum == sums[0]);
  BOOST_TEST(parallel_reduce(
                 0, 10, 5, [](Index, Index) { return 1; }, [](int a, int b) { return a + b; }) == 5);
}

BOOST_AUTO_TEST_CASE(an_exception_in_any_chunk_reaches_the_caller_and_the_next_loop_works) {
  with_threads([](int threads) {
    for (Index bad = 0; bad < 100; ++bad) {
      const std::string text = error<std::out_of_range>([&] {
        parallel_for(1000, 10, [&](Index begin, Index) {
          if (begin == bad * 10) throw std::out_of_range("chunk " + std::to_string(bad));
        });
      });
      BOOST_TEST(text == "chunk " + std::to_string(bad), threads << " threads");
    }
    std::atomic<Index> count{0};
    parallel_for(1000, 10, [&](Index begin, Index end) { count += end - begin; });
    BOOST_TEST(count.load() == 1000);
  });
}

BOOST_AUTO_TEST_CASE(loops_nest) {
  with_threads([](int threads) {
    std::vector<Index> sums(40);
    parallel_for(40, 1, [&](Index i, Index) {
      sums[static_cast<std::size_t>(i)] = parallel_reduce(
          100, 7, Index{0}, [](Index begin, Index end) { return end - begin; }, [](Index a, Index b) { return a + b; });
    });
    BOOST_TEST(std::all_of(sums.begin(), sums.end(), [](Index s) { return s == 100; }), threads << " threads");
  });
}

BOOST_AUTO_TEST_CASE(the_number_of_threads_is_checked) {
  const int before = num_threads();
  BOOST_TEST(error<std::invalid_argument>([] { set_num_threads(0); }) ==
             "set_num_threads: the number of threads must be in [1, 1024]; got 0");
  BOOST_TEST(error<std::invalid_argument>([] { set_num_threads(1025); }) ==
             "set_num_threads: the number of threads must be in [1, 1024]; got 1025");
  BOOST_TEST(num_threads() == before);
}

BOOST_AUTO_TEST_CASE(background_work_ends_before_its_handle_and_rethrows) {
  std::atomic<bool> done{false};
  {
    const BackgroundTask task([&] { done = true; });
  }
  BOOST_TEST(done.load());
  BackgroundTask bad([] { throw std::runtime_error("from behind"); });
  BOOST_TEST(error<std::runtime_error>([&] { bad.wait(); }) == "from behind");
  BOOST_CHECK_NO_THROW(bad.wait());
}

// --- grad mode

BOOST_AUTO_TEST_CASE(grad_mode_belongs_to_the_thread) {
  const NoGradGuard off;
  bool inside = false;
  std::thread([&] { inside = is_grad_enabled(); }).join();
  BOOST_TEST(inside);
  BOOST_TEST(!is_grad_enabled());
}

// --- threads that record and play

BOOST_AUTO_TEST_CASE(eight_threads_play_their_own_graphs_over_shared_leaves_and_lose_nothing) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 100;
  const Tensor shared = tensor({1., 2., 3.}, {.dtype = f64, .requires_grad = true});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        const Tensor own = tensor({1., 1., 1.}, {.dtype = f64, .requires_grad = true});
        const Tensor y = sum(shared * own * (t + 1));
        y.backward();
        if (own.grad().to_vector<double>()[2] != 3.0 * (t + 1)) ++wrong;
        const Tensor g = grad(sum(own * own * own), own, {.create_graph = true});
        if (grad(sum(g), own).to_vector<double>()[0] != 6) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(wrong.load() == 0);
  const double expected = kRounds * kThreads * (kThreads + 1) / 2;  // integers: exact in any order
  BOOST_TEST(values(shared.grad()) == (std::vector<double>{expected, expected, expected}));
}

BOOST_AUTO_TEST_CASE(large_sweeps_on_several_threads_share_the_pool) {
  std::vector<double> results(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      const Tensor x = ones({100'000}, {.dtype = f64, .requires_grad = true});
      sum(x * x * static_cast<double>(t + 1)).backward();
      results[t] = x.grad().to_vector<double>().back();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < results.size(); ++t) BOOST_TEST(results[t] == 2.0 * static_cast<double>(t + 1));
}

BOOST_AUTO_TEST_CASE(gradients_of_large_tensors_are_the_same_bits_on_any_number_of_threads) {
  std::vector<Tensor> gradients;
  with_threads([&](int) {
    Generator g(2);
    const Tensor x = randn({300'001}, {.requires_grad = true, .generator = &g});
    const Tensor y = x * x + x;
    sum(y * y + y * x).backward();
    gradients.push_back(x.grad());
  });
  for (const Tensor& g : gradients) BOOST_TEST(same_bits(g, gradients[0]));
}

// --- modes in tasks

BOOST_AUTO_TEST_CASE(tasks_run_in_the_modes_that_hold_where_the_loop_was_called) {
  with_threads([](int threads) {
    const Tensor x = ones({3}, {.requires_grad = true});
    std::atomic<int> recorded{0}, inferred{0}, narrow{0}, precise{0}, lost{0}, tasks{0};
    const auto loop = [&] {
      recorded = inferred = narrow = precise = lost = tasks = 0;
      const ModuleScope scope(intern("tower.3"));
      std::atomic<int> arrived{0};
      parallel_for(8 * threads, 1, [&](Index, Index) {
        ++arrived;
        // Tasks that end at once are all run by the thread that called: wait for one of the others, but not for ever.
        for (int i = 0; i < 1000 && arrived < 2; ++i) std::this_thread::yield();
        ++tasks;
        if ((x * 2).requires_grad()) ++recorded;
        if (is_inference_mode()) ++inferred;
        if (is_autocast_enabled()) ++narrow;
        if (float32_matmul_precision() == MatmulPrecision::medium) ++precise;
        if (CallSite::current().module == nullptr) ++lost;
        parallel_for(4, 1, [&](Index, Index) {
          if ((x * 2).requires_grad()) ++recorded;
        });
      });
    };
    loop();
    BOOST_TEST(recorded == 5 * tasks, threads << " threads");
    BOOST_TEST(inferred + narrow + precise + lost == 0, threads << " threads");
    {
      const InferenceMode inference;
      const Autocast autocast(bf16);
      const MatmulPrecisionGuard precision(MatmulPrecision::medium);
      loop();
    }
    BOOST_TEST(recorded + lost == 0, threads << " threads");
    BOOST_TEST((inferred == tasks && narrow == tasks && precise == tasks), threads << " threads");
    loop();  // the workers are as they were
    BOOST_TEST(recorded == 5 * tasks, threads << " threads");
    BOOST_TEST(inferred + narrow + precise + lost == 0, threads << " threads");
  });
}

BOOST_AUTO_TEST_CASE(a_task_that_waits_keeps_its_modes_whatever_its_thread_does_meanwhile) {
  with_threads([](int threads) {
    std::atomic<int> wrong{0};
    parallel_for(64, 1, [&](Index i, Index) {
      const GradModeGuard mode(i % 2 == 0);
      parallel_for(8, 1, [&](Index, Index) {
        if (is_grad_enabled() != (i % 2 == 0)) ++wrong;
      });
      if (is_grad_enabled() != (i % 2 == 0)) ++wrong;
    });
    BOOST_TEST(wrong == 0, threads << " threads");
  });
}

BOOST_AUTO_TEST_SUITE_END()
