#include <tapestry/nn/serialize.h>

#include <fmt/format.h>

#include <cstring>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/detail/value_faults.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn {
namespace {

/// How a tensor of ours is laid out in files.
struct Layout {
  Shape ours;  ///< with a flattened image's dimensions apart
  Shape file;  ///< as it stands in the file
  bool permuted = false;
};

Layout layout_of(const NamedTensor& x) {
  const Shape& s = x.tensor.shape();
  if (s.rank() == 4) return {s, {s[0], s[3], s[1], s[2]}, true};
  const Index pixels = x.flattened.h * x.flattened.w;
  if (s.rank() == 2 && pixels > 1) return {{s[0], x.flattened.h, x.flattened.w, s[1] / pixels}, s, true};
  return {s, s, false};
}

Tensor to_file(const NamedTensor& x) {
  const Layout layout = layout_of(x);
  const Tensor plain = tapestry::detail::without_history(x.tensor);
  return layout.permuted ? reshape(permute(reshape(plain, layout.ours), {0, 3, 1, 2}), layout.file) : clone(plain);
}

Tensor from_file(const Tensor& value, const NamedTensor& x) {
  const Layout layout = layout_of(x);
  if (!layout.permuted) return value;
  const Shape& o = layout.ours;
  return reshape(permute(reshape(value, Shape{o[0], o[3], o[1], o[2]}), {0, 2, 3, 1}), x.tensor.shape());
}

std::vector<NamedTensor> state_of(const Module& module) {
  std::vector<NamedTensor> all = module.named_parameters();
  for (NamedTensor& x : module.named_buffers()) all.push_back(std::move(x));
  return all;
}

void copy_into(Tensor target, const Tensor& value) {
  visit(target.dtype(), [&]<class T>() {
    const auto bytes = static_cast<std::size_t>(target.numel()) * sizeof(T);
    T* out = target.mutable_data<T>();
    if (bytes > 0) std::memcpy(out, value.data<T>(), bytes);
  });
}

void throw_differences(const std::string& source, const std::string& problems) {
  if (!problems.empty()) throw FileError(source, FileError::nowhere, "the model's tensors", "differences:" + problems);
}

}  // namespace

std::map<std::string, Tensor> file_state(const Module& module, Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  std::map<std::string, Tensor> out;
  for (const NamedTensor& x : state_of(module)) out.emplace(x.name, to_file(x));
  return out;
}

void save(const Module& module, const std::string& path, const Metadata& metadata, Here here) {
  const CallSite site(here);
  save_tensors(file_state(module), path, metadata);
}

std::string file_state_differences(const Module& module, const std::map<std::string, TensorForm>& state,
                                   const LoadOptions& options) {
  std::map<std::string, TensorForm> unexpected = state;
  std::string missing, misshapen;
  for (const NamedTensor& x : state_of(module)) {
    const auto found = state.find(x.name);
    unexpected.erase(x.name);
    if (found == state.end()) {
      missing += fmt::format("\n  missing: {}", x.name);
      continue;
    }
    const auto& [dtype, shape] = found->second;
    const Shape expected = layout_of(x).file;
    if (dtype == x.tensor.dtype() && shape == expected) continue;
    misshapen += fmt::format("\n  {}: the model has {} {}, the file {} {}", x.name, name_of(x.tensor.dtype()),
                             to_string(expected), name_of(dtype), to_string(shape));
  }
  std::string problems;
  if (options.strict) {
    problems += missing;
    for (const auto& [name, form] : unexpected) problems += fmt::format("\n  unexpected: {}", name);
  }
  return problems + misshapen;
}

std::string file_state_differences(const Module& module, const std::map<std::string, Tensor>& state,
                                   const LoadOptions& options) {
  std::map<std::string, TensorForm> forms;
  for (const auto& [name, x] : state) forms.emplace(name, TensorForm{x.dtype(), x.shape()});
  std::string problems = file_state_differences(module, forms, options);
  if (!options.check_values) return problems;
  for (const NamedTensor& x : state_of(module)) {
    if (const auto found = state.find(x.name); found != state.end()) {
      const detail::Sign sign = x.name.ends_with("running_var") ? detail::Sign::not_negative : detail::Sign::any;
      problems += detail::value_faults(x.name, found->second, sign);
    }
  }
  return problems;
}

void load_file_state(const Module& module, const std::map<std::string, Tensor>& state, const LoadOptions& options,
                     const std::string& source, Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  throw_differences(source, file_state_differences(module, state, options));
  const std::vector<NamedTensor> targets = state_of(module);
  std::vector<Tensor> values;  // all of them before the first change: memory may run out
  for (const NamedTensor& x : targets) {
    const auto found = state.find(x.name);
    values.push_back(found == state.end() ? Tensor() : from_file(found->second, x));
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (values[i].defined()) copy_into(targets[i].tensor, values[i]);
  }
}

Metadata load(const Module& module, const std::string& path, const LoadOptions& options, Here here) {
  const CallSite site(here);
  TensorFile file = load_tensors(path, [&](const TensorFileHeader& header) {
    throw_differences(path, file_state_differences(module, header.tensors, options));
  });
  load_file_state(module, file.tensors, options, path);
  return std::move(file.metadata);
}

}  // namespace tapestry::nn
