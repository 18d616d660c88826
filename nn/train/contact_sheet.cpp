#include <tapestry/nn/train/contact_sheet.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string_view>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/image_file.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::train {
namespace {

/// A glyph is 9 rows of 5 bits, from the top left on: 7 rows above the base line, 2 below.
constexpr std::array kFont = std::to_array<std::pair<char, std::uint64_t>>(
    {{' ', 0x000000000000}, {'%', 0x19C88889CC00}, {'\'', 0x042200000000}, {'(', 0x022210820800}, {')', 0x082084222000},
     {',', 0x000000021100}, {'-', 0x00003E000000}, {'.', 0x000000063000},  {'/', 0x010888884000}, {'0', 0x0E8CEB98B800},
     {'1', 0x046108423800}, {'2', 0x0E884C887C00}, {'3', 0x0E884C18B800},  {'4', 0x0232A5F10800}, {'5', 0x1F878218B800},
     {'6', 0x06443D18B800}, {'7', 0x1F0888442000}, {'8', 0x0E8C5D18B800},  {'9', 0x0E8C5E113000}, {':', 0x000100020000},
     {'?', 0x0E884C401000}, {'_', 0x0000000003E0}, {'a', 0x000382F8BC00},  {'b', 0x1087A318F800}, {'c', 0x0003A308B800},
     {'d', 0x010BE318BC00}, {'e', 0x0003A3F83800}, {'f', 0x064A38842000},  {'g', 0x0003E318BC2E}, {'h', 0x1087A318C400},
     {'i', 0x040308423800}, {'j', 0x020184210A4C}, {'k', 0x1084A98A4800},  {'l', 0x0C2108423800}, {'m', 0x0006AB5AD400},
     {'n', 0x0007A318C400}, {'o', 0x0003A318B800}, {'p', 0x0007A318FA10},  {'q', 0x0003E318BC21}, {'r', 0x0005B3084000},
     {'s', 0x0003E0E0F800}, {'t', 0x084710849800}, {'u', 0x00046318BC00},  {'v', 0x000463151000}, {'w', 0x00046B5AA800},
     {'x', 0x000454454400}, {'y', 0x00046318BC2E}, {'z', 0x0007C4447C00}});
constexpr Index kGlyphRows = 9, kGlyphColumns = 5;
constexpr Index kFontScale = 2;                               // pixels per bit
constexpr Index kAdvance = (kGlyphColumns + 1) * kFontScale;  // from one letter to the next
constexpr Index kLine = (kGlyphRows + 1) * kFontScale;        // from one line to the next

constexpr Index kColumns = 8;
constexpr Index kPicture = 160;  // pixels: 32 x 32 enlarged five times
constexpr Index kGap = 24;
constexpr Index kLinesPerName = 2;
constexpr Index kCellWidth = kPicture + kGap;
constexpr Index kCellHeight = kPicture + 2 * kLinesPerName * kLine + kGap + 8;
constexpr Index kHeader = 2 * kLine + 2 * kGap;

struct Colour {
  std::uint8_t red, green, blue;
};
constexpr Colour kInk{36, 41, 47}, kSoftInk{110, 119, 129}, kRed{190, 40, 40}, kGreen{26, 127, 75},
    kWhite{255, 255, 255};

/// A white sheet to draw on; what lies outside is cut off.
class Canvas {
 public:
  Canvas(Index height, Index width)
      : height_(height), width_(width), pixels_(static_cast<std::size_t>(height * width * 3), 255) {}

  void fill(Index top, Index left, Index height, Index width, Colour colour) {
    for (Index y = std::max<Index>(top, 0); y < std::min(top + height, height_); ++y) {
      for (Index x = std::max<Index>(left, 0); x < std::min(left + width, width_); ++x) {
        std::uint8_t* const pixel = &pixels_[static_cast<std::size_t>((y * width_ + x) * 3)];
        pixel[0] = colour.red;
        pixel[1] = colour.green;
        pixel[2] = colour.blue;
      }
    }
  }

  void text(Index top, Index left, std::string_view text, Colour colour) {
    for (const char letter : text) {
      const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
      const auto known =
          std::find_if(kFont.begin(), kFont.end(), [&](const auto& glyph) { return glyph.first == lower; });
      const std::uint64_t bits = known != kFont.end() ? known->second : 0;
      for (Index bit = 0; bit < kGlyphRows * kGlyphColumns; ++bit) {
        if ((bits >> (kGlyphRows * kGlyphColumns - 1 - bit) & 1U) == 0) continue;
        fill(top + bit / kGlyphColumns * kFontScale, left + bit % kGlyphColumns * kFontScale, kFontScale, kFontScale,
             colour);
      }
      left += kAdvance;
    }
  }

  /// The image [H, W, 3], enlarged to kPicture without smoothing: one sees the pixels that the model sees.
  void picture(Index top, Index left, const Tensor& image) {
    const std::uint8_t* const data = image.data<std::uint8_t>();
    for (Index y = 0; y < kPicture; ++y) {
      for (Index x = 0; x < kPicture; ++x) {
        const std::uint8_t* const p =
            data + (y * image.size(0) / kPicture * image.size(1) + x * image.size(1) / kPicture) * 3;
        fill(top + y, left + x, 1, 1, {p[0], p[1], p[2]});
      }
    }
  }

  [[nodiscard]] Tensor tensor() const { return tapestry::tensor(pixels_, {height_, width_, 3}, {.dtype = u8}); }

