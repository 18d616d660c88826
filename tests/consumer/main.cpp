// A user's program: one layer, one gradient, one error.
#include <iostream>
#include <stdexcept>

#include <tapestry/tapestry.h>

using namespace tapestry;

int main() {
  const nn::Conv2d conv{3, 8, {.kernel = 3, .padding = 1}};
  sum(relu(conv(randn({2, 8, 8, 3})))).backward();
  std::cout << "gradient of " << conv.parameters()[0].grad().numel() << " weights\n";
  try {
    (void)conv(randn({2, 8, 8, 4}));
  } catch (const std::invalid_argument& error) {
    std::cout << error.what() << '\n';
  }
}
