#include <support/expect.h>
#include <support/op_table.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/optimizer_step.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

/// Walks the table of ops (support/op_table.h): what must hold for every differentiable op is verified here, once.
BOOST_AUTO_TEST_SUITE(op_table_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr std::uint64_t kSeed = 11;

std::string label(const OpSpec& spec) { return spec.op + " (" + spec.variant + "), seed " + std::to_string(kSeed); }

std::vector<Tensor> samples(const OpSpec& spec) {
  Generator generator(kSeed);
  return spec.inputs(generator);
}

/// The rows to walk: those of the ops that TAPESTRY_OPS names in the environment ("exp log"), else all.
std::vector<OpSpec> rows_to_walk() {
  const char* const named = std::getenv("TAPESTRY_OPS");
  if (named == nullptr) return op_table();
  std::istringstream words(named);
  const std::set<std::string> ops{std::istream_iterator<std::string>(words), {}};
  std::vector<OpSpec> rows;
  std::copy_if(op_table().begin(), op_table().end(), std::back_inserter(rows),
               [&](const OpSpec& spec) { return ops.contains(spec.op); });
  return rows;
}

/// Calls check(spec) for every row; an exception is a failure of that row, not the end of the walk.
template <class F>
void for_each_row(const F& check) {
  const std::vector<OpSpec> rows = rows_to_walk();
  BOOST_REQUIRE(!rows.empty());
  for (const OpSpec& spec : rows) {
    try {
      check(spec);
    } catch (const std::exception& e) {
      BOOST_ERROR(label(spec) << ": " << e.what());
    }
  }
}

Tensor copy_of(const Tensor& x) {
  Tensor y = empty_like(x);
  std::memcpy(y.impl().bytes(), x.impl().bytes(), static_cast<std::size_t>(x.numel() * item_bytes(x.dtype())));
  return y;
}

std::vector<Tensor> copies(const std::vector<Tensor>& xs) {
  std::vector<Tensor> out;
  std::transform(xs.begin(), xs.end(), std::back_inserter(out), copy_of);
  return out;
}

/// The same values, one element past the alignment of a storage: a leading slice.
Tensor offset_copy(const Tensor& x) {
  const Index item = item_bytes(x.dtype());
  const Tensor storage = zeros({x.numel() + 1}, {.dtype = x.dtype()});
  const Tensor y = detail::alias(storage, x.shape(), item);
  std::memcpy(y.impl().bytes(), x.impl().bytes(), static_cast<std::size_t>(x.numel() * item));
  return y;
}

struct Result {
  Tensor y;
  std::vector<Tensor> gradients;  ///< of the float inputs; zeros where an input is not reached
};

Tensor seed_for(const Tensor& y) {
  Generator generator(kSeed, 3);
  const Tensor seed = uniform(y.shape(), 0.5, 1.5, {.dtype = f32, .generator = &generator});
  return y.dtype() == f32 ? seed : to(seed, f64);
}

/// Forward and backward on exactly these tensors.
template <class Seed>
Result run(const OpSpec& spec, std::vector<Tensor> xs, const Seed& seed) {
  std::vector<Tensor> leaves;
  for (Tensor& x : xs) {
    if (is_float(x.dtype())) leaves.push_back(x.requires_grad(true));
  }
  const Tensor y = spec.f(xs);
  std::vector<Tensor> gradients =
      grad(std::vector<Tensor>{y}, leaves, {.grad_outputs = {seed(y)}, .allow_unused = true});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = zeros_like(leaves[i]);
  }
  return {y.detach(), gradients};
}

Result run(const OpSpec& spec, std::vector<Tensor> xs) { return run(spec, std::move(xs), seed_for); }

bool same(const Result& a, const Result& b) {
  return same_bits(a.y, b.y) &&
         std::equal(a.gradients.begin(), a.gradients.end(), b.gradients.begin(), b.gradients.end(),
                    [](const auto& p, const auto& q) { return same_bits(p, q); });
}

std::vector<Tensor> converted(const std::vector<Tensor>& xs, Dtype dtype) {
  std::vector<Tensor> out;
  for (const Tensor& x : xs) out.push_back(is_float(x.dtype()) ? to(x, dtype) : x);
  return out;
}

