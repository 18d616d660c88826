// A data set of one's own: pictures in a folder, one subfolder per class, read when they are asked for.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;
namespace fs = std::filesystem;

/// root/CLASS/*.png; classes are numbered in the order of their names. A data set says how many samples it has and
/// gives them by number, from several threads at once; it is cheap to copy.
class PictureFolder : public datasets::Dataset {
 public:
  explicit PictureFolder(const fs::path& root, datasets::ImageTransform transform = {})
      : transform_(std::move(transform)) {
    for (const auto& entry : fs::directory_iterator(root)) classes_.push_back(entry.path().filename().string());
    std::sort(classes_.begin(), classes_.end());
    for (std::size_t label = 0; label < classes_.size(); ++label) {
      for (const auto& entry : fs::directory_iterator(root / classes_[label])) {
        files_.emplace_back(entry.path().string(), static_cast<std::int64_t>(label));
      }
    }
    std::sort(files_.begin(), files_.end());  // the order of a folder is anybody's; ours is always the same
  }

  [[nodiscard]] std::size_t size() const override { return files_.size(); }

  /// The key names this visit to this sample. What a transform draws is a function of the key, never of a common stream
  /// of random numbers: so threads, batch size and order change nothing.
  [[nodiscard]] datasets::Sample get(std::size_t index, const datasets::SampleKey& key) const override {
    const auto& [path, label] = files_.at(index);
    const Tensor image = datasets::read_image(path);  // u8 [H, W, 3]
    return {transform_ ? transform_(image, key) : image, label};
  }
  using Dataset::get;

  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }

 private:
  datasets::ImageTransform transform_;
  std::vector<std::string> classes_;
  std::vector<std::pair<std::string, std::int64_t>> files_;
};

/// Makes a folder to read: 64 pictures of the embedded data set for each of four classes.
void write_pictures(const fs::path& root) {
  const datasets::Patterns patterns({.size = 6400});
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const datasets::Sample sample = patterns.get(i);
    if (sample.target % 25 != 0) continue;
    const fs::path folder = root / patterns.classes()[static_cast<std::size_t>(sample.target)];
    fs::create_directories(folder);
    datasets::write_png((folder / (std::to_string(i) + ".png")).string(), sample.image);
  }
}

/// A transform is a function of an image and a key: makes a picture darker or brighter by up to a fifth.
Tensor vary_light(const Tensor& image, const datasets::SampleKey& key) {
  return image * key.generator(7).uniform(0.8, 1.2);
}

int main() try {
  manual_seed(1);
  const fs::path root = "pictures";
  write_pictures(root);

  const datasets::Compose transform{datasets::RandomHorizontalFlip(), datasets::ToFloat(), vary_light,
                                    datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};
  const PictureFolder pictures(root, transform);
  std::printf("%zu pictures of %zu classes:", pictures.size(), pictures.classes().size());
  for (const std::string& name : pictures.classes()) std::printf(" %s", name.c_str());
  std::puts("");

  nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3, .padding = 1}}, nn::ReLU{}, nn::MaxPool2d{4}, nn::Flatten{},
                       nn::Linear{8 * 8 * 8, static_cast<Index>(pictures.classes().size())}};
  optim::AdamW adam(model.parameters(), {.lr = 0.01});
  datasets::Loader loader(pictures, {.batch = 32, .shuffle = true, .seed = 7});
  for (int epoch = 0; epoch < 5; ++epoch) {
    Index right = 0;
    for (auto [images, labels] : loader) {  // images f32 [32, 32, 32, 3], labels i64 [32]
      const Tensor logits = model(images);
      right += sum(eq(argmax(logits), labels)).item<Index>();
      adam.zero_grad();
      cross_entropy(logits, labels).backward();
      adam.step();
    }
    std::printf("epoch %d: %3lld of %zu right\n", epoch + 1, static_cast<long long>(right), pictures.size());
  }

  // An error in a sample reaches the loop that asked for it, with the sample's number.
  std::ignore = std::fclose(std::fopen((root / pictures.classes()[0] / "broken.png").string().c_str(), "w"));
  try {
    for (auto batch : datasets::Loader(PictureFolder(root), {.batch = 32})) (void)batch;
  } catch (const datasets::SampleError& error) {
    std::printf("sample %zu: %s\n", error.index(), error.what());
  }
  fs::remove(root / pictures.classes()[0] / "broken.png");
} catch (const std::exception& error) {
  std::fprintf(stderr, "07_custom_data_set: %s\n", error.what());
  return 1;
}
