#include <support/expect.h>
#include <support/temporary_folder.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <tapestry/tapestry.h>

/// What the pages show and no example contains: every block is compiled and run here. Indentation apart, the pages have
/// it word for word (tests/house/docs_test.cpp).
BOOST_AUTO_TEST_SUITE(snippets_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

nn::AnyModule small_model() {
  return nn::Sequential{nn::Conv2d{3, 8, {.kernel = 3, .padding = 1}},
                        nn::BatchNorm2d{8},
                        nn::ReLU{},
                        nn::MaxPool2d{4},
                        nn::Flatten{},
                        nn::Linear{8 * 8 * 8, 20}};
}

}  // namespace

// --- coming_from_pytorch.md

BOOST_AUTO_TEST_CASE(layouts) {
  const Tensor nchw = randn({2, 3, 8, 6}), kcrs = randn({4, 3, 3, 3});
  const Tensor x = permute(nchw, {0, 2, 3, 1});  // [N, C, H, W] -> [N, H, W, C]
  const Tensor w = permute(kcrs, {0, 2, 3, 1});  // [K, C, R, S] -> [K, R, S, C]
  const Tensor y = conv2d(x, w, {}, {.padding = 1});
  const Tensor y_nchw = permute(y, {0, 3, 1, 2});  // back
  BOOST_TEST(y_nchw.shape() == Shape({2, 4, 8, 6}));
}

BOOST_AUTO_TEST_CASE(a_linear_layer_behind_a_flatten) {
  // The layer's columns stand in the order (h, w, C); .flattened says so, and its file has them as PyTorch does.
  const nn::Linear fc{8 * 8 * 64, 100, {.flattened = {8, 8}}};
  BOOST_TEST(fc.weight().shape() == Shape({100, 4096}));
}

BOOST_AUTO_TEST_CASE(argument_order) {
  const Tensor x = randn({8, 4, 4, 3}), weight = ones({3}), bias = zeros({3});
  Tensor running_mean = zeros({3}), running_var = ones({3});
  // F.batch_norm(x, running_mean, running_var, weight, bias, training=True, momentum=0.1)
  const Tensor y =
      batch_norm(x, {.running_mean = running_mean, .running_var = running_var, .weight = weight, .bias = bias},
                 {.training = true, .momentum = 0.1});
  // torch.clamp(x, 0, 1)
  const Tensor z = clamp(y, {.min = 0, .max = 1});
  // x.sum(dim=(1, 2), keepdim=True)
  const Tensor s = sum(z, {.dim = {1, 2}, .keepdim = true});
  // F.cross_entropy(logits, labels, label_smoothing=0.1)
  const Tensor loss = cross_entropy(flatten(s), randint(0, 3, {8}), {.label_smoothing = 0.1});
  BOOST_TEST(std::isfinite(loss.item()));
  BOOST_TEST(max(z).item() <= 1);
}

// --- tensors_and_the_tape.md

BOOST_AUTO_TEST_CASE(handles_and_storage) {
  Tensor x = zeros({2, 3});
  const Tensor flat = reshape(x, {6});  // shares storage
  const Tensor shifted = x + 1;         // a new tensor
  x.mutable_data<float>()[0] = 5;       // seen through every handle on this storage
  BOOST_TEST(flat.data<float>()[0] == 5);
  BOOST_TEST(shifted.data<float>()[0] == 1);
}

BOOST_AUTO_TEST_CASE(the_picture_of_a_tape) {
  const TemporaryFolder folder;
  const std::string path = (folder / "graph.svg").string();
  Tensor slope = scalar(1, {.requires_grad = true}), offset = scalar(0, {.requires_grad = true});
  const Tensor x = randn({100}), y = randn({100});
  const Tensor loss = mean(square(slope * x + offset - y));
  std::ofstream(path) << Tape::of(loss).to_svg();  // or .to_dot(), for Graphviz

  // The picture in docs/ is of this graph.
  std::ifstream file(std::filesystem::path(TAPESTRY_SOURCE_DIR) / "docs" / "tape.svg");
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  const std::vector<Tape::Entry> entries = Tape::of(loss).entries();
  BOOST_TEST(entries.size() == 7U);
  for (const Tape::Entry& entry : entries) {
    BOOST_TEST(svg.find(">" + entry.op + "<") != std::string::npos, "docs/tape.svg does not show " + entry.op);
  }
}

