#include <tapestry/datasets/geometry.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/images.h>
#include <tapestry/datasets/detail/purposes.h>
#include <tapestry/datasets/detail/warp.h>

namespace tapestry::datasets {
namespace {

constexpr Index kLongestSide = 65536;
constexpr Index kPixelsPerTask = 16384;  // about 100 us

/// For each pixel along one side of the result, the pixels of the source that it is the mean of.
struct Weights {
  struct Span {
    Index first, count;
    std::size_t at;  // of its weights
  };
  std::vector<Span> spans;
  std::vector<float> weights;

  Weights(Index from, Index to, const ResizeOptions& options) {
    const double step = static_cast<double>(from) / static_cast<double>(to);
    for (Index i = 0; i < to; ++i) {
      const double centre = (static_cast<double>(i) + 0.5) * step;
      if (options.interpolation == Interpolation::nearest) {
        spans.push_back({std::min(static_cast<Index>(centre), from - 1), 1, weights.size()});
        weights.push_back(1);
        continue;
      }
      const double reach = options.antialias ? std::max(step, 1.0) : 1.0;
      const Index first = std::max<Index>(0, static_cast<Index>(std::floor(centre - reach)));
      const Index end = std::min(from, static_cast<Index>(std::ceil(centre + reach)) + 1);
      add(centre, reach, first, end);
    }
  }

 private:
  void add(double centre, double reach, Index first, Index end) {
    std::vector<double> some;
    double sum = 0;
    for (Index j = first; j < end; ++j) {
      some.push_back(std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / reach));
      sum += some.back();
    }
    spans.push_back({first, end - first, weights.size()});
    for (const double weight : some) weights.push_back(static_cast<float>(weight / sum));
  }
};

template <class T>
void resize_one(const T* from, Index width, Index channels, const Weights& rows, const Weights& columns, T* to) {
  const auto out_width = static_cast<Index>(columns.spans.size());
  std::vector<float> line(static_cast<std::size_t>(width * channels));  // a row of the source, mixed of several
  for (const Weights::Span& row : rows.spans) {
    std::ranges::fill(line, 0.0F);
    for (Index j = 0; j < row.count; ++j) {
      const float weight = rows.weights[row.at + static_cast<std::size_t>(j)];
      const T* source = from + (row.first + j) * width * channels;
      for (Index i = 0; i < width * channels; ++i) {
        line[static_cast<std::size_t>(i)] += weight * static_cast<float>(source[i]);
      }
    }
    for (Index x = 0; x < out_width; ++x, to += channels) {
      const Weights::Span& column = columns.spans[static_cast<std::size_t>(x)];
      const float* const weight = columns.weights.data() + column.at;
      for (Index c = 0; c < channels; ++c) {
        const float* const source = line.data() + column.first * channels + c;
        float sum = 0;
        for (Index j = 0; j < column.count; ++j) sum += weight[j] * source[j * channels];
        if constexpr (std::is_same_v<T, std::uint8_t>) to[c] = static_cast<T>(std::min(sum, 255.0F) + 0.5F);
        else to[c] = sum;
      }
    }
  }
}

template <class T>
void resize_all(const Tensor& images, Index count, Tensor& y, const Weights& rows, const Weights& columns) {
  const Index d = images.dim();
  const Index width = images.size(d - 2);
  const Index channels = images.size(d - 1);
  const Index from_size = images.size(d - 3) * width * channels;
  const Index to_size = y.numel() / count;
  const T* const from = images.data<T>();
  T* const to = y.mutable_data<T>();
  const Index per_task = std::max<Index>(1, kPixelsPerTask / (from_size + to_size));
  parallel_for(count, per_task, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      resize_one(from + i * from_size, width, channels, rows, columns, to + i * to_size);
    }
  });
}

/// The window of an image, all of it inside.
Tensor window(const Tensor& image, Index top, Index left, Index height, Index width) {
  if (height == image.size(0) && width == image.size(1)) return image;
  Tensor y = empty({height, width, image.size(2)}, image.dtype());
  const Index pixel = image.size(2) * item_bytes(image.dtype());
  for (Index row = 0; row < height; ++row) {
    std::copy_n(image.impl().bytes() + ((top + row) * image.size(1) + left) * pixel, width * pixel,
                y.impl().bytes() + row * width * pixel);
  }
  return y;
}

void check_range(const char* transform, const char* what, const std::array<double, 2>& range, double least,
                 double most) {
  if (!(range[0] > least && range[0] <= range[1] && range[1] <= most)) {
    throw_invalid("{}: {} must be two numbers above {} and up to {}, the smaller first; got {} and {}", transform, what,
                  least, most, range[0], range[1]);
  }
}

