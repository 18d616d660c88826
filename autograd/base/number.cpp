#include <tapestry/autograd/base/number.h>

#include <fmt/format.h>

namespace tapestry {

std::string to_string(const Number& number) {
  return number.is_integer() ? fmt::format("{}", number.integer()) : fmt::format("{}", number.real());
}

}  // namespace tapestry
