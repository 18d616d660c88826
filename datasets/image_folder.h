#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/datasets/dataset.h>

namespace tapestry::datasets {

struct ImageFolderOptions {
  ImageTransform transform = {};
  TargetTransform target_transform = {};
  Index channels = 3;  ///< of the images, as in ReadImageOptions
};

/// Pictures that lie in one folder for each class: root/ant/one.png, root/bee/more/two.jpg. Only names are held in
/// memory; a picture is read and decoded when it is asked for, so by the threads of the loader. Copies share the names.
class ImageFolder final : public Dataset {
 public:
  using Options = ImageFolderOptions;

  /// Classes are the folders in `root`, in alphabetical order (of bytes); samples are the files below them, at any
  /// depth, whose names end in .png, .jpg or .jpeg, in whatever case, ordered by class and then by path. Links to
  /// folders are followed in root only, links to files everywhere. Other files are left alone. Throws FileError for
  /// folders that cannot be listed, for a root without folders and for a class without pictures,
  /// std::invalid_argument for channels outside [0, 4].
  explicit ImageFolder(const std::string& root, Options options = {}, Here here = {});

  [[nodiscard]] std::size_t size() const override;

  /// Picture `index`, u8 [H, W, C] of its own size unless transformed, and the number of its class. Throws what
  /// read_image() throws, so FileError with the path for a file that is gone or damaged: a broken file is an error,
  /// never left out. Throws std::out_of_range unless index < size().
  [[nodiscard]] Sample get(std::size_t index, const SampleKey& key) const override;
  using Dataset::get;

  [[nodiscard]] std::string path(std::size_t index) const;     ///< of the file of sample `index`
  [[nodiscard]] std::span<const std::string> classes() const;  ///< names of the folders
  [[nodiscard]] Tensor targets() const;                        ///< i64 [N]: the classes, untransformed
  /// Position of a name in classes(); nothing when it is none of them.
  [[nodiscard]] std::optional<std::int64_t> class_to_index(std::string_view name) const;

 private:
  struct State;
  Handle<const State> state_;
};

}  // namespace tapestry::datasets