void check_degrees(const char* transform, double degrees) {
  if (!(degrees >= 0 && degrees <= 360)) throw_invalid("{}: degrees must be in [0, 360]; got {}", transform, degrees);
}

detail::Affine about_the_middle(const Tensor& image) {
  return {.centre_x = static_cast<double>(image.size(1)) / 2, .centre_y = static_cast<double>(image.size(0)) / 2};
}

struct Point {
  double x, y;
};

/// The projection that takes each point to the other one of its pair; false where there is none, as with three points
/// on a line. Gauss's elimination, with the largest pivot of each column.
bool find_projection(const std::array<Point, 4>& from, const std::array<Point, 4>& to, detail::Projection& found) {
  constexpr std::size_t n = 8;
  std::array<std::array<double, n + 1>, n> rows{};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto [x, y] = from[i];
    const auto [u, v] = to[i];
    rows[2 * i] = {x, y, 1, 0, 0, 0, -u * x, -u * y, u};
    rows[2 * i + 1] = {0, 0, 0, x, y, 1, -v * x, -v * y, v};
  }
  for (std::size_t k = 0; k < n; ++k) {
    const auto pivot = std::max_element(rows.begin() + static_cast<std::ptrdiff_t>(k), rows.end(),
                                        [k](const auto& a, const auto& b) { return std::abs(a[k]) < std::abs(b[k]); });
    std::swap(rows[k], *pivot);
    constexpr double kNone = 1e-9;  // pixels
    if (!(std::abs(rows[k][k]) > kNone)) return false;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = rows[i][k] / rows[k][k];
      for (std::size_t j = k; j <= n; ++j) rows[i][j] -= factor * rows[k][j];
    }
  }
  for (std::size_t k = 0; k < n; ++k) found[k] = rows[k][n] / rows[k][k];
  found[8] = 1;
  return true;
}

}  // namespace

Tensor resize(const Tensor& images, Index height, Index width, const ResizeOptions& options, Here here) {
  const CallSite site(here);
  const Index d = images.dim();
  if ((d != 3 && d != 4) || images.numel() == 0 || (images.dtype() != u8 && images.dtype() != f32)) {
    throw_invalid("resize: images must be u8 or f32 [H, W, C] or [B, H, W, C], not empty; got {} {}", images.dtype(),
                  images.shape());
  }
  for (const Index side : {height, width}) {
    if (side < 1 || side > kLongestSide) {
      throw_invalid("resize: sides must be in [1, {}]; got {} x {}", kLongestSide, height, width);
    }
  }
  const Index h = images.size(d - 3);
  const Index w = images.size(d - 2);
  if (h == height && w == width) return tapestry::detail::without_history(images);
  Tensor y = empty(images.shape().with(d - 3, height).with(d - 2, width), images.dtype());
  const Weights rows(h, height, options);
  const Weights columns(w, width, options);
  const Index count = d == 4 ? images.size(0) : 1;
  if (images.dtype() == u8) resize_all<std::uint8_t>(images, count, y, rows, columns);
  else resize_all<float>(images, count, y, rows, columns);
  return y;
}

Tensor Resize::operator()(const Tensor& image, const SampleKey&) const {
  detail::check_image("resize", image);
  if (height < 0 || width < 0 || (height == 0 && width == 0)) {
    throw_invalid("resize: height and width must be at least 0, and one of them above; got {} and {}", height, width);
  }
  // With the proportions kept, as torchvision rounds: down.
  const auto in_proportion = [](Index side, Index given, Index other) {
    const double ratio = static_cast<double>(given) / static_cast<double>(other);
    return std::max<Index>(1, static_cast<Index>(ratio * static_cast<double>(side)));
  };
  const Index out_h = height != 0 ? height : in_proportion(image.size(0), width, image.size(1));
  const Index out_w = width != 0 ? width : in_proportion(image.size(1), height, image.size(0));
  return datasets::resize(image, out_h, out_w, options);
}

Tensor CenterCrop::operator()(const Tensor& image, const SampleKey&) const {
  detail::check_image("center_crop", image);
  const Index h = image.size(0);
  const Index w = image.size(1);
  if (height < 1 || width < 1 || height > h || width > w) {
    throw_invalid("center_crop: window must have pixels and fit into the image; got {} x {} for {}", height, width,
                  image.shape());
  }
  return window(image, (h - height) / 2, (w - width) / 2, height, width);
}

