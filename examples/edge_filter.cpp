// The classic example of what one small convolution can do: every pixel minus its left neighbour shows the vertical
// edges of a picture. The kernel is fixed, 1 x 2, and the same for every channel.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include <common/flags.h>
#include <tapestry/tapestry.h>

using namespace tapestry;

/// A white stripe, a disc and a ramp on black: something to try the filter on. u8 [160, 320, 3].
Tensor test_picture() {
  constexpr Index height = 160, width = 320;
  Tensor picture = zeros({height, width, 3}, {.dtype = u8});
  std::uint8_t* const pixels = picture.mutable_data<std::uint8_t>();
  for (Index y = 0; y < height; ++y) {
    for (Index x = 0; x < width; ++x) {
      std::uint8_t* const pixel = pixels + (y * width + x) * 3;
      const bool stripe = x >= 30 && x < 50;
      const bool disc = std::hypot(static_cast<double>(x - 130), static_cast<double>(y - 80)) < 50;
      const auto ramp = static_cast<std::uint8_t>(x >= 210 && x < 310 ? 2 * (x - 210) : 0);
      pixel[0] = stripe ? 255 : disc ? 230 : ramp;
      pixel[1] = stripe ? 255 : disc ? 120 : ramp;
      pixel[2] = stripe ? 255 : disc ? 40 : ramp;
    }
  }
  return picture;
}

int run(int argc, char** argv) {
  std::optional<std::string> input, output;
  examples::Flags flags("edge_filter",
                        "Shows the vertical edges of a picture: every pixel minus its left neighbour.\n"
                        "Without arguments it draws a picture of its own, edge_filter_input.png.");
  flags.positional("INPUT", input, "a PNG or JPEG file");
  flags.positional("OUTPUT.png", output, "where the result goes: grey is no change, bright a rise, dark a fall");
  if (!flags.parse(argc, argv)) return 0;
  if (input && !output) throw examples::UsageError("an input needs an output: edge_filter INPUT OUTPUT.png");

  if (!input) {
    input = "edge_filter_input.png";
    output = "edge_filter_output.png";
    datasets::write_png(*input, test_picture());
  }
  const Tensor bytes = datasets::read_image(*input);  // u8  [H, W, 3]
  const Index height = bytes.size(0), width = bytes.size(1);
  const Tensor image = reshape(to(bytes, f32), {1, height, width, 3}) / 255.f;  // f32 [1, H, W, 3] in [0, 1]

  if (width < 2) throw std::invalid_argument("a picture one pixel wide has no left neighbours");

  // [K, R, S, C / groups]: one filter of one row and two columns per channel.
  const Tensor kernel = reshape(tensor({-1.f, 1.f, -1.f, 1.f, -1.f, 1.f}), {3, 1, 2, 1});
  const auto began = std::chrono::steady_clock::now();
  const Tensor edges = conv2d(image, kernel, {}, {.groups = 3});  // f32 [1, H, W - 1, 3] in [-1, 1]
  const double milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();

  const Tensor shown = to(round(127.5f + 127.5f * edges), u8);
  datasets::write_png(*output, reshape(shown, {height, width - 1, 3}));
  std::printf("%s, %lld x %lld -> %s, %lld x %lld: differences from %.3f to %.3f, in %.2f ms\n", input->c_str(),
              static_cast<long long>(width), static_cast<long long>(height), output->c_str(),
              static_cast<long long>(width - 1), static_cast<long long>(height), min(edges).item(), max(edges).item(),
              milliseconds);
  return 0;
}

int main(int argc, char** argv) {
  return examples::run_main("edge_filter", [&] { return run(argc, argv); });
}
