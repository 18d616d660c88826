// bench_augment: pictures per second that one core makes of 32 x 32 x 3 bytes, by each transform.
//   bench_augment [--json] [--budget SECONDS]
#include <tapestry/datasets/auto_augment.h>
#include <tapestry/datasets/color.h>
#include <tapestry/datasets/erase.h>
#include <tapestry/datasets/geometry.h>
#include <tapestry/datasets/patterns.h>
#include <tapestry/datasets/transforms.h>

#include "bench.h"

namespace {

using namespace tapestry;

constexpr std::size_t kPictures = 500;

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  bench::expect_no_more(options);
  const datasets::Patterns data({.size = kPictures});
  bench::Report report(options);
  std::uint64_t epoch = 0;
  const auto row = [&](const char* name, const datasets::ImageTransform& transform) {
    const double seconds = bench::median_seconds(
        [&] {
          ++epoch;  // other draws every time
          for (std::size_t i = 0; i < kPictures; ++i) {
            bench::look_at(transform(data.get(i).image, {.seed = 1, .epoch = epoch, .index = i}));
          }
        },
        options.budget);
    report.row({{"transform", name}}, {{"rate", static_cast<double>(kPictures) / seconds, "1/s"}});
  };
  row("RandAugment", datasets::RandAugment{});
  row("TrivialAugmentWide", datasets::TrivialAugmentWide{});
  row("ColorJitter", datasets::ColorJitter{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1});
  row("RandomRotation", datasets::RandomRotation{});
  row("RandomPerspective", datasets::RandomPerspective{.p = 1});
  row("RandomErasing", datasets::RandomErasing{.p = 1});
  row("Cutout", datasets::Cutout{});
  row("Resize to 24", datasets::Resize{.height = 24, .width = 24});
  row("crop, flip, normalize",
      datasets::Compose{datasets::RandomCrop{}, datasets::RandomHorizontalFlip{}, datasets::ToFloat{},
                        datasets::Normalize({.5, .5, .5}, {.25, .25, .25})});
}