Tensor RandomResizedCrop::operator()(const Tensor& image, const SampleKey& key) const {
  detail::check_bytes_or_floats("random_resized_crop", image);
  check_range("random_resized_crop", "scale", scale, 0, 1);
  check_range("random_resized_crop", "ratio", ratio, 0, 1e6);
  const auto h = static_cast<double>(image.size(0));
  const auto w = static_cast<double>(image.size(1));
  Generator generator = key.generator(detail::kResizedCropPurpose);
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    const double area = h * w * generator.uniform(scale[0], scale[1]);
    const double proportion = std::exp(generator.uniform(std::log(ratio[0]), std::log(ratio[1])));
    const double width_of = std::round(std::sqrt(area * proportion));
    const double height_of = std::round(std::sqrt(area / proportion));
    if (!(width_of >= 1 && height_of >= 1 && width_of <= w && height_of <= h)) continue;
    const auto out_h = static_cast<Index>(height_of);
    const auto out_w = static_cast<Index>(width_of);
    const Index top = generator.randint(0, image.size(0) - out_h + 1);
    const Index left = generator.randint(0, image.size(1) - out_w + 1);
    return datasets::resize(window(image, top, left, out_h, out_w), height, width, options);
  }
  const double proportion = std::clamp(w / h, ratio[0], ratio[1]);
  const auto side = [](double value, Index most) { return std::clamp<Index>(static_cast<Index>(value), 1, most); };
  const Index out_w = side(std::round(std::min(w, h * proportion)), image.size(1));
  const Index out_h = side(std::round(std::min(h, w / proportion)), image.size(0));
  return datasets::resize(window(image, (image.size(0) - out_h) / 2, (image.size(1) - out_w) / 2, out_h, out_w), height,
                          width, options);
}

Tensor RandomRotation::operator()(const Tensor& image, const SampleKey& key) const {
  detail::check_bytes_or_floats("random_rotation", image);
  check_degrees("random_rotation", degrees);
  detail::Affine affine = about_the_middle(image);
  affine.degrees = key.generator(detail::kRotationPurpose).uniform(-degrees, degrees);
  return detail::warp(image, to_source(affine), interpolation, fill);
}

Tensor RandomAffine::operator()(const Tensor& image, const SampleKey& key) const {
  detail::check_bytes_or_floats("random_affine", image);
  check_degrees("random_affine", degrees);
  check_range("random_affine", "scale", scale, 0, 1e6);
  for (const double part : translate) detail::check_fraction("random_affine", "translate", part);
  for (const double angle : shear) {
    if (!(angle >= 0 && angle < 90)) throw_invalid("random_affine: shear must be in [0, 90); got {}", angle);
  }
  Generator generator = key.generator(detail::kAffinePurpose);
  const auto within = [&](double most) { return generator.uniform(-most, most); };
  detail::Affine affine = about_the_middle(image);
  affine.degrees = within(degrees);
  affine.move_x = std::round(within(translate[0] * static_cast<double>(image.size(1))));
  affine.move_y = std::round(within(translate[1] * static_cast<double>(image.size(0))));
  affine.scale = generator.uniform(scale[0], scale[1]);
  affine.shear_x = within(shear[0]);
  affine.shear_y = within(shear[1]);
  return detail::warp(image, to_source(affine), interpolation, fill);
}

Tensor RandomPerspective::operator()(const Tensor& image, const SampleKey& key) const {
  detail::check_bytes_or_floats("random_perspective", image);
  detail::check_fraction("random_perspective", "p", p);
  if (!(distortion_scale >= 0 && distortion_scale < 1)) {
    throw_invalid("random_perspective: distortion_scale must be in [0, 1); got {}", distortion_scale);
  }
  Generator generator = key.generator(detail::kPerspectivePurpose);
  if (generator.uniform() >= p) return image;
  const auto h = static_cast<double>(image.size(0));
  const auto w = static_cast<double>(image.size(1));
  const std::array<Point, 4> corners{{{0, 0}, {w, 0}, {w, h}, {0, h}}};
  std::array<Point, 4> moved = corners;
  for (Point& corner : moved) {
    const double x = generator.uniform(0, distortion_scale * w / 2);
    const double y = generator.uniform(0, distortion_scale * h / 2);
    corner.x += corner.x == 0 ? x : -x;
    corner.y += corner.y == 0 ? y : -y;
  }
  detail::Projection to_source{};
  if (!find_projection(moved, corners, to_source)) return image;
  return detail::warp(image, to_source, interpolation, fill);
}

}  // namespace tapestry::datasets