BOOST_AUTO_TEST_CASE(ways_to_differentiate) {
  const Tensor x = tensor({1., 2., 3.}, {.dtype = f64, .requires_grad = true});
  const auto f = [](const Tensor& t) { return sum(t * t * t); };
  const Tensor v = ones({3}, {.dtype = f64});

  f(x).backward();                                                            // adds df/dx to x.grad()
  const Tensor dx = grad(f(x), x);                                            // returns it
  const Tensor of_sum = grad(sum(grad(f(x), x, {.create_graph = true})), x);  // a second derivative
  const Tensor hv = hvp(f, x, v);      // the Hessian times v, without the Hessian
  const Tensor whole = hessian(f, x);  // all of it: one sweep per element of x
  BOOST_TEST(all_close(dx, x.grad(), 0));
  BOOST_TEST(all_close(hv, of_sum, 1e-14));
  BOOST_TEST(whole.shape() == Shape({3, 3}));
}

BOOST_AUTO_TEST_CASE(what_is_not_recorded) {
  const Tensor x = ones({3}, {.requires_grad = true});
  {
    const NoGradGuard guard;
    const Tensor y = 2 * x;  // y.requires_grad() is false
    BOOST_TEST(!y.requires_grad());
  }
  const Tensor constant = (2 * x).detach();  // the same numbers without history
  BOOST_TEST(!constant.requires_grad());
}

BOOST_AUTO_TEST_CASE(memory) {
  reset_peak_bytes();
  const Tensor x = ones({1024, 1024});
  const MemoryStats stats = memory_stats();  // live, peak and cached bytes
  empty_cache();                             // gives freed blocks back to the system
  set_memory_limit(std::int64_t{4} << 30);   // beyond 4 GiB: OutOfMemory, and the program goes on
  set_memory_limit(kNoMemoryLimit);
  BOOST_TEST(stats.live_bytes >= 4 << 20);
  BOOST_TEST(stats.peak_bytes >= stats.live_bytes);
}

// --- data.md

BOOST_AUTO_TEST_CASE(loading) {
  Index seen = 0;
  const auto learn = [&](const Tensor& images, const Tensor& labels) {
    BOOST_TEST(images.shape() == Shape({128, 32, 32, 3}));
    BOOST_TEST(labels.dtype() == i64);
    seen += images.size(0);
  };

  const datasets::Compose augment{datasets::RandomCrop{.padding = 4}, datasets::RandomHorizontalFlip{},
                                  datasets::ToFloat(),
                                  datasets::Normalize(datasets::cifar100_mean, datasets::cifar100_std)};
  const datasets::Patterns train({.size = 512, .transform = augment});
  datasets::Loader loader(train, {.batch = 128, .shuffle = true, .seed = 7, .drop_last = true});
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (auto [images, labels] : loader) learn(images, labels);  // f32 [128, 32, 32, 3], i64 [128]
  }

  BOOST_TEST(seen == 1024);
}

BOOST_AUTO_TEST_CASE(combining) {
  const datasets::Patterns all({.size = 1000});
  const std::vector<datasets::Subset> parts = datasets::random_split(all, {0.9, 0.1}, {.seed = 7});
  const datasets::ConcatDataset both{parts[0], datasets::Subset(all, {3, 1, 4})};  // 903 samples
  BOOST_TEST(both.size() == 903U);
}

