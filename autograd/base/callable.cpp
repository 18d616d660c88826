#include <tapestry/autograd/base/callable.h>

#include <stdexcept>

#include <tapestry/autograd/base/call_site.h>

namespace tapestry {

void detail::throw_empty_callable() {
  throw std::logic_error("callable: it must hold a function; this one is empty" + place_lines());
}

}  // namespace tapestry
