#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/nn/copy_scope.h>
#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// Modules of one type in a row, with the keys "0", "1", ...: what a model calls in a loop of its own. AnyModule as the
/// type takes modules of different types.
///
///     blocks_{child("blocks", nn::ModuleList<Block>{})}  ...  for (const Block& block : blocks_) x = block(x);
///
/// Copies are handles on the same list.
template <std::derived_from<Module> M>
class ModuleList : public Module {
 public:
  ModuleList() = default;
  ModuleList(std::initializer_list<M> modules) {
    for (const M& module : modules) append(module);
  }
  explicit ModuleList(const std::vector<M>& modules) {
    for (const M& module : modules) append(module);
  }
  ModuleList(const ModuleList& other)
      : Module(other),
        modules_(detail::CopyScope::is_active() ? make_handle<std::vector<M>>(*other.modules_) : other.modules_) {}
  ModuleList(ModuleList&&) noexcept = default;
  ModuleList& operator=(const ModuleList&) = default;
  ModuleList& operator=(ModuleList&&) noexcept = default;
  ~ModuleList() = default;

  /// Adds a module at the end, for all handles on this list. Returns *this.
  ModuleList& append(M module, Here here = {}) {
    child(std::to_string(size()), module, here);
    modules_->push_back(std::move(module));
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return modules_->size(); }
  /// Throws std::out_of_range for an index that is not below size().
  [[nodiscard]] const M& operator[](std::size_t index) const {
    if (index >= size()) throw_out_of_range("ModuleList: index must be in [0, {}); got {}", size(), index);
    return (*modules_)[index];
  }
  [[nodiscard]] auto begin() const noexcept { return modules_->cbegin(); }
  [[nodiscard]] auto end() const noexcept { return modules_->cend(); }

 private:
  Handle<std::vector<M>> modules_ = make_handle<std::vector<M>>();
};

/// Modules of one type under names, which are their keys, in the order in which they were added. Copies are handles on
/// the same modules.
template <std::derived_from<Module> M>
class ModuleDict : public Module {
 public:
  /// A module and its name.
  using Named = std::pair<std::string, M>;

  ModuleDict() = default;
  ModuleDict(std::initializer_list<Named> modules) {
    for (const Named& named : modules) add(named.first, named.second);
  }
  ModuleDict(const ModuleDict& other)
      : Module(other),
        modules_(detail::CopyScope::is_active() ? make_handle<std::vector<Named>>(*other.modules_) : other.modules_) {}
  ModuleDict(ModuleDict&&) noexcept = default;
  ModuleDict& operator=(const ModuleDict&) = default;
  ModuleDict& operator=(ModuleDict&&) noexcept = default;
  ~ModuleDict() = default;

  /// Adds a module, for all handles on this dictionary. Throws std::invalid_argument for a name that is empty, has a
  /// dot or is taken. Returns *this.
  ModuleDict& add(std::string_view name, M module, Here here = {}) {
    child(name, module, here);
    modules_->emplace_back(std::string(name), std::move(module));
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return modules_->size(); }
  [[nodiscard]] bool contains(std::string_view name) const noexcept {
    return find(name) != nullptr;
  }  ///< whether there is one of this name
  /// Throws std::out_of_range for a name that is not there.
  [[nodiscard]] const M& operator[](std::string_view name) const {
    if (const M* found = find(name)) return *found;
    throw_out_of_range("ModuleDict: there must be a module of that name; got '{}'", name);
  }
  [[nodiscard]] auto begin() const noexcept { return modules_->cbegin(); }
  [[nodiscard]] auto end() const noexcept { return modules_->cend(); }

 private:
  [[nodiscard]] const M* find(std::string_view name) const noexcept {
    for (const Named& named : *modules_) {
      if (named.first == name) return &named.second;
    }
    return nullptr;
  }

  Handle<std::vector<Named>> modules_ = make_handle<std::vector<Named>>();
};

}  // namespace tapestry::nn
