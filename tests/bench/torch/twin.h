#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

/// What LibTorch's twins share. They speak the same flags and print the same lines as our benchmarks, and never link
/// tapestry: each side runs alone in its process, so that two thread pools cannot get in each other's way.
namespace twin {

struct Options {
  int threads = 2;
  bool json = false;
  std::vector<std::string> rest;
};

inline Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--json")) options.json = true;
    else if (!std::strcmp(argv[i], "--threads") && i + 1 < argc) options.threads = std::atoi(argv[++i]);
    else options.rest.emplace_back(argv[i]);
  }
  torch::set_num_threads(options.threads);
  at::globalContext().setFlushDenormal(true);
  return options;
}

template <class F>
double seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median of repeated runs after `warm_up` calls.
template <class F>
double median_seconds(const F& f, double budget, int warm_up = 2) {
  for (int i = 0; i < warm_up; ++i) f();
  std::vector<double> runs;
  for (double spent = 0; spent < budget || runs.size() < 5;) {
    runs.push_back(seconds(f));
    spent += runs.back();
  }
  std::nth_element(runs.begin(), runs.begin() + static_cast<long>(runs.size() / 2), runs.end());
  return runs[runs.size() / 2];
}

inline void print(const Options& options, const std::string& name, const std::string& layout, double value,
                  const char* unit) {
  if (options.json) {
    std::printf(
        "{\"name\": \"%s\", \"layout\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"threads\": %d, "
        "\"library\": \"LibTorch %s\"}\n",
        name.c_str(), layout.c_str(), value, unit, options.threads, TORCH_VERSION);
  } else {
    std::printf("%-32s %-14s %12.4g %s\n", name.c_str(), layout.c_str(), value, unit);
  }
  std::fflush(stdout);
}

}  // namespace twin