BOOST_AUTO_TEST_CASE(batches_that_are_changed) {
  std::vector<Index> sizes;
  const auto learn = [&](const Tensor& x, const Tensor& targets) {
    BOOST_TEST(targets.shape() == Shape({64, 100}));
    sizes.push_back(x.size(1));
  };
  const datasets::Patterns train({.size = 640, .transform = datasets::ToFloat()});

  const datasets::Mixup mixup{.num_classes = 100, .alpha = 0.2};
  const datasets::ProgressiveSize size{{0, 20}, {0.15, 24}, {0.5, 32}};
  datasets::Loader batches(train, {.batch = 64, .seed = 7, .sampler = datasets::ClassBalancedSampler(train.targets())});
  std::uint64_t step = 0;
  for (const datasets::Batch& batch : batches) {
    const auto [images, targets] = mixup(batch, {.seed = 7, .index = step});
    const Tensor x = size(images, static_cast<double>(step++) / static_cast<double>(batches.batches()));
    learn(x, targets);  // f32 [64, 20, 20, 3] at first; f32 [64, 100]
  }

  BOOST_TEST(sizes == std::vector<Index>({20, 20, 24, 24, 24, 32, 32, 32, 32, 32}), boost::test_tools::per_element());
}

// --- training_and_checkpoints.md

BOOST_AUTO_TEST_CASE(optimizers_and_schedules) {
  nn::AnyModule model = small_model();
  const datasets::Compose to_numbers{datasets::ToFloat(), datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};
  const datasets::Patterns data({.size = 64, .labels = datasets::Labels::coarse, .transform = to_numbers});
  const int epochs = 2;

  std::vector<Tensor> decayed, others;  // weights shrink, biases and normalisation do not
  for (const Tensor& p : model.parameters()) (p.dim() > 1 ? decayed : others).push_back(p);
  optim::SGD sgd(
      {{decayed, {.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4}}, {others, {.lr = 0.1, .momentum = 0.9}}});
  optim::CosineAnnealingLR schedule(sgd, {.T_max = epochs});

  datasets::Loader loader(data, {.batch = 32, .shuffle = true, .seed = 7});
  for (int epoch = 0; epoch < epochs; ++epoch, schedule.step()) {
    for (auto [images, labels] : loader) {
      const Tensor loss = cross_entropy(model(images), labels);
      sgd.zero_grad();
      loss.backward();
      optim::clip_grad_norm(model.parameters(), 5);
      sgd.step();
    }
  }
  BOOST_TEST(sgd.lr() < 1e-6);
}

BOOST_AUTO_TEST_CASE(groups_and_two_optimizers) {
  nn::AnyModule model = small_model();
  {
    const auto [weights, others] = optim::split_parameters(model.named_parameters(), optim::is_weight);
    optim::AdamW adam({{weights, {.weight_decay = 0.05}}, {others, {.weight_decay = 0}}});
    BOOST_TEST(adam.groups() == 2U);
  }
  const auto [filters, others] =
      optim::split_parameters(model.named_parameters(), [](const nn::NamedTensor& x) { return x.tensor.dim() == 4; });
  optim::Muon muon(filters, {.lr = 0.02, .weight_decay = 0});
  optim::SGD sgd(others, {.lr = 0.1, .momentum = 0.9});
  optim::OneCycleLR muon_rate(muon, {.max_lr = 0.02, .total_steps = 100, .cycle_momentum = false});
  optim::OneCycleLR sgd_rate(sgd, {.max_lr = 0.1, .total_steps = 100, .cycle_momentum = false});
  BOOST_TEST(muon.parameters().list().size() == 1U);
  BOOST_TEST(sgd_rate.t() + muon_rate.t() == 0);
}

