#include <tapestry/datasets/image_folder.h>

#include <boost/test/unit_test.hpp>

#include <tapestry/datasets/image_file.h>
#include <tapestry/datasets/loader.h>

#include "datasets/files.h"
#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// A picture of 2 x 2 pixels, all of one value.
void put_picture(const std::filesystem::path& path, double value) {
  std::filesystem::create_directories(path.parent_path());
  write_png(path, full({2, 2, 3}, value, {.dtype = u8}));
}

struct Folder : TemporaryFolder {
  Folder() {
    put_picture(*this / "bee/2.png", 20);
    put_picture(*this / "bee/10.PNG", 10);
    put_picture(*this / "bee/deep/er/0.png", 30);
    put_picture(*this / "ant/b.png", 2);
    put_picture(*this / "ant/a.png", 1);
    put_picture(*this / "loose.png", 99);
    put_file(*this / "ant/notes.txt", ByteVector{1});
    put_file(*this / "ant/png", ByteVector{1});
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(image_folder_test)

BOOST_AUTO_TEST_CASE(classes_are_alphabetical_and_samples_are_ordered_by_class_and_path) {
  const Folder folder;
  const ImageFolder data(folder.path());
  BOOST_TEST(data.size() == 5U);
  BOOST_REQUIRE(data.classes().size() == 2U);
  BOOST_TEST(data.classes()[0] == "ant");
  BOOST_TEST(data.class_to_index("bee").value() == 1);
  BOOST_TEST(!data.class_to_index("cat").has_value());
  BOOST_TEST(values(data.targets()) == std::vector<double>({0, 0, 1, 1, 1}), boost::test_tools::per_element());
  std::vector<int> pixels;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const Sample sample = data.get(i);
    BOOST_TEST(sample.image.shape() == Shape({2, 2, 3}));
    BOOST_TEST(sample.target == (i < 2 ? 0 : 1));
    pixels.push_back(sample.image.data<std::uint8_t>()[0]);
  }
  BOOST_TEST(pixels == std::vector<int>({1, 2, 10, 20, 30}), boost::test_tools::per_element());
  BOOST_TEST(data.path(4) == (folder / "bee/deep/er/0.png").string());
}

BOOST_AUTO_TEST_CASE(transforms_are_applied_and_channels_chosen) {
  const Folder folder;
  const ImageFolder data(
      folder.path(),
      {.transform =
           [](const Tensor& image, const SampleKey& key) {
             return full({1, 1, 1}, image.data<std::uint8_t>()[0] + 100 * static_cast<double>(key.epoch));
           },
       .target_transform = [](std::int64_t t) { return t + 5; },
       .channels = 1});
  BOOST_TEST(data.get(2, {.epoch = 3}).image.item() == 310);
  BOOST_TEST(data.get(2).target == 6);
  BOOST_TEST(ImageFolder(folder.path(), {.channels = 1}).get(0).image.shape() == Shape({2, 2, 1}));
  BOOST_TEST(error<std::invalid_argument>([&] { ImageFolder(folder.path(), {.channels = 5}); }) ==
             "image_folder: channels must be in [0, 4]; got 5");
  BOOST_TEST(error<std::out_of_range>([&] { (void)data.get(5); }) == "image_folder: index must be below 5; got 5");
}

BOOST_AUTO_TEST_CASE(a_folder_without_classes_and_a_class_without_pictures_are_refused) {
  const TemporaryFolder empty;
  BOOST_TEST(error<FileError>([&] { ImageFolder(empty.path()); }) ==
             empty.path().string() + ": expected a folder for each class; got no folders");
  BOOST_TEST(error<FileError>([] { ImageFolder("/nonexistent"); }) ==
             "/nonexistent: cannot be listed: no such file or directory");
  const Folder folder;
  std::filesystem::create_directories(folder / "cat");
  put_file(folder / "cat/a.gif", ByteVector{1});
  BOOST_TEST(error<FileError>([&] { ImageFolder(folder.path()); }) ==
             (folder / "cat").string() + ": expected pictures whose names end in .png, .jpg or .jpeg; got none");
}

BOOST_AUTO_TEST_CASE(a_broken_or_missing_file_is_an_error_of_its_sample_that_names_it) {
  const Folder folder;
  put_file(folder / "bee/1.jpg", ByteVector{'G', 'I', 'F', '8', '9', 'a'});
  const ImageFolder data(folder.path());
  std::filesystem::remove(folder / "ant/b.png");
  BOOST_TEST(error<FileError>([&] { (void)data.get(1); }) ==
             (folder / "ant/b.png").string() + ": cannot be read: no such file or directory");
  Loader loader(data, {.batch = 3});
  std::string text;
  try {
    for (const Batch& batch : loader) (void)batch;
  } catch (const SampleError& e) {
    text = e.what();
  }
  BOOST_TEST(text.find("loader: sample 1: " + (folder / "ant/b.png").string()) == 0U);
  BOOST_TEST(error<FileError>([&] { (void)data.get(2); }).find((folder / "bee/1.jpg").string() + ": expected a PNG") ==
             0U);
}

BOOST_AUTO_TEST_CASE(links_to_files_and_to_class_folders_are_followed_and_loops_are_not) {
  const Folder folder;
  std::filesystem::create_directory_symlink(folder / "ant", folder / "wasp");
  std::filesystem::create_directory_symlink(folder / "bee", folder / "bee/deep/again");
  std::filesystem::create_symlink(folder / "loose.png", folder / "bee/link.png");
  const ImageFolder data(folder.path());
  BOOST_TEST(data.classes().size() == 3U);
  BOOST_TEST(data.size() == 8U);
  BOOST_TEST(int{data.get(5).image.data<std::uint8_t>()[0]} == 99);
}

BOOST_AUTO_TEST_CASE(batches_are_the_same_with_any_number_ahead) {
  const Folder folder;
  for (const Index prefetch : {0, 3}) {
    Loader loader(ImageFolder(folder.path()), {.batch = 5, .prefetch = prefetch});
    for (const auto& [images, labels] : loader) {
      BOOST_TEST(images.shape() == Shape({5, 2, 2, 3}));
      BOOST_TEST(int{images.data<std::uint8_t>()[4 * 12]} == 30);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
