// A recurrent network that learns to write, one character after another: gated recurrent units (Cho et al., 2014) made
// of linear, sigmoid and tanh. Every step of time calls the same layers, so the tape of one text is as long as the
// text; gradients are cut where they grow too large.
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr std::string_view kText =
    "a weaver ties the first thread to the beam. the warp is long and the warp is still, and the weft goes over and "
    "under it. over and under it goes, and row by row a picture grows that nobody sees from behind. the weaver knows "
    "every thread by its place. when one is wrong she follows it back, row by row, to where it came from, and there "
    "she "
    "mends it. what was woven last is undone first. so the tape is played: the last row first, the first row last, and "
    "every thread is told what it did to the picture. ";
constexpr Index kHidden = 64, kLength = 40, kBatch = 16;
constexpr int kSteps = 250;

/// h' = (1 - z) * n + z * h, where z, r and n are computed from the character and from h. x [N, in], h [N, hidden].
class GruCell : public nn::Module {
 public:
  GruCell(Index in, Index hidden)
      : gates_{child("gates", nn::Linear{in + hidden, 2 * hidden})},
        next_{child("next", nn::Linear{in + hidden, hidden})} {}

  [[nodiscard]] Tensor operator()(const Tensor& x, const Tensor& h) const {
    const std::vector<Tensor> gates = split(sigmoid(gates_(cat({x, h}, {.dim = 1}))), h.size(1), {.dim = 1});
    const Tensor &update = gates[0], &reset = gates[1];
    const Tensor candidate = tanh(next_(cat({x, reset * h}, {.dim = 1})));
    return candidate + update * (h - candidate);
  }

 private:
  nn::Linear gates_, next_;
};

class Writer : public nn::Module {
 public:
  explicit Writer(Index characters)
      : characters_(characters),
        cell_{child("cell", GruCell{characters, kHidden})},
        out_{child("out", nn::Linear{kHidden, characters})} {}

  /// The scores of the next character, [N, characters], and h, which moves on. c [N], numbers of characters.
  [[nodiscard]] Tensor operator()(const Tensor& c, Tensor& h) const {
    h = cell_(one_hot(c, characters_, {.dtype = f32}), h);
    return out_(h);
  }

 private:
  Index characters_;
  GruCell cell_;
  nn::Linear out_;
};

int main() {
  manual_seed(1);
  std::string alphabet;
  for (const char c : kText) {
    if (alphabet.find(c) == std::string::npos) alphabet += c;
  }
  const auto number_of = [&](char c) { return static_cast<std::int64_t>(alphabet.find(c)); };
  const Writer writer(static_cast<Index>(alphabet.size()));
  optim::Adam adam(writer.parameters(), {.lr = 0.01});
  Generator generator(2);
  nn::train::Curves curves("A network that learns to write", "step");
  double bits = 0;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<std::size_t> begins;
    for (Index i = 0; i < kBatch; ++i) {
      begins.push_back(static_cast<std::size_t>(generator.randint(0, std::ssize(kText) - kLength)));
    }
    const auto characters = [&](Index t) {
      std::vector<std::int64_t> out;
      for (const std::size_t begin : begins) out.push_back(number_of(kText[begin + static_cast<std::size_t>(t)]));
      return tensor(out, {kBatch});
    };
    Tensor h = zeros({kBatch, kHidden}), loss = zeros({});
    for (Index t = 0; t < kLength; ++t)
      loss = loss + cross_entropy(writer(characters(t), h), characters(t + 1)) / kLength;
    adam.zero_grad();
    loss.backward();
    optim::clip_grad_norm(writer.parameters(), 1);
    adam.step();
    bits = loss.item() / std::log(2.);
    curves.add("Bits per character", "training", step, bits);
    if (step % 50 == 0) std::printf("step %3d   %.2f bits per character\n", step, bits);
  }
  curves.write("characters.svg");

  const NoGradGuard guard;
  std::string text = "the w";
  Tensor h = zeros({1, kHidden}), scores;
  for (const char c : text) scores = writer(tensor({number_of(c)}), h);
  for (int i = 0; i < 200; ++i) {
    const Tensor chances = softmax(scores * 2, {.dim = 1});  // bolder than it is sure
    double u = generator.uniform(0, 1);
    std::size_t next = 0;
    while (next + 1 < alphabet.size() && (u -= chances.data<float>()[next]) > 0) ++next;
    text += alphabet[next];
    scores = writer(tensor({static_cast<std::int64_t>(next)}), h);
  }
  std::printf("step %3d   %.2f bits per character\n\n%s\n\nwrote characters.svg\n", kSteps, bits, text.c_str());
  return bits < 1.2 ? 0 : 1;
}