BOOST_AUTO_TEST_CASE(large_batches_and_averages) {
  const nn::AnyModule model = small_model();
  const datasets::Compose to_numbers{datasets::ToFloat(), datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};
  const datasets::Patterns data({.size = 64, .labels = datasets::Labels::coarse, .transform = to_numbers});
  datasets::Loader loader(data, {.batch = 16});
  optim::SGD sgd(model.parameters(), {.lr = 0.1});

  const int parts = 4;  // batches of a step
  int part = 0;
  for (auto [images, labels] : loader) {
    const Tensor loss = cross_entropy(model(images), labels) / parts;  // a mean of means
    loss.backward();                                                   // gradients add up
    if (++part % parts != 0) continue;
    sgd.step();
    sgd.zero_grad();
  }

  optim::ExponentialMovingAverage average(model, {.decay = 0.99});
  for (auto [images, labels] : loader) {
    sgd.zero_grad();
    cross_entropy(model(images), labels).backward();
    sgd.step();
    average.update();
  }
  average.swap();  // the model has the averages
  optim::update_bn(model, loader);
  const double with_averages = mean(model(ones({1, 32, 32, 3}))).item();
  average.swap();  // and its own values again
  BOOST_TEST(std::isfinite(with_averages));
}

BOOST_AUTO_TEST_CASE(steps_that_compute_the_loss_themselves) {
  const TemporaryFolder folder;
  const nn::Linear model{3, 1};
  const Tensor x = randn({20, 3}), y = randn({20, 1});

  optim::LBFGS lbfgs(model.parameters(), {.line_search_fn = optim::LineSearch::strong_wolfe});
  lbfgs.step([&] {
    lbfgs.zero_grad();
    const Tensor loss = mse_loss(model(x), y);
    loss.backward();
    return loss;
  });

  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  optim::SAM sam(sgd, {.rho = 0.05});
  const Tensor loss = sam.step([&] { return mse_loss(model(x), y); });

  train::Checkpoint checkpoint(folder.path().string());
  optim::ReduceLROnPlateau plateau(sgd, {.factor = 0.5, .patience = 3});
  optim::ReduceLROnPlateau::Memory& memory = plateau.memory();  // three numbers
  checkpoint.add("sgd", sgd).add("plateau_best", memory.best);
  checkpoint.add("plateau_bad", memory.num_bad_epochs).add("plateau_cooldown", memory.cooldown_counter);
  plateau.step(loss.item());
  BOOST_TEST(plateau.memory().best == loss.item());
}

BOOST_AUTO_TEST_CASE(files) {
  const TemporaryFolder folder;
  const std::string path = (folder / "model.safetensors").string();
  const nn::AnyModule model = small_model();
  nn::AnyModule other = small_model();

  nn::save(model, path, {{"epoch", "7"}});
  const nn::Metadata about = nn::load(other, path);    // every key must be there, and no other
  nn::load(other, path, {.strict = false});            // what fits
  const nn::TensorFile file = nn::load_tensors(path);  // plain tensors by name, whoever wrote them
  nn::save_tensors({{"anything", ones({2, 3})}}, path);

  BOOST_TEST(about.at("epoch") == "7");
  BOOST_TEST(file.tensors.size() == 9U);
}

// --- precision_and_threads.md

// --- finding_trouble.md

