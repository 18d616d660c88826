// campaign_faults: memory that is refused. A scenario asks for it n times; for k = 1, 2, ... n the k-th request is
// refused, then the k-th and all later ones. What comes out must be std::bad_alloc; nothing may leak, nothing may have
// changed, and the same again, with memory, must give the bits that it gives without a fault.
//
// Requests are those of operator new and those of the library's allocator for tensors, nodes and scratch; a second
// round refuses what that allocator asks of the system. See faults/refuse.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

#include "campaigns/campaign.h"
#include "campaigns/faults/refuse.h"
#include "support/live.h"
#include "support/temporary_folder.h"

namespace {

using namespace tapestry;
using campaign::Refuse;
using Tensors = std::vector<Tensor>;

bool same_bits(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.impl().bytes(), b.impl().bytes(), static_cast<std::size_t>(a.numel() * item_bytes(a.dtype()))) ==
             0;
}

bool same_bits(const Tensors& a, const Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

Tensors copies(const Tensors& xs) {
  Tensors out;
  for (const Tensor& x : xs) out.push_back(x.defined() ? no_grad([&] { return clone(x).detach(); }) : Tensor());
  return out;
}

/// What is tried with and without memory: `act` may fail, `result` is what it made, `state` what a failure must not
/// change.
struct Attempt {
  std::function<void()> act;
  std::function<Tensors()> result = [] { return Tensors(); };
  std::function<Tensors()> state = [] { return Tensors(); };
};

struct Scenario {
  std::string name;
  std::function<Attempt()> begin;  // in a state of its own
};

// --- scenarios

nn::Sequential network() {
  manual_seed(3);
  return nn::Sequential{nn::Conv2d{3, 4, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{4},
                        [](const Tensor& x) { return max_pool2d(relu(x), {.kernel = 2}); }, nn::Flatten{},
                        nn::Linear{4 * 4 * 4, 5}};
}

/// An attempt that only makes a tensor.
Scenario op(const std::string& name, const std::function<Tensor()>& f) {
  return {name, [f] {
            const auto y = std::make_shared<Tensor>();
            return Attempt{.act = [=] { *y = f(); }, .result = [=] { return Tensors{*y}; }};
          }};
}

std::vector<Scenario> scenarios(const std::string& folder) {
  manual_seed(1);
  const Tensor image = rand({2, 8, 8, 3}), filters = rand({4, 3, 3, 3}), a = rand({40, 30}), b = rand({30, 50});
  const Tensor labels = tensor({1, 4}, {.dtype = i64}), scale = ones({3}), rows = rand({300, 20});
  const auto leaf = [](const Tensor& x) { return clone(x).detach().requires_grad(true); };
  std::vector<Scenario> all{
      op("a tensor and its clone", [=] { return clone(full({1000}, 3.0)); }),
      op("tensors of all sizes",
         [=] {
           Tensor y = ones({1});
           for (const Index n : {1, 100, 5000, 300'000}) y = y + sum(ones({n}));
           return y;
         }),
      op("add, broadcast", [=] { return image + scale; }),
      op("matmul", [=] { return matmul(a, b); }),
      op("conv2d", [=] { return conv2d(image, filters, {}, {.padding = 1}); }),
      op("batch_norm", [=] { return batch_norm(image, {.weight = scale, .bias = scale}, {.training = true}); }),
      op("max_pool2d", [=] { return max_pool2d(image, {.kernel = 2}); }),
      op("softmax", [=] { return softmax(rows, {.dim = 1}); }),
      op("sum of columns", [=] { return sum(rows, {.dim = 0}); }),
      op("cat, slice, permute",
         [=] {
           return permute(slice(cat({a, a}), {.begin = 3, .step = 2}), {1, 0});
         }),
      op("sort", [=] { return sort(rows, {.dim = 0}).values; }),
      op("dropout",
         [=] {
           Generator generator(5);
           return dropout(rows, {.p = 0.3, .training = true, .generator = &generator});
         }),
      op("second derivative",
         [=] {
           const Tensor x = leaf(rows);
           return grad(sum(grad(sum(x * x * x), x, {.create_graph = true})), x);
         }),
      op("print",
         [=] { return full({}, static_cast<double>(to_string(rows).size() + Tape::of(leaf(a) * a).to_dot().size())); }),
  };

  all.push_back({"network: build", [] {
                   const auto model = std::make_shared<std::unique_ptr<nn::Sequential>>();
                   return Attempt{.act = [=] { *model = std::make_unique<nn::Sequential>(network()); },
                                  .result = [=] { return copies((*model)->parameters()); }};
                 }});
  all.push_back({"network: forward and backward", [=] {
                   const auto model = std::make_shared<nn::Sequential>(network());
                   const auto gradients = [=] {
                     Tensors out;
                     for (const Tensor& p : model->parameters()) out.push_back(p.grad());
                     return out;
                   };
                   return Attempt{.act =
                                      [=] {
                                        model->zero_grad();
                                        cross_entropy((*model)(image), labels).backward();
                                      },
                                  .result = gradients,
                                  .state = [=] { return copies(model->parameters()); }};
                 }});
  for (const bool first : {true, false}) {
    all.push_back({first ? "optimizer: first step" : "optimizer: later step", [=] {
                     struct Training {
                       nn::Sequential model = network();
                       nn::optim::SGD optimizer{model.parameters(), {.lr = 0.1, .momentum = 0.9}};
                     };
                     const auto training = std::make_shared<Training>();
                     cross_entropy(training->model(image), labels).backward();
                     if (!first) training->optimizer.step();
                     const auto parameters = [=] { return copies(training->model.parameters()); };
                     return Attempt{
                         .act = [=] { training->optimizer.step(); }, .result = parameters, .state = parameters};
                   }});
  }
  all.push_back({"state of a model", [] {
                   const auto model = std::make_shared<nn::Sequential>(network());
                   const auto copied = std::make_shared<Tensors>();
                   return Attempt{.act =
                                      [=] {
                                        Tensors out;
                                        for (const auto& [name, x] : nn::file_state(*model))
                                          out.push_back(clone(x).detach());
                                        *copied = std::move(out);
                                      },
                                  .result = [=] { return *copied; },
                                  .state = [=] { return copies(model->parameters()); }};
                 }});
  const std::string path = folder + "/model.safetensors";
  nn::save(network(), path);
  const auto on_disk = [path] {
    Tensors out;
    for (const auto& [name, x] : nn::load_tensors(path).tensors) out.push_back(x);
    return out;
  };
  all.push_back({"save", [=] {
                   const auto model = std::make_shared<nn::Sequential>(network());
                   return Attempt{.act = [=] { nn::save(*model, path); }, .result = on_disk, .state = on_disk};
                 }});
  all.push_back({"load", [=] {
                   const auto model = std::make_shared<nn::Sequential>(network());
                   for (Tensor& p : model->parameters()) no_grad([&] { p.mutable_data<float>()[0] = 7; });
                   const auto parameters = [=] { return copies(model->parameters()); };
                   return Attempt{.act = [=] { nn::load(*model, path); }, .result = parameters, .state = parameters};
                 }});
  const std::string png = folder + "/image.png";
  datasets::write_png(png, to(rand({9, 7, 3}) * 255, u8));
  all.push_back(op("a PNG file", [=] { return datasets::read_image(png); }));
  datasets::write_patterns(folder, {.train_size = 30, .test_size = 10});
  all.push_back({"data set: read", [=] {
                   const auto images = std::make_shared<std::unique_ptr<datasets::CIFAR100>>();
                   return Attempt{.act =
                                      [=] {
                                        *images = std::make_unique<datasets::CIFAR100>(
                                            folder, datasets::CIFAR100Options{.allow_partial = true});
                                      },
                                  .result = [=] { return Tensors{(*images)->get(3, datasets::SampleKey{}).image}; }};
                 }});
  for (const Index prefetch : {0, 2}) {
    all.push_back({fmt::format("loader: an epoch, {} ahead", prefetch), [=] {
                     const auto loader = std::make_shared<datasets::Loader>(
                         datasets::Patterns({.size = 40}), datasets::LoaderOptions{.batch = 12, .prefetch = prefetch});
                     const auto sums = std::make_shared<Tensors>();
                     return Attempt{.act =
                                        [=] {
                                          sums->clear();
                                          loader->set_position(0, 0);
                                          for (const auto& batch : *loader) sums->push_back(sum(batch.images));
                                        },
                                    .result = [=] { return *sums; }};
                   }});
  }
  return all;
}

// --- faults

/// Whether the current exception says that there is no memory, also as the reason of another.
bool is_bad_alloc() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const std::exception& e) {
    try {
      std::rethrow_if_nested(e);
    } catch (...) {
      return is_bad_alloc();
    }
  } catch (...) {
  }
  return false;
}

/// One fault; what is wrong with what came of it, or nothing.
std::string strike(const Scenario& scenario, Refuse::What what, std::int64_t k, bool for_ever,
                   const Tensors& expected) {
  const test::Live before;
  {
    const Attempt attempt = scenario.begin();
    const Tensors state = attempt.state();
    empty_cache();
    bool failed = false;
    try {
      const Refuse refuse(what, k, for_ever);
      attempt.act();
    } catch (...) {
      failed = true;
      if (!is_bad_alloc()) return "another exception than std::bad_alloc";
    }
    if (failed) {
      if (!same_bits(attempt.state(), state)) return "something has changed";
      attempt.act();
    }
    if (!same_bits(attempt.result(), expected)) return "the result is another";
  }
  return test::Live() == before ? "" : "something leaked";
}

void run(campaign::Campaign& campaign, const Scenario& scenario, Refuse::What what, const std::string& label) {
  Tensors expected;
  std::int64_t requests = 0;
  {
    const Attempt attempt = scenario.begin();
    empty_cache();
    const Refuse count(what, 0, false);
    attempt.act();
    requests = count.requests();
    expected = copies(attempt.result());
  }
  const std::int64_t all_up_to = campaign.count(25, 2000), step = campaign.count(97, 7);
  std::int64_t runs = 0, failures = 0;
  for (std::int64_t k = 1; k <= requests; k += k < all_up_to ? 1 : step) {
    for (const bool for_ever : {false, true}) {
      campaign::now_trying(
          fmt::format("{}, {} {}{}", scenario.name, label, k, for_ever ? " and all later" : "").c_str());
      const std::string wrong = strike(scenario, what, k, for_ever, expected);
      if (!wrong.empty()) {
        campaign.failure(fmt::format("{}: {} {} of {}{} refused: {}", scenario.name, label, k, requests,
                                     for_ever ? " and all later" : "", wrong));
        ++failures;
      }
      ++runs;
    }
  }
  if (runs == 0) {
    campaign.skipped(fmt::format("{}, {}", scenario.name, label), "it asks for none");
  } else {
    campaign.row(fmt::format("{}, {}", scenario.name, label), runs, failures, fmt::format("{} requests", requests));
  }
  campaign.step();
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("faults", "Refuses memory, once and for ever, at every request of every scenario", argc,
                              argv);
  set_num_threads(2);
  const test::TemporaryFolder folder;
  const std::vector<Scenario> all = scenarios(folder.path().string());
  for (const Scenario& scenario : all) {  // threads, tables and texts that are made once
    const Attempt attempt = scenario.begin();
    attempt.act();
  }
  campaign.begin("faults", static_cast<std::int64_t>(2 * all.size()));
  for (const Scenario& scenario : all) {
    run(campaign, scenario, Refuse::What::requests, "request");
    run(campaign, scenario, Refuse::What::of_the_system, "system call");
  }
  campaign.end();

  // The harness must see a fault that is swallowed and one that leaks.
  std::vector<Tensor> lost;
  const Scenario swallows = op("swallows", [] {
    try {
      return ones({1000}) * 2;
    } catch (const std::bad_alloc&) {
      return ones({1000});
    }
  });
  const Scenario leaks = op("leaks", [&] {
    lost.push_back(ones({1000}));
    const Tensor y = clone(lost.back());
    lost.pop_back();
    return y;
  });
  const auto noticed = [](const Scenario& scenario) {
    const Attempt attempt = scenario.begin();
    attempt.act();
    const Tensors expected = copies(attempt.result());
    for (std::int64_t k = 1; k < 20; ++k) {
      if (!strike(scenario, Refuse::What::requests, k, false, expected).empty()) return 1;
    }
    return 0;
  };
  campaign.control("a fault that is swallowed", 1, noticed(swallows));
  campaign.control("a fault that leaks", 1, noticed(leaks));
  return campaign.finish();
}
