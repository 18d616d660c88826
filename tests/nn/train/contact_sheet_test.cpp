#include <support/expect.h>
#include <support/temporary_folder.h>

#include <cmath>
#include <limits>

#include <tapestry/datasets/image_file.h>
#include <tapestry/datasets/patterns.h>
#include <tapestry/nn/train/contact_sheet.h>

using namespace tapestry;
using namespace tapestry::test;
using train::ContactSheet;

BOOST_AUTO_TEST_SUITE(contact_sheet_test)

namespace {

datasets::Patterns pictures() { return datasets::Patterns({.train = false, .size = 40}); }

Tensor labels_of(const std::vector<std::int64_t>& labels) {
  return tensor(labels, {static_cast<Index>(labels.size())}, {.dtype = i64});
}

/// Colour of a pixel as 0xRRGGBB.
unsigned at(const Tensor& sheet, Index y, Index x) {
  const std::uint8_t* const p = sheet.data<std::uint8_t>() + (y * sheet.size(1) + x) * 3;
  return static_cast<unsigned>(p[0]) << 16U | static_cast<unsigned>(p[1]) << 8U | p[2];
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_surest_mistakes_are_kept_with_their_numbers) {
  ContactSheet sheet(2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  sheet.add(tensor({{0.F, 1.F}, {2.F, 0.F}}), labels_of({0, 0}));                 // 0: wrong, a little
  sheet.add(tensor({{0.F, 3.F}, {nan, 0.F}, {5.F, 0.F}}), labels_of({0, 1, 1}));  // 2 and 4: wrong, surely
  BOOST_TEST(sheet.images() == 5);
  BOOST_TEST(sheet.wrong() == 3);
  BOOST_REQUIRE(sheet.mistakes().size() == 2U);
  const train::Mistake &first = sheet.mistakes()[0], &second = sheet.mistakes()[1];
  BOOST_TEST((first.image == 4 && first.predicted == 0 && first.label == 1));
  BOOST_TEST((second.image == 2 && second.predicted == 1 && second.label == 0));
  BOOST_TEST(first.probability == 1 / (1 + std::exp(-5.)));
}

BOOST_AUTO_TEST_CASE(the_sheet_shows_each_picture_enlarged_over_two_names) {
  Tensor image = zeros({32, 32, 3}, {.dtype = u8});
  std::uint8_t* const bytes = image.mutable_data<std::uint8_t>();
  bytes[0] = 255;                       // top left red
  bytes[(31 * 32 + 31) * 3 + 2] = 200;  // bottom right blue; the probability's plate covers it
  const Tensor sheet = train::contact_sheet("title", {{image, "violet_ring", "amber_disc", .75}});
  BOOST_TEST(sheet.shape() == (Shape{384, 1496, 3}));
  // A margin of 24 pixels, a header of 88: the picture is 160 x 160 from (88, 24).
  BOOST_TEST(at(sheet, 88, 24) == 0xFF0000U);
  BOOST_TEST(at(sheet, 92, 28) == 0xFF0000U);  // one pixel became 5 x 5
  BOOST_TEST(at(sheet, 93, 29) == 0x000000U);
  BOOST_TEST(at(sheet, 88, 23) == 0xFFFFFFU);
  bool red = false, green = false;
  for (Index y = 256; y < 256 + 40; ++y) {
    for (Index x = 24; x < 24 + 160; ++x) {
      red = red || at(sheet, y, x) == 0xBE2828U;
      green = green || at(sheet, y, x) == 0x1A7F4BU;
    }
  }
  BOOST_TEST(red);
  BOOST_TEST(green);
}

BOOST_AUTO_TEST_CASE(names_and_pictures_come_from_the_data_set) {
  const TemporaryFolder folder;
  ContactSheet sheet;
  Tensor logits = zeros({3, 100});
  float* const rows = logits.mutable_data<float>();  // the first picture is the surest mistake
  rows[5] = 9;
  rows[106] = 8;
  rows[207] = 7;
  sheet.add(logits, labels_of({0, 37, 74}));
  sheet.write((folder / "wrong.png").string(), "three mistakes", pictures());
  const Tensor png = datasets::read_image((folder / "wrong.png").string());
  BOOST_TEST(same_bits(png, sheet.draw("three mistakes", pictures())));
  const datasets::Patterns all = pictures();
  const std::uint8_t* const first = all.data().data<std::uint8_t>();
  BOOST_TEST(at(png, 88, 24) ==
             (static_cast<unsigned>(first[0]) << 16U | static_cast<unsigned>(first[1]) << 8U | first[2]));
}

BOOST_AUTO_TEST_CASE(no_mistakes_make_a_sheet_too) {
  BOOST_TEST(ContactSheet().draw("nothing wrong", pictures()).size(2) == 3);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)train::contact_sheet("", {{zeros({4, 4, 3}), "", "", 0}});
             }) == "contact_sheet: an image is u8 [H, W, 3]; got f32 [4, 4, 3]");
  BOOST_TEST(error<std::invalid_argument>([] { (void)train::contact_sheet("", {{}}); }) ==
             "contact_sheet: an image is u8 [H, W, 3]; got an undefined tensor");
  ContactSheet sheet;
  const Tensor labels = labels_of({1});
  BOOST_TEST(error<std::invalid_argument>([&] {
               sheet.add(zeros({1, 2}, {.dtype = f64}), labels);
             }) == "contact_sheet: logits must be f32 [N, C]; got f64 [1, 2]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               sheet.add(zeros({2, 2}), labels);
             }) == "contact_sheet: labels must be i64 [2]; got i64 [1]");
  for (int i = 0; i < 41; ++i) sheet.add(tensor({{static_cast<float>(i + 1), 0.F}}), labels);
  BOOST_TEST(error<std::out_of_range>([&] { (void)sheet.draw("", pictures()); }) ==
             "contact_sheet: an image must be one of the 40 of the data set; got 40");
}

BOOST_AUTO_TEST_SUITE_END()