BOOST_AUTO_TEST_CASE(what_a_model_has_not_learned) {
  const nn::AnyModule model = small_model();
  const Tensor images = randn({4, 32, 32, 3}), labels = arange(4);
  cross_entropy(model(images), labels).backward();
  const Coverage found = nn::coverage(model);
  std::cout << found;  // a line per parameter without a gradient, and why
  BOOST_TEST(found.complete());

  std::vector<std::string> heard;
  const WarningHandler outer = set_warning_handler([&](std::string_view text) { heard.emplace_back(text); });
  warn("warnings are kept instead of printed");
  set_warning_handler(outer);
  BOOST_TEST(heard.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_first_that_is_not_finite) {
  const Tensor p = tensor({0.5F, 0.F}, {.requires_grad = true});
  std::string text;
  try {
    const AnomalyMode guard;  // for this thread, until the end of the scope
    sum(where(gt(p, 0), p * log(p), 0.F)).backward();
  } catch (const AnomalyError& error) {
    text = error.what();
  }
  BOOST_TEST(text.rfind("log: its result has 1 Inf", 0) == 0U, text);
}

// --- seeing.md

BOOST_AUTO_TEST_CASE(what_a_step_keeps_and_where_its_time_goes) {
  const TemporaryFolder folder;
  const std::string picture = (folder / "graph.svg").string(), trace = (folder / "step.json").string();
  const nn::AnyModule model = small_model();
  const Tensor images = randn({4, 32, 32, 3}), labels = arange(4);
  {
    const Tensor loss = cross_entropy(model(images), labels);
    const Tape tape = Tape::of(loss);
    std::ofstream(picture) << tape.to_svg();  // for any browser
    std::cout << tape.memory_report();        // by line, by module, by op; what checkpointing would save
    BOOST_TEST(tape.kept(Tape::By::module).size() > 2U);
  }
  Profile profile({.peak_gflops = 100, .peak_gbytes = 10});  // of this machine, as bench_peaks prints them
  cross_entropy(model(images), labels).backward();
  profile.stop();
  std::cout << profile.table() << profile.table(Profile::By::module);
  profile.write_trace(trace);  // chrome://tracing or ui.perfetto.dev
  BOOST_TEST(std::filesystem::file_size(picture) > 1000U);
  BOOST_TEST(std::filesystem::file_size(trace) > 1000U);
}

// --- precision_and_threads.md

BOOST_AUTO_TEST_CASE(half_the_bits) {
  nn::AnyModule model = small_model();
  optim::SGD optimizer(model.parameters(), {.lr = 0.1});
  const Tensor images = randn({4, 32, 32, 3}), labels = arange(4);

  Tensor loss;
  {
    const Autocast scope(bf16);  // convolutions and linear layers multiply bf16, add up in f32 and give bf16
    loss = cross_entropy(model(images), labels);
  }
  loss.backward();
  optimizer.step();  // weights, their gradients, batch statistics and the loss are f32

  BOOST_TEST(loss.dtype() == f32);
  BOOST_TEST(model.parameters()[0].grad().dtype() == f32);
}

BOOST_AUTO_TEST_CASE(products_of_f32) {
  const Tensor a = randn({64, 64}), b = randn({64, 64});
  set_float32_matmul_precision("medium");  // for all threads, from now on
  {
    const MatmulPrecisionGuard scope(MatmulPrecision::highest);  // for this thread, in this scope
    const Tensor exact = matmul(a, b);
  }
  set_float32_matmul_precision("highest");
}

BOOST_AUTO_TEST_CASE(inference) {
  nn::AnyModule model = small_model();
  const Tensor images = randn({4, 32, 32, 3});
  model.eval();
  const InferenceMode
      guard;  // nothing is recorded, and convolutions keep their weights as they read them, until they change
  const Tensor logits = model(images);
  BOOST_TEST(!logits.requires_grad());
}

BOOST_AUTO_TEST_CASE(threads) {
  const int outer = num_threads();
  set_num_threads(2);  // the calling thread included; the results do not depend on it, to the bit
  set_num_threads(outer);
  BOOST_TEST(num_threads() == outer);
}

BOOST_AUTO_TEST_CASE(instruction_sets_of_this_cpu) {
  const std::string chosen{instruction_set()};  // "avx512", "avx2", "portable", or "amx" where it was asked for
  set_instruction_set("portable");              // every CPU has it
  set_instruction_set(chosen);
  BOOST_TEST(instruction_set() == chosen);
}

BOOST_AUTO_TEST_CASE(random_numbers) {
  manual_seed(7);
  const Tensor a = randn({3});  // from default_generator()
  Generator mine(7);
  const Tensor b = randn({3}, {.generator = &mine});  // from a stream of one's own
  BOOST_TEST(same_bits(a, b));
}

// --- derivatives.md

BOOST_AUTO_TEST_CASE(derivatives_of_functions) {
  const Tensor x = randn({3}, {.dtype = f64}), u = randn({3}, {.dtype = f64});
  const UnaryFunction f = [](const Tensor& t) { return sum(exp(t) * sin(t)); };
  const auto [value, gradient] = value_and_grad(f, x);
  const Tensor slope = jvp(f, x, u);               // the derivative in the direction u, forward mode
  const Tensor curvature = hvp(f, x, u);           // the Hessian times u
  const Tensor bend = second_derivative(f, x, u);  // u^T H u
  const Tensor trace = laplacian(f, x);            // of the Hessian
  const Tensor matrix = jacobian(f, x);            // forward or reverse, whichever takes fewer sweeps
  const Tensor third = jvp([&](const Tensor& t) { return hvp(f, t, u); }, x, u);
  BOOST_TEST(all_close(slope, values(sum(gradient * u)), 1e-12));
  BOOST_TEST(all_close(bend, values(sum(curvature * u)), 1e-12));
  BOOST_TEST(all_close(matrix, values(gradient), 1e-12));
  BOOST_TEST(std::isfinite(value.item() + trace.item() + sum(third).item()));
}

BOOST_AUTO_TEST_CASE(a_model_as_a_function_of_its_parameters) {
  const nn::AnyModule model = small_model();
  const Tensor images = rand({4, 32, 32, 3}), labels = randint(0, 20, {4});
  const ListFunction loss = [&](const std::vector<Tensor>& p) {
    return cross_entropy(nn::functional_call(model, p, images), labels);
  };
  std::vector<Tensor> direction;
  for (const Tensor& p : model.parameters()) direction.push_back(randn(p.shape()));
  const std::vector<Tensor> curvature = hvp(loss, model.parameters(), direction);

  const nn::AnyModule twin = nn::clone(model);  // other tensors with the same values
  BOOST_TEST(curvature.size() == twin.parameters().size());
}

BOOST_AUTO_TEST_CASE(gradients_of_each_sample) {
  const nn::AnyModule model = small_model();
  const Tensor images = rand({4, 32, 32, 3}), labels = randint(0, 20, {4});
  const std::vector<Tensor> gradients = nn::per_sample_grads(
      [](const nn::AnyModule& m, const std::vector<Tensor>& sample) { return cross_entropy(m(sample[0]), sample[1]); },
      model, {images, labels});
  BOOST_TEST(gradients[0].shape() == Shape({4, 8, 3, 3, 3}));  // of the first weight, [8, 3, 3, 3]
}

BOOST_AUTO_TEST_CASE(a_function_of_one_sample_for_a_batch) {
  const Tensor points = randn({5, 3}, {.dtype = f64});
  const UnaryFunction energy = [](const Tensor& point) { return sum(square(point) * exp(-point)); };
  const Tensor hessians = vmap([&](const Tensor& point) { return hessian(energy, point); }, points);
  BOOST_TEST(hessians.shape() == Shape({5, 3, 3}));
}

BOOST_AUTO_TEST_CASE(memory_for_time) {
  nn::AnyModule model = nn::models::make("resnet20", 100);
  model.set_checkpointing();
  BOOST_TEST(model.is_checkpointing());
}

BOOST_AUTO_TEST_CASE(something_between_all_and_nothing) {
  nn::AnyModule model = nn::models::make("resnet20", 100);
  const Tensor x = randn({3, 4}, {.requires_grad = true}), w = randn({4, 2});
  model.set_checkpointing(true, {.keep_ops = {"conv2d"}});  // and norms, relus and pools once more

  const Tensor y = checkpoint([w](const Tensor& at) { return sin(keep("product", matmul(cos(at), w))); }, x,
                              {.keep_names = {"product"}});
  BOOST_TEST((y.shape() == Shape({3, 2})));
  BOOST_TEST(model.checkpoint_options().keep_ops.size() == 1U);
}

BOOST_AUTO_TEST_CASE(hooks_on_modules_and_on_everything) {
  const nn::Sequential model{nn::Linear{4, 3}, nn::ReLU{}};
  std::map<std::string, double> largest;  // of every layer's results
  for (auto& [key, layer] : model.named_modules()) {
    layer.register_forward_hook([&largest, name = key](const nn::Module&, const Tensor&, const Tensor& y) {
      largest[name] = max(abs(y)).item();
      return Tensor();  // leaves y as it is
    });
  }
  std::map<std::string, int> played;
  const OpHooks count({.before_backward = [&](const Node& node, const Tensor&) { ++played[node.name]; }});
  sum(model(randn({2, 4}))).backward();
  BOOST_TEST(largest.size() == 3U);
  BOOST_TEST(largest[""] == largest["1"]);
  BOOST_TEST(played["relu"] == 1);
}

BOOST_AUTO_TEST_CASE(hooks_see_and_replace_gradients) {
  const Tensor x = randn({4}, {.requires_grad = true});
  const Tensor hidden = exp(x);
  retain_grad(hidden);  // hidden.grad() will be there
  HookHandle clip = register_hook(hidden, [](const Tensor& g) { return clamp(g, {.min = -1, .max = 1}); });
  sum(hidden * hidden).backward();
  clip.remove();
  BOOST_TEST(max(abs(hidden.grad())).item() <= 1);
}

BOOST_AUTO_TEST_CASE(what_is_kept_in_another_form) {
  const Tensor x = randn({4}, {.requires_grad = true});
  const PackSaved to_bf16([](const Tensor& kept) -> Unpack {
    const bool parameter = kept.is_leaf() && kept.requires_grad();
    if (parameter || kept.dtype() != f32) return {};
    return [packed = to(kept.detach(), bf16)] { return to(packed, f32); };
  });
  sum(exp(sin(x))).backward();
  BOOST_TEST(x.grad().defined());
}

BOOST_AUTO_TEST_CASE(an_op_with_a_tangent_rule) {
  const auto scaled = [](const Tensor& a, const Tensor& w) {
    Tensor y = no_grad([&] { return a * w; });
    return record("scaled", std::move(y),
                  wrt(
                      a, [w = saved(w)](const Tensor& dy) { return dy * w(); }, [&](const Tensor& t) { return t * w; }),
                  wrt(w, self_adjoint, [a = saved(a)](const Tensor& dy) { return dy * a(); }));
  };
  check_grads(scaled, {randn({3}, {.dtype = f64}), randn({3}, {.dtype = f64})}, {.order = 2});
  const Tensor a = randn({3}, {.dtype = f64}), w = randn({3}, {.dtype = f64}), u = randn({3}, {.dtype = f64});
  BOOST_TEST(all_close(jvp([&](const Tensor& t) { return scaled(t, w); }, a, u), values(u * w), 1e-13));
}

BOOST_AUTO_TEST_CASE(an_op_with_two_outputs) {
  const auto polar = [](const Tensor& radius, const Tensor& angle) {
    const std::vector<Tensor> xy = no_grad([&] {
      return std::vector<Tensor>{radius * cos(angle), radius * sin(angle)};
    });
    return record_many("polar", xy, {radius, angle},
                       [r = saved(radius), a = saved(angle)](const std::vector<Tensor>& d, const std::vector<bool>&) {
                         const Tensor c = cos(a()), s = sin(a());
                         return std::vector<Tensor>{d[0] * c + d[1] * s, r() * (d[1] * c - d[0] * s)};
                       });
  };
  check_grads(polar, {rand({3}, {.dtype = f64}) + 1, randn({3}, {.dtype = f64})}, {.order = 2});
}

BOOST_AUTO_TEST_SUITE_END()