/// Whether the op is one of those for bf16, or refuses it by name.
bool takes_bf16(const OpSpec& spec) {
  try {
    static_cast<void>(no_grad([&] { return spec.f(converted(samples(spec), bf16)); }));
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

double share_of_zeros(const Tensor& x) {
  const std::vector<double> v = values(x);
  return v.empty() ? 0 : static_cast<double>(std::count(v.begin(), v.end(), 0.0)) / static_cast<double>(v.size());
}

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_of_first_and_second_order_agree_with_differences) {
  for_each_row([](const OpSpec& spec) {
    const GradReport report = gradient_report(spec.f, samples(spec), {.order = 2, .rtol = spec.rtol, .seed = kSeed});
    BOOST_TEST(report.ok, label(spec) << "\n" << report.text);
  });
}

BOOST_AUTO_TEST_CASE(f32_agrees_with_f64_forward_and_backward) {
  for_each_row([](const OpSpec& spec) {
    const std::vector<Tensor> narrow = converted(samples(spec), f32);
    const Result single = run(spec, copies(narrow));
    const Result reference = run(spec, converted(narrow, f64));
    const auto check = [&](const char* what, const Tensor& a, const Tensor& b) {
      double scale = 1;
      for (const double v : values(b)) scale = std::max(scale, std::abs(v));
      BOOST_TEST(a.dtype() == f32, label(spec) << ": " << what);
      BOOST_TEST(all_close(values(a), values(b), 0, spec.f32_tolerance * scale), label(spec) << ": " << what);
    };
    check("the output", single.y, reference.y);
    for (std::size_t i = 0; i < single.gradients.size(); ++i) {
      check(("the gradient of float input " + std::to_string(i)).c_str(), single.gradients[i], reference.gradients[i]);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_checkpoint_around_an_op_changes_no_bit) {
  for_each_row([](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      OpSpec kept = spec;
      kept.f = [&spec](const std::vector<Tensor>& xs) {
        return checkpoint([f = spec.f](const std::vector<Tensor>& at) { return f(at); }, xs);
      };
      const std::vector<Tensor> xs = converted(samples(spec), dtype);
      BOOST_TEST(same(run(kept, copies(xs)), run(spec, copies(xs))), label(spec) << ", " << dtype);
    }
  });
}

BOOST_AUTO_TEST_CASE(bf16_agrees_with_f64_where_an_op_takes_it) {
  for_each_row([](const OpSpec& spec) {
    if (!takes_bf16(spec)) return;
    const std::vector<Tensor> narrow = converted(samples(spec), bf16);
    const Result single =
        run(spec, copies(narrow), [](const Tensor& y) { return to(to(seed_for(to(y, f64)), f32), y.dtype()); });
    const Result reference = run(spec, converted(narrow, f64));
    constexpr double kTolerance = 0.05;  // of the largest element: a few roundings to 8 bits, where ops are composed
    const auto check = [&](const std::string& what, const Tensor& a, const Tensor& b) {
      double scale = 1;
      for (const double v : values(b)) scale = std::max(scale, std::abs(v));
      BOOST_TEST(all_close(values(a), values(b), 0, kTolerance * scale), label(spec) << ": " << what);
    };
    check("the output", single.y, reference.y);
    for (std::size_t i = 0; i < single.gradients.size(); ++i) {
      check("the gradient of float input " + std::to_string(i), single.gradients[i], reference.gradients[i]);
    }
  });
}

BOOST_AUTO_TEST_CASE(operands_past_alignment_give_the_same_bits) {
  for_each_row([](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      const std::vector<Tensor> xs = converted(samples(spec), dtype);
      std::vector<Tensor> moved;
      std::transform(xs.begin(), xs.end(), std::back_inserter(moved), offset_copy);
      const Result offset = run(spec, moved, [](const Tensor& y) { return offset_copy(seed_for(y)); });
      BOOST_TEST(same(offset, run(spec, copies(xs))), label(spec) << ", " << dtype);
    }
  });
}

BOOST_AUTO_TEST_CASE(inputs_and_seeds_are_unchanged_and_a_second_run_gives_the_same_bits) {
  for_each_row([](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      const std::vector<Tensor> before = converted(samples(spec), dtype);
      const std::vector<Tensor> xs = copies(before);
      Tensor seed;
      const Result first = run(spec, xs, [&](const Tensor& y) { return seed = seed_for(y); });
      for (std::size_t i = 0; i < xs.size(); ++i) {
        BOOST_TEST(same_bits(xs[i], before[i]), label(spec) << ": input " << i << ", " << dtype);
      }
      BOOST_TEST(same_bits(seed, seed_for(first.y)), label(spec) << ": the seed, " << dtype);
      BOOST_TEST(same(first, run(spec, copies(before))), label(spec) << ": a second run, " << dtype);
    }
  });
}

namespace {

/// Exported functions that return tensors but have no gradient to check, or are another name for one that has a row.
const std::set<std::string> kWithoutRow{"momentum_direction",
                                        "argmax",
                                        "argmin",
                                        "argsort",
                                        "ceil",
                                        "eq",
                                        "floor",
                                        "ge",
                                        "gt",
                                        "isnan",
                                        "le",
                                        "logical_and",
                                        "logical_not",
                                        "logical_or",
                                        "logical_xor",
                                        "lt",
                                        "ne",
                                        "one_hot",
                                        "round",
                                        "sign",
                                        "isinf",
                                        "isfinite",
                                        "any",
                                        "all",
                                        "sum_to",
                                        "floor_divide",
                                        "isclose",
                                        "nonzero",
                                        "trunc"};

/// Other values in all elements: NaN where there is one, else 0, which stays a valid index.
void overwrite(std::byte* elements, const Tensor& x) {
  std::memset(elements, is_float(x.dtype()) ? 0xFF : 0, static_cast<std::size_t>(x.numel() * item_bytes(x.dtype())));
}

/// The same as anybody may do it: the storage's version tells.
void overwrite(Tensor x) {
  visit(x.dtype(), [&]<class T>() { overwrite(reinterpret_cast<std::byte*>(x.mutable_data<T>()), x); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_op_has_read_its_inputs_when_it_returns) {
  std::set<std::string> views;
  for_each_row([&](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      for (const bool recorded : {false, true}) {
        const std::vector<Tensor> before = converted(samples(spec), dtype);
        const Tensor expected = copy_of(spec.f(copies(before)));
        std::vector<Tensor> xs = copies(before);
        std::vector<std::byte*> pointers;
        for (Tensor& x : xs) {
          pointers.push_back(x.impl().bytes());
          if (is_float(x.dtype())) x.requires_grad(recorded);
        }
        const Tensor y = spec.f(xs);
        const bool view =
            std::any_of(xs.begin(), xs.end(), [&](const Tensor& x) { return x.impl().storage == y.impl().storage; });
        if (view) views.insert(spec.op);
        for (std::size_t i = 0; i < xs.size(); ++i) overwrite(pointers[i], xs[i]);
        BOOST_TEST((view || same_bits(y, expected)), label(spec) << ", " << dtype << (recorded ? ", recorded" : ""));
      }
    }
  });
  std::string named;
  for (const std::string& op : views) named += op + ' ';
  // All say so in their headers: views, leading slices, and a cast to the dtype that x has.
  BOOST_TEST(named == "flatten reshape slice squeeze to unflatten unsqueeze ");
}

BOOST_AUTO_TEST_CASE(gradients_after_an_input_or_the_output_was_written_are_right_or_refused) {
  for_each_row([](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      const std::vector<Tensor> before = converted(samples(spec), dtype);
      const Result expected = run(spec, copies(before));
      for (std::size_t written = 0; written <= before.size(); ++written) {
        const bool output = written == before.size();
        try {
          std::vector<Tensor> xs = copies(before);
          const Result got = run(spec, xs, [&](const Tensor& y) {  // called between forward and backward
            Tensor seed = seed_for(y);
            overwrite(output ? y.detach() : xs[written].detach());
            return seed;
          });
          BOOST_TEST(std::equal(got.gradients.begin(), got.gradients.end(), expected.gradients.begin(), same_bits),
                     label(spec) << ", " << dtype << ", after writing "
                                 << (output ? "the output" : "input " + std::to_string(written)));
        } catch (const std::logic_error& e) {
          BOOST_TEST(std::string(e.what()).find("was modified in place") != std::string::npos, label(spec)
                                                                                                   << ": " << e.what());
        }
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(gradients_after_an_input_was_given_other_elements_are_right_or_refused) {
  for_each_row([](const OpSpec& spec) {
    for (const Dtype dtype : {f32, f64}) {
      const std::vector<Tensor> before = converted(samples(spec), dtype);
      const Result expected = run(spec, copies(before));
      for (std::size_t replaced = 0; replaced < before.size(); ++replaced) {
        const std::string what = label(spec) + ", " + name_of(dtype) + ", input " + std::to_string(replaced);
        std::vector<Tensor> xs = copies(before);
        std::vector<std::size_t> leaves;
        for (std::size_t i = 0; i < xs.size(); ++i) {
          // The one whose elements change is no leaf: a leaf would be refused for that alone.
          if (is_float(xs[i].dtype()) && i != replaced) leaves.push_back(i);
        }
        if (leaves.empty()) continue;
        for (const std::size_t i : leaves) xs[i].requires_grad(true);
        const Tensor y = spec.f(xs);
        if (!y.requires_grad()) continue;
        const Tensor other = copy_of(xs[replaced]);
        overwrite(other.impl().bytes(), other);  // its version is that of the elements that were saved
        xs[replaced].set_data(other);
        try {
          y.backward({.gradient = seed_for(y)});
        } catch (const std::logic_error& e) {
          const std::string text = e.what();  // the second: what a view of it shares was left
          BOOST_TEST((text.find("was given other elements by set_data") != std::string::npos ||
                      text.find("was modified in place") != std::string::npos),
                     what << ": " << e.what());
          continue;
        }
        std::size_t gradient = 0;
        for (std::size_t i = 0; i < xs.size(); ++i) {
          if (!is_float(xs[i].dtype())) continue;
          const Tensor& right = expected.gradients[gradient++];
          if (i == replaced || !xs[i].grad().defined()) continue;
          BOOST_TEST(same_bits(xs[i].grad(), right), what << ": the gradient of input " << i);
        }
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(ops_without_a_row_have_read_their_inputs_when_they_return) {
  Generator generator(kSeed);
  const Tensor a = to(sample_distinct(generator, {3, 4}), f32), b = to(sample_distinct(generator, {3, 4}), f32);
  const Tensor index = tensor({2, 0, 1}), mask = gt(a, 0.5), other = gt(b, 0.5);
  using Inputs = std::vector<Tensor>;
  const std::vector<std::pair<std::string, std::pair<Inputs, std::function<Tensor(const Inputs&)>>>> calls{
      {"argmax", {{a}, [](const Inputs& x) { return argmax(x[0], {.dim = 1}); }}},
      {"argmin", {{a}, [](const Inputs& x) { return argmin(x[0], {.dim = 0}); }}},
      {"argsort", {{a}, [](const Inputs& x) { return argsort(x[0]); }}},
      {"ceil", {{a}, [](const Inputs& x) { return ceil(x[0]); }}},
      {"floor", {{a}, [](const Inputs& x) { return floor(x[0]); }}},
      {"round", {{a}, [](const Inputs& x) { return round(x[0]); }}},
      {"momentum_direction", {{a, b}, [](const Inputs& x) { return momentum_direction(x[0], x[1], .9, true); }}},
      {"sign", {{a}, [](const Inputs& x) { return sign(x[0]); }}},
      {"trunc", {{a}, [](const Inputs& x) { return trunc(x[0]); }}},
      {"nonzero", {{a}, [](const Inputs& x) { return nonzero(x[0]); }}},
      {"isclose", {{a, b}, [](const Inputs& x) { return isclose(x[0], x[1]); }}},
      {"isnan", {{a}, [](const Inputs& x) { return isnan(x[0]); }}},
      {"isinf", {{a}, [](const Inputs& x) { return isinf(x[0]); }}},
      {"isfinite", {{a}, [](const Inputs& x) { return isfinite(x[0]); }}},
      {"eq", {{a, b}, [](const Inputs& x) { return eq(x[0], x[1]); }}},
      {"ne", {{a, b}, [](const Inputs& x) { return ne(x[0], x[1]); }}},
      {"lt", {{a, b}, [](const Inputs& x) { return lt(x[0], x[1]); }}},
      {"le", {{a, b}, [](const Inputs& x) { return le(x[0], x[1]); }}},
      {"gt", {{a, b}, [](const Inputs& x) { return gt(x[0], x[1]); }}},
      {"ge", {{a, b}, [](const Inputs& x) { return ge(x[0], x[1]); }}},
      {"floor_divide", {{a, b}, [](const Inputs& x) { return floor_divide(x[0], x[1]); }}},
      {"logical_and", {{mask, other}, [](const Inputs& x) { return logical_and(x[0], x[1]); }}},
      {"logical_or", {{mask, other}, [](const Inputs& x) { return logical_or(x[0], x[1]); }}},
      {"logical_xor", {{mask, other}, [](const Inputs& x) { return logical_xor(x[0], x[1]); }}},
      {"logical_not", {{mask}, [](const Inputs& x) { return logical_not(x[0]); }}},
      {"any", {{mask}, [](const Inputs& x) { return any(x[0], {.dim = 0}); }}},
      {"all", {{mask}, [](const Inputs& x) { return all(x[0], {.dim = 0}); }}},
      {"sum_to", {{a}, [](const Inputs& x) { return sum_to(x[0], Shape{4}); }}},
      {"one_hot", {{index}, [](const Inputs& x) { return one_hot(x[0], 3); }}},
  };
  std::set<std::string> called;
  for (const auto& [op, call] : calls) {
    called.insert(op);
    const auto& [inputs, f] = call;
    const Tensor expected = copy_of(f(copies(inputs)));
    const Inputs xs = copies(inputs);
    const Tensor y = f(xs);
    for (const Tensor& x : xs) overwrite(x.impl().bytes(), x);
    BOOST_TEST(same_bits(y, expected), op);
  }
  BOOST_TEST((called == kWithoutRow), "these are the ops that have no row");
}

BOOST_AUTO_TEST_CASE(a_refusal_names_the_op_that_was_called) {
  // What rows put around their op, and what may be the one to refuse.
  const std::set<std::string> around{"mul", "add", "sub", "div", "sum", "tensor", "full"};
  for_each_row([&](const OpSpec& spec) {
    for (const Dtype dtype : {bf16, i64, u8, boolean}) {
      const auto call = [&] { static_cast<void>(no_grad([&] { return spec.f(converted(samples(spec), dtype)); })); };
      std::string text;
      try {
        call();
      } catch (const std::invalid_argument& e) {
        text = e.what();
      } catch (const std::out_of_range& e) {
        text = e.what();
      }
      const std::string named = text.substr(0, text.find(':'));
      BOOST_TEST((text.empty() || named == spec.op || around.contains(named)), label(spec)
                                                                                   << ", " << dtype << ": " << text);
    }
  });
}

BOOST_AUTO_TEST_CASE(every_number_of_threads_gives_the_same_bits) {
  const int outer = num_threads();
  std::map<std::string, std::vector<Result>> runs;
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    for_each_row([&](const OpSpec& spec) {
      for (const Dtype dtype : {f32, f64}) {
        runs[label(spec) + ", " + name_of(dtype)].push_back(run(spec, converted(samples(spec), dtype)));
      }
    });
  }
  set_num_threads(outer);
  for (const auto& [name, results] : runs) {
    const Result& first = results[0];  // clang 14 does not let a lambda capture a structured binding
    const bool equal = std::all_of(results.begin(), results.end(), [&](const Result& r) { return same(r, first); });
    BOOST_TEST(equal, name);
  }
}

BOOST_AUTO_TEST_CASE(samples_are_not_vacuous) {
  for_each_row([](const OpSpec& spec) {
    const Result result = run(spec, samples(spec));
    BOOST_TEST(share_of_zeros(result.y) <= 0.65, label(spec) << ": most outputs are zero");
    for (std::size_t i = 0; i < result.gradients.size(); ++i) {
      // What picks one of many - max, slice, gather - leaves most of its gradient zero, but never all of it.
      BOOST_TEST((result.gradients[i].numel() == 0 || share_of_zeros(result.gradients[i]) < 1),
                 label(spec) << ": the gradient of float input " << i << " is zero");
    }
  });
}

// --- the table against the headers and docs/ops.md

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> exported_ops() {
  std::set<std::string> ops;
  const std::regex declaration(
      R"(\n\[\[nodiscard\]\] (?:inline )?(?:Tensor|std::vector<Tensor>|ValuesAndIndices|Sorted) ([a-z_0-9]+)\()");
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(TAPESTRY_SOURCE_DIR) / "ops")) {
    if (entry.path().extension() != ".h") continue;
    const std::string text = read(entry.path());
    for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end; ++match) {
      if ((*match)[1] == "vmap") continue;  // no op but a loop: vmap_test walks this table with it
      if (!kWithoutRow.contains((*match)[1])) ops.insert((*match)[1]);
    }
  }
  return ops;
}

std::string table_text() {
  struct Line {
    std::set<std::string> variants;
    bool linear = true;
    bool bf16 = false;
  };
  std::map<std::string, Line> lines;
  for (const OpSpec& spec : op_table()) {
    Line& line = lines[spec.op];
    line.variants.insert(spec.variant);
    line.linear &= spec.first_order_linear;
    line.bf16 |= takes_bf16(spec);
  }
  // Beside what depends on the op, every row has been walked by forward_mode_test (jvp, second and third order in every
  // nesting of forward and reverse mode), vmap_test, and here (gradients, checkpoint, f32).
  std::string text =
      "| op | variants checked | vjp | jvp | second order | third order | vmap | checkpoint | f32 | bf16 |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [op, line] : lines) {
    std::string variants;
    for (const std::string& v : line.variants) variants += (variants.empty() || v.empty() ? "" : "; ") + v;
    const char* const higher = line.linear ? "zero" : "yes";
    text += "| `" + op + "` | " + variants + " | yes | yes | " + higher + " | " + higher + " | yes | yes | yes | " +
            (line.bf16 ? "yes" : "refused") + " |\n";
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_exported_op_has_a_row) {
  std::set<std::string> rows;
  for (const OpSpec& spec : op_table()) rows.insert(spec.op);
  const std::set<std::string> ops = exported_ops();
  BOOST_TEST(ops.size() > 50U);
  std::string missing;
  for (const std::string& op : ops) {
    if (!rows.contains(op)) missing += " " + op;
  }
  BOOST_TEST(missing.empty(), "exported by ops/*.h, without an OpSpec row in tests/ops:" << missing);
}

BOOST_AUTO_TEST_CASE(the_table_in_the_docs_is_this_one) {
  const std::filesystem::path path = std::filesystem::path(TAPESTRY_SOURCE_DIR) / "docs" / "ops.md";
  const std::string page = read(path);
  const std::string begin = "<!-- ops table -->\n";
  const auto from = page.find(begin);
  const auto to_end = page.find("<!-- end of ops table -->");
  BOOST_REQUIRE(from != std::string::npos);
  BOOST_REQUIRE(to_end != std::string::npos);
  const std::string before = page.substr(0, from + begin.size());
  const std::string shown = page.substr(before.size(), to_end - before.size());
  if (std::getenv("TAPESTRY_UPDATE_DOCS") != nullptr) {
    std::ofstream(path) << before << table_text() << page.substr(to_end);
  } else {
    BOOST_TEST((shown == table_text()),
               "docs/ops.md shows another table of ops; TAPESTRY_UPDATE_DOCS=1 in the "
               "environment of this test writes it. It must be:\n"
                   << table_text());
  }
}

BOOST_AUTO_TEST_SUITE_END()
