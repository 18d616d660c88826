// The lecture on convolutional networks, step by step: each shape is printed, each feature map is a picture to open.
//
//   02_lecture [PICTURE]     a PNG or JPEG for the first step, in place of the one that the program draws
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

/// A white stripe, a disc and a ramp on black: f32 [1, H, W, 3] in [0, 1].
Tensor draw(Index height, Index width) {
  Tensor picture = zeros({1, height, width, 3});
  float* pixel = picture.mutable_data<float>();
  const auto h = static_cast<float>(height), w = static_cast<float>(width);
  for (Index i = 0; i < height * width; ++i, pixel += 3) {
    const auto y = static_cast<float>(i / width), x = static_cast<float>(i % width);
    const bool stripe = x >= 0.09F * w && x < 0.15F * w;
    const bool disc = std::hypot(x - 0.4F * w, y - 0.5F * h) < 0.15F * w;
    const float ramp = x >= 0.65F * w && x < 0.95F * w ? (x - 0.65F * w) / (0.3F * w) : 0;
    pixel[0] = stripe ? 1 : disc ? 0.9F : ramp;
    pixel[1] = stripe ? 1 : disc ? 0.5F : ramp;
    pixel[2] = stripe ? 1 : disc ? 0.1F : ramp;
  }
  return picture;
}

/// Prints a step and a shape, and writes x [H, W, C] in [0, 1] with every pixel as a square of `scale` x `scale`.
void show(const std::string& step, const Shape& shape, const std::string& file, const Tensor& x, Index scale) {
  std::printf("%-50s %-16s %s\n", step.c_str(), to_string(shape).c_str(), file.c_str());
  const Index h = x.size(0), w = x.size(1), c = x.size(2);
  const Tensor squares = broadcast_to(reshape(x, {h, 1, w, 1, c}), {h, scale, w, scale, c});
  datasets::write_png(file, to(round(255 * reshape(squares, {scale * h, scale * w, c})), u8));
}

/// Maps [1, H, W, K] as grey pictures, `columns` in a row: black is negative, middle grey is 0, white is positive.
void show_maps(const std::string& step, const std::string& file, const Tensor& maps, Index columns, Index scale) {
  const Index h = maps.size(1), w = maps.size(2), k = maps.size(3), rows = k / columns;
  const Index gap = h > 1 ? 1 : 0;  // a white line between neighbours
  const Tensor grey = 0.5 + 0.5 * maps / max(abs(maps));
  const Tensor framed = pad2d(grey, {.bottom = gap, .right = gap, .value = 1});
  const Tensor grid = permute(reshape(framed, {h + gap, w + gap, rows, columns}), {2, 0, 3, 1});
  show(step, {h, w, k}, file, reshape(grid, {rows * (h + gap), columns * (w + gap), 1}), scale);
}

/// One filter [1, 5, 5, 3] from its 25 numbers, the same for each colour.
Tensor filter(const std::vector<float>& taps) {
  return broadcast_to(reshape(tensor(taps, {25}), {1, 5, 5, 1}), {1, 5, 5, 3}) / 3;
}

int main(int argc, char** argv) try {
  manual_seed(1);
  std::printf("%-50s %-16s %s\n", "step", "shape", "picture");

  // 1. One row, two columns: every pixel minus its left neighbour. What remains are the vertical edges.
  Tensor picture = draw(160, 320);
  if (argc > 1) {
    const Tensor bytes = datasets::read_image(argv[1]);  // u8 [H, W, 3]
    picture = unsqueeze(to(bytes, f32) / 255, 0);
  }
  const Tensor difference = reshape(tensor({-1.F, 1.F, -1.F, 1.F, -1.F, 1.F}), {3, 1, 2, 1});  // one per colour
  const Tensor edges = conv2d(picture, difference, {}, {.groups = 3});                         // [1, H, W - 1, 3]
  const Tensor edges_shown = select(0.5 + 0.5 * edges, {.index = 0});
  show("1. a picture", select(picture, {.index = 0}).shape(), "1_picture.png", select(picture, {.index = 0}), 1);
  show("   the 1 x 2 filter (-1, 1): differences", edges_shown.shape(), "1_edges.png", edges_shown, 1);
  std::printf("     from %.3f to %.3f\n", min(edges).item(), max(edges).item());

  // 2. One filter after another looks at the same regions of 5 x 5 x 3 numbers; each gives a map of 28 x 28.
  const Tensor small = datasets::ToFloat()(datasets::Patterns({.size = 8}).get(5).image);  // f32 [32, 32, 3]
  const Tensor image = unsqueeze(small, 0);
  const Tensor upright = filter({-1, -2, 0, 2, 1, -1, -2, 0, 2, 1, -1, -2, 0, 2, 1, -1, -2, 0, 2, 1, -1, -2, 0, 2, 1});
  const Tensor level = transpose(upright, 1, 2);
  const Tensor spot =
      filter({-9, -9, -9, -9, -9, -9, 16, 16, 16, -9, -9, 16, 16, 16, -9, -9, 16, 16, 16, -9, -9, -9, -9, -9, -9}) / 9;
  show("2. an image", small.shape(), "2_image.png", small, 8);
  std::vector<Tensor> maps;
  for (const Tensor& one : {upright, level, spot}) {
    maps.push_back(conv2d(image, one));
    const std::string number = std::to_string(maps.size());
    show_maps("   5 x 5 x 3 filter number " + number, "2_map_" + number + ".png", maps.back(), 1, 8);
  }
  const Tensor at_once = conv2d(image, cat({upright, level, spot}));
  show_maps("   the three filters in one convolution", "2_maps.png", at_once, 3, 8);
  std::printf("     differs from one after another by %.1e\n", max(abs(at_once - cat(maps, {.dim = -1}))).item());

  // 3. ReLU keeps what is positive; max-pooling keeps the largest of 2 x 2 neighbours: half the size.
  const Tensor active = relu(at_once);
  const Tensor pooled = max_pool2d(active, {.kernel = 2});
  show_maps("3. relu", "3_relu.png", active, 3, 8);
  show_maps("   max-pool 2 x 2", "3_pooled.png", pooled, 3, 16);

  // 4. A filter as large as what it looks at gives one number, a score; one filter per class gives all scores.
  for (const Index classes : {10, 100}) {
    const Tensor weights = nn::init::kaiming_normal({classes, 14, 14, 3});
    const std::string name = std::to_string(classes);
    show_maps("4. scores of " + name + " classes", "4_scores_" + name + ".png", conv2d(pooled, weights), 10, 24);
  }

  // 5. The first layer of VGG: 64 filters of 3 x 3 x 3, and a frame of zeros that keeps the size.
  const Tensor large = draw(224, 224);
  const Tensor conv1 = conv2d(large, nn::init::kaiming_normal({64, 3, 3, 3}), {}, {.padding = 1});
  show("5. an image for VGG", {224, 224, 3}, "5_image.png", select(large, {.index = 0}), 1);
  show_maps("   conv-1, 64 filters of 3 x 3 x 3, padding 1", "5_conv1.png", conv1, 8, 1);
} catch (const std::exception& error) {
  std::fprintf(stderr, "02_lecture: %s\n", error.what());
  return 1;
}