 private:
  Index height_, width_;
  std::vector<std::uint8_t> pixels_;
};

/// "violet_ring_dotted" as at most kLinesPerName lines that fit under a picture.
std::vector<std::string> lines_of(std::string_view name) {
  constexpr std::size_t room = kPicture / kAdvance + 1;  // letters; the last one may reach into the gap
  std::vector<std::string> lines;
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('_'), name.size());
    const std::string word(name.substr(0, end));
    if (!lines.empty() && lines.back().size() + 1 + word.size() <= room) lines.back() += " " + word;
    else lines.push_back(word);
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  if (lines.size() > kLinesPerName) {
    lines.resize(kLinesPerName);
    lines.back() += " ...";
  }
  for (std::string& line : lines) line.resize(std::min(line.size(), room));
  return lines;
}

void draw_cell(Canvas& canvas, Index top, Index left, const WrongPrediction& picture) {
  canvas.picture(top, left, picture.image);
  const std::string percent = fmt::format("{:.0f}%", 100 * picture.probability);
  const Index width = static_cast<Index>(percent.size()) * kAdvance + 6;
  canvas.fill(top + kPicture - 22, left + kPicture - width, 22, width, kWhite);
  canvas.text(top + kPicture - 17, left + kPicture - width + 4, percent, kRed);
  Index line_top = top + kPicture + 8;
  for (const auto& [name, colour] : {std::pair{&picture.predicted, kRed}, std::pair{&picture.right, kGreen}}) {
    for (const std::string& line : lines_of(*name)) {
      canvas.text(line_top, left, line, colour);
      line_top += kLine;
    }
  }
}

}  // namespace

Tensor contact_sheet(const std::string& title, const std::vector<WrongPrediction>& pictures) {
  for (const WrongPrediction& p : pictures) {
    if (!p.image.defined() || p.image.dtype() != u8 || p.image.dim() != 3 || p.image.size(2) != 3 ||
        p.image.numel() == 0) {
      throw_invalid("contact_sheet: an image is u8 [H, W, 3]; got {}",
                    p.image.defined() ? std::string(name_of(p.image.dtype())) + " " + to_string(p.image.shape())
                                      : "an undefined tensor");
    }
  }
  const Index rows = (static_cast<Index>(pictures.size()) + kColumns - 1) / kColumns;
  Canvas canvas(kHeader + rows * kCellHeight + kGap, kColumns * kCellWidth + kGap);
  canvas.text(kGap, kGap, title, kInk);
  Index left = kGap;
  for (const auto& [part, colour] : {std::pair{"red: what the model said, and how sure it was   ", kSoftInk},
                                     std::pair{"green: what is right", kSoftInk}}) {
    canvas.text(kGap + kLine + 4, left, part, colour);
    const std::string_view word = std::string_view(part).substr(0, std::string_view(part).find(':'));
    canvas.text(kGap + kLine + 4, left, word, part[0] == 'r' ? kRed : kGreen);
    left += static_cast<Index>(std::string_view(part).size()) * kAdvance;
  }
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Index cell = static_cast<Index>(i);
    draw_cell(canvas, kHeader + cell / kColumns * kCellHeight, kGap + cell % kColumns * kCellWidth, pictures[i]);
  }
  return canvas.tensor();
}

void ContactSheet::add(const Tensor& logits, const Tensor& labels, Here here) {
  const CallSite site(here);
  if (logits.dtype() != f32 || logits.dim() != 2 || logits.size(1) < 1) {
    throw_invalid("contact_sheet: logits must be f32 [N, C]; got {} {}", logits.dtype(), logits.shape());
  }
  if (labels.dtype() != i64 || labels.shape() != Shape{logits.size(0)}) {
    throw_invalid("contact_sheet: labels must be i64 [{}]; got {} {}", logits.size(0), labels.dtype(), labels.shape());
  }
  const auto classes = static_cast<std::size_t>(logits.size(1));
  for (Index i = 0; i < logits.size(0); ++i) {
    const auto row = logits.span<float>().subspan(static_cast<std::size_t>(i) * classes, classes);
    if (std::any_of(row.begin(), row.end(), [](float logit) { return std::isnan(logit); })) continue;
    const auto largest = std::max_element(row.begin(), row.end());
    const Index predicted = largest - row.begin(), label = labels.data<std::int64_t>()[i];
    if (predicted == label) continue;
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit) - static_cast<double>(*largest));
    mistakes_.push_back({images_ + i, predicted, label, 1 / sum});
    ++wrong_;
  }
  images_ += logits.size(0);
  std::stable_sort(mistakes_.begin(), mistakes_.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  if (mistakes_.size() > most_) mistakes_.resize(most_);
}

Tensor ContactSheet::draw(const std::string& title, const datasets::LabelledImages& images, Here here) const {
  const CallSite site(here);
  std::vector<WrongPrediction> pictures;
  const auto name = [&](Index c) -> std::string {
    const auto classes = images.classes();
    if (c < 0 || c >= static_cast<Index>(classes.size())) {
      throw_out_of_range("contact_sheet: a class must be one of the {} of the data set; got {}", classes.size(), c);
    }
    return classes[static_cast<std::size_t>(c)];
  };
  for (const Mistake& mistake : mistakes_) {
    if (mistake.image >= static_cast<Index>(images.size())) {
      throw_out_of_range("contact_sheet: an image must be one of the {} of the data set; got {}", images.size(),
                         mistake.image);
    }
    pictures.push_back({select(images.data(), {.index = mistake.image}), name(mistake.predicted), name(mistake.label),
                        mistake.probability});
  }
  return contact_sheet(title, pictures);
}

void ContactSheet::write(const std::string& path, const std::string& title, const datasets::LabelledImages& images,
                         Here here) const {
  const CallSite site(here);
  datasets::write_png(path, draw(title, images));
}

}  // namespace tapestry::nn::train
